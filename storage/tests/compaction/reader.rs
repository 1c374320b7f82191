//! A reader as a client is one: `read_committed`, by the list of aborted transactions, batch by batch.
//!
//! It shares nothing with compaction but the codec of a batch.

use std::collections::{BTreeMap, HashSet};

use headrace_storage::record::{MarkerKind, batches};
use headrace_storage::{LogView, Offset};

/// A record as the application sees it: offset, key, value.
pub(crate) type Seen = (i64, String, Option<String>);

/// Where a reader stands, and what it made of the records so far.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) position: Offset,
    pub(crate) state: BTreeMap<String, String>,
    /// The producers whose records are void until their abort marker.
    aborting: HashSet<i64>,
}

impl Reader {
    pub(crate) fn from(position: Offset) -> Reader {
        Reader {
            position,
            state: BTreeMap::new(),
            aborting: HashSet::new(),
        }
    }

    /// Reads up to the end of the log, or a little past `upto` (whole batches).
    pub(crate) fn read_upto(&mut self, view: &LogView, upto: Offset) -> Vec<Seen> {
        let mut seen = Vec::new();
        while self.position < upto {
            let chunks = view
                .read(self.position, view.last_stable(), 2000, true)
                .unwrap();
            if chunks.is_empty() {
                break;
            }
            let mut aborted = view
                .aborted_transactions(self.position, view.last_stable())
                .unwrap();
            aborted.sort_by_key(|of| of.first_offset);
            let mut aborted = aborted.into_iter().peekable();
            for batch in chunks
                .iter()
                .flat_map(|chunk| batches(chunk.to_bytes().unwrap()))
            {
                let batch = batch.unwrap();
                let header = *batch.header();
                while let Some(begun) = aborted.next_if(|of| of.first_offset <= batch.last_offset())
                {
                    // one that ended before is over: clients get only those that overlap what they read
                    if begun.last_offset >= batch.base_offset() {
                        self.aborting.insert(begun.producer_id);
                    }
                }
                let from = self.position;
                self.position = batch.last_offset().plus(1);
                if header.is_control() {
                    if batch.control_marker().map(|marker| marker.kind) == Some(MarkerKind::Abort) {
                        self.aborting.remove(&header.producer_id);
                    }
                    continue;
                }
                if header.is_transactional() && self.aborting.contains(&header.producer_id) {
                    continue;
                }
                for record in batch.records(1 << 20).unwrap() {
                    if record.offset >= from {
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                        // without a key it has no place in the state
                        let Some(key) = record.key.as_deref().map(text) else {
                            continue;
                        };
                        let value = record.value.as_deref().map(text);
                        match &value {
                            Some(value) => self.state.insert(key.clone(), value.clone()),
                            None => self.state.remove(&key),
                        };
                        seen.push((record.offset.0, key, value));
                    }
                }
            }
        }
        seen
    }

    pub(crate) fn read_to_end(mut self, view: &LogView) -> Vec<Seen> {
        self.read_upto(view, Offset(i64::MAX))
    }
}
