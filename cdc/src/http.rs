//! The sources over HTTP: `GET /v1/sources` and `GET /v1/sources/{name}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::status::{SharedStatus, SourceStatus};

/// The statuses of all sources, in the order of the configuration.
pub(crate) type Statuses = Arc<Vec<Arc<SharedStatus>>>;

/// The routes; the binary merges them with those of the other parts.
pub(crate) fn router(statuses: Statuses) -> Router {
    Router::new()
        .route("/v1/sources", get(list))
        .route("/v1/sources/{name}", get(one))
        .with_state(statuses)
}

async fn list(State(statuses): State<Statuses>) -> Json<Vec<SourceStatus>> {
    Json(statuses.iter().map(|status| status.get()).collect())
}

async fn one(State(statuses): State<Statuses>, Path(name): Path<String>) -> Response {
    if let Some(status) = statuses
        .iter()
        .map(|status| status.get())
        .find(|status| status.name == name)
    {
        Json(status).into_response()
    } else {
        let error = json!({"error": {"code": "unknown-source", "message": format!("there is no source {name:?}"), "hint": "GET /v1/sources lists them"}});
        (StatusCode::NOT_FOUND, Json(error)).into_response()
    }
}
