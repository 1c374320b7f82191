//! What each assignor promises, on random members, topics and earlier assignments.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number + 1)
}

fn candidate(name: &str, topics: &[u128]) -> Candidate {
    Candidate {
        id: Arc::from(name),
        instance_id: None,
        topics: topics.iter().map(|number| topic(*number)).collect(),
        before: Arc::default(),
    }
}

fn problem(members: Vec<Candidate>, counts: &[i32]) -> Problem {
    Problem {
        members,
        topics: (0..).map(topic).zip(counts.iter().copied()).collect(),
    }
}

/// The same problem after this assignment was made.
fn after(problem: &Problem, shares: &BTreeMap<MemberId, Partitions>) -> Problem {
    let mut next = problem.clone();
    for member in &mut next.members {
        member.before = Arc::new(shares.get(&member.id).cloned().unwrap_or_default());
    }
    next
}

/// Each wanted partition goes to one member that wants it, and no other partition goes to anybody.
fn complete(problem: &Problem, shares: &BTreeMap<MemberId, Partitions>) {
    let mut given = BTreeSet::new();
    for member in &problem.members {
        for place in shares[&member.id].iter() {
            assert!(
                member.topics.contains(&place.0),
                "given what it does not want"
            );
            assert!(given.insert(place), "{place:?} given twice");
        }
    }
    let wanted: BTreeSet<_> = problem
        .topics
        .iter()
        .filter(|(id, _)| {
            problem
                .members
                .iter()
                .any(|member| member.topics.contains(id))
        })
        .flat_map(|(id, count)| (0..*count).map(|partition| (*id, partition)))
        .collect();
    assert_eq!(given, wanted);
}

/// No single partition could be moved so that two loads come closer.
fn balanced(problem: &Problem, shares: &BTreeMap<MemberId, Partitions>) {
    for from in &problem.members {
        for to in &problem.members {
            let movable = shares[&from.id]
                .topics()
                .any(|(id, _)| to.topics.contains(&id));
            let (more, less) = (shares[&from.id].len(), shares[&to.id].len());
            assert!(!movable || more <= less + 1, "{more} beside {less}");
        }
    }
}

fn moved(before: &BTreeMap<MemberId, Partitions>, now: &BTreeMap<MemberId, Partitions>) -> usize {
    let holder = |shares: &BTreeMap<MemberId, Partitions>| -> BTreeMap<(Uuid, i32), MemberId> {
        let places = |(id, share): (&MemberId, &Partitions)| {
            share
                .iter()
                .map(|place| (place, id.clone()))
                .collect::<Vec<_>>()
        };
        shares.iter().flat_map(places).collect()
    };
    let now = holder(now);
    holder(before)
        .into_iter()
        .filter(|(place, id)| now.get(place).is_some_and(|other| other != id))
        .count()
}

#[test]
fn range_gives_the_same_numbers_of_topics_of_one_size() {
    let members = vec![candidate("a", &[0, 1]), candidate("b", &[0, 1])];
    let shares = Assignor::Range.assign(&problem(members, &[3, 3]));
    let of = |name: &str| shares[&MemberId::from(name)].iter().collect::<Vec<_>>();
    assert_eq!(
        of("a"),
        [(topic(0), 0), (topic(0), 1), (topic(1), 0), (topic(1), 1)]
    );
    assert_eq!(of("b"), [(topic(0), 2), (topic(1), 2)]);
}

#[test]
fn range_gives_a_static_member_the_same_under_any_id() {
    let named = |id: &str, instance: &str| Candidate {
        instance_id: Some(Arc::from(instance)),
        ..candidate(id, &[0])
    };
    let first = problem(vec![named("a", "1"), named("b", "2")], &[3]);
    let again = problem(vec![named("b", "2"), named("z", "1")], &[3]);
    let (first, again) = (
        Assignor::Range.assign(&first),
        Assignor::Range.assign(&again),
    );
    assert_eq!(first[&MemberId::from("a")], again[&MemberId::from("z")]);
    assert_eq!(first[&MemberId::from("b")], again[&MemberId::from("b")]);
}

#[test]
fn uniform_moves_no_more_than_a_newcomer_needs() {
    let names = ["a", "b", "c"];
    let two = problem(vec![candidate("a", &[0]), candidate("b", &[0])], &[12]);
    let shares = Assignor::Uniform.assign(&two);
    let three = Problem {
        members: names.iter().map(|name| candidate(name, &[0])).collect(),
        ..two
    };
    let next = Assignor::Uniform.assign(&after(&three, &shares));
    assert_eq!(
        names.map(|name| next[&MemberId::from(name)].len()),
        [4, 4, 4]
    );
    assert_eq!(moved(&shares, &next), 4);
}

#[test]
fn a_large_group_is_assigned_evenly() {
    let names: Vec<String> = (0..500).map(|number| format!("{number:04}")).collect();
    let members = names.iter().map(|name| candidate(name, &[0, 1])).collect();
    let large = problem(members, &[1000, 501]);
    let shares = Assignor::Uniform.assign(&large);
    complete(&large, &shares);
    balanced(&large, &shares);
}

/// Members with subscriptions (each a bit set of topics), partition counts, and who is gone and new afterwards.
fn histories() -> impl Strategy<Value = (Vec<u8>, Vec<i32>, Vec<u8>, Vec<i32>)> {
    let members = || prop::collection::vec(0_u8..8, 1..7);
    let counts = || prop::collection::vec(0_i32..9, 3);
    (members(), counts(), members(), counts())
}

fn of_bits(members: &[u8], counts: &[i32]) -> Problem {
    let member = |(number, bits): (usize, &u8)| {
        let topics: Vec<u128> = (0..3).filter(|topic| bits & (1 << topic) != 0).collect();
        candidate(&format!("m{number}"), &topics)
    };
    problem(members.iter().enumerate().map(member).collect(), counts)
}

proptest! {
    #[test]
    fn every_assignment_is_complete((members, counts, later, grown) in histories()) {
        for assignor in Assignor::ALL {
            let first = of_bits(&members, &counts);
            let shares = assignor.assign(&first);
            complete(&first, &shares);
            let second = after(&of_bits(&later, &grown), &shares);
            complete(&second, &assignor.assign(&second));
        }
    }

    #[test]
    fn uniform_is_balanced_and_stays_as_it_is((members, counts, later, grown) in histories()) {
        let first = of_bits(&members, &counts);
        let shares = Assignor::Uniform.assign(&first);
        balanced(&first, &shares);
        prop_assert_eq!(&Assignor::Uniform.assign(&after(&first, &shares)), &shares, "nothing changed, nothing moves");
        let second = after(&of_bits(&later, &grown), &shares);
        balanced(&second, &Assignor::Uniform.assign(&second));
    }

    #[test]
    fn uniform_moves_only_what_is_too_much(members in 1_usize..8, newcomers in 0_usize..4, count in 0_i32..40) {
        let one = |members: usize| of_bits(&vec![1; members], &[count, 0, 0]);
        let shares = Assignor::Uniform.assign(&one(members));
        let next = Assignor::Uniform.assign(&after(&one(members + newcomers), &shares));
        let given: usize = next.iter().filter(|(id, _)| !shares.contains_key(*id)).map(|(_, share)| share.len()).sum();
        prop_assert_eq!(moved(&shares, &next), given, "only to the newcomers");
    }

    #[test]
    fn range_cuts_topics_of_one_size_alike(members in 1_usize..8, count in 0_i32..40) {
        let both = of_bits(&vec![3; members], &[count, count, 0]);
        for share in Assignor::Range.assign(&both).values() {
            let numbers = |number| share.topics().find(|(id, _)| *id == topic(number)).map(|(_, numbers)| numbers.clone());
            prop_assert_eq!(numbers(0), numbers(1));
        }
    }
}
