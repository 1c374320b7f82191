//! Which protocol a generation uses: among those all members offer, the one most members vote for.
//!
//! A member votes for the first of its own list that everyone offers. On a tie the name that the leader
//! prefers wins, so that the same members always choose the same.

use std::sync::Arc;

use super::members::{Members, Protocol};

/// Whether a newcomer with these protocols can be in a generation with the others.
pub fn fits(members: &Members, except: &str, offered: &[Protocol]) -> bool {
    let others: Vec<_> = members
        .iter()
        .filter(|member| &*member.id != except)
        .collect();
    offered.iter().any(|protocol| {
        others.iter().all(|member| {
            member
                .protocols
                .iter()
                .any(|known| known.name == protocol.name)
        })
    })
}

/// The protocol of the next generation; `None` if nothing is common to all, or nobody is there.
pub fn choose(members: &Members) -> Option<Arc<str>> {
    choose_with(members, "", &[])
}

/// As [`choose`], if member `changed` offered `offered` instead.
pub fn choose_with(members: &Members, changed: &str, offered: &[Protocol]) -> Option<Arc<str>> {
    let leader = members.leader()?;
    let lists: Vec<&[Protocol]> = members
        .iter()
        .map(|member| {
            if &*member.id == changed {
                offered
            } else {
                &member.protocols
            }
        })
        .collect();
    let preferred = match members.get(leader)? {
        member if &*member.id == changed => offered,
        member => &member.protocols,
    };
    let offers = |list: &[Protocol], name: &str| list.iter().any(|known| &*known.name == name);
    let candidates: Vec<&Arc<str>> = preferred
        .iter()
        .map(|protocol| &protocol.name)
        .filter(|name| lists.iter().all(|list| offers(list, name)))
        .collect();
    let mut votes = vec![0_usize; candidates.len()];
    for list in lists {
        let vote = list
            .iter()
            .find_map(|protocol| candidates.iter().position(|name| **name == protocol.name));
        if let Some(place) = vote {
            votes[place] += 1;
        }
    }
    let mut best: Option<usize> = None;
    for (place, count) in votes.iter().enumerate() {
        if best.is_none_or(|best| *count > votes[best]) {
            best = Some(place);
        }
    }
    best.map(|place| Arc::clone(candidates[place]))
}
