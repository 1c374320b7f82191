//! The architecture as a test: which crate may use which, what pure code must not touch, and how files are kept.
//!
//! The tables below are the design. Changing a line of them is a design change: say why in `docs/ARCHITECTURE.md`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of the workspace a crate may use: in product code, and in its tests.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("storage", &[], &[]),
    ("broker/protocol", &[], &[]),
    ("broker", &["headrace-storage", "headrace-protocol"], &[]),
    ("clients", &["headrace-protocol"], &[]),
    ("cdc", &["headrace-clients"], &["headrace-servers"]),
    ("connectors", &["headrace-clients"], &["headrace-servers"]),
    ("tests/servers", &[], &[]),
    (
        ".",
        &[
            "headrace-broker",
            "headrace-storage",
            "headrace-protocol",
            "headrace-clients",
            "headrace-cdc",
            "headrace-connectors",
            "headrace-servers",
        ],
        &[],
    ),
];

/// The one crate that may use anything.
const FREE_CRATE: &str = "benches";

/// What pure crates must not depend on: they decide or keep bytes, they do not run things.
const PURE_CRATES: &[(&str, &[&str])] = &[
    ("broker/protocol", &["tokio", "axum", "rdkafka", "rand"]),
    ("storage", &["tokio", "axum", "rdkafka", "rand"]),
];

/// Files that decide: they get time, randomness, network and disk as arguments.
const PURE_FILES: &[&str] = &[
    "broker/src/partition/core",
    "broker/src/partition/producers",
    "broker/src/coordinator/group",
    "broker/src/raft",
    "broker/src/controller",
    "broker/src/fetch_session/cache",
    "broker/src/fetch_session/session",
    "cdc/src/binlog/event",
    "cdc/src/binlog/rows",
    "cdc/src/binlog/value",
    "cdc/src/gtid.rs",
    "connectors/src/expression",
    "clients/src/change",
];

/// What pure files must not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "SystemTime",
    "Instant::now",
    "std::fs",
    "std::net",
    "std::thread",
    "rand::",
];

/// Names that say nothing about what is inside.
const FORBIDDEN_NAMES: &[&str] = &[
    "utils", "util", "common", "types", "helpers", "helper", "manager", "impl", "service", "misc",
];

/// The longest product part of a file (before its tests).
const PRODUCT_LINES_MAX: usize = 500;

/// Folders whose Rust files are held to the rules.
const SOURCE_FOLDERS: &[&str] = &[
    "src",
    "storage",
    "broker",
    "clients",
    "cdc",
    "connectors",
    "benches",
    "tests",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the workspace: path below the root, text.
fn rust_files() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in SOURCE_FOLDERS {
        walk(&root().join(folder), &mut found);
    }
    found.sort();
    assert!(
        found.len() > 50,
        "the walk found only {} files",
        found.len()
    );
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, fs::read_to_string(&path).unwrap())
    };
    found.into_iter().map(named).collect()
}

fn dependencies(of: &str, table: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(of).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest
        .get(table)
        .and_then(toml::Value::as_table)
        .map(|dependencies| dependencies.keys().cloned().collect())
        .unwrap_or_default()
}

fn product_part(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

/// Fails with all offences at once.
fn nothing_wrong(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let mut offences = Vec::new();
    for (of, in_product, in_tests) in ARROWS {
        for (table, allowed) in [("dependencies", in_product), ("dev-dependencies", in_tests)] {
            for dependency in dependencies(of, table) {
                if dependency.starts_with("headrace") && !allowed.contains(&dependency.as_str()) {
                    offences.push(format!("{of}/Cargo.toml [{table}]: {dependency}"));
                }
            }
        }
    }
    nothing_wrong("an arrow that the architecture does not have", &offences);
}

#[test]
fn every_crate_has_its_arrows_written_down() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let offences: Vec<String> = members
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .filter(|member| member != FREE_CRATE && !ARROWS.iter().any(|(of, ..)| of == member))
        .collect();
    nothing_wrong("a crate without a line in ARROWS", &offences);
}

#[test]
fn pure_crates_do_no_input_or_output() {
    let mut offences = Vec::new();
    for (of, refused) in PURE_CRATES {
        for dependency in dependencies(of, "dependencies") {
            if refused.contains(&dependency.as_str()) {
                offences.push(format!("{of}/Cargo.toml: {dependency}"));
            }
        }
    }
    nothing_wrong("a pure crate that can do input or output", &offences);
}

#[test]
fn deciding_files_take_the_world_as_arguments() {
    let mut offences = Vec::new();
    for (name, text) in rust_files() {
        if !PURE_FILES.iter().any(|pure| name.starts_with(pure)) || name.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in product_part(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                offences.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    nothing_wrong("a deciding file that reaches for the world", &offences);
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let offences: Vec<String> = rust_files()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    nothing_wrong("a file that does not open with `//! `", &offences);
}

#[test]
fn file_names_are_nouns_of_the_domain() {
    let says_nothing = |name: &String| {
        Path::new(name)
            .components()
            .filter_map(|part| Path::new(part.as_os_str()).file_stem()?.to_str())
            .any(|part| FORBIDDEN_NAMES.contains(&part))
    };
    let offences: Vec<String> = rust_files()
        .into_iter()
        .map(|(name, _)| name)
        .filter(says_nothing)
        .collect();
    nothing_wrong("a name that says nothing", &offences);
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut offences = Vec::new();
    for (name, text) in rust_files() {
        let lines = product_part(&text).lines().count();
        let is_test = name.split('/').any(|part| part == "tests") || name.ends_with("tests.rs");
        if lines > PRODUCT_LINES_MAX && !is_test {
            offences.push(format!("{name}: {lines} product lines"));
        }
    }
    nothing_wrong(
        "a file to split by the question each part answers",
        &offences,
    );
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    // spelled in halves, so that this file does not offend
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["#[ig", "nore"],
        ["to", "do!("],
    ]
    .map(|half| half.concat());
    let mut offences = Vec::new();
    for (name, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                offences.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    nothing_wrong("work left in the code", &offences);
}

#[test]
fn every_dependency_has_its_reason() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text.split("[workspace.dependencies]").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    let lines: Vec<&str> = table
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
        .collect();
    assert!(lines.len() > 20, "the table was not found");
    let offences: Vec<String> = lines
        .into_iter()
        .filter(|line| !line.starts_with("headrace") && !line.contains(" # "))
        .map(str::to_owned)
        .collect();
    nothing_wrong("a dependency without a reason beside it", &offences);
}

#[test]
fn no_dependency_is_declared_and_not_used() {
    let files = rust_files();
    let mut offences = Vec::new();
    for (of, ..) in ARROWS {
        let folders = match *of {
            "." => ["src/".to_owned(), "tests/".to_owned()],
            of => [format!("{of}/src/"), format!("{of}/tests/")],
        };
        let of_crate = |name: &str| folders.iter().any(|folder| name.starts_with(folder));
        for table in ["dependencies", "dev-dependencies"] {
            for dependency in dependencies(of, table) {
                let word = dependency.replace('-', "_");
                if !files
                    .iter()
                    .any(|(name, text)| of_crate(name) && text.contains(&word))
                {
                    offences.push(format!("{of}/Cargo.toml [{table}]: {dependency}"));
                }
            }
        }
    }
    nothing_wrong("a dependency that nothing uses", &offences);
}
