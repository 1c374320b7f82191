//! `headrace doctor`.
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::broker::{Broker, headrace};
use crate::json;

fn doctor(arguments: &[&str]) -> Output {
    headrace().arg("doctor").args(arguments).output().unwrap()
}

/// The grade of a check, and what was found.
fn check(checks: &Value, about: &str) -> (String, String) {
    let checks = checks.as_array().unwrap();
    let check = checks.iter().find(|check| check["about"] == about);
    let check = check.unwrap_or_else(|| panic!("nothing about {about}: {checks:?}"));
    let text = |name: &str| check[name].as_str().unwrap().to_owned();
    (text("grade"), text("found"))
}

fn checks(data: &Path, listen: &str, http: &str) -> (Output, Value) {
    let data = data.to_str().unwrap();
    let output = doctor(&["--data", data, "--listen", listen, "--http", http, "--json"]);
    let checks = json(std::str::from_utf8(&output.stdout).unwrap());
    (output, checks)
}

#[test]
fn a_free_place_is_well_and_a_held_port_is_named_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (output, checks) = checks(&folder.path().join("new"), &free, &address);
    assert_eq!(check(&checks, "broker port").0, "ok");
    let (grade, found) = check(&checks, "http port");
    assert_eq!(grade, "fail");
    let us = format!("(process {})", std::process::id());
    assert!(found.contains(&address) && found.contains(&us), "{found}");
    assert_eq!(output.status.code(), Some(2));
    let (grade, found) = check(&checks, "data directory");
    assert!(grade == "ok" && found.contains("will be made"), "{found}");
    assert!(!folder.path().join("new").exists(), "looking makes nothing");
    for about in [
        "free space",
        "file system",
        "descriptors",
        "mappings",
        "huge pages",
        "clock",
        "versions",
    ] {
        assert!(!check(&checks, about).1.is_empty(), "{about}");
    }
}

#[test]
fn a_running_broker_is_known_by_its_cluster() {
    let broker = Broker::start();
    let (_, checks) = checks(broker.data.path(), &broker.listen, &broker.http);
    for (about, sign) in [
        ("broker port", "a broker of cluster"),
        ("http port", "advertised as"),
        ("data directory", "in use by a running broker"),
    ] {
        let (grade, found) = check(&checks, about);
        assert!(grade == "ok" && found.contains(sign), "{about}: {found}");
    }
}

#[test]
fn a_wrong_file_and_a_directory_that_is_none_fail() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headrace.toml");
    std::fs::write(&file, "[broker]\nlisten = \n").unwrap();
    let output = doctor(&[
        "--config",
        file.to_str().unwrap(),
        "--data",
        file.to_str().unwrap(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("headrace.toml:2"), "{text}");
    assert!(text.contains("is no directory"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("fail ")), "{text}");
}
