//! Who leads instead: a client that is refused for having come to the wrong leader is told the right one at once,
//! with its address, and needs not ask for metadata first (KIP-951).
//!
//! What is told is what Metadata would tell; a leader that is not known is left out.

use headrace_protocol::ErrorCode;
use headrace_protocol::fetch::{self, FetchResponse};
use headrace_protocol::produce::{self, ProduceResponse};
use uuid::Uuid;

use crate::node::Node;

/// The first version of Fetch whose clients heed it.
const FETCH_FROM_VERSION: i16 = 16;
/// The first version of Produce whose clients heed it.
const PRODUCE_FROM_VERSION: i16 = 10;

/// The leader of a partition, and its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leader {
    id: i32,
    epoch: i32,
}

/// A topic as a response names it: by id in the versions that have ids, by name before.
type Named<'a> = (Uuid, &'a str);

/// Names leaders in the answer to a fetch.
pub(super) fn in_fetch(node: &Node, version: i16, response: &mut FetchResponse) {
    if version >= FETCH_FROM_VERSION {
        let named = hint_fetch(response, &|topic, partition| leader(node, topic, partition));
        response.node_endpoints = if named {
            vec![fetch_endpoint(node)]
        } else {
            Vec::new()
        };
    }
}

/// Names leaders in the answer to a produce request.
pub(super) fn in_produce(node: &Node, version: i16, response: &mut ProduceResponse) {
    if version >= PRODUCE_FROM_VERSION {
        let named = hint_produce(response, &|topic, partition| leader(node, topic, partition));
        response.node_endpoints = if named {
            vec![produce_endpoint(node)]
        } else {
            Vec::new()
        };
    }
}

/// Fills in the leaders of refused partitions; whether there was one.
fn hint_fetch(
    response: &mut FetchResponse,
    leader: &dyn Fn(Named<'_>, i32) -> Option<Leader>,
) -> bool {
    let mut named = false;
    for topic in &mut response.responses {
        for partition in &mut topic.partitions {
            if !is_wrong_leader(partition.error_code) {
                continue;
            }
            let place = (topic.topic_id, topic.topic.as_str());
            if let Some(Leader { id, epoch }) = leader(place, partition.partition_index) {
                partition.current_leader = fetch::LeaderIdAndEpoch {
                    leader_id: id,
                    leader_epoch: epoch,
                };
                named = true;
            }
        }
    }
    named
}

/// The same for produce.
fn hint_produce(
    response: &mut ProduceResponse,
    leader: &dyn Fn(Named<'_>, i32) -> Option<Leader>,
) -> bool {
    let mut named = false;
    for topic in &mut response.responses {
        for partition in &mut topic.partition_responses {
            if !is_wrong_leader(partition.error_code) {
                continue;
            }
            let place = (topic.topic_id, topic.name.as_str());
            if let Some(Leader { id, epoch }) = leader(place, partition.index) {
                partition.current_leader = produce::LeaderIdAndEpoch {
                    leader_id: id,
                    leader_epoch: epoch,
                };
                named = true;
            }
        }
    }
    named
}

/// Whether another leader, or the same in its present epoch, would do what was asked.
fn is_wrong_leader(code: ErrorCode) -> bool {
    code == ErrorCode::NOT_LEADER_OR_FOLLOWER || code == ErrorCode::FENCED_LEADER_EPOCH
}

/// This broker leads all that it serves.
fn leader(node: &Node, (id, name): Named<'_>, partition: i32) -> Option<Leader> {
    let topic = if id.is_nil() {
        node.registry.topic(name)
    } else {
        node.registry.topic_by_id(id)
    };
    let topic = topic?;
    let handle = topic.partition(partition).ok()?;
    Some(Leader {
        id: node.id,
        epoch: handle.view().epoch().0,
    })
}

fn fetch_endpoint(node: &Node) -> fetch::NodeEndpoint {
    fetch::NodeEndpoint {
        node_id: node.id,
        host: node.advertised.host.as_str().into(),
        port: node.advertised.port.into(),
        rack: None,
    }
}

fn produce_endpoint(node: &Node) -> produce::NodeEndpoint {
    produce::NodeEndpoint {
        node_id: node.id,
        host: node.advertised.host.as_str().into(),
        port: node.advertised.port.into(),
        rack: None,
    }
}

#[cfg(test)]
mod tests {
    use headrace_protocol::produce::{PartitionProduceResponse, TopicProduceResponse};

    use super::*;

    fn refused(index: i32, error_code: ErrorCode) -> PartitionProduceResponse {
        PartitionProduceResponse {
            index,
            error_code,
            ..PartitionProduceResponse::default()
        }
    }

    /// Trap 31. A broker that is alone never sends a producer elsewhere, so this is not seen from outside.
    #[test]
    fn a_producer_at_the_wrong_leader_is_told_the_right_one() {
        let mut response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: "t".into(),
                partition_responses: vec![
                    refused(0, ErrorCode::NOT_LEADER_OR_FOLLOWER),
                    refused(1, ErrorCode::NOT_LEADER_OR_FOLLOWER),
                    refused(2, ErrorCode::MESSAGE_TOO_LARGE),
                ],
                ..TopicProduceResponse::default()
            }],
            ..ProduceResponse::default()
        };
        let known = |(_, name): Named<'_>, partition| {
            assert_eq!(name, "t");
            (partition == 0).then_some(Leader { id: 3, epoch: 7 })
        };
        assert!(hint_produce(&mut response, &known));
        let partitions = &response.responses[0].partition_responses;
        let leaders = partitions
            .iter()
            .map(|partition| partition.current_leader.clone());
        let told = produce::LeaderIdAndEpoch {
            leader_id: 3,
            leader_epoch: 7,
        };
        let none = produce::LeaderIdAndEpoch::default();
        assert_eq!(leaders.collect::<Vec<_>>(), [told, none.clone(), none]);
        assert!(!hint_produce(&mut response, &|_, _| None));
    }
}
