//! A row in Redis' form, and the arguments of the function call.
//!
//! ```text
//! hash   field value field value …   NULL absent; a row of NULLs alone keeps its key by  __null 1
//! json   {"field":value,…}           the envelope's own JSON text of each value, NULL as null
//! ```
//! The values of one row lie in one buffer with their ends, so a row costs two allocations.
use headrace_clients::change::Row;
use redis::Cmd;

use crate::config::Form;
use crate::sink::{Call, Identity, Operation, Partition};
use crate::value::{self, ValueError};
use crate::view::Field;

/// A row as the arguments that write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisValue {
    form: Form,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RedisValue {
    fn new(form: Form, fields: usize) -> RedisValue {
        RedisValue {
            form,
            bytes: Vec::with_capacity(fields * 24),
            ends: Vec::with_capacity(fields * 2),
        }
    }

    fn push(&mut self, argument: &[u8]) {
        self.bytes.extend_from_slice(argument);
        self.ends.push(self.bytes.len());
    }

    /// The arguments: field and value in turn, or the one string.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let start_of = |at: usize| if at == 0 { 0 } else { self.ends[at - 1] };
        self.ends
            .iter()
            .enumerate()
            .map(move |(at, end)| &self.bytes[start_of(at)..*end])
    }

    /// Size of the arguments, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Turns a row into its arguments; the error names the column.
pub(super) fn encode(
    form: Form,
    fields: &[Field],
    row: &Row<'_>,
) -> Result<RedisValue, (String, ValueError)> {
    match form {
        Form::Hash => hash(fields, row),
        Form::Json => Ok(json(fields, row)),
    }
}

fn hash(fields: &[Field], row: &Row<'_>) -> Result<RedisValue, (String, ValueError)> {
    let mut value = RedisValue::new(Form::Hash, fields.len());
    for field in fields {
        let Some(json) = field.place.of(row) else {
            continue;
        };
        let plain =
            value::plain(field.ty, json).map_err(|error| (field.place.name.clone(), error))?;
        value.push(field.name.as_bytes());
        value.push(&plain);
    }
    if value.ends.is_empty() {
        value.push(b"__null");
        value.push(b"1");
    }
    Ok(value)
}

fn json(fields: &[Field], row: &Row<'_>) -> RedisValue {
    let mut value = RedisValue::new(Form::Json, fields.len());
    value.bytes.push(b'{');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            value.bytes.push(b',');
        }
        serde_json::to_writer(&mut value.bytes, &field.name)
            .expect("memory takes all bytes and text serializes");
        value.bytes.push(b':');
        let json = field.place.of(row).unwrap_or("null");
        value.bytes.extend_from_slice(json.as_bytes());
    }
    value.bytes.push(b'}');
    value.ends.push(value.bytes.len());
    value
}

/// Everything a call needs beside the call itself.
#[derive(Debug, Clone)]
pub(super) struct Addressee<'a> {
    /// Name of the loaded function.
    pub(super) function: &'a str,
    /// Key of the view's watermark.
    pub(super) watermark: &'a str,
    /// The partition.
    pub(super) partition: Partition,
    /// The log and definition.
    pub(super) identity: &'a Identity,
}

/// The `FCALL` of a call, as `apply.lua` reads it.
pub(super) fn command(to: &Addressee<'_>, call: &Call<RedisValue>) -> Cmd {
    let mut cmd = redis::cmd("FCALL");
    cmd.arg(to.function)
        .arg(call.operations.len() + 1)
        .arg(to.watermark);
    for operation in call.operations.iter() {
        cmd.arg(&operation.key);
    }
    cmd.arg(to.partition.0)
        .arg(to.identity.log.to_string())
        .arg(to.identity.definition.as_str());
    cmd.arg(call.epoch.0);
    match call.previous {
        Some(offset) => cmd.arg(offset.0),
        None => cmd.arg("-"),
    };
    cmd.arg(u8::from(call.first)).arg(call.position.offset.0);
    version(&mut cmd, call.position.version);
    cmd.arg(u8::from(call.position.partial));
    for operation in call.operations.iter() {
        arguments(&mut cmd, operation);
    }
    cmd
}

fn arguments(cmd: &mut Cmd, operation: &Operation<RedisValue>) {
    cmd.arg(operation.offset.0);
    version(cmd, operation.version);
    let Some(value) = &operation.value else {
        cmd.arg("d").arg(0);
        return;
    };
    let kind = match value.form {
        Form::Hash => "h",
        Form::Json => "s",
    };
    let arguments = value.arguments();
    cmd.arg(kind).arg(arguments.len());
    for argument in arguments {
        cmd.arg(argument);
    }
}

fn version(cmd: &mut Cmd, version: Option<headrace_clients::change::Version>) {
    match version {
        Some(version) => cmd.arg(version.csn).arg(version.index),
        None => cmd.arg("-").arg("-"),
    };
}

#[cfg(test)]
mod tests {
    use headrace_clients::change::ColumnType;

    use super::*;
    use crate::value::Place;

    fn fields() -> Vec<Field> {
        let columns = [
            ("id", ColumnType::UInt),
            ("name", ColumnType::Text),
            ("raw", ColumnType::Bytes),
            ("doc", ColumnType::Json),
            (
                "price",
                ColumnType::Decimal {
                    precision: 5,
                    scale: 2,
                },
            ),
        ];
        let field = |(index, (name, ty)): (usize, (&str, ColumnType))| Field {
            name: name.to_uppercase(),
            place: Place {
                index,
                name: name.into(),
            },
            ty,
        };
        columns.into_iter().enumerate().map(field).collect()
    }

    fn texts(form: Form, row: &str) -> Vec<String> {
        let row = Row::parse(row.as_bytes()).unwrap();
        let value = encode(form, &fields(), &row).unwrap();
        value
            .arguments()
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect()
    }

    const ROW: &str = r#"{"id":18446744073709551615,"name":"a\"b","raw":"YWI=","doc":{"x": 1.10},"price":"1.50"}"#;

    #[test]
    fn a_hash_holds_plain_values() {
        assert_eq!(
            texts(Form::Hash, ROW),
            [
                "ID",
                "18446744073709551615",
                "NAME",
                "a\"b",
                "RAW",
                "ab",
                "DOC",
                r#"{"x": 1.10}"#,
                "PRICE",
                "1.50"
            ]
        );
    }

    #[test]
    fn a_json_string_holds_the_envelopes_values() {
        assert_eq!(
            texts(Form::Json, ROW),
            [
                r#"{"ID":18446744073709551615,"NAME":"a\"b","RAW":"YWI=","DOC":{"x": 1.10},"PRICE":"1.50"}"#
            ]
        );
    }

    #[test]
    fn null_is_an_absent_field_or_json_null() {
        let row = r#"{"id":null,"name":"","raw":null,"doc":null,"price":null}"#;
        assert_eq!(texts(Form::Hash, row), ["NAME", ""]);
        let row = row.replace(r#""""#, "null");
        assert_eq!(texts(Form::Hash, &row), ["__null", "1"]);
        assert_eq!(
            texts(Form::Json, &row),
            [r#"{"ID":null,"NAME":null,"RAW":null,"DOC":null,"PRICE":null}"#]
        );
    }

    #[test]
    fn a_value_of_another_form_names_its_column() {
        let row = Row::parse(br#"{"raw":"?"}"#).unwrap();
        assert_eq!(encode(Form::Hash, &fields(), &row).unwrap_err().0, "raw");
    }
}
