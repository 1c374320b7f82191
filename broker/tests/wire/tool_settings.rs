//! What the tools of Kafka set on topics is served.

use headrace_protocol::ErrorCode;
use headrace_protocol::describe_configs::RESOURCE_TOPIC;
use headrace_protocol::incremental_alter_configs::{OPERATION_DELETE, OPERATION_SET};

use crate::alter_configs::alter;
use crate::configs::describe;
use crate::requests::{create, topic};
use crate::support::Server;

/// What tools say of topics that they make.
const MADE: [&[(&str, &str)]; 7] = [
    // Streams: repartition, changelog, windowed changelog, versioned store
    &[
        ("cleanup.policy", "delete"),
        ("segment.bytes", "52428800"),
        ("retention.ms", "-1"),
        ("message.timestamp.type", "CreateTime"),
    ],
    &[
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "CreateTime"),
    ],
    &[
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "172800000"),
        ("message.timestamp.type", "CreateTime"),
    ],
    &[
        ("cleanup.policy", "compact"),
        ("min.compaction.lag.ms", "3600000"),
    ],
    // Connect: its own topics, with what its builder may add
    &[
        ("cleanup.policy", "compact"),
        ("min.insync.replicas", "1"),
        ("unclean.leader.election.enable", "false"),
    ],
    // MirrorMaker 2: heartbeats, checkpoints, offset syncs
    &[("cleanup.policy", "compact")],
    // Debezium: the schema history
    &[
        ("cleanup.policy", "delete"),
        ("retention.ms", "9223372036854775807"),
        ("retention.bytes", "-1"),
    ],
];

/// The settings of a topic of Kafka 4.3, as it describes them.
const OF_KAFKA: [(&str, &str); 33] = [
    ("compression.type", "producer"),
    ("remote.log.delete.on.disable", "false"),
    ("leader.replication.throttled.replicas", ""),
    ("remote.storage.enable", "false"),
    ("min.insync.replicas", "1"),
    ("segment.jitter.ms", "0"),
    ("remote.log.copy.disable", "false"),
    ("local.retention.ms", "-2"),
    ("cleanup.policy", "delete"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("compression.lz4.level", "9"),
    ("segment.bytes", "1073741824"),
    ("retention.ms", "604800000"),
    ("compression.gzip.level", "-1"),
    ("flush.messages", "9223372036854775807"),
    ("compression.zstd.level", "3"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("file.delete.delay.ms", "60000"),
    ("max.message.bytes", "1048588"),
    ("min.compaction.lag.ms", "0"),
    ("message.timestamp.type", "CreateTime"),
    ("local.retention.bytes", "-2"),
    ("preallocate", "false"),
    ("index.interval.bytes", "4096"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("unclean.leader.election.enable", "false"),
    ("retention.bytes", "-1"),
    ("delete.retention.ms", "86400000"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("segment.ms", "604800000"),
    ("segment.index.bytes", "10485760"),
];

#[tokio::test]
async fn kafka_streams_connect_mirror_maker_and_debezium_make_their_topics() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let topics = (0..).zip(MADE);
    let topics = topics.map(|(number, settings)| topic(&format!("made-{number}"), 1, settings));
    for answer in create(&mut client, topics.collect()).await.topics {
        assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
    }
}

/// MirrorMaker 2 keeps the settings of a copy in step: it sets or takes back all that the source's broker knows.
#[tokio::test]
async fn every_setting_of_kafka_is_described_and_may_be_set_to_its_default_and_taken_back() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    create(&mut client, vec![topic("t", 1, &[])]).await;
    let resource = (RESOURCE_TOPIC, "t");
    let described = describe(&mut client, 4, resource, None).await;
    for (name, default) in OF_KAFKA {
        let found = described.configs.iter().find(|config| config.name == name);
        let found = found.unwrap_or_else(|| panic!("{name} is described"));
        assert_eq!(found.value.as_deref(), Some(default), "{name}");
        for edit in [
            (name, OPERATION_SET, Some(default)),
            (name, OPERATION_DELETE, None),
        ] {
            let code = alter(&mut client, resource, &[edit]).await;
            assert_eq!(code, ErrorCode::NONE, "{edit:?}");
        }
    }
}
