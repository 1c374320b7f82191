//! DescribeProducers: the idempotent producers that partitions remember. None of them is in a transaction.

use headrace_protocol::ErrorCode;
use headrace_protocol::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicRequest, TopicResponse,
};

use super::Call;
use crate::partition::producers::Known;
use crate::partition::{AppendFailure, NotServed, Topic};

pub(super) async fn handle(
    call: Call,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for TopicRequest {
        name,
        partition_indexes,
    } in request.topics
    {
        let topic = call.node.registry.topic(&name);
        let mut partitions = Vec::with_capacity(partition_indexes.len());
        for partition in partition_indexes {
            partitions.push(described(topic.as_deref(), partition).await);
        }
        topics.push(TopicResponse { name, partitions });
    }
    DescribeProducersResponse {
        topics,
        ..DescribeProducersResponse::default()
    }
}

async fn described(topic: Option<&Topic>, partition: i32) -> PartitionResponse {
    let (error_code, mut active_producers) = match producers(topic, partition).await {
        Ok(known) => (ErrorCode::NONE, known.into_iter().map(state).collect()),
        Err(error_code) => (error_code, Vec::new()),
    };
    active_producers.sort_unstable_by_key(|producer: &ProducerState| producer.producer_id);
    PartitionResponse {
        partition_index: partition,
        error_code,
        error_message: None,
        active_producers,
    }
}

async fn producers(topic: Option<&Topic>, partition: i32) -> Result<Vec<Known>, ErrorCode> {
    let topic = topic.ok_or(NotServed::Unknown)?;
    let handle = topic.partition(partition)?;
    handle.producers().await.map_err(AppendFailure::code)
}

fn state(known: Known) -> ProducerState {
    ProducerState {
        producer_id: known.id,
        producer_epoch: known.epoch.into(),
        last_sequence: known.last_sequence,
        last_timestamp: known.seen_ms,
        // no transaction coordinator ever wrote for it
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    }
}
