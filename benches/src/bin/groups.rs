//! Many small consumer groups that only live: what does a broker pay for their heartbeats?
//!
//! `groups ADDRESS PID [--members 10000] [--groups 1000] [--beat-ms 3000] [--seconds 30]`
//!
//! Each member has a connection of its own, joins its group with the classic protocol and sends heartbeats. When
//! all are settled (every group has its members, and nobody was told to join again for a while) the CPU time of the
//! process PID is taken over so many seconds. It speaks plain frames, so any broker can be measured:
//! give it a limit of more descriptors than members (`ulimit -n`), and the broker too.
#![allow(clippy::print_stdout, reason = "a command that prints its results")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use headrace_protocol::consumer_protocol::{ConsumerProtocolSubscription, encode_versioned};
use headrace_protocol::find_coordinator::FindCoordinatorRequest;
use headrace_protocol::header::{decode_response_frame, encode_request_frame};
use headrace_protocol::heartbeat::HeartbeatRequest;
use headrace_protocol::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use headrace_protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use headrace_protocol::{ErrorCode, Request, Str};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;
/// Connections that are being opened at a time: fewer than a listener's backlog.
const CONNECTING: usize = 64;
/// What members ask for; the shortest that clients use by default is 10 s.
const SESSION_MS: i32 = 45_000;
/// How long a group waits for its members.
const REBALANCE_MS: i32 = 60_000;
/// Between two tries to find a coordinator.
const FIND_AGAIN: Duration = Duration::from_millis(200);
/// All must be settled within this time.
const SETTLED_WITHIN: Duration = Duration::from_mins(5);

/// What is measured.
struct Plan {
    address: SocketAddr,
    pid: u32,
    members: usize,
    groups: usize,
    beat: Duration,
    span: Duration,
}

/// What all members count.
#[derive(Default)]
struct Counts {
    /// Members that have their part of an assignment.
    settled: AtomicU64,
    /// Joins that were answered with a generation.
    joins: AtomicU64,
    /// Heartbeats that were answered without an error.
    beats: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let plan = plan(std::env::args().skip(1))?;
    let counts = Arc::new(Counts::default());
    let connecting = Arc::new(Semaphore::new(CONNECTING));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..plan.members {
        let member = Member {
            group: format!("group-{}", number % plan.groups).into(),
            address: plan.address,
            // spread over the interval, as members that were started by people are
            first_beat: plan.beat.mul_f64(fraction(number, plan.members)),
            beat: plan.beat,
            counts: Arc::clone(&counts),
        };
        let connecting = Arc::clone(&connecting);
        tasks.spawn(async move { member.live(&connecting).await });
    }
    let measured = async {
        settle(&plan, &counts).await?;
        measure(&plan, &counts).await
    };
    tokio::select! {
        result = measured => result,
        ended = tasks.join_next() => match ended {
            Some(Ok(Err(error))) => Err(error.context("a member ended")),
            other => bail!("a member ended: {other:?}"),
        },
    }
}

fn fraction(part: usize, whole: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(part) / number(whole.max(1))
}

fn plan(mut words: impl Iterator<Item = String>) -> Result<Plan> {
    let usage = "groups ADDRESS PID [--members N] [--groups N] [--beat-ms N] [--seconds N]";
    let address = words.next().context(usage)?.parse()?;
    let pid = words.next().context(usage)?.parse()?;
    let mut plan = Plan {
        address,
        pid,
        members: 10_000,
        groups: 1_000,
        beat: Duration::from_secs(3),
        span: Duration::from_secs(30),
    };
    while let Some(name) = words.next() {
        let value = words.next().context(usage)?;
        match name.as_str() {
            "--members" => plan.members = value.parse()?,
            "--groups" => plan.groups = value.parse()?,
            "--beat-ms" => plan.beat = Duration::from_millis(value.parse()?),
            "--seconds" => plan.span = Duration::from_secs(value.parse()?),
            _ => bail!("unknown option {name}; {usage}"),
        }
    }
    Ok(plan)
}

/// Waits until every member is in and nobody has joined during three intervals of heartbeats.
async fn settle(plan: &Plan, counts: &Counts) -> Result<()> {
    let begun = Instant::now();
    let members = u64::try_from(plan.members)?;
    let mut joins = 0;
    loop {
        sleep(plan.beat * 3).await;
        let (settled, now) = (
            counts.settled.load(Ordering::Relaxed),
            counts.joins.load(Ordering::Relaxed),
        );
        println!("{settled} of {members} members settled, {now} joins");
        if settled == members && now == joins {
            return Ok(());
        }
        ensure!(begun.elapsed() < SETTLED_WITHIN, "the groups do not settle");
        joins = now;
    }
}

async fn measure(plan: &Plan, counts: &Counts) -> Result<()> {
    let beats = counts.beats.load(Ordering::Relaxed);
    let (begun, cpu) = (Instant::now(), cpu_seconds(plan.pid)?);
    sleep(plan.span).await;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds(plan.pid)? - cpu);
    let beats = counts.beats.load(Ordering::Relaxed) - beats;
    let beats = f64::from(u32::try_from(beats)?);
    println!(
        "{} members in {} groups: {:.1} % of a core, {:.0} heartbeats/s, {:.1} us of CPU each, {:.1} MiB resident",
        plan.members,
        plan.groups,
        100.0 * cpu / seconds,
        beats / seconds,
        1e6 * cpu / beats.max(1.0),
        resident_mib(plan.pid)?,
    );
    Ok(())
}

fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the name before may hold spaces; user and system time are the 14th and 15th field
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks
        .map(str::parse::<f64>)
        .sum::<Result<_, _>>()
        .context("times in stat")?;
    Ok(ticks / TICKS_PER_SECOND)
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("VmRSS in status")?.parse::<f64>()? / 1024.0)
}

/// One member of a group, on a connection of its own.
struct Member {
    group: Str,
    address: SocketAddr,
    first_beat: Duration,
    beat: Duration,
    counts: Arc<Counts>,
}

impl Member {
    /// Joins and sends heartbeats until the broker does something that it should not.
    async fn live(self, connecting: &Semaphore) -> Result<()> {
        let mut connection = {
            let _permit = connecting.acquire().await?;
            let mut connection = Connection::open(self.address).await?;
            self.find(&mut connection).await?;
            connection
        };
        let mut member_id = Str::default();
        loop {
            let joined = self.join(&mut connection, member_id).await?;
            member_id = joined.member_id.clone();
            if self.sync(&mut connection, &joined).await? {
                self.counts.settled.fetch_add(1, Ordering::Relaxed);
                self.beat(&mut connection, &joined).await?;
                self.counts.settled.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    async fn find(&self, connection: &mut Connection) -> Result<()> {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![self.group.clone()],
            ..FindCoordinatorRequest::default()
        };
        loop {
            let found = connection.ask(4, &request).await?;
            if found.coordinators.iter().all(|one| one.error_code.is_ok()) {
                return Ok(());
            }
            sleep(FIND_AGAIN).await;
        }
    }

    async fn join(&self, connection: &mut Connection, member_id: Str) -> Result<JoinGroupResponse> {
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["topic".into()],
            ..ConsumerProtocolSubscription::default()
        };
        let mut request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            member_id,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: encode_versioned(&subscription, 1)?,
            }],
            ..JoinGroupRequest::default()
        };
        loop {
            let response = connection.ask(7, &request).await?;
            match response.error_code {
                ErrorCode::NONE => {
                    self.counts.joins.fetch_add(1, Ordering::Relaxed);
                    return Ok(response);
                }
                ErrorCode::MEMBER_ID_REQUIRED => request.member_id = response.member_id,
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::REBALANCE_IN_PROGRESS => sleep(FIND_AGAIN).await,
                code => bail!("join of {}: {code}", &*self.group),
            }
        }
    }

    /// Whether the member has its part; if not, it must join again.
    async fn sync(&self, connection: &mut Connection, me: &JoinGroupResponse) -> Result<bool> {
        let part = |member_id: &Str| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: Bytes::from_static(b"a part of the topic"),
        };
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: me.generation_id,
            member_id: me.member_id.clone(),
            assignments: me.members.iter().map(|one| part(&one.member_id)).collect(),
            ..SyncGroupRequest::default()
        };
        match connection.ask(3, &request).await?.error_code {
            ErrorCode::NONE => Ok(true),
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => Ok(false),
            code => bail!("sync of {}: {code}", &*self.group),
        }
    }

    /// Sends heartbeats until the group rebalances.
    async fn beat(&self, connection: &mut Connection, me: &JoinGroupResponse) -> Result<()> {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: me.generation_id,
            member_id: me.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        let mut next = Instant::now() + self.first_beat;
        loop {
            sleep_until(next).await;
            next += self.beat;
            match connection.ask(3, &request).await?.error_code {
                ErrorCode::NONE => self.counts.beats.fetch_add(1, Ordering::Relaxed),
                ErrorCode::REBALANCE_IN_PROGRESS => return Ok(()),
                code => bail!("heartbeat of {}: {code}", &*self.group),
            };
        }
    }
}

/// A connection that asks one thing at a time.
struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            correlation_id: 0,
        })
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let client = Some("groups".into());
        let frame = encode_request_frame(self.correlation_id, client, version, request)?;
        self.stream.write_all(&frame.concat()).await?;
        let length = self.stream.read_i32().await.context("no answer")?;
        let mut frame = vec![0; usize::try_from(length)?];
        self.stream.read_exact(&mut frame).await?;
        let (_, response) = decode_response_frame::<R>(frame.into(), version)?;
        Ok(response)
    }
}
