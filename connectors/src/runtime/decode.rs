//! From a record of the log to an operation of the target.
//!
//! Keeps the view bound to every schema met. The newest schema is that of the log's last record when
//! reading began, then that of each record behind it: a column that only newer schemas have is absent
//! in older rows, and a target that must change its shape does so once, for the newest.
use std::collections::HashMap;
use std::sync::Arc;

use headrace_clients::change::{ChangeHeaders, Schema, SchemaId, Version};
use headrace_clients::{Record, last_record};

use super::task::{Context, Stop};
use crate::sink::{Offset, Operation, Partition, Prepared, Sink};
use crate::view::{BoundView, RecordError};

/// Why a record stops the view at its offset, besides those of [`RecordError`].
const FOREIGN: &str =
    "the record has no headrace.* headers: only topics written by a source can feed a view yet";

/// An operation with what the batcher asks of it.
#[derive(Debug)]
pub(crate) struct Decoded<V> {
    pub(crate) operation: Operation<V>,
    pub(crate) size_bytes: usize,
    pub(crate) last: bool,
}

/// Decodes the records of one partition; lives as long as the partition's task.
#[derive(Debug)]
pub(crate) struct Decoder {
    context: Arc<Context>,
    /// The newest schema, where it was first seen, and the offset up to which it is known to be the newest.
    newest: Option<(Arc<Schema>, Version)>,
    horizon: Offset,
    bound: HashMap<SchemaId, BoundView>,
}

impl Decoder {
    pub(crate) fn new(context: &Arc<Context>) -> Decoder {
        let context = Arc::clone(context);
        Decoder {
            context,
            newest: None,
            horizon: Offset(0),
            bound: HashMap::new(),
        }
    }

    /// Prepares a target for the newest schema; at the first time looks it up in the log, which ends at `end`.
    pub(crate) async fn prepare<S: Sink>(
        &mut self,
        partition: Partition,
        end: Offset,
        sink: &mut S,
    ) -> Result<(), Stop> {
        if let Some((newest, version)) = &self.newest {
            self.context.definition.bind(newest, newest)?;
            return prepared(sink.prepare(newest, Some(*version)).await?);
        }
        if end == Offset(0) {
            return Ok(());
        }
        let last = last_record(&self.context.client, &self.context.topic, partition.0).await?;
        self.horizon = end;
        match last
            .as_ref()
            .and_then(|record| record.change().ok().flatten())
        {
            Some(headers) => self.bind(&headers, true, sink).await,
            None => Ok(()),
        }
    }

    /// What the record does to the view.
    pub(crate) async fn decode<S: Sink>(
        &mut self,
        record: &Record,
        sink: &mut S,
    ) -> Result<Decoded<S::Value>, Stop> {
        let stop = |reason: String| Stop::record(record, reason);
        let headers = record.change().map_err(|error| stop(error.to_string()))?;
        let offset = Offset(record.offset);
        let (key, value) = match (&record.value, &headers) {
            (None, _) => {
                let change = self.context.definition.tombstone(record.key.as_deref());
                (change.map_err(|error| stop(error.to_string()))?.key, None)
            }
            (Some(_), None) => return Err(stop(FOREIGN.into())),
            (Some(value), Some(headers)) => {
                if !self.bound.contains_key(&headers.schema) {
                    let newer = self.newest.is_none() || offset >= self.horizon;
                    self.bind(headers, newer, sink).await?;
                }
                let view = self
                    .bound
                    .get(&headers.schema)
                    .expect("bound just now, or before");
                apply_view(view, record.key.as_deref(), value, sink)
                    .map_err(|error| stop(error.to_string()))?
            }
        };
        let size_bytes = key.len() + value.as_ref().map_or(0, S::size_bytes);
        let version: Option<Version> = headers.map(|headers| headers.version);
        let last = headers.is_some_and(|headers| headers.last);
        self.horizon = self.horizon.max(Offset(offset.0 + 1));
        Ok(Decoded {
            operation: Operation {
                offset,
                version,
                key,
                value,
            },
            size_bytes,
            last,
        })
    }

    async fn bind<S: Sink>(
        &mut self,
        headers: &ChangeHeaders<'_>,
        newer: bool,
        sink: &mut S,
    ) -> Result<(), Stop> {
        let schema = self.context.schemas.get(headers.schema).await?;
        if newer {
            self.newest = Some((Arc::clone(&schema), headers.version));
            self.bound.clear();
        }
        let newest = self.newest.as_ref().map_or(&schema, |(newest, _)| newest);
        let view = self.context.definition.bind(&schema, newest)?;
        self.bound.insert(headers.schema, view);
        if newer {
            prepared(sink.prepare(&schema, Some(headers.version)).await?)
        } else {
            Ok(())
        }
    }
}

fn prepared(prepared: Prepared) -> Result<(), Stop> {
    match prepared {
        Prepared::Ready => Ok(()),
        Prepared::Emptied => Err(Stop::Emptied),
    }
}

/// Key and value of what a captured change does.
fn apply_view<S: Sink>(
    view: &BoundView,
    key: Option<&[u8]>,
    value: &[u8],
    sink: &S,
) -> Result<(String, Option<S::Value>), RecordError> {
    let change = view.change(key, value)?;
    let value = change
        .row
        .map(|row| sink.encode(view.fields(), &row))
        .transpose()?;
    Ok((change.key, value))
}
