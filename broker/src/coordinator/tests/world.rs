//! One group with its clock, its clients' tickets and a log that confirms when told to.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::coordinator::group::classic::ClassicGroup;
use crate::coordinator::group::event::{
    Effect, Event, GroupError, Heartbeat, Identity, Join, JoinRefused, Joined, Purpose, Reply,
    Sync, Synced,
};
use crate::coordinator::group::members::Protocol;
use crate::coordinator::group::records::GroupMetadata;
use crate::coordinator::group::{Generation, GroupSettings, Now, Ticket};

pub(super) const SESSION_MS: u64 = 10_000;
pub(super) const REBALANCE_MS: u64 = 30_000;

pub(super) struct World {
    pub(super) group: ClassicGroup,
    pub(super) now: Now,
    pub(super) replies: HashMap<Ticket, Reply>,
    pub(super) writes: VecDeque<(Purpose, GroupMetadata)>,
    /// What the log holds: the last confirmed write.
    pub(super) log: Option<GroupMetadata>,
    /// Writes are confirmed at once.
    pub(super) confirm: bool,
    pub(super) settings: Arc<GroupSettings>,
    next: u64,
}

pub(super) fn settings() -> GroupSettings {
    GroupSettings {
        initial_rebalance_delay: Duration::ZERO,
        ..GroupSettings::default()
    }
}

pub(super) fn id(member: &str) -> Identity {
    Identity {
        member_id: Arc::from(member),
        instance_id: None,
    }
}

pub(super) fn static_id(instance: &str, member: &str) -> Identity {
    Identity {
        member_id: Arc::from(member),
        instance_id: Some(Arc::from(instance)),
    }
}

pub(super) fn protocols(names: &[&str]) -> Vec<Protocol> {
    let protocol = |name: &&str| Protocol {
        name: Arc::from(*name),
        metadata: Bytes::from(format!("wants {name}")),
    };
    names.iter().map(protocol).collect()
}

pub(super) fn join(identity: Identity, fresh: &str, names: &[&str]) -> Join {
    Join {
        identity,
        fresh_member_id: Arc::from(fresh),
        client_id: Arc::from("client"),
        client_host: Arc::from("/127.0.0.1"),
        session_timeout_ms: i32::try_from(SESSION_MS).unwrap(),
        rebalance_timeout_ms: i32::try_from(REBALANCE_MS).unwrap(),
        protocol_type: Arc::from("consumer"),
        protocols: protocols(names),
        knows_member_id_required: false,
        can_skip_assignment: true,
    }
}

impl World {
    pub(super) fn new() -> World {
        World::with(settings())
    }

    pub(super) fn with(settings: GroupSettings) -> World {
        let settings = Arc::new(settings);
        World {
            group: ClassicGroup::new(settings.clone()),
            now: Now {
                tick_ms: 0,
                wall_ms: 1_000_000,
            },
            replies: HashMap::new(),
            writes: VecDeque::new(),
            log: None,
            confirm: true,
            settings,
            next: 0,
        }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }

    pub(super) fn event(&mut self, event: Event) {
        for effect in self.group.step(event, self.now) {
            match effect {
                Effect::Reply(ticket, reply) => {
                    assert!(ticket.0 <= self.next, "a reply to nobody");
                    let before = self.replies.insert(ticket, reply);
                    assert!(before.is_none(), "answered twice");
                }
                Effect::Write { purpose, metadata } => self.writes.push_back((purpose, metadata)),
            }
        }
        if self.confirm {
            self.confirm_all();
        }
    }

    pub(super) fn confirm_all(&mut self) {
        while !self.writes.is_empty() {
            self.written(Ok(()));
        }
    }

    /// Ends the oldest write.
    pub(super) fn written(&mut self, result: Result<(), GroupError>) {
        let (purpose, metadata) = self.writes.pop_front().expect("a write is under way");
        if result.is_ok() {
            self.log = Some(metadata);
        }
        self.event(Event::Written(purpose, result));
    }

    /// Lets time pass, firing each deadline when it is due.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.tick_ms + ms;
        while let Some(at) = self.group.next_deadline().filter(|at| *at <= end) {
            self.now.tick_ms = self.now.tick_ms.max(at);
            self.event(Event::Tick);
        }
        self.now.tick_ms = end;
    }

    /// The broker ends and starts again with what the log holds.
    pub(super) fn restart(&mut self) {
        self.replies.clear();
        self.writes.clear();
        self.group = match self.log.clone() {
            Some(metadata) => ClassicGroup::restore(metadata, self.settings.clone(), self.now),
            None => ClassicGroup::new(self.settings.clone()),
        };
    }

    pub(super) fn join(&mut self, join: Join) -> Ticket {
        let ticket = self.ticket();
        self.event(Event::Join(ticket, join));
        ticket
    }

    pub(super) fn sync(
        &mut self,
        identity: Identity,
        generation: Generation,
        assignments: &[(&str, &str)],
    ) -> Ticket {
        let ticket = self.ticket();
        let assignments = assignments
            .iter()
            .map(|(member, part)| (Arc::from(*member), Bytes::copy_from_slice(part.as_bytes())))
            .collect();
        let sync = Sync {
            identity,
            generation,
            protocol_type: None,
            protocol: None,
            assignments,
        };
        self.event(Event::Sync(ticket, sync));
        ticket
    }

    pub(super) fn heartbeat(
        &mut self,
        identity: Identity,
        generation: Generation,
    ) -> Result<(), GroupError> {
        let ticket = self.ticket();
        self.event(Event::Heartbeat(
            ticket,
            Heartbeat {
                identity,
                generation,
            },
        ));
        match self.take(ticket) {
            Reply::Heartbeat(result) => result,
            other => panic!("not a heartbeat's answer: {other:?}"),
        }
    }

    pub(super) fn leave(&mut self, identities: Vec<Identity>) -> Vec<Result<(), GroupError>> {
        let ticket = self.ticket();
        self.event(Event::Leave(ticket, identities));
        match self.take(ticket) {
            Reply::Leave(results) => results,
            other => panic!("not a leave's answer: {other:?}"),
        }
    }

    pub(super) fn take(&mut self, ticket: Ticket) -> Reply {
        self.replies.remove(&ticket).expect("answered")
    }

    pub(super) fn waits(&self, ticket: Ticket) -> bool {
        !self.replies.contains_key(&ticket)
    }

    pub(super) fn joined(&mut self, ticket: Ticket) -> Joined {
        match self.take(ticket) {
            Reply::Join(Ok(joined)) => joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket) -> JoinRefused {
        match self.take(ticket) {
            Reply::Join(Err(refused)) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(super) fn synced(&mut self, ticket: Ticket) -> Result<Synced, GroupError> {
        match self.take(ticket) {
            Reply::Sync(result) => result,
            other => panic!("not a sync's answer: {other:?}"),
        }
    }

    /// A stable group of these dynamic members, the first one leading; returns the generation.
    pub(super) fn stable(&mut self, members: &[&str]) -> Generation {
        let mut tickets = Vec::new();
        for (place, member) in members.iter().enumerate() {
            tickets.push(self.join(join(id(""), member, &["range"])));
            for known in &members[..place] {
                tickets.push(self.join(join(id(known), "", &["range"])));
            }
            tickets.retain(|ticket| {
                let done = self.replies.contains_key(ticket);
                self.replies.remove(ticket);
                !done
            });
        }
        assert!(tickets.is_empty(), "everyone joined");
        let generation = self.group.generation();
        self.settle(members, generation);
        generation
    }

    /// Everyone syncs; each member is assigned its own name.
    pub(super) fn settle(&mut self, members: &[&str], generation: Generation) {
        let parts: Vec<(&str, &str)> = members.iter().map(|member| (*member, *member)).collect();
        let leader = self.group.members().leader().cloned().expect("a leader");
        for member in members {
            let parts = if *leader == **member { &parts[..] } else { &[] };
            let identity = Identity {
                member_id: Arc::from(*member),
                instance_id: self
                    .group
                    .members()
                    .get(member)
                    .and_then(|m| m.instance_id.clone()),
            };
            let ticket = self.sync(identity, generation, parts);
            self.replies.remove(&ticket);
        }
        self.replies.clear();
    }
}
