//! The binary `headrace`: reads flags and configuration, starts the parts, stops them in order.
//!
//! `cli` has one file per command, `config` the one file that configures a server, `compose` the start and
//! stop order of its parts, `http` what they share on the HTTP port.
mod cli;
mod compose;
mod config;
mod http;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
