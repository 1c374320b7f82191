//! What stops a source, split by what helps: a *definite* problem is about the data or the server's
//! settings and needs a person; a *transient* one is about the world and goes away by itself. Both
//! are retried with back-off and shown in `/v1/sources`; neither is ever skipped.

use serde::Serialize;

/// Why a source cannot go on, in words for the person who must act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable name of the kind of problem, in kebab case.
    pub code: &'static str,
    /// What is wrong, with the values.
    pub message: String,
    /// What to do about it: where a statement helps, the statement.
    pub hint: String,
}

/// The end of one attempt to run a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// About the data, the schema, the settings or the rights.
    #[error("{} ({})", .0.message, .0.hint)]
    Definite(Problem),
    /// About the network, the server's presence or the log's.
    #[error("{} ({})", .0.message, .0.hint)]
    Transient(Problem),
    /// The source was told to stop.
    #[error("the source was told to stop")]
    Stopped,
}

impl SourceError {
    /// A definite error.
    pub fn definite(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        SourceError::Definite(Problem {
            code,
            message: message.into(),
            hint: hint.into(),
        })
    }

    /// A transient error.
    pub fn transient(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        SourceError::Transient(Problem {
            code,
            message: message.into(),
            hint: hint.into(),
        })
    }

    /// The log (our broker or another Kafka) did not do what was asked.
    pub fn log(what: &str, error: impl std::fmt::Display) -> Self {
        SourceError::transient(
            "log-unavailable",
            format!("{what}: {error}"),
            "check that the broker serves and its disk is not full",
        )
    }

    /// The problem, unless the source was only told to stop.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            SourceError::Definite(problem) | SourceError::Transient(problem) => Some(problem),
            SourceError::Stopped => None,
        }
    }
}

/// Why [`crate::Sources::start`] gave up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration of a source cannot be used.
    #[error("source {source_name}: {message}")]
    Config {
        /// Its name in the file.
        source_name: String,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A source that never ran on this log cannot run.
    #[error("source {source_name}: {} [{}]; {}", .problem.message, .problem.code, .problem.hint)]
    Source {
        /// Its name in the file.
        source_name: String,
        /// Why.
        problem: Problem,
    },
}
