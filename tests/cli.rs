//! The command line as a user meets it: what each command prints, and how a start is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/broker.rs"]
mod broker;

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use broker::{Broker, error_line, headrace};
use headrace_servers::free_port;

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

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let broker = Broker::start();
    let created = broker.good(
        &[
            "topic",
            "create",
            "t",
            "--partitions",
            "3",
            "--config",
            "cleanup.policy=compact",
        ],
        "",
    );
    assert_eq!(created, "created t\n");
    assert_eq!(
        broker.bad(&["topic", "create", "t"]),
        "error: topic t exists already"
    );
    let list = broker.good(&["topic", "list"], "");
    assert!(
        list.lines().any(|line| line.starts_with("t      3 ")),
        "{list}"
    );
    let shown = broker.good(&["topic", "describe", "t"], "");
    assert!(
        shown.contains("partitions 3") && shown.contains("compact"),
        "{shown}"
    );
    assert!(
        broker
            .bad(&["topic", "create", "u", "--config", "no.such=1"])
            .starts_with("error: u: ")
    );
    assert_eq!(broker.good(&["topic", "delete", "t"], ""), "deleted t\n");
    assert_eq!(
        broker.bad(&["topic", "describe", "t"]),
        "error: topic t does not exist"
    );
    assert_eq!(
        broker.bad(&["topic", "delete", "t"]),
        "error: topic t does not exist"
    );
}

#[test]
fn lines_are_produced_and_consumed() {
    let broker = Broker::start();
    broker.good(&["topic", "create", "t", "--partitions", "1"], "");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        broker.good(
            &[
                "produce",
                "t",
                "--key-separator",
                ":",
                "--compression",
                codec,
            ],
            "a:1\nb:\n",
        );
    }
    let all = broker.good(
        &[
            "consume",
            "t",
            "--from-beginning",
            "--count",
            "10",
            "--key-separator",
            "=",
        ],
        "",
    );
    assert_eq!(all, "a=1\nb=\n".repeat(5));
    let json = broker.good(
        &["consume", "t", "--from-beginning", "--count", "1", "--json"],
        "",
    );
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&record["offset"], &record["key"], &record["value"]),
        (&0.into(), &"a".into(), &"1".into())
    );
    let told = error_line(&broker.run(&["produce", "t", "--key-separator", ":"], "no separator\n"));
    assert!(told.contains("key separator"), "{told}");
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let broker = Broker::start();
    broker.good(&["produce", "t"], "1\n2\n3\n4\n5\n");
    let consume = |count| {
        broker.good(
            &[
                "consume",
                "t",
                "--from-beginning",
                "--group",
                "g",
                "--count",
                count,
            ],
            "",
        )
    };
    assert_eq!(consume("2"), "1\n2\n");
    assert_eq!(consume("3"), "3\n4\n5\n");
    let list = broker.good(&["group", "list"], "");
    assert!(list.contains("g      Empty"), "{list}");
    let shown = broker.good(&["group", "describe", "g"], "");
    assert!(
        shown.ends_with("t      0          5          5    0\n"),
        "{shown}"
    );
    assert_eq!(
        broker.bad(&["group", "describe", "h"]),
        "error: group h does not exist"
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let broker = Broker::start();
    broker.good(&["produce", "t"], &"line\n".repeat(20_000));
    let mut command = headrace();
    command.args([
        "consume",
        "t",
        "--from-beginning",
        "--count",
        "20000",
        "--bootstrap",
        &broker.listen,
    ]);
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    process
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_server_that_does_not_run_is_named() {
    let port = free_port().unwrap().to_string();
    let address = format!("127.0.0.1:{port}");
    let told = error_line(
        &headrace()
            .args(["view", "list", "--http", &address])
            .output()
            .unwrap(),
    );
    assert!(
        told.contains(&address) && told.contains("headrace serve"),
        "{told}"
    );
    let told = error_line(
        &headrace()
            .args(["topic", "list", "--bootstrap", &address])
            .output()
            .unwrap(),
    );
    assert!(told.contains(&address), "{told}");
}

#[test]
fn a_broker_alone_has_no_views() {
    let broker = Broker::start();
    let output = headrace()
        .args(["view", "list", "--http", &broker.http])
        .output()
        .unwrap();
    assert!(output.status.success());
    let output = headrace()
        .args(["view", "reset", "nope", "--http", &broker.http])
        .output()
        .unwrap();
    assert!(error_line(&output).contains("nope"));
    assert!(
        broker
            .get("/nope")
            .unwrap()
            .contains(r#""code":"not_found""#)
    );
}
