//! A frame and its records: in words, and as JSON.

use headrace_storage::inspect::{Content, Frame};
use headrace_storage::record::{Batch, BatchHeader, Compression, Record};
use serde_json::{Value, json};

/// Records inflate to at most this much of memory here; a batch that needs more is shown without them.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// Keys and values are shown up to here: a line is to be read by a person.
const SHOWN_BYTES_MAX: usize = 60;

/// One line about a frame.
pub(super) fn words(frame: &Frame) -> String {
    let (kind, told) = match &frame.content {
        Content::SegmentHeader {
            first_index,
            identity,
            log_start,
            created_ms,
        } => (
            "segment header",
            format!(
                "topic id {}, partition {}, first entry {first_index}, log start {log_start}, created {}",
                identity.topic_id,
                identity.partition,
                time(*created_ms)
            ),
        ),
        Content::CompactedHeader {
            first_index,
            last_index,
            end_offset,
            generation,
            cleaned_to,
            ..
        } => (
            "compacted",
            format!(
                "entries {first_index} to {last_index}, end offset {end_offset}, compacted {generation} times, keys unique up to {cleaned_to}"
            ),
        ),
        Content::Batch { header, batch } => ("batch", batch_words(header, batch)),
        Content::NoOp { index } => ("no-op", format!("entry {index}")),
        Content::Membership { index, content } => (
            "membership",
            format!("entry {index}, {} bytes", content.len()),
        ),
        Content::Roll { index, at_ms } => (
            "ROLL",
            format!("entry {index}, proposed {}, ends the segment", time(*at_ms)),
        ),
        Content::LogStart { index, log_start } => (
            "log start",
            format!("entry {index}, records below {log_start} are gone"),
        ),
        Content::Unsound { reason } => ("UNSOUND", reason.clone()),
    };
    format!(
        "{:>12}  {:>9}  offset {:<10} epoch {:<5} {kind:<14}  {told}",
        frame.position, frame.size_bytes, frame.offset, frame.epoch
    )
}

fn batch_words(header: &BatchHeader, batch: &Result<Batch, String>) -> String {
    let mut told = vec![format!("to offset {}", header.last_offset())];
    told.push(format!("{} records", header.record_count));
    if let Ok(batch) = batch {
        told.push(codec_name(batch.compression()));
    }
    if header.producer_id >= 0 {
        told.push(format!(
            "producer {} epoch {} sequence {}",
            header.producer_id, header.producer_epoch, header.base_sequence
        ));
    }
    if header.is_transactional() {
        told.push("transactional".to_owned());
    }
    if header.is_control() {
        told.push("transaction marker".to_owned());
    }
    if header.has_delete_horizon() {
        told.push(format!("deletes expire {}", time(header.base_timestamp)));
    }
    told.push(format!("newest {}", time(header.max_timestamp)));
    let told = told.join(", ");
    match batch {
        Err(reason) => format!("UNSOUND: {reason}; it says: {told}"),
        Ok(_) => told,
    }
}

fn codec_name(codec: Compression) -> String {
    format!("{codec:?}").to_lowercase()
}

/// One line about a record.
pub(super) fn record_words(record: &Record) -> String {
    let bytes = |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), shown);
    let headers = match record.headers.len() {
        0 => String::new(),
        count => format!("  {count} headers"),
    };
    format!(
        "{:>25}  offset {:<10} {}  key {}  value {}{headers}",
        "record",
        record.offset,
        time(record.timestamp),
        bytes(record.key.as_deref()),
        bytes(record.value.as_deref()),
    )
}

/// A frame as a JSON object.
pub(super) fn as_json(frame: &Frame) -> Value {
    let mut value = json!({
        "position": frame.position,
        "bytes": frame.size_bytes,
        "offset": frame.offset.0,
        "epoch": frame.epoch.0,
    });
    let told = match &frame.content {
        Content::SegmentHeader {
            first_index,
            identity,
            log_start,
            created_ms,
        } => json!({
            "kind": "segment header", "cluster_id": identity.cluster_id.to_string(),
            "topic_id": identity.topic_id.to_string(), "partition": identity.partition,
            "first_index": first_index.0, "log_start": log_start.0, "created_ms": created_ms,
        }),
        Content::CompactedHeader {
            first_index,
            last_index,
            identity,
            end_offset,
            generation,
            cleaned_to,
            content_bytes,
        } => json!({
            "kind": "compacted header", "topic_id": identity.topic_id.to_string(), "partition": identity.partition,
            "first_index": first_index.0, "last_index": last_index.0, "end_offset": end_offset.0,
            "generation": generation, "cleaned_to": cleaned_to.0, "content_bytes": content_bytes,
        }),
        Content::Batch { header, batch } => json!({
            "kind": "batch", "last_offset": header.last_offset().0, "records": header.record_count,
            "compression": batch.as_ref().ok().map(|batch| codec_name(batch.compression())),
            "producer_id": header.producer_id, "producer_epoch": header.producer_epoch,
            "base_sequence": header.base_sequence, "transactional": header.is_transactional(),
            "marker": header.is_control(), "max_timestamp": header.max_timestamp,
            "delete_horizon_ms": header.has_delete_horizon().then_some(header.base_timestamp),
            "unsound": batch.as_ref().err(),
        }),
        Content::NoOp { index } => json!({ "kind": "no-op", "index": index.0 }),
        Content::Membership { index, content } => {
            json!({ "kind": "membership", "index": index.0, "content_bytes": content.len() })
        }
        Content::Roll { index, at_ms } => {
            json!({ "kind": "roll", "index": index.0, "at_ms": at_ms })
        }
        Content::LogStart { index, log_start } => {
            json!({ "kind": "log start", "index": index.0, "log_start": log_start.0 })
        }
        Content::Unsound { reason } => json!({ "kind": "unsound", "unsound": reason }),
    };
    if let (Value::Object(value), Value::Object(told)) = (&mut value, told) {
        value.extend(told);
    }
    value
}

/// A record as a JSON object; bytes that are no UTF-8 are shown with replacement characters.
pub(super) fn record_json(record: &Record) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = record.headers.iter();
    json!({
        "kind": "record", "offset": record.offset.0, "timestamp_ms": record.timestamp,
        "key": record.key.as_deref().map(text), "value": record.value.as_deref().map(text),
        "headers": headers.map(|(name, value)| json!([text(name), value.as_deref().map(text)])).collect::<Vec<_>>(),
    })
}

/// Milliseconds since 1970 as UTC; below 0 there is none.
pub(super) fn time(ms: i64) -> String {
    let nanoseconds = i128::from(ms) * 1_000_000;
    match time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds) {
        Ok(at) if ms >= 0 => {
            let (date, clock) = (at.date(), at.time());
            format!(
                "{date}T{:02}:{:02}:{:02}.{:03}Z",
                clock.hour(),
                clock.minute(),
                clock.second(),
                clock.millisecond()
            )
        }
        _ => "-".to_owned(),
    }
}

/// Bytes as quoted text, cut where a line would grow too long.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let more = if cut.len() < bytes.len() {
        format!("… ({} bytes)", bytes.len())
    } else {
        String::new()
    };
    format!("\"{}\"{more}", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_and_absent_ones_as_a_dash() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(-1), "-");
        assert_eq!(time(i64::MAX), "-");
    }

    #[test]
    fn bytes_are_quoted_and_long_ones_cut() {
        assert_eq!(shown(b"a\"b\xff"), "\"a\\\"b\\xff\"");
        assert!(shown(&[b'x'; 100]).ends_with("… (100 bytes)"));
    }
}
