//! Why the views could not be started.
use crate::config::ConfigError;
use crate::runtime::status::Problem;

/// Why [`crate::Views::start`] gave up; everything it had started is stopped again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration can never work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log did not answer.
    #[error("views: {0}")]
    Log(String),
    /// A view that never ran on this log failed at its first start.
    #[error("view `{view}`: {problem}")]
    View {
        /// Its name.
        view: String,
        /// What it met.
        problem: Problem,
    },
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            StartError::Config(error) => error.hint.as_deref(),
            StartError::Log(_) => None,
            StartError::View { problem, .. } => problem.hint.as_deref(),
        }
    }
}
