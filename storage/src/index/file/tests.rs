//! Index files: their bytes, what damage does to them, and going on from a part.

use super::*;
use crate::fs::MemoryDisk;
use crate::index::{AbortedTransaction, ControlPlace};
use crate::record::{BatchBuilder, BatchHeader, Compression, MarkerKind};
use crate::segment::format::ControlKind;

const PATH: &str = "/log/x.index";

const HEAD: &str = "4852494e44455803 0000000000000005 0000000000000003 00000007 191be6ce";
const FIRST_PART: &str = "01 000000ce 0000000000000000 00000000000000dc \
    0000000000000006 0000000000000004 00000002 0000000000000001 \
    0000000000000078 0000000000000078 0000000000000032 0000000000000032 \
    00000001 0000000000000009 0000000000000005 \
    00000001 00000002 0000000000000005 0000000000000003 \
    00000001 0000000000000005 0000000000000004 0000000000000078 8000000000000000 \
    00000002 0000000000000000 0000001f 0000000000000003 01 \
             0000000000000059 0000001f 0000000000000003 03 \
    00000000 766af913";
const SECOND_PART: &str = "01 000000dd 00000000000000dc 000000000000019b \
    0000000000000008 0000000000000007 00000002 0000000000000001 \
    000000000000017c 000000000000012c 0000000000000032 0000000000000032 \
    00000001 0000000000000009 0000000000000007 \
    00000000 \
    00000002 0000000000000006 0000000000000005 00000000000000dc 0000000000000032 \
             0000000000000007 0000000000000006 000000000000012c 0000000000000032 \
    00000001 000000000000017c 0000001f 0000000000000007 04 \
    00000001 0000000000000009 0000000000000005 0000000000000006 4bab7e43";
const SEALED: &str = "02 00000079 0000000000000005 0000000000000003 00000007 \
    000000000000019b 000000000000017c \
    0000000000000008 0000000000000007 00000002 0000000000000001 \
    0000000000000032 03 \
    00000001 00000002 0000000000000005 0000000000000003 \
    00000001 0000000000000009 0000000000000007 \
    00000082 5b70085d";

fn name() -> SegmentName {
    SegmentName {
        base_offset: Offset(5),
        base_index: EntryIndex(3),
        header_crc: 7,
    }
}

fn tail(offset: i64, index: u64) -> Tail {
    Tail {
        offset: Offset(offset),
        index: EntryIndex(index),
        epoch: LeaderEpoch(2),
        log_start: Offset(1),
    }
}

fn batch(offset: i64, time: i64, attributes: i16) -> BatchHeader {
    let mut builder = BatchBuilder::new(Compression::None).producer(9, 0, 0);
    builder.push(time, None, Some(b"value"), &[]);
    let mut header = *builder.build().header();
    header.base_offset = Offset(offset);
    header.attributes |= attributes;
    header
}

fn place(position: u64, index: u64, kind: ControlKind) -> ControlPlace {
    ControlPlace {
        position,
        size_bytes: 31,
        index: EntryIndex(index),
        kind,
    }
}

/// A segment of a header, a membership, and `batches` batches of a transaction that is then aborted.
fn first_part(batches: i64) -> Pending {
    let mut builder = IndexBuilder::new(0, OpenTransactions::default());
    builder.control(place(0, 3, ControlKind::SegmentHeader));
    builder.control(place(89, 3, ControlKind::Membership));
    for at in 0..batches {
        let position = 120 + 100 * at.unsigned_abs();
        let index = EntryIndex(4 + at.unsigned_abs());
        builder.batch(&batch(5 + at, 50 + at, 0x10), index, position, None);
    }
    let run = EpochRun {
        epoch: LeaderEpoch(2),
        start: Offset(5),
        index: EntryIndex(3),
    };
    Pending {
        path: PathBuf::from(PATH),
        name: name(),
        kept: Kept::default(),
        builder,
        runs: vec![run],
        end: 120 + 100 * batches.unsigned_abs(),
        tail: tail(5 + batches, 3 + batches.unsigned_abs()),
        roll_position: None,
    }
}

/// What follows it up to the ROLL.
fn last_part(first: &Pending, kept: Kept) -> Pending {
    let mut pending = first.clone();
    pending.kept = kept;
    let Tail { offset, index, .. } = first.tail;
    let marker = batch(offset.0, 40, 0x30);
    let abort = Some(MarkerKind::Abort);
    let builder = &mut pending.builder;
    builder.batch(&marker, index.next(), first.end, abort);
    let open = batch(offset.0 + 1, 41, 0x10);
    builder.batch(&open, EntryIndex(index.0 + 2), first.end + 80, None);
    builder.control(place(first.end + 160, index.0 + 3, ControlKind::Roll));
    pending.end += 191;
    pending.tail = tail(offset.0 + 2, index.0 + 3);
    pending.roll_position = Some(first.end + 160);
    pending
}

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new("/log")).unwrap();
    disk
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn whole(disk: &MemoryDisk) -> Vec<u8> {
    disk.bytes_of(Path::new(PATH)).unwrap()
}

#[test]
fn parts_and_seal_are_their_golden_bytes_and_read_back() {
    let disk = disk();
    let first = first_part(1);
    let kept = first.write(&disk).unwrap();
    let golden = |parts: &[&str]| parts.concat().replace(' ', "");
    assert_eq!(hex(&whole(&disk)), golden(&[HEAD, FIRST_PART]));
    assert_eq!(read_summary(&disk, Path::new(PATH)), None);

    let last = last_part(&first, kept);
    last.write(&disk).unwrap();
    let bytes = whole(&disk);
    assert_eq!(
        hex(&bytes),
        golden(&[HEAD, FIRST_PART, SECOND_PART, SEALED])
    );
    let summary = read_summary(&disk, Path::new(PATH)).unwrap();
    assert_eq!(summary.name, name());
    assert_eq!(
        (summary.segment_bytes, summary.roll_position),
        (last.end, 380)
    );
    assert_eq!(summary.tail, last.tail);
    assert_eq!((summary.max_timestamp, summary.has_memberships), (50, true));
    assert_eq!(summary.runs, last.runs);
    assert_eq!(summary.transactions.earliest_open, Some(Offset(7)));
    assert!(summary.transactions.any_aborted);
    let index = read_index(&disk, Path::new(PATH)).unwrap();
    assert_eq!(&index, last.builder.index());
    let aborted: Vec<_> = index.aborted().iter().copied().collect();
    let expected = AbortedTransaction {
        producer_id: 9,
        first_offset: Offset(5),
        last_offset: Offset(6),
    };
    assert_eq!(aborted, [expected]);
}

#[test]
fn file_written_at_once_reads_as_one_written_in_parts() {
    let (in_parts, at_once) = (disk(), disk());
    let first = first_part(70);
    let kept = first.write(&in_parts).unwrap();
    last_part(&first, kept).write(&in_parts).unwrap();
    last_part(&first, Kept::default()).write(&at_once).unwrap();
    let read = |disk: &MemoryDisk| {
        let path = Path::new(PATH);
        (
            read_summary(disk, path).unwrap(),
            read_index(disk, path).unwrap(),
        )
    };
    assert_eq!(read(&in_parts), read(&at_once));
}

#[test]
fn every_damaged_or_lost_byte_is_noticed() {
    let disk = disk();
    let path = Path::new(PATH);
    let first = first_part(70);
    let kept = first.write(&disk).unwrap();
    let first_bytes = whole(&disk).len();
    let last = last_part(&first, kept);
    last.write(&disk).unwrap();
    let written = whole(&disk);
    for at in 0..written.len() {
        disk.damage(path, |bytes| bytes[at] ^= 0x10);
        assert!(read_index(&disk, path).is_none(), "byte {at}");
        let resumed = resume(&disk, path, &name(), 0, |_| true);
        assert_eq!(resumed.is_some(), at >= first_bytes, "byte {at}");
        disk.damage(path, |bytes| bytes.clone_from(&written));
    }
    for cut in 0..written.len() {
        disk.damage(path, |bytes| bytes.truncate(cut));
        assert!(read_index(&disk, path).is_none(), "cut at {cut}");
        assert!(read_summary(&disk, path).is_none(), "cut at {cut}");
        disk.damage(path, |bytes| bytes.clone_from(&written));
    }
}

#[test]
fn index_without_a_seal_is_read_only_by_who_asks_for_one_and_only_if_whole() {
    let disk = disk();
    let path = Path::new(PATH);
    let first = first_part(70);
    first.write(&disk).unwrap();
    assert_eq!(read_index(&disk, path), None);
    let read = read_unsealed(&disk, path).unwrap();
    assert_eq!(&read, first.builder.index());
    let written = whole(&disk);
    for at in 0..written.len() {
        disk.damage(path, |bytes| bytes[at] ^= 0x10);
        assert!(read_unsealed(&disk, path).is_none(), "byte {at}");
        disk.damage(path, |bytes| bytes.clone_from(&written));
    }
    for cut in 0..written.len() {
        disk.damage(path, |bytes| bytes.truncate(cut));
        assert!(read_unsealed(&disk, path).is_none(), "cut at {cut}");
        disk.damage(path, |bytes| bytes.clone_from(&written));
    }
}

#[test]
fn building_goes_on_from_the_last_part_that_is_wanted() {
    let disk = disk();
    let path = Path::new(PATH);
    let first = first_part(70);
    let kept = first.write(&disk).unwrap();
    let last = last_part(&first, kept);
    last.write(&disk).unwrap();
    let upto = |index: u64| {
        let wanted = |end: &PartEnd| end.tail.index <= EntryIndex(index);
        resume(&disk, path, &name(), 0, wanted)
    };
    assert!(upto(first.tail.index.0 - 1).is_none());
    let resumed = upto(first.tail.index.0).unwrap();
    assert_eq!(resumed.builder.index(), first.builder.index());
    assert_eq!(resumed.builder.state(), first.builder.state());
    assert_eq!((resumed.end, resumed.tail), (first.end, first.tail));
    assert_eq!((&resumed.runs, resumed.kept), (&first.runs, kept));
    let resumed = upto(last.tail.index.0).unwrap();
    assert_eq!(resumed.builder.index(), last.builder.index());
    let other = SegmentName {
        header_crc: 8,
        ..name()
    };
    assert!(resume(&disk, path, &other, 0, |_| true).is_none());
}

#[test]
fn what_a_failed_write_left_behind_a_part_is_replaced() {
    let disk = disk();
    let first = first_part(70);
    let kept = first.write(&disk).unwrap();
    disk.damage(Path::new(PATH), |bytes| bytes.extend([PART; 10_000]));
    last_part(&first, kept).write(&disk).unwrap();
    assert!(read_index(&disk, Path::new(PATH)).is_some());
}
