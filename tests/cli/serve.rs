//! `headrace serve`: how a start is refused, and how a stop keeps what was written.
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use headrace_servers::free_port;

use crate::broker::{Broker, error_line, headrace};

/// A refused start takes no longer than this.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// Starts a server that must refuse, in a directory with a configuration file.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let begun = Instant::now();
    let output = headrace()
        .arg("serve")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(begun.elapsed() < REFUSED_WITHIN);
    error_line(&output)
}

fn refused_file(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("headrace.toml"), text).unwrap();
    refused(folder.path(), &["--config", "headrace.toml"])
}

#[test]
fn errors_of_the_file_name_file_and_line() {
    for (text, expected) in [
        ("[broker]\nlisten = \n", "error: headrace.toml:2: "),
        ("[broker]\n\nlisten = 9092\n", "error: headrace.toml:3: "),
        (
            "[http]\nlistne = \"x\"\n",
            "error: headrace.toml:2: unknown key `listne`; did you mean `listen`?",
        ),
        (
            "[brokers]\n",
            "error: headrace.toml:1: unknown key `brokers`; did you mean `broker`?",
        ),
        (
            "[broker]\nlisten = \"0.0.0.0:1\"\n",
            "error: headrace.toml:2: `broker.listen`: 0.0.0.0:1 is every address",
        ),
    ] {
        let told = refused_file(text);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn a_bad_expression_is_refused_at_its_line() {
    let told = refused_file(
        "[source.s]\nmysql = \"mysql://h\"\ntables = [\"d.t\"]\n[target.c]\nredis = \"redis://h\"\n\
         [view.v]\nfrom = \"d.t\"\nto = \"c\"\nkey = \"k:{id}\"\nwhere = \"a = 1\"\n",
    );
    assert!(
        told.starts_with("error: headrace.toml:10: `view.v.where`: "),
        "{told}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let told = refused(folder.path(), &["--config", "nowhere.toml"]);
    assert!(
        told.starts_with("error: nowhere.toml: the configuration file cannot be read"),
        "{told}"
    );
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let told = refused(
        folder.path(),
        &["--data", "d", "--listen", &taken, "--http", "127.0.0.1:0"],
    );
    assert!(
        told.contains(&taken) && told.contains("choose another"),
        "{told}"
    );
    let told = refused(
        folder.path(),
        &["--data", "d", "--listen", "127.0.0.1:0", "--http", &taken],
    );
    assert!(told.contains(&taken) && told.contains("--http"), "{told}");
}

#[test]
fn a_second_process_on_a_data_directory_is_refused() {
    let broker = Broker::start();
    let data = broker.data.path().to_str().unwrap();
    let told = refused(
        broker.data.path(),
        &[
            "--data",
            data,
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ],
    );
    assert!(
        told.contains(data) && told.contains("another process"),
        "{told}"
    );
    assert!(broker.get("/health/live").unwrap().contains("200 OK"));
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("d"), "").unwrap();
    let told = refused(
        folder.path(),
        &[
            "--data",
            "d",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ],
    );
    assert!(told.contains('d'), "{told}");
}

#[test]
fn addresses_that_others_reach_must_be_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let told = refused(
        folder.path(),
        &[
            "--data",
            "d",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "0.0.0.0:0",
        ],
    );
    assert!(
        told.contains("0.0.0.0:0") && told.contains("--insecure"),
        "{told}"
    );
    let told = refused(
        folder.path(),
        &[
            "--data",
            "d",
            "--listen",
            "0.0.0.0:0",
            "--http",
            "127.0.0.1:0",
        ],
    );
    assert!(told.contains("advertised"), "{told}");
}

#[test]
fn a_source_that_cannot_be_reached_at_its_first_start_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let text = format!(
        "[broker]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [source.shop]\nmysql = \"mysql://cdc@127.0.0.1:{port}\"\ntables = [\"d.t\"]\n"
    );
    std::fs::write(folder.path().join("headrace.toml"), text).unwrap();
    let told = refused(folder.path(), &["--config", "headrace.toml"]);
    assert!(
        told.contains("shop") && told.contains(&port.to_string()),
        "{told}"
    );
}

#[test]
fn both_signals_stop_in_order_and_nothing_is_lost() {
    let mut broker = Broker::start();
    for (signal, line) in [("-TERM", "first\n"), ("-INT", "second\n")] {
        broker.good(&["produce", "t"], line);
        assert!(broker.signal(signal).success());
        broker.resume();
    }
    let read = broker.good(&["consume", "t", "--from-beginning", "--count", "2"], "");
    assert_eq!(read, "first\nsecond\n");
}
