//! `headrace produce TOPIC`: each line of standard input becomes a record.
use std::collections::VecDeque;
use std::io::{BufRead as _, stdin};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use headrace_clients::{Compression, Delivery, Producer, ProducerOptions};
use tokio::sync::mpsc;

use super::Bootstrap;

/// Lines read ahead of the producer, and deliveries waited for together: enough to keep a broker busy.
const LINES_AHEAD: usize = 1024;
const DELIVERIES_AHEAD: usize = 10_000;

/// The command.
#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// Topic to write to; the broker creates it if it may.
    topic: String,
    /// Text between key and value; without it records have no key.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Partition to write to; without it the key decides.
    #[arg(long)]
    partition: Option<i32>,
    /// Compression of the batches.
    #[arg(long, value_enum, default_value_t = Codec::None)]
    compression: Codec,
    #[command(flatten)]
    at: Bootstrap,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
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
            ..ProducerOptions::default()
        };
        let producer = Producer::with(&self.at.client(), &options)?;
        let mut lines = read_lines();
        let mut underway: VecDeque<Delivery> = VecDeque::new();
        let mut count: u64 = 0;
        while let Some(line) = lines.recv().await {
            let line = line.context("standard input")?;
            let (key, value) = self.split(&line)?;
            underway.push_back(
                producer
                    .send_to(&self.topic, self.partition, key, Some(value), &[])
                    .await?,
            );
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
        eprintln!("produced {count} records to {}", self.topic);
        Ok(())
    }

    fn split<'a>(&self, line: &'a [u8]) -> anyhow::Result<(Option<&'a [u8]>, &'a [u8])> {
        let Some(separator) = self
            .key_separator
            .as_deref()
            .filter(|text| !text.is_empty())
        else {
            return Ok((None, line));
        };
        let separator = separator.as_bytes();
        match line
            .windows(separator.len())
            .position(|window| window == separator)
        {
            Some(at) => Ok((Some(&line[..at]), &line[at + separator.len()..])),
            None => bail!(
                "a line has no key separator: {:?}",
                String::from_utf8_lossy(&line[..line.len().min(80)])
            ),
        }
    }
}

/// Reads standard input on a thread of its own: a terminal blocks.
fn read_lines() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (send, lines) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in stdin().lock().split(b'\n') {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
