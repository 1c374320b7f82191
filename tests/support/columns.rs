//! The tables of the tests, column by column: how SQL, the envelope, Redis and the index show each type.
//!
//! The SQL side is the truth. Each column has an expression that makes its text in the server; the other ends are parsed
//! into the same [`Value`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use headrace_servers::{Database, Flavor};
use serde_json::Value as Json;

use super::{Row, Table};

/// A column's value, as far apart as tests must tell values.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    /// Anything whose text is exact: numbers, DECIMAL, times, text, ENUM, SET.
    Text(String),
    /// FLOAT and DOUBLE: equal when they read back as the same number.
    Number(f64),
    Bytes(Vec<u8>),
    Json(Json),
}

/// How a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON number in the envelope and the index, digits in Redis.
    Integer,
    /// JSON string everywhere.
    Text,
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// base64 in the envelope, raw in Redis, not in the index; the number of bytes if SQL must pad them (BIT).
    Binary,
    /// `BIT(n)` with n > 1: as binary, of this many bytes.
    Bits(usize),
    /// A JSON column of MySQL (on MariaDB it is text).
    Json,
    DateTime,
    Timestamp,
}

/// A column of a test table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// Its SQL type and attributes.
    pub sql: &'static str,
    pub kind: Kind,
}

const fn column(name: &'static str, sql: &'static str, kind: Kind) -> Column {
    Column { name, sql, kind }
}

/// A test table; the first `key` columns are its primary key.
#[derive(Debug, Clone)]
pub struct TableShape {
    pub name: &'static str,
    pub key: usize,
    pub columns: Vec<Column>,
}

/// Every type that is captured, over one integer key.
pub fn products() -> TableShape {
    TableShape {
        name: "products",
        key: 1,
        columns: vec![
            column("id", "BIGINT UNSIGNED NOT NULL", Kind::Integer),
            column(
                "name",
                "VARCHAR(80) CHARACTER SET utf8mb4 NOT NULL",
                Kind::Text,
            ),
            column(
                "status",
                "ENUM('draft','live','sold out') NOT NULL",
                Kind::Text,
            ),
            column("price", "DECIMAL(12,2)", Kind::Text),
            column("big_price", "DECIMAL(65,30)", Kind::Text),
            column("tiny", "TINYINT", Kind::Integer),
            column("small_plus", "SMALLINT UNSIGNED", Kind::Integer),
            column("medium", "MEDIUMINT", Kind::Integer),
            column("medium_plus", "MEDIUMINT UNSIGNED", Kind::Integer),
            column("whole", "INT", Kind::Integer),
            column("big_plus", "BIGINT UNSIGNED", Kind::Integer),
            column("flag", "BOOL", Kind::Integer),
            column("weight", "FLOAT", Kind::Float),
            column("ratio", "DOUBLE", Kind::Double),
            column("latin", "VARCHAR(40) CHARACTER SET latin1", Kind::Text),
            column("plain", "CHAR(12) CHARACTER SET ascii", Kind::Text),
            column("long_text", "TEXT CHARACTER SET utf8mb4", Kind::Text),
            column("fixed", "BINARY(6)", Kind::Binary),
            column("variable", "VARBINARY(30)", Kind::Binary),
            column("picture", "BLOB", Kind::Binary),
            column("day", "DATE", Kind::Text),
            column("span", "TIME", Kind::Text),
            column("span_fine", "TIME(3)", Kind::Text),
            column("made", "DATETIME", Kind::DateTime),
            column("made_fine", "DATETIME(6)", Kind::DateTime),
            column("changed", "TIMESTAMP(3) NULL", Kind::Timestamp),
            column("model", "YEAR", Kind::Integer),
            column("colors", "SET('red','green','blue')", Kind::Text),
            column("one_bit", "BIT(1)", Kind::Integer),
            column("some_bits", "BIT(19)", Kind::Bits(3)),
            column("document", "JSON", Kind::Json),
        ],
    }
}

/// A composite key whose parts need escaping in key templates.
pub fn orders() -> TableShape {
    TableShape {
        name: "orders",
        key: 2,
        columns: vec![
            column(
                "customer",
                "VARCHAR(20) CHARACTER SET utf8mb4 NOT NULL",
                Kind::Text,
            ),
            column("no", "INT NOT NULL", Kind::Integer),
            column("note", "VARCHAR(60) CHARACTER SET utf8mb4", Kind::Text),
            column("total", "DECIMAL(10,3)", Kind::Text),
        ],
    }
}

/// Filled by one large transaction.
pub fn bulk() -> TableShape {
    TableShape {
        name: "bulk",
        key: 1,
        columns: vec![
            column("id", "INT NOT NULL", Kind::Integer),
            column("note", "VARCHAR(40) CHARACTER SET utf8mb4", Kind::Text),
        ],
    }
}

impl TableShape {
    /// `CREATE TABLE shop.NAME (…)`.
    pub fn create(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|c| format!("`{}` {}", c.name, c.sql))
            .collect();
        let key: Vec<String> = self.columns[..self.key]
            .iter()
            .map(|c| format!("`{}`", c.name))
            .collect();
        format!(
            "CREATE TABLE shop.{} ({}, PRIMARY KEY ({}))",
            self.name,
            columns.join(", "),
            key.join(", ")
        )
    }

    /// Every row as the server shows it, columns limited to those `wanted`.
    pub fn select(
        &self,
        database: &Database,
        wanted: impl Fn(&Column) -> bool,
        filter: &str,
    ) -> Table {
        let wanted: Vec<&Column> = self.columns.iter().filter(|c| wanted(c)).collect();
        let flavor = database.flavor();
        let shown = |c: &&Column| format!("HEX(CAST({} AS BINARY))", c.expression());
        let key: Vec<String> = self.columns[..self.key].iter().map(|c| shown(&c)).collect();
        let values: Vec<String> = wanted.iter().map(shown).collect();
        let sql = format!(
            "SET time_zone='+00:00'; SELECT {}, {} FROM shop.{} WHERE {filter}",
            key.join(", "),
            values.join(", "),
            self.name
        );
        let printed = database.sql(&sql).expect("SELECT of the expected rows");
        let mut table = Table::new();
        for line in printed.lines() {
            let cells: Vec<Option<Vec<u8>>> = line.split('\t').map(from_hex).collect();
            let (key, values) = cells.split_at(self.key);
            let key: Vec<String> = key
                .iter()
                .map(|part| text(part.as_deref().expect("a key is not NULL")))
                .collect();
            let row: Row = wanted
                .iter()
                .zip(values)
                .map(|(c, cell)| (c.name.to_owned(), c.from_sql(cell.as_deref(), flavor)))
                .collect();
            table.insert(key.join("/"), row);
        }
        table
    }

    /// The row of an envelope's `before` or `after`.
    pub fn row_of_envelope(&self, image: &Json, flavor: Flavor) -> Row {
        let image = image.as_object().expect("a row image is an object");
        self.columns
            .iter()
            .filter_map(|c| Some((c.name.to_owned(), c.from_json(image.get(c.name)?, flavor))))
            .collect()
    }

    /// The key of a record's JSON key, in the order of the primary key.
    pub fn key_of(&self, key: &Json) -> String {
        let parts: Vec<String> = self.columns[..self.key]
            .iter()
            .map(|c| match &key[c.name] {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        parts.join("/")
    }
}

impl Column {
    /// The SQL expression whose text is the column's canonical form.
    fn expression(&self) -> String {
        let name = format!("`{}`", self.name);
        match self.kind {
            Kind::Integer if self.sql.starts_with("BIT") => format!("{name}+0"),
            Kind::Integer | Kind::Json => format!("CAST({name} AS CHAR)"),
            Kind::Text if self.sql.contains("latin1") => format!("CONVERT({name} USING utf8mb4)"),
            Kind::Text => format!("CAST({name} AS CHAR CHARACTER SET utf8mb4)"),
            // a FLOAT's own text is cut to six digits
            Kind::Float | Kind::Double => format!("CAST(CAST({name} AS DOUBLE) AS CHAR)"),
            Kind::Binary => name,
            Kind::Bits(bytes) => format!("UNHEX(LPAD(HEX({name}+0),{},'0'))", bytes * 2),
            Kind::DateTime => format!("REPLACE(CAST({name} AS CHAR),' ','T')"),
            Kind::Timestamp => format!("CONCAT(REPLACE(CAST({name} AS CHAR),' ','T'),'Z')"),
        }
    }

    fn from_sql(&self, cell: Option<&[u8]>, flavor: Flavor) -> Value {
        let Some(bytes) = cell else {
            return Value::Null;
        };
        match self.kind {
            Kind::Binary | Kind::Bits(_) => Value::Bytes(bytes.to_vec()),
            Kind::Float => Value::Number(single(text(bytes).parse().expect("a number"))),
            Kind::Double => Value::Number(text(bytes).parse().expect("a number")),
            Kind::Json if flavor == Flavor::MySql => {
                Value::Json(serde_json::from_slice(bytes).expect("the server's JSON"))
            }
            _ => Value::Text(text(bytes)),
        }
    }

    /// The value in an envelope or a search hit.
    pub fn from_json(&self, value: &Json, flavor: Flavor) -> Value {
        match (self.kind, value) {
            (_, Json::Null) => Value::Null,
            (Kind::Binary | Kind::Bits(_), Json::String(text)) => {
                Value::Bytes(BASE64.decode(text).expect("base64"))
            }
            (Kind::Integer, Json::Number(number)) => Value::Text(number.to_string()),
            (Kind::Float, Json::Number(number)) => {
                Value::Number(single(number.to_string().parse().expect("a number")))
            }
            (Kind::Double, Json::Number(number)) => {
                Value::Number(number.to_string().parse().expect("a number"))
            }
            (Kind::Json, value) if flavor == Flavor::MySql => Value::Json(value.clone()),
            (Kind::Text | Kind::DateTime | Kind::Timestamp | Kind::Json, Json::String(text)) => {
                Value::Text(text.clone())
            }
            (_, other) => panic!("column {}: the envelope shows {other}", self.name),
        }
    }

    /// The value in a Redis hash.
    pub fn from_cache(&self, bytes: &[u8], flavor: Flavor) -> Value {
        match self.kind {
            Kind::Binary | Kind::Bits(_) => Value::Bytes(bytes.to_vec()),
            Kind::Float => Value::Number(single(text(bytes).parse().expect("a number"))),
            Kind::Double => Value::Number(text(bytes).parse().expect("a number")),
            Kind::Json if flavor == Flavor::MySql => {
                Value::Json(serde_json::from_slice(bytes).expect("JSON in Redis"))
            }
            _ => Value::Text(text(bytes)),
        }
    }
}

/// The double of the single-precision number nearest to this one.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to single precision is the point"
)]
fn single(number: f64) -> f64 {
    f64::from(number as f32)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A cell as the client prints it: hexadecimal digits, or NULL.
fn from_hex(cell: &str) -> Option<Vec<u8>> {
    if cell == "NULL" {
        return None;
    }
    let digit = |c: u8| {
        u8::try_from((c as char).to_digit(16).expect("a hexadecimal digit")).expect("below 16")
    };
    Some(
        cell.as_bytes()
            .chunks(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect(),
    )
}
