//! What a client may make the coordinator hold, and how much work waiting members are.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::world::{SESSION_MS, World, id, join, protocols, settings};
use crate::coordinator::group::event::{Event, GroupError, Heartbeat, Join, Reply, Sync};
use crate::coordinator::group::members::Protocol;
use crate::coordinator::group::offsets::{CommittedOffset, TopicPartition};
use crate::coordinator::group::{
    GROUP_ASSIGNMENT_BYTES_MAX, GROUP_METADATA_BYTES_MAX, Generation, GroupId, GroupSettings, Now,
    PROTOCOLS_MAX, Ticket,
};
use crate::coordinator::groups::Groups;
use crate::coordinator::groups::event::{Answer, Commit, Output};

const AT_START: Now = Now {
    tick_ms: 0,
    wall_ms: 0,
};

fn group(number: usize) -> GroupId {
    Arc::from(format!("g{number}"))
}

fn limited(memory_bytes_max: usize) -> Groups {
    Groups::new(Arc::new(GroupSettings {
        memory_bytes_max,
        ..settings()
    }))
}

fn heavy(member: &str, bytes: usize) -> Join {
    Join {
        protocols: vec![Protocol {
            name: Arc::from("range"),
            metadata: Bytes::from(vec![7; bytes]),
        }],
        ..join(id(""), member, &[])
    }
}

/// Runs one event; the answers of this step. Writes are confirmed at once.
fn run(groups: &mut Groups, group: &GroupId, event: Event, now: Now) -> Vec<Answer> {
    groups.group_event(group, event, now);
    confirm(groups, now)
}

fn confirm(groups: &mut Groups, now: Now) -> Vec<Answer> {
    let mut answers = Vec::new();
    loop {
        let outputs = groups.take_outputs();
        if outputs.is_empty() {
            return answers;
        }
        for output in outputs {
            match output {
                Output::Answer(_, answer) => answers.push(answer),
                Output::Append(id, _) => groups.written(id, Ok(()), now),
            }
        }
    }
}

fn refusal(answers: &[Answer]) -> Option<GroupError> {
    match answers {
        [Answer::Group(Reply::Join(Err(refused)))] => Some(refused.error),
        _ => None,
    }
}

fn commit(topic: &str, metadata: &str) -> Commit {
    let at = TopicPartition {
        topic: Arc::from(topic),
        partition: 0,
    };
    let offset = CommittedOffset {
        offset: 1,
        leader_epoch: -1,
        metadata: Arc::from(metadata),
        commit_time_ms: 0,
        expiry_time_ms: None,
        topic_id: Uuid::from_u128(1),
    };
    Commit {
        identity: id(""),
        generation: Generation::NONE,
        knows_epochs: false,
        offsets: vec![(at, offset)],
    }
}

#[test]
fn ids_given_away_are_bounded_and_forgotten() {
    let mut world = World::with(GroupSettings {
        members_max: 100,
        ..settings()
    });
    for n in 0..150 {
        let newcomer = Join {
            knows_member_id_required: true,
            ..join(id(""), &format!("m{n}"), &["range"])
        };
        let ticket = world.join(newcomer);
        let expected = if n < 100 {
            GroupError::MemberIdRequired
        } else {
            GroupError::GroupFull
        };
        assert_eq!(world.refused(ticket).error, expected);
    }
    assert!(world.group.members().held_bytes() > 0);
    world.pass(SESSION_MS);
    assert_eq!(world.group.members().pending(), 0);
    assert_eq!(world.group.members().held_bytes(), 0);
    assert_eq!(world.group.next_deadline(), None);
}

#[test]
fn metadata_of_one_group_is_bounded() {
    let mut world = World::new();
    let ticket = world.join(heavy("a", GROUP_METADATA_BYTES_MAX));
    assert_eq!(world.refused(ticket).error, GroupError::GroupFull);
    let ticket = world.join(heavy("a", GROUP_METADATA_BYTES_MAX / 2));
    assert_eq!(&*world.joined(ticket).member_id, "a");
    let ticket = world.join(heavy("b", GROUP_METADATA_BYTES_MAX / 2));
    assert_eq!(world.refused(ticket).error, GroupError::GroupFull);
    let part = vec![0_u8; GROUP_ASSIGNMENT_BYTES_MAX + 1];
    let sync = Sync {
        identity: id("a"),
        generation: Generation(1),
        protocol_type: None,
        protocol: None,
        assignments: vec![(Arc::from("a"), Bytes::from(part))],
    };
    let ticket = world.ticket();
    world.event(Event::Sync(ticket, sync));
    assert_eq!(world.take(ticket), Reply::Sync(Err(GroupError::Unknown)));
}

#[test]
fn protocols_of_one_member_are_bounded() {
    let mut world = World::new();
    let names: Vec<String> = (0..=PROTOCOLS_MAX).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = Join {
        protocols: protocols(&names),
        ..join(id(""), "a", &[])
    };
    let ticket = world.join(many);
    assert_eq!(
        world.refused(ticket).error,
        GroupError::InconsistentProtocol
    );
}

#[test]
fn groups_without_room_are_refused_until_others_go_and_members_go_on() {
    let mut groups = limited(10 << 20);
    let join_of = |n: usize| Event::Join(Ticket(n as u64), heavy("a", 1 << 20));
    let mut joined = 0;
    for n in 0..20 {
        match refusal(&run(&mut groups, &group(n), join_of(n), AT_START)) {
            None => joined += 1,
            Some(error) => assert_eq!(error, GroupError::CoordinatorNotAvailable),
        }
    }
    assert_eq!((joined, groups.take_refusals()), (9, 11));
    assert!(groups.held_bytes() <= 10 << 20);
    // A member that is in rejoins with as much as before, beats and syncs.
    let again = Join {
        identity: id("a"),
        ..heavy("", 1 << 20)
    };
    let answers = run(
        &mut groups,
        &group(3),
        Event::Join(Ticket(30), again),
        AT_START,
    );
    assert!(matches!(answers[..], [Answer::Group(Reply::Join(Ok(_)))]));
    let leave = Event::Leave(Ticket(31), vec![id("a")]);
    run(&mut groups, &group(3), leave, AT_START);
    let answers = run(&mut groups, &group(19), join_of(32), AT_START);
    assert_eq!(refusal(&answers), None, "one left");
}

#[test]
fn offsets_without_room_are_refused_and_known_places_go_on() {
    let mut groups = limited(64 << 10);
    let text = "x".repeat(4_000);
    let mut ask = |topic: &str| {
        groups.commit(&group(0), commit(topic, &text), Ticket(1), AT_START);
        match &confirm(&mut groups, AT_START)[..] {
            [Answer::Commit(results)] => results[0],
            other => panic!("{other:?}"),
        }
    };
    let results: Vec<_> = (0..30).map(|n| ask(&format!("t{n}"))).collect();
    let taken = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(taken, 15);
    assert_eq!(results[29], Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(ask("t0"), Ok(()));
}

#[test]
fn bytes_that_are_counted_are_given_back() {
    let mut groups = limited(64 << 20);
    for n in 0..50 {
        let event = Event::Join(Ticket(1), heavy("a", 10_000 + n));
        run(&mut groups, &group(n), event, AT_START);
        let part = (Arc::from("a"), Bytes::from(vec![1; 5_000]));
        let sync = Sync {
            identity: id("a"),
            generation: Generation(1),
            protocol_type: None,
            protocol: None,
            assignments: vec![part],
        };
        run(
            &mut groups,
            &group(n),
            Event::Sync(Ticket(2), sync),
            AT_START,
        );
        let again = Join {
            identity: id("a"),
            client_id: Arc::from("another name"),
            ..heavy("", 20_000)
        };
        run(
            &mut groups,
            &group(n),
            Event::Join(Ticket(3), again),
            AT_START,
        );
        groups.commit(
            &group(n),
            Commit {
                identity: id("a"),
                generation: Generation(1),
                ..commit("t", "")
            },
            Ticket(4),
            AT_START,
        );
        confirm(&mut groups, AT_START);
        run(
            &mut groups,
            &group(n),
            Event::Leave(Ticket(5), vec![id("a")]),
            AT_START,
        );
        groups.delete(&group(n), Ticket(6), AT_START);
        confirm(&mut groups, AT_START);
    }
    assert_eq!((groups.sizes(), groups.held_bytes()), ((0, 0), 0));
}

/// A thousand groups of ten members each, all stable, sessions of 10 s, spread over the first second.
fn thousand_groups() -> Groups {
    let mut groups = Groups::new(Arc::new(settings()));
    for n in 0..1_000 {
        let now = Now {
            tick_ms: n as u64,
            wall_ms: 0,
        };
        let name = group(n);
        for m in 0..10 {
            let event = Event::Join(Ticket(1), join(id(""), &format!("m{m}"), &["range"]));
            run(&mut groups, &name, event, now);
            for known in 0..m {
                let rejoin = join(id(&format!("m{known}")), "", &["range"]);
                run(&mut groups, &name, Event::Join(Ticket(2), rejoin), now);
            }
        }
        for m in 0..10 {
            let sync = Sync {
                identity: id(&format!("m{m}")),
                generation: Generation(10),
                protocol_type: None,
                protocol: None,
                assignments: Vec::new(),
            };
            run(&mut groups, &name, Event::Sync(Ticket(3), sync), now);
        }
    }
    groups
}

#[test]
fn ten_thousand_members_are_no_work_between_their_deadlines() {
    let mut groups = thousand_groups();
    let mut now = Now {
        tick_ms: 1_000,
        wall_ms: 0,
    };
    let (mut wakes, mut beats) = (0, 0);
    // A minute of heartbeats every 3 s: the owner sleeps until the earliest deadline, and there is none to keep.
    while now.tick_ms < 61_000 {
        let next_beat = now.tick_ms + 3_000;
        while let Some(at) = groups.next_deadline().filter(|at| *at <= next_beat) {
            now.tick_ms = at;
            groups.tick(now);
            wakes += 1;
        }
        now.tick_ms = next_beat;
        for n in 0..1_000 {
            for m in 0..10 {
                let beat = Heartbeat {
                    identity: id(&format!("m{m}")),
                    generation: Generation(10),
                };
                groups.group_event(&group(n), Event::Heartbeat(Ticket(9), beat), now);
                beats += 1;
            }
        }
        for output in groups.take_outputs() {
            assert!(matches!(
                output,
                Output::Answer(_, Answer::Group(Reply::Heartbeat(Ok(()))))
            ));
        }
    }
    assert_eq!((beats, wakes), (200_000, 0));
    // Everyone falls silent: one wake-up per distinct deadline, and then all sleep for good.
    while let Some(at) = groups.next_deadline() {
        now.tick_ms = at;
        groups.tick(now);
        confirm(&mut groups, now);
        wakes += 1;
        assert!(wakes <= 10, "all sessions end at one moment here");
    }
    assert_eq!(groups.sizes(), (0, 0));
}
