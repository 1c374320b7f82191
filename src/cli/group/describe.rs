//! `headrace group describe`: members, what each reads, and how far the group is.
use std::collections::BTreeMap;

use clap::Args;
use headrace_clients::{GroupInfo, GroupMember, GroupOffset, TopicPartition};
use serde_json::{Value, json};

use super::or_dash;
use crate::cli::output::Asked;
use crate::cli::table::columns;

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Its name.
    name: String,
    #[command(flatten)]
    asked: Asked,
}

impl Describe {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = self.asked.at.admin()?;
        let (group, offsets) = admin.describe_group(&self.name).await?;
        let document = document(&group, &offsets);
        self.asked.output.show(&document, || text(group, &offsets));
        Ok(())
    }
}

fn document(group: &GroupInfo, offsets: &[GroupOffset]) -> Value {
    let member = |member: &GroupMember| {
        let assignment = assignment(&member.assignment).into_iter();
        json!({
            "member": member.id, "instance": member.instance_id, "client": member.client_id,
            "host": member.host, "assignment": assignment.collect::<BTreeMap<_, _>>(),
        })
    };
    let offset = |offset: &GroupOffset| {
        json!({
            "topic": offset.place.topic, "partition": offset.place.partition,
            "committed": offset.committed, "end": offset.end, "lag": offset.lag(),
        })
    };
    json!({
        "group": group.name, "state": group.state, "type": group.kind, "assignor": group.protocol,
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "offsets": offsets.iter().map(offset).collect::<Vec<_>>(),
    })
}

fn text(group: GroupInfo, offsets: &[GroupOffset]) -> String {
    let mut text = format!(
        "group {}, state {}, type {}, assignment {}\n",
        group.name,
        group.state,
        group.kind,
        or_dash(group.protocol)
    );
    let readers: BTreeMap<TopicPartition, String> = group
        .members
        .iter()
        .flat_map(|member| {
            let place = |place: &TopicPartition| (place.clone(), member.id.clone());
            member.assignment.iter().map(place)
        })
        .collect();
    let members = group.members.into_iter().map(|member| {
        let reads = assignment(&member.assignment).into_iter();
        let reads: Vec<_> = reads.map(|(t, p)| format!("{t}:{}", list(&p))).collect();
        let instance = or_dash(member.instance_id.unwrap_or_default());
        let reads = or_dash(reads.join(" "));
        [member.id, instance, member.client_id, member.host, reads]
    });
    text += &columns(["MEMBER", "INSTANCE", "CLIENT", "HOST", "READS"], members);
    let rows = offsets.iter().map(|offset| {
        [
            offset.place.topic.clone(),
            offset.place.partition.to_string(),
            number(offset.committed),
            number(offset.end),
            number(offset.lag()),
            or_dash(readers.get(&offset.place).cloned().unwrap_or_default()),
        ]
    });
    let heading = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
    text + &columns(heading, rows)
}

fn assignment(places: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for place in places {
        let partitions = topics.entry(place.topic.as_str()).or_default();
        partitions.push(place.partition);
    }
    topics
}

fn list(partitions: &[i32]) -> String {
    let numbers: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    numbers.join(",")
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_shown_with_what_each_member_reads() {
        let place = |partition| TopicPartition::new("t", partition);
        let group = GroupInfo {
            name: "g".into(),
            state: "Stable".into(),
            kind: "classic".into(),
            protocol: "range".into(),
            members: vec![GroupMember {
                id: "m-1".into(),
                instance_id: None,
                client_id: "c".into(),
                host: "/127.0.0.1".into(),
                assignment: vec![place(0), place(2)],
            }],
        };
        let offset = |partition, committed, end| GroupOffset {
            place: place(partition),
            committed,
            end,
        };
        let offsets = [
            offset(0, Some(3), Some(10)),
            offset(1, Some(5), None),
            offset(2, None, Some(1)),
        ];
        let shown = document(&group, &offsets);
        assert_eq!(shown["members"][0]["assignment"], json!({ "t": [0, 2] }));
        assert_eq!(shown["offsets"][0]["lag"], json!(7));
        let text = text(group, &offsets);
        assert!(
            text.contains("m-1     -         c       /127.0.0.1  t:0,2\n"),
            "{text}"
        );
        assert!(
            text.contains("t      0          3          10   7    m-1\n"),
            "{text}"
        );
        assert!(
            text.contains("t      1          5          -    -    -\n"),
            "{text}"
        );
        assert!(
            text.contains("t      2          -          1    -    m-1\n"),
            "{text}"
        );
    }
}
