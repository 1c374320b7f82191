//! `headrace view list|status|reset`.
use std::fmt::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::output::Output;
use super::remote::{Remote, segment};
use super::table::columns;

/// The commands on views.
#[derive(Debug, Subcommand)]
pub(crate) enum View {
    /// List views.
    #[command(after_help = "Example: headrace view list")]
    List(Shown),
    /// Show one view: state, watermark, lag, last error.
    #[command(after_help = "Example: headrace view status product_cache --json")]
    Status {
        /// Its name.
        name: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Delete what a view wrote, and build it again from the log.
    #[command(after_help = "Example: headrace view reset product_cache")]
    Reset {
        /// Its name.
        name: String,
        #[command(flatten)]
        shown: Shown,
    },
}

/// Where to ask, and how to show the answer.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    #[command(flatten)]
    at: Remote,
    #[command(flatten)]
    output: Output,
}

impl View {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            View::List(shown) => {
                let answer = shown.at.get("/v1/views").await?;
                let text = list(&answer)?;
                shown.output.show(&answer, || text);
            }
            View::Status { name, shown } => {
                let path = format!("/v1/views/{}", segment(&name));
                let answer = shown.at.get(&path).await?;
                let text = status(&answer)?;
                shown.output.show(&answer, || text);
            }
            View::Reset { name, shown } => {
                let path = format!("/v1/views/{}/reset", segment(&name));
                let answer = shown.at.post(&path).await?;
                let text =
                    format!("view {name} is reset and builds again from the start of the log\n");
                shown.output.show(&answer, || text);
            }
        }
        Ok(())
    }
}

/// The server answers with a list, or an object that holds it.
fn views(answer: &Value) -> anyhow::Result<&Vec<Value>> {
    answer
        .as_array()
        .or_else(|| answer["views"].as_array())
        .context("the server's answer has no views")
}

fn list(answer: &Value) -> anyhow::Result<String> {
    let row = |view: &Value| {
        [
            text(&view["name"]),
            text(&view["state"]),
            lag(view).to_string(),
            text(&view["applied"]),
            problem(view),
        ]
    };
    Ok(columns(
        ["VIEW", "STATE", "LAG", "APPLIED", "LAST ERROR"],
        views(answer)?.iter().map(row),
    ))
}

fn status(view: &Value) -> anyhow::Result<String> {
    let mut shown = format!(
        "view {}, state {}\n",
        text(&view["name"]),
        text(&view["state"])
    );
    for count in ["applied", "skipped_as_replay", "fenced", "lost_and_healed"] {
        writeln!(shown, "{count}: {}", text(&view[count]))?;
    }
    if !view["last_error"].is_null() {
        writeln!(shown, "last error: {}", problem(view))?;
        writeln!(shown, "next attempt: {} ms", text(&view["next_attempt_ms"]))?;
    }
    let partitions = view["partitions"]
        .as_array()
        .context("the server's answer has no partitions")?;
    let rows = partitions.iter().map(|partition| {
        let mark = &partition["watermark"];
        [
            &partition["partition"],
            &mark["epoch"],
            &mark["offset"],
            &mark["csn"],
            &partition["lag_records"],
        ]
        .map(text)
    });
    Ok(shown + &columns(["PARTITION", "EPOCH", "OFFSET", "CSN", "LAG"], rows))
}

fn lag(view: &Value) -> i64 {
    let partitions = view["partitions"].as_array();
    partitions
        .into_iter()
        .flatten()
        .filter_map(|partition| partition["lag_records"].as_i64())
        .sum()
}

fn problem(view: &Value) -> String {
    let error = &view["last_error"];
    let message = error["message"]
        .as_str()
        .or_else(|| error.as_str())
        .unwrap_or("-");
    match error["hint"].as_str() {
        Some(hint) => format!("{message}; {hint}"),
        None => message.to_owned(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_view_in_mismatch_shows_what_to_do() {
        let view = json!({
            "name": "cache", "state": "mismatch", "applied": 7, "skipped_as_replay": 0, "fenced": 0, "lost_and_healed": 0,
            "partitions": [{"partition": 0, "watermark": {"epoch": 1, "offset": 41, "csn": 5, "index": 0}, "lag_records": 3}],
            "last_error": {"code": "mismatch", "message": "another log", "hint": "headrace view reset cache"},
            "next_attempt_ms": null,
        });
        let listed = list(&json!([view])).unwrap();
        assert!(
            listed.ends_with(
                "cache  mismatch  3    7        another log; headrace view reset cache\n"
            ),
            "{listed}"
        );
        let shown = status(&view).unwrap();
        assert!(
            shown.contains("view cache, state mismatch")
                && shown.contains("0          1      41      5    3"),
            "{shown}"
        );
    }
}
