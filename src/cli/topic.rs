//! `headrace topic …`: one file per command that is more than a question.
mod alter;
mod delete_records;
mod describe;

use anyhow::bail;
use clap::{Args, Subcommand};
use headrace_clients::{Created, TopicInfo};
use serde_json::{Value, json};

use super::output::Asked;
use super::table::columns;

/// The commands on topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Create a topic.
    #[command(
        after_help = "Example: headrace topic create orders --partitions 3 --config retention.ms=86400000"
    )]
    Create(Create),
    /// List topics.
    #[command(after_help = "Example: headrace topic list --json")]
    List(Asked),
    /// Show a topic's id, its partitions with their offsets, and its own settings.
    #[command(after_help = "Example: headrace topic describe orders")]
    Describe(describe::Describe),
    /// Show all settings of a topic and who set them.
    #[command(after_help = "Example: headrace topic configs orders --docs")]
    Configs(describe::Configs),
    /// Give a topic more partitions, set its settings or take them back.
    #[command(after_help = alter::EXAMPLES)]
    Alter(alter::Alter),
    /// Delete the oldest records of a topic's partitions; asks first.
    #[command(after_help = delete_records::EXAMPLES)]
    DeleteRecords(delete_records::DeleteRecords),
    /// Delete a topic and its records.
    #[command(after_help = "Example: headrace topic delete orders")]
    Delete(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name.
    name: String,
    /// Number of partitions; -1 takes the broker's default.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    partitions: i32,
    /// A setting, such as cleanup.policy=compact; may be repeated.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = setting)]
    configs: Vec<(String, String)>,
    /// Do nothing if the topic exists already, whatever it is like.
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name.
    name: String,
    #[command(flatten)]
    asked: Asked,
}

impl Topic {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Topic::Create(create) => create.run().await,
            Topic::List(asked) => list(asked).await,
            Topic::Describe(describe) => describe.run().await,
            Topic::Configs(configs) => configs.run().await,
            Topic::Alter(alter) => alter.run().await,
            Topic::DeleteRecords(delete) => delete.run().await,
            Topic::Delete(named) => named.delete().await,
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let admin = self.asked.at.admin()?;
        let name = &self.name;
        let configs = self.configs.iter();
        let configs: Vec<_> = configs.map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let created = admin.create_topic(name, self.partitions, &configs).await?;
        if created == Created::Exists && !self.if_not_exists {
            bail!("topic {name} exists already");
        }
        let created = created == Created::Created;
        let document = json!({ "topic": name, "created": created });
        self.asked.output.show(&document, || {
            if created {
                format!("created {name}\n")
            } else {
                format!("{name} exists already\n")
            }
        });
        Ok(())
    }
}

impl Named {
    async fn delete(self) -> anyhow::Result<()> {
        let name = &self.name;
        self.asked.at.admin()?.delete_topic(name).await?;
        let document = json!({ "topic": name, "deleted": true });
        let text = || format!("deleted {name}\n");
        self.asked.output.show(&document, text);
        Ok(())
    }
}

async fn list(asked: Asked) -> anyhow::Result<()> {
    let topics = asked.at.admin()?.topics().await?;
    let document: Vec<Value> = topics.iter().map(document).collect();
    asked.output.show(&json!(document), || {
        let row = |t: TopicInfo| [t.name, t.partitions.to_string(), t.topic_id.to_string()];
        columns(["TOPIC", "PARTITIONS", "ID"], topics.into_iter().map(row))
    });
    Ok(())
}

fn document(topic: &TopicInfo) -> Value {
    json!({
        "topic": topic.name, "id": topic.topic_id.to_string(), "partitions": topic.partitions,
        "internal": topic.internal,
    })
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a setting is written KEY=VALUE".to_owned()),
    }
}
