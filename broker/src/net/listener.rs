//! Accepts connections, up to a limit, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connection;
use crate::node::Node;

/// Pause after a failed accept: without descriptors it fails again at once, and a pause lets some close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a broker that is open to other machines says so.
const REMINDER: Duration = Duration::from_hours(1);

/// Accepts until `stop`; then all connections are closed, and it returns when they are.
pub(crate) async fn run(listener: TcpListener, node: Arc<Node>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(node.config.connections_max));
    let connections = TaskTracker::new();
    let exposed = listener
        .local_addr()
        .is_ok_and(|local| !local.ip().is_loopback());
    let mut reminder = interval(REMINDER);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ = reminder.tick(), if exposed => {
                warn!("other machines can connect, and there is no authentication (--insecure)");
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(failed) => {
                warn!(%failed, "connection is not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            node.metrics.connections_refused.inc();
            debug!(%peer, "connection is refused: there are too many");
            continue;
        };
        let (node, stop) = (Arc::clone(&node), stop.clone());
        connections.spawn(async move {
            node.metrics.connections.inc();
            let served = connection::serve(stream, peer, Arc::clone(&node));
            tokio::select! {
                () = stop.cancelled() => {}
                () = served => {}
            }
            node.metrics.connections.dec();
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}
