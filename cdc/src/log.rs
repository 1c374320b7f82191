//! The source's side of the log besides its records: which topics there must be, what they already
//! hold, and where the source stood.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use headrace_clients::change::{POSITIONS_TOPIC, RECORD_BYTES_MAX, SCHEMAS_TOPIC, Version};
use headrace_clients::{Admin, AdminError, ClientConfig, Created, last_record, read_to_end};

use crate::error::SourceError;
use crate::position::StoredPosition;
use crate::route::Routes;

/// Partitions asked for their last record at a time: each costs a connection.
const FLOORS_AT_ONCE: usize = 16;

/// Makes sure that the internal topics exist.
pub(crate) async fn prepare_internal_topics(admin: &Admin) -> Result<(), SourceError> {
    for topic in [POSITIONS_TOPIC, SCHEMAS_TOPIC] {
        admin
            .create_topic(topic, 1, &[("cleanup.policy", "compact")])
            .await
            .map_err(|error| SourceError::log(&format!("cannot create topic {topic}"), error))?;
    }
    Ok(())
}

/// The source's last stored position; none if it never ran on this log.
pub(crate) async fn stored_position(
    client: &ClientConfig,
    source: &str,
) -> Result<Option<StoredPosition>, SourceError> {
    let records = read_to_end(client, POSITIONS_TOPIC, 0)
        .await
        .map_err(|error| SourceError::log("cannot read the stored position", error))?;
    let newest = records
        .iter()
        .rev()
        .find(|record| record.key.as_deref() == Some(source.as_bytes()));
    let Some(value) = newest.and_then(|record| record.value.as_deref()) else {
        return Ok(None);
    };
    let position = StoredPosition::from_json(value).map_err(|error| {
        SourceError::definite(
            "unreadable-position",
            format!("the record of {source} in {POSITIONS_TOPIC} cannot be read: {error}"),
            "it was written by another version; use that one, or a source of a new name",
        )
    })?;
    Ok(Some(position))
}

/// The topics of a source, as they are before anything is written into them.
#[derive(Debug)]
pub(crate) struct PreparedTopics {
    /// For each route, for each of its partitions, the version of the last record there.
    pub floors: Vec<Vec<Option<Version>>>,
    /// The id of each table's topic, by `database.table`.
    pub ids: BTreeMap<String, String>,
}

/// Creates the missing topics and reads where the others end. Once a snapshot is complete its topics
/// must be there, and be the ones it was written into: a new one would lack its rows.
pub(crate) async fn prepare_topics(
    admin: &Admin,
    client: &ClientConfig,
    routes: &Routes,
    partitions: i32,
    complete: Option<&StoredPosition>,
) -> Result<PreparedTopics, SourceError> {
    let size = RECORD_BYTES_MAX.to_string();
    let configs = [
        ("cleanup.policy", "compact"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("max.message.bytes", size.as_str()),
    ];
    let mut floors = vec![Vec::new(); routes.all().len()];
    let mut ids = BTreeMap::new();
    let mut places = Vec::new();
    for (at, route) in routes.all().iter().enumerate() {
        let (topic, table) = (route.topic.as_str(), route.table.to_string());
        let failed = |error: &dyn std::fmt::Display| {
            SourceError::log(&format!("cannot prepare topic {topic}"), error)
        };
        let mut is_new = false;
        if complete.is_none() {
            let created = admin.create_topic(topic, partitions, &configs).await;
            is_new = created.map_err(|error| failed(&error))? == Created::Created;
        }
        let found = match admin.describe_topic(topic).await {
            Err(AdminError::UnknownTopic(_)) if complete.is_some() => {
                return Err(topic_lost(topic));
            }
            found => found.map_err(|error| failed(&error))?,
        };
        let id = found.topic_id.to_string();
        let written = complete.and_then(|stored| stored.topics.get(&table));
        if written.is_some_and(|written| *written != id) {
            return Err(topic_lost(topic));
        }
        ids.insert(table, id);
        if !is_new {
            refuse_write_caching(admin, topic).await?;
        }
        if is_new {
            floors[at] = vec![None; usize::try_from(found.partitions).unwrap_or_default()];
        } else {
            places.extend((0..found.partitions).map(|partition| (at, topic.to_owned(), partition)));
        }
    }
    let asked = stream::iter(places).map(|(at, topic, partition)| async move {
        floor(client, &topic, partition)
            .await
            .map(|version| (at, version))
    });
    let versions: Vec<_> = asked.buffered(FLOORS_AT_ONCE).try_collect().await?;
    for (at, version) in versions {
        floors[at].push(version);
    }
    Ok(PreparedTopics { floors, ids })
}

/// A stored position says that the rows before it are on the log for good, which a write-cached topic does not.
async fn refuse_write_caching(admin: &Admin, topic: &str) -> Result<(), SourceError> {
    let settings = admin.topic_settings(topic).await;
    let settings = settings.map_err(|error| {
        SourceError::log(&format!("cannot read the settings of topic {topic}"), error)
    })?;
    let cached = settings.get("write.caching");
    if cached.is_none_or(|cached| cached.value.as_deref() != Some("true")) {
        return Ok(());
    }
    Err(SourceError::definite(
        "write-caching",
        format!(
            "the topic {topic} has write.caching=true: a power cut may take rows that the position is past"
        ),
        "capture into a topic without it",
    ))
}

fn topic_lost(topic: &str) -> SourceError {
    SourceError::definite(
        "topic-lost",
        format!("the topic {topic} was deleted after the snapshot, and its rows with it"),
        "take a new snapshot with a source of a new name",
    )
}

async fn floor(
    client: &ClientConfig,
    topic: &str,
    partition: i32,
) -> Result<Option<Version>, SourceError> {
    let last = last_record(client, topic, partition)
        .await
        .map_err(|error| {
            SourceError::log(
                &format!("cannot read the end of {topic}/{partition}"),
                error,
            )
        })?;
    let Some(last) = last else { return Ok(None) };
    match last.change() {
        Ok(Some(headers)) => Ok(Some(headers.version)),
        Ok(None) | Err(_) => Err(SourceError::definite(
            "foreign-record",
            format!(
                "the last record of {topic}/{partition} (offset {}) was not written by a source",
                last.offset
            ),
            "nothing else may write into a captured topic; delete the topic and use a source of a new name",
        )),
    }
}
