//! What a client's batch must be before it may enter a log.
//!
//! One v2 batch, whole and undamaged, small enough, and fit for the topic's settings. The records of a
//! compressed batch are looked at only where a setting needs them (see docs/compatibility.md).

use std::time::Duration;

use headrace_protocol::{ErrorCode, Records};
use headrace_storage::record::{Batch, BatchBuilder, BatchError, Compression, Record};

use crate::error::batch_code;
use crate::partition::AppendFailure;
use crate::topic_config::TopicConfig;

/// The first version of Produce whose clients know zstd.
const ZSTD_FROM_VERSION: i16 = 7;

/// The timestamp of a record that has none.
const NO_TIMESTAMP: i64 = -1;

/// Why a partition's records were not appended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// The code.
    pub(super) code: ErrorCode,
    /// A text for people.
    pub(super) message: Option<String>,
    /// The records that are to blame, by their place in the batch.
    pub(super) records: Vec<(i32, &'static str)>,
}

impl From<ErrorCode> for Rejected {
    fn from(code: ErrorCode) -> Rejected {
        Rejected {
            code,
            message: None,
            records: Vec::new(),
        }
    }
}

impl From<AppendFailure> for Rejected {
    fn from(failure: AppendFailure) -> Rejected {
        rejected(failure.code(), failure.to_string())
    }
}

impl From<BatchError> for Rejected {
    fn from(error: BatchError) -> Rejected {
        rejected(batch_code(&error), error.to_string())
    }
}

fn rejected(code: ErrorCode, message: impl Into<String>) -> Rejected {
    Rejected {
        code,
        message: Some(message.into()),
        records: Vec::new(),
    }
}

/// Makes the batch that is to be appended from what a partition of the request holds.
pub(super) fn check(
    records: Option<Records>,
    config: &TopicConfig,
    version: i16,
    now_ms: i64,
) -> Result<Batch, Rejected> {
    let bytes = records.unwrap_or_default().into_bytes();
    let bytes = bytes.map_err(|error| rejected(ErrorCode::CORRUPT_MESSAGE, error.to_string()))?;
    if bytes.is_empty() {
        return Err(rejected(ErrorCode::INVALID_RECORD, "no record batch"));
    }
    let batch = Batch::check(bytes)?;
    check_header(&batch)?;
    check_times(&batch, config, now_ms)?;
    if batch.compression() == Compression::Zstd && version < ZSTD_FROM_VERSION {
        let message = "zstd needs Produce version 7 or later";
        return Err(rejected(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message));
    }
    let recompress = config
        .compression
        .filter(|wanted| *wanted != batch.compression());
    let batch = if config.compact || recompress.is_some() {
        let records = batch.records(config.decompressed_bytes_max())?;
        if config.compact {
            check_keys(&records)?;
        }
        recompress.map_or(batch.clone(), |wanted| {
            recompressed(&batch, &records, wanted, config.level(wanted))
        })
    } else {
        batch
    };
    check_size(&batch, config)?;
    Ok(batch)
}

/// What only the broker may set, and what only a confused client sends.
fn check_header(batch: &Batch) -> Result<(), Rejected> {
    let header = batch.header();
    let invalid = |message: &str| Err(rejected(ErrorCode::INVALID_RECORD, message));
    if header.is_control() {
        return invalid("clients do not write control batches");
    }
    if header.has_delete_horizon() {
        return invalid("clients do not set a delete horizon");
    }
    if header.base_offset.0 != 0 {
        return invalid("the base offset of a new batch is 0");
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return invalid("an idempotent producer sends its epoch and sequence");
    }
    if header.is_transactional() {
        let message = "transactions are not supported";
        return Err(rejected(ErrorCode::INVALID_TXN_STATE, message));
    }
    Ok(())
}

/// Producers' timestamps lie in the range around the broker's clock that the topic allows; the whole batch is refused,
/// and each culprit named.
///
/// The header says the greatest timestamp, so that by default nothing has to be decompressed; of the smallest it says
/// nothing, so a limit into the past has all records looked at. -1 is no timestamp, and may be.
fn check_times(batch: &Batch, config: &TopicConfig, now_ms: i64) -> Result<(), Rejected> {
    if config.log_append_time {
        return Ok(());
    }
    let range = TimeRange::of(config, now_ms);
    let header = batch.header();
    let ends = [header.base_timestamp, header.max_timestamp];
    if config.timestamp_before_max.is_none() && ends.iter().all(|time| range.allows(*time)) {
        return Ok(());
    }
    let message = "a timestamp lies outside message.timestamp.before.max.ms and after.max.ms";
    let records = batch.records(config.decompressed_bytes_max())?;
    let culprits: Vec<_> = (0_i32..)
        .zip(&records)
        .filter(|(_, record)| !range.allows(record.timestamp))
        .map(|(place, _)| (place, message))
        .collect();
    if culprits.is_empty() && ends.iter().all(|time| range.allows(*time)) {
        return Ok(());
    }
    Err(Rejected {
        records: culprits,
        ..rejected(ErrorCode::INVALID_TIMESTAMP, message)
    })
}

/// The timestamps that a topic takes now.
#[derive(Debug, Clone, Copy)]
struct TimeRange {
    first_ms: i64,
    last_ms: i64,
}

impl TimeRange {
    fn of(config: &TopicConfig, now_ms: i64) -> TimeRange {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let (before, after) = (config.timestamp_before_max, config.timestamp_after_max);
        TimeRange {
            first_ms: before.map_or(i64::MIN, |most| now_ms.saturating_sub(millis(most))),
            last_ms: after.map_or(i64::MAX, |most| now_ms.saturating_add(millis(most))),
        }
    }

    fn allows(self, timestamp: i64) -> bool {
        timestamp == NO_TIMESTAMP || (self.first_ms..=self.last_ms).contains(&timestamp)
    }
}

/// Records of a compacted topic need a key; the whole batch is refused, and each culprit named.
fn check_keys(records: &[Record]) -> Result<(), Rejected> {
    let message = "a record of a compacted topic needs a key";
    let culprits: Vec<_> = (0_i32..)
        .zip(records)
        .filter(|(_, record)| record.key.is_none())
        .map(|(place, _)| (place, message))
        .collect();
    if culprits.is_empty() {
        return Ok(());
    }
    Err(Rejected {
        records: culprits,
        ..rejected(ErrorCode::INVALID_RECORD, message)
    })
}

fn check_size(batch: &Batch, config: &TopicConfig) -> Result<(), Rejected> {
    let size_bytes = batch.size_bytes();
    if size_bytes > config.batch_bytes_max {
        let most = config.batch_bytes_max;
        let message = format!("batch of {size_bytes} bytes; max.message.bytes is {most}");
        return Err(rejected(ErrorCode::MESSAGE_TOO_LARGE, message));
    }
    if size_bytes > config.segment_bytes_max {
        let most = config.segment_bytes_max;
        let message = format!("batch of {size_bytes} bytes; segment.bytes is {most}");
        return Err(rejected(ErrorCode::RECORD_LIST_TOO_LARGE, message));
    }
    Ok(())
}

/// The same records with another codec; producer fields are kept, timestamps too.
fn recompressed(
    batch: &Batch,
    records: &[Record],
    wanted: Compression,
    level: Option<i32>,
) -> Batch {
    let header = batch.header();
    let builder = BatchBuilder::new(wanted).level(level);
    let mut builder = builder.producer(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    );
    for record in records {
        let headers: Vec<(&[u8], Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_deref()))
            .collect();
        builder.push(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &headers,
        );
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_config::Overrides;
    use bytes::Bytes;
    use headrace_storage::record::{ControlMarker, MarkerKind};

    /// Later than the timestamps of the tests' records.
    const NOW_MS: i64 = 1_000_000;

    fn config(settings: &[(&str, &str)]) -> TopicConfig {
        let text = |text: &str| text.to_owned();
        let overrides = settings
            .iter()
            .map(|(name, value)| (text(name), text(value)));
        TopicConfig::parse(&overrides.collect::<Overrides>()).unwrap()
    }

    fn builder(compression: Compression) -> BatchBuilder {
        let mut builder = BatchBuilder::new(compression);
        builder.push(5, Some(b"k"), Some(b"v"), &[(b"h", Some(b"x"))]);
        builder.push(7, None, None, &[]);
        builder
    }

    fn code(bytes: Bytes, config: &TopicConfig) -> ErrorCode {
        check(Some(bytes.into()), config, 13, NOW_MS)
            .unwrap_err()
            .code
    }

    /// trap 22
    #[test]
    fn nothing_and_several_batches_are_invalid() {
        let config = config(&[]);
        let one = builder(Compression::None).build().to_bytes();
        assert!(check(Some(one.clone().into()), &config, 13, NOW_MS).is_ok());
        assert_eq!(
            check(None, &config, 13, NOW_MS).unwrap_err().code,
            ErrorCode::INVALID_RECORD
        );
        assert_eq!(code(Bytes::new(), &config), ErrorCode::INVALID_RECORD);
        let two = Bytes::from([&one[..], &one[..]].concat());
        assert_eq!(code(two, &config), ErrorCode::INVALID_RECORD);
    }

    /// trap 22
    #[test]
    fn damaged_and_cut_batches_are_corrupt() {
        let config = config(&[]);
        let good = builder(Compression::None).build().to_bytes();
        let mut damaged = good.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(code(damaged.into(), &config), ErrorCode::CORRUPT_MESSAGE);
        let cut = good.slice(..good.len() - 1);
        assert_eq!(code(cut, &config), ErrorCode::CORRUPT_MESSAGE);
    }

    /// trap 22
    #[test]
    fn old_message_formats_are_invalid() {
        let mut old = builder(Compression::None).build().to_bytes().to_vec();
        old[16] = 1;
        assert_eq!(code(old.into(), &config(&[])), ErrorCode::INVALID_RECORD);
    }

    /// trap 38
    #[test]
    fn control_batches_and_transactions_are_refused() {
        let config = config(&[]);
        let marker = ControlMarker {
            kind: MarkerKind::Commit,
            coordinator_epoch: 0,
        };
        let control = BatchBuilder::new(Compression::None)
            .producer(1, 0, 0)
            .control(marker, 5);
        assert_eq!(
            code(control.build().to_bytes(), &config),
            ErrorCode::INVALID_RECORD
        );
        let open = builder(Compression::None).producer(1, 0, 0).transactional();
        assert_eq!(
            code(open.build().to_bytes(), &config),
            ErrorCode::INVALID_TXN_STATE
        );
    }

    /// trap 29
    #[test]
    fn a_producer_id_comes_with_epoch_and_sequence() {
        let nameless = builder(Compression::None).producer(1, 0, -1).build();
        assert_eq!(
            code(nameless.to_bytes(), &config(&[])),
            ErrorCode::INVALID_RECORD
        );
    }

    /// trap 23
    #[test]
    fn a_base_offset_other_than_zero_is_invalid() {
        let mut batch = builder(Compression::None).build();
        batch.stamp(
            headrace_storage::Offset(3),
            headrace_storage::LeaderEpoch(-1),
        );
        assert_eq!(
            code(batch.to_bytes(), &config(&[])),
            ErrorCode::INVALID_RECORD
        );
    }

    /// trap 26
    #[test]
    fn zstd_from_an_old_client_is_unsupported() {
        let bytes = builder(Compression::Zstd).build().to_bytes();
        let config = config(&[]);
        let old = check(Some(bytes.clone().into()), &config, 6, NOW_MS).unwrap_err();
        assert_eq!(old.code, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        assert!(check(Some(bytes.into()), &config, 7, NOW_MS).is_ok());
    }

    /// trap 27
    #[test]
    fn compacted_topics_name_each_record_without_a_key() {
        let config = config(&[("cleanup.policy", "compact")]);
        for compression in [Compression::None, Compression::Lz4] {
            let bytes = builder(compression).build().to_bytes();
            let refused = check(Some(bytes.into()), &config, 13, NOW_MS).unwrap_err();
            assert_eq!(refused.code, ErrorCode::INVALID_RECORD);
            assert_eq!(refused.records.len(), 1);
            assert_eq!(refused.records[0].0, 1);
        }
    }

    /// trap 26
    #[test]
    fn another_codec_keeps_the_records_and_the_producer() {
        let config = config(&[("compression.type", "zstd")]);
        let sent = builder(Compression::Gzip).producer(7, 1, 3).build();
        let stored = check(Some(sent.to_bytes().into()), &config, 13, NOW_MS).unwrap();
        assert_eq!(stored.compression(), Compression::Zstd);
        assert_eq!(stored.records(1 << 20), sent.records(1 << 20));
        let (stored, sent) = (stored.header(), sent.header());
        assert_eq!(stored.producer_id, sent.producer_id);
        assert_eq!(stored.base_sequence, sent.base_sequence);
        assert_eq!(stored.max_timestamp, sent.max_timestamp);
    }

    /// trap 26
    #[test]
    fn the_producers_bytes_are_kept_by_default() {
        let sent = builder(Compression::Snappy).build().to_bytes();
        let stored = check(Some(sent.clone().into()), &config(&[]), 13, NOW_MS).unwrap();
        assert_eq!(stored.to_bytes(), sent);
    }

    /// trap 24
    #[test]
    fn sizes_are_bounded_by_message_and_segment() {
        let bytes = builder(Compression::None).build().to_bytes();
        let most = (bytes.len() - 1).to_string();
        let small = config(&[("max.message.bytes", &most)]);
        assert_eq!(code(bytes, &small), ErrorCode::MESSAGE_TOO_LARGE);
        let mut large = BatchBuilder::new(Compression::None);
        large.push(0, None, Some(&vec![0; 1 << 20]), &[]);
        let segment = config(&[
            ("segment.bytes", "1048576"),
            ("max.message.bytes", "9999999"),
        ]);
        assert_eq!(
            code(large.build().to_bytes(), &segment),
            ErrorCode::RECORD_LIST_TOO_LARGE
        );
    }

    /// trap 24: what counts is the batch as it is stored.
    #[test]
    fn the_size_that_is_bounded_is_the_one_after_recompression() {
        let large = |codec| {
            let mut builder = BatchBuilder::new(codec);
            builder.push(0, Some(b"k"), Some(&vec![b'v'; 4000]), &[]);
            builder.build().to_bytes()
        };
        let smaller = config(&[("max.message.bytes", "1000"), ("compression.type", "zstd")]);
        let plain = large(Compression::None);
        assert!(check(Some(plain.into()), &smaller, 13, NOW_MS).is_ok());
        let larger = config(&[
            ("max.message.bytes", "1000"),
            ("compression.type", "uncompressed"),
        ]);
        let packed = large(Compression::Zstd);
        assert!(packed.len() < 1000);
        assert_eq!(code(packed, &larger), ErrorCode::MESSAGE_TOO_LARGE);
    }

    fn stamped(codec: Compression, times: &[i64]) -> Bytes {
        let mut builder = BatchBuilder::new(codec);
        for time in times {
            builder.push(*time, Some(b"k"), Some(b"v"), &[]);
        }
        builder.build().to_bytes()
    }

    /// trap 25: after.max.ms is an hour by default, before.max.ms is off; -1 is no timestamp.
    #[test]
    fn timestamps_outside_the_range_are_invalid_and_the_culprits_are_named() {
        let hour_ms = 3_600_000;
        let check_of = |settings: &[(&str, &str)], times: &[i64]| {
            let codecs = [Compression::None, Compression::Zstd];
            let outcomes = codecs.map(|codec| {
                let bytes = stamped(codec, times);
                let checked = check(Some(bytes.into()), &config(settings), 13, NOW_MS);
                checked.map(|_| ()).map_err(|refused| {
                    let culprits = refused.records.iter().map(|(place, _)| *place);
                    (refused.code, culprits.collect::<Vec<_>>())
                })
            });
            assert_eq!(outcomes[0], outcomes[1], "whatever the codec");
            outcomes[0].clone()
        };
        let wrong = |places: &[i32]| Err((ErrorCode::INVALID_TIMESTAMP, places.to_vec()));
        assert_eq!(check_of(&[], &[0, NOW_MS + hour_ms]), Ok(()));
        let late = [NOW_MS, NOW_MS + hour_ms + 1, 5];
        assert_eq!(check_of(&[], &late), wrong(&[1]));
        let later = [("message.timestamp.after.max.ms", "3600001")];
        assert_eq!(check_of(&later, &late), Ok(()));
        let broker = [("message.timestamp.type", "LogAppendTime")];
        assert_eq!(
            check_of(&broker, &late),
            Ok(()),
            "the broker's clock counts"
        );
        let before = [("message.timestamp.before.max.ms", "1000")];
        assert_eq!(check_of(&before, &[NOW_MS - 1000, -1]), Ok(()));
        let old = [NOW_MS, NOW_MS - 1001, NOW_MS - 2000];
        assert_eq!(check_of(&before, &old), wrong(&[1, 2]));
    }

    #[test]
    fn a_level_makes_batches_smaller_or_larger() {
        let mut builder = BatchBuilder::new(Compression::None);
        let words =
            (0..4000_u32).map(|number| format!("{}-{};", number % 13, number * number % 101));
        let value: String = words.collect();
        builder.push(5, Some(b"k"), Some(value.as_bytes()), &[]);
        let bytes = builder.build().to_bytes();
        for (codec, low, high) in [("gzip", "1", "9"), ("zstd", "-50", "19")] {
            let size = |level: &str| {
                let name = format!("compression.{codec}.level");
                let config = config(&[("compression.type", codec), (&name, level)]);
                let stored = check(Some(bytes.clone().into()), &config, 13, NOW_MS).unwrap();
                assert_eq!(stored.records(1 << 20).unwrap().len(), 1);
                stored.size_bytes()
            };
            assert!(size(low) > size(high), "{codec}");
        }
    }
}
