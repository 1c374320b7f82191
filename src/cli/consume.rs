//! `headrace consume TOPIC`: records on standard output, one line each.
use std::io::{BufWriter, Write, stdout};

use clap::Args;
use futures_util::FutureExt as _;
use headrace_clients::{Admin, GroupConsumer, Record, Start};
use serde_json::{Value, json};

use super::Bootstrap;
use crate::compose::stop_signal;

/// The command.
#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// Topic to read.
    topic: String,
    /// Start at the oldest record: of the topic, or for a group without offsets.
    #[arg(long)]
    from_beginning: bool,
    /// Read as a member of this group, and commit its offsets.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Show keys too, with this text between key and value.
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    key_separator: Option<String>,
    /// Show each record whole, as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Bootstrap,
}

impl Consume {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.at.client();
        let start = if self.from_beginning {
            Start::Beginning
        } else {
            Start::End
        };
        let topic = Admin::new(&client)?.describe_topic(&self.topic).await?;
        let consumer = match &self.group {
            Some(group) => GroupConsumer::join(&client, group, &self.topic, start)?,
            None => GroupConsumer::assign(&client, &self.topic, topic.partitions, start)?,
        };
        let mut out = BufWriter::new(stdout().lock());
        let mut stop = Box::pin(stop_signal()?);
        let mut shown = 0;
        while self.count.is_none_or(|count| shown < count) {
            let next = if let Some(next) = consumer.next().now_or_never() {
                next
            } else {
                out.flush()?;
                tokio::select! {
                    next = consumer.next() => next,
                    () = &mut stop => break,
                }
            };
            let (partition, record) = next?;
            self.show(&mut out, partition, &record)?;
            consumer.done(partition, &record)?;
            shown += 1;
        }
        out.flush()?;
        consumer.commit()?;
        Ok(())
    }

    fn show(&self, out: &mut impl Write, partition: i32, record: &Record) -> std::io::Result<()> {
        if self.json {
            return writeln!(out, "{}", whole(partition, record));
        }
        if let Some(separator) = &self.key_separator {
            out.write_all(record.key.as_deref().unwrap_or_default())?;
            out.write_all(separator.as_bytes())?;
        }
        out.write_all(record.value.as_deref().unwrap_or_default())?;
        out.write_all(b"\n")
    }
}

/// Bytes as text; what is no UTF-8 is shown with replacement characters.
fn whole(partition: i32, record: &Record) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = |(name, value): &(String, Option<_>)| json!([name, value.as_deref().map(text)]);
    json!({
        "partition": partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": record.key.as_deref().map(text),
        "value": record.value.as_deref().map(text),
        "headers": record.headers.iter().map(header).collect::<Vec<_>>(),
    })
}
