//! Static members (trap 54): who is fenced, who stays, and what makes a return a rebalance.

use std::sync::Arc;

use super::world::{SESSION_MS, World, id, join, static_id};
use crate::coordinator::group::event::{GroupError, Join};
use crate::coordinator::group::{Generation, GroupState};

/// A stable group of the static member `s`, known as `s-1`, leading.
fn stable(world: &mut World) -> Generation {
    let ticket = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let generation = world.joined(ticket).generation;
    world.sync(static_id("s", "s-1"), generation, &[("s-1", "part")]);
    assert_eq!(world.group.state(), GroupState::Stable);
    generation
}

/// trap 54
#[test]
fn former_self_of_a_static_member_is_fenced_in_every_request() {
    let mut world = World::new();
    let generation = stable(&mut world);
    let ticket = world.join(join(static_id("s", ""), "s-2", &["range"]));
    world.joined(ticket);
    let old = static_id("s", "s-1");
    let fenced = GroupError::FencedInstanceId;
    assert_eq!(world.heartbeat(old.clone(), generation), Err(fenced));
    let ticket = world.sync(old.clone(), generation, &[]);
    assert_eq!(world.synced(ticket), Err(fenced));
    let ticket = world.join(join(old.clone(), "", &["range"]));
    assert_eq!(world.refused(ticket).error, fenced);
    let now = world.now;
    let commit = world.group.check_commit(&old, generation, now);
    assert_eq!(commit, Err(fenced));
    assert_eq!(world.leave(vec![old]), [Err(fenced)]);
    assert_eq!(world.heartbeat(static_id("s", "s-2"), generation), Ok(()));
}

/// trap 54
#[test]
fn instance_id_that_nobody_holds_is_unknown_in_every_request() {
    let mut world = World::new();
    let generation = stable(&mut world);
    let wrong = static_id("other", "s-1");
    let unknown = GroupError::UnknownMemberId;
    assert_eq!(world.heartbeat(wrong.clone(), generation), Err(unknown));
    let ticket = world.sync(wrong.clone(), generation, &[]);
    assert_eq!(world.synced(ticket), Err(unknown));
    let ticket = world.join(join(wrong.clone(), "", &["range"]));
    assert_eq!(world.refused(ticket).error, unknown);
    let now = world.now;
    let commit = world.group.check_commit(&wrong, generation, now);
    assert_eq!(commit, Err(unknown));
    assert_eq!(world.leave(vec![wrong]), [Err(unknown)]);
    // By the member id alone it still may: older requests have no field for the instance.
    assert_eq!(
        world.group.check_commit(&id("s-1"), generation, now),
        Ok(())
    );
}

/// trap 54
#[test]
fn return_with_other_metadata_under_the_same_protocol_keeps_the_generation() {
    let mut world = World::new();
    let generation = stable(&mut world);
    let mut changed = join(static_id("s", ""), "s-2", &["range"]);
    changed.protocols[0].metadata = bytes::Bytes::from_static(b"other wishes");
    let ticket = world.join(changed);
    assert_eq!(world.joined(ticket).generation, generation);
    let log = world.log.as_ref().unwrap();
    assert_eq!(&log.members[0].subscription[..], b"other wishes");
    assert_eq!(&log.members[0].assignment[..], b"part");
}

/// trap 54
#[test]
fn return_that_changes_the_protocol_is_a_rebalance() {
    let mut world = World::new();
    let generation = stable(&mut world);
    let ticket = world.join(join(static_id("s", ""), "s-2", &["sticky"]));
    let joined = world.joined(ticket);
    assert_eq!(
        (joined.generation, &*joined.protocol),
        (generation.next(), "sticky")
    );
    assert!(!joined.skip_assignment);
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
}

/// trap 54
#[test]
fn return_of_a_follower_disturbs_nobody() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let s = world.join(join(static_id("s", ""), "s-1", &["range"]));
    let a = world.join(join(id("a"), "", &["range"]));
    let second = world.joined(s).generation;
    assert_eq!(world.joined(a).generation, generation.next());
    world.settle(&["a", "s-1"], second);
    let ticket = world.join(join(static_id("s", ""), "s-2", &["range"]));
    let joined = world.joined(ticket);
    assert_eq!((joined.generation, &*joined.leader), (second, "a"));
    assert!(joined.members.is_empty() && !joined.skip_assignment);
    assert_eq!(world.heartbeat(id("a"), second), Ok(()));
    let ticket = world.sync(static_id("s", "s-2"), second, &[]);
    assert_eq!(&world.synced(ticket).unwrap().assignment[..], b"s-1");
}

/// trap 54
#[test]
fn several_static_members_leave_in_one_request() {
    let mut world = World::new();
    stable(&mut world);
    let b = world.join(join(static_id("b", ""), "b-1", &["range"]));
    let s = world.join(join(static_id("s", "s-1"), "", &["range"]));
    world.joined(b);
    world.joined(s);
    let asked = vec![
        static_id("s", ""),
        static_id("b", "wrong"),
        static_id("b", "b-1"),
        static_id("b", ""),
    ];
    let results = world.leave(asked);
    let (fenced, unknown) = (GroupError::FencedInstanceId, GroupError::UnknownMemberId);
    assert_eq!(results, [Ok(()), Err(fenced), Ok(()), Err(unknown)]);
    assert_eq!(world.group.state(), GroupState::Empty);
}

/// traps 54 and 67
#[test]
fn instance_ids_survive_a_restart_and_expire_after_a_fresh_session() {
    let mut world = World::new();
    let generation = stable(&mut world);
    world.pass(SESSION_MS - 1);
    world.restart();
    world.pass(SESSION_MS - 1);
    let other = Join {
        client_id: Arc::from("another"),
        ..join(static_id("s", ""), "s-2", &["range"])
    };
    let ticket = world.join(other);
    assert_eq!(world.joined(ticket).generation, generation);
    let fenced = Err(GroupError::FencedInstanceId);
    assert_eq!(world.heartbeat(static_id("s", "s-1"), generation), fenced);
    world.pass(SESSION_MS);
    assert_eq!(world.group.state(), GroupState::Empty);
}
