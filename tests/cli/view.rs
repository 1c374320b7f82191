//! `headrace view`, and what is said when no server runs.
use headrace_servers::free_port;

use crate::broker::{Broker, error_line, headrace};

#[test]
fn a_server_that_does_not_run_is_named() {
    let port = free_port().unwrap().to_string();
    let address = format!("127.0.0.1:{port}");
    let output = headrace()
        .args(["view", "list", "--http", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let told = error_line(&output);
    assert!(
        told.contains(&address) && told.contains("headrace serve"),
        "{told}"
    );
    for command in [
        &["topic", "list"][..],
        &["group", "list"],
        &["consume", "t"],
        &["produce", "t"],
    ] {
        let output = headrace()
            .args(command)
            .args(["--bootstrap", &address])
            .output()
            .unwrap();
        assert!(error_line(&output).contains(&address), "{command:?}");
        assert_eq!(
            output.status.code(),
            Some(3),
            "no broker answered {command:?}"
        );
    }
    let wrong = headrace()
        .args(["topic", "list", "--bootstrap", "nonsense"])
        .output()
        .unwrap();
    assert!(error_line(&wrong).contains("HOST:PORT"));
    assert_eq!(wrong.status.code(), Some(1));
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
