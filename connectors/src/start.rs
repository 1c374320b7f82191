//! The first start of all views: configuration, claims of earlier runs, targets, then one supervisor each.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headrace_clients::{Admin, ClientConfig};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigError, TargetConfig, ViewConfig};
use crate::http::Route;
use crate::metrics::Metrics;
use crate::redis::RedisTarget;
use crate::runtime::claim::Claims;
use crate::runtime::schemas::Schemas;
use crate::runtime::status::{Board, Problem};
use crate::runtime::supervisor::{FirstStart, Supervisor};
use crate::runtime::task::Context;
use crate::search::tantivy::TantivyTarget;
use crate::sink::{SinkError, Target};
use crate::view::Definition;
use crate::{StartError, Views};

/// Longest time that the first start of a view may take.
const FIRST_START_MAX: Duration = Duration::from_secs(9);
/// Commands that wait for a supervisor; resets are rare and answered one by one.
const COMMANDS_MAX: usize = 4;

/// Everything known before the first connection.
pub(crate) struct Plan {
    views: Vec<PlannedView>,
    metrics: Metrics,
}

struct PlannedView {
    name: String,
    topic: String,
    definition: Definition,
    target: PlannedTarget,
}

#[derive(Clone)]
enum PlannedTarget {
    Redis(Arc<RedisTarget>),
    Tantivy(Arc<TantivyTarget>),
}

/// Checks the configuration and finds every view's topic.
pub(crate) fn plan(
    views: Vec<ViewConfig>,
    targets: &BTreeMap<String, TargetConfig>,
    topics: &dyn Fn(&str) -> Result<String, String>,
    registry: &mut Registry,
) -> Result<Plan, ConfigError> {
    config::check(&views, targets)?;
    let metrics = Metrics::register(registry);
    let views = views.into_iter().map(|view| {
        let topic =
            topics(&view.from).map_err(|message| ConfigError::new(&view.name, "from", message))?;
        let definition = Definition::new(&view)?;
        let target = match targets.get(&view.to) {
            Some(TargetConfig::Redis { redis }) => {
                PlannedTarget::Redis(Arc::new(RedisTarget::new(redis, &view.name, &definition)))
            }
            Some(TargetConfig::Tantivy { tantivy }) => PlannedTarget::Tantivy(Arc::new(
                TantivyTarget::new(tantivy, &view.name, &definition),
            )),
            None => {
                return Err(ConfigError::new(
                    &view.name,
                    "to",
                    format!("there is no target `{}`", view.to),
                ));
            }
        };
        Ok(PlannedView {
            name: view.name,
            topic,
            definition,
            target,
        })
    });
    Ok(Plan {
        views: views.collect::<Result<_, _>>()?,
        metrics,
    })
}

/// What all views share.
struct Shared {
    client: ClientConfig,
    admin: Admin,
    claims: Arc<Claims>,
    schemas: Arc<Schemas>,
    metrics: Metrics,
    stop: CancellationToken,
}

/// A view that was started, and the word it owes.
struct Launched {
    name: String,
    ran_before: bool,
    word: oneshot::Receiver<Result<(), Problem>>,
}

/// Starts everything; on an error, what was started is stopped again.
pub(crate) async fn run(plan: Plan, bootstrap: &str) -> Result<Views, StartError> {
    let deadline = Instant::now() + FIRST_START_MAX;
    let client = ClientConfig::new(bootstrap, "headrace-views");
    let log = |error: String| StartError::Log(error);
    let admin = Admin::new(&client).map_err(|error| log(error.to_string()))?;
    let claims = Arc::new(Claims::new(client.clone()));
    let ran = if plan.views.is_empty() {
        BTreeSet::new()
    } else {
        claims.open(&admin).await.map_err(log)?
    };
    check_targets(&plan.views, &ran).await?;
    let schemas = Arc::new(Schemas::new(client.clone()));
    let stop = CancellationToken::new();
    let shared = Shared {
        client,
        admin,
        claims,
        schemas,
        metrics: plan.metrics,
        stop,
    };
    let mut routes = Vec::with_capacity(plan.views.len());
    let mut launched = Vec::with_capacity(plan.views.len());
    let mut supervisors = Vec::with_capacity(plan.views.len());
    for view in plan.views {
        let ran_before = ran.contains(&view.name);
        let name = view.name.clone();
        let (route, word, supervisor) = launch(view, &shared);
        routes.push(route);
        launched.push(Launched {
            name,
            ran_before,
            word,
        });
        supervisors.push(supervisor);
    }
    let views = Views {
        routes: Arc::new(routes),
        supervisors,
        stop: shared.stop,
    };
    match first_words(launched, deadline).await {
        Ok(()) => Ok(views),
        Err(error) => {
            views.shutdown().await;
            Err(error)
        }
    }
}

/// A target that cannot be used fails the start only for a view that never ran.
async fn check_targets(views: &[PlannedView], ran: &BTreeSet<String>) -> Result<(), StartError> {
    for view in views.iter().filter(|view| !ran.contains(&view.name)) {
        let checked = match &view.target {
            PlannedTarget::Redis(target) => target.check().await,
            PlannedTarget::Tantivy(target) => target.check().await,
        };
        checked.map_err(|error| {
            let (code, hint) = match &error {
                SinkError::Refused { hint, .. } => ("target-refused", hint.clone()),
                _ => (
                    "target-unavailable",
                    "check [target.NAME], and that the server runs".into(),
                ),
            };
            StartError::View {
                view: view.name.clone(),
                problem: Problem::new(code, error.to_string(), Some(hint)),
            }
        })?;
    }
    Ok(())
}

type FirstWord = oneshot::Receiver<Result<(), Problem>>;

fn launch(view: PlannedView, shared: &Shared) -> (Route, FirstWord, tokio::task::JoinHandle<()>) {
    let PlannedView {
        name,
        topic,
        definition,
        target,
    } = view;
    let (first_start, word) = FirstStart::new();
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let board = Board::new(&name);
    let context = Arc::new(Context {
        definition,
        topic,
        client: shared.client.clone(),
        board: board.clone(),
        metrics: shared.metrics.of(&name),
        claims: Arc::clone(&shared.claims),
        schemas: Arc::clone(&shared.schemas),
        first_start,
    });
    let index = match &target {
        PlannedTarget::Redis(_) => None,
        PlannedTarget::Tantivy(target) => Some(Arc::clone(target)),
    };
    let (admin, stop) = (shared.admin.clone(), shared.stop.clone());
    let supervisor = match target {
        PlannedTarget::Redis(target) => tokio::spawn(
            Supervisor {
                target,
                context,
                admin,
                commands: receiver,
            }
            .run(stop),
        ),
        PlannedTarget::Tantivy(target) => tokio::spawn(
            Supervisor {
                target,
                context,
                admin,
                commands: receiver,
            }
            .run(stop),
        ),
    };
    (
        Route {
            board,
            commands,
            index,
        },
        word,
        supervisor,
    )
}

/// Waits until each view has started once, or has shown why it does not.
async fn first_words(launched: Vec<Launched>, deadline: Instant) -> Result<(), StartError> {
    for Launched {
        name,
        ran_before,
        word,
    } in launched
    {
        let problem = match tokio::time::timeout_at(deadline, word).await {
            Ok(Ok(Ok(()))) => continue,
            Ok(Ok(Err(problem))) => problem,
            Ok(Err(_)) => Problem::new("stopped", "its supervisor ended", None),
            Err(_) => Problem::new("slow-start", "it did not start in time", None),
        };
        if !ran_before {
            return Err(StartError::View {
                view: name,
                problem,
            });
        }
        tracing::warn!(
            view = name,
            code = problem.code,
            "the view goes on trying: {}",
            problem.message
        );
    }
    Ok(())
}
