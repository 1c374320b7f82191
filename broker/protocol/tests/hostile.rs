//! Bytes that no honest peer sends: random frames, damaged frames and lying counts never panic in any message and
//! version, and never make a decoder allocate more than 4 times the frame plus 64 KiB. Large frames of honest peers
//! pass under the same bound.
//!
//! Allocations are counted by an allocator around the system's: every byte asked for during one decode, freed or not.

#![allow(
    unsafe_code,
    reason = "a global allocator can only be written with unsafe; it forwards to the system's"
)]

mod values;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use headrace_protocol::header::decode_request_frame;
use headrace_protocol::{DecodeError, Decoder, Encoder, Message};
use values::{Pair, Random, Visitor};

thread_local! {
    /// Bytes that this thread has asked for, `None` while nobody counts.
    static ALLOCATED: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Counting;

fn count(bytes: usize) {
    // A thread that is ending has no counter any more, and counts nothing.
    let _counted =
        ALLOCATED.try_with(|allocated| allocated.set(allocated.get().map(|sum| sum + bytes)));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
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
static COUNTING: Counting = Counting;

/// Gives a result and the bytes that it took to make.
fn counting<T>(make: impl FnOnce() -> T) -> (T, usize) {
    ALLOCATED.with(|allocated| allocated.set(Some(0)));
    let made = make();
    (made, ALLOCATED.with(Cell::take).unwrap_or_default())
}

fn decode_within_bound<M: Message>(
    frame: Vec<u8>,
    version: i16,
    case: &str,
) -> Result<M, DecodeError> {
    let length = frame.len();
    let frame = Bytes::from(frame);
    let (result, allocated) = counting(|| M::decode(&mut Decoder::new(frame), version));
    let bound = 4 * length + 64 * 1024;
    assert!(
        allocated <= bound,
        "{case}: {allocated} bytes allocated for a frame of {length}"
    );
    result
}

fn encode<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut to = Encoder::new();
    message
        .encode(&mut to, version)
        .expect("a value of this version");
    to.finish().expect("the sizes fit").concat()
}

/// Damages a frame as a broken or hostile peer would.
fn damage(frame: &mut Vec<u8>, random: &mut Random) {
    const LYING: [[u8; 5]; 6] = [
        [0x7f, 0xff, 0xff, 0xff, 0xff],
        [0xff, 0xff, 0xff, 0xff, 0x0f],
        [0x00, 0xff, 0xff, 0xff, 0xff],
        [0x80, 0x00, 0x00, 0x00, 0x00],
        [0xff, 0xff, 0x03, 0x00, 0x00],
        [0x00, 0x00, 0x40, 0x00, 0x00],
    ];
    for _ in 0..=random.below(3) {
        let at = random.below(frame.len() + 1);
        match random.below(6) {
            0 => frame.truncate(at),
            1 => {
                let lie = LYING[random.below(LYING.len())];
                let end = frame.len().min(at + lie.len());
                frame[at..end].copy_from_slice(&lie[..end - at]);
            }
            2 => frame.insert(at, random.next().to_le_bytes()[0]),
            3 => {
                let tail = frame[at..].to_vec();
                frame.extend_from_slice(&tail);
            }
            4 if at < frame.len() => {
                frame.remove(at);
            }
            _ if at < frame.len() => frame[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
}

/// Frames whose bytes are mostly small, so that many get past their first counts.
fn noise(length: usize, random: &mut Random) -> Vec<u8> {
    let small = random.one_in(2);
    (0..length)
        .map(|_| {
            let byte = random.next().to_le_bytes()[0];
            if small && !random.one_in(8) {
                byte % 3
            } else {
                byte
            }
        })
        .collect()
}

struct Hostile {
    frames: usize,
    decoded: usize,
}

impl Hostile {
    fn feed<M: Message>(&mut self, frame: Vec<u8>, version: i16, case: &str) {
        self.frames += 1;
        if let Ok(message) = decode_within_bound::<M>(frame, version, case) {
            self.decoded += 1;
            encode(&message, version);
        }
    }
}

impl Visitor for Hostile {
    fn visit<M: Pair>(&mut self, name: &str) {
        for version in M::VERSIONS {
            for seed in 0..150 {
                let case = format!("{name} version {version} seed {seed}");
                let random = &mut Random::new(seed);
                let length = random.below(300);
                self.feed::<M>(noise(length, random), version, &case);
                let mut frame = encode(&M::sample(random, version), version);
                damage(&mut frame, random);
                self.feed::<M>(frame, version, &case);
            }
            for (byte, length) in [
                (0, 50_000),
                (1, 50_000),
                (2, 300_000),
                (0x7f, 50_000),
                (0xff, 50_000),
            ] {
                self.feed::<M>(
                    vec![byte; length],
                    version,
                    &format!("{name} version {version} all {byte}"),
                );
            }
        }
    }
}

/// trap 8
#[test]
fn hostile_frames_neither_panic_nor_allocate_beyond_the_bound() {
    let mut hostile = Hostile {
        frames: 0,
        decoded: 0,
    };
    values::for_each_message(&mut hostile);
    let Hostile { frames, decoded } = hostile;
    assert!(
        decoded > frames / 10,
        "{decoded} of {frames} frames got through: the noise reaches every part"
    );
    assert!(decoded < frames, "no frame was refused");
}

/// Counts that the frame could just hold, of elements that take far more memory than bytes.
struct ManyElements {
    expanding: usize,
}

impl Visitor for ManyElements {
    fn visit<M: Pair>(&mut self, name: &str) {
        for version in M::VERSIONS {
            for at in 0..24 {
                for count in [
                    &[0, 3, 0, 0][..],
                    &[0x80, 0x80, 0x0c],
                    &[0x7f, 0xff, 0xff, 0xff],
                ] {
                    let mut frame = vec![0; at];
                    frame.extend_from_slice(count);
                    frame.resize(200_000, 0);
                    let case = format!("{name} version {version} count at {at}");
                    let result = decode_within_bound::<M>(frame, version, &case);
                    self.expanding += usize::from(result == Err(DecodeError::Expansion));
                }
            }
        }
    }
}

/// trap 8
#[test]
fn many_empty_elements_stay_within_the_bound() {
    let mut many = ManyElements { expanding: 0 };
    values::for_each_message(&mut many);
    assert!(
        many.expanding > 100,
        "only {} frames came near the bound",
        many.expanding
    );
}

#[test]
fn headers_of_noise_neither_panic_nor_allocate() {
    for seed in 0..20_000 {
        let random = &mut Random::new(seed);
        let length = random.below(40);
        let frame = Bytes::from(noise(length, random));
        let (_, allocated) = counting(|| decode_request_frame(frame).is_ok());
        assert!(allocated <= 64 * 1024);
    }
}

mod large {
    //! What busy but honest peers send: it must pass.

    use headrace_protocol::describe_configs::{
        DescribeConfigsResourceResult, DescribeConfigsResult,
    };
    use headrace_protocol::{
        Message, Records, Str, create_topics, delete_topics, describe_configs, fetch, list_groups,
        list_offsets, metadata, offset_commit, offset_fetch, produce,
    };

    use super::{decode_within_bound, encode};

    fn names(count: usize) -> impl Iterator<Item = Str> {
        (0..count).map(|number| Str::from(format!("orders-{number:05}")))
    }

    fn passes<M: Message + PartialEq + std::fmt::Debug>(message: impl Fn(i16) -> M) {
        for version in M::VERSIONS {
            let sent = message(version);
            let case = format!("{} version {version}", std::any::type_name::<M>());
            let read = decode_within_bound::<M>(encode(&sent, version), version, &case);
            let read = read.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(read == sent, "{case}: read as sent");
        }
    }

    fn either<T: Default>(first: bool, value: T) -> T {
        if first { value } else { T::default() }
    }

    #[test]
    fn requests_for_ten_thousand_topics_pass() {
        passes(|_| metadata::MetadataRequest {
            topics: Some(
                names(10_000)
                    .map(|name| metadata::MetadataRequestTopic {
                        name: Some(name),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        });
        passes(|version| delete_topics::DeleteTopicsRequest {
            topic_names: either(version <= 5, names(10_000).collect()),
            topics: either(
                version > 5,
                names(10_000)
                    .map(|name| delete_topics::DeleteTopicState {
                        name: Some(name),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        });
        passes(|_| create_topics::CreateTopicsRequest {
            topics: names(10_000)
                .map(|name| create_topics::CreatableTopic {
                    name,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
    }

    #[test]
    fn requests_on_one_partition_of_many_topics_pass() {
        passes(|version| fetch::FetchRequest {
            topics: names(5_000)
                .map(|topic| fetch::FetchTopic {
                    topic: either(version <= 12, topic),
                    partitions: vec![fetch::FetchPartition::default()],
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        passes(|version| produce::ProduceRequest {
            topic_data: names(5_000)
                .map(|name| produce::TopicProduceData {
                    name: either(version <= 12, name),
                    partition_data: vec![produce::PartitionProduceData {
                        records: Some(Records::from(bytes::Bytes::from_static(&[7; 70]))),
                        ..Default::default()
                    }],
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        passes(|_| list_offsets::ListOffsetsRequest {
            topics: names(5_000)
                .map(|name| list_offsets::ListOffsetsTopic {
                    name,
                    partitions: vec![list_offsets::ListOffsetsPartition::default()],
                })
                .collect(),
            ..Default::default()
        });
    }

    #[test]
    fn offsets_of_many_topics_pass() {
        passes(|version| offset_commit::OffsetCommitRequest {
            topics: names(5_000)
                .map(|name| offset_commit::OffsetCommitRequestTopic {
                    name: either(version <= 9, name),
                    partitions: vec![offset_commit::OffsetCommitRequestPartition::default()],
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        passes(|version| offset_fetch::OffsetFetchRequest {
            topics: Some(either(
                version <= 7,
                names(5_000)
                    .map(|name| offset_fetch::OffsetFetchRequestTopic {
                        name,
                        partition_indexes: vec![0],
                    })
                    .collect(),
            )),
            ..Default::default()
        });
    }

    #[test]
    fn answers_about_a_large_cluster_pass() {
        passes(|_| list_groups::ListGroupsResponse {
            groups: names(10_000)
                .map(|topic| list_groups::ListedGroup {
                    group_id: Str::from(format!("connect-{topic}-sink")),
                    protocol_type: Str::from_static("consumer"),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        passes(|_| metadata::MetadataResponse {
            topics: names(2_000)
                .map(|name| metadata::MetadataResponseTopic {
                    name: Some(name),
                    partitions: vec![
                        metadata::MetadataResponsePartition {
                            replica_nodes: vec![1],
                            isr_nodes: vec![1],
                            ..Default::default()
                        };
                        3
                    ],
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        passes(|_| describe_configs::DescribeConfigsResponse {
            results: names(500)
                .map(|resource_name| DescribeConfigsResult {
                    resource_name,
                    configs: names(30)
                        .map(|name| DescribeConfigsResourceResult {
                            name,
                            value: Some(Str::from_static("604800000")),
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
    }
}
