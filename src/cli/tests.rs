//! The command line as a whole: sound in itself and every command with an example.
use clap::CommandFactory as _;

use super::Cli;

/// Every command that does something, with its words.
fn leaves(command: &clap::Command, before: &str, found: &mut Vec<(String, clap::Command)>) {
    let name = format!("{before}{}", command.get_name());
    let below: Vec<_> = command.get_subcommands().collect();
    if below.is_empty() {
        found.push((name, command.clone()));
        return;
    }
    for command in below {
        leaves(command, &format!("{name} "), found);
    }
}

fn all() -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    found
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_of_every_command_teaches_by_an_example() {
    for (name, command) in all() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(help.contains("Example"), "{name}");
        let shown = help.contains(&name) || name == "headrace demo";
        assert!(shown, "{name}: its example is of another command");
    }
}
