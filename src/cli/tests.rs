//! The command line as a whole: sound in itself, every command with an example, and told by docs/cli.md.
use std::fmt::Write as _;
use std::path::Path;

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

/// `docs/cli.md` is made of the definition of the command line, so it is true or this fails.
#[test]
fn the_page_about_the_command_line_is_true() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == page {
        return;
    }
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cli.md");
    std::fs::write(&made, &page).unwrap();
    panic!(
        "docs/cli.md is not what the command line is; look at {} and take it over",
        made.display()
    );
}

fn page() -> String {
    let mut page = "# The command line\n\n\
        Each command with what it does, an example and its flags; `--help` of a command says more. Results go to standard\n\
        output, everything else to standard error. Every answer can be had as JSON by `--json`.\n\
        This page follows from the definition of the commands (`src/cli`), and a test holds it to that.\n\n```text\n"
        .to_owned();
    page += super::exit::HELP;
    page += "\n```\n";
    for (name, command) in all() {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        write!(page, "\n## {name}\n{about}.\n\n```text\n{help}\n```\n\n").unwrap();
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_id() != "help")
        {
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            writeln!(page, "- `{}`: {help}", shown(argument)).unwrap();
        }
    }
    page
}

fn shown(argument: &clap::Arg) -> String {
    let takes = argument.get_action().takes_values();
    let value = argument
        .get_value_names()
        .and_then(|names| names.first())
        .map(ToString::to_string);
    match argument.get_long() {
        Some(long) if takes => format!("--{long} {}", value.unwrap_or_else(|| long.to_uppercase())),
        Some(long) => format!("--{long}"),
        None => value.unwrap_or_else(|| argument.get_id().to_string().to_uppercase()),
    }
}
