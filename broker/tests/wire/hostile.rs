//! Bytes of no client: every API and version, with bodies that are random or damaged.

use std::sync::atomic::Ordering;

use headrace_protocol::header::encode_request_frame;
use headrace_protocol::metadata::MetadataRequest;
use headrace_protocol::{ApiKey, ErrorCode};

use crate::random::{Random, count_panics};
use crate::requests::{batch, create_topic, fetch_request, produce_request, produced, read_all};
use crate::support::Server;

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
    let panics = count_panics();
    let server = Server::start().await;
    let mut bystander = server.connect().await;
    create_topic(&mut bystander, "t", &[]).await;
    let mut random = Random::new(1);
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
    let mut random = Random::new(42);
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
