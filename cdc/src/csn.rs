//! The commit sequence number: one for each transaction of the source's binary log, captured or not.
//!
//! ```text
//! 0 (9 bits) | seconds since 1970 at the first start (35 bits) | transactions since (20 bits, carrying over)
//! ```
//! A source without a stored position starts at `unix_seconds << 20`; from then on the number is
//! part of the stored position, so a replay gives the same numbers. It never goes back: a source
//! would have to commit more than a million transactions in every second of its life.

use headrace_clients::change::Version;

/// Bits of the start number that are below the seconds.
const SECONDS_SHIFT: u32 = 20;
/// The first number that does not fit (55 bits).
pub(crate) const CSN_END: u64 = 1 << 55;
/// Places one row image takes in the index: the change, its tombstone, the create of a changed key.
const PLACES_PER_ROW: u64 = 3;

/// A commit sequence number, below 2^55.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Csn(pub u64);

impl Csn {
    /// The number before the first transaction of a source that never ran on this log, above
    /// `newest`, the highest one found in its topics (a log whose positions were lost).
    pub(crate) fn at_start(unix_seconds: u64, newest: Option<Csn>) -> Csn {
        let by_clock = Csn(unix_seconds.min((CSN_END >> SECONDS_SHIFT) - 1) << SECONDS_SHIFT);
        newest.map_or(by_clock, |newest| by_clock.max(newest.next()))
    }

    /// The number of the transaction after this one.
    #[must_use]
    pub(crate) fn next(self) -> Csn {
        Csn(self.0 + 1)
    }
}

/// The place of a record in its transaction; `row` counts all row images of the transaction from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The change, or the delete of a changed key.
    Change,
    /// The tombstone after a delete.
    Tombstone,
    /// The create after a changed key.
    Create,
}

/// The version of one record of a streamed transaction.
pub(crate) fn version(csn: Csn, row: u64, place: Place) -> Version {
    let offset = match place {
        Place::Change => 0,
        Place::Tombstone => 1,
        Place::Create => 2,
    };
    Version {
        csn: csn.0,
        index: row * PLACES_PER_ROW + offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_counts_from_the_clock() {
        assert_eq!(Csn::at_start(1_800_000_000, None), Csn(1_800_000_000 << 20));
    }

    #[test]
    fn a_first_start_is_above_what_the_topics_hold() {
        let newest = Csn((1_800_000_000 << 20) + 7);
        assert_eq!(Csn::at_start(1_700_000_000, Some(newest)), newest.next());
    }

    #[test]
    fn a_clock_far_off_still_fits() {
        assert!(Csn::at_start(u64::MAX, None).0 < CSN_END);
    }

    #[test]
    fn the_places_of_a_row_lie_between_its_neighbours() {
        let csn = Csn(5);
        let order = [
            version(csn, 0, Place::Change),
            version(csn, 0, Place::Tombstone),
            version(csn, 0, Place::Create),
            version(csn, 1, Place::Change),
            version(csn.next(), 0, Place::Change),
        ];
        assert!(order.is_sorted());
        assert_eq!(order[3].index, 3);
    }
}
