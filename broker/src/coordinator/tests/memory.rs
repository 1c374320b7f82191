//! Topics and the partitions of `__consumer_offsets` in memory; appends fail or wait when told to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headrace_storage::record::Batch;
use headrace_storage::{LeaderEpoch, Offset};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::consumer_world::TestTopics;
use crate::coordinator::group::consumer::subscription::Topics;
use crate::coordinator::groups::event::AppendError;
use crate::coordinator::log::{
    BoxFuture, OffsetsLog, OpenFailed, ReadFailed, TopicFacts, TopicSource,
};

#[derive(Debug)]
pub(super) struct MemoryLog {
    batches: Arc<Mutex<Vec<Batch>>>,
    /// Each append takes one permit; none left: it waits.
    pub(super) gate: Arc<Semaphore>,
    /// The next appends fail with this.
    pub(super) failure: Arc<Mutex<Option<AppendError>>>,
    /// Reads fail.
    pub(super) unreadable: AtomicBool,
}

impl MemoryLog {
    fn new() -> MemoryLog {
        MemoryLog {
            batches: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            failure: Arc::default(),
            unreadable: AtomicBool::new(false),
        }
    }

    pub(super) fn batch_count(&self) -> usize {
        self.batches.lock().unwrap().len()
    }

    pub(super) fn push(&self, mut batch: Batch) {
        let mut batches = self.batches.lock().unwrap();
        let next = batches
            .last()
            .map_or(Offset(0), |last: &Batch| last.last_offset().plus(1));
        batch.stamp(next, LeaderEpoch(1));
        batches.push(batch);
    }
}

impl OffsetsLog for Arc<MemoryLog> {
    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<(), AppendError>> {
        let log = Arc::clone(self);
        Box::pin(async move {
            log.gate
                .acquire()
                .await
                .expect("the gate is not closed")
                .forget();
            if let Some(error) = *log.failure.lock().unwrap() {
                return Err(error);
            }
            log.push(batch);
            Ok(())
        })
    }

    fn bounds(&self) -> BoxFuture<'static, (Offset, Offset)> {
        let batches = self.batches.lock().unwrap();
        let end = batches
            .last()
            .map_or(Offset(0), |last| last.last_offset().plus(1));
        Box::pin(std::future::ready((Offset(0), end)))
    }

    fn read(
        &self,
        from: Offset,
        upto: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'static, Result<Vec<Bytes>, ReadFailed>> {
        let log = Arc::clone(self);
        Box::pin(async move {
            if log.unreadable.load(Ordering::SeqCst) {
                return Err(ReadFailed("planted".to_owned()));
            }
            let batches = log.batches.lock().unwrap();
            let mut chunks = Vec::new();
            let mut size = 0;
            for batch in batches.iter() {
                let inside = batch.last_offset() >= from && batch.base_offset() < upto;
                if inside && (chunks.is_empty() || size < bytes_max) {
                    size += batch.size_bytes();
                    chunks.push(batch.to_bytes());
                }
            }
            Ok(chunks)
        })
    }
}

#[derive(Debug)]
pub(super) struct MemoryTopics {
    pub(super) logs: Vec<Arc<MemoryLog>>,
    created: AtomicBool,
    pub(super) topics: Mutex<Vec<TopicFacts>>,
    changes: AtomicU64,
}

impl MemoryTopics {
    pub(super) fn new(partitions: usize) -> Arc<MemoryTopics> {
        Arc::new(MemoryTopics {
            logs: (0..partitions)
                .map(|_| Arc::new(MemoryLog::new()))
                .collect(),
            created: AtomicBool::new(false),
            topics: Mutex::default(),
            changes: AtomicU64::new(0),
        })
    }

    pub(super) fn add(&self, name: &str) -> Uuid {
        let id = Uuid::new_v4();
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.topics.lock().unwrap().push(TopicFacts {
            name: Arc::from(name),
            id,
            partitions: 4,
        });
        id
    }

    pub(super) fn remove(&self, id: Uuid) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.topics.lock().unwrap().retain(|topic| topic.id != id);
    }

    fn all(&self) -> Vec<Arc<dyn OffsetsLog>> {
        let log = |log: &Arc<MemoryLog>| Arc::new(Arc::clone(log)) as Arc<dyn OffsetsLog>;
        self.logs.iter().map(log).collect()
    }
}

impl TopicSource for MemoryTopics {
    fn offsets_topic(&self) -> Option<Vec<Arc<dyn OffsetsLog>>> {
        self.created.load(Ordering::SeqCst).then(|| self.all())
    }

    fn create_offsets_topic(
        &self,
    ) -> BoxFuture<'static, Result<Vec<Arc<dyn OffsetsLog>>, OpenFailed>> {
        self.created.store(true, Ordering::SeqCst);
        let all = self.all();
        Box::pin(async move { Ok(all) })
    }

    fn snapshot(&self) -> Arc<dyn Topics> {
        let topics = self.topics.lock().unwrap();
        let mut snapshot = TestTopics::at(self.changes.load(Ordering::SeqCst));
        for topic in topics.iter() {
            snapshot.insert(&topic.name, topic.id.as_u128(), topic.partitions);
        }
        Arc::new(snapshot)
    }

    fn by_name(&self, name: &str) -> Option<TopicFacts> {
        self.topics
            .lock()
            .unwrap()
            .iter()
            .find(|topic| &*topic.name == name)
            .cloned()
    }

    fn by_id(&self, id: Uuid) -> Option<TopicFacts> {
        self.topics
            .lock()
            .unwrap()
            .iter()
            .find(|topic| topic.id == id)
            .cloned()
    }
}
