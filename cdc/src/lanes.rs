//! What each partition already has and which of its records is still held back; pure.
//!
//! ```text
//! take: partition by key -> at or below the floor? skip : hold it -> the one held before goes out
//! end of the transaction: the held record of every partition goes out as its last one
//! ```
//! Within a partition the versions that go out strictly increase, and only the last one of a
//! transaction says so. One record per partition is held, whatever the transaction's size; the
//! buffers of a record that went out are used for the next one.

use std::sync::Arc;

use headrace_clients::change::{SchemaId, Version};

use crate::route::{Routes, partition_of};

/// A buffer that a large row has grown beyond this is given back, in bytes.
const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// Every partition of every topic of a source.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// By route, then by partition.
    topics: Vec<Vec<Lane>>,
    /// Lanes that hold a record, in the order they began to.
    holding: Vec<Place>,
    /// Where the newest held record is.
    newest: Option<Place>,
    /// The key at hand, before its partition is known.
    key: Vec<u8>,
    skipped: u64,
}

/// A lane: its route and partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    route: usize,
    partition: usize,
}

#[derive(Debug)]
struct Lane {
    topic: Arc<str>,
    partition: i32,
    /// The newest record already in the partition, or taken.
    floor: Option<Version>,
    held: Option<Held>,
    /// Buffers of a record that went out, for the next one.
    spare: Option<(Vec<u8>, Vec<u8>)>,
}

/// A record with everything but whether it is the last of its transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its version.
    pub version: Version,
    /// The schema of its row.
    pub schema: SchemaId,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; meaningless in a tombstone.
    pub value: Vec<u8>,
    /// Whether it has no value.
    pub tombstone: bool,
}

/// What a record is, besides key and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emission {
    /// The table's place in [`Routes::all`].
    pub route: usize,
    /// Its version.
    pub version: Version,
    /// The schema of its row.
    pub schema: SchemaId,
}

impl Lanes {
    /// Lanes above the floors: for each route, for each of its partitions, the version of the newest
    /// record there.
    pub(crate) fn new(routes: &Routes, floors: Vec<Vec<Option<Version>>>) -> Lanes {
        let lanes = routes.all().iter().zip(floors).map(|(route, floors)| {
            let topic: Arc<str> = route.topic.as_str().into();
            let lane = |(partition, floor)| Lane {
                topic: topic.clone(),
                partition,
                floor,
                held: None,
                spare: None,
            };
            (0..).zip(floors).map(lane).collect()
        });
        Lanes {
            topics: lanes.collect(),
            holding: Vec::new(),
            newest: None,
            key: Vec::new(),
            skipped: 0,
        }
    }

    /// Takes one record; gives its lane, and the record held there before, which goes out now.
    /// `key` and `value` write into a buffer; no `value` is a tombstone. A record that the log
    /// already has is skipped, its value never written.
    pub(crate) fn take(
        &mut self,
        what: Emission,
        key: impl FnOnce(&mut Vec<u8>),
        value: Option<impl FnOnce(&mut Vec<u8>)>,
    ) -> Option<(Place, Option<Held>)> {
        self.key.clear();
        key(&mut self.key);
        let lanes = &mut self.topics[what.route];
        let partitions = i32::try_from(lanes.len()).expect("the configuration limits partitions");
        let partition = usize::try_from(partition_of(&self.key, partitions))
            .expect("a partition is not negative");
        let lane = &mut lanes[partition];
        if lane.floor.is_some_and(|floor| what.version <= floor) {
            self.skipped += 1;
            return None;
        }
        lane.floor = Some(what.version);
        let (mut key_buffer, mut value_buffer) = lane.spare.take().unwrap_or_default();
        key_buffer.clear();
        key_buffer.extend_from_slice(&self.key);
        value_buffer.clear();
        let tombstone = value.is_none();
        if let Some(write) = value {
            write(&mut value_buffer);
        }
        let next = Held {
            version: what.version,
            schema: what.schema,
            key: key_buffer,
            value: value_buffer,
            tombstone,
        };
        let place = Place {
            route: what.route,
            partition,
        };
        let previous = lane.held.replace(next);
        if previous.is_none() {
            self.holding.push(place);
        }
        self.newest = Some(place);
        Some((place, previous))
    }

    /// The held record of one more lane, which goes out as the last of the transaction; none when
    /// no lane holds one any more.
    pub(crate) fn next_last(&mut self) -> Option<(Place, Held)> {
        let place = self.holding.pop()?;
        self.newest = None;
        let held = self.lane(place).held.take();
        Some((place, held.expect("a lane in the list holds a record")))
    }

    /// Forgets what is held: the transaction is given up and will be read again.
    pub(crate) fn abandon(&mut self) {
        while self.next_last().is_some() {}
    }

    /// The record taken last, while it is held.
    pub(crate) fn newest_held(&mut self) -> Option<&mut Held> {
        let place = self.newest?;
        self.lane(place).held.as_mut()
    }

    /// What is held in a lane.
    pub(crate) fn held(&self, place: Place) -> Option<&Held> {
        self.topics[place.route][place.partition].held.as_ref()
    }

    /// The topic and partition of a lane.
    pub(crate) fn target(&self, place: Place) -> (&str, i32) {
        let lane = &self.topics[place.route][place.partition];
        (&lane.topic, lane.partition)
    }

    /// Takes the buffers of a record that went out.
    pub(crate) fn recycle(&mut self, place: Place, held: Held) {
        if held.value.capacity() <= BUFFER_KEPT_BYTES {
            self.lane(place).spare = Some((held.key, held.value));
        }
    }

    /// The newest version in any partition.
    pub(crate) fn newest_version(&self) -> Option<Version> {
        self.topics
            .iter()
            .flatten()
            .filter_map(|lane| lane.floor)
            .max()
    }

    /// Records skipped because the log already had them.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    fn lane(&mut self, place: Place) -> &mut Lane {
        &mut self.topics[place.route][place.partition]
    }
}

#[cfg(test)]
mod tests {
    use headrace_clients::change::Schema;

    use super::*;
    use crate::config::TableName;

    fn lanes(floors: Vec<Option<Version>>) -> Lanes {
        let table = TableName {
            database: "d".to_owned(),
            table: "t".to_owned(),
        };
        Lanes::new(&Routes::plan("s", &[table]).unwrap(), vec![floors])
    }

    fn version(csn: u64, index: u64) -> Version {
        Version { csn, index }
    }

    /// Takes a record; gives the versions that go out.
    fn take(lanes: &mut Lanes, key: &str, version: Version) -> Option<Vec<Version>> {
        let what = Emission {
            route: 0,
            version,
            schema: Schema { columns: vec![] }.id(),
        };
        let value = |out: &mut Vec<u8>| out.extend_from_slice(b"{}");
        let (place, previous) = lanes.take(
            what,
            |out| out.extend_from_slice(key.as_bytes()),
            Some(value),
        )?;
        let out = previous.iter().map(|held| held.version).collect();
        if let Some(previous) = previous {
            lanes.recycle(place, previous);
        }
        Some(out)
    }

    fn end(lanes: &mut Lanes) -> Vec<Version> {
        std::iter::from_fn(|| lanes.next_last())
            .map(|(_, held)| held.version)
            .collect()
    }

    #[test]
    fn one_record_is_held_until_the_next_or_the_end() {
        let mut lanes = lanes(vec![None]);
        assert_eq!(take(&mut lanes, "a", version(1, 0)), Some(vec![]));
        assert_eq!(
            take(&mut lanes, "b", version(1, 3)),
            Some(vec![version(1, 0)])
        );
        assert_eq!(end(&mut lanes), [version(1, 3)]);
        assert_eq!(end(&mut lanes), []);
    }

    #[test]
    fn each_partition_has_its_own_last_record() {
        let mut lanes = lanes(vec![None; 8]);
        let keys: Vec<String> = (0..64).map(|key| key.to_string()).collect();
        let went_out: usize = (0_u64..)
            .zip(&keys)
            .map(|(index, key)| take(&mut lanes, key, version(1, index)).unwrap().len())
            .sum();
        assert_eq!((went_out, end(&mut lanes).len()), (56, 8));
    }

    #[test]
    fn what_the_log_has_is_skipped() {
        let mut lanes = lanes(vec![Some(version(5, 3))]);
        assert_eq!(take(&mut lanes, "a", version(4, 9)), None);
        assert_eq!(take(&mut lanes, "a", version(5, 3)), None);
        assert_eq!(take(&mut lanes, "a", version(5, 4)), Some(vec![]));
        assert_eq!((end(&mut lanes), lanes.skipped()), (vec![version(5, 4)], 2));
    }

    #[test]
    fn a_version_is_taken_once() {
        let mut lanes = lanes(vec![None]);
        assert!(take(&mut lanes, "a", version(1, 0)).is_some());
        assert!(take(&mut lanes, "b", version(1, 0)).is_none());
        assert_eq!(lanes.newest_version(), Some(version(1, 0)));
    }

    #[test]
    fn an_abandoned_transaction_leaves_nothing_held() {
        let mut lanes = lanes(vec![None]);
        take(&mut lanes, "a", version(1, 0));
        assert!(lanes.newest_held().is_some());
        lanes.abandon();
        assert!(lanes.newest_held().is_none());
        assert_eq!(end(&mut lanes), []);
    }
}
