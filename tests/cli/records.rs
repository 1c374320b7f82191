//! `headrace produce` and `headrace consume`.
use std::io::Read as _;
use std::process::Stdio;

use crate::broker::{Broker, error_line, headrace};
use crate::json;

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
fn what_consume_prints_as_json_produce_reads_as_the_same_records() {
    let broker = Broker::start();
    for topic in ["t", "u"] {
        broker.good(&["topic", "create", topic, "--partitions", "2"], "");
    }
    let lines = [
        r#"{"partition":1,"timestamp_ms":1700000000000,"key":"k","value":"v","headers":[["h","1"],["h",null]]}"#,
        r#"{"partition":0,"timestamp_ms":1700000000001,"key":null,"value":null}"#,
        r#"{"partition":1,"timestamp_ms":1700000000002,"key":{"base64":"AP8="},"value":"two\nlines"}"#,
        r#"{"partition":1,"timestamp_ms":1700000000003,"key":"","value":""}"#,
    ];
    broker.good(
        &["produce", "t", "--format", "json"],
        &(lines.join("\n") + "\n"),
    );
    let read = |topic| {
        let arguments = [
            "consume",
            topic,
            "--from-beginning",
            "--until-end",
            "--partition",
        ];
        ["0", "1"].map(|p| broker.good(&[&arguments[..], &[p, "--format", "json"]].concat(), ""))
    };
    let first = read("t");
    broker.good(&["produce", "u", "--format", "json"], &first.concat());
    assert_eq!(read("u"), first);
    let record = json(first[1].lines().nth(1).unwrap());
    assert_eq!(record["key"]["base64"], "AP8=");
    assert_eq!(record["value"], "two\nlines");
    assert_eq!(record["timestamp_ms"], 1_700_000_000_002_i64);
    assert_eq!(json(&first[0])["value"], serde_json::Value::Null);
    for wrong in ["{", "1", r#"{"valu":"x"}"#, r#"{"value":{"base64":"?"}}"#] {
        let told = error_line(&broker.run(&["produce", "t", "--format", "json"], wrong));
        assert!(told.contains("line 1 of standard input"), "{told}");
    }
}

#[test]
fn hex_and_nulls_are_read_and_shown() {
    let broker = Broker::start();
    broker.good(&["topic", "create", "t"], "");
    let produce = [
        "produce",
        "t",
        "--format",
        "hex",
        "--key-separator",
        ":",
        "--null",
        "-",
    ];
    broker.good(&produce, "00ff:0a\n6b:-\n");
    let consume = |arguments: &[&str]| {
        let all = [
            &["consume", "t", "--from-beginning", "--until-end"],
            arguments,
        ]
        .concat();
        broker.good(&all, "")
    };
    let shown = consume(&["--format", "hex", "--key-separator", ":", "--null", "NULL"]);
    assert_eq!(shown, "00ff:0a\n6b:NULL\n");
    let shown = consume(&["--format", "hex", "--print", "partition,offset,key"]);
    assert_eq!(shown, "0\t0\t00ff\n0\t1\t6b\n");
    let told = error_line(&broker.run(&["produce", "t", "--format", "hex"], "zz\n"));
    assert!(told.contains("hexadecimal"), "{told}");
    let usage = broker.run(&["produce", "t", "--format", "json", "--null", "x"], "");
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_file_is_produced_with_keys_and_headers() {
    let broker = Broker::start();
    let file = broker.data.path().join("lines");
    std::fs::write(&file, "1\n2\n").unwrap();
    let file = file.to_str().unwrap();
    let produce = [
        "produce", "t", "--file", file, "--key", "k", "--header", "a=1", "--header", "b=",
        "--acks", "1", "--json",
    ];
    assert_eq!(json(&broker.good(&produce, ""))["records"], 2);
    let tail = [
        "consume",
        "t",
        "--tail",
        "1",
        "--print",
        "headers,key,value",
    ];
    assert_eq!(broker.good(&tail, ""), "a=1,b=\tk\t2\n");
    let told = broker.bad(&["produce", "t", "--file", "/no/such/file"]);
    assert!(told.contains("/no/such/file"), "{told}");
    for wrong in [
        &["--header", "a"][..],
        &["--acks", "2"],
        &["--partition", "-1"],
    ] {
        let all = [&["produce", "t"], wrong].concat();
        assert_eq!(broker.run(&all, "").status.code(), Some(2), "{wrong:?}");
    }
    // one that is not there
    let told = broker.bad(&["consume", "t", "--partition", "9"]);
    assert!(told.contains("no partition 9"), "{told}");
}

#[test]
fn consuming_starts_and_stops_where_it_is_told() {
    let broker = Broker::start();
    broker.good(&["topic", "create", "t", "--partitions", "2"], "");
    let line = |n: u32| {
        let (partition, time) = (n % 2, 1_700_000_000_000_u64 + u64::from(n) * 1_000);
        format!("{{\"partition\":{partition},\"timestamp_ms\":{time},\"value\":\"{n}\"}}\n")
    };
    let lines: String = (0..10).map(line).collect();
    broker.good(&["produce", "t", "--format", "json"], &lines);
    let consume = |arguments: &[&str]| {
        let all = [&["consume", "t"], arguments].concat();
        let mut lines: Vec<_> = broker.good(&all, "").lines().map(str::to_owned).collect();
        if !arguments.contains(&"--tail") {
            // two partitions have no order between them
            lines.sort_unstable();
        }
        lines.concat()
    };
    assert_eq!(
        consume(&["--offset", "earliest", "--until-end"]),
        "0123456789"
    );
    assert_eq!(consume(&["--offset", "3", "--until-end"]), "6789");
    assert_eq!(
        consume(&["--offset", "@1700000007000", "--until-end"]),
        "789"
    );
    assert_eq!(
        consume(&["--offset", "@2023-11-14T22:13:27Z", "--until-end"]),
        "789"
    );
    assert_eq!(consume(&["--offset", "latest", "--until-end"]), "");
    assert_eq!(consume(&["--offset", "@-1h", "--until-end"]), "");
    assert_eq!(consume(&["--tail", "3"]), "789");
    assert_eq!(consume(&["--tail", "100", "--partition", "1"]), "13579");
    assert_eq!(
        consume(&["--partition", "0", "--offset", "1", "--count", "2"]),
        "24"
    );
    let told = broker.bad(&["consume", "t", "--offset", "6"]);
    assert!(told.contains("offsets 0 to 5, not 6"), "{told}");
    for wrong in [
        &["--offset", "first"][..],
        &["--tail", "0"],
        &["--tail", "3", "--until-end"],
        &["--group", "g", "--offset", "3"],
        &["--group", "g", "--until-end"],
        &["--format", "json", "--print", "key"],
        &["--follow"],
    ] {
        let all = [&["consume", "t"], wrong].concat();
        assert_eq!(broker.run(&all, "").status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(
        broker.bad(&["consume", "nope"]),
        "error: topic nope does not exist"
    );
}
