//! Cuts the stream of operations into calls.
//!
//! ```text
//! pending:  [ a1 a2 a3* | b1 b2* | c1 c2 ... ]     * = last record of its source transaction
//!                               ^ boundary
//! ```
//! * A call has at most [`OPERATIONS_MAX`] operations and [`CALL_BYTES_MAX`], but always at least one operation.
//! * A call ends where a source transaction ends; one that is too large for a call goes in parts, shown as `partial`.
//! * A transaction ends with its record marked last, or where a record of another transaction follows.
//! * A call never waits for the next transaction: what is complete goes at once.
use std::collections::VecDeque;

use headrace_clients::change::Version;

use crate::sink::{Operation, Position};

/// Most operations in a call: a Redis Function blocks its server, for about 2 ms at this size.
pub(crate) const OPERATIONS_MAX: usize = 256;
/// Most bytes in a call beyond its first operation, for the same reason.
pub(crate) const CALL_BYTES_MAX: usize = 1 << 20;

/// What goes into one call of a sink.
#[derive(Debug)]
pub(crate) struct Batch<V> {
    pub(crate) operations: Vec<Operation<V>>,
    pub(crate) position: Position,
}

/// An operation that waits for its call.
#[derive(Debug)]
struct Pending<V> {
    operation: Operation<V>,
    size_bytes: usize,
    /// Its source transaction ends with it.
    ends: bool,
}

/// Operations not yet applied, in log order.
#[derive(Debug)]
pub(crate) struct Batcher<V> {
    pending: VecDeque<Pending<V>>,
    /// Highest version given out, or where the batcher went on from: what a position without versions keeps.
    version: Option<Version>,
}

impl<V> Batcher<V> {
    /// Goes on after `version`.
    pub(crate) fn new(version: Option<Version>) -> Batcher<V> {
        Batcher {
            pending: VecDeque::new(),
            version,
        }
    }

    /// Adds the next operation; `last` when its record ends its source transaction.
    pub(crate) fn push(&mut self, operation: Operation<V>, size_bytes: usize, last: bool) {
        let csn = |operation: &Operation<V>| operation.version.map(|version| version.csn);
        if let Some(before) = self.pending.back_mut() {
            before.ends |= csn(&before.operation) != csn(&operation);
        }
        let ends = last || operation.version.is_none();
        self.pending.push_back(Pending {
            operation,
            size_bytes,
            ends,
        });
    }

    /// True when the newest operation waits for the end of its transaction.
    pub(crate) fn has_open(&self) -> bool {
        self.pending.back().is_some_and(|newest| !newest.ends)
    }

    /// The next call: whole transactions, or a part of one that does not fit a call.
    pub(crate) fn take(&mut self) -> Option<Batch<V>> {
        let fit = self.fitting();
        let complete = (1..=fit).rev().find(|upto| self.pending[upto - 1].ends);
        let upto = complete.or((fit < self.pending.len()).then_some(fit))?;
        Some(self.cut(upto))
    }

    /// As [`Batcher::take`], then the open transaction too: for an end that does not come.
    pub(crate) fn take_open(&mut self) -> Option<Batch<V>> {
        self.take()
            .or_else(|| (!self.pending.is_empty()).then(|| self.cut(self.fitting())))
    }

    /// How many operations from the front fit a call; at least one if there is one.
    fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fits = self
            .pending
            .iter()
            .take(OPERATIONS_MAX)
            .take_while(|pending| {
                bytes += pending.size_bytes;
                bytes <= CALL_BYTES_MAX
            });
        fits.count().max(1).min(self.pending.len())
    }

    /// The first `upto` operations, at least one.
    fn cut(&mut self, upto: usize) -> Batch<V> {
        let partial = !self.pending[upto - 1].ends;
        let operations: Vec<Operation<V>> = self
            .pending
            .drain(..upto)
            .map(|pending| pending.operation)
            .collect();
        let offset = operations[upto - 1].offset;
        self.version = self.version.max(
            operations
                .iter()
                .filter_map(|operation| operation.version)
                .max(),
        );
        Batch {
            operations,
            position: Position {
                offset,
                version: self.version,
                partial,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Offset;

    /// Pushes `(csn, last)` at dense offsets from `from`; csn 0 stands for no version.
    fn push(batcher: &mut Batcher<()>, from: i64, records: &[(u64, bool)]) {
        for (at, (csn, last)) in records.iter().enumerate() {
            let offset = from + i64::try_from(at).unwrap();
            let version = (*csn > 0).then_some(Version {
                csn: *csn,
                index: offset.unsigned_abs(),
            });
            let operation = Operation {
                offset: Offset(offset),
                version,
                key: String::new(),
                value: None,
            };
            batcher.push(operation, 100, *last);
        }
    }

    /// `(operations, last offset, partial)` of every call that can go.
    fn taken(batcher: &mut Batcher<()>) -> Vec<(usize, i64, bool)> {
        let shown = |batch: Batch<()>| {
            (
                batch.operations.len(),
                batch.position.offset.0,
                batch.position.partial,
            )
        };
        std::iter::from_fn(|| batcher.take().map(shown)).collect()
    }

    fn transaction(csn: u64, rows: usize) -> Vec<(u64, bool)> {
        (1..=rows).map(|row| (csn, row == rows)).collect()
    }

    #[test]
    fn complete_transactions_go_together_and_at_once() {
        let mut batcher = Batcher::new(None);
        push(
            &mut batcher,
            0,
            &[(1, false), (1, true), (2, true), (3, false)],
        );
        assert_eq!(taken(&mut batcher), [(3, 2, false)]);
        assert!(batcher.has_open());
        push(&mut batcher, 4, &[(3, true)]);
        assert_eq!(taken(&mut batcher), [(2, 4, false)]);
        assert!(!batcher.has_open());
    }

    #[test]
    fn a_transaction_of_256_rows_goes_whole() {
        let mut batcher = Batcher::new(None);
        push(&mut batcher, 0, &transaction(1, 100));
        push(&mut batcher, 100, &transaction(2, 256));
        assert_eq!(taken(&mut batcher), [(100, 99, false), (256, 355, false)]);
    }

    #[test]
    fn a_larger_transaction_goes_in_parts() {
        let mut batcher = Batcher::new(None);
        push(&mut batcher, 0, &transaction(1, 600));
        assert_eq!(
            taken(&mut batcher),
            [(256, 255, true), (256, 511, true), (88, 599, false)]
        );
        push(&mut batcher, 600, &transaction(2, 257)[..257]);
        assert_eq!(taken(&mut batcher), [(256, 855, true), (1, 856, false)]);
    }

    #[test]
    fn an_open_transaction_goes_in_parts_only_when_it_cannot_fit() {
        let mut batcher = Batcher::new(None);
        push(&mut batcher, 0, &transaction(1, 300)[..256]);
        assert_eq!(taken(&mut batcher), []);
        push(&mut batcher, 256, &[(1, false)]);
        assert_eq!(taken(&mut batcher), [(256, 255, true)]);
        assert!(batcher.has_open());
    }

    #[test]
    fn a_record_of_another_transaction_ends_the_one_before() {
        let mut batcher = Batcher::new(None);
        push(&mut batcher, 0, &[(1, false), (1, false), (2, false)]);
        assert_eq!(taken(&mut batcher), [(2, 1, false)]);
        let open = batcher.take_open().unwrap();
        assert_eq!((open.operations.len(), open.position.partial), (1, true));
    }

    #[test]
    fn records_without_version_stand_alone() {
        let mut batcher = Batcher::new(Some(Version { csn: 9, index: 9 }));
        push(&mut batcher, 0, &[(0, false), (0, false)]);
        let batch = batcher.take().unwrap();
        assert_eq!(
            (batch.operations.len(), batch.position.version),
            (2, Some(Version { csn: 9, index: 9 }))
        );
        assert!(!batch.position.partial);
    }

    #[test]
    fn a_call_stays_below_1_mb_but_carries_at_least_one_row() {
        let mut batcher = Batcher::new(None);
        for (offset, size) in [(0, 700_000), (1, 700_000), (2, 30_000_000), (3, 10)] {
            let version = Some(Version {
                csn: offset + 1,
                index: 0,
            });
            let offset = Offset(i64::try_from(offset).unwrap());
            batcher.push(
                Operation {
                    offset,
                    version,
                    key: String::new(),
                    value: Some(()),
                },
                size,
                true,
            );
        }
        assert_eq!(
            taken(&mut batcher),
            [(1, 0, false), (1, 1, false), (1, 2, false), (1, 3, false)]
        );
    }

    #[test]
    fn everything_goes_in_order_once() {
        let mut batcher = Batcher::new(None);
        let records: Vec<(u64, bool)> = (1..200)
            .flat_map(|csn| transaction(csn, usize::try_from(csn * 7 % 300 + 1).unwrap()))
            .collect();
        let mut next = 0;
        for chunk in records.chunks(97) {
            push(&mut batcher, next, chunk);
            next += i64::try_from(chunk.len()).unwrap();
        }
        let mut expected = 0;
        let mut ends = Vec::new();
        while let Some(batch) = batcher.take_open() {
            assert!(batch.operations.len() <= OPERATIONS_MAX);
            for operation in &batch.operations {
                assert_eq!(operation.offset, Offset(expected));
                expected += 1;
            }
            let last = usize::try_from(batch.position.offset.0).unwrap();
            assert_eq!(batch.position.partial, !records[last].1);
            ends.push(last);
        }
        assert_eq!(expected, next);
    }
}
