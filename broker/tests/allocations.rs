//! What a request costs in memory: record bytes are held once on their way to the log, and not at all on their
//! way from it. Counted by an allocator around the system's, every byte asked for while requests are answered.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    unsafe_code,
    reason = "a global allocator can only be written with unsafe; it forwards to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use headrace_broker::{Broker, BrokerConfig};
use headrace_protocol::Request;
use headrace_protocol::create_topics::{CreatableTopic, CreateTopicsRequest};
use headrace_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use headrace_protocol::header::encode_request_frame;
use headrace_protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use headrace_storage::record::{BatchBuilder, Compression};

static BYTES: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn count(bytes: usize) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
    CALLS.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract, and the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps realloc's contract, and the pointer came from the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A connection that allocates nothing itself.
struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// What one request costs.
#[derive(Debug)]
struct Cost {
    bytes: usize,
    calls: usize,
    answer_bytes: usize,
}

impl Client {
    fn call(&mut self, frame: &[u8]) -> usize {
        self.stream.write_all(frame).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
        self.stream.read_exact(&mut self.answer[..length]).unwrap();
        length
    }

    /// The mean of many, once everything is warm.
    fn cost(&mut self, frame: &[u8]) -> Cost {
        const ROUNDS: usize = 20;
        for _ in 0..5 {
            self.call(frame);
        }
        let before = (BYTES.load(Ordering::SeqCst), CALLS.load(Ordering::SeqCst));
        let mut answer_bytes = 0;
        for _ in 0..ROUNDS {
            answer_bytes = self.call(frame);
        }
        Cost {
            bytes: (BYTES.load(Ordering::SeqCst) - before.0) / ROUNDS,
            calls: (CALLS.load(Ordering::SeqCst) - before.1) / ROUNDS,
            answer_bytes,
        }
    }
}

fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let frame = encode_request_frame(1, Some("count".into()), version, request);
    frame.unwrap().concat()
}

fn produce(value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(1, None, Some(&vec![b'x'; value_bytes]), &[]);
    let records: Bytes = builder.build().to_bytes();
    let request = ProduceRequest {
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(records.into()),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    frame(9, &request)
}

fn fetch(bytes: i32) -> Vec<u8> {
    let request = FetchRequest {
        max_wait_ms: 1_000,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: bytes,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    frame(11, &request)
}

#[test]
fn record_bytes_are_held_once_on_their_way_in_and_not_at_all_on_their_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let config = BrokerConfig {
        listen: "127.0.0.1:0".to_owned(),
        data: dir.path().to_owned(),
        // nothing is done beside the requests
        upkeep_interval_ms: 3_600_000,
        scrub_bytes_per_second: 0,
        ..BrokerConfig::default()
    };
    let broker = runtime.block_on(Broker::start(config)).unwrap();
    let mut client = Client {
        stream: TcpStream::connect(broker.local_addr()).unwrap(),
        answer: vec![0; 4 << 20],
    };
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let create = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    };
    client.call(&frame(5, &create));

    let request = produce(1_000_000);
    let cost = client.cost(&request);
    let once = request.len()..request.len() + (32 << 10);
    assert!(once.contains(&cost.bytes), "{cost:?} of a large batch");
    assert!(cost.calls <= 70, "{cost:?} of a large batch");

    let cost = client.cost(&fetch(2 << 20));
    assert!(cost.answer_bytes > 2_000_000, "{cost:?} of a large fetch");
    assert!(cost.bytes <= 16 << 10, "{cost:?} of a large fetch");
    assert!(cost.calls <= 30, "{cost:?} of a large fetch");

    let cost = client.cost(&produce(100));
    assert!(cost.bytes <= 8 << 10, "{cost:?} of a small batch");
    assert!(cost.calls <= 60, "{cost:?} of a small batch");
    runtime.block_on(broker.shutdown()).unwrap();
}
