//! `headrace demo`: ends equal, and leaves nothing behind, also when it is interrupted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use headrace_servers::Programs;
use tempfile::TempDir;

/// The demo with its temporary directories below one that the test looks into.
fn demo(temporary: &Path) -> Child {
    let programs = Programs::find();
    let mut command = Command::new(env!("CARGO_BIN_EXE_headrace"));
    command
        .arg("demo")
        .arg("--mariadbd")
        .arg(programs.path("mariadbd").unwrap());
    command
        .arg("--redis-server")
        .arg(programs.path("redis-server").unwrap());
    command.env("TMPDIR", temporary).env("HEADRACE_LOG", "warn");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The processes whose command line names a directory.
fn processes_in(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(name).then_some(line)
    });
    processes.collect()
}

fn assert_nothing_left(temporary: &TempDir) {
    assert_eq!(processes_in(temporary.path()), Vec::<String>::new());
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_demo_shows_every_step_and_ends_equal() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path()).wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for step in ["INSERT  ", "UPDATE  ", "DELETE  "] {
        let lines: Vec<_> = shown
            .lines()
            .skip_while(|line| !line.starts_with(step))
            .skip(1)
            .take(4)
            .collect();
        for (line, what) in
            lines
                .iter()
                .zip(["binlog change", "topic record", "Redis key", "search hit"])
        {
            assert!(
                line.contains(" ms  ") && line.contains(what),
                "{step}{line}"
            );
        }
        assert_eq!(lines.len(), 4, "{shown}");
    }
    assert_eq!(shown.matches(": equal\n").count(), 4, "{shown}");
    assert!(shown.ends_with("equal\n"), "{shown}");
    assert_nothing_left(&temporary);
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut process = demo(temporary.path());
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let under_load = lines
        .map(|line| line.unwrap())
        .any(|line| line.starts_with("live load"));
    assert!(under_load);
    assert!(!processes_in(temporary.path()).is_empty());
    let id = process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = process.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: interrupted\n"
    );
    assert_nothing_left(&temporary);
}
