//! One binlog event: its header, its checksum, and which event it is.
//!
//! ```text
//! timestamp u32 | type u8 | server id u32 | size u32 | end position u32 | flags u16 |
//! body | CRC-32 of all before it (when the format description says so)
//! ```
//! - An event of a type not known here passes only with the ignorable flag; it is never skipped
//!   otherwise.
//! - The decoder holds three facts between events: whether checksums are on and which server writes
//!   (format description), and how many bytes of a compressed transaction are still to come.
//!
//! Source: MySQL's Log_event_header and Log_event_type class reference; MariaDB's "Replication
//! Protocol" pages for types 160 and up.

use crate::binlog::cursor::Cursor;
use crate::binlog::error::DecodeError;
use crate::binlog::payload::{self, TransactionPayload};
use crate::binlog::query::{self, Query};
use crate::binlog::rows::{self, RowsEvent};
use crate::binlog::table_map::{self, TableMap};
use crate::binlog::transaction::{self, TransactionStart};
use crate::gtid::MariadbGtid;

/// The 19 bytes before every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since 1970 at which the statement began; 0 for events the server made up.
    pub timestamp: u32,
    /// The event's type number.
    pub kind: u8,
    /// The server that wrote it.
    pub server_id: u32,
    /// Header, body and checksum in bytes.
    pub size: u32,
    /// Where the event ends in its file; 0 inside a compressed transaction and for made-up events.
    pub log_pos: u32,
    /// Flag bits.
    pub flags: u16,
}

impl EventHeader {
    /// Bytes of a header.
    pub const LEN: usize = 19;
    /// The file is being written (kept out of the format description's checksum).
    const IN_USE: u16 = 0x1;
    /// The server made the event up for this connection.
    const ARTIFICIAL: u16 = 0x20;
    /// A reader that does not know the type may go on.
    const IGNORABLE: u16 = 0x80;

    /// Reads the first 19 bytes of an event; `None` if there are fewer.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        Some(EventHeader {
            timestamp: cursor.u32()?,
            kind: cursor.u8()?,
            server_id: cursor.u32()?,
            size: cursor.u32()?,
            log_pos: cursor.u32()?,
            flags: cursor.u16()?,
        })
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5..9].copy_from_slice(&self.server_id.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.size.to_le_bytes());
        bytes[13..17].copy_from_slice(&self.log_pos.to_le_bytes());
        bytes[17..19].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }

    /// Whether the server made the event up for this connection.
    pub fn is_artificial(&self) -> bool {
        self.flags & Self::ARTIFICIAL != 0
    }

    /// Whether a reader that does not know the type may go on.
    pub fn is_ignorable(&self) -> bool {
        self.flags & Self::IGNORABLE != 0
    }
}

/// An event, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// 15: the start of a file.
    FormatDescription(FormatDescription),
    /// 4: the next events are in `file` from `position` on.
    Rotate {
        /// The offset of the next event.
        position: u64,
        /// The file's name.
        file: &'a str,
    },
    /// 33, 34, 42, 162: a transaction begins.
    TransactionStart(TransactionStart),
    /// 163: MariaDB's transactions before this file.
    GtidList(Vec<MariadbGtid>),
    /// 2: a statement.
    Query(Query<'a>),
    /// 19: what the next rows events with its table id hold.
    TableMap(TableMap<'a>),
    /// 23 to 25 and 30 to 32: rows written, updated or deleted.
    Rows(RowsEvent<'a>),
    /// 16: the transaction is committed.
    Xid(u64),
    /// 38: an XA transaction is prepared (`one_phase`: and committed with it).
    XaPrepare {
        /// XA COMMIT … ONE PHASE.
        one_phase: bool,
    },
    /// 40: a transaction's events in one.
    TransactionPayload(TransactionPayload<'a>),
    /// 27, 41: the server has nothing to send.
    Heartbeat,
    /// 29, 160: the statement behind the rows that follow, in the client's character set.
    RowsQuery(&'a [u8]),
    /// An event without meaning for a reader of rows: 3 stop, 5 intvar, 13 rand, 14 user variable
    /// (the statement after them is judged), 28 ignorable, 35 previous GTIDs, 36 and 37 group
    /// replication, 161 binlog checkpoint, and any other with the ignorable flag.
    Ignored,
}

/// The format description event (15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// The server's version text, such as `10.11.11-MariaDB-log`.
    pub server_version: String,
    /// Whether the events after it end in a CRC-32.
    pub checksums: bool,
}

/// An event as `mysql_async` gives it: taken apart, the checksum beside the body.
#[derive(Debug, Clone, Copy)]
pub struct EventParts<'a> {
    /// The header.
    pub header: EventHeader,
    /// The bytes after the header, without checksum (and, in a format description, without the byte
    /// that names the algorithm).
    pub body: &'a [u8],
    /// The checksum algorithm of the file: 0 none, 1 CRC-32.
    pub checksum_algorithm: u8,
    /// The four bytes of the checksum, whatever they are where there is none.
    pub checksum: [u8; 4],
}

/// Decodes events in their order; a new one for each connection.
#[derive(Debug, Default)]
pub struct EventDecoder {
    /// Whether events end in a CRC-32; set by each format description.
    checksums: bool,
    /// Whether MariaDB writes the events; set by each format description.
    mariadb: bool,
    /// Bytes of inner events still to come; set by [`EventDecoder::decode_parts`] on a payload.
    payload_left: u64,
}

impl EventDecoder {
    /// A decoder for a new connection or file.
    pub fn new() -> Self {
        EventDecoder::default()
    }

    /// Decodes one whole event: header, body and checksum.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<(EventHeader, Event<'a>), DecodeError> {
        let header = parse_header(bytes)?;
        let malformed = |what| malformed(&header, what);
        if usize::try_from(header.size) != Ok(bytes.len()) {
            return Err(malformed("its size is not that of its bytes"));
        }
        let mut body = &bytes[EventHeader::LEN..];
        if header.kind == kind::FORMAT_DESCRIPTION {
            let (rest, checksum) = split_checksum(&header, body)?;
            let (algorithm, fields) = rest.split_last().ok_or_else(|| malformed("too short"))?;
            verify_checksum(&header, &[rest], checksum)?;
            self.checksums = checksum_algorithm(&header, *algorithm)?;
            body = fields;
        } else if self.checksums {
            let (rest, checksum) = split_checksum(&header, body)?;
            verify_checksum(&header, &[rest], checksum)?;
            body = rest;
        }
        let event = self.decode_body(&header, body)?;
        self.note_server(&event);
        Ok((header, event))
    }

    /// Decodes one event of an expanded payload ([`inner_events`]): it has no checksum.
    pub fn decode_inner<'a>(
        &self,
        bytes: &'a [u8],
    ) -> Result<(EventHeader, Event<'a>), DecodeError> {
        let header = parse_header(bytes)?;
        if usize::try_from(header.size) != Ok(bytes.len()) {
            return Err(malformed(&header, "its size is not that of its bytes"));
        }
        if !may_be_inner(header.kind) {
            return Err(malformed(
                &header,
                "it cannot be inside a compressed transaction",
            ));
        }
        Ok((
            header,
            self.decode_body(&header, &bytes[EventHeader::LEN..])?,
        ))
    }

    /// Decodes one event of a transport that takes events apart and expands payloads itself: after
    /// a payload its inner events must come, of exactly its announced size, before any other.
    pub fn decode_parts<'a>(&mut self, parts: &EventParts<'a>) -> Result<Event<'a>, DecodeError> {
        let header = &parts.header;
        if self.payload_left > 0 {
            self.count_inner(header)?;
            return self.decode_body(header, parts.body);
        }
        if header.kind == kind::FORMAT_DESCRIPTION {
            let algorithm = [parts.checksum_algorithm];
            verify_checksum(header, &[parts.body, &algorithm], parts.checksum)?;
            self.checksums = checksum_algorithm(header, parts.checksum_algorithm)?;
        } else if self.checksums {
            verify_checksum(header, &[parts.body], parts.checksum)?;
        }
        let event = self.decode_body(header, parts.body)?;
        self.note_server(&event);
        if let Event::TransactionPayload(payload) = &event {
            self.payload_left = payload.uncompressed_bytes();
        }
        Ok(event)
    }

    /// Whether inner events of a compressed transaction are still to come.
    pub fn inside_payload(&self) -> bool {
        self.payload_left > 0
    }

    fn note_server(&mut self, event: &Event<'_>) {
        if let Event::FormatDescription(format) = event {
            self.mariadb = format.server_version.contains("MariaDB");
        }
    }

    fn count_inner(&mut self, header: &EventHeader) -> Result<(), DecodeError> {
        let error = |what: String| DecodeError::Payload {
            log_pos: header.log_pos,
            what,
        };
        if !may_be_inner(header.kind) {
            let what = format!("{} bytes of its events did not come", self.payload_left);
            return Err(error(what));
        }
        let left = self.payload_left.checked_sub(u64::from(header.size));
        self.payload_left =
            left.ok_or_else(|| error("its events are larger than announced".to_owned()))?;
        Ok(())
    }

    fn decode_body<'a>(
        &self,
        header: &EventHeader,
        body: &'a [u8],
    ) -> Result<Event<'a>, DecodeError> {
        let event = match header.kind {
            kind::QUERY => query::parse(body).map(Event::Query),
            kind::ROTATE => parse_rotate(header, body, self.checksums),
            kind::FORMAT_DESCRIPTION => {
                parse_format_description(body, self.checksums).map(Event::FormatDescription)
            }
            kind::XID => Cursor::new(body).u64().map(Event::Xid),
            kind::TABLE_MAP => table_map::parse(body, self.mariadb).map(Event::TableMap),
            23..=25 | 30..=32 => rows::parse(header.kind, body).map(Event::Rows),
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => Some(Event::Heartbeat),
            // The length byte of 29 holds only a part of long statements: the rest is the text.
            kind::ROWS_QUERY => body.get(1..).map(Event::RowsQuery),
            kind::ANNOTATE_ROWS => Some(Event::RowsQuery(body)),
            kind::GTID => transaction::parse_mysql(body, false).map(Event::TransactionStart),
            kind::ANONYMOUS_GTID => {
                transaction::parse_mysql(body, true).map(Event::TransactionStart)
            }
            kind::GTID_TAGGED => transaction::parse_mysql_tagged(body).map(Event::TransactionStart),
            kind::MARIADB_GTID => {
                transaction::parse_mariadb(body, header.server_id).map(Event::TransactionStart)
            }
            kind::GTID_LIST => transaction::parse_mariadb_list(body).map(Event::GtidList),
            kind::XA_PREPARE => body.first().map(|flag| Event::XaPrepare {
                one_phase: *flag != 0,
            }),
            kind::TRANSACTION_PAYLOAD => payload::parse(body).map(Event::TransactionPayload),
            3 | 5 | 13 | 14 | 28 | 35 | 36 | 37 | 161 => Some(Event::Ignored),
            _ => return refuse(header),
        };
        event.ok_or_else(|| malformed(header, "its fields do not fit its bytes"))
    }
}

/// The event type numbers that are used by name.
pub(crate) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const STOP: u8 = 3;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const ROWS_QUERY: u8 = 29;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const PREVIOUS_GTIDS: u8 = 35;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_V2: u8 = 41;
    pub(crate) const GTID_TAGGED: u8 = 42;
    pub(crate) const ANNOTATE_ROWS: u8 = 160;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const GTID_LIST: u8 = 163;
}

/// Splits an expanded payload into its inner events, each with its header.
pub fn inner_events(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], DecodeError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let size = EventHeader::parse(rest).and_then(|header| usize::try_from(header.size).ok());
        let size = size.filter(|size| *size >= EventHeader::LEN);
        if let Some((event, after)) = size.and_then(|size| rest.split_at_checked(size)) {
            rest = after;
            return Some(Ok(event));
        }
        rest = &[];
        let what = "its inner events do not fill it exactly".to_owned();
        Some(Err(DecodeError::Payload { log_pos: 0, what }))
    })
}

/// What can never be inside a compressed transaction: only the events of one transaction can.
fn may_be_inner(kind: u8) -> bool {
    !matches!(
        kind,
        kind::ROTATE
            | kind::STOP
            | kind::FORMAT_DESCRIPTION
            | kind::HEARTBEAT
            | kind::HEARTBEAT_V2
            | kind::GTID
            | kind::ANONYMOUS_GTID
            | kind::GTID_TAGGED
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_PAYLOAD
    ) && kind < kind::ANNOTATE_ROWS
}

fn parse_header(bytes: &[u8]) -> Result<EventHeader, DecodeError> {
    EventHeader::parse(bytes).ok_or(DecodeError::Malformed {
        kind: 0,
        log_pos: 0,
        what: "shorter than a header",
    })
}

fn malformed(header: &EventHeader, what: &'static str) -> DecodeError {
    DecodeError::Malformed {
        kind: header.kind,
        log_pos: header.log_pos,
        what,
    }
}

fn split_checksum<'a>(
    header: &EventHeader,
    body: &'a [u8],
) -> Result<(&'a [u8], [u8; 4]), DecodeError> {
    let (rest, checksum) = body
        .split_last_chunk::<4>()
        .ok_or_else(|| malformed(header, "too short"))?;
    Ok((rest, *checksum))
}

fn checksum_algorithm(header: &EventHeader, algorithm: u8) -> Result<bool, DecodeError> {
    match algorithm {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed(header, "its checksum algorithm is unknown")),
    }
}

/// Checks the CRC-32 of a header and the parts of its body. A format description is summed without
/// its in-use flag, which the server changes after writing it.
fn verify_checksum(
    header: &EventHeader,
    body: &[&[u8]],
    stored: [u8; 4],
) -> Result<(), DecodeError> {
    let mut summed = *header;
    if header.kind == kind::FORMAT_DESCRIPTION {
        summed.flags &= !EventHeader::IN_USE;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&summed.to_bytes());
    for part in body {
        hasher.update(part);
    }
    let (computed, stored) = (hasher.finalize(), u32::from_le_bytes(stored));
    if computed == stored {
        return Ok(());
    }
    let EventHeader { kind, log_pos, .. } = *header;
    Err(DecodeError::Checksum {
        kind,
        log_pos,
        stored,
        computed,
    })
}

fn parse_format_description(body: &[u8], checksums: bool) -> Option<FormatDescription> {
    let mut cursor = Cursor::new(body);
    if cursor.u16()? != 4 {
        return None;
    }
    let version = cursor.take(50)?;
    let _created = cursor.u32()?;
    if usize::from(cursor.u8()?) != EventHeader::LEN {
        return None;
    }
    let end = version
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(version.len());
    let server_version = String::from_utf8_lossy(&version[..end]).into_owned();
    Some(FormatDescription {
        server_version,
        checksums,
    })
}

/// Reads type 4. MariaDB's first one comes before any format description and yet ends in a
/// checksum, which would read as part of the name: it is taken off when it is the right one.
fn parse_rotate<'a>(header: &EventHeader, body: &'a [u8], checksums: bool) -> Option<Event<'a>> {
    let mut body = body;
    if !checksums
        && let Some((rest, checksum)) = body.split_last_chunk::<4>()
        && verify_checksum(header, &[rest], *checksum).is_ok()
    {
        body = rest;
    }
    let mut cursor = Cursor::new(body);
    let position = cursor.u64()?;
    let file = std::str::from_utf8(cursor.rest()).ok()?;
    Some(Event::Rotate { position, file })
}

/// Events that are known and refused by name, ignorable ones, and unknown ones.
fn refuse(header: &EventHeader) -> Result<Event<'static>, DecodeError> {
    const STATEMENT: &str = "set binlog_format=ROW globally and in every session";
    const COMPRESSED: &str = "SET GLOBAL log_bin_compress = OFF and take a new snapshot";
    let EventHeader { kind, log_pos, .. } = *header;
    let (name, hint) = match kind {
        6..=12 | 17 | 18 => ("LOAD DATA as a statement", STATEMENT),
        20..=22 => ("rows of MySQL 5.1 betas", "no supported server writes it"),
        26 => (
            "INCIDENT",
            "the server says that it may have lost events: take a new snapshot",
        ),
        39 => (
            "PARTIAL_UPDATE_ROWS",
            "SET GLOBAL binlog_row_value_options = '' and take a new snapshot",
        ),
        164 => (
            "START_ENCRYPTION",
            "the dump thread decrypts: this is a file, not a stream",
        ),
        165 => ("QUERY_COMPRESSED", COMPRESSED),
        166..=171 => ("compressed rows", COMPRESSED),
        _ if header.is_ignorable() => return Ok(Event::Ignored),
        _ => return Err(DecodeError::UnknownEvent { kind, log_pos }),
    };
    Err(DecodeError::UnsupportedEvent {
        kind,
        name,
        hint,
        log_pos,
    })
}
