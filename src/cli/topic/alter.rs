//! `headrace topic alter`: partitions and settings of a topic.
use anyhow::bail;
use clap::Args;
use headrace_clients::Admin;
use serde_json::json;

use super::setting;
use crate::cli::exit::Usage;
use crate::cli::output::Asked;

pub(super) const EXAMPLES: &str = "\
Partitions are never taken away. Records stay where they are: a key may lie in another partition from then on.

Examples:
  headrace topic alter orders --partitions 6
  headrace topic alter orders --set retention.ms=86400000 --unset cleanup.policy";

#[derive(Debug, Args)]
pub(crate) struct Alter {
    /// Its name.
    name: String,
    /// The number of partitions that the topic shall have in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting of the topic's own; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// A setting that goes back to the broker's; may be repeated.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

impl Alter {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        if self.partitions.is_none() && self.set.is_empty() && self.unset.is_empty() {
            let told = "say what to change: --partitions, --set or --unset";
            return Err(Usage(told.to_owned()).into());
        }
        let admin = self.asked.at.admin()?;
        // the settings first: they can be taken back
        self.alter_settings(&admin).await?;
        if let Some(count) = self.partitions {
            let now = admin.describe_topic(&self.name).await?.partitions;
            if count <= now {
                let name = &self.name;
                bail!(
                    "topic {name} has {now} partitions, and more than that can be had, not {count}"
                );
            }
            admin.create_partitions(&self.name, count).await?;
        }
        let name = &self.name;
        let set = self.set.iter().map(|(key, value)| format!("{key}={value}"));
        let set: Vec<_> = set.collect();
        let document = json!({
            "topic": name, "partitions": self.partitions, "set": set, "unset": self.unset,
        });
        self.asked
            .output
            .show(&document, || format!("altered {name}\n"));
        Ok(())
    }

    async fn alter_settings(&self, admin: &Admin) -> anyhow::Result<()> {
        if self.set.is_empty() && self.unset.is_empty() {
            return Ok(());
        }
        let set = self
            .set
            .iter()
            .map(|(key, value)| (key.as_str(), Some(value.as_str())));
        let unset = self.unset.iter().map(|key| (key.as_str(), None));
        let changes: Vec<_> = set.chain(unset).collect();
        Ok(admin.alter_topic_settings(&self.name, &changes).await?)
    }
}
