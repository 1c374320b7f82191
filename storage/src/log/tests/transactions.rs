//! Aborted transactions, against a plain list: while writing, after a restart, without indexes, truncated.

use super::*;
use crate::index::AbortedTransaction;
use crate::record::{ControlMarker, MarkerKind};

const PRODUCERS: i64 = 5;

/// Writes transactions of several producers into each other, over several segments; gives what is aborted.
fn write(log: &mut Log, steps: i64) -> Vec<AbortedTransaction> {
    let mut aborted = Vec::new();
    let mut open = [None; 5];
    for step in 0..steps {
        let producer_id = (step * step + step / 3) % PRODUCERS;
        let place = usize::try_from(producer_id).unwrap();
        let offset = log.next_offset();
        let builder = BatchBuilder::new(Compression::None).producer(producer_id, 0, 0);
        let kind = match step % 13 {
            4 => Some(MarkerKind::Abort),
            9 => Some(MarkerKind::Commit),
            _ => None,
        };
        let mut batch = if let Some(kind) = kind {
            let marker = ControlMarker {
                kind,
                coordinator_epoch: 0,
            };
            let first: Option<Offset> = open[place].take();
            if let (Some(first_offset), MarkerKind::Abort) = (first, kind) {
                aborted.push(AbortedTransaction {
                    producer_id,
                    first_offset,
                    last_offset: offset,
                });
            }
            builder.control(marker, step).build()
        } else {
            open[place] = open[place].or(Some(offset));
            let mut builder = builder.transactional();
            builder.push(step, None, Some(b"value"), &[]);
            builder.push(step, None, Some(b"value"), &[]);
            builder.build()
        };
        batch.stamp(offset, log.epoch());
        log.append(Entry::Batch(batch)).unwrap();
        if step % 17 == 16 {
            log.append(Entry::Roll { at_ms: step }).unwrap();
        }
    }
    settle(log);
    aborted
}

fn check(log: &Log, aborted: &[AbortedTransaction]) {
    let view = log.reader().view();
    for from in 0..=view.log_end().0 {
        for upto in [from + 1, from + 9, from + 60, view.log_end().0] {
            let (from, upto) = (Offset(from), Offset(upto));
            let overlaps = |transaction: &&AbortedTransaction| {
                transaction.last_offset >= from && transaction.first_offset < upto
            };
            let expected: Vec<_> = aborted.iter().filter(overlaps).copied().collect();
            let found = view.aborted_transactions(from, upto).unwrap();
            assert_eq!(found, expected, "{from} to {upto}");
        }
    }
}

fn begun(disk: &MemoryDisk) -> Log {
    let mut log = open(disk).unwrap();
    let term = LeaderEpoch(1);
    log.append(Entry::NoOp { term }).unwrap();
    log
}

#[test]
fn aborted_transactions_are_found_however_the_index_came_about() {
    let disk = MemoryDisk::new();
    let mut log = begun(&disk);
    let aborted = write(&mut log, 150);
    assert!(aborted.len() > 5 && log.segments().len() == 8);
    let spans = |transaction: &AbortedTransaction| {
        let segments = log.segments();
        let inside = |segment: &&SegmentInfo| segment.end_offset <= transaction.first_offset;
        let holds = segments.iter().filter(inside).count();
        segments[holds].end_offset <= transaction.last_offset
    };
    assert!(aborted.iter().any(spans), "one reaches over a roll");
    check(&log, &aborted);
    drop(log);
    check(&open(&disk).unwrap(), &aborted);
    for path in segment_paths(&disk) {
        drop(disk.remove(&path.with_extension("index")));
    }
    check(&open(&disk).unwrap(), &aborted);
    let log = open(&disk).unwrap();
    for path in segment_paths(&disk) {
        drop(disk.remove(&path.with_extension("index")));
    }
    check(&log, &aborted);
}

#[test]
fn truncation_takes_back_the_aborted_and_reopens_the_open() {
    let disk = MemoryDisk::new();
    let mut log = begun(&disk);
    let aborted = write(&mut log, 150);
    let all_batches = all(&log);
    let segments = log.segments();
    let ends = segments.iter().rev().map(|segment| segment.last_index);
    let inside = segments.iter().rev().map(|segment| segment.base_index);
    let mut places: Vec<EntryIndex> = ends.chain(inside).collect();
    places.extend(places.clone().iter().map(|index| EntryIndex(index.0 + 7)));
    places.sort_unstable();
    for last in places.into_iter().rev() {
        if last >= log.last_index() {
            continue;
        }
        log.truncate(last, &mut |_| Ok(())).unwrap();
        let end = log.log_end();
        let left: Vec<_> = aborted
            .iter()
            .filter(|transaction| transaction.last_offset < end)
            .copied()
            .collect();
        check(&log, &left);
        // what was open there is aborted by a marker after the truncation
        let before = all_batches.iter().filter(|batch| batch.last_offset() < end);
        let open = before.fold(None, |open: Option<Offset>, batch| {
            match (batch.header().producer_id, batch.is_control()) {
                (0, true) => None,
                (0, false) => open.or(Some(batch.base_offset())),
                _ => open,
            }
        });
        let marker = ControlMarker {
            kind: MarkerKind::Abort,
            coordinator_epoch: 0,
        };
        let builder = BatchBuilder::new(Compression::None).producer(0, 0, 0);
        let mut batch = builder.control(marker, 1).build();
        batch.stamp(end, log.epoch());
        log.append(Entry::Batch(batch)).unwrap();
        settle(&mut log);
        let expected = open.map(|first_offset| AbortedTransaction {
            producer_id: 0,
            first_offset,
            last_offset: end,
        });
        let view = log.reader().view();
        let found = view.aborted_transactions(end, log.log_end()).unwrap();
        assert_eq!(found.first().copied(), expected);
        let last = EntryIndex(log.last_index().0 - 1);
        log.truncate(last, &mut |_| Ok(())).unwrap();
    }
}
