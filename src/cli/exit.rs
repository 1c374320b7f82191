//! What the exit code says, and the one line that says why.
use std::io;
use std::process::ExitCode;

use headrace_clients::{AdminError, ReadError};

/// The end of `headrace --help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  it did what it was asked
  1  it failed, or was refused; the last line on standard error says why
  2  the command line is wrong
  3  no broker answered, or no server
  `headrace doctor` has its own: 0 all is well, 1 something to look at, 2 something to mend first

Example: headrace topic create orders --partitions 3 && headrace produce orders --file orders.txt";

const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;

/// A command line that says two things at once, where clap cannot see it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// A server that does not answer, said of the error that shows it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unanswered(pub(super) String);

/// The exit code of a failure.
pub(super) fn code(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(<dyn std::error::Error>::is::<Usage>) {
        return USAGE.into();
    }
    let unreachable = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<AdminError>(),
            Some(AdminError::Unreachable { .. })
        ) || matches!(
            cause.downcast_ref::<ReadError>(),
            Some(ReadError::Unreachable { .. })
        )
    });
    if unreachable || error.is::<Unanswered>() {
        return UNREACHABLE.into();
    }
    ExitCode::FAILURE
}

/// `headrace consume T | head -1` ends the pipe: that is no failure.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes; a cause that the text before it has told already is not told again.
pub(super) fn one_line(error: &anyhow::Error) -> String {
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
}
