//! `headrace doctor`: looks at this machine with the eyes of a broker that is to run here, or runs already.
//!
//! Each check is one line: ok, warn (it runs, but look at this) or fail (it will not run, or not safely), and what to
//! do. The exit code is the worst of them: 0, 1 or 2.
mod data;
mod ports;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::output::Output;
use super::table::columns;
use crate::config::Config;

/// The command.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all is well, 1 something to look at, 2 something to mend first (or a wrong command line).

Example: headrace doctor --config headrace.toml")]
pub(crate) struct Doctor {
    /// Configuration file; without it a broker alone with its defaults.
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
    #[command(flatten)]
    output: Output,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    grade: Grade,
    about: &'static str,
    found: String,
    /// What to do; nothing if it is well.
    advice: Option<String>,
}

impl Check {
    fn ok(about: &'static str, found: impl Into<String>) -> Check {
        Check {
            grade: Grade::Ok,
            about,
            found: found.into(),
            advice: None,
        }
    }

    fn warn(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            grade: Grade::Warn,
            advice: Some(advice.into()),
            ..Check::ok(about, found)
        }
    }

    fn fail(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            grade: Grade::Fail,
            ..Check::warn(about, found, advice)
        }
    }

    fn document(&self) -> Value {
        json!({
            "grade": self.grade.word(), "about": self.about, "found": self.found, "advice": self.advice,
        })
    }
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        }
    }

    fn exit_code(self) -> ExitCode {
        match self {
            Grade::Ok => ExitCode::SUCCESS,
            Grade::Warn => 1.into(),
            Grade::Fail => 2.into(),
        }
    }
}

impl Doctor {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let output = self.output;
        let (config, mut checks) = self.configure();
        checks.push(ports::broker(&config.broker.listen).await);
        checks.push(ports::http(&config.http.listen).await);
        checks.extend(data::checks(&config.broker));
        checks.extend(system::checks(&config.broker.data));
        let worst = checks.iter().map(|check| check.grade).max();
        let documents: Vec<_> = checks.iter().map(Check::document).collect();
        output.show(&json!(documents), || {
            let rows = checks.into_iter().map(|check| {
                let found = match check.advice {
                    Some(advice) => format!("{}; {advice}", check.found),
                    None => check.found,
                };
                [check.grade.word().to_owned(), check.about.to_owned(), found]
            });
            columns(["GRADE", "ABOUT", "FOUND"], rows)
        });
        Ok(worst.unwrap_or(Grade::Ok).exit_code())
    }

    /// The file with the flags over it; a file that cannot be read is a finding.
    fn configure(self) -> (Config, Vec<Check>) {
        let mut checks = Vec::new();
        let mut config = match self.config.as_deref().map(Config::read) {
            None => Config::broker_only(),
            Some(Ok(config)) => {
                checks.push(Check::ok("configuration", "the file is sound"));
                config
            }
            Some(Err(error)) => {
                let advice = "mend the file; the checks below are for the defaults";
                checks.push(Check::fail("configuration", error.to_string(), advice));
                Config::broker_only()
            }
        };
        if let Some(data) = self.data {
            config.broker.data = data;
        }
        if let Some(listen) = self.listen {
            config.broker.listen = listen;
        }
        if let Some(http) = self.http {
            config.http.listen = http;
        }
        (config, checks)
    }
}
