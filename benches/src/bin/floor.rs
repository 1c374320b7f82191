//! The do-nothing broker (`headrace_benches::floor`): `floor --listen 127.0.0.1:PORT --data DIR [--sync]`.

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use headrace_benches::floor::{FloorConfig, serve};

/// A broker that does nothing but what cannot be left out.
#[derive(Parser)]
struct Arguments {
    /// Where it listens.
    #[arg(long)]
    listen: String,
    /// Where its files are made; the directory must exist.
    #[arg(long)]
    data: PathBuf,
    /// One fdatasync per produce request, before the answer.
    #[arg(long)]
    sync: bool,
}

fn main() -> Result<()> {
    let Arguments { listen, data, sync } = Arguments::parse();
    let listener = TcpListener::bind(&listen).with_context(|| format!("listening on {listen}"))?;
    Ok(serve(&listener, FloorConfig { data, sync })?)
}
