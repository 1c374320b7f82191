//! `headrace serve` as a program under measurement, asked by its HTTP interface.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;

/// How long the binary may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// A running binary; killed when dropped.
#[derive(Debug)]
pub struct Process {
    server: Server,
    http: u16,
}

impl Process {
    /// Starts `binary serve --config`, with its log beside the file.
    pub fn start(binary: &Path, config: &Path, http: u16) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(config);
        let mut server = Server::start(&mut command, &config.with_extension("log"))
            .context("build it with `cargo build --release`")?;
        server.wait_until(READY_TIMEOUT, || {
            get(http, "/health/ready").map(|(code, _)| code) == Some(200)
        })?;
        Ok(Self { server, http })
    }

    /// GET on its HTTP listener: status code and body; `None` when nothing answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.http, path)
    }

    /// The process, to be measured.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends it as an operator does.
    pub fn stop(self) -> Result<()> {
        self.server.stop().map(drop)
    }
}

fn get(http: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", http)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
