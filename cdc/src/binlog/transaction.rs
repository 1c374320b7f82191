//! The events that open a transaction: MySQL's GTID (33), anonymous GTID (34) and tagged GTID (42),
//! and MariaDB's GTID (162); and MariaDB's list of a file's start (163).
//!
//! ```text
//! 33, 34  flags u8 | server uuid 16 | number u64 | 2 | last_committed u64 | sequence u64 |
//!         immediate commit time u56 (bit 55: an original commit time u56 follows) | ...
//! 42      serialization version 2 | payload size | last field that counts | (field, value)...
//! 162     sequence u64 | domain u32 | flags u8 | commit id u64 or XA id or 6 zero bytes | ...
//! 163     count and flags u32 | (domain u32, server u32, sequence u64)...
//! ```
//! Sources: MySQL's Gtid_event class reference and serialization library; MariaDB's "GTID_EVENT".

use uuid::Uuid;

use crate::binlog::cursor::Cursor;
use crate::gtid::{Gtid, GtidSource, MariadbGtid, MysqlGtid, parse_tag};

/// The first event of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionStart {
    /// The transaction's id; `None` for an anonymous one (`gtid_mode` is not ON).
    pub gtid: Option<Gtid>,
    /// MariaDB: exactly one statement follows, and no COMMIT. Always false on MySQL, where a Query
    /// event that is not BEGIN has that meaning.
    pub standalone: bool,
    /// MariaDB: the statement is DDL. Always false on MySQL.
    pub ddl: bool,
    /// MariaDB: which half of an XA transaction this is. Always `None` on MySQL, which tells it by
    /// its XA PREPARE event and its statements.
    pub xa: Option<XaHalf>,
    /// Microseconds since 1970 of the commit on this server; MySQL only.
    pub commit_time_us: Option<u64>,
}

/// Which half of an XA transaction a MariaDB GTID opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XaHalf {
    /// The rows, up to XA PREPARE.
    Prepared,
    /// The decision: XA COMMIT or XA ROLLBACK.
    Completed,
}

/// Bit 55 of a 7-byte commit time says that the original server's time follows.
const ORIGINAL_TIME_FOLLOWS: u64 = 1 << 55;

/// Reads types 33 and 34.
pub(crate) fn parse_mysql(body: &[u8], anonymous: bool) -> Option<TransactionStart> {
    let mut cursor = Cursor::new(body);
    let _flags = cursor.u8()?;
    let server = Uuid::from_bytes(cursor.array()?);
    let number = cursor.u64()?;
    // The rest came with later versions, each part at the end of what was there.
    let commit_time_us = (|| {
        cursor.u8().filter(|typecode| *typecode == 2)?;
        cursor.take(16)?;
        cursor.uint(7).map(|time| time & !ORIGINAL_TIME_FOLLOWS)
    })();
    let gtid = if anonymous {
        None
    } else {
        Some(mysql_gtid(server, String::new(), number)?)
    };
    Some(TransactionStart {
        gtid,
        standalone: false,
        ddl: false,
        xa: None,
        commit_time_us,
    })
}

fn mysql_gtid(server: Uuid, tag: String, number: u64) -> Option<Gtid> {
    let fits = number >= 1 && i64::try_from(number).is_ok();
    let source = GtidSource { server, tag };
    fits.then_some(Gtid::Mysql(MysqlGtid { source, number }))
}

/// Reads type 42. Fields come in any order; an unknown one ends the reading if it says that it may
/// be ignored, as its length is not told.
pub(crate) fn parse_mysql_tagged(body: &[u8]) -> Option<TransactionStart> {
    let mut cursor = Cursor::new(body);
    if cursor.varlen()? != 1 {
        return None;
    }
    let size = usize::try_from(cursor.varlen()?).ok()?;
    let last_counting_field = cursor.varlen()?;
    let envelope = body.len() - cursor.rest().len();
    let mut fields = Cursor::new(cursor.take(size.checked_sub(envelope)?)?);
    let (mut server, mut number, mut tag, mut commit_time_us) = (None, None, None, None);
    while !fields.is_empty() {
        match fields.varlen()? {
            1 => {
                let mut uuid = [0; 16];
                for byte in &mut uuid {
                    *byte = u8::try_from(fields.varlen()?).ok()?;
                }
                server = Some(Uuid::from_bytes(uuid));
            }
            // Signed numbers keep their sign in the lowest bit.
            2 => {
                number = fields
                    .varlen()
                    .filter(|zigzag| zigzag & 1 == 0)
                    .map(|zigzag| zigzag >> 1);
            }
            3 => {
                let length = usize::try_from(fields.varlen()?).ok()?;
                tag = Some(std::str::from_utf8(fields.take(length)?).ok()?);
            }
            6 => commit_time_us = Some(fields.varlen()?),
            0 | 4 | 5 | 7..=11 => {
                fields.varlen()?;
            }
            unknown if unknown > last_counting_field => break,
            _ => return None,
        }
    }
    let tag = match tag {
        None | Some("") => String::new(),
        Some(tag) => parse_tag(tag)?,
    };
    let gtid = Some(mysql_gtid(server?, tag, number?)?);
    Some(TransactionStart {
        gtid,
        standalone: false,
        ddl: false,
        xa: None,
        commit_time_us,
    })
}

mod mariadb_flag {
    pub(super) const STANDALONE: u8 = 1;
    pub(super) const DDL: u8 = 32;
    pub(super) const PREPARED_XA: u8 = 64;
    pub(super) const COMPLETED_XA: u8 = 128;
}

/// Reads type 162; the server id is the header's.
pub(crate) fn parse_mariadb(body: &[u8], server: u32) -> Option<TransactionStart> {
    let mut cursor = Cursor::new(body);
    let sequence = cursor.u64()?;
    let domain = cursor.u32()?;
    let flags = cursor.u8()?;
    let xa = if flags & mariadb_flag::PREPARED_XA != 0 {
        Some(XaHalf::Prepared)
    } else if flags & mariadb_flag::COMPLETED_XA != 0 {
        Some(XaHalf::Completed)
    } else {
        None
    };
    Some(TransactionStart {
        gtid: Some(Gtid::Mariadb(MariadbGtid {
            domain,
            server,
            sequence,
        })),
        standalone: flags & mariadb_flag::STANDALONE != 0,
        ddl: flags & mariadb_flag::DDL != 0,
        xa,
        commit_time_us: None,
    })
}

/// Reads type 163: the last transaction of each (domain, server) before this file.
pub(crate) fn parse_mariadb_list(body: &[u8]) -> Option<Vec<MariadbGtid>> {
    let mut cursor = Cursor::new(body);
    // The upper four bits are flags.
    let count = usize::try_from(cursor.u32()? & 0x0fff_ffff).ok()?;
    if cursor.rest().len() / 16 < count {
        return None;
    }
    (0..count)
        .map(|_| {
            Some(MariadbGtid {
                domain: cursor.u32()?,
                server: cursor.u32()?,
                sequence: cursor.u64()?,
            })
        })
        .collect()
}
