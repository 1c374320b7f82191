//! All that was ever written to a log, and what a reader has to make of it.

use std::collections::BTreeMap;

use headrace_storage::record::MarkerKind;
use headrace_storage::{Batch, Offset, Record};

/// A transaction by its number in [`History::outcomes`].
pub(crate) type Transaction = usize;

/// What a batch is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Plain,
    Of(Transaction),
    Marker,
}

/// A batch as it was appended.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) batch: Batch,
    pub(crate) records: Vec<Record>,
    pub(crate) part: Part,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) written: Vec<Written>,
    /// How each transaction ended, if it has.
    pub(crate) outcomes: Vec<Option<MarkerKind>>,
}

impl History {
    pub(crate) fn add(&mut self, batch: Batch, part: Part) {
        let records = batch.records(1 << 20).unwrap();
        self.written.push(Written {
            batch,
            records,
            part,
        });
    }

    pub(crate) fn begin(&mut self) -> Transaction {
        self.outcomes.push(None);
        self.outcomes.len() - 1
    }

    /// Where the first transaction without a marker begins.
    pub(crate) fn undecided_from(&self) -> Option<Offset> {
        let undecided =
            |of: &&Written| matches!(of.part, Part::Of(at) if self.outcomes[at].is_none());
        let first = self.written.iter().find(undecided);
        first.map(|of| of.batch.base_offset())
    }

    /// Whether a reader of committed records sees what is in a batch.
    pub(crate) fn is_visible(&self, of: &Written) -> bool {
        match of.part {
            Part::Plain => true,
            Part::Of(at) => self.outcomes[at] == Some(MarkerKind::Commit),
            Part::Marker => false,
        }
    }

    /// What a reader holds that has read everything from `from` on and below `upto`.
    pub(crate) fn fold(&self, from: Offset, upto: Offset) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        for of in self.written.iter().filter(|of| self.is_visible(of)) {
            for record in &of.records {
                let Some(key) = record.key.as_deref().map(text) else {
                    continue;
                };
                if !(from..upto).contains(&record.offset) {
                    continue;
                }
                match record.value.as_deref().map(text) {
                    Some(value) => state.insert(key, value),
                    None => state.remove(&key),
                };
            }
        }
        state
    }

    /// The batch that was appended with this base offset.
    pub(crate) fn at(&self, base: Offset) -> Option<&Written> {
        let at = self
            .written
            .binary_search_by_key(&base, |of| of.batch.base_offset());
        at.ok().map(|at| &self.written[at])
    }

    /// The last batch of data of each producer.
    pub(crate) fn last_of_producers(&self, upto: Offset) -> BTreeMap<i64, &Batch> {
        let of_producers = self.written.iter().map(|of| &of.batch).filter(|batch| {
            batch.header().producer_id >= 0 && !batch.is_control() && batch.last_offset() < upto
        });
        of_producers
            .map(|batch| (batch.header().producer_id, batch))
            .collect()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
