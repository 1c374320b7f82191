//! What the groups of a partition are asked, and what they want done: answers, appends, descriptions.

use std::sync::Arc;

use bytes::Bytes;

use crate::coordinator::group::consumer::request;
use crate::coordinator::group::event::{GroupError, Identity, Reply};
use crate::coordinator::group::offsets::{CommittedOffset, TopicPartition};
use crate::coordinator::group::{Generation, GroupId, GroupState, Ticket};

/// A write handed to the log, in the order of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// A record for the log; no value is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// The key, see [`Key`](crate::coordinator::group::records::Key).
    pub key: Bytes,
    /// The value.
    pub value: Option<Bytes>,
}

/// Why a write did not become durable, as the coordinator tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Not confirmed in time or refused for now; it may still come out either way.
    #[error("the log did not confirm the write")]
    Unavailable,
    /// This broker's log cannot be written any more.
    #[error("the log is closed to writes")]
    Closed,
    /// The records do not fit in one batch.
    #[error("the records do not fit in one batch")]
    TooLarge,
}

impl AppendError {
    pub(super) fn for_group(self) -> GroupError {
        match self {
            AppendError::Unavailable => GroupError::CoordinatorNotAvailable,
            AppendError::Closed => GroupError::NotCoordinator,
            AppendError::TooLarge => GroupError::Unknown,
        }
    }

    pub(super) fn for_commit(self) -> GroupError {
        match self {
            AppendError::TooLarge => GroupError::CommitTooLarge,
            other => other.for_group(),
        }
    }
}

/// What to do after a step.
#[derive(Debug)]
pub enum Output {
    /// Answer a request.
    Answer(Ticket, Answer),
    /// Make these records durable as one piece, then call
    /// [`Groups::written`](super::Groups::written).
    Append(WriteId, Vec<LogRecord>),
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// To a group event.
    Group(Reply),
    /// To a commit: one result for each offset, in the order asked.
    Commit(Vec<Result<(), GroupError>>),
    /// To a heartbeat of the newer protocol.
    ConsumerHeartbeat(request::Answer),
    /// To the deletion of a group.
    Deleted(Result<(), GroupError>),
    /// To the deletion of offsets: one result for each, in the order asked.
    OffsetsDeleted(Result<Vec<Result<(), GroupError>>, GroupError>),
}

/// An offset commit of one group.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Who commits; empty for a simple consumer.
    pub identity: Identity,
    /// The generation it is in (in the newer protocol, the epoch), -1 for a simple consumer.
    pub generation: Generation,
    /// The request is of a version that has errors for epochs (9 and later).
    pub knows_epochs: bool,
    /// What it commits.
    pub offsets: Vec<(TopicPartition, CommittedOffset)>,
}

/// One group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Its name.
    pub group: GroupId,
    /// Its protocol type; empty if it only holds offsets.
    pub protocol_type: Arc<str>,
    /// Which protocol it is of.
    pub kind: GroupKind,
    /// The name of where it stands.
    pub state: &'static str,
}

/// Which protocol a group is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// Its leader assigns, or it only holds offsets.
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

impl GroupKind {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            GroupKind::Classic => "classic",
            GroupKind::Consumer => "consumer",
        }
    }
}

/// One group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Where it stands.
    pub state: GroupState,
    /// Its protocol type.
    pub protocol_type: Arc<str>,
    /// The protocol of this generation; empty unless stable.
    pub protocol: Arc<str>,
    /// Who is in it.
    pub members: Vec<MemberDescription>,
}

/// One member in a [`Description`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its instance id, if static.
    pub instance_id: Option<Arc<str>>,
    /// The client's own name.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Its metadata for the protocol; empty unless stable.
    pub metadata: Bytes,
    /// Its part of the last durable assignment.
    pub assignment: Bytes,
}
