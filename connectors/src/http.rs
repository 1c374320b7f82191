//! The views over HTTP; the binary merges these routes with those of the other parts.
//!
//! ```text
//! GET  /v1/views                         [status, …]
//! GET  /v1/views/{view}                  status
//! GET  /v1/views/{view}/search?q=&limit= {"total":N,"hits":[{"key":…,"score":…,"fields":{…}}]}
//! POST /v1/views/{view}/reset            {"view":…,"deleted":N}
//! ```
//! Errors are `{"error":{"code","message","hint"}}`.
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::config::nearest;
use crate::runtime::status::{Board, Problem, ViewStatus};
use crate::runtime::supervisor::Command;
use crate::search::tantivy::{SearchError, TantivyTarget};

/// Hits of a search that names no limit.
const LIMIT_DEFAULT: usize = 10;
/// Most hits of a search: more would hold too many rows in memory at once.
pub const LIMIT_MAX: usize = 10_000;

/// One view as HTTP sees it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) board: Board,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) index: Option<Arc<TantivyTarget>>,
}

type Routes = Arc<Vec<Route>>;

/// The routes.
pub(crate) fn router(routes: Routes) -> Router {
    Router::new()
        .route("/v1/views", get(list))
        .route("/v1/views/{view}", get(one))
        .route("/v1/views/{view}/search", get(search))
        .route("/v1/views/{view}/reset", post(reset))
        .with_state(routes)
}

/// An answer that says no.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Refusal {
    fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    fn unavailable(problem: Problem) -> Refusal {
        let Problem {
            code,
            message,
            hint,
            ..
        } = problem;
        Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code,
            message,
            hint,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error =
            json!({"error": {"code": self.code, "message": self.message, "hint": self.hint}});
        (self.status, Json(error)).into_response()
    }
}

fn find<'a>(routes: &'a Routes, name: &str) -> Result<&'a Route, Refusal> {
    routes
        .iter()
        .find(|route| route.board.name() == name)
        .ok_or_else(|| {
            let hint = match nearest(name, routes.iter().map(|route| route.board.name())) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "GET /v1/views lists them".into(),
            };
            Refusal::new(
                StatusCode::NOT_FOUND,
                "unknown-view",
                format!("there is no view `{name}`"),
                hint,
            )
        })
}

async fn list(State(routes): State<Routes>) -> Json<Vec<ViewStatus>> {
    Json(routes.iter().map(|route| route.board.status()).collect())
}

async fn one(
    State(routes): State<Routes>,
    Path(name): Path<String>,
) -> Result<Json<ViewStatus>, Refusal> {
    Ok(Json(find(&routes, &name)?.board.status()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    #[serde(default)]
    q: String,
    limit: Option<usize>,
}

async fn search(
    State(routes): State<Routes>,
    Path(name): Path<String>,
    query: Result<Query<Search>, QueryRejection>,
) -> Result<Response, Refusal> {
    let bad = |code, message: String, hint: &str| {
        Refusal::new(StatusCode::BAD_REQUEST, code, message, hint)
    };
    let index = find(&routes, &name)?.index.clone().ok_or_else(|| {
        let hint = "add a view of the same table with a tantivy target";
        bad(
            "not-searchable",
            format!("view `{name}` is not kept in a search index"),
            hint,
        )
    })?;
    let Query(Search { q, limit }) = query.map_err(|rejection| {
        bad(
            "bad-parameter",
            rejection.body_text(),
            "write search?q=WORDS&limit=10",
        )
    })?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if limit > LIMIT_MAX {
        return Err(bad(
            "limit-too-large",
            format!("limit {limit} is above {LIMIT_MAX}"),
            "ask for fewer hits",
        ));
    }
    let found = tokio::task::spawn_blocking(move || index.search(&q, limit)).await;
    match found {
        Ok(Ok(found)) => Ok(Json(found).into_response()),
        Ok(Err(SearchError::Query(message))) => {
            let hint = "words, \"phrases\", field:word, a AND b, a OR b, -not, number:[1 TO 9]; quote other characters";
            Err(bad("bad-query", message, hint))
        }
        Ok(Err(error)) => {
            let hint = "see /v1/views for the state of the view";
            Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "index-unavailable",
                error.to_string(),
                hint,
            ))
        }
        Err(_) => {
            let hint = "the log of the process has the reason";
            Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "search-failed",
                "the search broke down",
                hint,
            ))
        }
    }
}

async fn reset(
    State(routes): State<Routes>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let route = find(&routes, &name)?;
    let (answer, answered) = oneshot::channel();
    let stopped = || {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopped",
            "the view is shut down",
            "start headrace",
        )
    };
    route
        .commands
        .send(Command::Reset(answer))
        .await
        .map_err(|_| stopped())?;
    match answered.await {
        Ok(Ok(deleted)) => Ok(Json(json!({"view": name, "deleted": deleted})).into_response()),
        Ok(Err(problem)) => Err(Refusal::unavailable(problem)),
        Err(_) => Err(stopped()),
    }
}
