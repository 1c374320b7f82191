//! The files on disk as an operator meets them: `headrace log`, kills, damage, a disk that fills up.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/broker.rs"]
mod broker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use broker::{Broker, error_line, headrace, wait_until};
use serde_json::Value as Json;

/// Lines of about 1 KiB, numbered from `from`.
fn lines(from: u32, count: u32) -> String {
    let line = |number| format!("{number}:{}\n", "x".repeat(1000));
    (from..from + count).map(line).collect()
}

fn log(arguments: &[&str], path: &Path) -> Output {
    let mut command = headrace();
    let command = command
        .arg("log")
        .args(arguments)
        .arg(path)
        .stdin(Stdio::null());
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Every segment file below a data directory, by name.
fn segments(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for log in fs::read_dir(data.join("topics")).unwrap() {
        for file in fs::read_dir(log.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A topic of small segments, so that a few records make several.
fn small_segments(broker: &Broker) {
    let create = [
        "topic",
        "create",
        "t",
        "--partitions",
        "1",
        "--config",
        "segment.bytes=1048576",
    ];
    broker.good(&create, "");
}

#[test]
fn verify_finds_a_killed_brokers_log_sound_and_every_acknowledged_record_is_there() {
    let mut broker = Broker::start();
    small_segments(&broker);
    let mut written = 0;
    for _ in 0..4 {
        broker.good(&["produce", "t"], &lines(written, 1500));
        written += 1500;
        broker.signal("-KILL");
        let told = text(&log(&["verify"], broker.data.path()));
        assert!(told.contains("sound"), "{told}");
        assert!(!told.contains("DAMAGED"), "{told}");
        broker.resume();
    }
    let count = written.to_string();
    let read = broker.good(&["consume", "t", "--from-beginning", "--count", &count], "");
    let numbers = read
        .lines()
        .map(|line| line.split(':').next().unwrap().parse::<u32>().unwrap());
    assert!(numbers.eq(0..written));
}

#[test]
fn verify_names_file_and_byte_of_a_flipped_bit_and_fails() {
    let mut broker = Broker::start();
    small_segments(&broker);
    broker.good(&["produce", "t"], &lines(0, 3000));
    broker.signal("-TERM");
    assert!(log(&["verify"], broker.data.path()).status.success());
    let sealed = segments(broker.data.path()).remove(0);
    let mut bytes = fs::read(&sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&sealed, bytes).unwrap();
    let output = log(&["verify"], broker.data.path());
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let damaged = told
        .lines()
        .find(|line| line.starts_with("DAMAGED"))
        .expect("a line that says so");
    assert!(damaged.contains(sealed.to_str().unwrap()), "{damaged}");
    assert!(damaged.contains("checksum"), "{damaged}");
    assert!(
        error_line(&output).contains("1 damaged"),
        "{}",
        error_line(&output)
    );
}

#[test]
fn inspect_shows_frames_records_votes_and_index_entries() {
    let mut broker = Broker::start();
    small_segments(&broker);
    broker.good(&["produce", "t", "--key-separator", "|"], "one|1\ntwo|2\n");
    broker.good(&["produce", "t"], &lines(0, 1500));
    broker.signal("-TERM");
    let told = text(&log(&["inspect", "--records"], broker.data.path()));
    for part in [
        "segment header",
        "no-op",
        "batch",
        "ROLL",
        "key \"one\"",
        "value \"2\"",
        "term 1",
        ": index",
        ": checkpoint",
        "-0  offsets 0 to 1502, ",
    ] {
        assert!(told.contains(part), "{part} is missing");
    }
    let json = text(&log(
        &["inspect", "--records", "--json"],
        broker.data.path(),
    ));
    let values: Vec<Json> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let records = values
        .iter()
        .filter(|value| value["kind"] == "record")
        .count();
    assert_eq!(records, 1502);
    let unsound: Vec<&Json> = values
        .iter()
        .filter(|value| !value["unsound"].is_null())
        .collect();
    assert!(unsound.is_empty(), "{unsound:?}");
    let left = broker.data.path().join("checkpoint");
    let told = text(&log(&["inspect"], &left));
    assert!(told.contains("-0  offsets 0 to 1502, "), "{told}");
    fs::write(&left, "nonsense").unwrap();
    let told = text(&log(&["inspect"], &left));
    assert!(told.contains("recovered as after a crash"), "{told}");
}

#[test]
fn a_running_brokers_files_are_left_alone() {
    let broker = Broker::start();
    for command in ["inspect", "verify"] {
        let told = error_line(&log(&[command], broker.data.path()));
        assert!(told.contains("stop the broker first"), "{told}");
    }
    let nothing = tempfile::tempdir().unwrap();
    let told = error_line(&log(&["verify"], nothing.path()));
    assert!(told.contains("neither a data directory"), "{told}");
    let told = error_line(&log(&["inspect"], Path::new("no/such/file.log")));
    assert!(told.contains("no/such/file.log"), "{told}");
}

/// What is free at the least before appends are refused, on the small disk of the test.
const KEPT_FREE_BYTES: u64 = 16 << 20;

/// Leaves less than that of the 64 MiB, and more than half of it, which internal topics may still use.
const FILLER_BYTES: usize = 54 << 20;

/// A data directory on a file system of 64 MiB, in a mount namespace that ends with the broker.
fn on_a_small_disk(broker: &mut Broker) {
    let data = broker.data.path().to_str().unwrap().to_owned();
    let config = broker.data.path().with_extension("toml");
    let settings = format!(
        "[broker]\nlisten = \"{}\"\ndata = \"{data}\"\nfree_space_min_bytes = {KEPT_FREE_BYTES}\n\n[http]\nlisten = \"{}\"\n",
        broker.listen, broker.http
    );
    fs::write(&config, settings).unwrap();
    let script = "mount -t tmpfs -o size=64m tmpfs \"$1\" && exec \"$2\" serve --config \"$3\"";
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        script,
        "sh",
        &data,
    ]);
    command.args([env!("CARGO_BIN_EXE_headrace"), config.to_str().unwrap()]);
    command.env("HEADRACE_LOG", "warn").stdin(Stdio::null());
    broker.resume_by(command);
}

/// Whether this machine lets a test have a file system of its own.
fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /mnt",
    ]);
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_refuses_appends_serves_reads_and_heals_by_itself() {
    assert!(
        may_mount(),
        "this test needs user namespaces (or root): `unshare --mount --map-root-user` is refused here"
    );
    let mut broker = Broker::prepare();
    on_a_small_disk(&mut broker);
    small_segments(&broker);
    broker.good(&["produce", "t"], &lines(0, 100));

    let filler = format!(
        "/proc/{}/root{}/filler",
        broker.pid(),
        broker.data.path().display()
    );
    fs::write(&filler, vec![1; FILLER_BYTES]).unwrap();
    wait_until("the refusal", || {
        let health = broker.get("/health/ready").unwrap_or_default();
        health.contains("the disk is nearly full")
    });
    // a producer is told that it may try again, and does, until there is room
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| broker.good(&["produce", "t"], &lines(100, 1)));
        let all = ["consume", "t", "--from-beginning", "--count", "100"];
        assert_eq!(broker.good(&all, "").lines().count(), 100);
        let state = broker.get("/v1/broker").unwrap();
        assert!(state.contains("\"log_end\":100"), "{state}");
        assert!(!producing.is_finished());
        fs::remove_file(&filler).unwrap();
        producing.join().unwrap();
    });
    let all = ["consume", "t", "--from-beginning", "--count", "101"];
    let read = broker.good(&all, "");
    assert!(read.lines().last().unwrap().starts_with("100:"));
}
