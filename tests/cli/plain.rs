//! Commands that ask no broker: completions, help, and what a wrong command line gives.
use crate::broker::headrace;

fn output(arguments: &[&str]) -> (Option<i32>, String) {
    let output = headrace().args(arguments).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn completions_know_the_commands() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef headrace"),
        ("fish", "complete -c headrace"),
    ] {
        let (code, script) = output(&["completions", shell]);
        assert_eq!(code, Some(0));
        assert!(script.contains(sign), "{shell}");
        assert!(
            script.contains("delete-records") && script.contains("until-end"),
            "{shell}"
        );
    }
    assert_eq!(output(&["completions", "cmd"]).0, Some(2));
}

#[test]
fn a_wrong_command_line_exits_with_two_and_help_with_nothing() {
    assert_eq!(output(&["topics"]).0, Some(2));
    assert_eq!(output(&[]).0, Some(2));
    let (code, help) = output(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("Exit codes:"), "{help}");
}
