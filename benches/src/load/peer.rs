//! The brokers that take turns, and how each is started: in a directory of its own, on free ports of 127.0.0.1.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use headrace_servers::free_port;

use crate::server::Server;

/// How long a broker may take until it listens.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// Options of Kafka's own start script, with a heap of 1 GiB.
const JAVA: [&str; 8] = [
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
/// The cluster id that Kafka's directory is formatted with; any 16 bytes in base64.
const CLUSTER_ID: &str = "aGVhZHJhY2UgYmVuY2hlcw";

/// A broker, or a way to use one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The release binary: a sync before every answer to acks=all.
    Headrace,
    /// The same with a topic of `write.caching=true`: answered when written.
    HeadraceCached,
    /// The do-nothing broker: answered when written.
    Floor,
    /// The same with a sync before every answer.
    FloorSync,
    /// Apache Kafka as it comes: answered when written.
    Kafka,
    /// The same with `log.flush.interval.messages=1`: a sync before every answer.
    KafkaFlush,
}

/// All peers, in the order of the table.
pub const PEERS: [Peer; 6] = [
    Peer::FloorSync,
    Peer::Headrace,
    Peer::KafkaFlush,
    Peer::Floor,
    Peer::HeadraceCached,
    Peer::Kafka,
];

impl Peer {
    /// How it is asked for and what the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Headrace => "headrace",
            Peer::HeadraceCached => "headrace-cached",
            Peer::Floor => "floor",
            Peer::FloorSync => "floor-sync",
            Peer::Kafka => "kafka",
            Peer::KafkaFlush => "kafka-flush",
        }
    }

    /// The peer of a name.
    pub fn find(name: &str) -> Option<Peer> {
        PEERS.into_iter().find(|peer| peer.name() == name)
    }

    /// The do-nothing broker that promises as much.
    #[must_use]
    pub fn floor(self) -> Peer {
        match self {
            Peer::Headrace | Peer::FloorSync | Peer::KafkaFlush => Peer::FloorSync,
            Peer::HeadraceCached | Peer::Floor | Peer::Kafka => Peer::Floor,
        }
    }

    /// The Kafka that promises as much.
    #[must_use]
    pub fn kafka(self) -> Peer {
        match self.floor() {
            Peer::FloorSync => Peer::KafkaFlush,
            _ => Peer::Kafka,
        }
    }

    /// Whose process it is.
    #[must_use]
    pub fn program(self) -> Peer {
        match self {
            Peer::HeadraceCached => Peer::Headrace,
            peer => peer,
        }
    }

    /// Settings of the topics that it is measured with.
    pub fn topic_settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Peer::HeadraceCached => &[("write.caching", "true")],
            _ => &[],
        }
    }

    /// Whether it gets faster with use.
    pub fn is_java(self) -> bool {
        matches!(self, Peer::Kafka | Peer::KafkaFlush)
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The binary under test.
    pub headrace: PathBuf,
    /// The do-nothing broker.
    pub floor: PathBuf,
    /// The directory with Kafka's jars.
    pub kafka: PathBuf,
    /// Where each broker gets a directory of its own.
    pub data: PathBuf,
}

/// A broker that runs.
#[derive(Debug)]
pub struct Broker {
    server: Server,
    command: BrokerCommand,
    /// `host:port` of its listener.
    pub address: String,
    /// From the start of the process until it took a connection.
    pub ready_after: Duration,
}

/// How it was started, to be started again.
#[derive(Debug)]
struct BrokerCommand {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

impl Broker {
    /// Prepares its directory and starts it.
    pub fn start(peer: Peer, programs: &Programs) -> Result<Broker> {
        let dir = tempfile::Builder::new()
            .prefix(peer.program().name())
            .tempdir_in(&programs.data)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let log = dir.path().join("log");
        let (program, arguments) = match peer.program() {
            Peer::Headrace | Peer::HeadraceCached => headrace(dir.path(), &address, programs)?,
            Peer::Floor => floor(dir.path(), &address, false, programs),
            Peer::FloorSync => floor(dir.path(), &address, true, programs),
            Peer::Kafka => kafka(dir.path(), &address, "", programs)?,
            Peer::KafkaFlush => kafka(
                dir.path(),
                &address,
                "log.flush.interval.messages=1\n",
                programs,
            )?,
        };
        let command = BrokerCommand {
            program,
            arguments,
            log,
            _dir: dir,
        };
        Broker::run(command, address)
    }

    fn run(command: BrokerCommand, address: String) -> Result<Broker> {
        let started = Instant::now();
        let mut program = Command::new(&command.program);
        program.args(&command.arguments);
        let mut server = Server::start(&mut program, &command.log)?;
        server.wait_until(READY_TIMEOUT, || TcpStream::connect(&address).is_ok())?;
        Ok(Broker {
            server,
            command,
            address,
            ready_after: started.elapsed(),
        })
    }

    /// The process, to be measured.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Stops it and starts it again on the same files.
    pub fn restart(self) -> Result<Broker> {
        let Broker {
            server,
            command,
            address,
            ..
        } = self;
        server.stop()?;
        Broker::run(command, address)
    }

    /// Kills it and starts it again on the same files.
    pub fn kill_and_restart(self) -> Result<Broker> {
        let Broker {
            server,
            command,
            address,
            ..
        } = self;
        drop(server);
        Broker::run(command, address)
    }
}

fn headrace(dir: &Path, address: &str, programs: &Programs) -> Result<(PathBuf, Vec<String>)> {
    let http = free_port()?;
    let text = format!(
        "[broker]\nlisten = \"{address}\"\ndata = \"data\"\nauto_create = false\n[http]\nlisten = \"127.0.0.1:{http}\"\n"
    );
    let config = dir.join("headrace.toml");
    std::fs::write(&config, text)?;
    let arguments = vec!["serve".into(), "--config".into(), path(&config)];
    Ok((programs.headrace.clone(), arguments))
}

fn floor(dir: &Path, address: &str, sync: bool, programs: &Programs) -> (PathBuf, Vec<String>) {
    let mut arguments = vec![
        "--listen".into(),
        address.into(),
        "--data".into(),
        path(dir),
    ];
    if sync {
        arguments.push("--sync".into());
    }
    (programs.floor.clone(), arguments)
}

fn kafka(
    dir: &Path,
    address: &str,
    settings: &str,
    programs: &Programs,
) -> Result<(PathBuf, Vec<String>)> {
    let controller = format!("127.0.0.1:{}", free_port()?);
    let mut properties = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers={controller}\n\
         listeners=PLAINTEXT://{address},CONTROLLER://{controller}\nadvertised.listeners=PLAINTEXT://{address}\n\
         inter.broker.listener.name=PLAINTEXT\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nnum.partitions=1\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\nshare.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\nauto.create.topics.enable=false\n\
         log.segment.delete.delay.ms=1000\n"
    );
    writeln!(properties, "log.dirs={}/logs", dir.display())?;
    properties.push_str(settings);
    let file = dir.join("server.properties");
    std::fs::write(&file, properties)?;
    let logging = dir.join("log4j2.yaml");
    std::fs::write(&logging, LOGGING)?;
    let common = [
        format!("-Dlog4j2.configurationFile={}", logging.display()),
        "-cp".into(),
        format!("{}/*", programs.kafka.display()),
    ];
    let formatted = Command::new("java")
        .arg("-Xmx256m")
        .args(&common)
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID])
        .args(["--standalone", "-c", &path(&file)])
        .output()
        .context("starting java: it is in the package default-jdk-headless")?;
    if !formatted.status.success() {
        let said = String::from_utf8_lossy(&formatted.stderr).into_owned();
        bail!("formatting Kafka's directory failed (scripts/kafka.sh fetches the jars): {said}");
    }
    let mut arguments: Vec<String> = JAVA.map(String::from).into();
    arguments.extend(common);
    arguments.extend(["kafka.Kafka".into(), path(&file)]);
    Ok(("java".into(), arguments))
}

/// Kafka's log: warnings, to where the process's words go.
const LOGGING: &str = "Configuration:\n  status: warn\n  appenders:\n    Console:\n      name: OUT\n  Loggers:\n    Root:\n      \
                       level: warn\n      AppenderRef:\n        ref: OUT\n";

fn path(of: &Path) -> String {
    of.display().to_string()
}
