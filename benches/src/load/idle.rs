//! What a broker costs when nobody uses it: many connections, many partitions, and how long it takes to start with them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client;
use super::outcome::{Figure, Outcome};
use super::peer::{Broker, Peer, Programs};
use crate::server::wait_until;

/// Time for the work that making the connections or the topic began.
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// How long idleness is watched.
const WATCH_TIME: Duration = Duration::from_secs(10);
/// How long it may take until all partitions have leaders.
const LEADERS_LIMIT: Duration = Duration::from_mins(2);
/// How long one question for them may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);
const TOPIC: &str = "many";

/// ApiVersions, version 0, correlation id 1, no client id: what every client says first.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF];

/// Opens connections, shakes hands on each, and watches.
pub(super) fn connections(
    peer: Peer,
    broker: &Broker,
    count: usize,
    outcome: &mut Outcome,
) -> Result<String> {
    let before = broker.server().memory_mib("RssAnon")?;
    let mut open = Vec::with_capacity(count);
    for number in 0..count {
        let stream = handshake(&broker.address);
        open.push(stream.with_context(|| format!("connection {number}"))?);
    }
    wait_until(Instant::now() + SETTLE_TIME);
    let percent = watched(broker)?;
    // the last one is still served
    let last = open.last_mut().context("no connections")?;
    ask(last).context("after the wait")?;
    let memory = broker.server().memory_mib("RssAnon")?;
    outcome.add(peer, Figure::MemoryMib, memory);
    outcome.add(peer, Figure::CpuPercent, percent);
    Ok(format!(
        "{memory:.0} MiB ({before:.0} before), CPU {percent:.2} %"
    ))
}

fn handshake(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ASK_LIMIT))?;
    ask(&mut stream)?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(&API_VERSIONS)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length))?];
    stream.read_exact(&mut answer)?;
    if answer.get(..4) != Some(&API_VERSIONS[8..12]) {
        bail!("not the answer to ApiVersions");
    }
    Ok(())
}

/// CPU of a broker that nobody uses, in percent of a core.
fn watched(broker: &Broker) -> Result<f64> {
    let (started, before) = (Instant::now(), broker.server().cpu_seconds()?);
    wait_until(started + WATCH_TIME);
    let cpu = broker.server().cpu_seconds()? - before;
    Ok(100.0 * cpu / started.elapsed().as_secs_f64())
}

/// A new broker gets a topic, is left alone, stopped, started, killed and started.
pub(super) fn partitions(
    peer: Peer,
    programs: &Programs,
    count: i32,
    outcome: &mut Outcome,
) -> Result<String> {
    let broker = Broker::start(peer, programs)?;
    let start = broker.ready_after;
    let created = Instant::now();
    client::create_topic(&broker.address, TOPIC, count, peer.topic_settings())?;
    wait_for_leaders(&broker, count)?;
    let created = created.elapsed();
    wait_until(Instant::now() + SETTLE_TIME);
    let percent = watched(&broker)?;
    let memory = broker.server().memory_mib("RssAnon")?;
    let restart = |broker: Broker, killed: bool| -> Result<(Broker, Duration)> {
        let broker = if killed {
            broker.kill_and_restart()?
        } else {
            broker.restart()?
        };
        let asked = Instant::now();
        wait_for_leaders(&broker, count)?;
        let took = broker.ready_after + asked.elapsed();
        Ok((broker, took))
    };
    let (broker, clean) = restart(broker, false)?;
    let (_broker, killed) = restart(broker, true)?;
    let times = [
        (Figure::StartMs, start),
        (Figure::CreatedMs, created),
        (Figure::RestartMs, clean),
        (Figure::RecoveryMs, killed),
    ];
    for (figure, time) in times {
        outcome.add(peer, figure, 1e3 * time.as_secs_f64());
    }
    outcome.add(peer, Figure::CpuPercent, percent);
    outcome.add(peer, Figure::MemoryMib, memory);
    Ok(format!(
        "first start {start:.0?}, created {created:.0?}, CPU {percent:.2} %, {memory:.0} MiB, \
         restart {clean:.0?}, after kill -9 {killed:.0?}"
    ))
}

fn wait_for_leaders(broker: &Broker, count: i32) -> Result<()> {
    let (started, wanted) = (Instant::now(), usize::try_from(count)?);
    while client::partitions_led(&broker.address, TOPIC, ASK_LIMIT) < wanted {
        if started.elapsed() > LEADERS_LIMIT {
            bail!("not all partitions have leaders after {LEADERS_LIMIT:?}");
        }
    }
    Ok(())
}
