//! The records of `__consumer_offsets`, in Kafka's own formats.
//!
//! ```text
//! key   v0, v1: version i16, group text, topic text, partition i32          a committed offset
//! key   v2:     version i16, group text                                     a classic group
//! value of an offset: version i16, offset i64, [v3+ leader epoch i32], metadata text,
//!                     commit time i64, [v1 expiry time i64], [v4 tag 0: topic id, 16 bytes]
//! value of a group:   version i16, protocol type, generation i32, protocol?, leader?,
//!                     [v2+ state time i64], members: id, [v3+ instance id?], client id, host,
//!                     [v1+ rebalance timeout i32], session timeout i32, subscription, assignment
//! ```
//! A key without a value is a tombstone. Written are offsets in version 4 (1 with an expiry), the first
//! that holds the topic's id, and groups in version 3; read is every version. Keys of versions 3 and above
//! belong to the newer group protocols: they are named, not read.
//! Source: Kafka's OffsetCommitKey/Value and GroupMetadataKey/Value definitions.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

pub use super::record_bytes::RecordError;
use super::record_bytes::{Fields, Writer};
use super::{Generation, GroupId, InstanceId, MemberId};

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// The committed offset of one group in one partition.
    Offset {
        /// The group.
        group: GroupId,
        /// The topic's name.
        topic: Arc<str>,
        /// The partition of the topic.
        partition: i32,
    },
    /// The membership of one classic group.
    Group(GroupId),
    /// A key of a version this broker does not use.
    Other(i16),
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it, -1 if not told.
    pub leader_epoch: i32,
    /// What the client wrote beside it.
    pub metadata: Arc<str>,
    /// When it was committed, milliseconds since 1970.
    pub commit_time_ms: i64,
    /// When it expires, if the client set a retention (OffsetCommit v2 to v4).
    pub expiry_time_ms: Option<i64>,
    /// The incarnation of the topic; nil in records older than version 4.
    pub topic_id: Uuid,
}

/// A classic group, as of its last durable generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// "consumer", "connect", ...
    pub protocol_type: Arc<str>,
    /// The generation.
    pub generation: Generation,
    /// The chosen protocol; null while empty.
    pub protocol: Option<Arc<str>>,
    /// The member that assigns; null while empty.
    pub leader: Option<MemberId>,
    /// When its state last changed, milliseconds since 1970, -1 if not told.
    pub state_since_ms: i64,
    /// The members with their assignments.
    pub members: Vec<MemberRecord>,
}

/// One member inside [`GroupMetadata`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its id.
    pub member_id: MemberId,
    /// Its instance id, if static.
    pub instance_id: Option<InstanceId>,
    /// The client's own name.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// How long a join phase waits for it, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Silence after which it is dropped, in milliseconds.
    pub session_timeout_ms: i32,
    /// Its metadata for the chosen protocol.
    pub subscription: Bytes,
    /// Its part of the assignment.
    pub assignment: Bytes,
}

const FIRST_FLEXIBLE: i16 = 4;
const VERSION_MAX: i16 = 4;
const OFFSET_VERSION: i16 = 4;
const OFFSET_VERSION_WITH_EXPIRY: i16 = 1;
const GROUP_VERSION: i16 = 3;
const TOPIC_ID_TAG: usize = 0;

impl Key {
    /// The key's bytes; `Other` is never written and gives its version alone.
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        let writer = match self {
            Key::Offset {
                group,
                topic,
                partition,
            } => {
                let mut writer = Writer::new(1, false);
                writer.text(group)?;
                writer.text(topic)?;
                writer.i32(*partition);
                writer
            }
            Key::Group(group) => {
                let mut writer = Writer::new(2, false);
                writer.text(group)?;
                writer
            }
            Key::Other(version) => Writer::new(*version, false),
        };
        Ok(writer.finish())
    }

    /// Reads a key.
    pub fn decode(bytes: Bytes) -> Result<Key, RecordError> {
        let mut fields = Fields::new(bytes);
        match fields.i16()? {
            0 | 1 => Ok(Key::Offset {
                group: fields.text()?,
                topic: fields.text()?,
                partition: fields.i32()?,
            }),
            2 => Ok(Key::Group(fields.text()?)),
            other => Ok(Key::Other(other)),
        }
    }
}

fn versioned(bytes: Bytes) -> Result<(i16, Fields), RecordError> {
    let mut fields = Fields::new(bytes);
    let version = fields.i16()?;
    if !(0..=VERSION_MAX).contains(&version) {
        return Err(RecordError::UnknownVersion(version));
    }
    Ok((version, fields.flexible(version >= FIRST_FLEXIBLE)))
}

impl CommittedOffset {
    /// The value's bytes.
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        let version = match self.expiry_time_ms {
            Some(_) => OFFSET_VERSION_WITH_EXPIRY,
            None => OFFSET_VERSION,
        };
        let mut writer = Writer::new(version, version >= FIRST_FLEXIBLE);
        writer.i64(self.offset);
        if version >= 3 {
            writer.i32(self.leader_epoch);
        }
        writer.text(&self.metadata)?;
        writer.i64(self.commit_time_ms);
        if let Some(expiry) = self.expiry_time_ms {
            writer.i64(expiry);
        }
        if self.topic_id.is_nil() {
            writer.tags(&[])?;
        } else {
            writer.tags(&[(TOPIC_ID_TAG, self.topic_id.as_bytes())])?;
        }
        Ok(writer.finish())
    }

    /// Reads a value.
    pub fn decode(bytes: Bytes) -> Result<CommittedOffset, RecordError> {
        let (version, mut fields) = versioned(bytes)?;
        let offset = fields.i64()?;
        let leader_epoch = if version >= 3 { fields.i32()? } else { -1 };
        let metadata = fields.text()?;
        let commit_time_ms = fields.i64()?;
        let expiry = if version == 1 { fields.i64()? } else { -1 };
        let mut topic_id = Uuid::nil();
        fields.tags(|tag, bytes| {
            if tag == TOPIC_ID_TAG {
                topic_id = Uuid::from_slice(&bytes).map_err(|_| RecordError::CutShort)?;
            }
            Ok(())
        })?;
        Ok(CommittedOffset {
            offset,
            leader_epoch,
            metadata,
            commit_time_ms,
            expiry_time_ms: (expiry >= 0).then_some(expiry),
            topic_id,
        })
    }
}

impl GroupMetadata {
    /// The value's bytes.
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::new(GROUP_VERSION, false);
        writer.text(&self.protocol_type)?;
        writer.i32(self.generation.0);
        writer.nullable_text(self.protocol.as_deref())?;
        writer.nullable_text(self.leader.as_deref())?;
        writer.i64(self.state_since_ms);
        writer.count(self.members.len())?;
        for member in &self.members {
            writer.text(&member.member_id)?;
            writer.nullable_text(member.instance_id.as_deref())?;
            writer.text(&member.client_id)?;
            writer.text(&member.client_host)?;
            writer.i32(member.rebalance_timeout_ms);
            writer.i32(member.session_timeout_ms);
            writer.bytes(&member.subscription)?;
            writer.bytes(&member.assignment)?;
        }
        Ok(writer.finish())
    }

    /// Reads a value.
    pub fn decode(bytes: Bytes) -> Result<GroupMetadata, RecordError> {
        let (version, mut fields) = versioned(bytes)?;
        let protocol_type = fields.text()?;
        let generation = Generation(fields.i32()?);
        let protocol = fields.nullable_text()?;
        let leader = fields.nullable_text()?;
        let state_since_ms = if version >= 2 { fields.i64()? } else { -1 };
        let mut members = Vec::new();
        for _ in 0..fields.count()? {
            members.push(decode_member(version, &mut fields)?);
        }
        fields.tags(|_, _| Ok(()))?;
        Ok(GroupMetadata {
            protocol_type,
            generation,
            protocol,
            leader,
            state_since_ms,
            members,
        })
    }
}

fn decode_member(version: i16, fields: &mut Fields) -> Result<MemberRecord, RecordError> {
    let member_id = fields.text()?;
    let instance_id = if version >= 3 {
        fields.nullable_text()?
    } else {
        None
    };
    let client_id = fields.text()?;
    let client_host = fields.text()?;
    let first_timeout = fields.i32()?;
    let (rebalance_timeout_ms, session_timeout_ms) = if version >= 1 {
        (first_timeout, fields.i32()?)
    } else {
        (first_timeout, first_timeout)
    };
    let subscription = fields.bytes()?;
    let assignment = fields.bytes()?;
    fields.tags(|_, _| Ok(()))?;
    Ok(MemberRecord {
        member_id,
        instance_id,
        client_id,
        client_host,
        rebalance_timeout_ms,
        session_timeout_ms,
        subscription,
        assignment,
    })
}

#[cfg(test)]
mod tests;
