//! Scripts of events against one group: each test is a story with Kafka's answers (traps 50 to 56, 67).

use std::sync::Arc;
use std::time::Duration;

use super::world::{REBALANCE_MS, SESSION_MS, World, id, join, settings, static_id};
use crate::coordinator::group::event::{GroupError, Join, Reply};
use crate::coordinator::group::{Generation, GroupSettings, GroupState, NEW_MEMBER_JOIN_TIMEOUT};

fn knowing(mut join: Join) -> Join {
    join.knows_member_id_required = true;
    join
}

/// trap 52
#[test]
fn first_member_leads_and_gets_the_member_list() {
    let mut world = World::new();
    let ticket = world.join(join(id(""), "a", &["range"]));
    let joined = world.joined(ticket);
    assert_eq!(joined.generation, Generation(1));
    assert_eq!(
        (&*joined.leader, &*joined.member_id, &*joined.protocol),
        ("a", "a", "range")
    );
    assert_eq!(joined.members.len(), 1);
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
    let ticket = world.sync(id("a"), Generation(1), &[("a", "all")]);
    let synced = world.synced(ticket).unwrap();
    assert_eq!(&synced.assignment[..], b"all");
    assert_eq!(world.group.state(), GroupState::Stable);
    assert_eq!(world.heartbeat(id("a"), Generation(1)), Ok(()));
}

/// trap 50
#[test]
fn newcomer_is_told_its_id_and_joins_with_it() {
    let mut world = World::new();
    let ticket = world.join(knowing(join(id(""), "a", &["range"])));
    let refused = world.refused(ticket);
    assert_eq!(
        (refused.error, &*refused.member_id),
        (GroupError::MemberIdRequired, "a")
    );
    assert_eq!(world.group.members().len(), 0);
    let ticket = world.join(knowing(join(id("a"), "ignored", &["range"])));
    assert_eq!(&*world.joined(ticket).member_id, "a");
}

/// trap 50
#[test]
fn id_nobody_joined_with_is_forgotten_after_the_session_timeout() {
    let mut world = World::new();
    let ticket = world.join(knowing(join(id(""), "a", &["range"])));
    world.refused(ticket);
    assert!(!world.group.is_idle());
    world.pass(SESSION_MS);
    assert!(world.group.is_idle());
    let ticket = world.join(knowing(join(id("a"), "", &["range"])));
    assert_eq!(world.refused(ticket).error, GroupError::UnknownMemberId);
}

/// trap 50
#[test]
fn join_phase_waits_for_ids_that_were_handed_out() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let ticket = world.join(knowing(join(id(""), "b", &["range"])));
    world.refused(ticket);
    let again = world.join(join(id("a"), "", &["range"]));
    assert!(world.waits(again), "b may join this generation");
    assert_eq!(
        world.heartbeat(id("a"), generation),
        Err(GroupError::RebalanceInProgress)
    );
    let ticket = world.join(join(id("b"), "", &["range"]));
    assert_eq!(
        world.joined(again).generation,
        world.joined(ticket).generation
    );
}

/// trap 53
#[test]
fn unknown_member_id_is_refused_everywhere() {
    let mut world = World::new();
    world.stable(&["a"]);
    let ticket = world.join(join(id("ghost"), "", &["range"]));
    assert_eq!(world.refused(ticket).error, GroupError::UnknownMemberId);
    let ticket = world.sync(id("ghost"), Generation(1), &[]);
    assert_eq!(world.synced(ticket), Err(GroupError::UnknownMemberId));
    assert_eq!(
        world.heartbeat(id("ghost"), Generation(1)),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(
        world.leave(vec![id("ghost")]),
        [Err(GroupError::UnknownMemberId)]
    );
}

/// trap 51
#[test]
fn session_timeout_out_of_bounds_is_refused() {
    let mut world = World::new();
    for ms in [0, -1, 5_999, 1_800_001] {
        let ticket = world.join(Join {
            session_timeout_ms: ms,
            ..join(id(""), "a", &["range"])
        });
        assert_eq!(
            world.refused(ticket).error,
            GroupError::InvalidSessionTimeout
        );
    }
}

/// trap 51
#[test]
fn first_rebalance_waits_for_late_comers_up_to_the_rebalance_timeout() {
    let delay = Duration::from_secs(3);
    let mut world = World::with(GroupSettings {
        initial_rebalance_delay: delay,
        ..settings()
    });
    let first = world.join(join(id(""), "m0", &["range"]));
    let mut tickets = vec![first];
    // Someone new in every window stretches the wait; the rebalance timeout of 30 s ends it.
    for n in 1..20 {
        world.pass(2_000);
        if world.waits(first) {
            tickets.push(world.join(join(id(""), &format!("m{n}"), &["range"])));
        }
    }
    assert_eq!(tickets.len(), 15);
    let generations: Vec<_> = tickets
        .into_iter()
        .map(|ticket| world.joined(ticket).generation)
        .collect();
    assert!(
        generations
            .iter()
            .all(|generation| *generation == Generation(1))
    );
}

/// trap 51
#[test]
fn lone_member_waits_one_initial_delay() {
    let delay = Duration::from_secs(3);
    let mut world = World::with(GroupSettings {
        initial_rebalance_delay: delay,
        ..settings()
    });
    let ticket = world.join(join(id(""), "a", &["range"]));
    world.pass(2_999);
    assert!(world.waits(ticket));
    world.pass(1);
    assert_eq!(world.joined(ticket).members.len(), 1);
}

/// trap 52
#[test]
fn protocol_is_common_to_all_and_most_voted() {
    let mut world = World::with(GroupSettings {
        initial_rebalance_delay: Duration::from_secs(3),
        ..settings()
    });
    let a = world.join(join(id(""), "a", &["x", "y", "z"]));
    let b = world.join(join(id(""), "b", &["z", "y"]));
    let c = world.join(join(id(""), "c", &["z", "y", "w"]));
    world.pass(30_000);
    for ticket in [a, b, c] {
        assert_eq!(&*world.joined(ticket).protocol, "z");
    }
}

/// trap 52
#[test]
fn tie_of_votes_goes_to_the_leader() {
    let mut world = World::with(GroupSettings {
        initial_rebalance_delay: Duration::from_secs(3),
        ..settings()
    });
    let leader = world.join(join(id(""), "b", &["y", "x"]));
    world.join(join(id(""), "a", &["x", "y"]));
    world.pass(30_000);
    assert_eq!(&*world.joined(leader).protocol, "y");
}

/// trap 52
#[test]
fn nothing_in_common_is_refused() {
    let mut world = World::new();
    world.stable(&["a"]);
    let ticket = world.join(join(id(""), "b", &["sticky"]));
    assert_eq!(
        world.refused(ticket).error,
        GroupError::InconsistentProtocol
    );
    let other = Join {
        protocol_type: Arc::from("connect"),
        ..join(id(""), "b", &["range"])
    };
    let ticket = world.join(other);
    assert_eq!(
        world.refused(ticket).error,
        GroupError::InconsistentProtocol
    );
    let ticket = world.join(join(id(""), "b", &[]));
    assert_eq!(
        world.refused(ticket).error,
        GroupError::InconsistentProtocol
    );
    assert_eq!(world.group.state(), GroupState::Stable);
}

/// trap 52
#[test]
fn only_the_leader_gets_members_and_followers_wait_for_its_assignment() {
    let mut world = World::new();
    world.stable(&["a"]);
    let b = world.join(join(id(""), "b", &["range"]));
    assert!(world.waits(b));
    let a = world.join(join(id("a"), "", &["range"]));
    let (a, b) = (world.joined(a), world.joined(b));
    assert_eq!((a.members.len(), b.members.len()), (2, 0));
    assert_eq!((&*a.leader, &*b.leader), ("a", "a"));
    let follower = world.sync(id("b"), b.generation, &[]);
    assert!(world.waits(follower));
    assert_eq!(world.heartbeat(id("b"), b.generation), Ok(()));
    let leader = world.sync(
        id("a"),
        a.generation,
        &[("a", "0"), ("b", "1"), ("ghost", "2")],
    );
    assert_eq!(&world.synced(leader).unwrap().assignment[..], b"0");
    assert_eq!(&world.synced(follower).unwrap().assignment[..], b"1");
}

#[test]
fn assignment_is_given_out_only_when_durable() {
    let mut world = World::new();
    world.confirm = false;
    let ticket = world.join(join(id(""), "a", &["range"]));
    let generation = world.joined(ticket).generation;
    let sync = world.sync(id("a"), generation, &[("a", "0")]);
    assert!(world.waits(sync));
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
    // The leader asks again on a new connection: no second write, the old request is answered.
    let again = world.sync(id("a"), generation, &[("a", "0")]);
    assert_eq!(world.synced(sync), Err(GroupError::RebalanceInProgress));
    assert_eq!(world.writes.len(), 1);
    world.written(Ok(()));
    assert!(world.synced(again).is_ok());
}

#[test]
fn failed_write_of_an_assignment_is_told_and_starts_over() {
    let mut world = World::new();
    world.confirm = false;
    let ticket = world.join(join(id(""), "a", &["range"]));
    let generation = world.joined(ticket).generation;
    let sync = world.sync(id("a"), generation, &[("a", "0")]);
    world.written(Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(world.synced(sync), Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
    let ticket = world.join(join(id("a"), "", &["range"]));
    assert!(world.joined(ticket).generation > generation);
}

#[test]
fn write_of_a_past_generation_confirms_nothing() {
    let mut world = World::new();
    world.confirm = false;
    let ticket = world.join(join(id(""), "a", &["range"]));
    let first = world.joined(ticket).generation;
    let sync = world.sync(id("a"), first, &[("a", "old")]);
    let b = world.join(join(id(""), "b", &["range"]));
    assert_eq!(world.synced(sync), Err(GroupError::RebalanceInProgress));
    let a = world.join(join(id("a"), "", &["range"]));
    let second = world.joined(a).generation;
    world.joined(b);
    assert!(second > first);
    let sync = world.sync(id("a"), second, &[("a", "new")]);
    world.written(Ok(()));
    assert!(
        world.waits(sync),
        "the write of this generation is not confirmed"
    );
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
    world.written(Ok(()));
    assert_eq!(&world.synced(sync).unwrap().assignment[..], b"new");
}

/// trap 53
#[test]
fn waiting_for_the_assignment_does_not_expire_the_member() {
    let mut world = World::new();
    world.stable(&["a"]);
    let b = world.join(join(id(""), "b", &["range"]));
    let a = world.join(join(id("a"), "", &["range"]));
    let generation = world.joined(a).generation;
    world.joined(b);
    let sync = world.sync(id("b"), generation, &[]);
    for _ in 0..5 {
        world.pass(SESSION_MS / 2);
        assert_eq!(world.heartbeat(id("a"), generation), Ok(()));
    }
    let leader = world.sync(id("a"), generation, &[("b", "1")]);
    assert!(world.synced(leader).is_ok());
    assert_eq!(&world.synced(sync).unwrap().assignment[..], b"1");
}

#[test]
fn join_phase_with_only_absent_static_members_waits_for_one() {
    let mut world = World::new();
    let long = |join: Join| Join {
        session_timeout_ms: 300_000,
        ..join
    };
    let s1 = world.join(long(join(static_id("s", ""), "s-1", &["range"])));
    let generation = world.joined(s1).generation;
    world.settle(&["s-1"], generation);
    let b = world.join(long(join(id(""), "b", &["range"])));
    assert_eq!(world.leave(vec![id("b")]), [Ok(())]);
    assert_eq!(world.refused(b).error, GroupError::UnknownMemberId);
    world.pass(3 * REBALANCE_MS);
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
    assert_eq!(world.group.generation(), generation);
    let s1 = world.join(long(join(static_id("s", "s-1"), "", &["range"])));
    assert_eq!(world.joined(s1).generation, generation.next());
}

/// trap 53
#[test]
fn generation_fences_heartbeat_sync_and_commit() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let old = Generation(generation.0 - 1);
    assert_eq!(
        world.heartbeat(id("a"), old),
        Err(GroupError::IllegalGeneration)
    );
    let ticket = world.sync(id("a"), old, &[]);
    assert_eq!(world.synced(ticket), Err(GroupError::IllegalGeneration));
    let now = world.now;
    assert_eq!(
        world.group.check_commit(&id("a"), old, now),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(world.group.check_commit(&id("a"), generation, now), Ok(()));
}

/// traps 53 and 56
#[test]
fn commits_by_state() {
    let mut world = World::new();
    let now = world.now;
    // A simple consumer commits while nobody is in the group, and only then.
    assert_eq!(
        world.group.check_commit(&id(""), Generation::NONE, now),
        Ok(())
    );
    let generation = world.stable(&["a"]);
    assert_eq!(
        world.group.check_commit(&id(""), Generation::NONE, now),
        Err(GroupError::UnknownMemberId)
    );
    world.join(join(id(""), "b", &["range"]));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
    assert_eq!(world.group.check_commit(&id("a"), generation, now), Ok(()));
    let ticket = world.join(join(id("a"), "", &["range"]));
    let generation = world.joined(ticket).generation;
    assert_eq!(
        world.group.check_commit(&id("a"), generation, now),
        Err(GroupError::RebalanceInProgress)
    );
}

/// trap 53
#[test]
fn silent_member_expires_and_the_rest_rebalances() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    world.pass(SESSION_MS / 2);
    assert_eq!(world.heartbeat(id("a"), generation), Ok(()));
    world.pass(SESSION_MS / 2);
    assert_eq!(
        world.heartbeat(id("b"), generation),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(
        world.heartbeat(id("a"), generation),
        Err(GroupError::RebalanceInProgress)
    );
    let ticket = world.join(join(id("a"), "", &["range"]));
    assert_eq!(world.joined(ticket).members.len(), 1);
}

#[test]
fn heartbeats_keep_a_member_for_ever() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    for _ in 0..100 {
        world.pass(SESSION_MS - 1);
        assert_eq!(world.heartbeat(id("a"), generation), Ok(()));
    }
}

/// traps 51 and 53
#[test]
fn waiting_for_a_join_does_not_expire_the_member() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    let a = world.join(join(id("a"), "", &["range"]));
    for _ in 0..4 {
        world.pass(SESSION_MS / 2);
        let alive = world.heartbeat(id("b"), generation);
        assert_eq!(alive, Err(GroupError::RebalanceInProgress));
    }
    assert!(world.waits(a));
    // b never rejoins: the rebalance timeout, not the session, ends the phase without it.
    world.pass(REBALANCE_MS - 2 * SESSION_MS);
    assert_eq!(world.joined(a).members.len(), 1);
    assert_eq!(
        world.heartbeat(id("b"), generation),
        Err(GroupError::UnknownMemberId)
    );
}

#[test]
fn leader_leaves_and_another_leads() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    assert_eq!(world.leave(vec![id("a")]), [Ok(())]);
    assert_eq!(
        world.heartbeat(id("b"), generation),
        Err(GroupError::RebalanceInProgress)
    );
    let ticket = world.join(join(id("b"), "", &["range"]));
    let joined = world.joined(ticket);
    assert_eq!((&*joined.leader, joined.members.len()), ("b", 1));
}

#[test]
fn leader_that_never_brings_an_assignment_is_dropped() {
    let mut world = World::new();
    world.stable(&["a"]);
    let b = world.join(join(id(""), "b", &["range"]));
    let a = world.join(join(id("a"), "", &["range"]));
    let generation = world.joined(b).generation;
    world.joined(a);
    let sync = world.sync(id("b"), generation, &[]);
    world.pass(SESSION_MS);
    assert_eq!(world.synced(sync), Err(GroupError::RebalanceInProgress));
    let ticket = world.join(join(id("b"), "", &["range"]));
    assert_eq!(&*world.joined(ticket).leader, "b");
}

#[test]
fn follower_that_never_asks_for_its_part_is_dropped() {
    let mut world = World::new();
    world.stable(&["a"]);
    let b = world.join(join(id(""), "b", &["range"]));
    let a = world.join(join(id("a"), "", &["range"]));
    let generation = world.joined(a).generation;
    world.joined(b);
    let sync = world.sync(id("a"), generation, &[("a", "0"), ("b", "1")]);
    assert!(world.synced(sync).is_ok());
    // b heartbeats, so its session lives, and yet its partitions lie idle.
    for _ in 0..6 {
        world.pass(REBALANCE_MS / 6);
        let alive = world.heartbeat(id("a"), generation);
        if world.heartbeat(id("b"), generation) == Err(GroupError::UnknownMemberId) {
            assert_eq!(
                world.heartbeat(id("a"), generation),
                Err(GroupError::RebalanceInProgress)
            );
            return;
        }
        assert_eq!(alive, Ok(()));
    }
    panic!("b was kept");
}

#[test]
fn last_one_out_leaves_an_empty_group_that_is_written() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    assert_eq!(
        world.leave(vec![id("a"), id("a")]),
        [Ok(()), Err(GroupError::UnknownMemberId)]
    );
    assert_eq!(world.group.state(), GroupState::Empty);
    let log = world.log.clone().unwrap();
    assert_eq!((log.generation, log.members.len()), (generation.next(), 0));
    assert_eq!((log.protocol, log.leader), (None, None));
    let ticket = world.join(join(id(""), "b", &["range"]));
    assert_eq!(
        world.joined(ticket).generation,
        Generation(generation.0 + 2)
    );
}

#[test]
fn pending_id_can_leave() {
    let mut world = World::new();
    let ticket = world.join(knowing(join(id(""), "a", &["range"])));
    world.refused(ticket);
    assert_eq!(world.leave(vec![id("a")]), [Ok(())]);
    assert!(world.group.is_idle());
}

#[test]
fn lost_join_answer_is_given_again() {
    let mut world = World::new();
    let ticket = world.join(join(id(""), "a", &["range"]));
    let first = world.joined(ticket);
    let ticket = world.join(join(id("a"), "", &["range"]));
    assert_eq!(world.joined(ticket), first);
}

#[test]
fn follower_asking_again_keeps_the_generation_and_the_leader_does_not() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    let ticket = world.join(join(id("b"), "", &["range"]));
    let joined = world.joined(ticket);
    assert_eq!((joined.generation, joined.members.len()), (generation, 0));
    assert_eq!(world.group.state(), GroupState::Stable);
    let ticket = world.join(join(id("a"), "", &["range"]));
    assert!(world.waits(ticket));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn changed_wishes_start_a_rebalance() {
    let mut world = World::new();
    world.stable(&["a", "b"]);
    let ticket = world.join(join(id("b"), "", &["range", "sticky"]));
    assert!(world.waits(ticket));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

/// trap 55
#[test]
fn cooperative_members_keep_fetching_and_rejoin_twice() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let b = world.join(join(id(""), "b", &["range"]));
    // a goes on committing in its generation until it rejoins.
    let now = world.now;
    assert_eq!(world.group.check_commit(&id("a"), generation, now), Ok(()));
    let a = world.join(join(id("a"), "", &["range"]));
    let second = world.joined(a).generation;
    world.joined(b);
    world.settle(&["a", "b"], second);
    // a gave partitions up and at once asks for the second round; b follows its heartbeat.
    let a = world.join(join(id("a"), "", &["range"]));
    assert_eq!(
        world.heartbeat(id("b"), second),
        Err(GroupError::RebalanceInProgress)
    );
    let b = world.join(join(id("b"), "", &["range"]));
    assert_eq!(world.joined(a).generation, second.next());
    assert_eq!(world.joined(b).generation, second.next());
}

/// trap 55
#[test]
fn storm_of_rejoins_ends_as_soon_as_all_are_there() {
    let mut world = World::new();
    let names: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.stable(&names);
    let before = world.now.tick_ms;
    assert_eq!(world.leave(vec![id("m0")]), [Ok(())]);
    let (last, others) = names[1..].split_last().unwrap();
    let mut tickets = Vec::new();
    for name in others {
        // Each asks three times; its last request counts.
        for _ in 0..2 {
            world.join(join(id(name), "", &["range"]));
        }
        tickets.push(world.join(join(id(name), "", &["range"])));
    }
    tickets.push(world.join(join(id(last), "", &["range"])));
    for ticket in tickets {
        world.joined(ticket);
    }
    assert_eq!(world.now.tick_ms, before);
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
}

#[test]
fn repeated_join_answers_the_older_request() {
    let mut world = World::new();
    world.stable(&["a", "b"]);
    let older = world.join(join(id("a"), "", &["range"]));
    let newer = world.join(join(id("a"), "", &["range"]));
    assert_eq!(world.refused(older).error, GroupError::RebalanceInProgress);
    let b = world.join(join(id("b"), "", &["range"]));
    assert_eq!(world.joined(newer).generation, world.joined(b).generation);
}

#[test]
fn newcomer_that_waits_too_long_is_dropped() {
    let mut world = World::new();
    world.stable(&["a"]);
    let long = i32::try_from(NEW_MEMBER_JOIN_TIMEOUT.as_millis()).unwrap() * 2;
    let patient = Join {
        rebalance_timeout_ms: long,
        ..join(id("a"), "", &["range", "x"])
    };
    let second = Join {
        rebalance_timeout_ms: long,
        ..join(id(""), "b", &["range"])
    };
    let b = world.join(second);
    let generation = world.group.generation();
    for _ in 0..61 {
        world.pass(SESSION_MS / 2);
        assert!(world.heartbeat(id("a"), generation).is_err());
    }
    assert_eq!(world.refused(b).error, GroupError::UnknownMemberId);
    let a = world.join(patient);
    assert_eq!(world.joined(a).members.len(), 1);
}

#[test]
fn full_group_refuses_newcomers_and_keeps_its_members() {
    let mut world = World::with(GroupSettings {
        members_max: 2,
        ..settings()
    });
    world.stable(&["a", "b"]);
    let ticket = world.join(join(id(""), "c", &["range"]));
    assert_eq!(world.refused(ticket).error, GroupError::GroupFull);
    let ticket = world.join(knowing(join(id(""), "c", &["range"])));
    assert_eq!(world.refused(ticket).error, GroupError::GroupFull);
    let ticket = world.join(join(id("a"), "", &["range"]));
    assert!(world.waits(ticket));
}

/// trap 52
#[test]
fn sync_with_another_protocol_is_refused() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let ticket = world.ticket();
    world.event(crate::coordinator::group::event::Event::Sync(
        ticket,
        crate::coordinator::group::event::Sync {
            identity: id("a"),
            generation,
            protocol_type: Some(Arc::from("consumer")),
            protocol: Some(Arc::from("sticky")),
            assignments: Vec::new(),
        },
    ));
    assert_eq!(
        world.take(ticket),
        Reply::Sync(Err(GroupError::InconsistentProtocol))
    );
}

/// trap 54
#[test]
fn static_member_returns_without_a_rebalance_and_fences_its_old_self() {
    let mut world = World::new();
    let s1 = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let generation = world.joined(s1).generation;
    let ticket = world.sync(static_id("s", "s-1"), generation, &[("s-1", "part")]);
    assert!(world.synced(ticket).is_ok());
    world.confirm = false;
    let s2 = world.join(join(static_id("s", ""), "s-2", &["range"]));
    assert!(world.waits(s2), "the new id is not durable yet");
    assert_eq!(world.heartbeat(static_id("s", "s-1"), generation), Ok(()));
    world.written(Ok(()));
    let joined = world.joined(s2);
    assert_eq!((joined.generation, &*joined.leader), (generation, "s-2"));
    assert!(joined.skip_assignment);
    let fenced = Err(GroupError::FencedInstanceId);
    assert_eq!(world.heartbeat(static_id("s", "s-1"), generation), fenced);
    assert_eq!(
        world.heartbeat(id("s-1"), generation),
        Err(GroupError::UnknownMemberId)
    );
    let ticket = world.join(join(static_id("s", "s-1"), "", &["range"]));
    assert_eq!(world.refused(ticket).error, GroupError::FencedInstanceId);
    assert_eq!(world.leave(vec![static_id("s", "s-1")]), [fenced]);
    let ticket = world.sync(static_id("s", "s-2"), generation, &[]);
    assert_eq!(&world.synced(ticket).unwrap().assignment[..], b"part");
    assert_eq!(
        world.log.as_ref().unwrap().members[0].member_id.as_ref(),
        "s-2"
    );
}

/// trap 54
#[test]
fn returned_leader_of_an_older_client_is_not_told_that_it_leads() {
    let mut world = World::new();
    let s1 = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let generation = world.joined(s1).generation;
    world.sync(static_id("s", "s-1"), generation, &[("s-1", "part")]);
    let old_client = Join {
        can_skip_assignment: false,
        ..join(static_id("s", ""), "s-2", &["range"])
    };
    let s2 = world.join(old_client);
    let joined = world.joined(s2);
    assert_eq!((&*joined.leader, &*joined.member_id), ("s-1", "s-2"));
    assert!(joined.members.is_empty() && !joined.skip_assignment);
}

#[test]
fn failed_write_of_a_return_leaves_the_old_process_in_place() {
    let mut world = World::new();
    let s1 = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let generation = world.joined(s1).generation;
    world.sync(static_id("s", "s-1"), generation, &[("s-1", "part")]);
    world.confirm = false;
    let s2 = world.join(join(static_id("s", ""), "s-2", &["range"]));
    world.written(Err(GroupError::NotCoordinator));
    assert_eq!(world.refused(s2).error, GroupError::NotCoordinator);
    assert_eq!(world.heartbeat(static_id("s", "s-1"), generation), Ok(()));
}

/// trap 54
#[test]
fn return_overtaken_by_a_rebalance_joins_it() {
    let mut world = World::new();
    let s1 = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let generation = world.joined(s1).generation;
    world.sync(static_id("s", "s-1"), generation, &[("s-1", "part")]);
    world.confirm = false;
    let s2 = world.join(join(static_id("s", ""), "s-2", &["range"]));
    let b = world.join(join(id(""), "b", &["range"]));
    world.written(Ok(()));
    let joined = world.joined(s2);
    assert_eq!(joined.generation, generation.next());
    assert_eq!(world.joined(b).generation, generation.next());
    assert_eq!(world.group.members().len(), 2);
}

/// trap 54
#[test]
fn return_during_a_rebalance_joins_it_and_fences_the_waiting_process() {
    let mut world = World::new();
    let s1 = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let generation = world.joined(s1).generation;
    world.settle(&["s-1"], generation);
    let b = world.join(join(id(""), "b", &["range"]));
    assert!(world.waits(b));
    let s2 = world.join(join(static_id("s", ""), "s-2", &["range"]));
    assert_eq!(world.joined(s2).generation, world.joined(b).generation);
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
    let sync = world.sync(id("b"), generation.next(), &[]);
    let s3 = world.join(join(static_id("s", ""), "s-3", &["range"]));
    assert_eq!(world.synced(sync), Err(GroupError::RebalanceInProgress));
    assert!(world.waits(s3), "b must learn the new id");
}

/// trap 54
#[test]
fn absent_static_member_is_kept_until_its_session_ends() {
    let mut world = World::new();
    let s1 = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let generation = world.joined(s1).generation;
    world.settle(&["s-1"], generation);
    let long = Join {
        session_timeout_ms: 100_000,
        ..join(id(""), "b", &["range"])
    };
    let b = world.join(long);
    let s2 = Join {
        session_timeout_ms: 100_000,
        ..join(static_id("s", "s-1"), "", &["range"])
    };
    let s2 = world.join(s2);
    world.joined(b);
    let generation = world.joined(s2).generation;
    world.settle(&["b", "s-1"], generation);
    // s goes silent; b starts a rebalance, which goes on without s and keeps its place.
    let b = world.join(join(id("b"), "", &["range", "x"]));
    world.pass(REBALANCE_MS);
    let joined = world.joined(b);
    assert_eq!((joined.members.len(), &*joined.leader), (2, "b"));
    world.settle(&["b"], joined.generation);
    for _ in 0..13 {
        world.pass(SESSION_MS / 2);
        assert_eq!(world.heartbeat(id("b"), joined.generation), Ok(()));
    }
    world.pass(SESSION_MS / 2);
    let over = world.heartbeat(id("b"), joined.generation);
    assert_eq!(over, Err(GroupError::RebalanceInProgress));
    assert_eq!(world.group.members().len(), 1);
}

/// trap 54
#[test]
fn static_member_leaves_by_its_instance_id_alone() {
    let mut world = World::new();
    let s1 = world.join(join(static_id("s", ""), "s-1", &["range"]));
    world.joined(s1);
    let results = world.leave(vec![static_id("nobody", ""), static_id("s", "")]);
    assert_eq!(results, [Err(GroupError::UnknownMemberId), Ok(())]);
    assert_eq!(world.group.state(), GroupState::Empty);
}

/// trap 67
#[test]
fn restart_keeps_generation_members_and_assignment_with_fresh_sessions() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    world.pass(SESSION_MS - 1);
    world.restart();
    assert_eq!(world.group.state(), GroupState::Stable);
    world.pass(SESSION_MS - 1);
    assert_eq!(world.heartbeat(id("a"), generation), Ok(()));
    assert_eq!(world.heartbeat(id("b"), generation), Ok(()));
    let ticket = world.sync(id("b"), generation, &[]);
    assert_eq!(&world.synced(ticket).unwrap().assignment[..], b"b");
    world.pass(SESSION_MS);
    assert_eq!(world.group.state(), GroupState::Empty);
    assert_eq!(world.group.generation(), generation.next());
}

/// trap 67
#[test]
fn restart_in_a_rebalance_goes_back_to_the_durable_generation() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let b = world.join(join(id(""), "b", &["range"]));
    let a = world.join(join(id("a"), "", &["range"]));
    assert_eq!(world.joined(a).generation, generation.next());
    world.joined(b);
    world.restart();
    assert_eq!(
        world.heartbeat(id("a"), generation.next()),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(
        world.heartbeat(id("b"), generation.next()),
        Err(GroupError::UnknownMemberId)
    );
    let a = world.join(join(id("a"), "", &["range"]));
    assert_eq!(world.joined(a).generation, generation.next());
}
