//! Reads a Redis view back, as an application would.

use std::collections::BTreeMap;

use headrace_servers::Flavor;

use super::columns::TableShape;
use super::{Row, Table};

/// How many keys one SCAN step and one pipeline take.
const SCAN_COUNT: usize = 1000;

/// Every hash below `prefix`, its key without the prefix as the row's key.
pub fn hashes(url: &str, prefix: &str, shape: &TableShape, flavor: Flavor) -> Table {
    let mut connection = connect(url);
    let mut table = Table::new();
    let keys = keys(&mut connection, prefix);
    for keys in keys.chunks(SCAN_COUNT) {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.hgetall(key);
        }
        let rows: Vec<BTreeMap<String, Vec<u8>>> =
            pipeline.query(&mut connection).expect("HGETALL");
        for (key, fields) in keys.iter().zip(rows) {
            table.insert(decode(&key[prefix.len()..]), row(&fields, shape, flavor));
        }
    }
    table
}

/// Every JSON string below `prefix`, its key without the prefix as the row's key.
pub fn documents(url: &str, prefix: &str, shape: &TableShape, flavor: Flavor) -> Table {
    let mut connection = connect(url);
    let mut table = Table::new();
    let keys = keys(&mut connection, prefix);
    for keys in keys.chunks(SCAN_COUNT) {
        let documents: Vec<Option<Vec<u8>>> = redis::cmd("MGET")
            .arg(keys)
            .query(&mut connection)
            .expect("MGET");
        for (key, document) in keys.iter().zip(documents) {
            let document = document.expect("the key is there");
            let document = serde_json::from_slice(&document).expect("JSON in Redis");
            table.insert(
                decode(&key[prefix.len()..]),
                shape.row_of_envelope(&document, flavor),
            );
        }
    }
    table
}

fn row(fields: &BTreeMap<String, Vec<u8>>, shape: &TableShape, flavor: Flavor) -> Row {
    shape
        .columns
        .iter()
        .filter_map(|c| Some((c.name.to_owned(), c.from_cache(fields.get(c.name)?, flavor))))
        .collect()
}

/// The keys that start with `prefix`.
pub fn keys(connection: &mut redis::Connection, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(SCAN_COUNT)
            .query(connection)
            .expect("SCAN");
        keys.extend(found);
        if next == 0 {
            keys.sort();
            keys.dedup();
            return keys;
        }
        cursor = next;
    }
}

/// A connection to the Redis of the test.
pub fn connect(url: &str) -> redis::Connection {
    redis::Client::open(url)
        .expect("a Redis URL")
        .get_connection()
        .expect("Redis answers")
}

/// Undoes the percent-encoding of column values inside key templates.
fn decode(key: &str) -> String {
    key.replace("%3A", ":")
        .replace("%7B", "{")
        .replace("%7D", "}")
        .replace("%25", "%")
}
