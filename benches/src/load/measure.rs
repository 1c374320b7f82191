//! Brokers take turns at a row.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use super::client::{self, Done, Writer};
use super::idle;
use super::outcome::{Figure, Outcome};
use super::peer::{Broker, Peer, Programs};
use super::row::{Latency, Load, Produce, Row};
use crate::server::Server;

/// Records that a Java broker is warmed with: its compilers are done with the produce path after about so many.
const WARM_RECORDS: u64 = 3_500_000;
/// Written and removed before a run: a virtual machine's memory is backed only when it is first touched.
const TOUCH_CHUNK_BYTES: usize = 1 << 20;
/// Clock ticks per second in `/proc/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// All that runs, and what to do with it.
#[derive(Debug)]
pub struct Bench {
    programs: Programs,
    brokers: BTreeMap<Peer, Broker>,
    /// Topics that were written and not deleted yet: who wrote, what for, the name.
    topics: BTreeMap<(Peer, &'static str), String>,
    made: u32,
    warm_records: u64,
    rounds: u32,
}

/// What a process and the machine had used when counting began.
struct Begun {
    broker: f64,
    own: f64,
    machine: f64,
}

impl Bench {
    /// Nothing runs yet. `warm` is how much of the warming of Java brokers is done, in percent.
    pub fn new(programs: Programs, rounds: u32, warm: u64) -> Bench {
        Bench {
            programs,
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            made: 0,
            warm_records: WARM_RECORDS * warm / 100,
            rounds,
        }
    }

    /// Measures a row with these of its peers; `tell` hears of every run.
    pub fn row(
        &mut self,
        row: &'static Row,
        peers: &[Peer],
        origin: &str,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Outcome> {
        let mut outcome = Outcome::new(origin.to_owned());
        let peers: Vec<Peer> = row
            .peers
            .iter()
            .copied()
            .filter(|peer| peers.contains(peer))
            .collect();
        for round in 0..self.rounds {
            for at in 0..peers.len() {
                // who begins changes, so that nobody always runs behind the same other
                let peer = peers[(at + usize::try_from(round)?) % peers.len()];
                let said = self
                    .run(row, peer, &mut outcome)
                    .with_context(|| format!("{} of {}", row.name, peer.name()))?;
                tell(&format!(
                    "{} {}/{} {:<16} {said}",
                    row.name,
                    round + 1,
                    self.rounds,
                    peer.name()
                ));
            }
        }
        self.forget_topics()?;
        Ok(outcome)
    }

    fn run(&mut self, row: &'static Row, peer: Peer, outcome: &mut Outcome) -> Result<String> {
        match row.load {
            Load::Produce(shape) => {
                let (done, begun) = self.produce(peer, shape, row.name)?;
                self.counted(peer, done, &begun, outcome)
            }
            Load::Consume(shape, times) => self.consume(peer, shape, times, outcome),
            Load::Latency(shape) => self.latency(peer, shape, outcome),
            Load::IdleConnections(count) => {
                let broker = self.broker(peer)?;
                idle::connections(peer, broker, count, outcome)
            }
            Load::IdlePartitions(count) => idle::partitions(peer, &self.programs, count, outcome),
        }
    }

    /// The peer's broker; it is started, and warmed if it is Java, when it is first asked for.
    fn broker(&mut self, peer: Peer) -> Result<&Broker> {
        let program = peer.program();
        if !self.brokers.contains_key(&program) {
            let broker = Broker::start(program, &self.programs)?;
            self.brokers.insert(program, broker);
            if program.is_java() && self.warm_records > 0 {
                self.warm(program)?;
            }
        }
        self.brokers.get(&program).context("just started")
    }

    fn warm(&mut self, peer: Peer) -> Result<()> {
        let shape = Produce {
            records: self.warm_records,
            record_bytes: 1024,
            partitions: 1,
            compression: "none",
            batch_bytes: 1_000_000,
            linger: Duration::from_millis(5),
        };
        self.produce(peer, shape, "warm")?;
        let topic = self.topics[&(peer, "warm")].clone();
        let address = &self.brokers[&peer].address;
        client::consume(address, &topic, 1, self.warm_records)?;
        self.forget_topics()
    }

    /// Writes a new topic; the one that was written last for the same purpose goes.
    fn produce(
        &mut self,
        peer: Peer,
        shape: Produce,
        purpose: &'static str,
    ) -> Result<(Done, Begun)> {
        let bytes = shape.records * u64::try_from(shape.record_bytes)?;
        self.broker(peer)?;
        if let Some(old) = self.topics.remove(&(peer, purpose)) {
            client::delete_topic(&self.broker(peer)?.address, &old)?;
        }
        touch(&self.programs, bytes)?;
        let topic = self.new_topic(peer, shape.partitions)?;
        self.topics.insert((peer, purpose), topic.clone());
        let broker = self.broker(peer)?;
        let writer = Writer::start(&broker.address, &topic, shape)?;
        let begun = Begun::now(broker.server())?;
        Ok((writer.run()?, begun))
    }

    fn new_topic(&mut self, peer: Peer, partitions: i32) -> Result<String> {
        self.made += 1;
        let topic = format!("measured-{}", self.made);
        let broker = self.broker(peer)?;
        client::create_topic(&broker.address, &topic, partitions, peer.topic_settings())?;
        Ok(topic)
    }

    fn consume(
        &mut self,
        peer: Peer,
        shape: Produce,
        times: u32,
        outcome: &mut Outcome,
    ) -> Result<String> {
        if !self.topics.contains_key(&(peer, "read")) {
            self.produce(peer, shape, "read")?;
        }
        let topic = self.topics[&(peer, "read")].clone();
        let broker = self.broker(peer)?;
        let begun = Begun::now(broker.server())?;
        let mut all = Done::default();
        for _ in 0..times {
            let done = client::consume(&broker.address, &topic, shape.partitions, shape.records)?;
            all.records += done.records;
            all.bytes += done.bytes;
            all.elapsed += done.elapsed;
        }
        self.counted(peer, all, &begun, outcome)
    }

    fn latency(&mut self, peer: Peer, shape: Latency, outcome: &mut Outcome) -> Result<String> {
        let topic = self.new_topic(peer, 1)?;
        let broker = self.broker(peer)?;
        let begun = Begun::now(broker.server())?;
        let (micros, elapsed) = client::latency(&broker.address, &topic, shape)?;
        let (cpu, others) = begun.until(broker.server())?;
        let at = |per_mille: usize| f64::from(micros[(micros.len() - 1) * per_mille / 1000]) / 1e3;
        let seconds = elapsed.as_secs_f64();
        outcome.add(peer, Figure::P50Ms, at(500));
        outcome.add(peer, Figure::P99Ms, at(990));
        outcome.add(peer, Figure::P999Ms, at(999));
        outcome.add(peer, Figure::CpuPercent, 100.0 * cpu / seconds);
        outcome.add(peer, Figure::OthersPercent, 100.0 * others / seconds);
        client::delete_topic(&broker.address, &topic)?;
        Ok(format!(
            "p50 {:.2} p99 {:.2} p99.9 {:.2} ms, CPU {:.1} %, others {:.0} %",
            at(500),
            at(990),
            at(999),
            100.0 * cpu / seconds,
            100.0 * others / seconds
        ))
    }

    /// Figures of work that was done since counting began.
    fn counted(
        &mut self,
        peer: Peer,
        done: Done,
        begun: &Begun,
        outcome: &mut Outcome,
    ) -> Result<String> {
        let server = self.broker(peer)?.server();
        let (cpu, others) = begun.until(server)?;
        let memory = server.memory_mib("RssAnon")?;
        let seconds = done.elapsed.as_secs_f64();
        let gigabytes = float(done.bytes)? / 1e9;
        let millions = float(done.records)? / 1e6;
        outcome.add(peer, Figure::MbPerSecond, 1e3 * gigabytes / seconds);
        outcome.add(peer, Figure::CpuPerGb, cpu / gigabytes);
        outcome.add(peer, Figure::CpuPerMillion, cpu / millions);
        outcome.add(peer, Figure::MemoryMib, memory);
        outcome.add(peer, Figure::OthersPercent, 100.0 * others / seconds);
        Ok(format!(
            "{:6.0} MB/s, {:.3} CPU s/GB, {:.3} per million, {memory:.0} MiB, others {:.0} %",
            1e3 * gigabytes / seconds,
            cpu / gigabytes,
            cpu / millions,
            100.0 * others / seconds
        ))
    }

    fn forget_topics(&mut self) -> Result<()> {
        for ((peer, _), topic) in std::mem::take(&mut self.topics) {
            client::delete_topic(&self.brokers[&peer.program()].address, &topic)?;
        }
        Ok(())
    }
}

impl Begun {
    fn now(server: &Server) -> Result<Begun> {
        Ok(Begun {
            broker: server.cpu_seconds()?,
            own: own_seconds()?,
            machine: machine_seconds()?,
        })
    }

    /// CPU seconds since then: of the broker, and of everybody else but the load.
    fn until(&self, server: &Server) -> Result<(f64, f64)> {
        let broker = server.cpu_seconds()? - self.broker;
        let own = own_seconds()? - self.own;
        let all = machine_seconds()? - self.machine;
        Ok((broker, (all - own - broker).max(0.0)))
    }
}

/// CPU seconds of this process.
fn own_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').context("no command name in stat")?.1;
    let mut fields = after.split_whitespace().skip(11);
    let mut next = || -> Result<f64> { Ok(fields.next().context("a short line")?.parse()?) };
    Ok((next()? + next()?) / TICKS_PER_SECOND)
}

/// CPU seconds of all processes and of the kernel, without waiting.
fn machine_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("an empty /proc/stat")?;
    let fields: Result<Vec<f64>, _> = line.split_whitespace().skip(1).map(str::parse).collect();
    let fields = fields?;
    // user, nice, system, idle, iowait, irq, softirq
    let busy = [0, 1, 2, 5, 6].map(|at| fields.get(at).copied().unwrap_or(0.0));
    Ok(busy.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Makes the system back as much memory as the run will dirty.
fn touch(programs: &Programs, bytes: u64) -> Result<()> {
    let path = programs.data.join("touched");
    let mut file = File::create(&path)?;
    let chunk = vec![1; TOUCH_CHUNK_BYTES];
    for _ in 0..=bytes / u64::try_from(TOUCH_CHUNK_BYTES)? {
        file.write_all(&chunk)?;
    }
    std::fs::remove_file(path)?;
    Ok(())
}

/// A count as a floating-point number; counts here are far below 2^52.
pub(super) fn float(count: u64) -> Result<f64> {
    let (high, low) = (u32::try_from(count >> 32)?, count & u64::from(u32::MAX));
    Ok(f64::from(high) * 4_294_967_296.0 + f64::from(u32::try_from(low)?))
}
