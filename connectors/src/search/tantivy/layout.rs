//! Which columns an index has and how each is indexed.
//!
//! | columns | field | queries |
//! |---|---|---|
//! | integers, YEAR, BIT(1) | i64; unsigned u64 | `id:7`, `id:[1 TO 9]` |
//! | DECIMAL | f64 under its name, exact text under `NAME.exact` | `price:[1 TO 2]`, `price.exact:1.50` |
//! | FLOAT, DOUBLE | f64 | ranges |
//! | CHAR, VARCHAR, TEXT | text, split into words | words and phrases |
//! | ENUM, SET, UUID, INET, TIME | keyword | whole values |
//! | DATE, DATETIME, TIMESTAMP | date, where representable | `at:[2026-01-01T00:00:00Z TO *}` |
//! | JSON objects | JSON | `doc.path:word` |
//! | binary, names an index cannot have | none | stored only |
use std::collections::BTreeMap;

use headrace_clients::change::ColumnType;
use serde::{Deserialize, Serialize};
use tantivy::schema::{
    DateOptions, DateTimePrecision, FAST, Field as IndexField, INDEXED, JsonObjectOptions, STORED,
    STRING, Schema, SchemaBuilder, TEXT, TextFieldIndexing, TextOptions,
};

use crate::view::Field;

/// Start of the names that are ours.
const RESERVED: &str = "__headrace";
const KEY: &str = "__headrace_key";
const ROW: &str = "__headrace_row";

/// How a column is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    I64,
    U64,
    F64,
    Decimal,
    Text,
    Keyword,
    Date,
    Json,
    Stored,
}

fn kind(field: &Field) -> Kind {
    use ColumnType as T;
    if field.name.starts_with(RESERVED) || field.name.starts_with('-') || field.name.is_empty() {
        return Kind::Stored;
    }
    match field.ty {
        T::Int | T::Year | T::Bit => Kind::I64,
        T::UInt => Kind::U64,
        T::Float | T::Double => Kind::F64,
        T::Decimal { .. } => Kind::Decimal,
        T::Text => Kind::Text,
        T::Enum | T::Set | T::Uuid | T::Inet | T::Time { .. } => Kind::Keyword,
        T::Date | T::DateTime { .. } | T::Timestamp { .. } => Kind::Date,
        T::Json => Kind::Json,
        T::Bytes => Kind::Stored,
    }
}

/// Name in the index -> how it is indexed.
pub(super) type Columns = BTreeMap<String, Kind>;

/// The columns that rows with these fields need.
pub(super) fn columns(fields: &[Field]) -> Columns {
    fields
        .iter()
        .map(|field| (field.name.clone(), kind(field)))
        .collect()
}

/// True when an index with columns `have` can hold rows of `need`.
pub(super) fn covers(have: &Columns, need: &Columns) -> bool {
    need.iter().all(|(name, kind)| have.get(name) == Some(kind))
}

/// Where a column's values go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    /// None for [`Kind::Stored`].
    pub(super) field: Option<IndexField>,
    /// The exact text of a [`Kind::Decimal`].
    pub(super) exact: Option<IndexField>,
}

/// The columns as fields of a Tantivy schema.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) schema: Schema,
    pub(super) key: IndexField,
    pub(super) row: IndexField,
    pub(super) slots: BTreeMap<String, Slot>,
}

impl Layout {
    pub(super) fn new(columns: &Columns) -> Layout {
        let mut builder = Schema::builder();
        let key = builder.add_text_field(KEY, STRING | STORED);
        let row = builder.add_text_field(ROW, TextOptions::from(STORED));
        let mut slots = BTreeMap::new();
        for (name, kind) in columns {
            let exact_name = format!("{name}.exact");
            let exact = *kind == Kind::Decimal && !columns.contains_key(&exact_name);
            let slot = Slot {
                kind: *kind,
                field: add_field(&mut builder, name, *kind),
                exact: exact.then(|| builder.add_text_field(&exact_name, STRING)),
            };
            slots.insert(name.clone(), slot);
        }
        Layout {
            schema: builder.build(),
            key,
            row,
            slots,
        }
    }

    /// The fields that a word without a field name is looked for in.
    pub(super) fn default_fields(&self) -> Vec<IndexField> {
        let textual = |slot: &&Slot| matches!(slot.kind, Kind::Text | Kind::Keyword);
        self.slots
            .values()
            .filter(textual)
            .filter_map(|slot| slot.field)
            .collect()
    }
}

fn add_field(builder: &mut SchemaBuilder, name: &str, kind: Kind) -> Option<IndexField> {
    Some(match kind {
        Kind::I64 => builder.add_i64_field(name, INDEXED | FAST),
        Kind::U64 => builder.add_u64_field(name, INDEXED | FAST),
        Kind::F64 | Kind::Decimal => builder.add_f64_field(name, INDEXED | FAST),
        Kind::Text => builder.add_text_field(name, TEXT),
        Kind::Keyword => builder.add_text_field(name, STRING),
        Kind::Date => {
            let options = DateOptions::default().set_indexed().set_fast();
            builder.add_date_field(name, options.set_precision(DateTimePrecision::Microseconds))
        }
        Kind::Json => {
            let indexing = TextFieldIndexing::default().set_tokenizer("default");
            builder.add_json_field(
                name,
                JsonObjectOptions::default().set_indexing_options(indexing),
            )
        }
        Kind::Stored => return None,
    })
}
