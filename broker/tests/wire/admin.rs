//! The HTTP interface and the metrics.

use headrace_protocol::ErrorCode;
use headrace_storage::fs::Fault;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::requests::{batch, create_topic, fetch, produce, produced};
use crate::support::Server;

/// The body of `GET path`.
pub(crate) async fn get(server: &Server, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, server.broker.router()).into_future());
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    serving.abort();
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn v1_broker_tells_topics_and_positions() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let id = create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["a", "b"])).await;
    let body = get(&server, "/v1/broker").await;
    let cluster = format!(
        r#"{{"cluster_id":"{}","node_id":1,"#,
        server.broker.cluster_id()
    );
    assert!(body.starts_with(&cluster), "{body}");
    let topic = format!(
        r#"{{"name":"t","id":"{id}","internal":false,"partitions":[{{"partition":0,"leader_epoch":1,"log_start":0,"high_watermark":2,"log_end":2,"#
    );
    assert!(body.contains(&topic), "{body}");
    assert!(body.contains(r#""appends":"all"}"#), "{body}");
    assert!(body.contains(r#""closed":null,"damaged":[]"#), "{body}");
    assert_eq!(server.broker.troubles()(), Vec::<String>::new());
}

#[tokio::test]
async fn a_log_closed_to_writes_tells_why() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    server.disk().fail(Fault {
        at_call: 0,
        kind: std::io::ErrorKind::StorageFull,
        lasting: true,
    });
    let refused = produce(&mut client, "t", batch(&["a"])).await;
    assert_eq!(refused.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    server.disk().heal();
    let body = get(&server, "/v1/broker").await;
    assert!(
        body.contains(r#""closed":"log is closed to writes: cannot "#),
        "{body}"
    );
    let troubles = server.broker.troubles()();
    assert_eq!(troubles.len(), 1);
    assert!(
        troubles[0].starts_with("partition 0 of topic t takes no writes until the next start: "),
        "{troubles:?}"
    );
}

#[tokio::test]
async fn metrics_count_requests_and_sum_positions() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create_topic(&mut client, "t", &[]).await;
    produced(&mut client, "t", batch(&["a", "b"])).await;
    fetch(&mut client, "t", 0).await;
    let mut registry = Registry::default();
    server.broker.register_metrics(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        r#"headrace_broker_requests_total{api="Produce"} 1"#,
        r#"headrace_broker_requests_total{api="CreateTopics"} 1"#,
        "headrace_broker_connections 1",
        "headrace_broker_produce_seconds_count 1",
        "headrace_broker_fetch_seconds_count 1",
        "headrace_broker_partitions 1",
        "headrace_broker_log_end_offset_sum 2",
        "headrace_broker_high_watermark_sum 2",
        "headrace_broker_appends_refused 0",
        "headrace_broker_segments_removed_total 0",
        "headrace_broker_compaction_reclaimed_bytes_total 0",
        "headrace_broker_compaction_uncleanable_logs 0",
        "headrace_broker_scrub_errors_total 0",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(text.contains("headrace_broker_received_bytes_total "));
    assert!(text.contains("headrace_broker_log_bytes "));
}
