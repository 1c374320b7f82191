//! The leader's decisions, one fact each. Tokens are numbers; a reply is `(token, base offset or failure)`.

use headrace_storage::record::{Batch, BatchBuilder, Compression};
use headrace_storage::{Entry, LeaderEpoch, Offset};

use super::core::{Append, Core, Effect, Event, Recovered};
use super::producers::{Producers, SequenceError};
use super::{Acks, AppendFailure};

type Answer = (u32, Result<i64, AppendFailure>);

/// A core and what came out of it.
struct Partition {
    core: Core<u32>,
    answers: Vec<Answer>,
    entries: Vec<Entry>,
    snapshots: Vec<Vec<u8>>,
    high_watermark: i64,
    roll: bool,
    log_append_time: bool,
}

impl Partition {
    fn leading() -> Partition {
        Partition::recovered(Recovered::default())
    }

    fn recovered(recovered: Recovered) -> Partition {
        let high_watermark = recovered.log_end.0;
        let mut partition = Partition {
            core: Core::new(recovered),
            answers: Vec::new(),
            entries: Vec::new(),
            snapshots: Vec::new(),
            high_watermark,
            roll: false,
            log_append_time: false,
        };
        partition.step(Event::Lead);
        partition
    }

    fn step(&mut self, event: Event<u32>) {
        let mut effects = Vec::new();
        self.core.step(event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Append(entry) => self.entries.push(entry),
                Effect::HighWatermark(offset) => self.high_watermark = offset.0,
                Effect::Snapshot(bytes) => self.snapshots.push(bytes),
                Effect::Reply(token, result) => {
                    let base = result.map(|appended| appended.base_offset.0);
                    self.answers.push((token, base));
                }
            }
        }
    }

    fn append(&mut self, token: u32, acks: Acks, batch: Batch) {
        let (roll, log_append_time) = (self.roll, self.log_append_time);
        let append = Append {
            batch,
            acks,
            token,
            roll,
            log_append_time,
            now_ms: 77,
        };
        self.step(Event::Append(append));
    }

    fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// `(base offset, epoch)` of the batches appended.
    fn batches(&self) -> Vec<(i64, i32)> {
        let batch = |entry: &Entry| match entry {
            Entry::Batch(batch) => Some((batch.base_offset().0, batch.header().epoch.0)),
            _ => None,
        };
        self.entries.iter().filter_map(batch).collect()
    }
}

fn plain(records: i32) -> Batch {
    sequenced(-1, -1, -1, records)
}

fn sequenced(id: i64, epoch: i16, sequence: i32, records: i32) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None).producer(id, epoch, sequence);
    for _ in 0..records {
        builder.push(5, None, Some(b"v"), &[]);
    }
    builder.build()
}

#[test]
fn leading_begins_a_new_epoch_with_a_no_op() {
    let recovered = Recovered {
        epoch: LeaderEpoch(4),
        ..Recovered::default()
    };
    let mut partition = Partition::recovered(recovered);
    assert!(matches!(
        partition.entries[..],
        [Entry::NoOp {
            term: LeaderEpoch(5)
        }]
    ));
    partition.append(1, Acks::All, plain(1));
    assert_eq!(partition.batches(), [(0, 5)]);
}

#[test]
fn offsets_are_dense_from_the_log_end() {
    let mut partition = Partition::recovered(Recovered {
        log_end: Offset(7),
        ..Recovered::default()
    });
    partition.append(1, Acks::All, plain(3));
    partition.append(2, Acks::All, plain(1));
    partition.append(3, Acks::None, plain(2));
    partition.append(4, Acks::All, plain(1));
    assert_eq!(partition.batches(), [(7, 1), (10, 1), (11, 1), (13, 1)]);
}

#[test]
fn acks_all_waits_until_flushed_and_acks_1_until_written() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(2));
    partition.append(2, Acks::Leader, plain(1));
    assert_eq!(partition.answers(), []);
    partition.step(Event::Written(Offset(3)));
    assert_eq!(partition.answers(), [(2, Ok(2))]);
    assert_eq!(partition.high_watermark, 0);
    partition.step(Event::Flushed(Offset(2)));
    assert_eq!(partition.answers(), [(1, Ok(0))]);
    assert_eq!(partition.high_watermark, 2);
}

#[test]
fn a_partial_write_answers_only_what_it_holds() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::Leader, plain(2));
    partition.append(2, Acks::Leader, plain(2));
    partition.step(Event::Written(Offset(2)));
    assert_eq!(partition.answers(), [(1, Ok(0))]);
    partition.step(Event::Written(Offset(4)));
    assert_eq!(partition.answers(), [(2, Ok(2))]);
}

#[test]
fn acks_0_lets_go_of_its_batch_once_it_is_written() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::None, plain(1));
    assert_eq!(partition.answers(), []);
    partition.step(Event::Written(Offset(1)));
    assert_eq!(partition.answers(), [(1, Ok(0))]);
}

#[test]
fn a_repeat_is_answered_once_the_original_satisfies_its_acks() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    partition.append(2, Acks::All, sequenced(7, 0, 2, 2));
    partition.append(3, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(partition.answers(), [], "the original is not durable yet");
    partition.step(Event::Flushed(Offset(2)));
    assert_eq!(partition.answers(), [(1, Ok(0)), (3, Ok(0))]);
    partition.append(4, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(partition.answers(), [(4, Ok(0))]);
    assert_eq!(partition.batches().len(), 2, "repeats are not appended");
}

#[test]
fn a_repeat_gets_the_original_timestamp() {
    let mut partition = Partition::leading();
    partition.log_append_time = true;
    let mut effects = Vec::new();
    for (token, now_ms) in [(1, 77), (2, 99)] {
        let append = Append {
            batch: sequenced(7, 0, 0, 1),
            acks: Acks::Leader,
            token,
            roll: false,
            log_append_time: true,
            now_ms,
        };
        partition.core.step(Event::Append(append), &mut effects);
    }
    partition.core.step(Event::Written(Offset(1)), &mut effects);
    let times = effects.iter().filter_map(|effect| match effect {
        Effect::Reply(token, Ok(appended)) => Some((*token, appended.log_append_time)),
        _ => None,
    });
    assert_eq!(times.collect::<Vec<_>>(), [(1, 77), (2, 77)]);
}

#[test]
fn gaps_and_old_epochs_are_refused_at_once() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, sequenced(7, 1, 0, 1));
    partition.append(2, Acks::All, sequenced(7, 1, 5, 1));
    partition.append(3, Acks::All, sequenced(7, 0, 1, 1));
    let gap = SequenceError::OutOfOrder {
        expected: 1,
        found: 5,
    };
    let fenced = SequenceError::Fenced {
        current: 1,
        found: 0,
    };
    let refused = [(2, Err(gap.into())), (3, Err(fenced.into()))];
    assert_eq!(partition.answers(), refused);
}

#[test]
fn a_failed_write_refuses_what_waits_and_all_that_follows() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(1));
    partition.append(2, Acks::Leader, plain(1));
    partition.step(Event::WriteFailed);
    partition.append(3, Acks::All, plain(1));
    let closed = Err(AppendFailure::LogClosed);
    let mut answers = partition.answers();
    answers.sort_by_key(|(token, _)| *token);
    assert_eq!(answers, [(1, closed), (2, closed), (3, closed)]);
    assert_eq!(partition.batches().len(), 2);
    assert_eq!(partition.core.snapshot_at_close(), None);
}

#[test]
fn a_deleted_partition_tells_those_that_wait() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(1));
    partition.step(Event::Abandon(AppendFailure::Deleted));
    assert_eq!(partition.answers(), [(1, Err(AppendFailure::Deleted))]);
}

#[test]
fn the_high_watermark_never_goes_back() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(3));
    partition.step(Event::Flushed(Offset(3)));
    partition.step(Event::Flushed(Offset(1)));
    assert_eq!(partition.high_watermark, 3);
}

#[test]
fn a_roll_goes_before_the_batch_and_its_snapshot_waits_until_durable() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    partition.roll = true;
    partition.append(2, Acks::All, sequenced(7, 0, 2, 1));
    assert!(matches!(
        partition.entries[..],
        [
            Entry::NoOp { .. },
            Entry::Batch(_),
            Entry::Roll { at_ms: 77 },
            Entry::Batch(_)
        ]
    ));
    partition.step(Event::Flushed(Offset(1)));
    assert!(partition.snapshots.is_empty());
    partition.step(Event::Flushed(Offset(2)));
    let (at, producers) = Producers::restore(&partition.snapshots[0]).unwrap();
    assert_eq!((at, producers.len()), (Offset(2), 1));
    let next = sequenced(7, 0, 2, 1);
    assert!(
        producers.check(next.header()).is_ok(),
        "the batch after the roll is not in it"
    );
}

#[test]
fn a_snapshot_at_close_needs_everything_durable() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(partition.core.snapshot_at_close(), None);
    partition.step(Event::Flushed(Offset(2)));
    let (at, _) = Producers::restore(&partition.core.snapshot_at_close().unwrap()).unwrap();
    assert_eq!(at, Offset(2));
}

#[test]
fn a_log_that_did_not_grow_needs_no_new_snapshot() {
    assert_eq!(Partition::leading().core.snapshot_at_close(), None);
    let recovered = Recovered {
        log_end: Offset(7),
        snapshot: Some(Offset(7)),
        ..Recovered::default()
    };
    assert_eq!(
        Partition::recovered(recovered).core.snapshot_at_close(),
        None
    );
    let recovered = Recovered {
        log_end: Offset(7),
        ..Recovered::default()
    };
    let partition = Partition::recovered(recovered);
    assert!(partition.core.snapshot_at_close().is_some());
}
