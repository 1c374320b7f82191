//! Deletes the oldest records of partitions.
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use headrace_protocol::ErrorCode;
use headrace_protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
    HIGH_WATERMARK,
};

use super::error::words;
use super::offsets::by_topic;
use super::{Admin, AdminError, TopicPartition, timeout_ms};

/// DeleteRecords (Kafka 2.0 and later).
const DELETE_RECORDS: RangeInclusive<i16> = 1..=2;

/// Up to where records are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteBefore {
    /// Up to this offset, which stays.
    Offset(i64),
    /// All that can be read now.
    End,
}

impl Admin {
    /// Deletes the records before an offset of each partition, and gives the new log start of each; what stands in
    /// the way of a partition is told for it alone.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, DeleteBefore>,
    ) -> Result<BTreeMap<TopicPartition, Result<i64, String>>, AdminError> {
        let offset = |topic: &str, partition_index: i32| {
            let place = TopicPartition::new(topic, partition_index);
            DeleteRecordsPartition {
                partition_index,
                offset: match before[&place] {
                    DeleteBefore::Offset(offset) => offset.max(0),
                    DeleteBefore::End => HIGH_WATERMARK,
                },
            }
        };
        let build = |places: &[TopicPartition]| DeleteRecordsRequest {
            topics: by_topic(places)
                .map(|(topic, partitions)| DeleteRecordsTopic {
                    name: topic.into(),
                    partitions: partitions.map(|index| offset(topic, index)).collect(),
                })
                .collect(),
            timeout_ms: timeout_ms(),
        };
        let places = before.keys().cloned();
        let answers = self
            .ask_leaders(places, DELETE_RECORDS, build, starts)
            .await?;
        let told = answers
            .into_iter()
            .map(|(place, start)| (place, start.map_err(|code| words(code, None))));
        Ok(told.collect())
    }
}

fn starts(answer: DeleteRecordsResponse) -> Vec<(TopicPartition, Result<i64, ErrorCode>)> {
    let topics = answer.topics.into_iter();
    let starts = topics.flat_map(|topic| {
        topic.partitions.into_iter().map(move |found| {
            let place = TopicPartition::new(topic.name.as_str(), found.partition_index);
            let start = match found.error_code {
                ErrorCode::NONE => Ok(found.low_watermark),
                code => Err(code),
            };
            (place, start)
        })
    });
    starts.collect()
}
