//! A program under measurement: its process, and what Linux counted for it (proc(5)).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long a program may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at a program that starts or ends.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program; what it says goes to the file `log`, behind what is there.
    pub fn start(command: &mut Command, log: &Path) -> Result<Server> {
        let to = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(to.try_clone()?)
            .stderr(to)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let log = log.to_owned();
        Ok(Server { child, log })
    }

    /// Waits until `ready` says so; fails when the program ends first or takes longer than the limit.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                let said = std::fs::read_to_string(&self.log)?;
                bail!("the program ended with {status}: {said}");
            }
            if started.elapsed() > limit {
                bail!(
                    "the program was not ready within {limit:?}: see {}",
                    self.log.display()
                );
            }
            std::thread::park_timeout(POLL_INTERVAL);
        }
        Ok(())
    }

    /// User and system CPU seconds since its start, in steps of 10 ms.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // fields 14 and 15, counted after the command name in parentheses
        let after = stat.rsplit_once(')').context("no command name in stat")?.1;
        let field = |n: usize| -> Result<f64> {
            let value = after.split_whitespace().nth(n);
            Ok(value.context("a short stat line")?.parse()?)
        };
        Ok((field(11)? + field(12)?) / TICKS_PER_SECOND)
    }

    /// A line of `/proc/PID/status` in MiB: `VmRSS` (now), `VmHWM` (the most until now), `RssAnon` (without what
    /// is mapped of files, which is the page cache's).
    pub fn memory_mib(&self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: f64 = value.context("no such line in status")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// Ends it as an operator does, and waits for that.
    pub fn stop(mut self) -> Result<ExitStatus> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > STOP_TIMEOUT {
                bail!("the program did not end within {STOP_TIMEOUT:?}");
            }
            std::thread::park_timeout(POLL_INTERVAL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended by itself
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until a time; for work at a rate, and for watching what is idle.
pub fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
