//! Views: copies of captured topics in Redis and in search indexes, each always a fold of the log up
//! to a watermark that is stored beside the data and moves with it.
//!
//! ```text
//! topic --runtime--> view (filter, fields, key) --> sink: Redis | Tantivy
//!          read, batch, retry, claim                 operations + watermark, atomically
//! ```
//! Start at [`Views`]; [`sink`] states the contract of a target, [`view`] what a record does to it.
pub mod config;
mod error;
pub mod expression;
mod http;
mod metrics;
pub mod redis;
mod runtime;
pub mod search;
pub mod sink;
mod start;
pub mod value;
pub mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use config::{ConfigError, Form, TargetConfig, ViewConfig, check};
pub use error::StartError;
pub use http::LIMIT_MAX;
pub use runtime::status::{PartitionStatus, Problem, State, ViewStatus, WatermarkStatus};

/// All views of one process, running.
pub struct Views {
    routes: Arc<Vec<http::Route>>,
    supervisors: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views")
            .field("states", &self.states())
            .finish_non_exhaustive()
    }
}

impl Views {
    /// Starts every view and returns when each has started once.
    ///
    /// `topics` gives the topic of a view's `from`, or what is wrong with it. A view whose topic does not
    /// exist yet waits for it. A view that ran before on this log and cannot start is returned in state
    /// `failed` and goes on trying; one that never ran makes the start fail, within 10 s. A mismatch
    /// counts as started.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the caller hands its configuration over; targets may come to hold connections"
    )]
    pub fn start(
        views: Vec<ViewConfig>,
        targets: BTreeMap<String, TargetConfig>,
        topics: &dyn Fn(&str) -> Result<String, String>,
        bootstrap: &str,
        registry: &mut Registry,
    ) -> impl Future<Output = Result<Views, StartError>> + Send + use<> {
        let plan = start::plan(views, &targets, topics, registry);
        let bootstrap = bootstrap.to_owned();
        async move { start::run(plan?, &bootstrap).await }
    }

    /// `GET /v1/views`, `/v1/views/{view}`, `/v1/views/{view}/search`, `POST /v1/views/{view}/reset`.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.routes))
    }

    /// The status of every view, in the order of the configuration.
    pub fn states(&self) -> Vec<ViewStatus> {
        self.routes
            .iter()
            .map(|route| route.board.status())
            .collect()
    }

    /// Stops every view and waits for its tasks; what is not yet applied is applied at the next start.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for supervisor in self.supervisors {
            if let Err(error) = supervisor.await {
                tracing::error!(%error, "a view's supervisor ended badly");
            }
        }
    }
}
