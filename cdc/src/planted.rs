//! Mistakes planted on purpose, so that a test can show that it would find a real one.
//!
//! Compiled in by the feature `planted` only, which release builds refuse. The environment variable
//! `HEADRACE_PLANTED` names the mistake; without it nothing changes. It is made while streaming, at
//! the record of its kind with the number [`MADE_AT`] in a source transaction: a transaction with
//! fewer rows passes as it is, so a test knows how many mistakes it has to find.
//!
//! ```text
//! drop-row     an insert or update is not written
//! row-twice    an insert or update is written again, with the same (CSN, index)
//! lose-delete  neither the delete nor its tombstone is written
//! ```

use headrace_clients::change::Version;

use crate::lanes::Held;

#[cfg(not(debug_assertions))]
compile_error!("the feature `planted` plants mistakes; it is for debug builds only");

const VARIABLE: &str = "HEADRACE_PLANTED";
/// Which record of its kind in a source transaction, counted from 1, the mistake is made at.
const MADE_AT: u64 = 500;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    DropRow,
    RowTwice,
    LoseDelete,
}

/// The mistake to make, and how far the stream is from it.
#[derive(Debug)]
pub(crate) struct Planted {
    mistake: Option<Mistake>,
    /// The transaction at hand.
    csn: u64,
    /// Its records of the mistake's kind so far.
    records: u64,
    /// Topic and key whose delete was lost, until the tombstone is lost too.
    lost: Option<(String, Vec<u8>)>,
}

impl Planted {
    /// What the environment asks for.
    ///
    /// # Panics
    /// If it asks for an unknown mistake: a test that plants nothing must not look like one that does.
    pub(crate) fn from_environment() -> Planted {
        let mistake = std::env::var(VARIABLE)
            .ok()
            .map(|name| match name.as_str() {
                "drop-row" => Mistake::DropRow,
                "row-twice" => Mistake::RowTwice,
                "lose-delete" => Mistake::LoseDelete,
                _ => panic!("{VARIABLE} is {name:?}; it takes drop-row, row-twice or lose-delete"),
            });
        Planted::new(mistake)
    }

    fn new(mistake: Option<Mistake>) -> Planted {
        Planted {
            mistake,
            csn: 0,
            records: 0,
            lost: None,
        }
    }

    /// How often a streamed record of `topic` is written: once, unless it is the one.
    pub(crate) fn copies(&mut self, topic: &str, held: &Held) -> usize {
        let Some(mistake) = self.mistake else {
            return 1;
        };
        let Version { csn, .. } = held.version;
        if self.csn != csn {
            (self.csn, self.records) = (csn, 0);
        }
        if held.tombstone {
            let same = |(of, key): &mut (String, Vec<u8>)| of == topic && *key == held.key;
            return usize::from(self.lost.take_if(same).is_none());
        }
        if is_delete(&held.value) != (mistake == Mistake::LoseDelete) {
            return 1;
        }
        self.records += 1;
        if self.records != MADE_AT {
            return 1;
        }
        let key = String::from_utf8_lossy(&held.key);
        tracing::warn!(?mistake, topic, %key, version = ?held.version, "planted a mistake");
        match mistake {
            Mistake::DropRow => 0,
            Mistake::RowTwice => 2,
            Mistake::LoseDelete => {
                self.lost = Some((topic.to_owned(), held.key.clone()));
                0
            }
        }
    }
}

/// Whether an envelope is a delete; its `op` comes after the row and the source block.
fn is_delete(envelope: &[u8]) -> bool {
    const OP: &[u8] = b"\"op\":\"";
    envelope
        .windows(OP.len())
        .rposition(|window| window == OP)
        .is_some_and(|at| envelope[at + OP.len()..].starts_with(b"d\""))
}

#[cfg(test)]
mod tests {
    use headrace_clients::change::Schema;

    use super::*;

    fn held(number: u64, value: &str) -> Held {
        Held {
            version: Version {
                csn: number / 2_000,
                index: number,
            },
            schema: Schema { columns: vec![] }.id(),
            key: b"{\"id\":7}".to_vec(),
            value: value.as_bytes().to_vec(),
            tombstone: value.is_empty(),
        }
    }

    /// The numbers (from 1) of the records not written once, and how often they are.
    fn wrong(mistake: Option<Mistake>, values: &[&str]) -> Vec<(u64, usize)> {
        let mut planted = Planted::new(mistake);
        let values = values.iter().cycle().take(3_000);
        (1..)
            .zip(values)
            .map(|(number, value)| (number, planted.copies("t", &held(number, value))))
            .filter(|(_, copies)| *copies != 1)
            .collect()
    }

    #[test]
    fn each_mistake_is_made_once_in_a_large_transaction() {
        let insert = r#"{"after":{"v":"\"op\":\"d\""},"op":"c","ts_ms":1}"#;
        let delete = r#"{"after":null,"op":"d","ts_ms":1}"#;
        let load = [insert, delete, ""];
        assert_eq!(wrong(None, &load), []);
        assert_eq!(wrong(Some(Mistake::DropRow), &load), [(1498, 0)]);
        assert_eq!(wrong(Some(Mistake::RowTwice), &load), [(1498, 2)]);
        assert_eq!(
            wrong(Some(Mistake::LoseDelete), &load),
            [(1499, 0), (1500, 0)]
        );
    }
}
