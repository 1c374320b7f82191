//! `--topic T[:P,P]`: which partitions a command on a group means.
use anyhow::bail;
use clap::Args;
use headrace_clients::{Admin, TopicPartition};

/// The topics, at least one.
#[derive(Debug, Args)]
pub(crate) struct Topics {
    /// A topic, or some of its partitions; may be repeated.
    #[arg(long = "topic", value_name = "TOPIC[:P,P...]", required = true, value_parser = topic)]
    topics: Vec<Topic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Topic {
    name: String,
    /// Empty for all.
    partitions: Vec<i32>,
}

impl Topics {
    /// The partitions as they exist now.
    pub(super) async fn existing(&self, admin: &Admin) -> anyhow::Result<Vec<TopicPartition>> {
        let mut places = Vec::new();
        for topic in &self.topics {
            let count = admin.describe_topic(&topic.name).await?.partitions;
            if let Some(wrong) = topic.partitions.iter().find(|wanted| **wanted >= count) {
                let name = &topic.name;
                bail!("topic {name} has no partition {wrong}, but {count} of them, from 0");
            }
            let all = (0..count).filter(|partition| topic.has(*partition));
            places.extend(all.map(|partition| TopicPartition::new(&topic.name, partition)));
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// Those of some partitions that are meant; each topic must have one.
    pub(super) fn among(&self, places: &[TopicPartition]) -> anyhow::Result<Vec<TopicPartition>> {
        let mut found = Vec::new();
        for topic in &self.topics {
            let of_topic = places.iter().filter(|place| place.topic == topic.name);
            let before = found.len();
            found.extend(of_topic.filter(|place| topic.has(place.partition)).cloned());
            if found.len() == before {
                bail!("the group has no offset in {}", topic.name);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl Topic {
    fn has(&self, partition: i32) -> bool {
        self.partitions.is_empty() || self.partitions.contains(&partition)
    }
}

/// A colon is in no topic's name.
fn topic(text: &str) -> Result<Topic, String> {
    let (name, partitions) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((name, list)) => {
            let numbers = list.split(',').map(|number| {
                let number = number.parse::<i32>().ok();
                number.filter(|partition| *partition >= 0)
            });
            let numbers: Option<Vec<_>> = numbers.collect();
            (name, numbers.ok_or("partitions are written TOPIC:0,2")?)
        }
    };
    if name.is_empty() {
        return Err("a topic has a name".to_owned());
    }
    Ok(Topic {
        name: name.to_owned(),
        partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_with_and_without_partitions() {
        let read = |text| topic(text).map(|topic| (topic.name, topic.partitions));
        assert_eq!(read("t"), Ok(("t".to_owned(), vec![])));
        assert_eq!(read("t:2,0"), Ok(("t".to_owned(), vec![2, 0])));
        for wrong in ["", ":1", "t:", "t:-1", "t:1,", "t:a", "t:1:2"] {
            assert!(topic(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_topic_without_an_offset_is_told() {
        let topics = Topics {
            topics: vec![topic("t:1").unwrap(), topic("u").unwrap()],
        };
        let place = TopicPartition::new;
        let have = [place("t", 0), place("t", 1), place("u", 0), place("v", 0)];
        let found = topics.among(&have).unwrap();
        assert_eq!(found, [place("t", 1), place("u", 0)]);
        assert!(topics.among(&have[..2]).is_err());
    }
}
