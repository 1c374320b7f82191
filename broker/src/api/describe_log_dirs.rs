//! DescribeLogDirs: the one data directory, the sizes of the partitions in it, and the room on its disk.
//!
//! A partition that is not served is left out: what its files hold is not known.

use headrace_protocol::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest,
    DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::Call;
use crate::partition::{Handle, Topic};

pub(super) async fn handle(call: Call, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let node = &call.node;
    let registry = &node.registry;
    let topics = match &request.topics {
        None => {
            let topics = registry.topics();
            topics.iter().map(|topic| described(topic, None)).collect()
        }
        Some(asked) => {
            let found = asked
                .iter()
                .filter_map(|DescribableLogDirTopic { topic, partitions }| {
                    let topic = registry.topic(topic)?;
                    Some(described(&topic, Some(partitions)))
                });
            let any = |topic: &DescribeLogDirsTopic| !topic.partitions.is_empty();
            found.filter(any).collect()
        }
    };
    let space = registry.space().space();
    DescribeLogDirsResponse {
        results: vec![DescribeLogDirsResult {
            log_dir: node.config.data.display().to_string().into(),
            topics,
            total_bytes: i64::try_from(space.total_bytes).unwrap_or(i64::MAX),
            usable_bytes: i64::try_from(space.free_bytes).unwrap_or(i64::MAX),
            ..DescribeLogDirsResult::default()
        }],
        ..DescribeLogDirsResponse::default()
    }
}

/// The partitions of a topic that are served: all, or those of them that are asked for.
fn described(topic: &Topic, asked: Option<&Vec<i32>>) -> DescribeLogDirsTopic {
    let wanted = |handle: &&Handle| asked.is_none_or(|asked| asked.contains(&handle.partition()));
    let partitions = topic.served().filter(wanted);
    DescribeLogDirsTopic {
        name: (&*topic.name).into(),
        partitions: partitions.map(size).collect(),
    }
}

fn size(handle: &Handle) -> DescribeLogDirsPartition {
    let size_bytes = handle.view().size_bytes();
    DescribeLogDirsPartition {
        partition_index: handle.partition(),
        partition_size: i64::try_from(size_bytes).unwrap_or(i64::MAX),
        ..DescribeLogDirsPartition::default()
    }
}
