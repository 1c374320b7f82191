//! A server process: started with its output in a file, waited for, stopped or killed.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a server may take until it answers. Ten times what the slowest needs on two busy cores.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a server may take to stop after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause between two looks at a starting or stopping server.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A port on 127.0.0.1 that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Waits `time` without a sleep call: parks on a channel that nobody writes to.
pub(crate) fn pause(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    match never.recv_timeout(time) {
        Ok(()) | Err(_) => {}
    }
}

/// A running server process. Dropping it kills the process.
#[derive(Debug)]
pub struct ServerProcess {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts `command` with its output in `log`, and waits until `ready` says so.
    pub fn start(
        name: &'static str,
        mut command: Command,
        log: &Path,
        ready: impl Fn() -> bool,
    ) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut process = Self {
            name,
            child,
            log: log.to_owned(),
        };
        let started = Instant::now();
        while !ready() {
            if let Some(status) = process.child.try_wait()? {
                bail!(
                    "{name} ended with {status} while starting:\n{}",
                    process.log_tail()
                );
            }
            if started.elapsed() > START_TIMEOUT {
                bail!(
                    "{name} did not answer within {START_TIMEOUT:?}:\n{}",
                    process.log_tail()
                );
            }
            pause(POLL_INTERVAL);
        }
        Ok(process)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    pub fn stop(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status()?;
        if !status.success() {
            bail!("kill -TERM {id} of {} failed", self.name);
        }
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_TIMEOUT {
                bail!("{} did not stop within {STOP_TIMEOUT:?}", self.name);
            }
            pause(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Kills the process (SIGKILL) and waits for it.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The last lines the process wrote.
    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // an error means that the process is gone already
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a server on this port sends `bytes` or more of a greeting.
pub(crate) fn greets(port: u16, bytes: usize) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let mut greeting = vec![0; bytes];
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .is_ok()
        && stream.read_exact(&mut greeting).is_ok()
}
