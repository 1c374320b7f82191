//! Has brokers take turns at the rows of the table and writes it: `load [ROW ...]`, all rows without a name.
//!
//! Run it with `make bench` (or `make bench-row ROW=produce-1`), which builds the binaries beside it first.
#![allow(clippy::print_stdout, reason = "a command that prints its results")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Parser;
use headrace_benches::load::chart;
use headrace_benches::load::measure::Bench;
use headrace_benches::load::peer::{PEERS, Peer, Programs};
use headrace_benches::load::report;
use headrace_benches::load::row::{self, ROWS, Row};
use headrace_storage::fs::raise_descriptor_limit;

/// Fewer are no median.
const ROUNDS: u32 = 3;

/// Measures brokers beside each other; a row is kept for the table when all its peers took part, three times or more.
#[derive(Parser)]
struct Arguments {
    /// Rows to measure; all of them if none is named.
    rows: Vec<String>,
    /// Only these peers, separated by commas; the row is then printed, not kept.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// How often each peer takes its turn.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: u32,
    /// How much of the warming of Java brokers is done, in percent.
    #[arg(long, default_value_t = 100)]
    warm: u64,
    /// Name the rows and peers, and measure nothing.
    #[arg(long)]
    list: bool,
    /// Write the table from what was kept, and measure nothing.
    #[arg(long)]
    report: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.list {
        for row in ROWS {
            let peers: Vec<_> = row.peers.iter().map(|peer| peer.name()).collect();
            println!("{:<20} {} ({})", row.name, row.title, peers.join(", "));
        }
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kept = root.join("target/bench/rows");
    std::fs::create_dir_all(&kept)?;
    if !arguments.report {
        measure(&arguments, &root, &kept)?;
    }
    let outcomes = report::read(&kept)?;
    let markdown = report::markdown(&outcomes)?;
    report::write(&root.join("benches/RESULTS.md"), &markdown)?;
    std::fs::write(root.join("benches/results.svg"), chart::svg(&outcomes)?)?;
    println!("{markdown}");
    Ok(())
}

fn measure(arguments: &Arguments, root: &Path, kept: &Path) -> Result<()> {
    let rows = rows(&arguments.rows)?;
    let peers = peers(&arguments.peers)?;
    // as many connections as a row opens, and some more
    raise_descriptor_limit();
    let origin = origin(root)?;
    let mut bench = Bench::new(programs(root)?, arguments.rounds, arguments.warm);
    for row in rows {
        let outcome = bench.row(row, &peers, &origin, &mut |said| println!("{said}"))?;
        let whole = row.peers.iter().all(|peer| peers.contains(peer));
        if whole && arguments.rounds >= ROUNDS {
            outcome.keep(&kept.join(row.name))?;
        }
    }
    Ok(())
}

fn rows(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let found = names
        .iter()
        .map(|name| row::find(name).with_context(|| format!("no row '{name}': --list names them")));
    found.collect()
}

fn peers(names: &[String]) -> Result<Vec<Peer>> {
    if names.is_empty() {
        return Ok(PEERS.to_vec());
    }
    let found = names.iter().map(|name| {
        Peer::find(name).with_context(|| format!("no peer '{name}': --list names them"))
    });
    found.collect()
}

/// The programs lie beside this one, as cargo builds them.
fn programs(root: &Path) -> Result<Programs> {
    let here = std::env::current_exe()?;
    let beside = |name: &str| -> Result<PathBuf> {
        let path = here.with_file_name(name);
        if !path.exists() {
            bail!("{} is missing: `make bench` builds it", path.display());
        }
        Ok(path)
    };
    let data = root.join("target/bench/data");
    std::fs::create_dir_all(&data)?;
    Ok(Programs {
        headrace: beside("headrace")?,
        floor: beside("floor")?,
        kafka: root.join("target/kafka/lib"),
        data: data.canonicalize()?,
    })
}

/// The commit and the day.
fn origin(root: &Path) -> Result<String> {
    let said = |program: &str, arguments: &[&str]| -> Result<String> {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(root)
            .output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let commit = said("git", &["rev-parse", "--short", "HEAD"])?;
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"])?;
    let mark = if changed.is_empty() {
        ""
    } else {
        " and changes"
    };
    Ok(format!("{commit}{mark}, {}", said("date", &["+%F"])?))
}
