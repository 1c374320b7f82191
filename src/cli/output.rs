//! One answer, as text for people or as one JSON document for programs.
use clap::Args;
use serde_json::Value;

use super::Bootstrap;

/// How an answer is shown.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Output {
    /// Show one JSON document.
    #[arg(long)]
    json: bool,
}

/// Whom to ask, and how to show the answer.
#[derive(Debug, Args)]
pub(super) struct Asked {
    #[command(flatten)]
    pub(super) at: Bootstrap,
    #[command(flatten)]
    pub(super) output: Output,
}

impl Output {
    /// Prints the document, or the text, which brings its own line ends.
    pub(super) fn show(self, document: &Value, text: impl FnOnce() -> String) {
        if self.json {
            println!("{document:#}");
        } else {
            print!("{}", text());
        }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }
}
