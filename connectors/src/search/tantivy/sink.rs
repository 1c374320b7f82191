//! The [`Sink`] of one partition of one view in a Tantivy index.
//!
//! All partitions of a view share one open index; when the last of their sinks goes, its writer is closed
//! and what was not committed is gone with it. Everything that may touch the disk runs on a blocking thread.
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use headrace_clients::change::{Row, Schema, Version};

use super::encode::{self, TantivyValue};
use super::index::{OpenIndex, Searchable};
use super::layout::{self, Layout};
use super::query::{self, Found, SearchError};
use crate::sink::{
    Applied, Call, Identity, Partition, Prepared, Sink, SinkError, Target, Watermark,
};
use crate::value::ValueError;
use crate::view::{Definition, Field};

/// Longest time from apply to searchable.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);

type Shared = Mutex<OpenIndex>;

/// One view's index.
pub struct TantivyTarget {
    folder: PathBuf,
    definition: Definition,
    open: Mutex<Weak<Shared>>,
    searchable: Arc<Mutex<Option<Searchable>>>,
}

impl fmt::Debug for TantivyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TantivyTarget")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TantivyTarget {
    /// The index of view `name` below the folder `target`.
    pub fn new(target: &Path, name: &str, definition: &Definition) -> TantivyTarget {
        TantivyTarget {
            folder: target.join(name),
            definition: definition.clone(),
            open: Mutex::default(),
            searchable: Arc::default(),
        }
    }

    /// Searches what was committed; blocks.
    pub fn search(&self, q: &str, limit: usize) -> Result<Found, SearchError> {
        let searchable = lock(&self.searchable).clone().ok_or(SearchError::NotOpen)?;
        query::search(&searchable, q, limit)
    }

    fn shared(open: &Mutex<Weak<Shared>>, folder: &Path) -> Result<Arc<Shared>, SinkError> {
        let mut open = lock(open);
        if let Some(shared) = open.upgrade() {
            return Ok(shared);
        }
        let shared = Arc::new(Mutex::new(OpenIndex::open(folder)?));
        *open = Arc::downgrade(&shared);
        Ok(shared)
    }
}

impl Target for TantivyTarget {
    type Sink = TantivySink;

    async fn check(&self) -> Result<(), SinkError> {
        TantivyTarget::shared(&self.open, &self.folder).map(|_| ())
    }

    async fn open(
        &self,
        partition: Partition,
        identity: Identity,
    ) -> Result<TantivySink, SinkError> {
        let shared = TantivyTarget::shared(&self.open, &self.folder)?;
        let layout = {
            let index = lock(&shared);
            *lock(&self.searchable) = Some(index.searchable().clone());
            Arc::clone(&index.searchable().layout)
        };
        Ok(TantivySink {
            shared,
            searchable: Arc::clone(&self.searchable),
            definition: self.definition.clone(),
            partition,
            identity,
            layout,
        })
    }
}

/// An open partition of a view in an index.
pub struct TantivySink {
    shared: Arc<Shared>,
    searchable: Arc<Mutex<Option<Searchable>>>,
    definition: Definition,
    partition: Partition,
    identity: Identity,
    /// The fields that documents are made of; renewed whenever the index was prepared or emptied. Documents
    /// of an older layout never reach an index: emptying it removes the watermark that their call needs.
    layout: Arc<Layout>,
}

impl fmt::Debug for TantivySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TantivySink")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

impl TantivySink {
    /// Runs `work` on the index, on a thread that may block.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut OpenIndex) -> Result<R, SinkError> + Send + 'static,
    ) -> Result<R, SinkError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&mut lock(&shared))).await;
        done.unwrap_or_else(|error| {
            Err(SinkError::Unavailable(format!(
                "the index broke down: {error}"
            )))
        })
    }

    /// After the index may have been made anew.
    fn renew(&mut self) {
        let index = lock(&self.shared);
        self.layout = Arc::clone(&index.searchable().layout);
        *lock(&self.searchable) = Some(index.searchable().clone());
    }
}

impl Sink for TantivySink {
    type Value = TantivyValue;

    const REBUILDS: bool = true;
    const COMMIT_INTERVAL: Duration = COMMIT_INTERVAL;

    fn encode(
        &self,
        fields: &[Field],
        row: &Row<'_>,
    ) -> Result<TantivyValue, (String, ValueError)> {
        encode::encode(&self.layout, fields, row)
    }

    fn size_bytes(value: &TantivyValue) -> usize {
        value.size_bytes()
    }

    async fn prepare(
        &mut self,
        schema: &Schema,
        version: Option<Version>,
    ) -> Result<Prepared, SinkError> {
        let columns = layout::columns(&self.definition.fields(schema));
        let prepared = self
            .blocking(move |index| index.prepare(columns, version))
            .await?;
        self.renew();
        Ok(prepared)
    }

    async fn stored(&mut self) -> Result<Option<Watermark>, SinkError> {
        let (identity, partition) = (self.identity.clone(), self.partition);
        self.blocking(move |index| index.stored(&identity, partition))
            .await
    }

    async fn apply(&mut self, call: Call<TantivyValue>) -> Result<Applied, SinkError> {
        let (identity, partition) = (self.identity.clone(), self.partition);
        self.blocking(move |index| index.apply(&identity, partition, &call))
            .await
    }

    async fn commit(&mut self) -> Result<(), SinkError> {
        self.blocking(OpenIndex::commit).await
    }

    async fn reset(&mut self) -> Result<u64, SinkError> {
        let deleted = self.blocking(OpenIndex::reset).await?;
        self.renew();
        Ok(deleted)
    }
}
