//! Why an event cannot be decoded. Every variant is *definite* (reading the same bytes again gives
//! it again) but [`DecodeError::Checksum`] and [`DecodeError::Payload`], which a new connection may
//! heal.

/// Why an event cannot be decoded; `log_pos` is the header's, the end of the event in its file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes contradict the format.
    #[error("event of type {kind} ending at {log_pos} is malformed: {what}")]
    Malformed {
        /// The event's type number.
        kind: u8,
        /// Where the event ends in its file.
        log_pos: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// The CRC-32 at the event's end is not that of its bytes.
    #[error(
        "event of type {kind} ending at {log_pos} has checksum {stored:08x}, its bytes have {computed:08x}"
    )]
    Checksum {
        /// The event's type number.
        kind: u8,
        /// Where the event ends in its file.
        log_pos: u32,
        /// The checksum sent.
        stored: u32,
        /// The checksum of the bytes that came.
        computed: u32,
    },
    /// A compressed transaction did not give the bytes it announced.
    #[error("compressed transaction before {log_pos}: {what}")]
    Payload {
        /// Where the event at which it showed ends in its file.
        log_pos: u32,
        /// What is wrong.
        what: String,
    },
    /// An event of a type nobody here knows, without the flag that allows to ignore it.
    #[error("event of unknown type {kind} ending at {log_pos}: it is not marked as ignorable")]
    UnknownEvent {
        /// The event's type number.
        kind: u8,
        /// Where the event ends in its file.
        log_pos: u32,
    },
    /// A known event that is not captured yet.
    #[error("event {name} (type {kind}) ending at {log_pos} is not supported: {hint}")]
    UnsupportedEvent {
        /// The event's type number.
        kind: u8,
        /// Its name in the server's words.
        name: &'static str,
        /// What the user can do.
        hint: &'static str,
        /// Where the event ends in its file.
        log_pos: u32,
    },
    /// A captured table has a column whose type is not captured yet.
    #[error("column {table}.{column} has the unsupported type {ty}")]
    UnsupportedColumn {
        /// `database.table`.
        table: String,
        /// The column's name.
        column: String,
        /// The type in the server's words.
        ty: String,
    },
    /// A rows event leaves columns out.
    #[error(
        "rows of {table} ending at {log_pos} do not hold every column: binlog_row_image must be FULL, also in sessions"
    )]
    PartialImage {
        /// `database.table`.
        table: String,
        /// Where the event ends in its file.
        log_pos: u32,
    },
    /// A table map names no columns, types' signs or character sets.
    #[error("the table map of {table} lacks {what}: SET GLOBAL binlog_row_metadata = FULL")]
    MissingMetadata {
        /// `database.table`.
        table: String,
        /// Which part is missing.
        what: &'static str,
    },
    /// A table map's columns contradict the format.
    #[error("the table map of {table} is malformed: {what}")]
    MalformedTableMap {
        /// `database.table`.
        table: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A rows event came without its table map.
    #[error("rows of table id {table_id} ending at {log_pos} came before a table map")]
    NoTableMap {
        /// The table id of the rows event.
        table_id: u64,
        /// Where the event ends in its file.
        log_pos: u32,
    },
    /// A value does not fit its column's type.
    #[error("column {table}.{column}: {reason}")]
    Value {
        /// `database.table`.
        table: String,
        /// The column's name.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl DecodeError {
    /// Whether a new connection may heal it: bytes were damaged on the way.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            DecodeError::Checksum { .. } | DecodeError::Payload { .. }
        )
    }
}
