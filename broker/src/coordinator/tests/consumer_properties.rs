//! Random histories of one group whose assignment the broker makes: members that join, beat, lose answers, leave, die
//! and come back, topics that come and go, a log that fails, and a broker that restarts.
//!
//! Held at every step: no partition is used by two members at once; what is answered is durable. At the end, when all
//! is quiet: every partition is used, each member uses its target, and loads are even.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::consumer_world::{ConsumerWorld, REBALANCE_MS, SESSION_MS, beat};
use crate::coordinator::group::Ticket;
use crate::coordinator::group::consumer::Epoch;
use crate::coordinator::group::consumer::partitions::Partitions;
use crate::coordinator::group::consumer::request::Heartbeat;
use crate::coordinator::group::consumer::state::Standing;
use crate::coordinator::group::event::GroupError;

/// Members 0 and 1 are static.
const CLIENTS: usize = 5;

#[derive(Debug, Clone)]
enum Action {
    /// A heartbeat; `settles`: it has done what it was told, and says so; `lost`: its answer does not arrive.
    Beat {
        client: usize,
        settles: bool,
        lost: bool,
    },
    Leave {
        client: usize,
    },
    /// A static member's process goes (saying so or not) and another comes.
    Restarted {
        client: usize,
        says: bool,
    },
    /// It stops: it sends nothing any more until it joins again as another.
    Dies {
        client: usize,
    },
    Topic {
        name: usize,
        partitions: i32,
    },
    Pass {
        ms: u64,
    },
    Confirm {
        ok: bool,
    },
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    let client = 0..CLIENTS;
    prop_oneof![
        12 => (client.clone(), prop::bool::weighted(0.7), prop::bool::weighted(0.15))
            .prop_map(|(client, settles, lost)| Action::Beat { client, settles, lost }),
        1 => client.clone().prop_map(|client| Action::Leave { client }),
        1 => (0..2_usize, any::<bool>()).prop_map(|(client, says)| Action::Restarted { client, says }),
        1 => client.prop_map(|client| Action::Dies { client }),
        1 => (0..3_usize, 0..7_i32).prop_map(|(name, partitions)| Action::Topic { name, partitions }),
        3 => (1_u64..20_000).prop_map(|ms| Action::Pass { ms }),
        8 => prop::bool::weighted(0.9).prop_map(|ok| Action::Confirm { ok }),
        1 => Just(Action::Restart),
    ]
}

/// A process, as a client library behaves.
#[derive(Debug, Clone, Default)]
struct Client {
    member_id: String,
    epoch: i32,
    /// What it was told to hold.
    told: Partitions,
    /// What it works on.
    using: Partitions,
    /// It lost an answer, or begins: it says everything.
    says_all: bool,
    waits: Option<(Ticket, bool)>,
    alive: bool,
}

struct Checker {
    world: ConsumerWorld,
    clients: Vec<Client>,
    fresh: u32,
    topics: BTreeMap<usize, (u128, i32)>,
}

impl Checker {
    fn new() -> Checker {
        let mut world = ConsumerWorld::new();
        world.confirm = false;
        world.topics.put("t0", 1, 4);
        Checker {
            world,
            clients: vec![Client::default(); CLIENTS],
            fresh: 1,
            topics: BTreeMap::from([(0, (1, 4))]),
        }
    }

    fn reborn(&mut self, client: usize) {
        self.fresh += 1;
        self.clients[client] = Client {
            member_id: format!("m{client}-{}", self.fresh),
            alive: true,
            says_all: true,
            ..Client::default()
        };
    }

    fn heartbeat(&self, client: usize, epoch: i32) -> Heartbeat {
        let me = &self.clients[client];
        let mut heartbeat = beat(&me.member_id, epoch);
        if client < 2 {
            heartbeat.instance_id = Some(Arc::from(format!("i{client}")));
        }
        if epoch >= 0 {
            heartbeat.owned = Some(me.using.clone());
        }
        if me.says_all && epoch >= 0 {
            heartbeat.rebalance_timeout_ms = Some(REBALANCE_MS);
            if client.is_multiple_of(2) {
                heartbeat.topics = Some((0..3).map(|name| Arc::from(format!("t{name}"))).collect());
            } else {
                heartbeat.topics = Some(BTreeSet::new());
                heartbeat.pattern = Some(Arc::from("t[0-2]"));
            }
        }
        heartbeat
    }

    fn beat(&mut self, client: usize, settles: bool, lost: bool) {
        if !self.clients[client].alive {
            self.reborn(client);
        }
        let me = &mut self.clients[client];
        if me.waits.is_some() {
            return;
        }
        if settles {
            me.using = me.told.clone();
        }
        let heartbeat = self.heartbeat(client, self.clients[client].epoch);
        let ticket = self.world.send(heartbeat);
        self.clients[client].waits = Some((ticket, lost));
        self.absorb();
    }

    fn leave(&mut self, client: usize, epoch: i32) {
        if self.clients[client].alive && self.clients[client].epoch > 0 {
            let heartbeat = self.heartbeat(client, epoch);
            self.world.send(heartbeat);
        }
        self.clients[client] = Client::default();
        self.absorb();
    }

    fn topic(&mut self, name: usize, partitions: i32) {
        let text = format!("t{name}");
        if partitions == 0 {
            self.topics.remove(&name);
            self.world.topics.remove(&text);
            return;
        }
        self.fresh += 1;
        let (id, count) = self
            .topics
            .get(&name)
            .copied()
            .unwrap_or((self.fresh.into(), 0));
        let count = count.max(partitions);
        self.topics.insert(name, (id, count));
        self.world.topics.put(&text, id, count);
    }

    /// Takes the answers that have come, and checks who uses what.
    fn absorb(&mut self) {
        for client in &mut self.clients {
            let Some((ticket, lost)) = client.waits else {
                continue;
            };
            let Some(answer) = self.world.replies.remove(&ticket) else {
                continue;
            };
            client.waits = None;
            match answer {
                _ if lost => client.says_all = true,
                Ok(beat) => {
                    client.says_all = false;
                    client.epoch = beat.epoch.0;
                    if let Some(told) = beat.assignment {
                        // What is new it uses at once; what it must give up, until it says that it does not.
                        told.iter()
                            .for_each(|(topic, number)| client.using.insert(topic, number));
                        client.told = told;
                    }
                }
                Err(refused) if refused.error == GroupError::CoordinatorNotAvailable => {
                    client.says_all = true;
                }
                Err(refused) if refused.error == GroupError::UnreleasedInstanceId => {
                    *client = Client::default();
                }
                Err(refused) => {
                    let fenced = [
                        GroupError::FencedMemberEpoch,
                        GroupError::UnknownMemberId,
                        GroupError::FencedInstanceId,
                    ];
                    assert!(fenced.contains(&refused.error), "{refused:?}");
                    let (member_id, alive) = (client.member_id.clone(), client.alive);
                    *client = Client {
                        member_id,
                        alive,
                        says_all: true,
                        ..Client::default()
                    };
                }
            }
        }
        self.check();
    }

    /// A process that the group does not know any more has stopped by its own session, which ends before.
    fn check(&self) {
        let members = self.world.group.describe().members;
        let mut used: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for client in self.clients.iter().filter(|client| client.alive) {
            let Some(member) = members
                .iter()
                .find(|member| *member.id == *client.member_id)
            else {
                continue;
            };
            if member.epoch == Epoch::LEAVE_STATIC {
                continue;
            }
            for place in client.using.iter() {
                let other = used.insert(place, &client.member_id);
                assert_eq!(
                    other, None,
                    "{place:?} is used twice, by {}",
                    client.member_id
                );
            }
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Beat {
                client,
                settles,
                lost,
            } => self.beat(client, settles, lost),
            Action::Leave { client } => self.leave(client, -1),
            Action::Restarted { client, says: true } => self.leave(client, -2),
            Action::Restarted {
                client,
                says: false,
            }
            | Action::Dies { client } => {
                self.clients[client] = Client::default();
            }
            Action::Topic { name, partitions } => self.topic(name, partitions),
            Action::Pass { ms } => {
                self.world.pass(ms);
                self.absorb();
            }
            Action::Confirm { ok } => {
                let failed = Err(GroupError::CoordinatorNotAvailable);
                self.world.written(if ok { Ok(()) } else { failed });
                self.absorb();
            }
            Action::Restart => {
                self.world.restart();
                for client in &mut self.clients {
                    client.says_all |= client.waits.take().is_some();
                }
                self.check();
            }
        }
    }

    /// Everybody does as told until nothing changes any more.
    fn settle(&mut self) {
        self.world.confirm = true;
        self.world.written(Ok(()));
        self.absorb();
        let living: Vec<usize> = (0..CLIENTS)
            .filter(|client| self.clients[*client].alive)
            .collect();
        for _ in 0..40 {
            self.world.pass(SESSION_MS / 15);
            for client in &living {
                if self.clients[*client].alive {
                    self.beat(*client, true, false);
                }
            }
        }
    }

    fn check_end(&self) {
        let group = self.world.group.describe();
        let living: Vec<&Client> = self.clients.iter().filter(|client| client.alive).collect();
        assert_eq!(
            group.members.len(),
            living.len(),
            "the dead are gone, the living are in"
        );
        if living.is_empty() {
            assert_eq!(group.standing, Standing::Empty);
            return;
        }
        assert_eq!(group.standing, Standing::Stable);
        let mut all = Partitions::default();
        for client in &living {
            let member = group
                .members
                .iter()
                .find(|member| *member.id == *client.member_id);
            let member = member.expect("the living are in");
            assert_eq!(
                (&client.using, &client.using),
                (&member.assigned, &*member.target)
            );
            client
                .using
                .iter()
                .for_each(|(topic, partition)| all.insert(topic, partition));
        }
        assert_eq!(all, self.world.topics.places(), "every partition is used");
        let loads: Vec<usize> = living.iter().map(|client| client.using.len()).collect();
        let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
        assert!(spread <= 1, "{loads:?}");
    }
}

#[test]
fn a_silent_member_is_dropped_after_all_when_the_write_that_replaced_it_failed() {
    let beat = |client| Action::Beat {
        client,
        settles: false,
        lost: false,
    };
    let mut checker = Checker::new();
    for action in [
        beat(1),
        Action::Confirm { ok: true },
        beat(2),
        Action::Pass { ms: SESSION_MS },
        Action::Restarted {
            client: 1,
            says: true,
        },
        beat(1),
        Action::Confirm { ok: false },
        Action::Confirm { ok: false },
    ] {
        checker.act(&action);
    }
    checker.settle();
    checker.check_end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_is_used_twice_and_all_are_used_in_the_end(actions in prop::collection::vec(action(), 1..120)) {
        let mut checker = Checker::new();
        for action in actions {
            checker.act(&action);
        }
        checker.settle();
        checker.check_end();
        checker.world.restart();
        checker.check_end();
    }
}
