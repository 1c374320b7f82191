//! What a cleaning has to know about transactions: which batches are void, and which markers still have
//! data before them.
//!
//! All that is cleaned lies below the last stable offset, so every transaction in it is decided; whether
//! one was aborted is told by the log's list, as its marker may lie behind what is cleaned.

use std::collections::{HashMap, HashSet};

use super::AbortedTransaction;
use crate::position::Offset;
use crate::record::BatchHeader;

/// The aborted transactions of a range, by producer.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// Sorted by the marker's offset: one producer's transactions follow each other.
    by_producer: HashMap<i64, Vec<AbortedTransaction>>,
}

impl Aborted {
    /// From a list in any order; what is in it twice counts once.
    pub(super) fn new(list: &[AbortedTransaction]) -> Aborted {
        let mut by_producer: HashMap<i64, Vec<AbortedTransaction>> = HashMap::new();
        for transaction in list {
            let of_producer = by_producer.entry(transaction.producer_id).or_default();
            of_producer.push(*transaction);
        }
        for of_producer in by_producer.values_mut() {
            of_producer.sort_unstable_by_key(|transaction| transaction.last_offset);
            of_producer.dedup_by_key(|transaction| transaction.last_offset);
        }
        Aborted { by_producer }
    }

    /// Whether a batch of data belongs to one of them.
    pub(super) fn covers(&self, header: &BatchHeader) -> bool {
        header.is_transactional()
            && self
                .ending_from(header.producer_id, header.base_offset)
                .is_some_and(|transaction| transaction.first_offset <= header.base_offset)
    }

    /// The one that the abort marker at this offset ends.
    pub(super) fn ended_by(&self, marker: &BatchHeader) -> Option<AbortedTransaction> {
        self.ending_from(marker.producer_id, marker.base_offset)
            .filter(|transaction| transaction.last_offset == marker.base_offset)
    }

    /// The number that end in a range.
    pub(super) fn ending_in(&self, from: Offset, upto: Offset) -> usize {
        let all = self.by_producer.values().flatten();
        all.filter(|transaction| (from..upto).contains(&transaction.last_offset))
            .count()
    }

    fn ending_from(&self, producer_id: i64, offset: Offset) -> Option<AbortedTransaction> {
        let of_producer = self.by_producer.get(&producer_id)?;
        let at = of_producer.partition_point(|transaction| transaction.last_offset < offset);
        of_producer.get(at).copied()
    }
}

/// The producers with data of a transaction since their last marker; follows the log in order.
#[derive(Debug, Default)]
pub(super) struct OpenTransactions {
    with_data: HashSet<i64>,
}

impl OpenTransactions {
    /// Takes a batch of data. One of which only the header is left counts: as long as it is there,
    /// whoever replays the log opens a transaction at it, which the marker has to end.
    pub(super) fn data(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            self.with_data.insert(header.producer_id);
        }
    }

    /// Takes a marker, and says whether there is still data before it.
    pub(super) fn marker(&mut self, header: &BatchHeader) -> bool {
        self.with_data.remove(&header.producer_id)
    }
}
