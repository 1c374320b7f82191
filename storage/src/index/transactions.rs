//! Which transactions of a partition were aborted, found while its batches pass by.
//!
//! A transaction of a producer begins with its first transactional batch and ends with its marker; an
//! aborted one is kept, in the segment of its marker. What is open at a segment's end is kept too, so that
//! the next segment can be read without those before it.

use std::collections::BTreeMap;

use crate::position::Offset;
use crate::record::{BatchHeader, MarkerKind};

/// A transaction whose records are void (Kafka's `AbortedTransaction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who wrote them.
    pub producer_id: i64,
    /// Its first record.
    pub first_offset: Offset,
    /// Its abort marker.
    pub last_offset: Offset,
}

/// The transactions without a marker yet: the first offset of each, by producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenTransactions {
    by_producer: BTreeMap<i64, Offset>,
}

impl OpenTransactions {
    /// Takes note of a batch; gives the transaction that it aborts.
    pub(super) fn take(
        &mut self,
        header: &BatchHeader,
        marker: Option<MarkerKind>,
    ) -> Option<AbortedTransaction> {
        let (producer_id, offset) = (header.producer_id, header.base_offset);
        if !header.is_control() {
            if header.is_transactional() {
                self.begin(producer_id, offset);
            }
            return None;
        }
        let first_offset = marker.and_then(|_| self.by_producer.remove(&producer_id))?;
        (marker == Some(MarkerKind::Abort)).then_some(AbortedTransaction {
            producer_id,
            first_offset,
            last_offset: offset,
        })
    }

    /// Takes note of a transaction's record; the first one counts.
    pub(crate) fn begin(&mut self, producer_id: i64, first_offset: Offset) {
        self.by_producer.entry(producer_id).or_insert(first_offset);
    }

    /// The first record of any.
    pub(crate) fn earliest(&self) -> Option<Offset> {
        self.by_producer.values().min().copied()
    }

    /// All, by producer.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (i64, Offset)> {
        self.by_producer.iter().map(|(id, first)| (*id, *first))
    }
}

/// What is known of a segment's transactions without its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransactionSummary {
    /// Whether a marker in it aborts one.
    pub(crate) any_aborted: bool,
    /// The first record of those open at its end.
    pub(crate) earliest_open: Option<Offset>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Compression};

    fn header(producer_id: i64, offset: i64, transactional: bool) -> BatchHeader {
        let mut builder = BatchBuilder::new(Compression::None).producer(producer_id, 0, 0);
        if transactional {
            builder = builder.transactional();
        }
        builder.push(1, None, Some(b"value"), &[]);
        let mut header = *builder.build().header();
        header.base_offset = Offset(offset);
        header
    }

    fn marker(producer_id: i64, offset: i64) -> BatchHeader {
        let mut header = header(producer_id, offset, true);
        header.attributes |= 0x20;
        header
    }

    #[test]
    fn an_aborted_transaction_reaches_from_its_first_record_to_its_marker() {
        let mut open = OpenTransactions::default();
        assert_eq!(open.take(&header(1, 0, false), None), None);
        assert_eq!(open.take(&header(1, 1, true), None), None);
        assert_eq!(open.take(&header(2, 2, true), None), None);
        assert_eq!(open.take(&header(1, 3, true), None), None);
        assert_eq!(open.earliest(), Some(Offset(1)));
        let aborted = AbortedTransaction {
            producer_id: 1,
            first_offset: Offset(1),
            last_offset: Offset(4),
        };
        let (abort, commit) = (Some(MarkerKind::Abort), Some(MarkerKind::Commit));
        assert_eq!(open.take(&marker(1, 4), abort), Some(aborted));
        assert_eq!(open.take(&marker(2, 5), commit), None);
        assert_eq!(open.take(&marker(3, 6), abort), None, "it had begun none");
        assert_eq!(open.take(&header(1, 7, true), None), None);
        assert_eq!(open.take(&marker(1, 8), None), None, "of a kind not known");
        assert_eq!(open.iter().collect::<Vec<_>>(), [(1, Offset(7))]);
    }
}
