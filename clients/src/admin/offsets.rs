//! Where partitions begin and end, and which offset a time has.
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use headrace_protocol::ErrorCode;
use headrace_protocol::list_offsets::{
    EARLIEST, LATEST, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopic,
};

use super::route::Answers;
use super::{Admin, AdminError, TopicPartition};

/// ListOffsets without anything that this client does not want (Kafka 2.1 and later).
const LIST_OFFSETS: RangeInclusive<i16> = 4..=10;

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The log start.
    Earliest,
    /// The high watermark: the offset after the last readable record.
    Latest,
    /// The first record with this time (milliseconds since 1970) or a later one.
    Time(i64),
}

impl OffsetAt {
    fn timestamp(self) -> i64 {
        match self {
            OffsetAt::Earliest => EARLIEST,
            OffsetAt::Latest => LATEST,
            // below 0 lie the questions that are no times
            OffsetAt::Time(ms) => ms.max(0),
        }
    }
}

impl Admin {
    /// The offsets of partitions; `None` where no record is that late.
    pub async fn offsets(
        &self,
        places: impl IntoIterator<Item = TopicPartition>,
        at: OffsetAt,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, AdminError> {
        let answers = self.offsets_where_known(places, at).await?;
        let known = |(place, answer): (TopicPartition, Result<i64, ErrorCode>)| match answer {
            Ok(offset) => Ok((place, (offset >= 0).then_some(offset))),
            Err(code) => Err(partition_error(&place, code)),
        };
        answers.into_iter().map(known).collect()
    }

    /// The offsets of partitions, with an error for each that is unknown; below 0 where no record is that late.
    pub(super) async fn offsets_where_known(
        &self,
        places: impl IntoIterator<Item = TopicPartition>,
        at: OffsetAt,
    ) -> Result<Answers<i64>, AdminError> {
        let timestamp = at.timestamp();
        let build = |places: &[TopicPartition]| ListOffsetsRequest {
            topics: by_topic(places)
                .map(|(topic, partitions)| ListOffsetsTopic {
                    name: topic.into(),
                    partitions: partitions
                        .map(|partition_index| ListOffsetsPartition {
                            partition_index,
                            timestamp,
                            ..ListOffsetsPartition::default()
                        })
                        .collect(),
                })
                .collect(),
            timeout_ms: super::timeout_ms(),
            ..ListOffsetsRequest::default()
        };
        self.ask_leaders(places, LIST_OFFSETS, build, offsets).await
    }
}

fn offsets(answer: ListOffsetsResponse) -> Vec<(TopicPartition, Result<i64, ErrorCode>)> {
    let topics = answer.topics.into_iter();
    let offsets = topics.flat_map(|topic| {
        topic.partitions.into_iter().map(move |found| {
            let place = TopicPartition::new(topic.name.as_str(), found.partition_index);
            let offset = match found.error_code {
                ErrorCode::NONE => Ok(found.offset),
                code => Err(code),
            };
            (place, offset)
        })
    });
    offsets.collect()
}

/// Partitions topic by topic, as requests name them.
pub(super) fn by_topic(
    places: &[TopicPartition],
) -> impl Iterator<Item = (&str, impl Iterator<Item = i32>)> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for place in places {
        let partitions = topics.entry(place.topic.as_str()).or_default();
        partitions.push(place.partition);
    }
    topics
        .into_iter()
        .map(|(topic, partitions)| (topic, partitions.into_iter()))
}

/// What an error code about one partition means.
pub(super) fn partition_error(place: &TopicPartition, code: ErrorCode) -> AdminError {
    AdminError::refused(&place.to_string(), code, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_stand_in_a_request_topic_by_topic() {
        let places = [("b", 1), ("a", 0), ("b", 0)].map(|(t, p)| TopicPartition::new(t, p));
        let topics: Vec<_> = by_topic(&places)
            .map(|(topic, partitions)| (topic, partitions.collect::<Vec<_>>()))
            .collect();
        assert_eq!(topics, [("a", vec![0]), ("b", vec![1, 0])]);
    }

    #[test]
    fn a_time_is_never_taken_for_another_question() {
        assert_eq!(OffsetAt::Time(-2).timestamp(), 0);
        assert_eq!(OffsetAt::Earliest.timestamp(), -2);
    }
}
