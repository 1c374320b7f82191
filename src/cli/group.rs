//! `headrace group …`: one file per command that is more than a question.
mod describe;
mod places;
mod reset;

use clap::{Args, Subcommand};
use headrace_clients::{AdminError, GroupListing};
use serde_json::{Value, json};

use super::output::Asked;
use super::table::columns;

/// The commands on consumer groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// List groups.
    #[command(after_help = "Example: headrace group list")]
    List(Asked),
    /// Show a group's members, what each reads, and offsets and lag of each partition.
    #[command(after_help = "Example: headrace group describe billing")]
    Describe(describe::Describe),
    /// Move the offsets of a group without running members; without --execute only shows what would be.
    #[command(after_help = reset::EXAMPLES)]
    Reset(reset::Reset),
    /// Delete groups without members, and their offsets.
    #[command(after_help = "Example: headrace group delete billing billing-test")]
    Delete(Delete),
    /// Delete a group's offsets of topics that no member is subscribed to.
    #[command(after_help = "Example: headrace group delete-offsets billing --topic orders")]
    DeleteOffsets(DeleteOffsets),
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Their names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteOffsets {
    /// Name of the group.
    name: String,
    #[command(flatten)]
    topics: places::Topics,
    #[command(flatten)]
    asked: Asked,
}

impl Group {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Group::List(asked) => list(asked).await,
            Group::Describe(describe) => describe.run().await,
            Group::Reset(reset) => reset.run().await,
            Group::Delete(delete) => delete.run().await,
            Group::DeleteOffsets(delete) => delete.run().await,
        }
    }
}

async fn list(asked: Asked) -> anyhow::Result<()> {
    let groups = asked.at.admin()?.groups().await?;
    let document = |group: &GroupListing| {
        json!({
            "group": group.name, "state": group.state, "type": group.kind,
            "protocol_type": group.protocol_type,
        })
    };
    let documents: Vec<Value> = groups.iter().map(document).collect();
    asked.output.show(&json!(documents), || {
        let rows = groups.into_iter();
        let rows = rows.map(|g| [g.name, g.state, or_dash(g.kind), or_dash(g.protocol_type)]);
        columns(["GROUP", "STATE", "TYPE", "PROTOCOL"], rows)
    });
    Ok(())
}

impl Delete {
    async fn run(self) -> anyhow::Result<()> {
        let admin = self.asked.at.admin()?;
        let mut deleted = Vec::new();
        let mut failure: Option<AdminError> = None;
        for name in &self.names {
            match admin.delete_group(name).await {
                Ok(()) => deleted.push(name.as_str()),
                // the others are tried all the same, and each refusal is told
                Err(error) => {
                    if let Some(before) = failure.replace(error) {
                        eprintln!("{before}");
                    }
                }
            }
        }
        let document = json!({ "deleted": deleted });
        let line = |name: &&str| format!("deleted {name}\n");
        let text = || deleted.iter().map(line).collect::<Vec<_>>().concat();
        self.asked.output.show(&document, text);
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl DeleteOffsets {
    async fn run(self) -> anyhow::Result<()> {
        let (name, admin) = (&self.name, self.asked.at.admin()?);
        let committed = admin.committed(name).await?;
        let committed: Vec<_> = committed.into_keys().collect();
        let places = self.topics.among(&committed)?;
        admin.delete_offsets(name, &places).await?;
        let shown: Vec<_> = places.iter().map(ToString::to_string).collect();
        let document = json!({ "group": name, "deleted": shown });
        let text = || format!("deleted the offsets of {name} in {}\n", shown.join(", "));
        self.asked.output.show(&document, text);
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
