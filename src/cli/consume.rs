//! `headrace consume TOPIC`: records on standard output, one line each.
mod look;
mod tail;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write, stdout};

use clap::Args;
use futures_util::FutureExt as _;
use headrace_clients::{Admin, ClientConfig, Found, GroupConsumer, Record, Start, TopicPartition};

use super::Bootstrap;
use super::exit::Usage;
use super::place::{Bounds, Place};
use super::progress::Progress;
use super::record::Writing;
use crate::compose::stop_signal;

/// The most records that `--tail` keeps in memory before it shows them.
const TAIL_MAX: u32 = 100_000;

/// The command.
#[derive(Debug, Args)]
#[command(after_help = "\
Where to start: earliest, latest, an offset, or a time: @1700000000000, @2026-11-21T10:00:00Z, @-90m (so long ago).

Examples:
  headrace consume orders --from-beginning --until-end
  headrace consume orders --tail 10 --print partition,offset,timestamp,key,value
  headrace consume orders --offset @-1h --until-end --format json | headrace produce copy --format json")]
pub(crate) struct Consume {
    /// Topic to read.
    topic: String,
    /// Where to start, without it at what comes next; for a group without offsets only earliest or latest.
    #[arg(long, value_name = "WHERE")]
    offset: Option<Place>,
    /// Start at the oldest record: the same as --offset earliest.
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Read this partition only; may be repeated.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "group")]
    partition: Vec<i32>,
    /// Read as a member of this group, and commit its offsets.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop at the end that each partition has now.
    #[arg(long, conflicts_with = "group")]
    until_end: bool,
    /// Show the last N records, by time, and stop; with --follow, go on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(TAIL_MAX)),
          conflicts_with_all = ["group", "offset", "from_beginning", "until_end", "count"])]
    tail: Option<u32>,
    /// Go on with what comes next.
    #[arg(long, requires = "tail")]
    follow: bool,
    #[command(flatten)]
    look: look::Look,
    #[command(flatten)]
    at: Bootstrap,
}

impl Consume {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let writing = self.look.writing()?;
        let client = self.at.client();
        let admin = Admin::new(&client)?;
        let mut shown = Shown {
            out: BufWriter::new(stdout().lock()),
            writing,
            left: self.count.unwrap_or(u64::MAX),
        };
        if let Some(group) = &self.group {
            admin.describe_topic(&self.topic).await?;
            let consumer = GroupConsumer::join(&client, group, &self.topic, self.group_start()?)?;
            return follow(&consumer, &mut shown, Stop::never()).await;
        }
        let bounds = Bounds::ask(&admin, self.partitions(&admin).await?).await?;
        let starts = match self.tail {
            Some(count) => {
                tail::show(&client, &bounds, count, &mut shown).await?;
                if !self.follow {
                    return Ok(());
                }
                Place::Latest.find(&admin, &bounds).await?
            }
            None => self.start().find(&admin, &bounds).await?,
        };
        check(&starts, &bounds)?;
        self.read(&client, &starts, &bounds, &mut shown).await
    }

    async fn read(
        &self,
        client: &ClientConfig,
        starts: &BTreeMap<TopicPartition, i64>,
        bounds: &Bounds,
        shown: &mut Shown<impl Write>,
    ) -> anyhow::Result<()> {
        let stop = if self.until_end {
            Stop::at_ends(starts, bounds)
        } else {
            Stop::never()
        };
        if stop.is_reached() {
            return Ok(());
        }
        let from = starts.iter().map(|(place, from)| (place.partition, *from));
        let consumer = GroupConsumer::assign(client, &self.topic, from)?;
        follow(&consumer, shown, stop).await
    }

    fn start(&self) -> Place {
        if self.from_beginning {
            Place::Earliest
        } else {
            self.offset.unwrap_or(Place::Latest)
        }
    }

    fn group_start(&self) -> anyhow::Result<Start> {
        match self.start() {
            Place::Earliest => Ok(Start::Beginning),
            Place::Latest => Ok(Start::End),
            Place::Offset(_) | Place::Time(_) => {
                let told =
                    "a group starts at earliest or latest; move it with `headrace group reset`";
                Err(Usage(told.to_owned()).into())
            }
        }
    }

    async fn partitions(&self, admin: &Admin) -> anyhow::Result<Vec<TopicPartition>> {
        let partitions = admin.describe_topic(&self.topic).await?.partitions;
        let place = |partition| TopicPartition::new(&self.topic, partition);
        if self.partition.is_empty() {
            return Ok((0..partitions).map(place).collect());
        }
        if let Some(wrong) = self.partition.iter().find(|wanted| **wanted >= partitions) {
            let topic = &self.topic;
            anyhow::bail!(
                "topic {topic} has no partition {wrong}, but {partitions} of them, from 0"
            );
        }
        Ok(self.partition.iter().copied().map(place).collect())
    }
}

/// An offset that the log does not have is told before anything is read.
fn check(starts: &BTreeMap<TopicPartition, i64>, bounds: &Bounds) -> anyhow::Result<()> {
    for (place, from) in starts {
        let (start, end) = bounds.0[place];
        if *from < start || *from > end {
            anyhow::bail!("{place} has the offsets {start} to {end}, not {from}");
        }
    }
    Ok(())
}

/// Where the lines go, and how many still may.
struct Shown<W> {
    out: W,
    writing: Writing,
    left: u64,
}

impl<W: Write> Shown<W> {
    fn show(&mut self, partition: i32, record: &Record) -> std::io::Result<()> {
        self.left -= 1;
        self.writing.write(&mut self.out, partition, record)
    }
}

/// Which partitions are not read to the end yet; `None` where there is no end.
struct Stop {
    ends: Option<BTreeMap<i32, i64>>,
    progress: Progress,
}

impl Stop {
    fn never() -> Stop {
        Stop {
            ends: None,
            progress: Progress::hidden(),
        }
    }

    fn at_ends(starts: &BTreeMap<TopicPartition, i64>, bounds: &Bounds) -> Stop {
        let ends = bounds.0.iter().map(|(place, (_, end))| (place, *end));
        let ends: Vec<_> = ends.filter(|(place, end)| starts[place] < *end).collect();
        let offsets: i64 = ends.iter().map(|(place, end)| end - starts[place]).sum();
        let progress = if std::io::IsTerminal::is_terminal(&stdout()) {
            // the records themselves show how far it is
            Progress::hidden()
        } else {
            Progress::of(u64::try_from(offsets).unwrap_or(0), "records")
        };
        let ends = ends.iter().map(|(place, end)| (place.partition, *end));
        Stop {
            ends: Some(ends.collect()),
            progress,
        }
    }

    /// Whether this record lies before the end; the last one ends its partition.
    fn wants(&mut self, partition: i32, offset: i64) -> bool {
        self.progress.add(1);
        let Some(ends) = &mut self.ends else {
            return true;
        };
        let Some(end) = ends.get(&partition).copied() else {
            return false;
        };
        if offset + 1 >= end {
            ends.remove(&partition);
        }
        offset < end
    }

    /// Offsets before the end may hold no record: then the end is seen without a last one.
    fn end(&mut self, partition: i32) {
        if let Some(ends) = &mut self.ends {
            ends.remove(&partition);
        }
    }

    fn is_reached(&self) -> bool {
        self.ends.as_ref().is_some_and(BTreeMap::is_empty)
    }
}

/// Shows what comes, until there is enough, or a signal.
async fn follow(
    consumer: &GroupConsumer,
    shown: &mut Shown<impl Write>,
    mut stop: Stop,
) -> anyhow::Result<()> {
    let mut signal = Box::pin(stop_signal()?);
    while shown.left > 0 && !stop.is_reached() {
        let next = if let Some(next) = consumer.next().now_or_never() {
            next
        } else {
            shown.out.flush()?;
            tokio::select! {
                next = consumer.next() => next,
                () = &mut signal => break,
            }
        };
        match next? {
            Found::End(partition) => stop.end(partition),
            Found::Record(partition, record) => {
                if stop.wants(partition, record.offset) {
                    shown.show(partition, &record)?;
                    consumer.done(partition, &record)?;
                }
            }
        }
    }
    shown.out.flush()?;
    consumer.commit()?;
    Ok(())
}
