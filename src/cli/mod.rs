//! The command line: one file per command, each a clap type with a `run`.
//!
//! Results go to standard output, everything else to standard error: logs filtered by `HEADRACE_LOG`
//! (default `info` for `serve`, `warn` for the rest) and, last, one line that says why a command failed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line talks to its user"
)]

mod completions;
mod consume;
mod demo;
mod doctor;
mod exit;
mod group;
mod log;
mod output;
mod place;
mod produce;
mod progress;
mod record;
mod remote;
mod serve;
mod table;
mod topic;
mod view;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use headrace_clients::{Admin, AdminError, ClientConfig};
use tracing_subscriber::EnvFilter;

/// A log-based message broker with change data capture and materialized views, in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "headrace",
    version,
    about,
    max_term_width = 100,
    after_help = exit::HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker with every source, target and view of a configuration file.
    Serve(serve::Serve),
    /// Create, list, describe, change and delete topics, and delete records.
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Write lines of standard input or of a file as records.
    Produce(produce::Produce),
    /// Show the records of a topic.
    Consume(consume::Consume),
    /// List, describe, reset and delete consumer groups.
    #[command(subcommand)]
    Group(group::Group),
    /// List views, show their state, rebuild one.
    #[command(subcommand)]
    View(view::View),
    /// Show and check the files of a stopped broker's logs.
    #[command(subcommand)]
    Log(log::Log),
    /// Look at this machine with the eyes of a broker: ports, limits, disk, clock, versions.
    Doctor(doctor::Doctor),
    /// Write the completions of a shell to standard output.
    Completions(completions::Completions),
    /// Follow one row from a private MariaDB into Redis and a search index.
    Demo(demo::Demo),
}

/// Where the broker is.
#[derive(Debug, Args)]
struct Bootstrap {
    /// Address of a broker; several are separated by commas.
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    bootstrap: String,
}

impl Bootstrap {
    fn client(&self) -> ClientConfig {
        ClientConfig::new(&self.bootstrap, "headrace-cli")
    }

    fn admin(&self) -> Result<Admin, AdminError> {
        Admin::new(&self.client())
    }
}

/// Runs the command; `exit` says what its exit code means.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logs(matches!(cli.command, Command::Serve(_)));
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads to run on: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) if exit::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", exit::one_line(&error));
            exit::code(&error)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => serve.run().await?,
        Command::Topic(topic) => topic.run().await?,
        Command::Produce(produce) => produce.run().await?,
        Command::Consume(consume) => consume.run().await?,
        Command::Group(group) => group.run().await?,
        Command::View(view) => view.run().await?,
        Command::Log(log) => log.run()?,
        Command::Doctor(doctor) => return doctor.run().await,
        Command::Completions(completions) => completions.run()?,
        Command::Demo(demo) => demo.run().await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn start_logs(serving: bool) {
    let default = if serving { "info,tantivy=warn" } else { "warn" };
    let filter = std::env::var("HEADRACE_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        eprintln!("HEADRACE_LOG={filter} is ignored: {error}");
        EnvFilter::new(default)
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

#[cfg(test)]
mod tests;
