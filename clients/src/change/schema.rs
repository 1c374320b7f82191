//! The schema of a captured table, as the topic `__headrace_schemas` holds it.
//!
//! A schema is its columns in table order and nothing else, so that equal tables share one id and a
//! table altered back gets its old id again. The id is a UUID of version 5 over the canonical JSON:
//! [`Schema::to_json`], whose bytes are fixed by the golden test below.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Namespace of schema ids: a random UUID, chosen once.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c1d_4f0e_9a53_4b7e_8f26_3d90_b5a1_e7c4);

/// Names a [`Schema`] by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(Uuid);

impl fmt::Display for SchemaId {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Why text is no schema id, or JSON no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The id is not 32 hexadecimal digits.
    #[error("a schema id has 32 hexadecimal digits")]
    Id,
    /// The JSON is not that of a schema.
    #[error("unreadable schema: {0}")]
    Json(#[from] serde_json::Error),
}

impl FromStr for SchemaId {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<SchemaId, SchemaError> {
        if text.len() != 32 {
            return Err(SchemaError::Id);
        }
        Uuid::try_parse(text)
            .map(SchemaId)
            .map_err(|_| SchemaError::Id)
    }
}

/// The columns of a table at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// In table order.
    pub columns: Vec<Column>,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// As the table declares it.
    pub name: String,
    /// What its values are in JSON.
    #[serde(rename = "type")]
    pub ty: ColumnType,
    /// Place in the primary key, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// True when NULL is allowed.
    pub nullable: bool,
    /// Declared default as the envelope's text of the value; `None` for none, NULL or an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// What a column holds, which decides its JSON form and its place in a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Signed integer: JSON number.
    Int,
    /// Unsigned integer: JSON number, exact to 64 bits.
    #[serde(rename = "uint")]
    UInt,
    /// YEAR: JSON number.
    Year,
    /// BIT(1): JSON number 0 or 1.
    Bit,
    /// DECIMAL: JSON string with its scale.
    Decimal {
        /// All digits.
        precision: u32,
        /// Digits after the point.
        scale: u32,
    },
    /// FLOAT: shortest JSON number that reads back equal.
    Float,
    /// DOUBLE: shortest JSON number that reads back equal.
    Double,
    /// Text of any length: JSON string.
    Text,
    /// Bytes of any length, BIT(n > 1): base64 JSON string.
    Bytes,
    /// DATE: `2026-01-01`.
    Date,
    /// TIME: `-00:00:01.500000`.
    Time {
        /// Declared fraction digits, 0 to 6.
        fraction: u8,
    },
    /// DATETIME: `2026-01-01T00:00:00.000001`.
    #[serde(rename = "datetime")]
    DateTime {
        /// Declared fraction digits, 0 to 6.
        fraction: u8,
    },
    /// TIMESTAMP: `2026-01-01T00:00:00.000001Z`.
    Timestamp {
        /// Declared fraction digits, 0 to 6.
        fraction: u8,
    },
    /// ENUM: JSON string.
    Enum,
    /// SET: JSON string `a,b`.
    Set,
    /// JSON, as itself.
    Json,
    /// UUID: JSON string.
    Uuid,
    /// INET4 and INET6: JSON string.
    Inet,
}

impl Schema {
    /// Canonical JSON: what the id is taken of and what the topic holds.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text, numbers and lists always serialize")
    }

    /// Reads the value of a record of `__headrace_schemas`.
    pub fn from_json(json: &[u8]) -> Result<Schema, SchemaError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// The id of this schema.
    pub fn id(&self) -> SchemaId {
        let mut hash = sha1_smol::Sha1::new();
        hash.update(NAMESPACE.as_bytes());
        hash.update(&self.to_json());
        let digest = hash.digest().bytes();
        let head = *digest.first_chunk().expect("a SHA-1 has 20 bytes");
        SchemaId(uuid::Builder::from_sha1_bytes(head).into_uuid())
    }

    /// The primary-key columns in key order.
    pub fn key_columns(&self) -> Vec<&Column> {
        let mut key: Vec<_> = self
            .columns
            .iter()
            .filter(|column| column.key.is_some())
            .collect();
        key.sort_by_key(|column| column.key);
        key
    }

    /// The column of that exact name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, ty: ColumnType, key: Option<u32>) -> Column {
        Column {
            name: name.into(),
            ty,
            key,
            nullable: key.is_none(),
            default: None,
        }
    }

    fn products() -> Schema {
        let price = ColumnType::Decimal {
            precision: 10,
            scale: 2,
        };
        let mut columns = vec![
            column("shop", ColumnType::UInt, Some(2)),
            column("id", ColumnType::Int, Some(1)),
            column("price", price, None),
            column("seen", ColumnType::DateTime { fraction: 6 }, None),
        ];
        columns[2].default = Some("0.00".into());
        Schema { columns }
    }

    #[test]
    fn golden_json_and_id() {
        let json = concat!(
            r#"{"columns":[{"name":"shop","type":"uint","key":2,"nullable":false},"#,
            r#"{"name":"id","type":"int","key":1,"nullable":false},"#,
            r#"{"name":"price","type":{"decimal":{"precision":10,"scale":2}},"nullable":true,"default":"0.00"},"#,
            r#"{"name":"seen","type":{"datetime":{"fraction":6}},"nullable":true}]}"#,
        );
        assert_eq!(String::from_utf8(products().to_json()).unwrap(), json);
        assert_eq!(Schema::from_json(json.as_bytes()).unwrap(), products());
        assert_eq!(
            products().id().to_string(),
            "f26249b08ed65a0c9b6613eb893363c8"
        );
    }

    #[test]
    fn an_id_is_a_version_5_uuid_without_hyphens() {
        let id = products().id();
        assert_eq!(id.0.get_version_num(), 5);
        assert_eq!(id.to_string().parse::<SchemaId>().unwrap(), id);
        for bad in [
            "",
            "xyz",
            "6c1d4f0e-9a53-4b7e-8f26-3d90b5a1e7c4",
            "gc1d4f0e9a534b7e8f263d90b5a1e7c4",
        ] {
            assert!(bad.parse::<SchemaId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn any_difference_changes_the_id() {
        let mut other = products();
        other.columns[3].ty = ColumnType::DateTime { fraction: 3 };
        assert_ne!(other.id(), products().id());
    }

    #[test]
    fn key_columns_come_in_key_order() {
        let products = products();
        let names: Vec<_> = products
            .key_columns()
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(names, ["id", "shop"]);
        assert!(products.column("price").is_some() && products.column("Price").is_none());
    }

    #[test]
    fn hostile_json_is_an_error() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"columns":[{"name":"a"}]}"#,
            r#"{"columns":[{"name":"a","type":"pear","nullable":true}]}"#,
        ] {
            assert!(Schema::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
