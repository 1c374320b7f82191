//! The contract of a captured change: what a source writes into a topic and a view reads from it.
//!
//! ```text
//! topic   {source}.{database}.{table}                               topic_name
//! key     {"id":7}                     primary-key columns in order  Row
//! value   {"before":…,"after":…,"source":{…},"op":"u","ts_ms":…}     Envelope; absent in a tombstone
//! headers headrace.csn  .index  .last  .gtid  .schema                ChangeHeaders; on tombstones too
//!                                          |
//!                                          `-> __headrace_schemas    Schema, by SchemaId
//! ```
//! Everything here is pure: text and bytes in, values out. Column values keep their JSON text
//! ([`serde_json::value::RawValue`]), so numbers stay exact from the row decoder to the target.
mod envelope;
mod headers;
mod schema;

pub use envelope::{Envelope, EnvelopeError, Op, Origin, Row, Snapshot};
pub use headers::{
    CSN_LIMIT, ChangeHeaders, HEADER_CSN, HEADER_GTID, HEADER_INDEX, HEADER_LAST, HEADER_SCHEMA,
    HeaderError, HeaderText, Version,
};
pub use schema::{Column, ColumnType, Schema, SchemaError, SchemaId};

/// Compacted topic of one partition: source name -> its durable position.
pub const POSITIONS_TOPIC: &str = "__headrace_positions";
/// Compacted topic of one partition: schema id -> the JSON of its [`Schema`].
pub const SCHEMAS_TOPIC: &str = "__headrace_schemas";
/// Compacted topic of one partition: `view/partition` -> its last claim; the claim's offset is the writer's epoch.
pub const CLAIMS_TOPIC: &str = "__headrace_claims";

/// Largest record a captured topic takes (its `max.message.bytes`), in bytes.
pub const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Names the topic of a captured table: `{source}.{database}.{table}`, each character outside
/// `[A-Za-z0-9._-]` as `_`.
///
/// Two tables may get the same name; the source refuses that.
pub fn topic_name(source: &str, database: &str, table: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    format!("{source}.{database}.{table}").replace(|c| !allowed(c), "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_named_after_source_database_and_table() {
        assert_eq!(topic_name("shop", "shop", "products"), "shop.shop.products");
    }

    #[test]
    fn characters_a_topic_name_cannot_hold_become_underscores() {
        assert_eq!(topic_name("a", "d b", "tä$ble"), "a.d_b.t__ble");
    }
}
