//! The server: listeners, APIs, partitions, coordinator.
//!
//! ```text
//! produce: net/connection -> api/produce -> partition::Handle ==> shard thread -> core -> log -> sync worker
//! fetch:   net/connection -> api/fetch -> LogView; waits at the high watermark if there is too little
//! ```
//!
//! [`Broker`] is the embedding interface: the binary and the tests start one, ask where it listens, and
//! shut it down. Dropping it without that is like losing power: what was acknowledged is on disk.

mod admin;
pub mod api;
pub mod broker_settings;
pub mod clock;
pub mod config;
pub mod controller;
pub mod coordinator;
mod descriptors;
pub mod error;
pub mod fetch_session;
pub mod memory;
pub mod metrics;
mod net;
pub mod node;
pub mod partition;
pub mod raft;
pub mod topic_config;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;

use headrace_storage::data_dir::DataDir;
use headrace_storage::fs::Disk;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;
use uuid::Uuid;

pub use config::BrokerConfig;
pub use error::{ShutdownError, StartError};

use clock::{Clock, SystemClock};
use config::Endpoint;
use coordinator::Coordinator;
use coordinator::registry::RegistryTopics;
use descriptors::Descriptors;
use fetch_session::FetchSessions;
use memory::Memory;
use metrics::Metrics;
use node::{DISK_READS_MAX, Node, ProducerIds};
use partition::Registry;
use tokio::sync::Semaphore;

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    local_addr: SocketAddr,
    listener: JoinHandle<()>,
    /// Stops the listener and all connections, when told to or when dropped.
    stop: DropGuard,
}

impl Broker {
    /// Starts on a data directory; returns when every log is open and clients can connect.
    pub async fn start(mut config: BrokerConfig) -> Result<Broker, StartError> {
        let root = config.data.clone();
        let Descriptors {
            connections_max,
            files_max,
        } = Descriptors::claim(&config);
        config.connections_max = connections_max;
        let clock = Arc::new(SystemClock);
        Broker::start_with(config, clock, move || DataDir::open(&root, files_max)).await
    }

    /// Starts on any disk and under any clock; for tests that fail or crash the one and move the other.
    pub async fn start_on(
        config: BrokerConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Broker, StartError> {
        let root = config.data.clone();
        Broker::start_with(config, clock, move || DataDir::open_on(disk, &root)).await
    }

    async fn start_with<E: Into<StartError> + Send + 'static>(
        config: BrokerConfig,
        clock: Arc<dyn Clock>,
        open: impl FnOnce() -> Result<DataDir, E> + Send + 'static,
    ) -> Result<Broker, StartError> {
        config.check()?;
        let addresses = config.addresses().await?;
        // the port first: a second broker on the same one must not touch anything
        let listener = TcpListener::bind(addresses.listen).await;
        let bind_failed = |source| StartError::Bind {
            listen: config.listen.clone(),
            source,
        };
        let listener = listener.map_err(bind_failed)?;
        let local_addr = listener.local_addr().map_err(bind_failed)?;
        let shards = config
            .shards
            .unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        let opened = {
            let clock = Arc::clone(&clock);
            let upkeep = config.upkeep_settings();
            let topic_defaults = config.topic_defaults.clone();
            spawn_blocking(move || {
                let data = Arc::new(open().map_err(Into::into)?);
                let shared = Arc::clone(&data);
                let registry =
                    Registry::open_with(shared, &clock, shards, &upkeep, topic_defaults)?;
                Ok::<_, StartError>((data, registry))
            })
        };
        let interrupted =
            |failed: tokio::task::JoinError| StartError::Interrupted(failed.to_string());
        let (data, registry) = opened.await.map_err(interrupted)??;
        let registry = Arc::new(registry);
        let topics = Arc::new(RegistryTopics(Arc::clone(&registry)));
        let groups = config.group_settings();
        let metrics = Metrics::default();
        let memory = Memory::new(config.request_bytes_max, metrics.memory_held.clone());
        let counts = metrics.fetch_sessions.clone();
        let fetch_sessions = FetchSessions::new(config.fetch_sessions_max, counts);
        let coordinator = Coordinator::start(topics, groups, Arc::clone(&clock)).await;
        let node = Arc::new(Node {
            id: data.node_id(),
            cluster_id: data.cluster_id(),
            advertised: addresses
                .advertised
                .unwrap_or_else(|| Endpoint::from(local_addr)),
            config,
            registry,
            coordinator,
            metrics,
            clock,
            memory,
            fetch_sessions,
            producer_ids: ProducerIds::default(),
            disk_reads: Arc::new(Semaphore::new(DISK_READS_MAX)),
        });
        let stop = CancellationToken::new();
        let listener = tokio::spawn(net::listener::run(
            listener,
            Arc::clone(&node),
            stop.clone(),
        ));
        info!(%local_addr, cluster_id = %node.cluster_id, "broker serves");
        Ok(Broker {
            node,
            local_addr,
            listener,
            stop: stop.drop_guard(),
        })
    }

    /// Where it listens; the port is the one it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The cluster, drawn when the data directory was made.
    pub fn cluster_id(&self) -> Uuid {
        self.node.cluster_id
    }

    /// The topics and partitions, for code in the same process.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.node.registry
    }

    /// Gives what a person should look at, one sentence each; nothing for a sound broker. For `/health/ready`.
    pub fn troubles(&self) -> impl Fn() -> Vec<String> + Send + Sync + 'static {
        let node = Arc::clone(&self.node);
        move || admin::troubles(&node)
    }

    /// Its part of the HTTP interface.
    pub fn router(&self) -> axum::Router {
        admin::router(Arc::clone(&self.node))
    }

    /// Names its metrics.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.node.metrics.register(registry, &self.node.registry);
    }

    /// Closes all connections, makes everything durable, closes all logs.
    pub async fn shutdown(self) -> Result<(), ShutdownError> {
        let Broker {
            node,
            listener,
            stop,
            ..
        } = self;
        drop(stop);
        drop(listener.await);
        // before the logs it writes to
        node.coordinator.stop().await;
        node.registry.close().await?;
        info!("broker has stopped");
        Ok(())
    }
}
