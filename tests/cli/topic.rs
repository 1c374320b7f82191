//! `headrace topic`.
use crate::broker::{Broker, error_line};
use crate::json;

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
    let told = broker.bad(&["topic", "create", "u", "--config", "no.such=1"]);
    // the broker's own words, and Kafka's name for them
    assert!(
        told.starts_with("error: u: ")
            && told.contains("no.such")
            && told.contains("INVALID_CONFIG"),
        "{told}"
    );
    broker.good(&["topic", "create", "t", "--if-not-exists"], "");
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
fn settings_are_shown_with_who_set_them_and_what_they_do() {
    let broker = Broker::start();
    let created = broker.good(
        &[
            "topic",
            "create",
            "t",
            "--config",
            "retention.ms=1000",
            "--json",
        ],
        "",
    );
    assert_eq!(json(&created)["created"], true);
    let shown = broker.good(&["topic", "configs", "t"], "");
    let origin = |name: &str| {
        let line = shown
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap().split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(
        (origin("retention.ms"), origin("segment.ms")),
        ("topic".into(), "default".into())
    );
    let docs = broker.good(&["topic", "configs", "t", "--docs"], "");
    assert!(docs.contains("retention.ms=1000  (topic)\n    "), "{docs}");
    assert!(
        docs.lines().all(|line| line != "    -"),
        "every setting is explained: {docs}"
    );
    let document = json(&broker.good(&["topic", "configs", "t", "--docs", "--json"], ""));
    assert_eq!(document["configs"]["retention.ms"]["value"], "1000");
    assert!(document["configs"]["retention.ms"]["documentation"].is_string());
    assert_eq!(
        broker.bad(&["topic", "configs", "u"]),
        "error: topic u does not exist"
    );
}

#[test]
fn a_topic_grows_and_never_shrinks() {
    let broker = Broker::start();
    broker.good(&["topic", "create", "t", "--partitions", "2"], "");
    broker.good(&["topic", "alter", "t", "--partitions", "5"], "");
    let list = json(&broker.good(&["topic", "list", "--json"], ""));
    assert_eq!(
        (&list[0]["topic"], &list[0]["partitions"]),
        (&"t".into(), &5.into())
    );
    let told = broker.bad(&["topic", "alter", "t", "--partitions", "5"]);
    assert!(told.contains("has 5 partitions"), "{told}");
    let told = broker.bad(&["topic", "alter", "u", "--partitions", "5"]);
    assert_eq!(told, "error: topic u does not exist");
    for wrong in [&["--partitions", "0"][..], &["--partitions", "many"], &[]] {
        let all = [&["topic", "alter", "t"], wrong].concat();
        assert_eq!(broker.run(&all, "").status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn records_are_deleted_only_when_it_is_meant() {
    let broker = Broker::start();
    broker.good(&["topic", "create", "t", "--partitions", "2"], "");
    for partition in ["0", "1"] {
        broker.good(&["produce", "t", "--partition", partition], "1\n2\n3\n");
    }
    let starts = || {
        let shown = json(&broker.good(&["topic", "describe", "t", "--json"], ""));
        let partitions = shown["partitions"].as_array().unwrap().iter();
        partitions
            .map(|p| p["start"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    let told = broker.bad(&["topic", "delete-records", "t", "--all"]);
    assert!(
        told.contains("6 records") && told.contains("--yes"),
        "{told}"
    );
    assert_eq!(starts(), [0, 0]);
    let delete = |arguments: &[&str]| {
        let all = [&["topic", "delete-records", "t", "--yes"], arguments].concat();
        broker.run(&all, "")
    };
    assert!(
        delete(&["--before", "2", "--partition", "1"])
            .status
            .success()
    );
    assert_eq!(starts(), [0, 2]);
    let output = delete(&["--before", "9", "--partition", "0"]);
    let told = error_line(&output);
    assert!(
        told.contains("t/0") && told.contains("OFFSET_OUT_OF_RANGE"),
        "{told}"
    );
    assert!(delete(&["--before", "@-1h"]).status.success());
    assert_eq!(starts(), [0, 2]);
    assert!(delete(&["--all"]).status.success());
    assert_eq!(starts(), [3, 3]);
    assert_eq!(
        broker.good(&["consume", "t", "--from-beginning", "--until-end"], ""),
        ""
    );
    for wrong in [&[][..], &["--all", "--before", "1"], &["--before", "soon"]] {
        assert_eq!(delete(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(error_line(&delete(&["--all", "--partition", "7"])).contains("no partition 7"));
}

#[test]
fn settings_are_set_and_taken_back() {
    let broker = Broker::start();
    broker.good(&["topic", "create", "t"], "");
    let setting = |name: &str| {
        let document = json(&broker.good(&["topic", "configs", "t", "--json"], ""));
        let setting = &document["configs"][name];
        let text = |part: &str| setting[part].as_str().unwrap().to_owned();
        (text("value"), text("origin"))
    };
    let alter =
        |arguments: &[&str]| broker.run(&[&["topic", "alter", "t"], arguments].concat(), "");
    let both = [
        "--set",
        "retention.ms=5000",
        "--set",
        "cleanup.policy=compact",
        "--partitions",
        "2",
    ];
    assert!(alter(&both).status.success());
    assert_eq!(
        setting("retention.ms"),
        ("5000".to_owned(), "topic".to_owned())
    );
    assert_eq!(setting("cleanup.policy").0, "compact");
    assert!(alter(&["--unset", "retention.ms"]).status.success());
    assert_eq!(setting("retention.ms").1, "default");
    let told = error_line(&alter(&[
        "--set",
        "retention.ms=7000",
        "--set",
        "no.such=1",
    ]));
    assert!(
        told.contains("no.such") && told.contains("INVALID_CONFIG"),
        "{told}"
    );
    assert_eq!(setting("retention.ms").1, "default", "all or none");
    for wrong in [&["--set", "retention.ms"][..], &["--unset"], &[]] {
        assert_eq!(alter(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
