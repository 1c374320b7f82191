//! The payload of a commit: identity, columns and watermarks, as JSON in `meta.json`; and the judgement by it.
use std::collections::BTreeMap;

use headrace_clients::change::Version;
use serde::{Deserialize, Serialize};

use super::layout::Columns;
use crate::sink::{
    Call, Epoch, Identity, Mismatch, Offset, Partition, Position, SinkError, Watermark,
};

/// Everything that moves with a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    /// Log id and definition hash; absent until the first call.
    pub(super) identity: Option<(String, String)>,
    pub(super) columns: Columns,
    /// Version at which the columns were first seen: only a newer one may change them.
    pub(super) columns_since: Option<(u64, u64)>,
    partitions: BTreeMap<i32, Stored>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    epoch: i64,
    offset: i64,
    version: Option<(u64, u64)>,
    partial: bool,
}

pub(super) fn pair(version: Version) -> (u64, u64) {
    (version.csn, version.index)
}

impl Payload {
    /// An index without any watermark.
    pub(super) fn new(columns: Columns, since: Option<Version>) -> Payload {
        Payload {
            columns,
            columns_since: since.map(pair),
            ..Payload::default()
        }
    }

    pub(super) fn read(json: &str) -> Option<Payload> {
        serde_json::from_str(json).ok()
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).expect("text and numbers serialize")
    }

    /// True when no partition has a watermark.
    pub(super) fn is_fresh(&self) -> bool {
        self.partitions.is_empty()
    }

    pub(super) fn check_identity(&self, ours: &Identity) -> Result<(), SinkError> {
        let Some((log, definition)) = &self.identity else {
            return Ok(());
        };
        let our_log = ours.log.to_string();
        if *log != our_log {
            return Err(Mismatch::Log {
                stored: log.clone(),
                ours: our_log,
            }
            .into());
        }
        if definition != ours.definition.as_str() {
            return Err(Mismatch::Definition.into());
        }
        Ok(())
    }

    pub(super) fn watermark(&self, partition: Partition) -> Option<Watermark> {
        let stored = self.partitions.get(&partition.0)?;
        let version = stored.version.map(|(csn, index)| Version { csn, index });
        let position = Position {
            offset: Offset(stored.offset),
            version,
            partial: stored.partial,
        };
        Some(Watermark {
            epoch: Epoch(stored.epoch),
            position,
        })
    }

    /// Whether a call may be applied, in the order of the contract.
    pub(super) fn judge<V>(
        &self,
        ours: &Identity,
        partition: Partition,
        call: &Call<V>,
    ) -> Result<(), SinkError> {
        self.check_identity(ours)?;
        match self.watermark(partition) {
            Some(stored) if stored.epoch > call.epoch => Err(SinkError::Fenced(stored.epoch)),
            Some(Watermark { epoch, position }) => {
                let older = !call.first && epoch < call.epoch;
                let behind = call
                    .previous
                    .is_some_and(|previous| position.offset < previous);
                if older || behind {
                    Err(SinkError::Lost(Some(position.offset)))
                } else {
                    Ok(())
                }
            }
            None if !call.first || call.previous.is_some() => Err(SinkError::Lost(None)),
            None => Ok(()),
        }
    }

    /// Moves the watermark to `position`, never back.
    pub(super) fn store(
        &mut self,
        ours: &Identity,
        partition: Partition,
        epoch: Epoch,
        position: Position,
    ) {
        self.identity = Some((ours.log.to_string(), ours.definition.as_str().to_owned()));
        let old = self.watermark(partition).map(|stored| stored.position);
        let offset = old.map_or(position.offset, |old| old.offset.max(position.offset));
        let version = position
            .version
            .max(old.and_then(|old| old.version))
            .map(pair);
        let stored = Stored {
            epoch: epoch.0,
            offset: offset.0,
            version,
            partial: position.partial,
        };
        self.partitions.insert(partition.0, stored);
    }
}
