//! Fencing tokens: a writer claims a partition of a view by a record in `__headrace_claims`; its offset is the epoch.
//!
//! A totally ordered log hands out fencing tokens for nothing: a later claim has a greater offset. A view
//! has run before on this log if and only if a claim of it is there.
use std::collections::BTreeSet;

use headrace_clients::change::CLAIMS_TOPIC;
use headrace_clients::{
    Admin, AdminError, ClientConfig, ProduceError, Producer, ReadError, read_to_end,
};
use tokio::sync::Mutex;

use super::status::now_ms;
use crate::sink::{Epoch, Partition};

/// Writes claims; one producer for all views.
#[derive(Debug)]
pub(crate) struct Claims {
    client: ClientConfig,
    /// Made on first use, and anew after it has failed.
    producer: Mutex<Option<Producer>>,
}

impl Claims {
    pub(crate) fn new(client: ClientConfig) -> Claims {
        Claims {
            client,
            producer: Mutex::new(None),
        }
    }

    /// Creates the topic where it is missing and returns the names of all views that ran before.
    pub(crate) async fn open(&self, admin: &Admin) -> Result<BTreeSet<String>, String> {
        match admin.describe_topic(CLAIMS_TOPIC).await {
            Ok(_) => {}
            Err(AdminError::UnknownTopic(_)) => {
                let settings = [("cleanup.policy", "compact")];
                let created = admin.create_topic(CLAIMS_TOPIC, 1, &settings).await;
                created.map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
        let records = read_to_end(&self.client, CLAIMS_TOPIC, 0)
            .await
            .map_err(|error: ReadError| error.to_string())?;
        Ok(records
            .iter()
            .filter_map(|record| view_of(record.key.as_deref()?))
            .collect())
    }

    /// Claims a partition; every earlier claim of it is fenced from the first call of the new epoch on.
    pub(crate) async fn claim(
        &self,
        view: &str,
        partition: Partition,
    ) -> Result<Epoch, ProduceError> {
        let key = format!("{view}/{}", partition.0);
        let value =
            serde_json::json!({ "process": std::process::id(), "at_ms": now_ms() }).to_string();
        let mut producer = self.producer.lock().await;
        let current = match producer.take() {
            Some(current) if current.fatal_error().is_none() => current,
            _ => Producer::new(&self.client)?,
        };
        let sent = producer
            .insert(current)
            .send(
                CLAIMS_TOPIC,
                0,
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                &[],
            )
            .await;
        drop(producer);
        sent?.await.map(Epoch)
    }
}

/// The view's name in a claim's key, `view/partition`.
fn view_of(key: &[u8]) -> Option<String> {
    let (view, _) = std::str::from_utf8(key).ok()?.rsplit_once('/')?;
    Some(view.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_is_what_stands_before_the_last_slash() {
        assert_eq!(view_of(b"products/0").as_deref(), Some("products"));
        assert_eq!(view_of(b"a/b/12").as_deref(), Some("a/b"));
        assert_eq!(view_of(b"none"), None);
        assert_eq!(view_of(&[0xff, b'/']), None);
    }
}
