//! What a client's batch must be before it may enter a log.
//!
//! One v2 batch, whole and undamaged, small enough, and fit for the topic's settings. The records of a
//! compressed batch are looked at only where a setting needs them (see docs/compatibility.md).

use headrace_protocol::{ErrorCode, Records};
use headrace_storage::record::{Batch, BatchBuilder, BatchError, Compression, Record};

use crate::error::batch_code;
use crate::partition::AppendFailure;
use crate::topic_config::TopicConfig;

/// The first version of Produce whose clients know zstd.
const ZSTD_FROM_VERSION: i16 = 7;

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
) -> Result<Batch, Rejected> {
    let bytes = records.unwrap_or_default().into_bytes();
    let bytes = bytes.map_err(|error| rejected(ErrorCode::CORRUPT_MESSAGE, error.to_string()))?;
    if bytes.is_empty() {
        return Err(rejected(ErrorCode::INVALID_RECORD, "no record batch"));
    }
    let batch = Batch::check(bytes)?;
    check_header(&batch)?;
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
            recompressed(&batch, &records, wanted)
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
fn recompressed(batch: &Batch, records: &[Record], wanted: Compression) -> Batch {
    let header = batch.header();
    let mut builder = BatchBuilder::new(wanted).producer(
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
        check(Some(bytes.into()), config, 13).unwrap_err().code
    }

    /// trap 22
    #[test]
    fn nothing_and_several_batches_are_invalid() {
        let config = config(&[]);
        let one = builder(Compression::None).build().to_bytes();
        assert!(check(Some(one.clone().into()), &config, 13).is_ok());
        assert_eq!(
            check(None, &config, 13).unwrap_err().code,
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
        let old = check(Some(bytes.clone().into()), &config, 6).unwrap_err();
        assert_eq!(old.code, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        assert!(check(Some(bytes.into()), &config, 7).is_ok());
    }

    /// trap 27
    #[test]
    fn compacted_topics_name_each_record_without_a_key() {
        let config = config(&[("cleanup.policy", "compact")]);
        for compression in [Compression::None, Compression::Lz4] {
            let bytes = builder(compression).build().to_bytes();
            let refused = check(Some(bytes.into()), &config, 13).unwrap_err();
            assert_eq!(refused.code, ErrorCode::INVALID_RECORD);
            assert_eq!(refused.records.len(), 1);
            assert_eq!(refused.records[0].0, 1);
        }
    }

    #[test]
    fn another_codec_keeps_the_records_and_the_producer() {
        let config = config(&[("compression.type", "zstd")]);
        let sent = builder(Compression::Gzip).producer(7, 1, 3).build();
        let stored = check(Some(sent.to_bytes().into()), &config, 13).unwrap();
        assert_eq!(stored.compression(), Compression::Zstd);
        assert_eq!(stored.records(1 << 20), sent.records(1 << 20));
        let (stored, sent) = (stored.header(), sent.header());
        assert_eq!(stored.producer_id, sent.producer_id);
        assert_eq!(stored.base_sequence, sent.base_sequence);
        assert_eq!(stored.max_timestamp, sent.max_timestamp);
    }

    #[test]
    fn the_producers_bytes_are_kept_by_default() {
        let sent = builder(Compression::Snappy).build().to_bytes();
        let stored = check(Some(sent.clone().into()), &config(&[]), 13).unwrap();
        assert_eq!(stored.to_bytes(), sent);
    }

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
}
