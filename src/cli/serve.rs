//! `headrace serve`: runs until SIGTERM or SIGINT.
use std::path::PathBuf;

use clap::Args;

use crate::compose::{Server, stop_signal};
use crate::config::{self, Config};

/// The command.
#[derive(Debug, Args)]
#[command(after_help = "Example: headrace serve --config headrace.toml")]
pub(crate) struct Serve {
    /// Configuration file; without it a broker runs alone.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, instead of [broker] data.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// Address of the broker, instead of [broker] listen.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Address of HTTP, instead of [http] listen.
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Allow addresses that other machines reach, although nobody is asked for a password.
    #[arg(long)]
    insecure: bool,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let insecure = self.insecure;
        let config = self.configure()?;
        let mut server = Server::default();
        let started = tokio::select! {
            started = server.start(config, insecure) => started,
            () = &mut stop => {
                tracing::info!("stopping while starting");
                return server.stop().await;
            }
        };
        if let Err(error) = started {
            if let Err(second) = server.stop().await {
                tracing::warn!(error = %second, "after a failed start");
            }
            return Err(error);
        }
        stop.await;
        tracing::info!("stopping");
        server.stop().await?;
        tracing::info!("stopped");
        Ok(())
    }

    /// The file with the flags over it.
    fn configure(self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::broker_only(),
        };
        if let Some(data) = self.data {
            config.broker.data = data;
        }
        if let Some(listen) = self.listen {
            // what the file advertises belongs to the address in the file
            if config::is_loopback(&listen) {
                config.broker.advertised = None;
            }
            config.broker.listen = listen;
            config::check_listen(&config.broker)
                .map_err(|message| anyhow::anyhow!("--listen: {message}"))?;
        }
        if let Some(http) = self.http {
            config.http.listen = http;
        }
        Ok(config)
    }
}
