//! `headrace completions SHELL`: from the definition of the command line itself, so never behind it.
use std::io::{Write as _, stdout};

use clap::{Args, CommandFactory as _, ValueEnum};

use super::Cli;

/// The command.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: headrace completions bash > ~/.local/share/bash-completion/completions/headrace"
)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// The shells whose completions are tested.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "headrace", &mut script);
        stdout().write_all(&script)?;
        Ok(())
    }
}
