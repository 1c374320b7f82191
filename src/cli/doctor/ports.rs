//! The addresses to listen on: free, served by a broker already, or held by something else.
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headrace_clients::{Admin, ClientConfig};
use tokio::time::timeout;

use super::Check;
use crate::cli::remote::Remote;

const BROKER: &str = "broker port";
const HTTP: &str = "http port";
/// What listens and does not answer within this is none of ours.
const PATIENCE: Duration = Duration::from_secs(3);

/// The broker's address; what answers there is asked who it is.
pub(super) async fn broker(listen: &str) -> Check {
    match bound(listen) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        other => return judge(BROKER, listen, other),
    }
    let client = ClientConfig::new(dialled(listen), "headrace-doctor");
    let cluster = async { Admin::new(&client)?.cluster_id().await };
    match timeout(PATIENCE, cluster).await {
        Ok(Ok(cluster)) => Check::ok(
            BROKER,
            format!("{listen}: a broker of cluster {cluster} answers"),
        ),
        _ => held(BROKER, listen),
    }
}

/// The address of HTTP; a server that answers there is asked for its state.
pub(super) async fn http(listen: &str) -> Check {
    match bound(listen) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        other => return judge(HTTP, listen, other),
    }
    let remote = Remote {
        http: dialled(listen),
    };
    match timeout(PATIENCE, remote.get("/v1/broker")).await {
        Ok(Ok(broker)) if broker["node_id"].is_number() => {
            let found = format!(
                "{listen}: a broker answers, advertised as {}",
                broker["advertised"].as_str().unwrap_or("?")
            );
            match broker["disk"]["appends"].as_str() {
                None | Some("all") => Check::ok(HTTP, found),
                Some(_) => Check::warn(
                    HTTP,
                    format!("{found}; it refuses records, because its disk is nearly full"),
                    "free space on the disk of its data directory",
                ),
            }
        }
        _ => held(HTTP, listen),
    }
}

fn bound(listen: &str) -> std::io::Result<()> {
    TcpListener::bind(listen).map(drop)
}

fn judge(about: &'static str, listen: &str, bound: std::io::Result<()>) -> Check {
    match bound {
        Ok(()) => Check::ok(about, format!("{listen} is free")),
        Err(error) => Check::fail(
            about,
            format!("{listen}: {error}"),
            "listen on an address that this machine has, as HOST:PORT, and on a port above 1023",
        ),
    }
}

fn held(about: &'static str, listen: &str) -> Check {
    let port = listen
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let holder = port.and_then(holder);
    let holder = holder.unwrap_or_else(|| "another process, which is not ours to see".to_owned());
    Check::fail(
        about,
        format!("{listen} is held by {holder}"),
        "stop it, or listen on another port",
    )
}

/// A wildcard is dialled at the loopback.
fn dialled(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("" | "0.0.0.0" | "[::]", port)) => format!("127.0.0.1:{port}"),
        _ => listen.to_owned(),
    }
}

/// The process that listens on a port, if we may see it.
fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok());
    let inodes: Vec<_> = tables.flat_map(|table| listeners(&table, port)).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let is_number = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.bytes().all(|byte| byte.is_ascii_digit())
    };
    // beside the numbers there are `self` and others
    let mut processes = processes.map(|entry| entry.path()).filter(is_number);
    processes.find_map(|process| {
        let has = has_socket(&process, &inodes);
        has.then(|| {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            let id = process
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            format!("{} (process {id})", name.trim())
        })
    })
}

fn has_socket(process: &Path, inodes: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|wanted| wanted == inode))
    })
}

/// The inodes of the sockets that listen on a port: column 2 is the address, 4 the state, 10 the inode.
fn listeners(table: &str, port: u16) -> Vec<String> {
    const LISTENS: &str = "0A";
    let suffix = format!(":{port:04X}");
    let listens = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let is_it = columns.get(1)?.ends_with(&suffix) && *columns.get(3)? == LISTENS;
        columns
            .get(9)
            .filter(|_| is_it)
            .map(|inode| (*inode).to_owned())
    };
    table.lines().skip(1).filter_map(listens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found_by_their_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n\
            1: 0100007F:2384 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1\n\
            2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4713 1\n";
        assert_eq!(listeners(table, 9092), ["4711"]);
        assert_eq!(listeners(table, 1), [""; 0]);
        assert_eq!(listeners("", 9092), [""; 0]);
    }

    #[test]
    fn the_process_that_holds_a_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let holder = holder(port).unwrap();
        assert!(
            holder.contains(&format!("(process {})", std::process::id())),
            "{holder}"
        );
    }

    #[test]
    fn a_wildcard_is_dialled_at_the_loopback() {
        assert_eq!(dialled("0.0.0.0:9092"), "127.0.0.1:9092");
        assert_eq!(dialled("10.0.0.1:9092"), "10.0.0.1:9092");
    }
}
