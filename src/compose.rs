//! Starts the parts of a server and stops them in order.
//!
//! ```text
//! start  http port -> broker -> sources -> views -> ready
//! stop   not ready -> views -> sources -> broker -> http port
//! ```
//! Sources and views meet the broker at its listener, like any other client. A start that fails, or that a
//! signal ends, stops what has started.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use headrace_broker::{Broker, BrokerConfig};
use headrace_cdc::Sources;
use headrace_connectors::Views;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Config, Topics};
use crate::http::Http;

/// The parts that have started so far.
#[derive(Debug, Default)]
pub(crate) struct Server {
    http: Option<Http>,
    broker: Option<Broker>,
    sources: Option<Sources>,
    views: Option<Views>,
}

impl Server {
    /// Starts every part; returns when each has started once. After an error or a cancelled start the caller
    /// calls [`Server::stop`].
    pub(crate) async fn start(&mut self, config: Config, insecure: bool) -> anyhow::Result<()> {
        refuse_open_http(&config, insecure)?;
        let mut registry = Registry::default();
        let http = self.http.insert(Http::bind(&config.http.listen).await?);
        tracing::info!(address = %http.address(), "http listens");

        let broker = Broker::start(broker_config(&config, insecure)).await?;
        broker.register_metrics(&mut registry);
        let mut router = broker.router();
        let bootstrap = dialled(broker.local_addr()).to_string();
        let troubles = broker.troubles();
        self.broker = Some(broker);

        let topics = Topics::of(&config.sources);
        let sources = Sources::start(config.sources, &bootstrap, &mut registry).await?;
        router = router.merge(sources.router());
        self.sources = Some(sources);

        let find = |from: &str| topics.find(from);
        let views = Views::start(
            config.views,
            config.targets,
            &find,
            &bootstrap,
            &mut registry,
        )
        .await?;
        router = router.merge(views.router());
        self.views = Some(views);

        http.install(router, registry, troubles);
        tracing::info!("ready");
        Ok(())
    }

    /// Stops what runs: views, sources, broker.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some(http) = &self.http {
            http.drain();
        }
        if let Some(views) = self.views {
            views.shutdown().await;
        }
        if let Some(sources) = self.sources {
            sources.shutdown().await;
        }
        let stopped = match self.broker {
            Some(broker) => broker
                .shutdown()
                .await
                .context("the broker did not stop in order"),
            None => Ok(()),
        };
        if let Some(http) = self.http {
            http.close();
        }
        stopped
    }

    /// Where clients of this process reach the broker.
    pub(crate) fn bootstrap(&self) -> Option<String> {
        self.broker
            .as_ref()
            .map(|broker| dialled(broker.local_addr()).to_string())
    }

    /// The running views.
    pub(crate) fn views(&self) -> Option<&Views> {
        self.views.as_ref()
    }

    /// Where this process answers HTTP.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Http::address)
    }
}

/// A wildcard address is dialled at the loopback.
fn dialled(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

fn broker_config(config: &Config, insecure: bool) -> BrokerConfig {
    let table = &config.broker;
    BrokerConfig {
        listen: table.listen.clone(),
        advertised: table.advertised.clone(),
        data: table.data.clone(),
        partitions: table.partitions,
        auto_create: table.auto_create,
        // refused when the file was read, if it cannot be had
        topic_defaults: table.topic_defaults().unwrap_or_default(),
        upkeep_interval_ms: table.upkeep_interval_ms,
        cleaner_memory_bytes: table.cleaner_memory_bytes,
        cleaner_bytes_per_second: table.cleaner_bytes_per_second,
        scrub_bytes_per_second: table.scrub_bytes_per_second,
        free_space_min_bytes: table.free_space_min_bytes,
        free_space_min_percent: table.free_space_min_percent,
        group_initial_rebalance_delay_ms: table.group_initial_rebalance_delay_ms,
        group_min_session_timeout_ms: table.group_min_session_timeout_ms,
        group_max_session_timeout_ms: table.group_max_session_timeout_ms,
        group_max_size: table.group_max_size,
        offsets_retention_minutes: table.offsets_retention_minutes,
        offsets_retention_check_interval_ms: table.offsets_retention_check_interval_ms,
        insecure,
        ..BrokerConfig::default()
    }
}

/// Nobody is asked for a password yet, so an address that others reach must be wanted.
fn refuse_open_http(config: &Config, insecure: bool) -> anyhow::Result<()> {
    let listen = &config.http.listen;
    if insecure || config::is_loopback(listen) {
        return Ok(());
    }
    anyhow::bail!(
        "http listen address {listen} is reachable from other machines and asks nobody for a password; \
         listen on 127.0.0.1, or pass --insecure if the network is trusted"
    )
}

/// Ends with the first SIGTERM or SIGINT after this call.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
