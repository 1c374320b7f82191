//! What every request of a broker can reach.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{BrokerConfig, Endpoint};
use crate::coordinator::Coordinator;
use crate::fetch_session::FetchSessions;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::partition::Registry;
use crate::partition::registry::ChangeFailure;

/// Reads that wait for the disk at a time: enough to keep a disk busy, and each holds a thread.
pub(crate) const DISK_READS_MAX: usize = 64;

/// This broker, as the others of its cluster would see it.
#[derive(Debug)]
pub struct Node {
    /// Its number in the cluster.
    pub id: i32,
    /// The cluster, drawn when the data directory was made.
    pub cluster_id: Uuid,
    /// What clients connect to.
    pub advertised: Endpoint,
    /// How it was started.
    pub config: BrokerConfig,
    /// The topics and their partitions.
    pub registry: Arc<Registry>,
    /// The groups.
    pub coordinator: Coordinator,
    /// What it counts.
    pub metrics: Metrics,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What clients' requests and answers may take.
    pub memory: Memory,
    /// What clients fetch again and again.
    pub fetch_sessions: FetchSessions,
    /// Ids for producers.
    pub producer_ids: ProducerIds,
    /// Places for reads that wait for the disk.
    pub disk_reads: Arc<Semaphore>,
}

/// Gives every producer an id of its own; a block at a time is taken from the catalogue.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// An id that no producer ever got.
    pub async fn next(&self, registry: &Registry) -> Result<i64, ChangeFailure> {
        loop {
            if let Some(id) = self.with(Range::next) {
                return Ok(id);
            }
            let taken = registry.take_producer_ids().await?;
            // another request may have brought a block meanwhile: that one is then wasted
            self.with(|block| *block = taken);
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Range<i64>) -> R) -> R {
        act(&mut self.block.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
