//! A private MariaDB or MySQL with a binlog as Headrace needs it.
//!
//! The data directory is made once per flavor, below the directory of the programs, and copied for each server: that
//! takes a tenth of the time of making it anew.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::child::{ServerProcess, free_port, greets};
use crate::programs::Programs;

/// What makes the administrator reachable over TCP; it stays out of the binlog.
const ADMINISTRATOR: &str = "SET sql_log_bin=0;
CREATE USER IF NOT EXISTS root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
";

/// Length of the shortest greeting a server sends before authentication.
const GREETING_BYTES: usize = 5;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// MariaDB.
    MariaDb,
    /// MySQL.
    MySql,
}

impl Flavor {
    fn server_program(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadbd",
            Self::MySql => "mysqld",
        }
    }
}

/// A database server on a free port, removed when dropped.
#[derive(Debug)]
pub struct Database {
    flavor: Flavor,
    programs: Programs,
    directory: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<ServerProcess>,
}

impl Database {
    /// Starts a server with row-based, full binlogs and GTIDs.
    pub fn start(flavor: Flavor) -> Result<Self> {
        Self::start_with(flavor, &Programs::find(), &[])
    }

    /// Starts a server with further or overriding arguments, such as `--binlog-row-metadata=MINIMAL`.
    pub fn start_with(flavor: Flavor, programs: &Programs, arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let template = template(flavor, programs)?;
        copy_directory(&template, &directory.path().join("data"))?;
        let mut database = Self {
            flavor,
            programs: programs.clone(),
            directory,
            port: free_port()?,
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            process: None,
        };
        database.resume()?;
        Ok(database)
    }

    /// Which server it is.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mysql://USER@127.0.0.1:PORT`.
    pub fn url(&self, user: &str) -> String {
        format!("mysql://{user}@127.0.0.1:{}", self.port)
    }

    /// Runs SQL as the administrator through the server's own client and returns what it printed (tab-separated rows).
    pub fn sql(&self, statements: &str) -> Result<String> {
        let program = match self.flavor {
            Flavor::MariaDb => "mariadb",
            Flavor::MySql => "mysql",
        };
        let mut command = Command::new(self.programs.path(program)?);
        command.args(["--no-defaults", "-N", "-B", "-h", "127.0.0.1", "-u", "root"]);
        command.args([
            "-P",
            &self.port.to_string(),
            "--default-character-set=utf8mb4",
            "-e",
            statements,
        ]);
        let output = succeeded(program, command.output()?)?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Kills the server (SIGKILL); its data stays for `resume`.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.kill(),
            None => bail!("this server does not run"),
        }
    }

    /// Stops the server in order; its data stays for `resume`.
    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.stop(),
            None => bail!("this server does not run"),
        }
    }

    /// Starts the server again on the same port and data.
    pub fn resume(&mut self) -> Result<()> {
        let path = self.directory.path();
        let mut command = server_command(self.flavor, &self.programs, &path.join("data"))?;
        command
            .arg(format!("--port={}", self.port))
            .arg(format!("--socket={}", path.join("s").display()))
            .arg(format!("--pid-file={}", path.join("pid").display()))
            .arg(format!("--log-bin={}", path.join("data/binlog").display()))
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--server-id=1",
            ])
            .args([
                "--binlog-format=ROW",
                "--binlog-row-image=FULL",
                "--binlog-row-metadata=FULL",
            ])
            .args([
                "--innodb-buffer-pool-size=128M",
                "--max-allowed-packet=256M",
            ]);
        match self.flavor {
            Flavor::MariaDb => {
                let init = path.join("init.sql");
                std::fs::write(&init, ADMINISTRATOR)?;
                command
                    .arg("--gtid-strict-mode=ON")
                    .arg(format!("--init-file={}", init.display()));
            }
            Flavor::MySql => {
                command.args([
                    "--gtid-mode=ON",
                    "--enforce-gtid-consistency=ON",
                    "--mysqlx=OFF",
                ]);
                command.args(["--secure-file-priv=", "--performance-schema=OFF"]);
            }
        }
        command.args(&self.arguments);
        let port = self.port;
        let ready = || greets(port, GREETING_BYTES);
        let name = self.flavor.server_program();
        self.process = Some(ServerProcess::start(
            name,
            command,
            &path.join("log"),
            ready,
        )?);
        Ok(())
    }
}

/// The server program on a data directory, under the user who runs it.
fn server_command(flavor: Flavor, programs: &Programs, data: &Path) -> Result<Command> {
    let mut command = Command::new(programs.path(flavor.server_program())?);
    command.arg(format!("--datadir={}", data.display()));
    if is_root(data) {
        command.arg("--user=root");
    }
    Ok(command)
}

/// Whether this process runs as root: both servers refuse root unless told so.
fn is_root(below: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let existing = below
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(below);
    let own = std::fs::metadata("/proc/self").map(|m| m.uid()).ok();
    own.or_else(|| std::fs::metadata(existing).map(|m| m.uid()).ok()) == Some(0)
}

/// The empty data directory of a flavor, made at the first call.
fn template(flavor: Flavor, programs: &Programs) -> Result<PathBuf> {
    let name = flavor.server_program();
    let server = programs.path(name)?;
    let parent = server
        .parent()
        .and_then(Path::parent)
        .context("the programs have no parent directory")?;
    let place = parent.join("templates").join(name);
    std::fs::create_dir_all(&place)?;
    let lock = File::create(place.join("lock"))?;
    lock.lock()?;
    let data = place.join("data");
    if data.is_dir() {
        return Ok(data);
    }
    let unfinished = place.join("unfinished");
    if unfinished.is_dir() {
        std::fs::remove_dir_all(&unfinished)?;
    }
    match flavor {
        Flavor::MariaDb => {
            let mut command = Command::new(programs.path("mariadb-install-db")?);
            command.arg(format!("--datadir={}", unfinished.display()));
            command.args([
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ]);
            if is_root(&unfinished) {
                command.arg("--user=root");
            }
            succeeded("mariadb-install-db", command.output()?)?;
        }
        Flavor::MySql => {
            let init = place.join("init.sql");
            std::fs::write(&init, ADMINISTRATOR)?;
            let mut command = server_command(flavor, programs, &unfinished)?;
            command
                .arg("--initialize-insecure")
                .arg(format!("--init-file={}", init.display()));
            succeeded("mysqld --initialize-insecure", command.output()?)?;
            // two servers of one template must not share their server_uuid
            std::fs::remove_file(unfinished.join("auto.cnf"))?;
        }
    }
    std::fs::rename(&unfinished, &data)?;
    Ok(data)
}

fn succeeded(what: &str, output: Output) -> Result<Output> {
    if !output.status.success() {
        bail!(
            "{what} failed with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
