//! `headrace topic create|list|describe|delete`.
use anyhow::bail;
use clap::Subcommand;
use headrace_clients::{Admin, Created};

use super::Bootstrap;
use super::table::columns;

/// The commands on topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Create a topic.
    Create {
        /// Its name.
        name: String,
        /// Number of partitions; -1 takes the broker's default.
        #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
        partitions: i32,
        /// A setting, such as cleanup.policy=compact; may be repeated.
        #[arg(long = "config", value_name = "KEY=VALUE", value_parser = setting)]
        configs: Vec<(String, String)>,
        #[command(flatten)]
        at: Bootstrap,
    },
    /// List topics.
    List {
        #[command(flatten)]
        at: Bootstrap,
    },
    /// Show a topic's id, partitions and settings.
    Describe {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: Bootstrap,
    },
    /// Delete a topic and its records.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: Bootstrap,
    },
}

impl Topic {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Topic::Create {
                name,
                partitions,
                configs,
                at,
            } => {
                let configs: Vec<_> = configs
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str()))
                    .collect();
                match Admin::new(&at.client())?
                    .create_topic(&name, partitions, &configs)
                    .await?
                {
                    Created::Created => println!("created {name}"),
                    Created::Exists => bail!("topic {name} exists already"),
                }
            }
            Topic::List { at } => {
                let topics = Admin::new(&at.client())?.topics().await?;
                let rows = topics
                    .into_iter()
                    .map(|t| [t.name, t.partitions.to_string(), t.topic_id.to_string()]);
                print!("{}", columns(["TOPIC", "PARTITIONS", "ID"], rows));
            }
            Topic::Describe { name, at } => describe(&Admin::new(&at.client())?, &name).await?,
            Topic::Delete { name, at } => {
                Admin::new(&at.client())?.delete_topic(&name).await?;
                println!("deleted {name}");
            }
        }
        Ok(())
    }
}

async fn describe(admin: &Admin, name: &str) -> anyhow::Result<()> {
    let topic = admin.describe_topic(name).await?;
    println!(
        "topic {name}, id {}, partitions {}",
        topic.topic_id, topic.partitions
    );
    let settings = admin.topic_settings(name).await?;
    let rows = settings.into_iter().map(|(key, setting)| {
        let origin = if setting.default { "default" } else { "set" };
        [key, setting.value.unwrap_or_default(), origin.to_owned()]
    });
    print!("{}", columns(["SETTING", "VALUE", "ORIGIN"], rows));
    Ok(())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("a setting is written KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
