//! A broker alone, started from flags, and the command line against it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file compiles this module for itself and uses its part of it"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use headrace_servers::free_port;
use tempfile::TempDir;

/// Anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_mins(1);

pub fn headrace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headrace"));
    command.env("HEADRACE_LOG", "warn").stdin(Stdio::null());
    command
}

/// Looks until something is so.
pub fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    let (_keep, never) = mpsc::channel::<()>();
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "{what} took too long");
        assert!(
            never.recv_timeout(Duration::from_millis(10)).is_err(),
            "nobody sends"
        );
    }
}

/// A broker of its own, killed when dropped.
pub struct Broker {
    pub data: TempDir,
    pub listen: String,
    pub http: String,
    process: Option<Child>,
}

impl Broker {
    pub fn start() -> Broker {
        let mut broker = Broker::prepare();
        broker.resume();
        broker
    }

    /// A directory and ports; nothing runs yet.
    pub fn prepare() -> Broker {
        let address = || format!("127.0.0.1:{}", free_port().unwrap());
        Broker {
            data: tempfile::tempdir().unwrap(),
            listen: address(),
            http: address(),
            process: None,
        }
    }

    pub fn resume(&mut self) {
        let mut command = headrace();
        command.args(self.arguments());
        self.resume_by(command);
    }

    /// What follows `headrace` to start it.
    pub fn arguments(&self) -> Vec<String> {
        let data = self.data.path().to_str().unwrap();
        let arguments = [
            "serve",
            "--data",
            data,
            "--listen",
            &self.listen,
            "--http",
            &self.http,
        ];
        arguments.map(str::to_owned).to_vec()
    }

    /// Starts it by a command that becomes the broker's process.
    pub fn resume_by(&mut self, mut command: Command) {
        self.process = Some(command.spawn().unwrap());
        wait_until("the start", || {
            self.get("/health/ready")
                .is_some_and(|answer| answer.contains("200 OK"))
        });
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    pub fn signal(&mut self, signal: &str) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        let sent = Command::new("kill")
            .arg(signal)
            .arg(process.id().to_string())
            .status();
        assert!(sent.unwrap().success());
        process.wait().unwrap()
    }

    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.http).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Runs a command against this broker.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = headrace();
        command
            .args(arguments)
            .args(["--bootstrap", &self.listen])
            .stdin(Stdio::piped());
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        process.wait_with_output().unwrap()
    }

    /// The output of a command that must succeed.
    pub fn good(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The error line of a command that must fail.
    pub fn bad(&self, arguments: &[&str]) -> String {
        error_line(&self.run(arguments, ""))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// What a failed command says: its last line, which is the only one that starts with `error: `.
pub fn error_line(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it must fail: {told}");
    assert_eq!(
        told.lines()
            .filter(|line| line.starts_with("error: "))
            .count(),
        1,
        "{told}"
    );
    told.lines().last().unwrap().to_owned()
}
