//! The records of such a group in `__consumer_offsets`, in Kafka's own formats.
//!
//! ```text
//! key  3: group                      the group's epoch                          tag 0: hash of its topics
//! key  4: group                      topics of the group, before Kafka 4.1; read past, never written
//! key  5: group, member              what a member wants                        tag 0: a member of the classic protocol
//! key  6: group                      the epoch of the targets                   tag 0: when they were computed
//! key  7: group, member              what a member shall hold
//! key  8: group, member              what a member holds, and its epoch         tag 0 of each topic: since which epochs
//! key 16: group, pattern             the topics behind a pattern
//! ```
//! The number of a key is its first two bytes; keys are fixed, values are version 0 and flexible. A key without a value
//! is a tombstone. Source: Kafka's `ConsumerGroup*Key` and `ConsumerGroup*Value` definitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::Epoch;
use super::member::{Hold, Phase, Wishes};
use super::partitions::{Held, Partitions};
use super::state::State;
use super::subscription::Resolved;
use crate::coordinator::group::record_bytes::{Fields, RecordError, Writer};
use crate::coordinator::group::{GroupId, MemberId};

/// The one version of the values.
const VALUE_VERSION: i16 = 0;

/// The tag of whatever a value has behind its fields.
const TAG: usize = 0;

/// One change of a group; `None` takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The group's epoch, and the hash of its topics.
    Epoch(Option<(Epoch, i64)>),
    /// What older releases wrote of the topics.
    OldTopics,
    /// What a member wants.
    Wishes(MemberId, Option<Arc<Wishes>>),
    /// The epoch of the targets, and when they were computed.
    TargetEpoch(Option<(Epoch, i64)>),
    /// What a member shall hold.
    Target(MemberId, Option<Arc<Partitions>>),
    /// What a member holds.
    Hold(MemberId, Option<Arc<Hold>>),
    /// The topics behind a pattern.
    Pattern(Arc<str>, Option<Arc<Resolved>>),
}

impl Record {
    fn key_number(&self) -> i16 {
        match self {
            Record::Epoch(_) => 3,
            Record::OldTopics => 4,
            Record::Wishes(..) => 5,
            Record::TargetEpoch(_) => 6,
            Record::Target(..) => 7,
            Record::Hold(..) => 8,
            Record::Pattern(..) => 16,
        }
    }

    /// Whether it takes something away.
    pub fn is_tombstone(&self) -> bool {
        match self {
            Record::Epoch(value) | Record::TargetEpoch(value) => value.is_none(),
            Record::OldTopics => true,
            Record::Wishes(_, value) => value.is_none(),
            Record::Target(_, value) => value.is_none(),
            Record::Hold(_, value) => value.is_none(),
            Record::Pattern(_, value) => value.is_none(),
        }
    }

    /// The key's bytes.
    pub fn key(&self, group: &str) -> Result<Bytes, RecordError> {
        let mut writer = Writer::new(self.key_number(), false);
        writer.text(group)?;
        match self {
            Record::Epoch(_) | Record::OldTopics | Record::TargetEpoch(_) => {}
            Record::Wishes(second, _)
            | Record::Target(second, _)
            | Record::Hold(second, _)
            | Record::Pattern(second, _) => writer.text(second)?,
        }
        Ok(writer.finish())
    }

    /// The value's bytes; `None` for a tombstone.
    pub fn value(&self) -> Result<Option<Bytes>, RecordError> {
        match self {
            Record::OldTopics => Ok(None),
            Record::Epoch(value) | Record::TargetEpoch(value) => {
                value.map(tagged_epoch).transpose()
            }
            Record::Wishes(_, value) => value.as_deref().map(wishes).transpose(),
            Record::Target(_, value) => value.as_deref().map(target).transpose(),
            Record::Hold(_, value) => value.as_deref().map(hold).transpose(),
            Record::Pattern(_, value) => value.as_deref().map(resolved).transpose(),
        }
    }

    /// Reads a record, with the group it is of; `None` if its key is not one of these.
    pub fn decode(
        key: Bytes,
        value: Option<Bytes>,
    ) -> Result<Option<(GroupId, Record)>, RecordError> {
        let mut key = Fields::new(key);
        let number = key.i16()?;
        if !matches!(number, 3..=8 | 16) {
            return Ok(None);
        }
        let group = key.text()?;
        let record = match number {
            3 => Record::Epoch(read_value(value, read_tagged_epoch)?),
            4 => Record::OldTopics,
            5 => Record::Wishes(key.text()?, read_value(value, read_wishes)?.map(Arc::new)),
            6 => Record::TargetEpoch(read_value(value, read_tagged_epoch)?),
            7 => Record::Target(key.text()?, read_value(value, read_target)?.map(Arc::new)),
            8 => Record::Hold(key.text()?, read_value(value, read_hold)?.map(Arc::new)),
            _ => Record::Pattern(key.text()?, read_value(value, read_resolved)?.map(Arc::new)),
        };
        Ok(Some((group, record)))
    }
}

impl State {
    /// What a record of the log says, while it is being read.
    pub fn replay(&mut self, record: Record) {
        match record {
            Record::Epoch(value) => {
                (self.epoch, self.metadata_hash) = value.unwrap_or_default();
            }
            Record::OldTopics => {}
            Record::Wishes(id, value) => self.replay_wishes(id, value.map(Arc::unwrap_or_clone)),
            Record::TargetEpoch(value) => {
                (self.assignment_epoch, self.assigned_at_ms) = value.unwrap_or_default();
            }
            Record::Target(id, Some(value)) => drop(self.targets.insert(id, value)),
            Record::Target(id, None) => drop(self.targets.remove(&id)),
            Record::Hold(id, value) => self.replay_hold(id, value.map(Arc::unwrap_or_clone)),
            Record::Pattern(text, Some(value)) => drop(self.patterns.insert(text, value)),
            Record::Pattern(text, None) => drop(self.patterns.remove(&text)),
        }
    }
}

fn read_value<T>(
    value: Option<Bytes>,
    read: impl FnOnce(&mut Fields) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    let Some(bytes) = value else {
        return Ok(None);
    };
    let mut fields = Fields::new(bytes);
    let version = fields.i16()?;
    if version != VALUE_VERSION {
        return Err(RecordError::UnknownVersion(version));
    }
    read(&mut fields.flexible(true)).map(Some)
}

fn value() -> Writer {
    Writer::new(VALUE_VERSION, true)
}

/// An epoch, and under the tag a number that is left out when it is 0.
fn tagged_epoch((epoch, number): (Epoch, i64)) -> Result<Bytes, RecordError> {
    let mut writer = value();
    writer.i32(epoch.0);
    let bytes = number.to_be_bytes();
    let tag: &[(usize, &[u8])] = if number == 0 { &[] } else { &[(TAG, &bytes)] };
    writer.tags(tag)?;
    Ok(writer.finish())
}

fn read_tagged_epoch(fields: &mut Fields) -> Result<(Epoch, i64), RecordError> {
    let epoch = Epoch(fields.i32()?);
    let mut number = 0;
    fields.tags(|tag, bytes| {
        if tag == TAG {
            number = Fields::new(bytes).i64()?;
        }
        Ok(())
    })?;
    Ok((epoch, number))
}

fn wishes(wishes: &Wishes) -> Result<Bytes, RecordError> {
    let mut writer = value();
    writer.nullable_text(wishes.instance_id.as_deref())?;
    writer.nullable_text(wishes.rack_id.as_deref())?;
    writer.text(&wishes.client_id)?;
    writer.text(&wishes.client_host)?;
    writer.count(wishes.topics.len())?;
    for topic in &wishes.topics {
        writer.text(topic)?;
    }
    writer.nullable_text(wishes.pattern.as_deref())?;
    writer.i32(wishes.rebalance_timeout_ms);
    writer.nullable_text(wishes.assignor.as_deref())?;
    writer.tags(&[])?;
    Ok(writer.finish())
}

fn read_wishes(fields: &mut Fields) -> Result<Wishes, RecordError> {
    let wishes = Wishes {
        instance_id: fields.nullable_text()?,
        rack_id: fields.nullable_text()?,
        client_id: fields.text()?,
        client_host: fields.text()?,
        topics: read_names(fields)?,
        pattern: fields.nullable_text()?,
        rebalance_timeout_ms: fields.i32()?,
        assignor: fields.nullable_text()?,
    };
    fields.tags(|_, _| Ok(()))?;
    Ok(wishes)
}

fn read_names(fields: &mut Fields) -> Result<BTreeSet<Arc<str>>, RecordError> {
    let mut names = BTreeSet::new();
    for _ in 0..fields.count()? {
        names.insert(fields.text()?);
    }
    Ok(names)
}

fn target(partitions: &Partitions) -> Result<Bytes, RecordError> {
    let mut writer = value();
    writer.count(partitions.topics().count())?;
    for (topic, numbers) in partitions.topics() {
        writer.raw(topic.as_bytes());
        writer.count(numbers.len())?;
        for number in numbers {
            writer.i32(*number);
        }
        writer.tags(&[])?;
    }
    writer.tags(&[])?;
    Ok(writer.finish())
}

fn read_target(fields: &mut Fields) -> Result<Partitions, RecordError> {
    let mut partitions = Partitions::default();
    for _ in 0..fields.count()? {
        let topic = read_uuid(fields)?;
        for _ in 0..fields.count()? {
            partitions.insert(topic, fields.i32()?);
        }
        fields.tags(|_, _| Ok(()))?;
    }
    fields.tags(|_, _| Ok(()))?;
    Ok(partitions)
}

fn read_uuid(fields: &mut Fields) -> Result<Uuid, RecordError> {
    Uuid::from_slice(&fields.raw(16)?).map_err(|_| RecordError::CutShort)
}

fn hold(hold: &Hold) -> Result<Bytes, RecordError> {
    let mut writer = value();
    writer.i32(hold.epoch.0);
    writer.i32(hold.previous_epoch.0);
    writer.i8(hold.phase.number());
    held(&hold.assigned, &mut writer)?;
    held(&hold.revoking, &mut writer)?;
    writer.tags(&[])?;
    Ok(writer.finish())
}

fn held(held: &Held, writer: &mut Writer) -> Result<(), RecordError> {
    writer.count(held.topics().count())?;
    for (topic, numbers) in held.topics() {
        writer.raw(topic.as_bytes());
        writer.count(numbers.len())?;
        for number in numbers.keys() {
            writer.i32(*number);
        }
        let mut epochs = Writer::bare(true);
        epochs.count(numbers.len())?;
        for since in numbers.values() {
            epochs.i32(since.0);
        }
        writer.tags(&[(TAG, &epochs.finish())])?;
    }
    Ok(())
}

fn read_hold(fields: &mut Fields) -> Result<Hold, RecordError> {
    let (epoch, previous_epoch) = (Epoch(fields.i32()?), Epoch(fields.i32()?));
    let hold = Hold {
        epoch,
        previous_epoch,
        phase: Phase::of(fields.i8()?),
        assigned: read_held(fields, epoch)?,
        revoking: read_held(fields, epoch)?,
    };
    fields.tags(|_, _| Ok(()))?;
    Ok(hold)
}

/// Partitions with their epochs; releases before 4.3 did not write them, then the member's own epoch stands for all.
fn read_held(fields: &mut Fields, epoch: Epoch) -> Result<Held, RecordError> {
    let mut held = Held::default();
    for _ in 0..fields.count()? {
        let topic = read_uuid(fields)?;
        let mut numbers = Vec::new();
        for _ in 0..fields.count()? {
            numbers.push(fields.i32()?);
        }
        let mut epochs = Vec::new();
        fields.tags(|tag, bytes| {
            if tag != TAG {
                return Ok(());
            }
            let mut fields = Fields::new(bytes).flexible(true);
            for _ in 0..fields.nullable_count()?.unwrap_or(0) {
                epochs.push(Epoch(fields.i32()?));
            }
            Ok(())
        })?;
        let since = epochs.into_iter().chain(std::iter::repeat(epoch));
        for (number, since) in numbers.into_iter().zip(since) {
            held.insert(topic, number, since);
        }
    }
    Ok(held)
}

fn resolved(resolved: &Resolved) -> Result<Bytes, RecordError> {
    let mut writer = value();
    writer.count(resolved.topics.len())?;
    for topic in &resolved.topics {
        writer.text(topic)?;
    }
    writer.i64(resolved.version);
    writer.i64(resolved.at_ms);
    writer.tags(&[])?;
    Ok(writer.finish())
}

fn read_resolved(fields: &mut Fields) -> Result<Resolved, RecordError> {
    let resolved = Resolved {
        topics: read_names(fields)?,
        version: fields.i64()?,
        at_ms: fields.i64()?,
    };
    fields.tags(|_, _| Ok(()))?;
    Ok(resolved)
}

#[cfg(test)]
mod tests;
