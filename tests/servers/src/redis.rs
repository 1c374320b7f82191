//! A private Redis.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::child::{ServerProcess, free_port};
use crate::programs::Programs;

/// A Redis on a free port, without persistence, removed when dropped.
#[derive(Debug)]
pub struct Redis {
    programs: Programs,
    directory: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<ServerProcess>,
}

impl Redis {
    /// Starts a Redis with the server's own defaults.
    pub fn start() -> Result<Self> {
        Self::start_with(&Programs::find(), &[])
    }

    /// Starts a Redis with further arguments, such as `--maxmemory-policy allkeys-lru`.
    pub fn start_with(programs: &Programs, arguments: &[&str]) -> Result<Self> {
        let mut redis = Self {
            programs: programs.clone(),
            directory: tempfile::tempdir()?,
            port: free_port()?,
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            process: None,
        };
        redis.resume()?;
        Ok(redis)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills the server: all its data is gone.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.kill(),
            None => bail!("this Redis does not run"),
        }
    }

    /// Starts the server again on the same port (empty, unless it was given persistence).
    pub fn resume(&mut self) -> Result<()> {
        let mut command = Command::new(self.programs.path("redis-server")?);
        command
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.arguments);
        let port = self.port;
        let log = self.directory.path().join("log");
        self.process = Some(ServerProcess::start("redis-server", command, &log, || {
            answers_ping(port)
        })?);
        Ok(())
    }
}

/// Whether a Redis on this port answers PING.
fn answers_ping(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG"
}
