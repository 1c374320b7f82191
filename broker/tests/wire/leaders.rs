//! Who leads, as clients learn it: ids, epochs, and hints to those that know an old one.

use headrace_protocol::ErrorCode;
use headrace_protocol::fetch::{FetchRequest, FetchResponse};
use headrace_protocol::metadata::MetadataRequest;

use crate::requests::{batch, create_topic, fetch_request, produced};
use crate::support::{Client, Server};

/// The cluster's id, the controller, and `(name, id, epoch of partition 0)` of every topic.
async fn known(client: &mut Client) -> (String, i32, Vec<(String, uuid::Uuid, i32)>) {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let known = client.call(12, &all).await;
    let topics = known.topics.into_iter().map(|topic| {
        let name = topic.name.expect("topics have names").to_string();
        (name, topic.topic_id, topic.partitions[0].leader_epoch)
    });
    let cluster_id = known.cluster_id.expect("a cluster has an id").to_string();
    assert_eq!(known.brokers[0].node_id, known.controller_id);
    (cluster_id, known.controller_id, topics.collect())
}

/// Clients take no metadata with an older epoch, and none at all with -1: trap 14. Ids that change make them strangers:
/// trap 15, trap 16.
#[tokio::test]
async fn ids_stay_and_epochs_rise_over_every_end_of_the_process() {
    let mut server = Server::start().await;
    let id = create_topic(&mut server.connect().await, "t", &[]).await;
    let (cluster_id, node_id, topics) = known(&mut server.connect().await).await;
    assert_eq!(topics, [("t".to_owned(), id, 1)]);
    for (round, epoch) in (2..6).enumerate() {
        server = match round % 3 {
            0 => server.restart().await,
            1 => server.crash().await,
            _ => server.kill().await,
        };
        let now = known(&mut server.connect().await).await;
        let same_but_for_the_epoch = vec![("t".to_owned(), id, epoch)];
        assert_eq!(now, (cluster_id.clone(), node_id, same_but_for_the_epoch));
    }
}

async fn fetch_as_of(
    client: &mut Client,
    version: i16,
    id: uuid::Uuid,
    epoch: i32,
) -> FetchResponse {
    let mut request: FetchRequest = fetch_request("t", 0);
    request.topics[0].partitions[0].current_leader_epoch = epoch;
    if version >= 13 {
        request.topics[0].topic = "".into();
        request.topics[0].topic_id = id;
    }
    client.call(version, &request).await
}

/// Trap 31.
#[tokio::test]
async fn a_consumer_of_an_old_epoch_is_told_the_leader_and_its_address() {
    let advertised = Some("kafka.example:1234".to_owned());
    let server = Server::start_with(|config| config.advertised = advertised).await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "t", &[]).await;
    let server = server.restart().await;
    let mut client = server.connect().await;
    produced(&mut client, "t", batch(&["a"])).await;
    for version in [12, 15, 16, 17, 18] {
        for (epoch, code, told) in [
            (1, ErrorCode::FENCED_LEADER_EPOCH, version >= 16),
            (2, ErrorCode::NONE, false),
            (3, ErrorCode::UNKNOWN_LEADER_EPOCH, false),
        ] {
            let answer = fetch_as_of(&mut client, version, id, epoch).await;
            let data = &answer.responses[0].partitions[0];
            assert_eq!(data.error_code, code, "version {version}, epoch {epoch}");
            let leader = (
                data.current_leader.leader_id,
                data.current_leader.leader_epoch,
            );
            assert_eq!(leader, if told { (1, 2) } else { (-1, -1) });
            let endpoints = answer.node_endpoints.iter();
            let endpoints: Vec<_> = endpoints
                .map(|node| (node.node_id, node.host.to_string(), node.port))
                .collect();
            let named = vec![(1, "kafka.example".to_owned(), 1234)];
            assert_eq!(endpoints, if told { named } else { Vec::new() });
        }
    }
}

/// Trap 72.
#[tokio::test]
async fn no_rack_is_sent_to_another_replica() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["a"])).await;
    for rack in ["", "rack-b"] {
        let mut request = fetch_request("t", 0);
        request.rack_id = rack.into();
        let data = client
            .call(12, &request)
            .await
            .responses
            .remove(0)
            .partitions
            .remove(0);
        assert_eq!(
            (data.error_code, data.preferred_read_replica),
            (ErrorCode::NONE, -1)
        );
    }
}
