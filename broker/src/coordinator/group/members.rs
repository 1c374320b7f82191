//! The members of one group: by id, by instance id, and those who were only told an id so far.
//!
//! Invariants: an instance id names exactly one member; a pending id is no member; the leader is a member
//! or the group has none; `metadata_bytes` is the sum over all members.

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

    /// The metadata it offers under a protocol; empty if it does not offer it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|offered| &*offered.name == protocol)
            .map_or_else(Bytes::new, |offered| offered.metadata.clone())
    }
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

    /// One member, to change anything but its id, instance id and protocols.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    /// All members, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// All members, by id, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_id.values_mut()
    }

    /// The member that holds an instance id.
    pub fn holder(&self, instance: &str) -> Option<&MemberId> {
        self.by_instance.get(instance)
    }

    /// Adds a member; the first one leads. Its id stops being pending.
    pub fn add(&mut self, member: Member) {
        self.pending.remove(&member.id);
        if let Some(instance) = &member.instance_id {
            self.by_instance.insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.metadata_bytes += protocol_bytes(&member.protocols);
        let before = self.by_id.insert(member.id.clone(), member);
        debug_assert!(before.is_none(), "member ids are random");
    }

    /// Removes a member; the first of the rest leads if it led.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        self.metadata_bytes -= protocol_bytes(&member.protocols);
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
        if let Some(member) = self.by_id.get_mut(id) {
            self.metadata_bytes -= protocol_bytes(&member.protocols);
            self.metadata_bytes += protocol_bytes(&join.protocols);
            member.protocols.clone_from(&join.protocols);
            member.session_timeout = millis(join.session_timeout_ms);
            member.rebalance_timeout = millis(join.rebalance_timeout_ms);
            member.client_id = join.client_id.clone();
            member.client_host = join.client_host.clone();
        }
    }

    /// The ids that were handed out and not joined with.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Hands an id out.
    pub fn add_pending(&mut self, id: MemberId) {
        self.pending.insert(id);
    }

    /// Whether an id was handed out and not joined with.
    pub fn is_pending(&self, id: &str) -> bool {
        self.pending.contains(id)
    }

    /// Takes an id back; false if it was not handed out.
    pub fn remove_pending(&mut self, id: &str) -> bool {
        self.pending.remove(id)
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
