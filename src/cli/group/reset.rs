//! `headrace group reset`: moves committed offsets, in the meaning of Kafka's own tool: nothing happens without
//! `--execute`, the group must be without running members, and a place beyond a partition becomes its nearest end.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use headrace_clients::{Admin, AdminError, TopicPartition};
use serde_json::{Value, json};

use super::places::Topics;
use crate::cli::output::Asked;
use crate::cli::place::{Bounds, Place, When, duration};
use crate::cli::table::columns;

pub(super) const EXAMPLES: &str = "\
WHERE is earliest, latest, current, an offset, or a time: @1700000000000, @2026-11-21T10:00:00Z, @-90m (so long ago);
a time means the first record with that time or a later one, and the end where there is none.

Examples:
  headrace group reset billing --topic orders --to earliest
  headrace group reset billing --topic orders:0,2 --shift-by -100 --execute
  headrace group reset billing --topic orders --by-duration 1h --execute";

#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Name of the group; one that is new is made.
    name: String,
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    target: Target,
    /// Do it; without this the new offsets are only shown.
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// To this place in each partition.
    #[arg(long, value_name = "WHERE", value_parser = to)]
    to: Option<To>,
    /// By so many records: -10 reads ten again, 10 skips ten.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first record of so long ago: 90s, 15m, 36h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    by_duration: Option<Duration>,
}

/// Where `--to` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Where the group is: commits it again, or the start where there is nothing.
    Current,
    There(Place),
}

/// The move of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    place: TopicPartition,
    from: Option<i64>,
    to: i64,
    /// Where it was to go, if the partition does not reach there.
    wanted: Option<i64>,
}

impl Reset {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = self.asked.at.admin()?;
        self.refuse_members(&admin).await?;
        let bounds = Bounds::ask(&admin, self.topics.existing(&admin).await?).await?;
        let committed = admin.committed(&self.name).await?;
        let moves = self.target.moves(&admin, &bounds, &committed).await?;
        if self.execute {
            let offsets = moves.iter().map(|one| (one.place.clone(), one.to));
            admin.commit_for(&self.name, &offsets.collect()).await?;
        }
        self.show(&moves);
        Ok(())
    }

    async fn refuse_members(&self, admin: &Admin) -> anyhow::Result<()> {
        match admin.group(&self.name).await {
            Ok(group) if group.members.is_empty() => Ok(()),
            Ok(group) => {
                let (name, count) = (&self.name, group.members.len());
                bail!(
                    "group {name} has running members ({count}), which would go on where they are; stop them first"
                )
            }
            Err(AdminError::UnknownGroup(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn show(&self, moves: &[Move]) {
        for one in moves {
            if let Some(wanted) = one.wanted {
                let (place, to) = (&one.place, one.to);
                eprintln!("{place} does not reach to offset {wanted}: {to} is taken");
            }
        }
        let document = |one: &Move| -> Value {
            json!({
                "topic": one.place.topic, "partition": one.place.partition,
                "from": one.from, "to": one.to,
            })
        };
        let documents: Vec<_> = moves.iter().map(document).collect();
        let document = json!({
            "group": self.name, "executed": self.execute, "offsets": documents,
        });
        self.asked.output.show(&document, || {
            let rows = moves.iter().map(|one| {
                let from = one
                    .from
                    .map_or_else(|| "-".to_owned(), |from| from.to_string());
                let place = &one.place;
                let partition = place.partition.to_string();
                [place.topic.clone(), partition, from, one.to.to_string()]
            });
            let mut text = columns(["TOPIC", "PARTITION", "FROM", "TO"], rows);
            if !self.execute {
                text += "nothing is changed yet: run it again with --execute\n";
            }
            text
        });
    }
}

impl Target {
    async fn moves(
        &self,
        admin: &Admin,
        bounds: &Bounds,
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> anyhow::Result<Vec<Move>> {
        let place = match (self.to, self.by_duration) {
            (Some(To::There(place)), _) => Some(place),
            (_, Some(ago)) => Some(Place::Time(When::Ago(ago))),
            _ => None,
        };
        if let Some(place) = place {
            let wanted = place.find(admin, bounds).await?;
            return Ok(moves(bounds, committed, |place| wanted[place]));
        }
        let shift = self.shift_by.unwrap_or(0);
        if self.shift_by.is_some()
            && let Some(place) = bounds.0.keys().find(|place| !committed.contains_key(place))
        {
            bail!("{place} has no committed offset to shift; use --to");
        }
        Ok(moves(bounds, committed, |place| {
            let at = committed.get(place).copied();
            at.map_or(bounds.0[place].0, |at| at.saturating_add(shift))
        }))
    }
}

fn moves(
    bounds: &Bounds,
    committed: &BTreeMap<TopicPartition, i64>,
    wanted: impl Fn(&TopicPartition) -> i64,
) -> Vec<Move> {
    let one = |(place, (start, end)): (&TopicPartition, &(i64, i64))| {
        let wanted = wanted(place);
        let to = wanted.clamp(*start, *end);
        Move {
            place: place.clone(),
            from: committed.get(place).copied(),
            to,
            wanted: (wanted != to).then_some(wanted),
        }
    };
    bounds.0.iter().map(one).collect()
}

fn to(text: &str) -> Result<To, String> {
    if text == "current" {
        return Ok(To::Current);
    }
    text.parse().map(To::There)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_beyond_the_partition_becomes_its_nearest_end() {
        let place = |partition| TopicPartition::new("t", partition);
        let bounds = Bounds([(place(0), (5, 10)), (place(1), (0, 100))].into());
        let committed = [(place(0), 7)].into();
        let moves = moves(&bounds, &committed, |_| 50);
        let shown: Vec<_> = moves
            .iter()
            .map(|one| (one.from, one.to, one.wanted))
            .collect();
        assert_eq!(shown, [(Some(7), 10, Some(50)), (None, 50, None)]);
    }
}
