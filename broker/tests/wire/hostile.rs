//! Bytes of no client: every API and version, with bodies that are random or damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headrace_protocol::header::encode_request_frame;
use headrace_protocol::metadata::MetadataRequest;
use headrace_protocol::{ApiKey, ErrorCode};

use crate::requests::{batch, create_topic, fetch_request, produce_request, produced, read_all};
use crate::support::Server;

/// Marsaglia's xorshift, so that every run sends the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Bytes as messages have them: mostly small numbers, now and then a wild one.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let byte = |_| match self.below(4) {
            0 => self.next().to_be_bytes()[0],
            1 => 0xff,
            _ => self.next().to_be_bytes()[0] & 3,
        };
        (0..length).map(byte).collect()
    }
}

fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut request = [key.to_be_bytes(), version.to_be_bytes()].concat();
    request.extend([0, 0, 0, 9, 0xff, 0xff]);
    request.extend(body);
    [
        &i32::try_from(request.len()).unwrap().to_be_bytes()[..],
        &request,
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bodies_panic_nothing_and_disturb_nobody() {
    let panics = Arc::new(AtomicUsize::new(0));
    let before = std::panic::take_hook();
    let counter = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |info| {
        counter.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let server = Server::start().await;
    let mut bystander = server.connect().await;
    create_topic(&mut bystander, "t", &[]).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let served = ApiKey::ALL
        .iter()
        .filter_map(|key| Some((*key, key.served()?)));
    for (key, versions) in served {
        for version in versions {
            for _ in 0..20 {
                let length = random.below(200);
                let body = random.bytes(length);
                let mut client = server.connect().await;
                client.send_raw(&frame(key.into(), version, &body)).await;
                client.send_raw(&frame(18, 0, &[])).await;
            }
        }
    }
    assert_eq!(produced(&mut bystander, "t", batch(&["x"])).await, 0);
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn damaged_requests_leave_the_log_as_it_was() {
    let server = Server::start().await;
    let mut bystander = server.connect().await;
    create_topic(&mut bystander, "t", &[]).await;
    let mut random = Random(42);
    let produce = encode_request_frame(1, None, 9, &produce_request("t", -1, batch(&["whole"])));
    let fetch = encode_request_frame(1, None, 12, &fetch_request("t", 0));
    let frames = [produce.unwrap().concat(), fetch.unwrap().concat()];
    for frame in &frames {
        for _ in 0..300 {
            let mut damaged = frame.clone();
            // anywhere behind the length and the key
            let place = 6 + random.below(damaged.len() - 6);
            damaged[place] ^= 1 << random.below(8);
            let mut client = server.connect().await;
            client.send_raw(&damaged).await;
        }
    }
    let all = read_all(&mut bystander, "t").await;
    assert!(
        all.iter().all(|(_, value)| value == "whole"),
        "the CRC covers what is kept"
    );
    let metadata = bystander
        .call(
            12,
            &MetadataRequest {
                topics: None,
                ..Default::default()
            },
        )
        .await;
    assert!(
        metadata
            .topics
            .iter()
            .all(|topic| topic.error_code == ErrorCode::NONE)
    );
}
