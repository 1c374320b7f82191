//! Range: each topic is cut into one range for each member that wants it, the longer ones first.
//!
//! Members stand in one order for all topics, static ones first by their instance ids, so that topics of the same size
//! and the same members are cut alike, and a static member that returns under a new id gets the same ranges.

use std::collections::BTreeMap;

use super::{Candidate, Problem};
use crate::coordinator::group::MemberId;
use crate::coordinator::group::consumer::partitions::Partitions;

pub(super) fn assign(problem: &Problem) -> BTreeMap<MemberId, Partitions> {
    let mut members: Vec<&Candidate> = problem.members.iter().collect();
    members.sort_by_key(|member| {
        let name = member.instance_id.as_ref().unwrap_or(&member.id);
        (member.instance_id.is_none(), name)
    });
    let mut shares: BTreeMap<MemberId, Partitions> = members
        .iter()
        .map(|member| (member.id.clone(), Partitions::default()))
        .collect();
    for (topic, count) in &problem.topics {
        let wanting: Vec<&&Candidate> = members
            .iter()
            .filter(|member| member.topics.contains(topic))
            .collect();
        let Some(sharing) = i32::try_from(wanting.len()).ok().filter(|count| *count > 0) else {
            continue;
        };
        let (each, longer) = (count / sharing, count % sharing);
        let mut next = 0;
        for (place, member) in (0..).zip(wanting) {
            let end = next + each + i32::from(place < longer);
            if let Some(share) = shares.get_mut(&member.id) {
                (next..end).for_each(|partition| share.insert(*topic, partition));
            }
            next = end;
        }
    }
    shares
}
