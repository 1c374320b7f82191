//! The HTTP port: health, metrics, and the routers of the parts.
//!
//! ```text
//! bind ---- serving health ----------- install ---------- drain ----- close
//!           live 200, ready 503,        ready 200,         ready 503
//!           the rest 503 "starting"     the rest is served
//! ```
//! The port is bound before anything else starts: a port in use is told at once.
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// The media type of the metrics' text.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// A listening HTTP port.
#[derive(Debug)]
pub(crate) struct Http {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Says what a person should look at, one sentence each.
type Troubles = Box<dyn Fn() -> Vec<String> + Send + Sync>;

#[derive(Default)]
struct Shared {
    /// Set once, when every part has started.
    parts: OnceLock<Router>,
    /// Set with them.
    troubles: OnceLock<Troubles>,
    /// True from then until the stop begins.
    ready: AtomicBool,
}

impl Http {
    /// Binds the port and serves health.
    pub(crate) async fn bind(listen: &str) -> anyhow::Result<Http> {
        let listener = TcpListener::bind(listen).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
                "http listen address {listen} is in use; stop the other process or choose another with --http or [http] listen"
            ),
            _ => anyhow::anyhow!("cannot listen for http on {listen}: {error}; choose another with --http or [http] listen"),
        })?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route(
                "/health/live",
                get(|| async { Json(json!({ "status": "live" })) }),
            )
            .route("/health/ready", get(ready))
            .fallback(parts)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "http stopped");
            }
        });
        Ok(Http {
            address,
            shared,
            task,
        })
    }

    /// The address it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the parts and their metrics from now on, and says that everything is ready.
    ///
    /// `troubles` is asked whenever readiness is: what it names does not end the readiness, reads go on.
    pub(crate) fn install(
        &self,
        parts: Router,
        registry: Registry,
        troubles: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) {
        drop(self.shared.troubles.set(Box::new(troubles)));
        let registry = Arc::new(registry);
        let router = parts
            .route("/metrics", get(move || async move { metrics(&registry) }))
            .fallback(|request: Request| async move { no_such_page(&request) })
            .method_not_allowed_fallback(|request: Request| async move { wrong_method(&request) });
        if self.shared.parts.set(router).is_ok() {
            self.shared.ready.store(true, Ordering::Release);
        }
    }

    /// Says that the server is stopping.
    pub(crate) fn drain(&self) {
        self.shared.ready.store(false, Ordering::Release);
    }

    /// Closes the port.
    pub(crate) fn close(self) {
        self.task.abort();
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.ready.load(Ordering::Acquire) {
        let troubles = shared.troubles.get().map_or_else(Vec::new, |ask| ask());
        if troubles.is_empty() {
            return Json(json!({ "status": "ready" })).into_response();
        }
        let degraded = json!({ "status": "degraded", "troubles": troubles });
        return Json(degraded).into_response();
    }
    not_ready()
}

async fn parts(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Some(router) = shared.parts.get() else {
        return not_ready();
    };
    router.clone().oneshot(request).await.into_response()
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            let hint = "this is a fault of Headrace; please report it";
            problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics",
                &error.to_string(),
                hint,
            )
        }
    }
}

fn not_ready() -> Response {
    let hint = "GET /health/ready answers 200 when every part has started";
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        "the server is starting or stopping",
        hint,
    )
}

fn no_such_page(request: &Request) -> Response {
    let message = format!("there is no {}", request.uri().path());
    let hint = "see /v1/sources, /v1/views, /health/live, /health/ready, /metrics";
    problem(StatusCode::NOT_FOUND, "not_found", &message, hint)
}

fn wrong_method(request: &Request) -> Response {
    let message = format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    );
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &message,
        "states are read with GET, resets sent with POST",
    )
}

fn problem(status: StatusCode, code: &str, message: &str, hint: &str) -> Response {
    (
        status,
        Json(json!({ "error": { "code": code, "message": message, "hint": hint } })),
    )
        .into_response()
}
