//! The real binary with a configuration file, in a directory of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use headrace_servers::free_port;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::wait_for;

/// How long the binary may take until `/health/ready`, also with a snapshot of the test's tables to begin.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// The binary: its directory, its ports, and the process while it runs. Dropping it kills the process.
#[derive(Debug)]
pub struct Headrace {
    pub directory: TempDir,
    pub port: u16,
    pub http: u16,
    /// Variables that the binary is started with, besides those of the test.
    pub environment: Vec<(&'static str, &'static str)>,
    process: Option<Child>,
}

impl Headrace {
    /// A directory and ports, and the configuration: `[broker]` and `[http]` come first, then `rest`.
    pub fn configure(rest: &str) -> Self {
        let headrace = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            port: free_port().expect("a free port"),
            http: free_port().expect("a free port"),
            environment: Vec::new(),
            process: None,
        };
        headrace.write_config(rest);
        headrace
    }

    /// Writes the configuration anew, for the next start.
    pub fn write_config(&self, rest: &str) {
        let text = format!(
            "[broker]\nlisten = \"127.0.0.1:{}\"\ndata = \"data\"\n\n[http]\nlisten = \"127.0.0.1:{}\"\n\n{rest}",
            self.port, self.http
        );
        std::fs::write(self.config_path(), text).expect("writing the configuration");
    }

    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("headrace.toml")
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the binary; does not wait.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .expect("the log file");
        let process = command()
            .arg("serve")
            .arg("--config")
            .arg(self.config_path())
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .expect("starting the binary");
        self.process = Some(process);
    }

    /// Starts the binary and waits until it is ready.
    pub fn start(&mut self) {
        self.spawn();
        wait_for("/health/ready", READY_TIMEOUT, || {
            if let Some(status) = self
                .process
                .as_mut()
                .and_then(|p| p.try_wait().expect("wait"))
            {
                panic!(
                    "the binary ended with {status} while starting:\n{}",
                    self.log_tail()
                );
            }
            (self.get("/health/ready")?.0 == 200).then_some(())
        });
    }

    /// Kills the binary (SIGKILL).
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("kill");
        process.wait().expect("wait");
    }

    /// Stops the binary in order (SIGTERM).
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        terminate(&process);
        process.wait().expect("wait")
    }

    /// GET; `None` when nothing answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        request(self.http, path)
    }

    /// GET of a JSON document that must be there.
    pub fn json(&self, path: &str) -> Json {
        let (status, body) = self.get(path).expect("the HTTP listener answers");
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// All that it printed, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The last lines of what it printed.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Headrace {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
        if std::thread::panicking() {
            let mut error = std::io::stderr();
            drop(writeln!(
                error,
                "--- last lines of headrace:\n{}",
                self.log_tail()
            ));
        }
    }
}

/// The binary's command, with its log level fixed.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headrace"));
    command.env("HEADRACE_LOG", "info");
    command
}

/// Sends SIGTERM.
pub fn terminate(process: &Child) {
    let status = Command::new("kill")
        .args(["-TERM", &process.id().to_string()])
        .status();
    assert!(status.expect("kill").success());
}

/// Runs the binary to its end and gives its exit code, output and errors.
pub fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command()
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("running the binary");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn request(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Some((
        status,
        if chunked {
            join_chunks(body)
        } else {
            body.to_owned()
        },
    ))
}

/// The body of a chunked answer (RFC 9112 section 7.1).
fn join_chunks(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || after.len() < size {
            break;
        }
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}
