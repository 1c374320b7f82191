//! What members of a group whose assignment the broker makes are told, request by request (trap 62).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::consumer_world::{
    ConsumerWorld, REBALANCE_MS, SESSION_MS, beat, join, owning, settings,
};
use crate::coordinator::group::consumer::Epoch;
use crate::coordinator::group::consumer::partitions::Partitions;
use crate::coordinator::group::consumer::request::{Beat, Heartbeat};
use crate::coordinator::group::consumer::state::Standing;
use crate::coordinator::group::event::GroupError;

fn world() -> ConsumerWorld {
    let mut world = ConsumerWorld::new();
    world.topics.put("t", 1, 4);
    world
}

fn numbers(partitions: &Partitions) -> Vec<i32> {
    partitions.iter().map(|(_, partition)| partition).collect()
}

fn assigned(beat: &Beat) -> Vec<i32> {
    numbers(beat.assignment.as_ref().expect("an assignment"))
}

fn with_instance(instance: &str, heartbeat: Heartbeat) -> Heartbeat {
    Heartbeat {
        instance_id: Some(Arc::from(instance)),
        ..heartbeat
    }
}

fn with_pattern(pattern: &str, heartbeat: Heartbeat) -> Heartbeat {
    Heartbeat {
        pattern: Some(Arc::from(pattern)),
        topics: None,
        ..heartbeat
    }
}

/// Trap 62.
#[test]
fn a_member_joins_with_epoch_0_and_is_told_its_assignment_once() {
    let mut world = world();
    let joined = world.good(join("a", &["t"]));
    assert_eq!(
        (joined.epoch, assigned(&joined)),
        (Epoch(1), vec![0, 1, 2, 3])
    );
    assert_eq!(joined.heartbeat_interval_ms, 5000);
    let all = joined.assignment.unwrap();
    let kept = world.good(beat("a", 1));
    assert_eq!(
        (kept.epoch, kept.assignment),
        (Epoch(1), None),
        "null when unchanged"
    );
    let full = Heartbeat {
        rebalance_timeout_ms: Some(REBALANCE_MS),
        topics: Some(BTreeSet::from([Arc::from("t")])),
        ..owning("a", 1, &all)
    };
    assert_eq!(
        world.good(full).assignment,
        Some(all),
        "whoever says all is told all"
    );
    assert_eq!(world.group.standing(), Standing::Stable);
    assert_eq!(
        world.log.len(),
        world
            .log
            .iter()
            .filter(|record| !record.is_tombstone())
            .count()
    );
}

/// Trap 62.
#[test]
fn a_partition_is_given_only_after_its_old_owner_acknowledged_release() {
    let mut world = world();
    let all = world.good(join("a", &["t"])).assignment.unwrap();
    let b = world.good(join("b", &["t"]));
    assert_eq!(
        (b.epoch, assigned(&b)),
        (Epoch(2), vec![]),
        "nothing is free yet"
    );
    assert_eq!(world.group.standing(), Standing::Reconciling);
    let a = world.good(beat("a", 1));
    assert_eq!(
        (a.epoch, assigned(&a)),
        (Epoch(1), vec![0, 1]),
        "give 2 and 3 up first"
    );
    assert_eq!(world.good(beat("b", 2)).assignment, None);
    assert_eq!(
        world.good(owning("a", 1, &all)).epoch,
        Epoch(1),
        "it still holds them"
    );
    assert_eq!(world.good(beat("b", 2)).assignment, None);
    let kept = a.assignment.unwrap();
    let a = world.good(owning("a", 1, &kept));
    assert_eq!((a.epoch, a.assignment), (Epoch(2), None));
    assert_eq!(assigned(&world.good(beat("b", 2))), [2, 3]);
    assert_eq!(world.group.standing(), Standing::Stable);
}

/// Trap 62.
#[test]
fn a_member_that_leaves_with_epoch_minus_1_is_gone_at_once() {
    let mut world = world();
    world.good(join("a", &["t"]));
    world.good(join("b", &["t"]));
    let left = world.good(beat("a", -1));
    assert_eq!((left.epoch, left.assignment), (Epoch::LEAVE, None));
    assert_eq!(
        world.group.standing(),
        Standing::Assigning,
        "the next heartbeat brings targets"
    );
    let b = world.good(beat("b", 2));
    assert_eq!((b.epoch, assigned(&b)), (Epoch(3), vec![0, 1, 2, 3]));
    assert_eq!(
        world.refused(beat("a", 1)).error,
        GroupError::UnknownMemberId
    );
    world.good(beat("b", -1));
    assert_eq!(world.group.standing(), Standing::Empty);
    assert!(world.group.is_idle());
}

#[test]
fn wrong_epochs_are_fenced_and_a_lost_answer_is_not() {
    let mut world = world();
    let all = world.good(join("a", &["t"])).assignment.unwrap();
    let ahead = world.refused(beat("a", 2));
    assert_eq!(ahead.error, GroupError::FencedMemberEpoch);
    assert!(
        ahead.text.contains("greater member epoch (2)"),
        "{}",
        ahead.text
    );
    world.topics.put("t", 1, 5);
    let grown = world.good(beat("a", 1));
    assert_eq!(
        (grown.epoch, assigned(&grown)),
        (Epoch(2), vec![0, 1, 2, 3, 4])
    );
    let behind = world.refused(beat("a", 1));
    assert_eq!(
        behind.error,
        GroupError::FencedMemberEpoch,
        "it does not say what it holds"
    );
    let again = world.good(owning("a", 1, &all));
    assert_eq!(
        again.epoch,
        Epoch(2),
        "the answer that told epoch 2 was lost"
    );
    let more: Partitions = (0..6)
        .map(|partition| (uuid::Uuid::from_u128(1), partition))
        .collect();
    assert_eq!(
        world.refused(owning("a", 1, &more)).error,
        GroupError::FencedMemberEpoch
    );
    let again = world.good(join("a", &["t"]));
    assert_eq!(
        assigned(&again),
        [0, 1, 2, 3, 4],
        "a member may always begin anew"
    );
    assert_eq!(
        world.refused(beat("nobody", 3)).error,
        GroupError::UnknownMemberId
    );
}

#[test]
fn a_silent_member_is_dropped_after_its_session() {
    let mut world = world();
    world.good(join("a", &["t"]));
    world.good(join("b", &["t"]));
    world.pass(SESSION_MS - 1);
    world.good(beat("b", 2));
    world.pass(1);
    let b = world.good(beat("b", 2));
    assert_eq!((b.epoch, assigned(&b)), (Epoch(3), vec![0, 1, 2, 3]));
    world.pass(SESSION_MS);
    assert_eq!(world.group.standing(), Standing::Empty);
    assert_eq!(world.group.next_deadline(), None);
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_dropped_although_it_lives() {
    let mut world = world();
    let all = world.good(join("a", &["t"])).assignment.unwrap();
    world.good(join("b", &["t"]));
    world.good(beat("a", 1));
    let third = u64::try_from(REBALANCE_MS).unwrap() / 3;
    for _ in 0..2 {
        world.pass(third);
        assert_eq!(world.good(owning("a", 1, &all)).epoch, Epoch(1));
        assert_eq!(world.good(beat("b", 2)).assignment, None);
    }
    world.pass(third);
    assert_eq!(
        world.refused(beat("a", 1)).error,
        GroupError::UnknownMemberId
    );
    let b = world.good(beat("b", 2));
    assert_eq!((b.epoch, assigned(&b)), (Epoch(3), vec![0, 1, 2, 3]));
}

#[test]
fn topics_that_grow_come_and_go_bump_the_epoch_and_others_do_not() {
    let mut world = world();
    assert_eq!(world.good(join("a", &["t", "later"])).epoch, Epoch(1));
    world.topics.put("other", 9, 3);
    let same = world.good(beat("a", 1));
    assert_eq!((same.epoch, same.assignment), (Epoch(1), None));
    world.topics.put("later", 2, 1);
    assert_eq!(
        world.good(beat("a", 1)).assignment.map(|all| all.len()),
        Some(5)
    );
    world.topics.put("t", 1, 6);
    assert_eq!(
        world.good(beat("a", 2)).assignment.map(|all| all.len()),
        Some(7)
    );
    world.topics.put("t", 3, 6);
    let again = world.good(beat("a", 3));
    assert_eq!(
        (again.epoch, again.assignment.map(|all| all.len())),
        (Epoch(3), Some(1)),
        "a new topic of the name"
    );
    let kept: Partitions = [(uuid::Uuid::from_u128(2), 0)].into_iter().collect();
    let again = world.good(owning("a", 3, &kept));
    assert_eq!(
        (again.epoch, again.assignment.map(|all| all.len())),
        (Epoch(4), Some(7))
    );
    world.topics.remove("t");
    assert_eq!(
        world.good(beat("a", 4)).assignment.map(|all| all.len()),
        Some(1)
    );
}

#[test]
fn a_static_member_that_goes_for_a_while_keeps_its_partitions() {
    let mut world = world();
    let joined = world.good(with_instance("i", join("a", &["t"])));
    world.good(join("b", &["t"]));
    let taken = world.refused(with_instance("i", join("c", &["t"])));
    assert_eq!(taken.error, GroupError::UnreleasedInstanceId);
    let away = world.good(with_instance("i", beat("a", -2)));
    assert_eq!((away.epoch, away.assignment), (Epoch::LEAVE_STATIC, None));
    assert_eq!(world.good(beat("b", 2)).assignment, None, "no rebalance");
    let back = world.good(with_instance("i", join("c", &["t"])));
    assert_eq!(back.epoch, Epoch(2), "the epoch of the group as it was");
    let kept: Vec<i32> = assigned(&back);
    assert!(assigned(&joined).iter().any(|number| kept.contains(number)));
    assert_eq!(
        assigned(&world.good(beat("b", 2))),
        [2, 3],
        "a gave up what it must by going"
    );
    let old = world.refused(with_instance("i", beat("a", 1)));
    assert_eq!(old.error, GroupError::FencedInstanceId);
    assert_eq!(
        world.refused(with_instance("j", beat("a", 1))).error,
        GroupError::UnknownMemberId
    );
}

#[test]
fn a_static_member_that_does_not_return_is_dropped_after_its_session() {
    let mut world = world();
    world.good(with_instance("i", join("a", &["t"])));
    world.good(with_instance("i", beat("a", -2)));
    world.pass(SESSION_MS - 1);
    assert_eq!(world.group.standing(), Standing::Reconciling);
    world.pass(1);
    assert_eq!(world.group.standing(), Standing::Empty);
    let fresh = world.good(with_instance("i", join("c", &["t"])));
    assert_eq!(assigned(&fresh), [0, 1, 2, 3]);
}

#[test]
fn a_pattern_is_matched_when_topics_change_and_not_with_each_heartbeat() {
    let mut world = world();
    world.topics.put("x-1", 11, 1);
    world.topics.put("x-2", 12, 1);
    world.topics.put("not-x-3", 13, 1);
    let joined = world.good(with_pattern("x-.*", join("a", &[])));
    assert_eq!(
        (joined.epoch, joined.assignment.unwrap().len()),
        (Epoch(1), 2),
        "whole names"
    );
    let written = world.log.len();
    world.pass(2_000);
    world.good(beat("a", 1));
    assert_eq!(world.log.len(), written);
    world.topics.put("x-4", 14, 2);
    let more = world.good(beat("a", 1));
    assert_eq!((more.epoch, more.assignment.unwrap().len()), (Epoch(2), 4));
    let none = world.good(with_pattern("", beat("a", 2)));
    assert_eq!(none.epoch, Epoch(2), "what it holds must be given up first");
    assert!(assigned(&none).is_empty());
    let none = world.good(owning("a", 2, &Partitions::default()));
    assert_eq!((none.epoch, none.assignment), (Epoch(3), None));
}

#[test]
fn a_pattern_that_is_none_leaves_no_trace() {
    let mut world = world();
    for bad in [
        "(",
        "a)(b",
        "(?=a)",
        r"(a)\1",
        "(a{1000}){1000}",
        &"a".repeat(5_000),
    ] {
        let refused = world.refused(with_pattern(bad, join("a", &[])));
        assert_eq!(refused.error, GroupError::InvalidRegularExpression, "{bad}");
        assert!(
            refused.text.starts_with("SubscribedTopicRegex `"),
            "{}",
            refused.text
        );
    }
    assert!(world.group.is_idle() && world.log.is_empty());
    world.good(join("a", &["t"]));
    world.refused(with_pattern("(", beat("a", 1)));
    assert_eq!(world.good(beat("a", 1)).assignment, None);
}

#[test]
fn requests_that_contradict_themselves_are_refused_with_a_reason() {
    let check = |heartbeat: &Heartbeat| heartbeat.check("g", true).map_err(|refused| refused.text);
    assert_eq!(check(&join("a", &["t"])), Ok(()));
    assert_eq!(
        check(&join("a", &[])),
        Ok(()),
        "no topic is a subscription too"
    );
    assert_eq!(
        join("", &["t"]).check("g", false),
        Ok(()),
        "in version 0 the broker makes the id"
    );
    let wrong = |heartbeat: Heartbeat, text: &str| {
        assert_eq!(check(&heartbeat), Err(text.to_owned()));
        assert_eq!(
            heartbeat.check("g", true).unwrap_err().error,
            GroupError::InvalidRequest
        );
    };
    wrong(join("", &["t"]), "MemberId can't be empty.");
    wrong(beat(" ", 3), "MemberId can't be empty.");
    wrong(
        with_instance("", join("a", &["t"])),
        "InstanceId can't be empty.",
    );
    wrong(
        Heartbeat {
            rack_id: Some(Arc::from(" ")),
            ..beat("a", 1)
        },
        "RackId can't be empty.",
    );
    wrong(
        Heartbeat {
            rebalance_timeout_ms: None,
            ..join("a", &["t"])
        },
        "RebalanceTimeoutMs must be provided in first request.",
    );
    wrong(
        Heartbeat {
            owned: None,
            ..join("a", &["t"])
        },
        "TopicPartitions must be empty when (re-)joining.",
    );
    wrong(
        Heartbeat {
            topics: None,
            ..join("a", &["t"])
        },
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
    );
    wrong(beat("a", -2), "InstanceId can't be null.");
    wrong(beat("a", -3), "MemberEpoch is invalid.");
    assert_eq!(
        join("a", &[]).check(" ", true).unwrap_err().text,
        "GroupId can't be empty."
    );
    let sticky = Heartbeat {
        assignor: Some(Arc::from("sticky")),
        ..beat("a", 1)
    };
    let refused = sticky.check("g", true).unwrap_err();
    assert_eq!(refused.error, GroupError::UnsupportedAssignor);
    assert_eq!(
        refused.text,
        "ServerAssignor sticky is not supported. Supported assignors: uniform, range."
    );
}

#[test]
fn the_assignor_that_most_members_ask_for_is_used() {
    let mut world = world();
    world.topics.put("u", 2, 4);
    let asking = |id: &str, name: &str| Heartbeat {
        assignor: Some(Arc::from(name)),
        ..join(id, &["t", "u"])
    };
    world.good(asking("a", "range"));
    assert_eq!(world.group.describe().assignor.name(), "range");
    world.good(asking("b", "uniform"));
    world.good(asking("c", "uniform"));
    assert_eq!(world.group.describe().assignor.name(), "uniform");
}

#[test]
fn a_full_group_takes_no_more_members() {
    let mut world = ConsumerWorld::with(settings(1));
    world.topics.put("t", 1, 1);
    world.good(with_instance("i", join("a", &["t"])));
    let full = world.refused(join("b", &["t"]));
    assert_eq!(full.error, GroupError::GroupFull);
    assert_eq!(
        full.text,
        "The consumer group has reached its maximum capacity of 1 members."
    );
    world.good(with_instance("i", beat("a", -2)));
    world.good(with_instance("i", join("c", &["t"])));
}

#[test]
fn a_crowd_that_joins_during_a_write_shares_the_next_one() {
    let mut world = world();
    world.confirm = false;
    let names: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
    let tickets: Vec<_> = names
        .iter()
        .map(|name| world.send(join(name, &["t"])))
        .collect();
    assert!(
        world.replies.is_empty(),
        "nothing is answered before it is durable"
    );
    world.written(Ok(()));
    assert_eq!(world.replies.len(), 1);
    world.written(Ok(()));
    assert_eq!(world.replies.len(), 100);
    let last = world.replies.remove(&tickets[99]).unwrap().unwrap();
    assert_eq!(
        last.epoch,
        Epoch(2),
        "one epoch and one assignment for all of them"
    );
}

#[test]
fn a_failed_write_leaves_no_trace_and_is_told() {
    let mut world = world();
    world.confirm = false;
    let ticket = world.send(join("a", &["t"]));
    world.written(Err(GroupError::CoordinatorNotAvailable));
    let refused = world.replies.remove(&ticket).unwrap().unwrap_err();
    assert_eq!(refused.error, GroupError::CoordinatorNotAvailable);
    assert_eq!(world.group.standing(), Standing::Empty);
    world.confirm = true;
    world.good(join("a", &["t"]));
    world.confirm = false;
    world.pass(SESSION_MS);
    world.written(Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(
        world.group.standing(),
        Standing::Stable,
        "it is not dropped before that is durable"
    );
    world.confirm = true;
    world.pass(2_000);
    assert_eq!(world.group.standing(), Standing::Empty);
}

/// Trap 67.
#[test]
fn members_get_fresh_sessions_after_a_restart_and_keep_what_they_have() {
    let mut world = world();
    let all = world.good(join("a", &["t"])).assignment.unwrap();
    world.good(with_pattern("t.*", join("b", &[])));
    world.good(beat("a", 1));
    let before = world.group.describe();
    world.pass(SESSION_MS - 1);
    world.restart();
    assert_eq!(world.group.describe(), before);
    world.pass(SESSION_MS - 1);
    assert_eq!(
        world.good(owning("a", 1, &all)).epoch,
        Epoch(1),
        "still asked to give up"
    );
    let kept = before.members[0].assigned.clone();
    assert_eq!(
        world.good(owning("a", 1, &kept)).epoch,
        Epoch(2),
        "nothing changed by the restart"
    );
    assert_eq!(assigned(&world.good(beat("b", 2))), [2, 3]);
}

#[test]
fn commits_and_fetches_need_an_epoch_that_holds() {
    let mut world = world();
    let topic = uuid::Uuid::from_u128(1);
    let anyone = world.group.check_commit("", Epoch(-1), true);
    assert!(anyone.is_ok(), "an empty group takes offsets of tools");
    let all = world.good(join("a", &["t"])).assignment.unwrap();
    world.good(join("b", &["t"]));
    world.good(beat("a", 1));
    let kept: Partitions = all.iter().take(2).collect();
    world.good(owning("a", 1, &kept));
    let check = |world: &ConsumerWorld, id: &str, epoch: i32, partition: i32| {
        let rule = world.group.check_commit(id, Epoch(epoch), true);
        rule.and_then(|rule| rule.check(topic, partition))
    };
    assert_eq!(check(&world, "a", 2, 0), Ok(()));
    assert_eq!(
        check(&world, "a", 1, 0),
        Ok(()),
        "held since epoch 1 (KIP-1251)"
    );
    assert_eq!(
        check(&world, "a", 1, 3),
        Err(GroupError::StaleMemberEpoch),
        "given up"
    );
    assert_eq!(check(&world, "a", 3, 0), Err(GroupError::StaleMemberEpoch));
    assert_eq!(check(&world, "", -1, 0), Err(GroupError::UnknownMemberId));
    let old = world.group.check_commit("a", Epoch(2), false).unwrap_err();
    assert_eq!(old, GroupError::UnsupportedVersion);
    assert_eq!(world.group.check_fetch(None, Epoch(-1)), Ok(()), "trap 63");
    assert_eq!(world.group.check_fetch(Some("a"), Epoch(2)), Ok(()));
    assert_eq!(
        world.group.check_fetch(Some("a"), Epoch(1)),
        Err(GroupError::StaleMemberEpoch)
    );
    assert_eq!(
        world.group.check_fetch(Some("x"), Epoch(1)),
        Err(GroupError::UnknownMemberId)
    );
}
