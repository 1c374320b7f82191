//! Random histories of one group: clients that join, sync, beat, leave, come back and die, a log that fails,
//! and a broker that restarts.
//!
//! Held at every step (L16 and trap 53 to 55): a generation's assignment, once given out, is the same for
//! everyone who is given it; one member at a time is told that it leads a generation; an assignment that is
//! given out is durable; no request is answered twice; and at the end of time every request has been answered and no session is left without a deadline.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::world::{World, id, join, static_id};
use crate::coordinator::group::event::{Event, GroupError, Identity, Join, Reply, Sync};
use crate::coordinator::group::{Generation, GroupState, Ticket};

/// What the test does next; clients 0 and 1 are static, the others dynamic.
#[derive(Debug, Clone)]
enum Action {
    Join { client: usize, sticky: bool },
    Restarted { client: usize },
    Sync { client: usize },
    Beat { client: usize },
    Leave { client: usize },
    Pass { ms: u64 },
    Confirm { ok: bool },
    Restart,
}

const CLIENTS: usize = 5;

fn action() -> impl Strategy<Value = Action> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), any::<bool>()).prop_map(|(client, sticky)| Action::Join { client, sticky }),
        1 => client.clone().prop_map(|client| Action::Restarted { client }),
        6 => client.clone().prop_map(|client| Action::Sync { client }),
        4 => client.clone().prop_map(|client| Action::Beat { client }),
        1 => client.prop_map(|client| Action::Leave { client }),
        3 => (1_u64..15_000).prop_map(|ms| Action::Pass { ms }),
        5 => prop::bool::weighted(0.8).prop_map(|ok| Action::Confirm { ok }),
        1 => Just(Action::Restart),
    ]
}

#[derive(Debug, Clone, Default)]
struct Client {
    member_id: String,
    generation: Option<Generation>,
    leads: bool,
    members: Vec<String>,
}

#[derive(Default)]
struct Checker {
    clients: Vec<Client>,
    /// Who asked; answered tickets are removed.
    open: HashMap<Ticket, (usize, String)>,
    /// Per broker life and generation: who was told to lead.
    leaders: HashMap<(u32, Generation), HashSet<String>>,
    /// Per broker life, generation and member: the part it was given.
    parts: HashMap<(u32, Generation, String), String>,
    life: u32,
    fresh: u32,
}

impl Checker {
    fn identity(&self, client: usize) -> Identity {
        let member_id = &self.clients[client].member_id;
        if client < 2 {
            static_id(&format!("s{client}"), member_id)
        } else {
            id(member_id)
        }
    }

    fn absorb(&mut self, world: &mut World) {
        for (ticket, reply) in std::mem::take(&mut world.replies) {
            let Some((client, asked_as)) = self.open.remove(&ticket) else {
                continue;
            };
            if self.clients[client].member_id != asked_as {
                continue;
            }
            match reply {
                Reply::Join(Ok(joined)) => {
                    let leads = joined.leader == joined.member_id;
                    if leads && !joined.skip_assignment {
                        let leaders = self
                            .leaders
                            .entry((self.life, joined.generation))
                            .or_default();
                        leaders.insert(joined.member_id.to_string());
                    }
                    assert_eq!(
                        leads,
                        !joined.members.is_empty(),
                        "only the leader gets members"
                    );
                    self.clients[client] = Client {
                        member_id: joined.member_id.to_string(),
                        generation: Some(joined.generation),
                        leads: leads && !joined.skip_assignment,
                        members: joined
                            .members
                            .iter()
                            .map(|m| m.member_id.to_string())
                            .collect(),
                    };
                }
                Reply::Join(Err(refused)) if refused.error == GroupError::MemberIdRequired => {
                    self.clients[client].member_id = refused.member_id.to_string();
                }
                Reply::Sync(Ok(synced)) => {
                    let me = &self.clients[client];
                    let part = String::from_utf8(synced.assignment.to_vec()).unwrap();
                    let generation = me.generation.expect("it joined");
                    let key = (self.life, generation, me.member_id.clone());
                    let before = self.parts.entry(key).or_insert_with(|| part.clone());
                    assert_eq!(*before, part, "the assignment of a generation changed");
                    let durable = world.log.as_ref().map(|log| log.generation);
                    assert_eq!(durable, Some(generation), "given out before it was durable");
                    if !part.is_empty() && client >= 2 {
                        assert!(
                            part.ends_with(&format!("/{}", me.member_id)),
                            "the part of another"
                        );
                    }
                }
                Reply::Join(Err(refused)) => self.lost(client, refused.error),
                Reply::Sync(Err(error)) | Reply::Heartbeat(Err(error)) => self.lost(client, error),
                Reply::Heartbeat(Ok(())) | Reply::Leave(_) => {}
            }
        }
    }

    /// What a client forgets when it is refused.
    fn lost(&mut self, client: usize, error: GroupError) {
        if matches!(
            error,
            GroupError::UnknownMemberId | GroupError::FencedInstanceId
        ) {
            self.clients[client] = Client::default();
        }
    }

    fn run(&mut self, world: &mut World, action: &Action) {
        match action {
            Action::Join { client, sticky } => self.join(world, *client, *sticky),
            Action::Restarted { client } => self.clients[*client] = Client::default(),
            Action::Sync { client } => {
                let me = self.clients[*client].clone();
                let Some(generation) = me.generation else {
                    return;
                };
                let part = |member: &String| {
                    let part = format!("{}/{member}", generation.0);
                    (member.as_str().into(), part.into_bytes().into())
                };
                let sync = Sync {
                    identity: self.identity(*client),
                    generation,
                    protocol_type: None,
                    protocol: None,
                    assignments: if me.leads {
                        me.members.iter().map(part).collect()
                    } else {
                        vec![]
                    },
                };
                self.ask(world, *client, |ticket| Event::Sync(ticket, sync));
            }
            Action::Beat { client } => {
                let Some(generation) = self.clients[*client].generation else {
                    return;
                };
                let beat = crate::coordinator::group::event::Heartbeat {
                    identity: self.identity(*client),
                    generation,
                };
                self.ask(world, *client, |ticket| Event::Heartbeat(ticket, beat));
            }
            Action::Leave { client } => {
                let who = vec![self.identity(*client)];
                self.ask(world, *client, |ticket| Event::Leave(ticket, who));
                self.clients[*client] = Client::default();
            }
            Action::Pass { ms } => world.pass(*ms),
            Action::Confirm { ok } => {
                if !world.writes.is_empty() {
                    world.written(if *ok {
                        Ok(())
                    } else {
                        Err(GroupError::CoordinatorNotAvailable)
                    });
                }
            }
            Action::Restart => {
                world.restart();
                self.open.clear();
                self.life += 1;
            }
        }
        self.absorb(world);
        self.check(world);
    }

    fn join(&mut self, world: &mut World, client: usize, sticky: bool) {
        self.fresh += 1;
        let names: &[&str] = if sticky {
            &["sticky", "range"]
        } else {
            &["range"]
        };
        let fresh = format!("m{client}-{}", self.fresh);
        let request = Join {
            knows_member_id_required: client.is_multiple_of(2),
            ..join(self.identity(client), &fresh, names)
        };
        self.ask(world, client, |ticket| Event::Join(ticket, request));
    }

    fn ask(&mut self, world: &mut World, client: usize, event: impl FnOnce(Ticket) -> Event) {
        let ticket = world.ticket();
        self.open
            .insert(ticket, (client, self.clients[client].member_id.clone()));
        world.event(event(ticket));
    }

    fn check(&self, world: &World) {
        let group = &world.group;
        let members = group.members();
        if group.state() == GroupState::Empty {
            assert!(members.is_empty() && members.leader().is_none());
        } else if !members.is_empty() {
            assert!(members.get(members.leader().expect("a leader")).is_some());
        }
        if group.state() != GroupState::Empty {
            assert!(
                group.next_deadline().is_some() || waits_for_log(world),
                "a group that hangs"
            );
        }
        let mut instances = HashSet::new();
        for member in members.iter() {
            if let Some(instance) = &member.instance_id {
                assert!(instances.insert(instance.clone()), "an instance id twice");
                assert_eq!(members.holder(instance), Some(&member.id));
            }
            for ticket in member.awaits_join.iter().chain(&member.awaits_sync) {
                assert!(
                    self.open.contains_key(ticket),
                    "a member waits for an answered request"
                );
            }
        }
    }
}

fn waits_for_log(world: &World) -> bool {
    !world.writes.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn one_owner_per_generation_and_no_member_lost(actions in prop::collection::vec(action(), 1..120)) {
        let mut world = World::new();
        world.confirm = false;
        let mut checker = Checker { clients: vec![Client::default(); CLIENTS], ..Checker::default() };
        for action in &actions {
            checker.run(&mut world, action);
        }
        for ((_, generation), leaders) in &checker.leaders {
            prop_assert!(leaders.len() <= 1, "{generation} was led by {leaders:?}");
        }
        // Everyone falls silent: each request is answered and the group empties by itself.
        while !world.writes.is_empty() {
            world.written(Ok(()));
            checker.absorb(&mut world);
        }
        world.confirm = true;
        for _ in 0..200 {
            world.pass(15_000);
        }
        checker.absorb(&mut world);
        prop_assert!(checker.open.is_empty(), "unanswered: {:?}", checker.open);
        prop_assert!(world.group.is_idle());
        prop_assert_eq!(world.group.next_deadline(), None);
    }
}
