//! What consumers put into the opaque bytes of their group: a subscription when they join, an assignment when they
//! sync. The broker stores both without looking; only `group describe` reads them.
//!
//! ```text
//! bytes = int16 version | fields of that version     (never flexible)
//! ```
//!
//! A newer version is read as the newest known one, because new versions may only add fields at the end.

use bytes::Bytes;

use crate::messages::{Message, messages};
use crate::text::Str;
use crate::wire::{DecodeError, Decoder, EncodeError, Encoder};

messages! {
    data ConsumerProtocolSubscription, ConsumerProtocolAssignment [0..=3];

    /// What a consumer wants to read, and what it has.
    pub struct ConsumerProtocolSubscription {
        topics: Vec<Str> [..];
        user_data: Option<Bytes> [..];
        owned_partitions: Vec<TopicPartition> [1.., ignorable];
        generation_id: i32 [2.., ignorable] = -1;
        rack_id: Option<Str> [3.., ignorable];
    }

    /// What a consumer is to read.
    pub struct ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartition> [..];
        user_data: Option<Bytes> [..];
    }

    /// Partitions of one topic.
    pub struct TopicPartition {
        topic: Str [..];
        partitions: Vec<i32> [..];
    }
}

/// Reads a [`ConsumerProtocolSubscription`] or [`ConsumerProtocolAssignment`] with the version before it.
pub fn decode_versioned<M: Message>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut from = Decoder::new(bytes);
    let version = from.i16()?;
    M::decode(&mut from, version.min(*M::VERSIONS.end()))
}

/// Writes one with its version before it.
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut to = Encoder::new();
    to.i16(version);
    message.encode(&mut to, version)?;
    Ok(Bytes::from(to.finish()?.concat()))
}
