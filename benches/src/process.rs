//! `headrace serve` as a process, and its CPU time and memory as Linux counts them (proc(5)).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long the binary may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// A running binary; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    http: u16,
}

impl Process {
    /// Starts `binary serve --config` with the file's directory as home of its log.
    pub fn start(binary: &Path, config: &Path, http: u16) -> Result<Self> {
        let log = std::fs::File::create(config.with_extension("log"))?;
        let child = Command::new(binary)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| {
                format!(
                    "starting {}: build it with `cargo build --release`",
                    binary.display()
                )
            })?;
        let mut process = Self { child, http };
        let started = Instant::now();
        while process.get("/health/ready").map(|(code, _)| code) != Some(200) {
            if let Some(status) = process.child.try_wait()? {
                bail!(
                    "the binary ended with {status}: {}",
                    std::fs::read_to_string(config.with_extension("log"))?
                );
            }
            if started.elapsed() > READY_TIMEOUT {
                bail!("the binary was not ready within {READY_TIMEOUT:?}");
            }
        }
        Ok(process)
    }

    /// GET on its HTTP listener: status code and body; `None` when nothing answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// User and system CPU seconds of the process since its start.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // fields 14 and 15, counted after the command name in parentheses
        let after = stat.rsplit_once(')').context("no command name in stat")?.1;
        let field = |n: usize| -> Result<f64> {
            Ok(after
                .split_whitespace()
                .nth(n)
                .context("a short stat line")?
                .parse()?)
        };
        Ok((field(11)? + field(12)?) / TICKS_PER_SECOND)
    }

    /// Memory of the process in MiB: `VmRSS` (now) or `VmHWM` (the most until now).
    pub fn memory_mib(&self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .context("no such line in status")?;
        let kib: f64 = line
            .split_whitespace()
            .nth(1)
            .context("a short line")?
            .parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // an error means that the process is gone already
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
