//! Control frames, byte for byte: the format on disk must never change by accident.
//!
//! Each golden text is the frame in hexadecimal, fields apart; it is both written and read.

use bytes::Bytes;
use uuid::Uuid;

use super::format::*;
use crate::log::LogIdentity;
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::record::{BatchBuilder, Compression};

const HEADER: &str = "\
    0000000000000102 0000004d 00000007 7f 15b6af36 01 00 0000000000000203 \
    0001 000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f 00000005 \
    0000000000000042 0000018bcfe56800 deadbeef";
const NO_OP: &str = "0000000000000102 00000013 00000007 7f 9197cbb9 02 00 0000000000000203";
const MEMBERSHIP: &str =
    "0000000000000102 00000019 00000007 7f 62d97f8e 03 00 0000000000000203 766f74657273";
const ROLL: &str =
    "0000000000000102 0000001b 00000007 7f b2b531e2 04 00 0000000000000203 0000018bcfe56800";
const LOG_START: &str =
    "0000000000000102 0000001b 00000007 7f 8c09ca02 05 00 0000000000000203 0000000000000042";

fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
        topic_id: Uuid::from_u128(0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1f),
        partition: 5,
    }
}

fn seed() -> Seed {
    Seed::new(&identity(), EntryIndex(0x0200))
}

fn frames() -> Vec<(&'static str, ControlFrame)> {
    let header = SegmentHeader {
        identity: identity(),
        log_start: Offset(0x42),
        created_ms: 1_700_000_000_000,
        previous_crc: 0xdead_beef,
    };
    let controls = [
        (HEADER, Control::SegmentHeader(header)),
        (NO_OP, Control::NoOp),
        (
            MEMBERSHIP,
            Control::Membership(Bytes::from_static(b"voters")),
        ),
        (
            ROLL,
            Control::Roll {
                at_ms: 1_700_000_000_000,
            },
        ),
        (LOG_START, Control::LogStart(Offset(0x42))),
    ];
    let frame = |control| ControlFrame {
        offset: Offset(0x0102),
        epoch: LeaderEpoch(7),
        index: EntryIndex(0x0203),
        control,
    };
    controls
        .into_iter()
        .map(|(golden, control)| (golden, frame(control)))
        .collect()
}

fn bytes_of(golden: &str) -> Vec<u8> {
    let digits: Vec<u8> = golden
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let text = |pair: &[u8]| std::str::from_utf8(pair).unwrap().to_owned();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&text(pair), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

#[test]
fn every_kind_is_written_as_its_golden_bytes_and_read_back() {
    for (golden, frame) in frames() {
        let written = write_control(&frame, seed());
        assert_eq!(hex(&written), hex(&bytes_of(golden)), "{:?}", frame.control);
        let head = read_head(&written[..written.len().min(HEAD_BYTES)]).unwrap();
        assert_eq!(head.size_bytes(), as_u64(written.len()));
        assert_eq!(head.base_offset(), Offset(0x0102));
        assert_eq!(read_control(&bytes_of(golden), seed()), Ok(frame));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for (golden, frame) in frames() {
        let whole = bytes_of(golden);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(
                read_control(&damaged, seed()),
                Ok(frame.clone()),
                "bit {bit}"
            );
        }
        for cut in 0..whole.len() {
            assert_eq!(
                read_control(&whole[..cut], seed()),
                Err(ControlError::Crc),
                "cut {cut}"
            );
        }
    }
}

#[test]
fn frame_of_another_segment_or_log_is_not_sound_but_a_header_is_recognised() {
    let others = [
        Seed::new(&identity(), EntryIndex(0x0201)),
        Seed::new(
            &LogIdentity {
                partition: 6,
                ..identity()
            },
            EntryIndex(0x0200),
        ),
        Seed::new(
            &LogIdentity {
                topic_id: Uuid::nil(),
                ..identity()
            },
            EntryIndex(0x0200),
        ),
    ];
    for (golden, frame) in frames() {
        for seed in others {
            let read = read_control(&bytes_of(golden), seed);
            match frame.control {
                Control::SegmentHeader(_) => assert_eq!(read, Ok(frame.clone())),
                _ => assert_eq!(read, Err(ControlError::Crc)),
            }
        }
    }
}

/// Makes a sound frame of any kind and version out of a no-op.
fn reworked(kind: u8, version: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = bytes_of(NO_OP);
    bytes.extend_from_slice(payload);
    bytes[21] = kind;
    bytes[22] = version;
    let length = u8::try_from(bytes.len() - PREFIX_BYTES).unwrap();
    bytes[11] = length;
    let crc = crc32c::crc32c(identity().topic_id.as_bytes());
    let crc = crc32c::crc32c_append(crc, &5_i32.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &0x0200_u64.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &bytes[..17]);
    let crc = crc32c::crc32c_append(crc, &bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn reserved_and_unknown_kinds_and_versions_are_refused() {
    for kind in (0..=255).filter(|kind| !(1..=5).contains(kind)) {
        let refused = Err(ControlError::Unknown { kind, version: 0 });
        assert_eq!(read_control(&reworked(kind, 0, b"x"), seed()), refused);
    }
    let refused = Err(ControlError::Unknown {
        kind: 2,
        version: 1,
    });
    assert_eq!(read_control(&reworked(2, 1, b""), seed()), refused);
    for (kind, payload) in [(2, &b"x"[..]), (4, b"1234567"), (5, b"123456789")] {
        let refused = Err(ControlError::Payload { kind });
        assert_eq!(read_control(&reworked(kind, 0, payload), seed()), refused);
    }
}

#[test]
fn heads_of_batches_and_nonsense_are_told_apart() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(1, None, Some(b"value"), &[]);
    let batch = builder.build().to_bytes();
    assert!(matches!(read_head(&batch), Ok(Head::Batch(header)) if header.record_count == 1));
    assert!(read_head(&batch[..HEAD_BYTES - 1]).is_err());
    for (at, byte) in [(16, 1), (16, 0), (8, 0xFF), (11, 48)] {
        let mut wrong = batch.to_vec();
        wrong[at] = byte;
        let head = read_head(&wrong);
        assert!(
            head.is_err() || head.unwrap().size_bytes() != as_u64(batch.len()),
            "byte {at}"
        );
    }
    assert!(read_head(&[0; HEAD_BYTES]).is_err());
    assert!(read_head(&[]).is_err());
}
