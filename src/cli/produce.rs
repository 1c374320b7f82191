//! `headrace produce TOPIC`: each line of standard input, or of a file, becomes a record.
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use headrace_clients::{
    Acks, AdminError, Compression, Delivery, NewRecord, Producer, ProducerOptions,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::output::Asked;
use super::progress::Progress;
use super::record::{Format, Reading, Told};

/// Lines read ahead of the producer, and deliveries waited for together: enough to keep a broker busy.
const LINES_AHEAD: usize = 1024;
const DELIVERIES_AHEAD: usize = 10_000;

/// The command.
#[derive(Debug, Args)]
#[command(after_help = "\
A line of --format json is an object: key, value, headers [[name, value], ...], partition, timestamp_ms. Bytes are a
string, or {\"base64\": \"...\"}, or null. `headrace consume --format json` prints such lines.

Examples:
  echo '42:paid' | headrace produce orders --key-separator :
  echo '{\"key\": \"42\", \"value\": null}' | headrace produce orders --format json
  headrace produce orders --file orders.txt --header origin=import --compression zstd")]
pub(crate) struct Produce {
    /// Topic to write to; the broker creates it if it may.
    topic: String,
    /// Read lines from this file instead of standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How a record stands in a line.
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// Text between key and value; without it records have no key.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Key of every record.
    #[arg(long, value_name = "TEXT", conflicts_with = "key_separator")]
    key: Option<String>,
    /// A header of every record; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// A key or value that reads so is null; a null value is a tombstone.
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    /// Partition to write to; without it a JSON line or the key decides.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Let the keys decide, whatever partition the JSON lines name.
    #[arg(long, conflicts_with = "partition")]
    repartition: bool,
    /// What the broker has done when a record counts as written; less than all may lose or repeat records.
    #[arg(long, value_enum, default_value_t = Safety::All)]
    acks: Safety,
    /// Compression of the batches.
    #[arg(long, value_enum, default_value_t = Codec::None)]
    compression: Codec,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Safety {
    /// The record is as safe as the topic promises.
    All,
    /// It is written.
    #[value(name = "1")]
    One,
    /// Nothing: there is no answer.
    #[value(name = "0")]
    Zero,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Safety> for Acks {
    fn from(safety: Safety) -> Acks {
        match safety {
            Safety::All => Acks::All,
            Safety::One => Acks::One,
            Safety::Zero => Acks::None,
        }
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Compression {
        match codec {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        }
    }
}

impl Produce {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let options = ProducerOptions {
            compression: self.compression.into(),
            acks: self.acks.into(),
            ..ProducerOptions::default()
        };
        let reading = self.reading()?;
        let (mut lines, progress) = self.lines()?;
        // a producer waits for a broker for ever; a person wants to know
        match self.asked.at.admin()?.describe_topic(&self.topic).await {
            Ok(_) | Err(AdminError::UnknownTopic(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let producer = Producer::with(&self.asked.at.client(), &options)?;
        let mut underway: VecDeque<Delivery> = VecDeque::new();
        let mut count: u64 = 0;
        while let Some(line) = lines.recv().await {
            let line = line.with_context(|| self.source())?;
            let told = reading.read(&line);
            let told = told.with_context(|| format!("line {} of {}", count + 1, self.source()))?;
            underway.push_back(self.send(&producer, &told).await?);
            progress.add(u64::try_from(line.len() + 1).unwrap_or(0));
            count += 1;
            if underway.len() >= DELIVERIES_AHEAD
                && let Some(oldest) = underway.pop_front()
            {
                oldest.await?;
            }
        }
        for delivery in underway {
            delivery.await?;
        }
        drop(progress);
        self.tell(count);
        Ok(())
    }

    fn tell(&self, count: u64) {
        let topic = &self.topic;
        if self.asked.output.is_json() {
            println!("{:#}", json!({ "topic": topic, "records": count }));
        } else {
            eprintln!("produced {count} records to {topic}");
        }
    }

    async fn send(&self, producer: &Producer, told: &Told) -> anyhow::Result<Delivery> {
        let common = self.headers.iter();
        let common = common.map(|(name, value)| (name.as_str(), Some(value.as_bytes())));
        let own = told.headers.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_deref()));
        let headers: Vec<_> = own.chain(common).collect();
        let told_partition = told.partition.filter(|_| !self.repartition);
        let record = NewRecord {
            partition: self.partition.or(told_partition),
            timestamp_ms: told.timestamp_ms,
            key: self
                .key
                .as_deref()
                .map(str::as_bytes)
                .or(told.key.as_deref()),
            value: told.value.as_deref(),
            headers: &headers,
        };
        Ok(producer.send_record(&self.topic, record).await?)
    }

    fn reading(&self) -> anyhow::Result<Reading> {
        if self.format == Format::Json && (self.key_separator.is_some() || self.null.is_some()) {
            let told =
                "--format json names keys and nulls itself: leave out --key-separator and --null";
            return Err(super::exit::Usage(told.to_owned()).into());
        }
        if self.format != Format::Json && self.repartition {
            let told = "--repartition is for --format json: other lines name no partition";
            return Err(super::exit::Usage(told.to_owned()).into());
        }
        Ok(Reading {
            format: self.format,
            key_separator: self.key_separator.clone(),
            null: self.null.clone(),
        })
    }

    fn source(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => "standard input".to_owned(),
        }
    }

    /// The lines, and how far they are read.
    fn lines(&self) -> anyhow::Result<(mpsc::Receiver<std::io::Result<Vec<u8>>>, Progress)> {
        let Some(path) = &self.file else {
            return Ok((read_lines(|| BufReader::new(stdin())), Progress::hidden()));
        };
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.with_context(|| format!("cannot read {}", path.display()))?;
        let lines = read_lines(move || BufReader::new(file));
        Ok((lines, Progress::of_bytes(bytes)))
    }
}

/// Reads lines on a thread of its own: a terminal blocks.
fn read_lines<R: BufRead>(
    open: impl FnOnce() -> R + Send + 'static,
) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (send, lines) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in open().split(b'\n') {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a header is written NAME=VALUE".to_owned()),
    }
}
