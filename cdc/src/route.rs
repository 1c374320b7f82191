//! Where a captured row goes: its table's topic, and the partition its key hashes to.
//!
//! The hash is the one of Kafka's Java client (murmur2), so a consumer that computes the partition
//! of a key finds it.

use std::collections::HashMap;

use headrace_clients::change::topic_name;

use crate::binlog::statement::Captured;
use crate::config::TableName;
use crate::error::SourceError;

/// Longest topic name Kafka takes.
const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// A captured table and its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The table.
    pub table: TableName,
    /// The topic its records go to.
    pub topic: String,
}

/// The captured tables of one source.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    by_database: HashMap<String, HashMap<String, usize>>,
}

impl Routes {
    /// Names the topics; two tables whose names become one topic are refused.
    pub(crate) fn plan(source: &str, tables: &[TableName]) -> Result<Routes, SourceError> {
        let mut routes: Vec<Route> = Vec::with_capacity(tables.len());
        let mut by_database: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for table in tables {
            let topic = topic_name(source, &table.database, &table.table);
            if topic.len() > TOPIC_NAME_LENGTH_MAX {
                return Err(SourceError::definite(
                    "topic-name-too-long",
                    format!(
                        "the topic of {table} would be {topic}, longer than {TOPIC_NAME_LENGTH_MAX} characters"
                    ),
                    "give the source a shorter name",
                ));
            }
            if let Some(other) = routes.iter().find(|route| route.topic == topic) {
                return Err(SourceError::definite(
                    "topic-collision",
                    format!(
                        "the tables {} and {table} would share the topic {topic}",
                        other.table
                    ),
                    "capture one of them by a source of another name",
                ));
            }
            by_database
                .entry(table.database.clone())
                .or_default()
                .insert(table.table.clone(), routes.len());
            routes.push(Route {
                table: table.clone(),
                topic,
            });
        }
        Ok(Routes {
            routes,
            by_database,
        })
    }

    /// The place in [`Routes::all`] of a table, if it is captured.
    pub(crate) fn find(&self, database: &str, table: &str) -> Option<usize> {
        self.by_database.get(database)?.get(table).copied()
    }

    /// Every route, in the order of the configuration.
    pub(crate) fn all(&self) -> &[Route] {
        &self.routes
    }
}

/// Statements may write a name in any case, which some servers then take as the same table.
impl Captured for Routes {
    fn table(&self, database: &str, table: &str) -> bool {
        self.routes.iter().any(|route| {
            route.table.database.eq_ignore_ascii_case(database)
                && route.table.table.eq_ignore_ascii_case(table)
        })
    }

    fn database(&self, database: &str) -> bool {
        self.routes
            .iter()
            .any(|route| route.table.database.eq_ignore_ascii_case(database))
    }
}

/// The partition of a key among `partitions`, as Kafka's Java client computes it.
pub(crate) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    if partitions <= 1 {
        return 0;
    }
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive).expect("31 bits fit") % partitions
}

/// Kafka's murmur2, seed included (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len() & 0xffff_ffff).expect("masked to 32 bits");
    let mut h = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, &byte) in rest.iter().enumerate() {
            h ^= u32::from(byte) << (8 * place);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(database: &str, table: &str) -> TableName {
        TableName {
            database: database.to_owned(),
            table: table.to_owned(),
        }
    }

    #[test]
    fn a_captured_table_is_found_and_another_is_not() {
        let routes = Routes::plan("s", &[table("a", "b"), table("a", "c")]).unwrap();
        assert_eq!(routes.find("a", "c"), Some(1));
        assert_eq!(routes.find("b", "c"), None);
        assert_eq!(routes.all()[1].topic, "s.a.c");
    }

    #[test]
    fn two_tables_of_one_topic_name_are_refused_by_name() {
        let error = Routes::plan("s", &[table("a", "x y"), table("a", "x_y")]).unwrap_err();
        assert!(error.to_string().contains("a.x y") && error.to_string().contains("a.x_y"));
    }

    #[test]
    fn the_hash_is_kafkas() {
        // the expected values of Kafka's own UtilsTest.testMurmur2
        let signed = |text: &str| i32::from_be_bytes(murmur2(text.as_bytes()).to_be_bytes());
        assert_eq!(signed("21"), -973_932_308);
        assert_eq!(signed("foobar"), -790_332_482);
        assert_eq!(signed("a-little-bit-long-string"), -985_981_536);
        assert_eq!(signed("a-little-bit-longer-string"), -1_486_304_829);
        assert_eq!(
            signed("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"),
            -58_897_971
        );
        assert_eq!(signed("abc"), 479_470_107);
    }

    #[test]
    fn one_partition_needs_no_hash() {
        assert_eq!(partition_of(b"x", 1), 0);
        assert!((0..7).contains(&partition_of(b"{\"id\":7}", 7)));
    }
}
