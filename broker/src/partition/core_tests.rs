//! The leader's decisions, one fact each. Tokens are numbers; a reply is `(token, base offset or failure)`.

use headrace_storage::record::{Batch, BatchBuilder, Compression};
use headrace_storage::{Entry, EntryIndex, LeaderEpoch, Offset};

use super::core::{Append, Core, Effect, Event, Recovered};
use super::producers::{Producers, SequenceError};
use super::{Acks, AppendFailure};
use crate::raft::{Boot, Group, Membership, ReplicaId, TermRun, VoterSet};

type Answer = (u32, Result<i64, AppendFailure>);

const ME: ReplicaId = ReplicaId(1 << 32 | 1);

/// A core and what came out of it.
struct Partition {
    core: Core<u32>,
    answers: Vec<Answer>,
    entries: Vec<Entry>,
    /// The offset after each entry, with that before all.
    ends: Vec<Offset>,
    votes: Vec<u64>,
    snapshots: Vec<Vec<u8>>,
    /// Other effects, by name.
    seen: Vec<&'static str>,
    high_watermark: i64,
    quarantined: Option<String>,
    /// Bytes after which the log wants a new segment.
    room: usize,
    log_append_time: bool,
}

impl Partition {
    fn leading() -> Partition {
        Partition::recovered(Recovered::default(), LeaderEpoch(0))
    }

    /// Leads, with its vote and its no-op on disk.
    fn recovered(recovered: Recovered, epoch: LeaderEpoch) -> Partition {
        let end = recovered.log_end;
        let mut partition = Partition::campaigning(recovered, epoch);
        partition.sync_votes();
        partition.flushed(end);
        partition
    }

    fn campaigning(recovered: Recovered, epoch: LeaderEpoch) -> Partition {
        let lone = Membership::initial(VoterSet::lone(ME)).encode();
        let from = EntryIndex(1);
        let group = Group::new(Boot {
            replica: ME,
            seed: 1,
            first_index: from,
            last_index: recovered.last_index,
            runs: vec![TermRun { from, epoch }],
            hint: recovered.last_index,
            term: epoch,
            vote: 0,
            membership: (EntryIndex(0), lone),
            memberships: Vec::new(),
        });
        let found = usize::try_from(recovered.last_index.0).unwrap();
        let mut partition = Partition {
            ends: vec![recovered.log_end; found + 1],
            high_watermark: recovered.high_watermark.0,
            core: Core::new(recovered, group),
            answers: Vec::new(),
            entries: Vec::new(),
            votes: Vec::new(),
            snapshots: Vec::new(),
            seen: Vec::new(),
            quarantined: None,
            room: usize::MAX,
            log_append_time: false,
        };
        partition.step(Event::Campaign);
        partition
    }

    fn step(&mut self, event: Event<u32>) {
        self.hand_in(event);
        self.turn();
    }

    fn hand_in(&mut self, event: Event<u32>) {
        let mut effects = Vec::new();
        self.core.step(event, &mut effects);
        self.perform(effects);
    }

    fn turn(&mut self) {
        loop {
            let room = self.room;
            let mut effects = Vec::new();
            let more = self.core.turn(&|bytes| bytes > room, &mut effects);
            self.perform(effects);
            if !more {
                return;
            }
        }
    }

    fn perform(&mut self, effects: Vec<Effect<u32>>) {
        for effect in effects {
            match effect {
                Effect::Append(first, entries) => {
                    for (index, entry) in (first.0..).map(EntryIndex).zip(entries) {
                        self.staged(index, entry);
                    }
                }
                Effect::Vote { number, .. } => {
                    self.seen.push("vote");
                    self.votes.push(number);
                }
                Effect::Membership { number, .. } => self.votes.push(number),
                Effect::Committed(_, offset) | Effect::Visible(offset) => self.shown(offset.0),
                Effect::Snapshot(bytes) => self.snapshots.push(bytes),
                Effect::Quarantined(reason) => self.quarantined = Some(reason.to_string()),
                Effect::Serves => self.seen.push("serves"),
                Effect::Window(_) => self.seen.push("window"),
                Effect::Truncate(_) | Effect::Send(_) => unreachable!("a lone voter"),
                Effect::Reply(token, result) => {
                    let base = result.map(|appended| appended.base_offset.0);
                    self.answers.push((token, base));
                }
            }
        }
    }

    fn shown(&mut self, offset: i64) {
        assert!(self.high_watermark <= offset, "it never goes back");
        self.high_watermark = offset;
    }

    /// Leads a topic with write caching.
    fn caching() -> Partition {
        let mut partition = Partition::leading();
        partition.step(Event::WriteCaching(true));
        partition
    }

    fn staged(&mut self, index: EntryIndex, entry: Entry) {
        assert_eq!(index.0, u64::try_from(self.ends.len()).unwrap());
        let before = *self.ends.last().unwrap();
        self.ends.push(match &entry {
            Entry::Batch(batch) => {
                assert_eq!(batch.base_offset(), before, "offsets are dense");
                batch.last_offset().plus(1)
            }
            _ => before,
        });
        if matches!(entry, Entry::Roll { .. }) {
            self.room = usize::MAX;
        }
        self.entries.push(entry);
    }

    fn sync_votes(&mut self) {
        for number in std::mem::take(&mut self.votes) {
            self.step(Event::VotesSynced(number));
        }
    }

    fn written(&mut self, offset: i64) {
        self.step(Event::Written(Offset(offset)));
    }

    /// Everything below the offset is durable, with the control entries there.
    fn flushed(&mut self, offset: Offset) {
        let last = self.ends.partition_point(|end| *end <= offset) - 1;
        self.hand_in(Event::Written(offset));
        self.step(Event::Durable(EntryIndex(u64::try_from(last).unwrap())));
    }

    fn append(&mut self, token: u32, acks: Acks, batch: Batch) {
        self.arrive(token, acks, batch);
        self.turn();
    }

    /// Hands a batch in; others may come in the same turn.
    fn arrive(&mut self, token: u32, acks: Acks, batch: Batch) {
        let append = Append {
            batch,
            acks,
            token,
            log_append_time: self.log_append_time,
            now_ms: 77,
        };
        self.hand_in(Event::Append(append));
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

/// A log with one entry that ends at an offset.
fn ending_at(offset: i64) -> Recovered {
    Recovered {
        high_watermark: Offset(offset),
        log_end: Offset(offset),
        last_index: EntryIndex(1),
        ..Recovered::default()
    }
}

#[test]
fn leading_begins_a_new_epoch_with_a_no_op() {
    let mut partition = Partition::recovered(ending_at(0), LeaderEpoch(4));
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
    let mut partition = Partition::recovered(ending_at(7), LeaderEpoch(0));
    partition.append(1, Acks::All, plain(3));
    partition.append(2, Acks::All, plain(1));
    partition.append(3, Acks::None, plain(2));
    partition.append(4, Acks::All, plain(1));
    assert_eq!(partition.batches(), [(7, 1), (10, 1), (11, 1), (13, 1)]);
}

#[test]
fn it_serves_once_vote_and_no_op_are_durable() {
    let mut partition = Partition::campaigning(Recovered::default(), LeaderEpoch(0));
    assert_eq!(partition.seen, ["vote"]);
    partition.flushed(Offset(0));
    assert_eq!(partition.seen, ["vote"], "its vote is not");
    partition.sync_votes();
    assert_eq!(partition.seen, ["vote", "serves"]);
    partition.sync_votes();
    assert_eq!(
        partition.seen,
        ["vote", "serves", "window"],
        "the voters are"
    );
}

#[test]
fn nothing_is_answered_before_the_vote_is_synced() {
    let mut partition = Partition::campaigning(Recovered::default(), LeaderEpoch(0));
    partition.append(1, Acks::Leader, plain(1));
    partition.append(2, Acks::All, plain(1));
    partition.flushed(Offset(2));
    assert_eq!(partition.answers(), []);
    assert_eq!(partition.high_watermark, 0);
    partition.sync_votes();
    assert_eq!(partition.answers().len(), 2);
    assert_eq!(partition.high_watermark, 2);
}

#[test]
fn one_that_does_not_lead_takes_nothing_and_moves_nothing() {
    let mut partition = Partition::leading();
    partition.core.testing_stop_leading();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(partition.answers(), [(1, Err(AppendFailure::NotLeader))]);
    partition.core.testing_lead_in(LeaderEpoch(99));
    partition.arrive(2, Acks::All, sequenced(7, 0, 0, 2));
    partition.arrive(3, Acks::All, plain(1));
    partition.turn();
    let dropped = Err(AppendFailure::NotLeader);
    assert_eq!(partition.answers(), [(2, dropped), (3, dropped)]);
    partition.core.testing_lead_in(LeaderEpoch(1));
    partition.append(4, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(
        partition.batches(),
        [(0, 1)],
        "neither offset nor sequence moved"
    );
}

#[test]
fn batches_of_one_turn_go_in_order_and_are_judged_in_order() {
    let mut partition = Partition::leading();
    partition.arrive(1, Acks::All, sequenced(7, 0, 0, 2));
    partition.arrive(2, Acks::All, plain(1));
    partition.arrive(3, Acks::All, sequenced(7, 0, 2, 1));
    partition.arrive(4, Acks::All, sequenced(7, 0, 0, 2));
    partition.arrive(5, Acks::All, sequenced(7, 0, 9, 1));
    partition.arrive(6, Acks::All, sequenced(7, 0, 3, 1));
    partition.turn();
    assert_eq!(partition.batches(), [(0, 1), (2, 1), (3, 1), (4, 1)]);
    let gap = SequenceError::OutOfOrder {
        expected: 3,
        found: 9,
    };
    assert_eq!(partition.answers(), [(5, Err(gap.into()))]);
    partition.flushed(Offset(5));
    let answers = [(1, Ok(0)), (4, Ok(0)), (2, Ok(2)), (3, Ok(3)), (6, Ok(4))];
    assert_eq!(partition.answers(), answers);
}

#[test]
fn a_panic_of_the_consensus_closes_the_partition_and_says_why() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(1));
    partition.core.testing_break_consensus();
    partition.append(2, Acks::All, plain(1));
    assert!(partition.quarantined.is_some_and(|why| why.contains("way")));
    assert!(partition.core.quarantined().is_some());
    let closed = Err(AppendFailure::LogClosed);
    partition.quarantined = None;
    partition.append(3, Acks::All, plain(1));
    let mut answers = partition.answers.clone();
    answers.sort_by_key(|(token, _)| *token);
    let dropped = Err(AppendFailure::NotLeader);
    assert_eq!(answers, [(1, closed), (2, dropped), (3, closed)]);
    assert_eq!(partition.quarantined, None, "it is said once");
}

#[test]
fn the_log_start_moves_at_the_commit_and_never_past_the_high_watermark() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(4));
    partition.flushed(Offset(4));
    partition.append(2, Acks::All, plain(4));
    partition.sync_votes();
    partition.seen.clear();
    partition.step(Event::MoveLogStart(Offset(6)));
    let moved = partition.entries.last();
    assert!(matches!(moved, Some(Entry::LogStart { offset: Offset(4) })));
    assert_eq!(partition.seen, [""; 0]);
    partition.flushed(Offset(8));
    assert_eq!(partition.seen, ["window"]);
    partition.step(Event::MoveLogStart(Offset(3)));
    assert_eq!(partition.entries.len(), 4, "it does not go back");
}

#[test]
fn a_roll_whose_time_has_come_is_proposed_without_a_batch() {
    let mut partition = Partition::leading();
    partition.step(Event::Roll { now_ms: 5 });
    let rolled = partition.entries.last();
    assert!(matches!(rolled, Some(Entry::Roll { at_ms: 5 })));
}

/// trap 28
#[test]
fn acks_all_waits_until_flushed_and_acks_1_until_written() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(2));
    partition.append(2, Acks::Leader, plain(1));
    assert_eq!(partition.answers(), []);
    partition.written(3);
    assert_eq!(partition.answers(), [(2, Ok(2))]);
    assert_eq!(partition.high_watermark, 0);
    partition.flushed(Offset(2));
    assert_eq!(partition.answers(), [(1, Ok(0))]);
    assert_eq!(partition.high_watermark, 2);
}

#[test]
fn a_partial_write_answers_only_what_it_holds() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::Leader, plain(2));
    partition.append(2, Acks::Leader, plain(2));
    partition.written(2);
    assert_eq!(partition.answers(), [(1, Ok(0))]);
    partition.written(4);
    assert_eq!(partition.answers(), [(2, Ok(2))]);
}

/// trap 28
#[test]
fn acks_0_lets_go_of_its_batch_once_it_is_written() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::None, plain(1));
    assert_eq!(partition.answers(), []);
    partition.written(1);
    assert_eq!(partition.answers(), [(1, Ok(0))]);
}

/// trap 29
#[test]
fn a_repeat_is_answered_once_the_original_satisfies_its_acks() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    partition.append(2, Acks::All, sequenced(7, 0, 2, 2));
    partition.append(3, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(partition.answers(), [], "the original is not durable yet");
    partition.flushed(Offset(2));
    assert_eq!(partition.answers(), [(1, Ok(0)), (3, Ok(0))]);
    partition.append(4, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(partition.answers(), [(4, Ok(0))]);
    assert_eq!(partition.batches().len(), 2, "repeats are not appended");
}

/// trap 29
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
            log_append_time: true,
            now_ms,
        };
        partition.core.step(Event::Append(append), &mut effects);
    }
    partition.core.step(Event::Written(Offset(1)), &mut effects);
    while partition.core.turn(&|_| false, &mut effects) {}
    let times = effects.iter().filter_map(|effect| match effect {
        Effect::Reply(token, Ok(appended)) => Some((*token, appended.log_append_time)),
        _ => None,
    });
    assert_eq!(times.collect::<Vec<_>>(), [(1, 77), (2, 77)]);
}

/// trap 29
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

/// trap 34
#[test]
fn the_high_watermark_never_goes_back() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(3));
    partition.flushed(Offset(3));
    partition.flushed(Offset(1));
    assert_eq!(partition.high_watermark, 3);
}

#[test]
fn a_roll_goes_before_the_batch_and_its_snapshot_waits_until_durable() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    partition.room = 1;
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
    partition.flushed(Offset(1));
    assert!(partition.snapshots.is_empty());
    partition.flushed(Offset(2));
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
    partition.flushed(Offset(2));
    let (at, _) = Producers::restore(&partition.core.snapshot_at_close().unwrap()).unwrap();
    assert_eq!(at, Offset(2));
}

#[test]
fn a_log_that_did_not_grow_needs_no_new_snapshot() {
    assert_eq!(Partition::leading().core.snapshot_at_close(), None);
    let kept = Recovered {
        snapshot: Some(Offset(7)),
        ..ending_at(7)
    };
    let partition = Partition::recovered(kept, LeaderEpoch(0));
    assert_eq!(partition.core.snapshot_at_close(), None);
    let partition = Partition::recovered(ending_at(7), LeaderEpoch(0));
    assert!(partition.core.snapshot_at_close().is_some());
}

#[test]
fn under_write_caching_acks_all_waits_for_the_write_and_for_no_sync() {
    let mut partition = Partition::caching();
    partition.append(1, Acks::All, plain(2));
    partition.append(2, Acks::All, plain(1));
    assert_eq!(partition.answers(), [], "staged is not written");
    assert_eq!(partition.high_watermark, 0);
    partition.written(2);
    assert_eq!(partition.answers(), [(1, Ok(0))]);
    assert_eq!(partition.high_watermark, 2);
    partition.written(3);
    assert_eq!(partition.answers(), [(2, Ok(2))]);
    assert_eq!(partition.high_watermark, 3);
    partition.flushed(Offset(2));
    partition.flushed(Offset(3));
    assert_eq!(partition.high_watermark, 3, "a commit that comes later");
    assert_eq!(partition.answers(), [], "nothing is answered twice");
}

#[test]
fn write_caching_shows_nothing_before_the_vote_is_synced_and_the_no_op_committed() {
    let mut partition = Partition::campaigning(Recovered::default(), LeaderEpoch(0));
    partition.step(Event::WriteCaching(true));
    partition.append(1, Acks::All, plain(2));
    partition.written(2);
    assert!(!partition.core.answers_when_written());
    partition.sync_votes();
    partition.written(2);
    assert_eq!(partition.high_watermark, 0, "the no-op is not synced");
    partition.hand_in(Event::Durable(EntryIndex(1)));
    partition.turn();
    assert!(partition.core.answers_when_written());
    assert_eq!(partition.high_watermark, 2);
    assert_eq!(partition.answers(), [(1, Ok(0))]);
}

#[test]
fn write_caching_shows_nothing_more_once_another_voter_may_come() {
    let mut partition = Partition::caching();
    partition.append(1, Acks::All, plain(1));
    partition.written(1);
    partition.core.testing_propose_voter(ReplicaId::new(1, 2));
    partition.append(2, Acks::All, plain(1));
    partition.written(2);
    assert_eq!(partition.answers(), [(1, Ok(0))]);
    assert_eq!(partition.high_watermark, 1);
}

#[test]
fn a_log_start_and_a_snapshot_wait_for_the_commit_under_write_caching_too() {
    let mut partition = Partition::caching();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    partition.written(2);
    partition.sync_votes();
    partition.seen.clear();
    partition.step(Event::MoveLogStart(Offset(2)));
    let moved = partition.entries.last();
    assert!(matches!(moved, Some(Entry::LogStart { offset: Offset(2) })));
    partition.step(Event::Roll { now_ms: 5 });
    partition.written(2);
    assert!(partition.snapshots.is_empty());
    assert_eq!(partition.seen, [""; 0]);
    assert_eq!(partition.core.snapshot_at_close(), None, "not committed");
    partition.flushed(Offset(2));
    assert_eq!(partition.snapshots.len(), 1);
    partition.sync_votes();
    assert_eq!(partition.seen, ["window"]);
}

#[test]
fn a_repeat_is_answered_once_the_original_is_written_under_write_caching() {
    let mut partition = Partition::caching();
    partition.append(1, Acks::All, sequenced(7, 0, 0, 2));
    partition.append(2, Acks::All, sequenced(7, 0, 0, 2));
    assert_eq!(partition.answers(), []);
    partition.written(2);
    assert_eq!(partition.answers(), [(1, Ok(0)), (2, Ok(0))]);
}

#[test]
fn what_was_shown_stays_shown_when_its_sync_fails_and_nothing_more_is() {
    let mut partition = Partition::caching();
    partition.append(1, Acks::All, plain(2));
    partition.written(2);
    partition.append(2, Acks::All, plain(1));
    partition.hand_in(Event::Written(Offset(3)));
    partition.step(Event::WriteFailed);
    let closed = Err(AppendFailure::LogClosed);
    assert_eq!(partition.answers(), [(1, Ok(0)), (2, closed)]);
    assert_eq!(partition.high_watermark, 2);
    assert!(!partition.core.answers_when_written());
}

#[test]
fn write_caching_goes_on_and_off_while_it_leads() {
    let mut partition = Partition::leading();
    partition.append(1, Acks::All, plain(1));
    partition.written(1);
    assert_eq!(partition.answers(), []);
    partition.step(Event::WriteCaching(true));
    assert_eq!(partition.answers(), [(1, Ok(0))], "it is written");
    partition.append(2, Acks::All, plain(1));
    partition.written(2);
    partition.step(Event::WriteCaching(false));
    partition.append(3, Acks::All, plain(1));
    partition.written(3);
    assert_eq!(partition.answers(), [(2, Ok(1))]);
    partition.flushed(Offset(1));
    assert_eq!(partition.high_watermark, 2, "it does not go back");
    partition.flushed(Offset(3));
    assert_eq!(partition.answers(), [(3, Ok(2))]);
    assert_eq!(partition.high_watermark, 3);
}
