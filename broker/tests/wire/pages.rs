//! DescribeTopicPartitions: topics in pages.

use headrace_protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};

use crate::requests::{create, topic};
use crate::support::{Client, Server};

async fn page(
    client: &mut Client,
    names: &[&str],
    response_partition_limit: i32,
    cursor: Option<Cursor>,
) -> DescribeTopicPartitionsResponse {
    let asked = |name: &&str| TopicRequest {
        name: (*name).into(),
    };
    let request = DescribeTopicPartitionsRequest {
        topics: names.iter().map(asked).collect(),
        response_partition_limit,
        cursor,
    };
    client.call(0, &request).await
}

/// What a page holds: `name-partition`, or the name and the code.
fn held(page: &DescribeTopicPartitionsResponse) -> Vec<String> {
    let mut held = Vec::new();
    for topic in &page.topics {
        let name = topic.name.as_deref().unwrap();
        if topic.error_code.is_err() {
            held.push(format!("{name} {}", topic.error_code));
        }
        let numbers = topic.partitions.iter();
        held.extend(numbers.map(|partition| format!("{name}-{}", partition.partition_index)));
    }
    held
}

async fn with_topics() -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let topics = [("b", 3), ("a", 2), ("c", 1)];
    let topics = topics.map(|(name, partitions)| topic(name, partitions, &[]));
    create(&mut client, topics.to_vec()).await;
    (server, client)
}

/// Trap 61.
#[tokio::test]
async fn a_page_ends_at_its_limit_and_the_cursor_goes_on_from_there() {
    let (_server, mut client) = with_topics().await;
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let page = page(&mut client, &[], 3, cursor).await;
        pages.push(held(&page).join(" "));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["a-0 a-1 b-0", "b-1 b-2 c-0"]);
    for (limit, first) in [(2, "a-0 a-1"), (0, "a-0"), (-5, "a-0"), (2, "a-0 a-1")] {
        let page = page(&mut client, &[], limit, None).await;
        assert_eq!(held(&page).join(" "), first);
        assert!(page.next_cursor.is_some(), "limit {limit}");
    }
    let full = page(&mut client, &[], 2, None).await.next_cursor.unwrap();
    assert_eq!((&*full.topic_name, full.partition_index), ("b", 0));
}

/// Trap 61.
#[tokio::test]
async fn no_page_holds_more_than_2000_partitions_whatever_is_asked_for() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let topics = [("a", 1500), ("b", 600)];
    let topics = topics.map(|(name, partitions)| topic(name, partitions, &[]));
    create(&mut client, topics.to_vec()).await;
    let first = page(&mut client, &[], i32::MAX, None).await;
    assert_eq!(held(&first).len(), 2000);
    let cursor = first.next_cursor.unwrap();
    assert_eq!((&*cursor.topic_name, cursor.partition_index), ("b", 500));
    let rest = page(&mut client, &[], i32::MAX, Some(cursor)).await;
    assert_eq!((held(&rest).len(), rest.next_cursor), (100, None));
}

/// Java's admin client fails over null: trap 61.
#[tokio::test]
async fn the_lists_of_eligible_leaders_are_empty_and_not_null() {
    let (_server, mut client) = with_topics().await;
    let page = page(&mut client, &["a"], 2000, None).await;
    let partition = &page.topics[0].partitions[1];
    assert_eq!(partition.eligible_leader_replicas, Some(vec![]));
    assert_eq!(partition.last_known_elr, Some(vec![]));
    assert_eq!((partition.leader_id, partition.leader_epoch), (1, 1));
    assert_eq!(partition.replica_nodes, [1]);
    assert_eq!(partition.isr_nodes, [1]);
    assert!(partition.offline_replicas.is_empty());
}

#[tokio::test]
async fn topics_asked_for_come_in_the_order_of_their_names_with_those_unknown() {
    let (_server, mut client) = with_topics().await;
    let page = page(&mut client, &["c", "nowhere", "a", "a/b"], 2000, None).await;
    let expected = [
        "a-0",
        "a-1",
        "a/b INVALID_TOPIC_EXCEPTION (17)",
        "c-0",
        "nowhere UNKNOWN_TOPIC_OR_PARTITION (3)",
    ];
    assert_eq!(held(&page), expected);
    assert!(!page.topics[0].topic_id.is_nil());
    assert_eq!(page.topics[0].topic_authorized_operations, 3576);
    assert_eq!(page.next_cursor, None);
}

#[tokio::test]
async fn a_cursor_at_a_topic_that_is_gone_goes_on_with_the_next() {
    let (_server, mut client) = with_topics().await;
    let at = |topic: &str, partition_index| {
        Some(Cursor {
            topic_name: topic.into(),
            partition_index,
        })
    };
    let behind = page(&mut client, &[], 2000, at("aa", 7)).await;
    assert_eq!(held(&behind), ["b-0", "b-1", "b-2", "c-0"]);
    let shrunk = page(&mut client, &[], 2000, at("b", 9)).await;
    assert_eq!(held(&shrunk), ["c-0"]);
    let malformed = page(&mut client, &["a"], 2000, at("a", -1)).await;
    assert_eq!(held(&malformed), ["a INVALID_REQUEST (42)"]);
    let malformed = page(&mut client, &[], 2000, at("a", -1)).await;
    assert!(malformed.topics.is_empty() && malformed.next_cursor.is_none());
}
