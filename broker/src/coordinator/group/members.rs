//! The members of one group: by id, by instance id, and those who were only told an id so far.
//!
//! Invariants: an instance id names exactly one member; a pending id is no member; the leader is a member
//! or the group has none; `metadata_bytes`, `assigned_bytes` and `held_bytes` are sums over all members.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::event::{GroupError, Identity, Join};
use super::{InstanceId, MemberId, Ticket};

/// A way of assigning that a client offers, with what it wants to tell the leader under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// The name, e.g. "range" or "cooperative-sticky".
    pub name: Arc<str>,
    /// Opaque to the broker.
    pub metadata: Bytes,
}

/// One member.
#[derive(Debug)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its instance id, if static.
    pub instance_id: Option<InstanceId>,
    /// The client's own name.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Silence after which it is dropped.
    pub session_timeout: Duration,
    /// How long a join phase waits for it.
    pub rebalance_timeout: Duration,
    /// What it offers, most wanted first.
    pub protocols: Vec<Protocol>,
    /// Its part of the last durable assignment; empty before the first.
    pub assignment: Bytes,
    /// It has never completed a join phase, so it cannot send heartbeats yet.
    pub is_new: bool,
    /// Its unanswered JoinGroup.
    pub awaits_join: Option<Ticket>,
    /// Its unanswered SyncGroup.
    pub awaits_sync: Option<Ticket>,
    /// It has asked for (or brought) the assignment of this generation.
    pub has_synced: bool,
}

impl Member {
    /// A newcomer with this id.
    pub fn new(id: MemberId, join: &Join) -> Member {
        Member {
            id,
            instance_id: join.identity.instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout: millis(join.session_timeout_ms),
            rebalance_timeout: millis(join.rebalance_timeout_ms),
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            is_new: true,
            awaits_join: None,
            awaits_sync: None,
            has_synced: false,
        }
    }

    /// Bytes it holds on to.
    pub fn held_bytes(&self) -> usize {
        let texts = self.id.len()
            + self.instance_id.as_ref().map_or(0, |id| id.len())
            + self.client_id.len()
            + self.client_host.len();
        let offered = SMALL_BYTES * self.protocols.len() + protocol_bytes(&self.protocols);
        MEMBER_BYTES + texts + offered + self.assignment.len()
    }

    /// The metadata it offers under a protocol; empty if it does not offer it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|offered| &*offered.name == protocol)
            .map_or_else(Bytes::new, |offered| offered.metadata.clone())
    }
}

/// What a member costs beside its texts and bytes: its fields, its places in maps, its deadline.
const MEMBER_BYTES: usize = 768;

/// The same for an id that nobody has joined with, and for an offered protocol.
const SMALL_BYTES: usize = 192;

/// Bytes a member will hold on to, without an assignment.
pub fn join_bytes(join: &Join) -> usize {
    let instance = join.identity.instance_id.as_ref().map_or(0, |id| id.len());
    let texts = join
        .fresh_member_id
        .len()
        .max(join.identity.member_id.len())
        + instance
        + join.client_id.len()
        + join.client_host.len();
    MEMBER_BYTES + texts + SMALL_BYTES * join.protocols.len() + protocol_bytes(&join.protocols)
}

/// Bytes a list of protocols holds on to.
pub fn protocol_bytes(protocols: &[Protocol]) -> usize {
    protocols
        .iter()
        .map(|protocol| protocol.name.len() + protocol.metadata.len())
        .sum()
}

/// Milliseconds from the wire; a negative number counts as none.
pub fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// All members of a group.
#[derive(Debug, Default)]
pub struct Members {
    by_id: BTreeMap<MemberId, Member>,
    by_instance: HashMap<InstanceId, MemberId>,
    pending: BTreeSet<MemberId>,
    leader: Option<MemberId>,
    metadata_bytes: usize,
    assigned_bytes: usize,
    held_bytes: usize,
}

impl Members {
    /// The number of members, pending ones not counted.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Bytes of protocol metadata held.
    pub fn metadata_bytes(&self) -> usize {
        self.metadata_bytes
    }

    /// Bytes of assignments held.
    pub fn assigned_bytes(&self) -> usize {
        self.assigned_bytes
    }

    /// Bytes that members and ids hold on to.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The member that assigns.
    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    /// Whether this member assigns.
    pub fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Makes a member the one that assigns.
    pub fn set_leader(&mut self, id: MemberId) {
        debug_assert!(self.by_id.contains_key(&id), "a leader is a member");
        self.leader = Some(id);
    }

    /// One member.
    pub fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    /// One member, to change anything but its texts, protocols and assignment.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    /// All members, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// All members, by id, to change as with [`Members::get_mut`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_id.values_mut()
    }

    /// The member that holds an instance id.
    pub fn holder(&self, instance: &str) -> Option<&MemberId> {
        self.by_instance.get(instance)
    }

    /// Adds a member; the first one leads. Its id stops being pending.
    pub fn add(&mut self, member: Member) {
        self.remove_pending(&member.id);
        if let Some(instance) = &member.instance_id {
            self.by_instance.insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.count(&member);
        let before = self.by_id.insert(member.id.clone(), member);
        debug_assert!(before.is_none(), "member ids are random");
    }

    /// Removes a member; the first of the rest leads if it led.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        self.uncount(&member);
        if let Some(instance) = &member.instance_id
            && self.by_instance.get(instance) == Some(&member.id)
        {
            self.by_instance.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.by_id.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a member a new id: the same static member in a new process. It keeps its assignment and its
    /// place as leader; its unanswered requests belong to the old process and are returned.
    pub fn rename(&mut self, old: &str, new: MemberId) -> Vec<(Ticket, Awaited)> {
        let led = self.is_leader(old);
        let Some(mut member) = self.remove(old) else {
            return Vec::new();
        };
        let abandoned = take_awaited(&mut member);
        member.id = new.clone();
        self.add(member);
        if led {
            self.leader = Some(new);
        }
        abandoned
    }

    /// Takes over the wishes of a rejoining member.
    pub fn update(&mut self, id: &str, join: &Join) {
        let Some(mut member) = self.by_id.remove(id) else {
            return;
        };
        self.uncount(&member);
        member.protocols.clone_from(&join.protocols);
        member.session_timeout = millis(join.session_timeout_ms);
        member.rebalance_timeout = millis(join.rebalance_timeout_ms);
        member.client_id = join.client_id.clone();
        member.client_host = join.client_host.clone();
        self.count(&member);
        self.by_id.insert(member.id.clone(), member);
    }

    /// Gives every member its part, nothing to those that are not named.
    pub fn assign(&mut self, mut parts: HashMap<MemberId, Bytes>) {
        let before = self.assigned_bytes;
        self.assigned_bytes = 0;
        for member in self.by_id.values_mut() {
            member.assignment = parts.remove(&member.id).unwrap_or_default();
            self.assigned_bytes += member.assignment.len();
        }
        self.held_bytes = self.held_bytes - before + self.assigned_bytes;
    }

    fn count(&mut self, member: &Member) {
        self.metadata_bytes += protocol_bytes(&member.protocols);
        self.assigned_bytes += member.assignment.len();
        self.held_bytes += member.held_bytes();
    }

    fn uncount(&mut self, member: &Member) {
        self.metadata_bytes -= protocol_bytes(&member.protocols);
        self.assigned_bytes -= member.assignment.len();
        self.held_bytes -= member.held_bytes();
    }

    /// The ids that were handed out and not joined with.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Hands an id out.
    pub fn add_pending(&mut self, id: MemberId) {
        self.held_bytes += SMALL_BYTES + id.len();
        self.pending.insert(id);
    }

    /// Whether an id was handed out and not joined with.
    pub fn is_pending(&self, id: &str) -> bool {
        self.pending.contains(id)
    }

    /// Takes an id back; false if it was not handed out.
    pub fn remove_pending(&mut self, id: &str) -> bool {
        let was = self.pending.remove(id);
        if was {
            self.held_bytes -= SMALL_BYTES + id.len();
        }
        was
    }

    /// Whether every member has an unanswered join, and nobody is about to join.
    pub fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.iter().all(|member| member.awaits_join.is_some())
    }

    /// The longest time a join phase waits.
    pub fn rebalance_timeout_max(&self) -> Duration {
        self.iter()
            .map(|member| member.rebalance_timeout)
            .max()
            .unwrap_or(Duration::ZERO)
    }

    /// Checks that the sender is the member it says it is (traps 53, 54): 25 if unknown, 82 if another
    /// process holds its instance id.
    pub fn check(&self, identity: &Identity) -> Result<&Member, GroupError> {
        if let Some(instance) = &identity.instance_id {
            match self.by_instance.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(holder) if *holder != identity.member_id => {
                    return Err(GroupError::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        self.get(&identity.member_id)
            .ok_or(GroupError::UnknownMemberId)
    }
}

/// Which of a member's requests a ticket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// A JoinGroup.
    Join,
    /// A SyncGroup.
    Sync,
}

/// Takes a member's unanswered requests from it.
pub fn take_awaited(member: &mut Member) -> Vec<(Ticket, Awaited)> {
    let join = member
        .awaits_join
        .take()
        .map(|ticket| (ticket, Awaited::Join));
    let sync = member
        .awaits_sync
        .take()
        .map(|ticket| (ticket, Awaited::Sync));
    join.into_iter().chain(sync).collect()
}
