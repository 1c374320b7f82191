//! `headrace group`.
use std::process::Stdio;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::broker::{Broker, error_line, headrace, wait_until};
use crate::json;

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
        shown.ends_with("t      0          5          5    0    -\n"),
        "{shown}"
    );
    assert_eq!(
        broker.bad(&["group", "describe", "h"]),
        "error: group h does not exist"
    );
}

/// A topic with six records in two partitions, of which a group has read those of partition 0.
fn read_by_a_group() -> Broker {
    let broker = Broker::start();
    broker.good(&["topic", "create", "t", "--partitions", "2"], "");
    for partition in ["0", "1"] {
        let arguments = ["produce", "t", "--partition", partition];
        broker.good(&arguments, "1\n2\n3\n");
    }
    let reset = [
        "group",
        "reset",
        "g",
        "--topic",
        "t:0",
        "--to",
        "latest",
        "--execute",
    ];
    broker.good(&reset, "");
    broker
}

fn committed(broker: &Broker, group: &str) -> Vec<(i64, i64)> {
    let shown = json(&broker.good(&["group", "describe", group, "--json"], ""));
    let offsets = shown["offsets"].as_array().unwrap().iter();
    let numbers = offsets.map(|offset| {
        let number = |name: &str| offset[name].as_i64().unwrap();
        (number("partition"), number("committed"))
    });
    numbers.collect()
}

#[test]
fn offsets_are_moved_only_when_it_is_asked_to_be_done() {
    let broker = read_by_a_group();
    assert_eq!(committed(&broker, "g"), [(0, 3)]);
    let reset = |arguments: &[&str]| {
        let all = [&["group", "reset", "g", "--topic", "t"], arguments].concat();
        broker.good(&all, "")
    };
    let shown = reset(&["--to", "earliest"]);
    assert!(shown.contains("t      0          3     0"), "{shown}");
    assert!(shown.contains("--execute"), "{shown}");
    assert_eq!(committed(&broker, "g"), [(0, 3)]);
    reset(&["--to", "1", "--execute"]);
    assert_eq!(committed(&broker, "g"), [(0, 1), (1, 1)]);
    reset(&["--shift-by", "-1", "--execute"]);
    assert_eq!(committed(&broker, "g"), [(0, 0), (1, 0)]);
    reset(&["--shift-by", "2", "--execute"]);
    reset(&["--to", "current", "--execute"]);
    assert_eq!(committed(&broker, "g"), [(0, 2), (1, 2)]);
    // beyond the end is the end, as with Kafka's own tool
    reset(&["--to", "99", "--execute"]);
    assert_eq!(committed(&broker, "g"), [(0, 3), (1, 3)]);
    reset(&["--by-duration", "1h", "--execute"]);
    assert_eq!(committed(&broker, "g"), [(0, 0), (1, 0)]);
    reset(&["--to", "@2999-01-01", "--execute"]);
    assert_eq!(committed(&broker, "g"), [(0, 3), (1, 3)]);
    let document = json(&reset(&["--to", "earliest", "--json"]));
    assert_eq!(document["executed"], false);
    assert_eq!(document["offsets"][1]["from"], 3);
}

#[test]
fn a_reset_that_means_nothing_is_refused() {
    let broker = read_by_a_group();
    let told = |arguments: &[&str]| {
        let all = [&["group", "reset", "g"], arguments].concat();
        broker.bad(&all)
    };
    assert_eq!(
        told(&["--topic", "u", "--to", "latest"]),
        "error: topic u does not exist"
    );
    let partition = told(&["--topic", "t:5", "--to", "latest"]);
    assert!(partition.contains("no partition 5"), "{partition}");
    let shift = told(&["--topic", "t", "--shift-by", "1"]);
    assert!(shift.contains("t/1 has no committed offset"), "{shift}");
    for wrong in [
        &["--topic", "t"][..],
        &["--to", "latest"],
        &["--topic", "t", "--to", "sometime"],
        &["--topic", "t", "--to", "latest", "--shift-by", "1"],
        &["--topic", "t:x", "--to", "latest"],
    ] {
        let all = [&["group", "reset", "g"], wrong].concat();
        assert_eq!(broker.run(&all, "").status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_running_member_is_shown_and_keeps_its_group_from_being_changed() {
    let broker = read_by_a_group();
    let mut consumer = headrace()
        .args([
            "consume",
            "t",
            "--group",
            "g",
            "--bootstrap",
            &broker.listen,
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let describe = || json(&broker.good(&["group", "describe", "g", "--json"], ""));
    wait_until("the member's assignment", || {
        describe()["members"][0]["assignment"]["t"] == serde_json::json!([0, 1])
    });
    let shown = describe();
    assert_eq!(
        (&shown["state"], &shown["type"]),
        (&"Stable".into(), &"classic".into())
    );
    assert_eq!(shown["members"][0]["client"], "headrace-cli");
    let text = broker.good(&["group", "describe", "g"], "");
    assert!(text.contains("t:0,1"), "{text}");
    let list = broker.good(&["group", "list"], "");
    assert!(list.contains("g      Stable  classic  consumer"), "{list}");
    let told = broker.bad(&[
        "group",
        "reset",
        "g",
        "--topic",
        "t",
        "--to",
        "latest",
        "--execute",
    ]);
    assert!(
        told.contains("running members (1)") && told.contains("stop them"),
        "{told}"
    );
    let told = broker.bad(&["group", "delete", "g"]);
    assert!(
        told.contains("the group has members") && told.contains("NON_EMPTY_GROUP"),
        "{told}"
    );
    let told = broker.bad(&["group", "delete-offsets", "g", "--topic", "t"]);
    assert!(told.contains("GROUP_SUBSCRIBED_TO_TOPIC"), "{told}");
    consumer.kill().unwrap();
    consumer.wait().unwrap();
}

#[test]
fn groups_and_their_offsets_are_deleted() {
    let broker = read_by_a_group();
    let reset = [
        "group",
        "reset",
        "h",
        "--topic",
        "t",
        "--to",
        "earliest",
        "--execute",
    ];
    broker.good(&reset, "");
    let told = broker.bad(&["group", "delete-offsets", "h", "--topic", "u"]);
    assert!(told.contains("no offset in u"), "{told}");
    broker.good(&["group", "delete-offsets", "h", "--topic", "t:1"], "");
    assert_eq!(committed(&broker, "h"), [(0, 0)]);
    // the one that is there goes, and the other is told
    let output = broker.run(&["group", "delete", "nope", "g"], "");
    assert_eq!(error_line(&output), "error: group nope does not exist");
    assert_eq!(output.stdout, b"deleted g\n");
    assert_eq!(
        broker.bad(&["group", "describe", "g"]),
        "error: group g does not exist"
    );
    let deleted = json(&broker.good(&["group", "delete", "h", "--json"], ""));
    assert_eq!(deleted["deleted"], serde_json::json!(["h"]));
    assert_eq!(
        json(&broker.good(&["group", "list", "--json"], "")),
        serde_json::json!([])
    );
}

#[test]
fn a_group_whose_broker_assigns_is_described_like_the_others() {
    let broker = read_by_a_group();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker.listen)
        .set("client.id", "newer")
        .set("group.id", "k")
        .set("group.protocol", "consumer")
        .create()
        .unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let mut shown = serde_json::Value::Null;
    wait_until("the member's assignment", || {
        drop(consumer.poll(Duration::from_millis(50)));
        let output = broker.run(&["group", "describe", "k", "--json"], "");
        if output.status.success() {
            shown = json(std::str::from_utf8(&output.stdout).unwrap());
        }
        shown["members"][0]["assignment"]["t"] == serde_json::json!([0, 1])
    });
    assert_eq!(shown["type"], "consumer");
    assert_eq!(shown["members"][0]["client"], "newer");
    assert_eq!(shown["offsets"][1]["end"], 3);
    let list = json(&broker.good(&["group", "list", "--json"], ""));
    assert_eq!(
        (&list[1]["group"], &list[1]["type"]),
        (&"k".into(), &"consumer".into())
    );
}
