//! The rules, one by one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use headrace_storage::compaction::{CleaningError, KeyMapBudget, Throttle, Tools, clean};
use headrace_storage::record::{MarkerKind, batches};
use headrace_storage::{Batch, BatchBuilder, Compression, Entry, LeaderEpoch, Offset};

use crate::bench::{Bench, CODECS, Clock};

fn pairs(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    let pairs = expected.iter();
    pairs
        .map(|(offset, key)| (*offset, (*key).to_owned()))
        .collect()
}

#[test]
fn newest_record_of_each_key_stays_at_its_offset() {
    let mut bench = Bench::new();
    bench.put(&[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    bench.put(&[("c", Some("1"))]);
    bench.roll();
    bench.put(&[("b", Some("2")), ("d", Some("1"))]);
    bench.roll();
    bench.put(&[("a", Some("3"))]);
    bench.settle();
    let metrics = bench.clean();
    let expected = [(2, "a"), (3, "c"), (4, "b"), (5, "d"), (6, "a")];
    assert_eq!(
        bench.keys(),
        pairs(&expected),
        "the active segment is no part of it"
    );
    assert_eq!((metrics.dropped_superseded, metrics.records_kept), (2, 4));
    assert_eq!(bench.log.segments().len(), 1, "two segments became one");
    assert!(bench.try_clean().is_none(), "nothing is dirty");
    bench.reopen();
    assert_eq!(bench.keys(), pairs(&expected));
    assert!(
        bench.try_clean().is_none(),
        "how far it was cleaned is in the files"
    );
}

#[test]
fn tombstone_stays_until_its_horizon() {
    let mut bench = Bench::new();
    bench.put(&[("a", Some("1")), ("b", Some("1"))]);
    bench.roll();
    bench.put(&[("a", None)]);
    bench.put(&[("c", Some("1"))]);
    bench.roll();
    bench.clean();
    assert_eq!(bench.keys(), pairs(&[(1, "b"), (2, "a"), (3, "c")]));
    for (later_ms, stays) in [(999, true), (1, false)] {
        bench.now_ms += later_ms;
        bench.put(&[("x", Some("1"))]);
        bench.roll();
        let metrics = bench.clean();
        let tombstones: Vec<_> = bench
            .records()
            .into_iter()
            .filter(|of| of.2.is_none())
            .collect();
        assert_eq!(tombstones.len(), usize::from(stays));
        assert_eq!(metrics.dropped_tombstones, u64::from(!stays));
    }
}

#[test]
fn horizon_takes_the_place_of_the_base_timestamp_and_no_time_changes() {
    for codec in CODECS {
        let mut bench = Bench::new();
        bench.put(&[("b", Some("1"))]);
        bench.roll();
        let mut builder = BatchBuilder::new(codec);
        for (time, key, value) in [
            (5_i64, "a", None),
            (900, "b", Some("2")),
            (70, "c", Some("3")),
        ] {
            builder.push(time, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        }
        bench.append_batch(builder.build());
        bench.roll();
        bench.clean();
        let view = bench.log.reader().view();
        let chunks = view
            .read(Offset(0), view.log_end(), usize::MAX, true)
            .unwrap();
        let bytes = chunks.iter().map(|chunk| chunk.to_bytes().unwrap());
        let batches = bytes.flat_map(batches);
        let batches: Vec<Batch> = batches.map(Result::unwrap).collect();
        let header = batches[0].header();
        assert!(header.has_delete_horizon());
        assert_eq!(header.base_timestamp, bench.now_ms + 1000);
        assert_eq!((header.max_timestamp, header.base_offset), (900, Offset(1)));
        assert_eq!(batches[0].compression(), codec);
        let records = batches[0].records(1 << 20).unwrap();
        let times: Vec<i64> = records.iter().map(|record| record.timestamp).collect();
        assert_eq!(times, [5, 900, 70]);
    }
}

#[test]
fn tombstone_stays_while_what_it_deletes_may_hide_in_a_batch_that_is_too_large() {
    let mut bench = Bench::new();
    bench.config.decompressed_bytes_max = 1000;
    bench.config.segment_bytes_max = 1;
    let large = "v".repeat(2000);
    let zstd = BatchBuilder::new(Compression::Zstd);
    bench.append(zstd, &[("a", Some(&large))]);
    bench.roll();
    bench.put(&[("a", None), ("b", None)]);
    bench.roll();
    bench.clean();
    for cancelled_after in [0, 1] {
        bench.now_ms += 1001;
        bench.put(&[("x", Some("1"))]);
        bench.roll();
        if cancelled_after > 0 {
            // the large batch lies in a group that is passed by when the cleaning is gone on with
            bench.clean_upto(cancelled_after);
        }
        let metrics = bench.clean();
        assert_eq!(metrics.groups_skipped, cancelled_after);
        assert_eq!(metrics.dropped_tombstones, 0);
        assert_eq!(bench.keys()[..3], pairs(&[(0, "a"), (1, "a"), (2, "b")]));
    }
}

fn transactional(producer: i64, sequence: i32) -> BatchBuilder {
    BatchBuilder::new(Compression::None)
        .producer(producer, 0, sequence)
        .transactional()
}

#[test]
fn marker_stays_until_its_data_is_gone_and_then_up_to_a_horizon() {
    let mut bench = Bench::new();
    bench.append(transactional(7, 0), &[("a", Some("1"))]);
    bench.append(transactional(7, 1), &[("b", Some("1"))]);
    bench.end_transaction(7, MarkerKind::Abort);
    bench.append(
        BatchBuilder::new(Compression::None).producer(7, 0, 2),
        &[("b", Some("2"))],
    );
    bench.roll();
    let control_batches = |bench: &Bench| {
        let mut markers = Vec::new();
        bench
            .log
            .replay(Offset(0), &mut |header| {
                if header.is_control() {
                    markers.push((header.base_offset.0, header.has_delete_horizon()));
                }
            })
            .unwrap();
        markers
    };
    let metrics = bench.clean();
    assert_eq!(metrics.dropped_aborted, 2);
    assert_eq!(bench.keys(), pairs(&[(3, "b")]));
    assert_eq!(control_batches(&bench), [(2, false)], "its data was there");
    for (later_ms, expected) in [(0, vec![(2, true)]), (999, vec![(2, true)]), (1, vec![])] {
        bench.now_ms += later_ms;
        bench.put(&[("x", Some("1"))]);
        bench.roll();
        bench.clean();
        assert_eq!(control_batches(&bench), expected);
    }
}

#[test]
fn last_batch_of_a_producer_stays_as_a_header() {
    let mut bench = Bench::new();
    let producer = |sequence| BatchBuilder::new(Compression::Zstd).producer(9, 3, sequence);
    bench.append(producer(0), &[("a", Some("1"))]);
    bench.append(producer(1), &[("a", Some("2")), ("b", Some("1"))]);
    bench.put(&[("a", Some("3")), ("b", Some("2"))]);
    bench.put(&[("c", Some("1"))]);
    bench.roll();
    bench.clean();
    let mut found = Vec::new();
    bench
        .log
        .replay(Offset(0), &mut |header| found.push(*header))
        .unwrap();
    assert_eq!(found.len(), 3);
    let kept = found[0];
    assert_eq!(
        (kept.base_offset, kept.last_offset()),
        (Offset(1), Offset(2))
    );
    assert_eq!(
        (
            kept.record_count,
            kept.producer_id,
            kept.producer_epoch,
            kept.base_sequence
        ),
        (0, 9, 3, 1)
    );
    assert_eq!(bench.keys(), pairs(&[(3, "a"), (4, "b"), (5, "c")]));
    let job = bench.log.begin_cleaning(&bench.config, bench.now_ms);
    assert!(job.is_none());
    bench.put(&[("c", Some("2"))]);
    bench.roll();
    let job = bench
        .log
        .begin_cleaning(&bench.config, bench.now_ms)
        .unwrap();
    let job = job.with_producers(HashSet::from([1]));
    let clock = Clock::at(bench.now_ms);
    let tools = Tools {
        budget: &bench.budget,
        throttle: &Throttle::new(Some(100)),
        clock: &clock,
        cancelled: &AtomicBool::new(false),
        seed: 7,
    };
    let cleaned = clean(job, &tools, &mut |swap| bench.log.swap_cleaned(swap));
    cleaned.result.as_ref().unwrap();
    bench.log.finish_cleaning(cleaned);
    let mut headers = 0;
    bench
        .log
        .replay(Offset(0), &mut |header| {
            headers += i32::from(header.record_count == 0);
        })
        .unwrap();
    assert_eq!(headers, 0, "nobody asks for that producer any more");
}

#[test]
fn nothing_past_last_stable_or_first_index_is_cleaned() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.put(&[("a", Some("1"))]);
        let at_ms = bench.now_ms;
        bench.entry(Entry::Roll { at_ms });
    }
    bench.log.write().unwrap();
    while let Some(point) = bench.log.sync_point() {
        bench.log.synced(point.run()).unwrap();
    }
    assert!(bench.try_clean().is_none());
    bench.log.set_marks(Offset(3), Offset(2));
    assert!(
        bench.try_clean().is_none(),
        "the consensus layer may ask for all"
    );
    bench.log.commit(bench.log.last_index());
    bench.log.raise_first_index(bench.log.last_index().next());
    bench.clean();
    let ends: Vec<i64> = bench
        .log
        .segments()
        .iter()
        .map(|of| of.end_offset.0)
        .collect();
    assert_eq!(ends, [2, 3]);
    assert!(bench.try_clean().is_none());
}

#[test]
fn lags_and_ratio_decide_when() {
    let mut bench = Bench::new();
    bench.put(&[("a", Some("1"))]);
    bench.roll();
    bench.clean();
    bench.put(&[("a", Some("2"))]);
    bench.roll();
    bench.config.dirty_ratio_min = 0.9;
    assert!(bench.try_clean().is_none(), "too little is dirty");
    bench.config.lag_ms_max = 100;
    assert!(bench.try_clean().is_none(), "and it is young");
    bench.now_ms += 101;
    bench.config.lag_ms_min = 102;
    assert!(bench.try_clean().is_none(), "too young");
    bench.config.lag_ms_min = 101;
    bench.clean();
    assert_eq!(bench.keys(), pairs(&[(1, "a")]));
}

#[test]
fn more_keys_than_the_map_holds_take_several_passes() {
    let mut bench = Bench::new();
    bench.budget = KeyMapBudget::new(24 * 5);
    for round in 0..3 {
        for key in 0..10 {
            bench.put(&[(&format!("k{key}"), Some(&format!("v{round}")))]);
        }
        bench.roll();
    }
    let metrics = bench.clean();
    assert!(metrics.passes > 5, "{metrics:?}");
    assert_eq!(metrics.keys, 4);
    let kept: Vec<i64> = bench.records().iter().map(|of| of.0).collect();
    assert_eq!(kept, (20..30).collect::<Vec<_>>());
}

#[test]
fn cleaning_is_cancelled_and_gone_on_with() {
    let mut bench = Bench::new();
    bench.config.segment_bytes_max = 1;
    for round in 0..5 {
        bench.put(&[("a", Some("1")), ("b", Some("1"))]);
        bench.put(&[("c", Some(&format!("v{round}")))]);
        bench.roll();
    }
    let job = bench
        .log
        .begin_cleaning(&bench.config, bench.now_ms)
        .unwrap();
    assert!(
        bench
            .log
            .begin_cleaning(&bench.config, bench.now_ms)
            .is_none(),
        "one at a time"
    );
    let clock = Clock::at(bench.now_ms);
    let cancelled = AtomicBool::new(false);
    let tools = Tools {
        budget: &bench.budget,
        throttle: &Throttle::new(None),
        clock: &clock,
        cancelled: &cancelled,
        seed: 7,
    };
    let mut swaps = 0;
    let cleaned = clean(job, &tools, &mut |swap| {
        swaps += 1;
        cancelled.store(swaps == 2, Ordering::Relaxed);
        bench.log.swap_cleaned(swap)
    });
    assert!(matches!(cleaned.result, Err(CleaningError::Cancelled)));
    assert_eq!(bench.log.finish_cleaning(cleaned).groups, 2);
    bench.reopen();
    let metrics = bench.clean();
    assert_eq!((metrics.groups, metrics.groups_skipped), (3, 2));
    assert_eq!(bench.keys(), pairs(&[(12, "a"), (13, "b"), (14, "c")]));
}

#[test]
fn records_without_a_key_and_below_the_log_start_go() {
    let mut bench = Bench::new();
    bench.put(&[("a", Some("1")), ("b", Some("1"))]);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(5, None, Some(b"x"), &[]);
    bench.append_batch(builder.build());
    bench.entry(Entry::LogStart { offset: Offset(1) });
    bench.entry(Entry::NoOp {
        term: LeaderEpoch(4),
    });
    bench.put(&[("c", Some("1"))]);
    bench.roll();
    let metrics = bench.clean();
    assert_eq!(
        (metrics.dropped_without_key, metrics.dropped_below_start),
        (1, 1)
    );
    assert_eq!(bench.keys(), pairs(&[(1, "b"), (3, "c")]));
    bench.reopen();
    assert_eq!(bench.log.log_start(), Offset(1));
    let view = bench.log.reader().view();
    assert_eq!(
        view.end_offset_for_epoch(LeaderEpoch(0)),
        Some((LeaderEpoch(0), Offset(3)))
    );
    assert_eq!(view.epoch(), LeaderEpoch(4));
}
