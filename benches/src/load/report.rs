//! The table: medians beside the goals, in Markdown, between two marks of `benches/RESULTS.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::outcome::{Figure, Outcome};
use super::peer::Peer;
use super::row::{Load, ROWS, Row};

/// Where the table begins and ends in the file.
const BEGIN: &str = "<!-- side by side: written by `make bench` -->\n";
const END: &str = "<!-- end of side by side -->\n";

/// What rows came to, by name.
pub type Outcomes = BTreeMap<&'static str, Outcome>;

/// Reads all rows that were kept in a directory.
pub fn read(dir: &Path) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    for row in ROWS {
        if let Some(outcome) = Outcome::read(&dir.join(row.name))? {
            outcomes.insert(row.name, outcome);
        }
    }
    Ok(outcomes)
}

/// What is aimed at, as factors between two peers.
struct Goals {
    cpu_of_floor: f64,
    rate_of_floor: f64,
    cpu_of_kafka: f64,
    rate_of_kafka: f64,
}

const PRODUCE: Goals = Goals {
    cpu_of_floor: 1.5,
    rate_of_floor: 0.85,
    cpu_of_kafka: 0.25,
    rate_of_kafka: 2.0,
};
const CONSUME: Goals = Goals {
    cpu_of_floor: 1.3,
    rate_of_floor: 0.85,
    cpu_of_kafka: 1.0,
    rate_of_kafka: 0.85,
};
/// At a fixed rate: p50 and p99 of the floor's, p99.9 of the floor's, p99 of Kafka's.
const LATENCY_OF_FLOOR: f64 = 1.5;
const TAIL_OF_FLOOR: f64 = 2.0;
const LATENCY_OF_KAFKA: f64 = 1.0 / 3.0;

/// The whole part of the file.
pub fn markdown(outcomes: &Outcomes) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "## Brokers side by side\n")?;
    writeln!(text, "{HOW}\n")?;
    writeln!(text, "![CPU seconds per GB of each broker](results.svg)\n")?;
    let produced = |row: &&Row| matches!(row.load, Load::Produce(_));
    let consumed = |row: &&Row| matches!(row.load, Load::Consume(..));
    let timed = |row: &&Row| matches!(row.load, Load::Latency(_));
    let rows = |wanted: &dyn Fn(&&Row) -> bool| -> Vec<&'static Row> {
        ROWS.iter().filter(wanted).collect()
    };
    writeln!(
        text,
        "**Produce, acks=all, idempotent; synced before the answer.**\n"
    )?;
    work(
        &mut text,
        &rows(&produced),
        Peer::Headrace,
        &PRODUCE,
        outcomes,
    )?;
    writeln!(
        text,
        "\n**The same, answered when written** (Headrace: topics with `write.caching=true`).\n"
    )?;
    work(
        &mut text,
        &rows(&produced),
        Peer::HeadraceCached,
        &PRODUCE,
        outcomes,
    )?;
    writeln!(text, "\n**Consume from the page cache.**\n")?;
    reading(&mut text, &rows(&consumed), outcomes)?;
    for (title, ours) in [
        ("synced before the answer", Peer::Headrace),
        ("answered when written", Peer::HeadraceCached),
    ] {
        writeln!(
            text,
            "\n**Milliseconds from send to acknowledgement at 5,000/s: p50 / p99 / p99.9, CPU of a core; {title}.**\n"
        )?;
        latency(&mut text, &rows(&timed), ours, outcomes)?;
    }
    writeln!(text, "\n**Nobody there.**\n")?;
    idle(&mut text, outcomes)?;
    writeln!(text, "\nWhere the rows are from: {}.", origins(outcomes))?;
    Ok(text)
}

const HOW: &str = "One librdkafka producer or consumer over loopback, records without keys, the brokers in turn on the same machine; \
medians of the rounds. `floor` is a do-nothing broker (`benches/src/floor`): it parses headers, checks the CRC, stamps offsets, writes and answers; \
*floor + sync* calls `fdatasync` once per produce. *Kafka* is 4.3.1 (heap 1 GiB, warmed with 3.5 M messages), *Kafka flush* the same with \
`log.flush.interval.messages=1`. A cell is MB/s of values, then CPU seconds of the broker's process per GB of values (of 100 B records: per million). \
A ratio in **bold** misses its goal, which the head of the column names. Client and broker share two cores, so a rate is also the client's; CPU repeats. \
How to run it: `make bench` (all), `make bench-row ROW=produce-1` (one row; `cargo run --release -p headrace-benches --bin load -- --list` names them).";

fn work(
    text: &mut String,
    rows: &[&'static Row],
    ours: Peer,
    goals: &Goals,
    outcomes: &Outcomes,
) -> Result<()> {
    work_between(
        text,
        rows,
        (ours.floor(), ours, ours.kafka()),
        goals,
        outcomes,
    )
}

/// Consuming does not depend on when a producer was answered.
fn reading(text: &mut String, rows: &[&'static Row], outcomes: &Outcomes) -> Result<()> {
    let peers = (Peer::Floor, Peer::Headrace, Peer::Kafka);
    work_between(text, rows, peers, &CONSUME, outcomes)
}

fn work_between(
    text: &mut String,
    rows: &[&'static Row],
    (floor, ours, kafka): (Peer, Peer, Peer),
    goals: &Goals,
    outcomes: &Outcomes,
) -> Result<()> {
    writeln!(
        text,
        "| | {} | {} | {} | CPU of floor's (<= {}) | rate of floor's (>= {}) | CPU of Kafka's (<= {}) | rate of Kafka's (>= {}) |\n|---|---|---|---|---|---|---|---|",
        title(floor),
        title(ours),
        title(kafka),
        goals.cpu_of_floor,
        goals.rate_of_floor,
        goals.cpu_of_kafka,
        goals.rate_of_kafka
    )?;
    for row in rows {
        let Some(outcome) = outcomes.get(row.name) else {
            continue;
        };
        let unit = cpu_unit(row);
        let cell = |peer| {
            let rate = outcome.median(peer, Figure::MbPerSecond);
            let cpu = outcome.median(peer, unit);
            rate.zip(cpu)
                .map_or_else(String::new, |(rate, cpu)| format!("{rate:.0}, {cpu:.2}"))
        };
        let ratio = |figure, to| Some(outcome.median(ours, figure)? / outcome.median(to, figure)?);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            row.title,
            cell(floor),
            cell(ours),
            cell(kafka),
            at_most(ratio(unit, floor), goals.cpu_of_floor),
            at_least(ratio(Figure::MbPerSecond, floor), goals.rate_of_floor),
            at_most(ratio(unit, kafka), goals.cpu_of_kafka),
            at_least(ratio(Figure::MbPerSecond, kafka), goals.rate_of_kafka),
        )?;
    }
    Ok(())
}

/// Small records are counted, large ones weighed.
pub(super) fn cpu_unit(row: &Row) -> Figure {
    match row.load {
        Load::Produce(shape) | Load::Consume(shape, _) if shape.record_bytes < 1024 => {
            Figure::CpuPerMillion
        }
        _ => Figure::CpuPerGb,
    }
}

/// What the table calls a peer.
pub(super) fn title(peer: Peer) -> &'static str {
    match peer {
        Peer::Headrace => "Headrace",
        Peer::HeadraceCached => "Headrace, write caching",
        Peer::Floor => "floor",
        Peer::FloorSync => "floor + sync",
        Peer::Kafka => "Kafka",
        Peer::KafkaFlush => "Kafka flush",
    }
}

fn at_most(ratio: Option<f64>, goal: f64) -> String {
    marked(ratio, |ratio| ratio <= goal)
}

fn at_least(ratio: Option<f64>, goal: f64) -> String {
    marked(ratio, |ratio| ratio >= goal)
}

fn marked(ratio: Option<f64>, met: impl Fn(f64) -> bool) -> String {
    match ratio {
        None => String::new(),
        Some(ratio) if met(ratio) => format!("{ratio:.2}"),
        Some(ratio) => format!("**{ratio:.2}**"),
    }
}

fn latency(
    text: &mut String,
    rows: &[&'static Row],
    ours: Peer,
    outcomes: &Outcomes,
) -> Result<()> {
    let peers = [ours.floor(), ours, ours.kafka()];
    let [floor, _, kafka] = peers;
    let heads = peers.map(title).join(" | ");
    writeln!(
        text,
        "| | {heads} | p50 of floor's (<= {LATENCY_OF_FLOOR}) | p99 (<= {LATENCY_OF_FLOOR}) | p99.9 (<= {TAIL_OF_FLOOR}) | p99 of Kafka's (<= {LATENCY_OF_KAFKA:.2}) |\n|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        let Some(outcome) = outcomes.get(row.name) else {
            continue;
        };
        let cell = |peer| -> Option<String> {
            let [p50, p99, p999, cpu] = [
                Figure::P50Ms,
                Figure::P99Ms,
                Figure::P999Ms,
                Figure::CpuPercent,
            ]
            .map(|figure| outcome.median(peer, figure));
            Some(format!(
                "{:.2} / {:.2} / {:.1}, {:.1} %",
                p50?, p99?, p999?, cpu?
            ))
        };
        let cells = peers.map(|peer| cell(peer).unwrap_or_default()).join(" | ");
        let ratio = |figure, to| Some(outcome.median(ours, figure)? / outcome.median(to, figure)?);
        writeln!(
            text,
            "| {} | {cells} | {} | {} | {} | {} |",
            row.title,
            at_most(ratio(Figure::P50Ms, floor), LATENCY_OF_FLOOR),
            at_most(ratio(Figure::P99Ms, floor), LATENCY_OF_FLOOR),
            at_most(ratio(Figure::P999Ms, floor), TAIL_OF_FLOOR),
            at_most(ratio(Figure::P99Ms, kafka), LATENCY_OF_KAFKA),
        )?;
    }
    Ok(())
}

/// What is told of a peer in an idle row.
const IDLE: [(&str, &str, Figure, &str); 8] = [
    (
        "idle-connections",
        "resident, MiB",
        Figure::MemoryMib,
        "256",
    ),
    (
        "idle-connections",
        "CPU, % of a core",
        Figure::CpuPercent,
        "1",
    ),
    ("idle-partitions", "resident, MiB", Figure::MemoryMib, "64"),
    (
        "idle-partitions",
        "CPU, % of a core",
        Figure::CpuPercent,
        "1",
    ),
    (
        "idle-partitions",
        "first start until it listens, ms",
        Figure::StartMs,
        "a fiftieth of Kafka's",
    ),
    (
        "idle-partitions",
        "making the topic, ms",
        Figure::CreatedMs,
        "",
    ),
    (
        "idle-partitions",
        "start after a clean stop until all have leaders, ms",
        Figure::RestartMs,
        "500",
    ),
    (
        "idle-partitions",
        "start after kill -9 until all have leaders, ms",
        Figure::RecoveryMs,
        "2,000",
    ),
];

fn idle(text: &mut String, outcomes: &Outcomes) -> Result<()> {
    writeln!(text, "| | Headrace | Kafka | goal |\n|---|---|---|---|")?;
    for (name, what, figure, goal) in IDLE {
        let row = super::row::find(name).context("a row of the table")?;
        let Some(outcome) = outcomes.get(name) else {
            continue;
        };
        let cell = |peer| {
            let median = outcome.median(peer, figure);
            let digits = usize::from(figure == Figure::CpuPercent) * 2;
            median.map_or_else(String::new, |value| format!("{value:.digits$}"))
        };
        writeln!(
            text,
            "| {}: {what} | {} | {} | {goal} |",
            row.title,
            cell(Peer::Headrace),
            cell(Peer::Kafka)
        )?;
    }
    Ok(())
}

/// Commit, day and conditions of the rows, those alike told once.
fn origins(outcomes: &Outcomes) -> String {
    let mut by_origin: BTreeMap<&str, (Vec<&str>, usize, f64)> = BTreeMap::new();
    for (name, outcome) in outcomes {
        let (names, rounds, others) =
            by_origin
                .entry(&outcome.origin)
                .or_insert((Vec::new(), usize::MAX, 0.0));
        names.push(name);
        *rounds = outcome.rounds().min(*rounds);
        *others = outcome
            .largest(Figure::OthersPercent)
            .unwrap_or(0.0)
            .max(*others);
    }
    let told = by_origin.into_iter().map(|(origin, (names, rounds, others))| {
        format!(
            "{} at {origin} ({rounds} rounds; others took at most {others:.0} % of a core, the kernel's writing included)",
            names.join(", ")
        )
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Puts the table between the marks of the file.
pub fn write(file: &Path, markdown: &str) -> Result<()> {
    let old = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (before, rest) = old
        .split_once(BEGIN)
        .with_context(|| format!("no line `{}` in {}", BEGIN.trim_end(), file.display()))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("no line `{}` in {}", END.trim_end(), file.display()))?;
    std::fs::write(file, format!("{before}{BEGIN}{markdown}{END}{after}"))?;
    Ok(())
}
