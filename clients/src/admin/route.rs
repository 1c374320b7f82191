//! How a request finds its broker, and what is done while that broker is not ready.
//!
//! | request | broker | found by |
//! |---|---|---|
//! | Metadata, FindCoordinator, DescribeConfigs | any of the bootstrap addresses, in their order | |
//! | creates and changes topics | the controller | Metadata |
//! | about a group and its offsets | the group's coordinator | FindCoordinator |
//! | about the records of a partition | the partition's leader | Metadata |
//! | ListGroups | every broker | Metadata |
//!
//! A broker that says that it is not (or not yet) the right one has done nothing, so the way is looked up again and
//! the request repeated, until [`REQUEST_TIMEOUT`] is over. A lost connection is never repeated: what was asked may
//! have been done.
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use headrace_protocol::find_coordinator::{FindCoordinatorRequest, KEY_TYPE_GROUP};
use headrace_protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use headrace_protocol::{ErrorCode, Request};
use tokio::time::{Instant, sleep};

use super::{Admin, AdminError, TopicPartition};
use crate::connection::REQUEST_TIMEOUT;
use crate::raw::{Link, RawError};

/// Metadata with topic ids and every field used here (Kafka 3.1 and later).
const METADATA: RangeInclusive<i16> = 12..=12;
/// FindCoordinator that asks for several keys (Kafka 3.0 and later).
const FIND_COORDINATOR: RangeInclusive<i16> = 4..=6;
/// Waits between two questions: short at first, for a broker that has just started.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Which broker a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum To<'a> {
    Any,
    Controller,
    /// The coordinator of this group.
    Coordinator(&'a str),
    /// The broker at this address.
    Address(&'a str),
}

/// The answers about single partitions, or why there is none.
pub(super) type Answers<T> = BTreeMap<TopicPartition, Result<T, ErrorCode>>;

impl Admin {
    /// Asks the right broker; `code` finds in an answer the code that may say that it was the wrong one.
    pub(super) async fn ask<R: Request>(
        &self,
        to: To<'_>,
        versions: RangeInclusive<i16>,
        request: &R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, AdminError> {
        let mut patience = Patience::new();
        loop {
            let missed = match self.find(to, patience.deadline).await? {
                Ok(mut link) => {
                    let answer = link.ask(versions.clone(), request).await;
                    let answer = answer.map_err(|error| self.unanswered(&error))?;
                    if !is_passing(code(&answer)) || patience.is_over() {
                        return Ok(answer);
                    }
                    None
                }
                Err(missed) => Some(missed),
            };
            if let Some(error) = missed.filter(|_| patience.is_over()) {
                return Err(error);
            }
            patience.pause().await;
        }
    }

    /// Asks the leader of each partition: `build` makes the request about some of them, `read` takes its answer apart.
    pub(super) async fn ask_leaders<R: Request, T>(
        &self,
        places: impl IntoIterator<Item = TopicPartition>,
        versions: RangeInclusive<i16>,
        build: impl Fn(&[TopicPartition]) -> R,
        read: impl Fn(R::Response) -> Vec<(TopicPartition, Result<T, ErrorCode>)>,
    ) -> Result<Answers<T>, AdminError> {
        let mut answers = Answers::new();
        let mut missing: Vec<TopicPartition> = places.into_iter().collect();
        let mut patience = Patience::new();
        while !missing.is_empty() {
            let (leaders, refused) = self.leaders(&missing).await?;
            let mut found: Answers<T> = refused.into_iter().map(|(p, c)| (p, Err(c))).collect();
            for (address, places) in leaders {
                let mut link = self.open(&address, patience.deadline).await?;
                let answer = link.ask(versions.clone(), &build(&places)).await;
                found.extend(read(answer.map_err(|error| self.unanswered(&error))?));
            }
            let over = patience.is_over();
            missing.retain(|place| match found.remove(place) {
                Some(Err(code)) if is_passing(code) && !over => true,
                Some(answer) => {
                    answers.insert(place.clone(), answer);
                    false
                }
                None => {
                    answers.insert(place.clone(), Err(ErrorCode::UNKNOWN_SERVER_ERROR));
                    false
                }
            });
            if !missing.is_empty() {
                patience.pause().await;
            }
        }
        Ok(answers)
    }

    /// The address of every broker.
    pub(super) async fn brokers(&self) -> Result<Vec<String>, AdminError> {
        Ok(addresses(&self.metadata(Some(Vec::new())).await?)
            .into_values()
            .collect())
    }

    /// Metadata of these topics, or of all; creates none.
    pub(super) async fn metadata(
        &self,
        topics: Option<Vec<&str>>,
    ) -> Result<MetadataResponse, AdminError> {
        let mut any = self.any(Instant::now() + REQUEST_TIMEOUT).await?;
        let asked = any.ask(METADATA, &about(topics)).await;
        asked.map_err(|error| self.unanswered(&error))
    }

    /// A connection to the right broker; the inner error is one that may pass.
    async fn find(
        &self,
        to: To<'_>,
        deadline: Instant,
    ) -> Result<Result<Link, AdminError>, AdminError> {
        let address = match to {
            To::Any => return Ok(Ok(self.any(deadline).await?)),
            To::Address(address) => address.to_owned(),
            To::Controller => {
                let known = self.metadata(Some(Vec::new())).await?;
                let Some(address) = addresses(&known).remove(&known.controller_id) else {
                    let words = Some("the cluster has no controller now");
                    let subject = &self.config.bootstrap;
                    let code = ErrorCode::NOT_CONTROLLER;
                    return Ok(Err(AdminError::refused(subject, code, words)));
                };
                address
            }
            To::Coordinator(group) => match self.coordinator(group, deadline).await? {
                Ok(address) => address,
                Err(missed) => return Ok(Err(missed)),
            },
        };
        Ok(Ok(self.open(&address, deadline).await?))
    }

    async fn coordinator(
        &self,
        group: &str,
        deadline: Instant,
    ) -> Result<Result<String, AdminError>, AdminError> {
        let request = FindCoordinatorRequest {
            key_type: KEY_TYPE_GROUP,
            coordinator_keys: vec![group.into()],
            ..FindCoordinatorRequest::default()
        };
        let mut any = self.any(deadline).await?;
        let asked = any.ask(FIND_COORDINATOR, &request).await;
        let answer = asked.map_err(|error| self.unanswered(&error))?;
        let Some(found) = answer.coordinators.into_iter().next() else {
            let code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
            return Ok(Err(AdminError::refused(group, code, None)));
        };
        if found.error_code == ErrorCode::NONE {
            return Ok(Ok(format!("{}:{}", bracketed(&found.host), found.port)));
        }
        let error = AdminError::refused(group, found.error_code, found.error_message.as_deref());
        if is_passing(found.error_code) {
            Ok(Err(error))
        } else {
            Err(error)
        }
    }

    /// The partitions by the address of their leader, and those that have none with the reason.
    async fn leaders(&self, places: &[TopicPartition]) -> Result<Leaders, AdminError> {
        let mut topics: Vec<&str> = places.iter().map(|place| place.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        let known = self.metadata(Some(topics)).await?;
        let brokers = addresses(&known);
        let mut by_address: BTreeMap<String, Vec<TopicPartition>> = BTreeMap::new();
        let mut refused = Vec::new();
        for place in places {
            match leader(&known, place).map(|leader| brokers.get(&leader)) {
                Ok(Some(address)) => {
                    let led = by_address.entry(address.clone()).or_default();
                    led.push(place.clone());
                }
                Ok(None) => refused.push((place.clone(), ErrorCode::LEADER_NOT_AVAILABLE)),
                Err(code) => refused.push((place.clone(), code)),
            }
        }
        Ok((by_address, refused))
    }

    /// The first bootstrap address that can be reached.
    async fn any(&self, deadline: Instant) -> Result<Link, AdminError> {
        let addresses: Vec<_> = self.config.bootstrap.split(',').map(str::trim).collect();
        let mut last = None;
        for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
            // a silent address leaves time for the next
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            match Link::open(address, &self.config.client_id, Instant::now() + share).await {
                Ok(link) => return Ok(link.until(deadline)),
                Err(error) => last = Some(error),
            }
        }
        let last = last.expect("split gives at least one part");
        Err(self.unanswered(&last))
    }

    async fn open(&self, address: &str, deadline: Instant) -> Result<Link, AdminError> {
        let opened = Link::open(address, &self.config.client_id, deadline).await;
        opened.map_err(|error| self.unanswered(&error))
    }

    fn unanswered(&self, error: &RawError) -> AdminError {
        AdminError::unanswered(&self.config.bootstrap, error)
    }
}

/// Partitions by the address of their leader; partitions without one, and why.
type Leaders = (
    BTreeMap<String, Vec<TopicPartition>>,
    Vec<(TopicPartition, ErrorCode)>,
);

/// How long a question is repeated, and how often.
struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    fn new() -> Patience {
        Patience {
            deadline: Instant::now() + REQUEST_TIMEOUT,
            pause: PAUSE_FIRST,
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() + self.pause >= self.deadline
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

/// Whether a code says that nothing was done, and that asking again may help.
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_CONTROLLER
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::OFFSET_NOT_AVAILABLE
    )
}

fn about(topics: Option<Vec<&str>>) -> MetadataRequest {
    let topic = |name: &str| MetadataRequestTopic {
        name: Some(name.into()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}

/// Where each broker is, by its id.
fn addresses(known: &MetadataResponse) -> BTreeMap<i32, String> {
    let address = |host: &str, port| format!("{}:{port}", bracketed(host));
    let brokers = known.brokers.iter();
    brokers
        .map(|broker| (broker.node_id, address(&broker.host, broker.port)))
        .collect()
}

/// An IPv6 address stands in brackets before a port.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// The id of a partition's leader, -1 for none.
fn leader(known: &MetadataResponse, place: &TopicPartition) -> Result<i32, ErrorCode> {
    let topic = known
        .topics
        .iter()
        .find(|topic| topic.name.as_deref() == Some(place.topic.as_str()))
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if topic.error_code != ErrorCode::NONE {
        return Err(topic.error_code);
    }
    let partition = topic
        .partitions
        .iter()
        .find(|partition| partition.partition_index == place.partition)
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    Ok(partition.leader_id)
}

#[cfg(test)]
mod tests {
    use headrace_protocol::metadata::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };

    use super::*;

    fn known() -> MetadataResponse {
        let broker = |node_id, host: &str| MetadataResponseBroker {
            node_id,
            host: host.into(),
            port: 9092,
            ..MetadataResponseBroker::default()
        };
        let partition = |partition_index, leader_id| MetadataResponsePartition {
            partition_index,
            leader_id,
            ..MetadataResponsePartition::default()
        };
        MetadataResponse {
            brokers: vec![broker(1, "a.example"), broker(2, "::1")],
            topics: vec![MetadataResponseTopic {
                name: Some("t".into()),
                partitions: vec![partition(0, 2), partition(1, -1)],
                ..MetadataResponseTopic::default()
            }],
            ..MetadataResponse::default()
        }
    }

    #[test]
    fn a_partitions_leader_is_found_by_its_id() {
        let known = known();
        let place = |partition| TopicPartition::new("t", partition);
        assert_eq!(leader(&known, &place(0)), Ok(2));
        assert_eq!(leader(&known, &place(1)), Ok(-1));
        let unknown = Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(leader(&known, &place(2)), unknown);
        assert_eq!(leader(&known, &TopicPartition::new("u", 0)), unknown);
    }

    #[test]
    fn an_ipv6_host_is_dialled_in_brackets() {
        let addresses = addresses(&known());
        assert_eq!(addresses[&1], "a.example:9092");
        assert_eq!(addresses[&2], "[::1]:9092");
    }
}
