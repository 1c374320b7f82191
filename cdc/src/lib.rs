//! MySQL and MariaDB binlog to topics.
//!
//! ```text
//! Sources -> Source (pipeline) -> Attempt: connection, precheck, topics
//!                                   |-- snapshot: handover, read ----------.
//!                                   `-- binlog: stream -> event -> capture --> publish -> topics
//!                                                          (tables: plans)       `-> position
//! ```
//! Reading the bytes (`binlog` but its stream, `gtid`, `schema`, `value`) and deciding (`csn`,
//! `position`, `envelope`, `route`, `precheck`) is pure; `connection`, `binlog::stream`, `publish`,
//! `attempt` and `pipeline` carry.

mod acks;
mod attempt;
pub mod binlog;
mod capture;
mod config;
mod connection;
mod csn;
mod envelope;
mod error;
pub mod gtid;
mod http;
mod lanes;
mod log;
mod metrics;
mod pipeline;
#[cfg(feature = "planted")]
mod planted;
mod position;
mod precheck;
mod publish;
mod route;
pub mod schema;
mod snapshot;
mod status;
mod tables;
pub mod value;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use config::{SourceConfig, Start, TableName, TlsMode};
pub use error::{Problem, SourceError, StartError};
pub use position::{SnapshotProgress, StoredPosition};
pub use status::{ShownError, ShownPosition, ShownSnapshot, SourceStatus, State};

use connection::Endpoint;
use metrics::Metrics;
use pipeline::{Source, StartGate};
use status::SharedStatus;

/// How long a first start may take before it counts as failed; its own errors come sooner.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The running sources.
#[derive(Debug)]
pub struct Sources {
    statuses: http::Statuses,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Sources {
    /// Starts every source and waits until each has started once. A source that never ran on this log
    /// and cannot is an error; one that ran before is left to try again.
    pub async fn start(
        configs: Vec<SourceConfig>,
        bootstrap: &str,
        registry: &mut Registry,
    ) -> Result<Sources, StartError> {
        let metrics = Metrics::register(registry);
        let stop = CancellationToken::new();
        let mut prepared = Vec::with_capacity(configs.len());
        let mut names = HashSet::new();
        for config in configs {
            let wrong = |message: String| StartError::Config {
                source_name: config.name.clone(),
                message,
            };
            let tables = config.checked_tables().map_err(wrong)?;
            let endpoint = Endpoint::of(&config).map_err(wrong)?;
            if !names.insert(config.name.clone()) {
                return Err(wrong("two sources have this name".to_owned()));
            }
            let status = Arc::new(SharedStatus::new(&config.name));
            let metrics = metrics.of(&config.name);
            prepared.push(Source {
                config,
                tables,
                endpoint,
                bootstrap: bootstrap.to_owned(),
                status,
                metrics,
                stop: stop.clone(),
            });
        }
        let statuses = Arc::new(
            prepared
                .iter()
                .map(|source| source.status.clone())
                .collect(),
        );
        let mut sources = Sources {
            statuses,
            stop,
            tasks: Vec::with_capacity(prepared.len()),
        };
        let mut gates = Vec::with_capacity(prepared.len());
        for source in prepared {
            let (sender, gate) = oneshot::channel();
            gates.push((source.config.name.clone(), gate));
            sources
                .tasks
                .push(tokio::spawn(source.run(StartGate::new(sender))));
        }
        for (source_name, gate) in gates {
            if let Err(problem) = opened(gate).await {
                sources.shutdown().await;
                return Err(StartError::Source {
                    source_name,
                    problem,
                });
            }
        }
        Ok(sources)
    }

    /// `GET /v1/sources` and `GET /v1/sources/{name}`.
    pub fn router(&self) -> axum::Router {
        http::router(self.statuses.clone())
    }

    /// What each source is doing, in the order of the configuration.
    pub fn states(&self) -> Vec<SourceStatus> {
        self.statuses.iter().map(|status| status.get()).collect()
    }

    /// Stops all sources: each waits for the acknowledgements of what it has sent and stores its position.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a source's task failed");
            }
        }
    }
}

async fn opened(gate: oneshot::Receiver<Result<(), Problem>>) -> Result<(), Problem> {
    match tokio::time::timeout(START_TIMEOUT, gate).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Problem {
            code: "internal",
            message: "the source's task ended".to_owned(),
            hint: "see the log".to_owned(),
        }),
        Err(_) => Err(Problem {
            code: "start-timeout",
            message: format!(
                "the source did not start within {} s",
                START_TIMEOUT.as_secs()
            ),
            hint: "check that the server and the broker answer".to_owned(),
        }),
    }
}
