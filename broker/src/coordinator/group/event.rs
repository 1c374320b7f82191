//! What goes into a group and what comes out: requests, replies, writes, and the ways to refuse.
//!
//! These are the coordinator's own shapes, not the wire's: one for every version of an API.

use bytes::Bytes;
use headrace_protocol::ErrorCode;

use super::members::Protocol;
use super::records::GroupMetadata;
use super::{Generation, InstanceId, MemberId, Ticket};
use std::sync::Arc;

/// Why a request to a group is refused; each has one Kafka error code ([`GroupError::code`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// A write cannot be answered for now; ask for the coordinator again.
    #[error("coordinator not available")]
    CoordinatorNotAvailable,
    /// The partition of this group is still being read.
    #[error("coordinator is loading")]
    CoordinatorLoading,
    /// This broker can no longer write for this group.
    #[error("not the coordinator")]
    NotCoordinator,
    /// The member is not in the group.
    #[error("unknown member id")]
    UnknownMemberId,
    /// The request is of another generation.
    #[error("illegal generation")]
    IllegalGeneration,
    /// The members must join again.
    #[error("rebalance in progress")]
    RebalanceInProgress,
    /// Another process took this instance id over.
    #[error("fenced instance id")]
    FencedInstanceId,
    /// No protocol is supported by all members.
    #[error("inconsistent group protocol")]
    InconsistentProtocol,
    /// Join again with the member id of this answer.
    #[error("member id required")]
    MemberIdRequired,
    /// The group holds as many members, or as many bytes of them, as it may.
    #[error("group is full")]
    GroupFull,
    /// The session timeout is out of bounds.
    #[error("invalid session timeout")]
    InvalidSessionTimeout,
    /// The group name is empty where it must not be.
    #[error("invalid group id")]
    InvalidGroupId,
    /// The text beside a committed offset is too long.
    #[error("offset metadata too large")]
    OffsetMetadataTooLarge,
    /// The commit does not fit in one batch.
    #[error("commit too large")]
    CommitTooLarge,
    /// The group has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// There is no such group.
    #[error("group not found")]
    GroupIdNotFound,
    /// Members of the group read the topic.
    #[error("the group is subscribed to the topic")]
    SubscribedToTopic,
    /// The request's fields contradict each other or its epoch.
    #[error("invalid request")]
    InvalidRequest,
    /// The member's epoch is not the one it was told.
    #[error("fenced member epoch")]
    FencedMemberEpoch,
    /// A living member has this instance id.
    #[error("unreleased instance id")]
    UnreleasedInstanceId,
    /// The broker has no assignor of this name.
    #[error("unsupported assignor")]
    UnsupportedAssignor,
    /// The sender's epoch is too old or too new for what it asks.
    #[error("stale member epoch")]
    StaleMemberEpoch,
    /// The pattern is none, or too large.
    #[error("invalid regular expression")]
    InvalidRegularExpression,
    /// The request's version cannot say what the group must know.
    #[error("unsupported version")]
    UnsupportedVersion,
    /// The group's state does not fit in one batch, or another failure without a code of its own.
    #[error("unknown server error")]
    Unknown,
}

impl GroupError {
    /// Kafka's error code.
    pub fn code(self) -> ErrorCode {
        match self {
            GroupError::Unknown => ErrorCode::UNKNOWN_SERVER_ERROR,
            GroupError::OffsetMetadataTooLarge => ErrorCode::OFFSET_METADATA_TOO_LARGE,
            GroupError::CoordinatorLoading => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            GroupError::CoordinatorNotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            GroupError::NotCoordinator => ErrorCode::NOT_COORDINATOR,
            GroupError::IllegalGeneration => ErrorCode::ILLEGAL_GENERATION,
            GroupError::InconsistentProtocol => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
            GroupError::InvalidGroupId => ErrorCode::INVALID_GROUP_ID,
            GroupError::UnknownMemberId => ErrorCode::UNKNOWN_MEMBER_ID,
            GroupError::InvalidSessionTimeout => ErrorCode::INVALID_SESSION_TIMEOUT,
            GroupError::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
            GroupError::CommitTooLarge => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
            GroupError::MemberIdRequired => ErrorCode::MEMBER_ID_REQUIRED,
            GroupError::GroupFull => ErrorCode::GROUP_MAX_SIZE_REACHED,
            GroupError::FencedInstanceId => ErrorCode::FENCED_INSTANCE_ID,
            GroupError::NonEmptyGroup => ErrorCode::NON_EMPTY_GROUP,
            GroupError::GroupIdNotFound => ErrorCode::GROUP_ID_NOT_FOUND,
            GroupError::SubscribedToTopic => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
            GroupError::InvalidRequest => ErrorCode::INVALID_REQUEST,
            GroupError::FencedMemberEpoch => ErrorCode::FENCED_MEMBER_EPOCH,
            GroupError::UnreleasedInstanceId => ErrorCode::UNRELEASED_INSTANCE_ID,
            GroupError::UnsupportedAssignor => ErrorCode::UNSUPPORTED_ASSIGNOR,
            GroupError::StaleMemberEpoch => ErrorCode::STALE_MEMBER_EPOCH,
            GroupError::InvalidRegularExpression => ErrorCode::INVALID_REGULAR_EXPRESSION,
            GroupError::UnsupportedVersion => ErrorCode::UNSUPPORTED_VERSION,
        }
    }
}

/// Who sends: member id (empty for a newcomer) and, for static members, the instance id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The member id the client holds; empty if it holds none.
    pub member_id: MemberId,
    /// The instance id the client is configured with.
    pub instance_id: Option<InstanceId>,
}

/// A wish to be in the next generation.
#[derive(Debug, Clone)]
pub struct Join {
    /// Who joins.
    pub identity: Identity,
    /// The id a newcomer gets; random, made by the caller.
    pub fresh_member_id: MemberId,
    /// The client's own name, shown by DescribeGroups.
    pub client_id: Arc<str>,
    /// The client's address, shown by DescribeGroups.
    pub client_host: Arc<str>,
    /// Silence after which the member is dropped, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long the group waits for this member to rejoin, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// "consumer", "connect", ...: all members of a group agree.
    pub protocol_type: Arc<str>,
    /// Ways of assigning the client knows, most wanted first.
    pub protocols: Vec<Protocol>,
    /// The client can be told its id first and join with it (v4 and later, trap 50).
    pub knows_member_id_required: bool,
    /// The client can be told to keep the assignment it leads (v9 and later, KIP-814).
    pub can_skip_assignment: bool,
}

/// One member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its member id.
    pub member_id: MemberId,
    /// Its instance id, if static.
    pub instance_id: Option<InstanceId>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// The generation a member is now in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: Generation,
    /// The group's protocol type.
    pub protocol_type: Arc<str>,
    /// The protocol everyone shall use.
    pub protocol: Arc<str>,
    /// Who assigns.
    pub leader: MemberId,
    /// The id of the member this answers.
    pub member_id: MemberId,
    /// The leader shall not assign: the assignment it has still holds.
    pub skip_assignment: bool,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A refused join; the member id is the one to come back with, or the one that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub error: GroupError,
    /// The member id of the answer.
    pub member_id: MemberId,
}

/// A member's question for its assignment; the leader brings everyone's.
#[derive(Debug, Clone)]
pub struct Sync {
    /// Who asks.
    pub identity: Identity,
    /// The generation it joined.
    pub generation: Generation,
    /// The protocol type it believes in (v5 and later).
    pub protocol_type: Option<Arc<str>>,
    /// The protocol it believes in (v5 and later).
    pub protocol: Option<Arc<str>>,
    /// Assignments by member id; empty unless it leads.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// A member's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: Arc<str>,
    /// The protocol of this generation.
    pub protocol: Arc<str>,
    /// What this member shall do, opaque.
    pub assignment: Bytes,
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Who lives.
    pub identity: Identity,
    /// The generation it is in.
    pub generation: Generation,
}

/// What happens to a group.
#[derive(Debug)]
pub enum Event {
    /// JoinGroup.
    Join(Ticket, Join),
    /// SyncGroup.
    Sync(Ticket, Sync),
    /// Heartbeat.
    Heartbeat(Ticket, Heartbeat),
    /// LeaveGroup: one or several members, answered in order.
    Leave(Ticket, Vec<Identity>),
    /// A write asked for by an effect is durable, or failed.
    Written(Purpose, Result<(), GroupError>),
    /// A deadline may have passed.
    Tick,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Event::Join`].
    Join(Result<Joined, JoinRefused>),
    /// To [`Event::Sync`].
    Sync(Result<Synced, GroupError>),
    /// To [`Event::Heartbeat`].
    Heartbeat(Result<(), GroupError>),
    /// To [`Event::Leave`]: one result per member, in the order asked.
    Leave(Vec<Result<(), GroupError>>),
}

/// Why a group is written; handed back with the outcome, so that the group goes on where it was.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// The assignment of this generation: Stable once durable.
    Assignment(Generation),
    /// A static member came back with a new member id and the same wishes: answered once durable.
    StaticReturn(Ticket, Box<Join>),
    /// The last member left: nobody waits, a failure only means older members after a restart.
    Emptied,
}

/// What the caller must do after a step.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request.
    Reply(Ticket, Reply),
    /// Make the group durable, then hand `purpose` back with the outcome.
    Write {
        /// Comes back in [`Event::Written`].
        purpose: Purpose,
        /// The whole state to write.
        metadata: GroupMetadata,
    },
}
