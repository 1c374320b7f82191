//! `headrace group list|describe`.
use clap::Subcommand;
use headrace_clients::Admin;

use super::Bootstrap;
use super::table::columns;

/// The commands on consumer groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// List groups.
    List {
        #[command(flatten)]
        at: Bootstrap,
    },
    /// Show a group's members, offsets and lag.
    Describe {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: Bootstrap,
    },
}

impl Group {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Group::List { at } => {
                let groups = Admin::new(&at.client())?.groups().await?;
                let rows = groups
                    .into_iter()
                    .map(|g| [g.name, g.state, g.members.len().to_string()]);
                print!("{}", columns(["GROUP", "STATE", "MEMBERS"], rows));
            }
            Group::Describe { name, at } => {
                let (group, offsets) = Admin::new(&at.client())?.describe_group(&name).await?;
                println!(
                    "group {name}, state {}, assignment {}",
                    group.state,
                    or_dash(group.protocol)
                );
                let rows = group
                    .members
                    .into_iter()
                    .map(|m| [m.id, m.client_id, m.host]);
                print!("{}", columns(["MEMBER", "CLIENT", "HOST"], rows));
                let rows = offsets.into_iter().map(|o| {
                    let lag = (o.end - o.committed).max(0);
                    [
                        o.topic,
                        o.partition.to_string(),
                        o.committed.to_string(),
                        o.end.to_string(),
                        lag.to_string(),
                    ]
                });
                print!(
                    "{}",
                    columns(["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"], rows)
                );
            }
        }
        Ok(())
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}
