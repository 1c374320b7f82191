//! What was measured: figures by peer, kept in a file per row, so that rows can be measured at different times.
//!
//! ```text
//! # 1a2b3c4 2026-11-21
//! floor <TAB> cpu_s_per_gb <TAB> 0.38 <TAB> 0.40 <TAB> 0.39
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::peer::Peer;

/// A kind of figure; its unit is in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Megabytes (10^6) of values per second.
    MbPerSecond,
    /// CPU seconds of the broker per gigabyte (10^9) of values.
    CpuPerGb,
    /// CPU seconds of the broker per million records.
    CpuPerMillion,
    /// Median milliseconds from send to acknowledgement.
    P50Ms,
    /// 99 of 100 are below.
    P99Ms,
    /// 999 of 1,000 are below.
    P999Ms,
    /// CPU of the broker in percent of a core.
    CpuPercent,
    /// CPU that neither broker nor load took, in percent of a core.
    OthersPercent,
    /// Resident memory without mapped files, in MiB.
    MemoryMib,
    /// Milliseconds until all partitions had leaders when the topic was made.
    CreatedMs,
    /// ... from the start after a clean stop.
    RestartMs,
    /// ... from the start after kill -9.
    RecoveryMs,
    /// Milliseconds from the start of the process to the first connection, with nothing stored.
    StartMs,
}

/// All figures with the names they are kept under.
const FIGURES: [(Figure, &str); 13] = [
    (Figure::MbPerSecond, "mb_per_second"),
    (Figure::CpuPerGb, "cpu_s_per_gb"),
    (Figure::CpuPerMillion, "cpu_s_per_million"),
    (Figure::P50Ms, "p50_ms"),
    (Figure::P99Ms, "p99_ms"),
    (Figure::P999Ms, "p999_ms"),
    (Figure::CpuPercent, "cpu_percent"),
    (Figure::OthersPercent, "others_percent"),
    (Figure::MemoryMib, "memory_mib"),
    (Figure::CreatedMs, "created_ms"),
    (Figure::RestartMs, "restart_ms"),
    (Figure::RecoveryMs, "recovery_ms"),
    (Figure::StartMs, "start_ms"),
];

impl Figure {
    fn name(self) -> &'static str {
        let found = FIGURES.iter().find(|(figure, _)| *figure == self);
        found.map_or("", |(_, name)| name)
    }

    fn find(name: &str) -> Option<Figure> {
        let found = FIGURES.iter().find(|(_, known)| *known == name);
        found.map(|(figure, _)| *figure)
    }
}

/// The figures of a row, of every round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Commit and day.
    pub origin: String,
    values: BTreeMap<(Peer, Figure), Vec<f64>>,
}

impl Outcome {
    /// An outcome without figures yet.
    pub fn new(origin: String) -> Outcome {
        Outcome {
            origin,
            values: BTreeMap::new(),
        }
    }

    /// Adds a round's figure.
    pub fn add(&mut self, peer: Peer, figure: Figure, value: f64) {
        self.values.entry((peer, figure)).or_default().push(value);
    }

    /// The median of the rounds.
    pub fn median(&self, peer: Peer, figure: Figure) -> Option<f64> {
        let mut values = self.values.get(&(peer, figure))?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The largest of all peers and rounds.
    pub fn largest(&self, figure: Figure) -> Option<f64> {
        let of_figure = self.values.iter().filter(|((_, one), _)| *one == figure);
        of_figure
            .flat_map(|(_, values)| values)
            .copied()
            .max_by(f64::total_cmp)
    }

    /// The rounds that were measured.
    pub fn rounds(&self) -> usize {
        self.values.values().map(Vec::len).max().unwrap_or(0)
    }

    /// Writes it to a file.
    pub fn keep(&self, file: &Path) -> Result<()> {
        let mut text = format!("# {}\n", self.origin);
        for ((peer, figure), values) in &self.values {
            write!(text, "{}\t{}", peer.name(), figure.name())?;
            for value in values {
                write!(text, "\t{value}")?;
            }
            text.push('\n');
        }
        std::fs::write(file, text).with_context(|| file.display().to_string())
    }

    /// Reads what was kept; `None` if there is no such file.
    pub fn read(file: &Path) -> Result<Option<Outcome>> {
        let Ok(text) = std::fs::read_to_string(file) else {
            return Ok(None);
        };
        let mut outcome = Outcome::default();
        for line in text.lines() {
            if let Some(origin) = line.strip_prefix("# ") {
                origin.clone_into(&mut outcome.origin);
                continue;
            }
            let mut fields = line.split('\t');
            let peer = fields.next().and_then(Peer::find);
            let figure = fields.next().and_then(Figure::find);
            let (Some(peer), Some(figure)) = (peer, figure) else {
                continue;
            };
            let values: Result<Vec<f64>, _> = fields.map(str::parse).collect();
            outcome.values.insert((peer, figure), values?);
        }
        Ok(Some(outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let mut outcome = Outcome::new("abc 2026-01-01".to_owned());
        for value in [3.0, 1.25, 2.0] {
            outcome.add(Peer::Floor, Figure::P99Ms, value);
        }
        outcome.add(Peer::KafkaFlush, Figure::MbPerSecond, 7.5);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        outcome.keep(file.path()).expect("written");
        let read = Outcome::read(file.path()).expect("read");
        assert_eq!(read.as_ref(), Some(&outcome));
        assert_eq!(outcome.median(Peer::Floor, Figure::P99Ms), Some(2.0));
    }
}
