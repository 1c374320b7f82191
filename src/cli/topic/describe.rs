//! `headrace topic describe` and `headrace topic configs`.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use headrace_clients::{PartitionInfo, SettingOrigin, TopicPartition, TopicSetting};
use serde_json::{Map, Value, json};

use crate::cli::output::Asked;
use crate::cli::place::Bounds;
use crate::cli::table::columns;

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Its name.
    name: String,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Args)]
pub(crate) struct Configs {
    /// Name of the topic.
    name: String,
    /// Say what each setting does.
    #[arg(long)]
    docs: bool,
    #[command(flatten)]
    asked: Asked,
}

type Settings = BTreeMap<String, TopicSetting>;

impl Describe {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (name, admin) = (&self.name, self.asked.at.admin()?);
        let topic = admin.describe_topic(name).await?;
        let partitions = admin.partitions(name).await?;
        let served = partitions
            .iter()
            .filter(|partition| partition.leader.is_some());
        let places = served.map(|partition| TopicPartition::new(name, partition.partition));
        let bounds = Bounds::ask(&admin, places.collect()).await?;
        let mut settings = admin.topic_settings(name).await?;
        settings.retain(|_, setting| setting.origin == SettingOrigin::Topic);
        let rows: Vec<_> = partitions
            .iter()
            .map(|partition| {
                let place = TopicPartition::new(name, partition.partition);
                (partition, bounds.0.get(&place).copied())
            })
            .collect();
        let document = json!({
            "topic": name, "id": topic.topic_id.to_string(), "internal": topic.internal,
            "partitions": rows.iter().map(|(p, bounds)| partition(p, *bounds)).collect::<Vec<_>>(),
            "configs": documents(&settings, false),
        });
        self.asked.output.show(&document, || {
            let mut text = format!(
                "topic {name}, id {}, partitions {}\n",
                topic.topic_id, topic.partitions
            );
            let heading = [
                "PARTITION",
                "LEADER",
                "EPOCH",
                "REPLICAS",
                "IN SYNC",
                "START",
                "END",
            ];
            text += &columns(heading, rows.iter().map(|(p, bounds)| row(p, *bounds)));
            if settings.is_empty() {
                text += "no settings of its own\n";
            } else {
                let rows = settings.into_iter();
                let rows = rows.map(|(key, setting)| [key, setting.value.unwrap_or_default()]);
                text += &columns(["SETTING", "VALUE"], rows);
            }
            text
        });
        Ok(())
    }
}

impl Configs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let settings = self.asked.at.admin()?.topic_settings(&self.name).await?;
        let document = json!({ "topic": self.name, "configs": documents(&settings, self.docs) });
        self.asked
            .output
            .show(&document, || text(settings, self.docs));
        Ok(())
    }
}

fn text(settings: Settings, docs: bool) -> String {
    if !docs {
        let rows = settings.into_iter().map(|(key, setting)| {
            let origin = setting.origin.to_string();
            [key, setting.value.unwrap_or_default(), origin]
        });
        return columns(["SETTING", "VALUE", "ORIGIN"], rows);
    }
    let mut text = String::new();
    for (key, setting) in settings {
        let TopicSetting {
            value,
            origin,
            documentation,
        } = setting;
        let value = value.unwrap_or_default();
        let documentation = documentation.as_deref().unwrap_or("-");
        writeln!(text, "{key}={value}  ({origin})\n    {documentation}")
            .expect("a String takes every text");
    }
    text
}

fn documents(settings: &Settings, docs: bool) -> Value {
    let document = |(key, setting): (&String, &TopicSetting)| {
        let mut document = json!({
            "value": setting.value, "origin": setting.origin.to_string(),
        });
        if docs {
            document["documentation"] = json!(setting.documentation);
        }
        (key.clone(), document)
    };
    Value::Object(settings.iter().map(document).collect::<Map<_, _>>())
}

fn partition(partition: &PartitionInfo, bounds: Option<(i64, i64)>) -> Value {
    json!({
        "partition": partition.partition, "leader": partition.leader, "leader_epoch": partition.leader_epoch,
        "replicas": partition.replicas, "in_sync": partition.in_sync,
        "start": bounds.map(|(start, _)| start), "end": bounds.map(|(_, end)| end),
    })
}

fn row(partition: &PartitionInfo, bounds: Option<(i64, i64)>) -> [String; 7] {
    let list = |ids: &[i32]| {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        ids.join(",")
    };
    let or_dash = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    [
        partition.partition.to_string(),
        or_dash(partition.leader.map(|id| id.to_string())),
        partition.leader_epoch.to_string(),
        list(&partition.replicas),
        list(&partition.in_sync),
        or_dash(bounds.map(|(start, _)| start.to_string())),
        or_dash(bounds.map(|(_, end)| end.to_string())),
    ]
}
