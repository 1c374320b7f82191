//! `headrace topic delete-records`: moves the log start of partitions; there is no way back, so it asks.
use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};

use anyhow::bail;
use clap::{ArgGroup, Args};
use headrace_clients::{DeleteBefore, TopicPartition};
use serde_json::json;

use crate::cli::output::Asked;
use crate::cli::place::{Bounds, Place};
use crate::cli::table::columns;

pub(super) const EXAMPLES: &str = "\
WHERE is an offset or a time: @1700000000000, @2026-11-21T10:00:00Z, @-90m (so long ago). What is there stays.

Examples:
  headrace topic delete-records orders --before 1200 --partition 0
  headrace topic delete-records orders --before @-7d --yes
  headrace topic delete-records orders --all";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["before", "all"]))]
pub(crate) struct DeleteRecords {
    /// Name of the topic.
    name: String,
    /// Delete the records before this place.
    #[arg(long, value_name = "WHERE")]
    before: Option<Place>,
    /// Delete all records that there are now.
    #[arg(long)]
    all: bool,
    /// Only in this partition; may be repeated.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    asked: Asked,
}

impl DeleteRecords {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (name, admin) = (&self.name, self.asked.at.admin()?);
        let partitions = admin.describe_topic(name).await?.partitions;
        if let Some(wrong) = self.partition.iter().find(|wanted| **wanted >= partitions) {
            bail!("topic {name} has no partition {wrong}, but {partitions} of them, from 0");
        }
        let is_meant = |p: &i32| self.partition.is_empty() || self.partition.contains(p);
        let places = (0..partitions).filter(is_meant);
        let places = places.map(|partition| TopicPartition::new(name, partition));
        let bounds = Bounds::ask(&admin, places.collect()).await?;
        let before = self.before.unwrap_or(Place::Latest);
        let before = before.find(&admin, &bounds).await?;
        let count = records(&before, &bounds);
        if !self.yes && !confirmed(name, count)? {
            bail!("nothing is deleted");
        }
        let end = |(place, offset): (TopicPartition, i64)| {
            let before = if self.all {
                DeleteBefore::End
            } else {
                DeleteBefore::Offset(offset)
            };
            (place, before)
        };
        let deleted = admin
            .delete_records(&before.into_iter().map(end).collect())
            .await?;
        self.show(&deleted)
    }

    fn show(&self, deleted: &BTreeMap<TopicPartition, Result<i64, String>>) -> anyhow::Result<()> {
        let documents: Vec<_> = deleted
            .iter()
            .map(|(place, start)| {
                json!({
                    "partition": place.partition, "start": start.as_ref().ok(), "error": start.as_ref().err(),
                })
            })
            .collect();
        let document = json!({ "topic": self.name, "partitions": documents });
        self.asked.output.show(&document, || {
            let rows = deleted.iter().map(|(place, start)| {
                let start = match start {
                    Ok(start) => start.to_string(),
                    Err(_) => "-".to_owned(),
                };
                [place.partition.to_string(), start]
            });
            columns(["PARTITION", "START"], rows)
        });
        let failed: Vec<_> = deleted
            .iter()
            .filter_map(|(place, start)| Some(format!("{place}: {}", start.as_ref().err()?)))
            .collect();
        if !failed.is_empty() {
            bail!("{}", failed.join("; "));
        }
        Ok(())
    }
}

/// Offsets that go; there may be fewer records.
fn records(before: &BTreeMap<TopicPartition, i64>, bounds: &Bounds) -> i64 {
    let gone = before.iter().map(|(place, before)| {
        let (start, end) = bounds.0[place];
        (*before).min(end).saturating_sub(start).max(0)
    });
    gone.sum()
}

/// Asks a person; nobody else can answer.
fn confirmed(topic: &str, count: i64) -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        bail!(
            "{count} records of {topic} would be deleted for good; pass --yes to do it without being asked"
        );
    }
    eprint!("delete {count} records of {topic} for good? [y/N] ");
    stderr().flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_counted() {
        let place = |partition| TopicPartition::new("t", partition);
        let bounds = Bounds([(place(0), (5, 10)), (place(1), (0, 3))].into());
        assert_eq!(
            records(&[(place(0), 8), (place(1), 100)].into(), &bounds),
            6
        );
        assert_eq!(records(&[(place(0), 2)].into(), &bounds), 0);
    }
}
