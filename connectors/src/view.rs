//! What a view is: its definition as configured, and the same bound to a table's schema.
//!
//! ```text
//! ViewConfig -> Definition --bind(schema of the record, newest schema)--> BoundView
//!               text checked                                              columns found, types checked
//!
//! record --BoundView::change--> Change { key, Some(row) | None }
//!   c u r, where holds      put the whole row
//!   c u r, where fails      delete the key (the row is not, or no longer, in the view)
//!   d, tombstone            delete the key
//! ```
//! Everything here is pure. A column that the newest schema has and an older record's lacks is absent
//! there (NULL to `where`); a column that neither has is a definite error that names the nearest known one.
mod key;

use headrace_clients::change::{ColumnType, Envelope, EnvelopeError, Op, Row, Schema};

use crate::config::{ConfigError, Form, ViewConfig, nearest};
use crate::expression::{BindError, BoundFilter, Filter};
use crate::value::{Place, ValueError};

pub use key::KeyTemplate;

/// Raised when the meaning of a definition changes, so that views are rebuilt.
const DEFINITION_FORMAT: &str = "1";

/// A view as configured; nothing of it needs a schema.
#[derive(Debug, Clone)]
pub struct Definition {
    form: Form,
    key: KeyTemplate,
    filter: Option<Filter>,
    fields: Option<Vec<(String, String)>>,
    hash: DefinitionHash,
}

/// Names a definition by its content: 40 hexadecimal digits. Another hash beside a watermark means another view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionHash(String);

impl DefinitionHash {
    /// As stored beside the watermark.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Definition {
    /// Checks and parses what was configured.
    pub fn new(config: &ViewConfig) -> Result<Definition, ConfigError> {
        let view = &config.name;
        let key = KeyTemplate::parse(&config.key)
            .map_err(|reason| ConfigError::new(view, "key", reason))?;
        let filter = config
            .where_
            .as_deref()
            .map(|text| parse_filter(view, text))
            .transpose()?;
        if config
            .fields
            .as_ref()
            .is_some_and(std::collections::BTreeMap::is_empty)
        {
            let error = ConfigError::new(view, "fields", "no field is named");
            return Err(error.hint("leave `fields` out to take all columns"));
        }
        for (name, column) in config.fields.iter().flatten() {
            check_field(view, name, column)?;
        }
        Ok(Definition {
            form: config.as_.unwrap_or_default(),
            key,
            filter,
            fields: config
                .fields
                .clone()
                .map(|fields| fields.into_iter().collect()),
            hash: hash(config),
        })
    }

    /// The key template.
    pub fn key(&self) -> &KeyTemplate {
        &self.key
    }

    /// How a Redis target keeps a row.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The hash stored beside the watermark.
    pub fn hash(&self) -> &DefinitionHash {
        &self.hash
    }

    /// Binds to the schema of a record; `newest` is the newest schema known of the same table.
    pub fn bind(&self, schema: &Schema, newest: &Schema) -> Result<BoundView, DefinitionError> {
        self.check_key(schema)?;
        let unknown = |column: &str| {
            let known = newest
                .columns
                .iter()
                .chain(&schema.columns)
                .map(|column| column.name.as_str());
            DefinitionError::Unknown {
                column: column.to_owned(),
                nearest: nearest(column, known).map(str::to_owned),
            }
        };
        let filter = self
            .filter
            .as_ref()
            .map(|filter| filter.bind(schema, newest))
            .transpose();
        let filter = filter.map_err(|error| match error {
            BindError::Unknown(column) => unknown(&column),
            error @ BindError::Type { .. } => DefinitionError::Filter(error),
        })?;
        let fields = match &self.fields {
            None => all_fields(schema),
            Some(fields) => {
                chosen_fields(fields, schema, newest).map_err(|column| unknown(&column))?
            }
        };
        Ok(BoundView {
            key: self.key.clone(),
            filter,
            fields,
        })
    }

    /// The fields the view has for rows of `schema`.
    pub fn fields(&self, schema: &Schema) -> Vec<Field> {
        match &self.fields {
            None => all_fields(schema),
            Some(fields) => chosen_fields(fields, schema, schema).unwrap_or_default(),
        }
    }

    fn check_key(&self, schema: &Schema) -> Result<(), DefinitionError> {
        let key: Vec<&str> = schema
            .key_columns()
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        let complete = key
            .iter()
            .all(|name| self.key.columns().any(|column| column == *name))
            && self.key.columns().all(|column| key.contains(&column));
        if complete && !key.is_empty() {
            return Ok(());
        }
        Err(DefinitionError::Key {
            key: key.join(", "),
        })
    }
}

fn parse_filter(view: &str, text: &str) -> Result<Filter, ConfigError> {
    Filter::parse(text).map_err(|error| {
        let hint = error.hint();
        let error = ConfigError::new(view, "where", error.to_string());
        hint.map_or(error.clone(), |hint| error.hint(hint))
    })
}

/// A field takes one column by its plain name.
fn check_field(view: &str, name: &str, column: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name.starts_with("__") {
        let message = format!(
            "`{name}` is no name for a field: names are not empty and do not start with `__`"
        );
        return Err(ConfigError::new(view, "fields", message));
    }
    let operator = |c: char| "()[]'\"+*/%<>=!&|?,;".contains(c);
    if column.is_empty() || column.contains(operator) {
        let message = format!("not yet supported: `{name} = \"{column}\"` is an expression");
        return Err(
            ConfigError::new(view, "fields", message).hint("a field takes a column by its name")
        );
    }
    Ok(())
}

fn hash(config: &ViewConfig) -> DefinitionHash {
    let ViewConfig {
        name: _,
        from,
        to: _,
        as_,
        key,
        where_,
        fields,
    } = config;
    let form = match as_.unwrap_or_default() {
        Form::Hash => "hash",
        Form::Json => "json",
    };
    let canonical = serde_json::json!([DEFINITION_FORMAT, from, form, key, where_, fields]);
    DefinitionHash(
        sha1_smol::Sha1::from(canonical.to_string())
            .digest()
            .to_string(),
    )
}

fn all_fields(schema: &Schema) -> Vec<Field> {
    let field = |(index, column): (usize, &headrace_clients::change::Column)| Field {
        name: column.name.clone(),
        place: Place {
            index,
            name: column.name.clone(),
        },
        ty: column.ty,
    };
    schema.columns.iter().enumerate().map(field).collect()
}

/// The named columns; one that only `newest` has is left out; `Err` with one that neither has.
fn chosen_fields(
    fields: &[(String, String)],
    schema: &Schema,
    newest: &Schema,
) -> Result<Vec<Field>, String> {
    let mut chosen = Vec::with_capacity(fields.len());
    for (name, column) in fields {
        match schema
            .columns
            .iter()
            .position(|known| known.name == *column)
        {
            Some(index) => chosen.push(Field {
                name: name.clone(),
                place: Place {
                    index,
                    name: column.clone(),
                },
                ty: schema.columns[index].ty,
            }),
            None if newest.column(column).is_some() => {}
            None => return Err(column.clone()),
        }
    }
    Ok(chosen)
}

/// Why a definition does not fit its table; a view stops at the record that shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// `where` or `fields` names a column that the table does not have.
    #[error("the table has no column `{column}`{}", nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    Unknown {
        /// As configured.
        column: String,
        /// The known column most like it.
        nearest: Option<String>,
    },
    /// A literal that does not go with its column.
    #[error("`where`: {0}")]
    Filter(BindError),
    /// The key template is not over the primary key.
    #[error(
        "the key must use all primary-key columns and nothing else; the primary key is ({key})"
    )]
    Key {
        /// Names of the primary key's columns.
        key: String,
    },
}

/// One field of the view's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name in the target.
    pub name: String,
    /// The column it takes.
    pub place: Place,
    /// The column's type.
    pub ty: ColumnType,
}

/// A view ready for the records of one schema.
#[derive(Debug, Clone)]
pub struct BoundView {
    key: KeyTemplate,
    filter: Option<BoundFilter>,
    fields: Vec<Field>,
}

/// What one record does to the view.
#[derive(Debug)]
pub struct Change<'a> {
    /// Key in the target.
    pub key: String,
    /// The whole row to put, or `None` to delete.
    pub row: Option<Row<'a>>,
}

/// Why a record cannot be applied; retrying alone does not help.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Key or value is not a captured change.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The record has no key.
    #[error("the record has no key")]
    NoKey,
    /// A value is not of its column's form.
    #[error("column `{column}`: {error}")]
    Value {
        /// The column.
        column: String,
        /// What is wrong with it.
        error: ValueError,
    },
}

impl From<(String, ValueError)> for RecordError {
    fn from((column, error): (String, ValueError)) -> RecordError {
        RecordError::Value { column, error }
    }
}

impl BoundView {
    /// The fields of a row, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// What a record with this value does; see the module.
    pub fn change<'a>(
        &self,
        key: Option<&[u8]>,
        value: &'a [u8],
    ) -> Result<Change<'a>, RecordError> {
        let key = render_key(&self.key, key)?;
        let envelope = Envelope::parse(value)?;
        let row = match (envelope.op, envelope.after) {
            (Op::Delete, _) | (_, None) => None,
            (Op::Create | Op::Update | Op::Read, Some(after)) => Some(Row::of(after)?),
        };
        let row = match (row, &self.filter) {
            (Some(row), Some(filter)) => filter.accepts(&row)?.then_some(row),
            (row, _) => row,
        };
        Ok(Change { key, row })
    }
}

impl Definition {
    /// What a tombstone does: it deletes, and needs no schema.
    pub fn tombstone(&self, key: Option<&[u8]>) -> Result<Change<'static>, RecordError> {
        render_key(&self.key, key).map(|key| Change { key, row: None })
    }
}

fn render_key(template: &KeyTemplate, key: Option<&[u8]>) -> Result<String, RecordError> {
    let key = Row::parse(key.ok_or(RecordError::NoKey)?)?;
    Ok(template.render(&key)?)
}

#[cfg(test)]
mod tests;
