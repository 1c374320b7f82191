//! Schemas by id, from the topic `__headrace_schemas`: read to its end whenever an unknown id comes.
//!
//! A source writes a schema before the first record that names it, so an id that is not there then is an error.
use std::collections::HashMap;
use std::sync::Arc;

use headrace_clients::change::{SCHEMAS_TOPIC, Schema, SchemaId};
use headrace_clients::{ClientConfig, ReadError, read_to_end};
use tokio::sync::Mutex;

/// Why a schema is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaProblem {
    #[error("the schema of the record cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("schema {0} is not in {SCHEMAS_TOPIC}")]
    Unknown(SchemaId),
}

/// All schemas read so far, shared by all views.
#[derive(Debug)]
pub(crate) struct Schemas {
    client: ClientConfig,
    known: Mutex<HashMap<SchemaId, Arc<Schema>>>,
}

impl Schemas {
    pub(crate) fn new(client: ClientConfig) -> Schemas {
        Schemas {
            client,
            known: Mutex::default(),
        }
    }

    /// The schema of that id.
    pub(crate) async fn get(&self, id: SchemaId) -> Result<Arc<Schema>, SchemaProblem> {
        let mut known = self.known.lock().await;
        if let Some(schema) = known.get(&id) {
            return Ok(Arc::clone(schema));
        }
        for record in read_to_end(&self.client, SCHEMAS_TOPIC, 0).await? {
            let Some(schema) = record
                .value
                .as_deref()
                .and_then(|json| Schema::from_json(json).ok())
            else {
                tracing::warn!(
                    offset = record.offset,
                    topic = SCHEMAS_TOPIC,
                    "unreadable schema"
                );
                continue;
            };
            known.insert(schema.id(), Arc::new(schema));
        }
        known.get(&id).cloned().ok_or(SchemaProblem::Unknown(id))
    }
}
