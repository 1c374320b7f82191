//! The command line: one file per command, each a clap type with a `run`.
//!
//! Results go to standard output, everything else to standard error: logs filtered by `HEADRACE_LOG`
//! (default `info` for `serve`, `warn` for the rest) and, last, one line that says why a command failed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line talks to its user"
)]

mod consume;
mod demo;
mod group;
mod log;
mod produce;
mod remote;
mod serve;
mod table;
mod topic;
mod view;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use headrace_clients::ClientConfig;
use tracing_subscriber::EnvFilter;

/// A log-based message broker with change data capture and materialized views, in one binary.
#[derive(Debug, Parser)]
#[command(name = "headrace", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker with every source, target and view of a configuration file.
    Serve(serve::Serve),
    /// Create, list, describe and delete topics.
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Write lines from standard input as records.
    Produce(produce::Produce),
    /// Show the records of a topic.
    Consume(consume::Consume),
    /// List and describe consumer groups.
    #[command(subcommand)]
    Group(group::Group),
    /// List views, show their state, rebuild one.
    #[command(subcommand)]
    View(view::View),
    /// Show and check the files of a stopped broker's logs.
    #[command(subcommand)]
    Log(log::Log),
    /// Follow one row from a private MariaDB into Redis and a search index.
    Demo(demo::Demo),
}

/// Where the broker is.
#[derive(Debug, Args)]
struct Bootstrap {
    /// Address of a broker.
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    bootstrap: String,
}

impl Bootstrap {
    fn client(&self) -> ClientConfig {
        ClientConfig::new(&self.bootstrap, "headrace-cli")
    }
}

/// Runs the command; the exit code is 0 only if it did what it was asked.
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
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Topic(topic) => topic.run().await,
        Command::Produce(produce) => produce.run().await,
        Command::Consume(consume) => consume.run().await,
        Command::Group(group) => group.run().await,
        Command::View(view) => view.run().await,
        Command::Log(log) => log.run(),
        Command::Demo(demo) => demo.run().await,
    }
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

/// `headrace consume T | head -1` ends the pipe: that is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes; a cause that the text before it has told already is not told again.
fn one_line(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.contains(cause.as_str()) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&cause);
    }
    told.split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_is_told_in_one_line_and_once() {
        let error = anyhow!("port in use")
            .context("cannot listen: port in use\nchoose another")
            .context("starting");
        assert_eq!(
            one_line(&error),
            "starting: cannot listen: port in use choose another"
        );
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
