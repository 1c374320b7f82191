//! The JSON of a captured record: its key and its Debezium-shaped value, written straight into a
//! buffer that is used again.
//!
//! ```text
//! key    {"id":7}
//! value  {"before":ROW|null,"after":ROW|null,
//!         "source":{"version","connector","name","ts_ms","snapshot","db","table",
//!                   "server_id","gtid","file","pos","row"},"op":"c|u|d|r","ts_ms":N}
//! ```
//! Everything that does not change from row to row is written once, when the shape of the table
//! becomes known: the labels of the columns, the head of the source block.

use headrace_clients::change::{Op, Schema};

use crate::value::{Value, write_json_string};

/// What is fixed about the records of one version of one table.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// `{"name":` for the first column, `,"name":` for the others.
    labels: Vec<Vec<u8>>,
    /// Place and label of each key column, in key order.
    key: Vec<(usize, Vec<u8>)>,
    /// `"source":{"version":…,"connector":…,"name":…,"ts_ms":`
    source_head: Vec<u8>,
    /// `,"db":…,"table":…,"server_id":`
    source_table: Vec<u8>,
}

/// Who captures what: the names in the source block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// `mysql` or `mariadb`.
    pub connector: &'a str,
    /// The source's name.
    pub source: &'a str,
    /// The table's database.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
}

/// Where in the source a row comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// When the source committed it, in milliseconds since 1970.
    pub ts_ms: u64,
    /// `false`, `true`, or `last` for the last row of a snapshot.
    pub snapshot: &'static str,
    /// The server that wrote it.
    pub server_id: u32,
    /// The transaction; none for snapshot rows.
    pub gtid: Option<&'a str>,
    /// The binlog file, empty for snapshot rows.
    pub file: &'a str,
    /// Where the event begins in the file.
    pub pos: u64,
    /// The row's place in its event.
    pub row: u64,
    /// When we wrote the record, in milliseconds since 1970.
    pub written_ms: u64,
}

impl Shape {
    /// Prepares the texts of a table whose columns and key `schema` names.
    pub(crate) fn new(names: Names<'_>, schema: &Schema) -> Shape {
        let labels = schema
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| label(at, &column.name))
            .collect();
        let mut key: Vec<(u32, usize)> = schema
            .columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| Some((column.key?, at)))
            .collect();
        key.sort_unstable();
        let key = key
            .into_iter()
            .enumerate()
            .map(|(place, (_, at))| (at, label(place, &schema.columns[at].name)))
            .collect();
        let mut source_head = b"\"source\":{\"version\":\"".to_vec();
        source_head.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
        source_head.extend_from_slice(b"\",\"connector\":");
        write_json_string(&mut source_head, names.connector);
        source_head.extend_from_slice(b",\"name\":");
        write_json_string(&mut source_head, names.source);
        source_head.extend_from_slice(b",\"ts_ms\":");
        let mut source_table = b"\",\"db\":".to_vec();
        write_json_string(&mut source_table, names.database);
        source_table.extend_from_slice(b",\"table\":");
        write_json_string(&mut source_table, names.table);
        source_table.extend_from_slice(b",\"server_id\":");
        Shape {
            labels,
            key,
            source_head,
            source_table,
        }
    }

    /// Appends the key of a row, one value per column in table order.
    pub(crate) fn write_key(&self, row: &[Value<'_>], out: &mut Vec<u8>) {
        for (at, label) in &self.key {
            out.extend_from_slice(label);
            row[*at].write_json(out);
        }
        out.push(b'}');
    }

    /// Whether both rows have the same key.
    pub(crate) fn same_key(&self, one: &[Value<'_>], other: &[Value<'_>]) -> bool {
        self.key.iter().all(|(at, _)| one[*at] == other[*at])
    }

    /// Appends the envelope.
    pub(crate) fn write_envelope(
        &self,
        op: Op,
        before: Option<&[Value<'_>]>,
        after: Option<&[Value<'_>]>,
        origin: &Origin<'_>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"{\"before\":");
        self.write_row(before, out);
        out.extend_from_slice(b",\"after\":");
        self.write_row(after, out);
        out.push(b',');
        self.write_source(origin, out);
        out.extend_from_slice(b",\"op\":\"");
        out.push(letter(op));
        out.extend_from_slice(b"\",\"ts_ms\":");
        write_decimal(out, origin.written_ms);
        out.push(b'}');
    }

    fn write_row(&self, row: Option<&[Value<'_>]>, out: &mut Vec<u8>) {
        let Some(row) = row else {
            out.extend_from_slice(b"null");
            return;
        };
        for (label, value) in self.labels.iter().zip(row) {
            out.extend_from_slice(label);
            value.write_json(out);
        }
        out.push(b'}');
    }

    fn write_source(&self, origin: &Origin<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.source_head);
        write_decimal(out, origin.ts_ms);
        out.extend_from_slice(b",\"snapshot\":\"");
        out.extend_from_slice(origin.snapshot.as_bytes());
        out.extend_from_slice(&self.source_table);
        write_decimal(out, u64::from(origin.server_id));
        out.extend_from_slice(b",\"gtid\":");
        match origin.gtid {
            Some(gtid) => write_json_string(out, gtid),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"file\":");
        write_json_string(out, origin.file);
        out.extend_from_slice(b",\"pos\":");
        write_decimal(out, origin.pos);
        out.extend_from_slice(b",\"row\":");
        write_decimal(out, origin.row);
        out.push(b'}');
    }
}

fn letter(op: Op) -> u8 {
    match op {
        Op::Create => b'c',
        Op::Update => b'u',
        Op::Delete => b'd',
        Op::Read => b'r',
    }
}

/// The text before a value: the opening brace or comma, and the name.
fn label(place: usize, name: &str) -> Vec<u8> {
    let mut text = vec![if place == 0 { b'{' } else { b',' }];
    write_json_string(&mut text, name);
    text.push(b':');
    text
}

/// Appends a number in decimal digits.
pub(crate) fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [b'0'; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] += u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use headrace_clients::change::{Column, ColumnType, Envelope};

    use super::*;

    fn shape() -> Shape {
        let column = |name: &str, key| Column {
            name: name.to_owned(),
            ty: ColumnType::Text,
            key,
            nullable: false,
            default: None,
        };
        let schema = Schema {
            columns: vec![
                column("b\"", Some(2)),
                column("id", Some(1)),
                column("v", None),
            ],
        };
        Shape::new(
            Names {
                connector: "mariadb",
                source: "shop",
                database: "d",
                table: "t",
            },
            &schema,
        )
    }

    fn origin() -> Origin<'static> {
        Origin {
            ts_ms: 1000,
            snapshot: "false",
            server_id: 3,
            gtid: Some("0-3-9"),
            file: "binlog.000001",
            pos: 4,
            row: 1,
            written_ms: 2000,
        }
    }

    #[test]
    fn a_key_has_the_key_columns_in_key_order() {
        let mut out = Vec::new();
        shape().write_key(
            &[Value::Text("x".into()), Value::Int(7), Value::Null],
            &mut out,
        );
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"id":7,"b\"":"x"}"#);
    }

    #[test]
    fn golden_envelope() {
        let (one, two) = (
            [Value::Text("x".into()), Value::Int(7), Value::Null],
            [
                Value::Text("x".into()),
                Value::Int(7),
                Value::Text("w".into()),
            ],
        );
        let mut out = Vec::new();
        shape().write_envelope(Op::Update, Some(&one), Some(&two), &origin(), &mut out);
        let version = env!("CARGO_PKG_VERSION");
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            format!(
                concat!(
                    r#"{{"before":{{"b\"":"x","id":7,"v":null}},"after":{{"b\"":"x","id":7,"v":"w"}},"#,
                    r#""source":{{"version":"{}","connector":"mariadb","name":"shop","ts_ms":1000,"snapshot":"false","db":"d","table":"t","#,
                    r#""server_id":3,"gtid":"0-3-9","file":"binlog.000001","pos":4,"row":1}},"op":"u","ts_ms":2000}}"#
                ),
                version
            )
        );
        Envelope::parse(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_snapshot_row_has_no_gtid() {
        let mut out = Vec::new();
        let row = [Value::Text("x".into()), Value::Int(7), Value::Null];
        let origin = Origin {
            gtid: None,
            snapshot: "last",
            file: "",
            ..origin()
        };
        shape().write_envelope(Op::Read, None, Some(&row), &origin, &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert!(json["source"]["gtid"].is_null() && json["before"].is_null());
        assert_eq!(
            (json["op"].as_str(), json["source"]["snapshot"].as_str()),
            (Some("r"), Some("last"))
        );
    }

    #[test]
    fn decimals_are_written_whole() {
        for number in [0, 9, 10, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn keys_differ_by_any_key_column() {
        let shape = shape();
        let row = |id, v: &'static str| {
            [
                Value::Text("x".into()),
                Value::Int(id),
                Value::Text(v.into()),
            ]
        };
        assert!(shape.same_key(&row(1, "a"), &row(1, "b")));
        assert!(!shape.same_key(&row(1, "a"), &row(2, "a")));
    }
}
