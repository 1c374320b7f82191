//! A row as a Tantivy document: its JSON text stored, its columns indexed.
//!
//! A value that its field cannot represent (a zero date, JSON that is no object) is stored and not indexed.
use headrace_clients::change::Row;
use tantivy::schema::OwnedValue;
use tantivy::{DateTime, TantivyDocument};
use time::{Date, Month, PrimitiveDateTime, Time};

use super::layout::{Kind, Layout, Slot};
use crate::value::{self, ValueError};
use crate::view::Field;

/// A document without its key.
#[derive(Debug, Clone)]
pub struct TantivyValue {
    pub(super) document: TantivyDocument,
    size_bytes: usize,
}

impl TantivyValue {
    /// Size of the row's JSON text.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// Turns a row into its document; the error names the column.
pub(super) fn encode(
    layout: &Layout,
    fields: &[Field],
    row: &Row<'_>,
) -> Result<TantivyValue, (String, ValueError)> {
    let mut document = TantivyDocument::new();
    let mut text = String::from("{");
    for field in fields {
        let Some(json) = field.place.of(row) else {
            continue;
        };
        if text.len() > 1 {
            text.push(',');
        }
        let name = serde_json::to_string(&field.name).expect("text serializes");
        text.push_str(&name);
        text.push(':');
        text.push_str(json);
        if let Some(slot) = layout.slots.get(&field.name) {
            add(&mut document, slot, json).map_err(|error| (field.place.name.clone(), error))?;
        }
    }
    text.push('}');
    let size_bytes = text.len();
    document.add_text(layout.row, text);
    Ok(TantivyValue {
        document,
        size_bytes,
    })
}

fn add(document: &mut TantivyDocument, slot: &Slot, json: &str) -> Result<(), ValueError> {
    let Some(field) = slot.field else {
        return Ok(());
    };
    match slot.kind {
        Kind::I64 => drop(json.parse().map(|value| document.add_i64(field, value))),
        Kind::U64 => drop(json.parse().map(|value| document.add_u64(field, value))),
        Kind::F64 => drop(json.parse().map(|value| document.add_f64(field, value))),
        Kind::Decimal => {
            let digits = value::text(json)?;
            drop(digits.parse().map(|value| document.add_f64(field, value)));
            if let Some(exact) = slot.exact {
                document.add_text(exact, digits);
            }
        }
        Kind::Text | Kind::Keyword => document.add_text(field, value::text(json)?),
        Kind::Date => {
            if let Some(moment) = moment(&value::text(json)?) {
                document.add_date(field, moment);
            }
        }
        Kind::Json => {
            if let Some(OwnedValue::Object(members)) =
                serde_json::from_str(json).ok().and_then(owned)
            {
                document.add_object(field, members.into_iter().collect());
            }
        }
        Kind::Stored => {}
    }
    Ok(())
}

/// JSON as Tantivy's value; `None` for null.
fn owned(json: serde_json::Value) -> Option<OwnedValue> {
    use serde_json::Value;
    Some(match json {
        Value::Null => return None,
        Value::Bool(value) => OwnedValue::Bool(value),
        Value::Number(number) => {
            let (signed, unsigned) = (
                number.as_i64().map(OwnedValue::I64),
                number.as_u64().map(OwnedValue::U64),
            );
            signed.or(unsigned).or_else(|| {
                number
                    .as_f64()
                    .filter(|value| value.is_finite())
                    .map(OwnedValue::F64)
            })?
        }
        Value::String(text) => OwnedValue::Str(text),
        Value::Array(values) => OwnedValue::Array(values.into_iter().filter_map(owned).collect()),
        Value::Object(members) => {
            let member = |(name, value)| owned(value).map(|value| (name, value));
            OwnedValue::Object(members.into_iter().filter_map(member).collect())
        }
    })
}

/// `2026-01-31`, `2026-01-31T13:05:00[.ffffff][Z]`; `None` for zero dates and years an index cannot hold.
fn moment(text: &str) -> Option<DateTime> {
    let (date, clock) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let clock = clock.strip_suffix('Z').unwrap_or(clock);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut numbers = date
        .split('-')
        .chain(clock.split(':'))
        .map(|part| part.parse::<u16>().ok());
    let mut number = || numbers.next().flatten();
    let small = |value: u16| u8::try_from(value).ok();
    let (year, month, day) = (number()?, small(number()?)?, small(number()?)?);
    let (hour, minute, second) = (small(number()?)?, small(number()?)?, small(number()?)?);
    let micro = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let date = Date::from_calendar_date(i32::from(year), Month::try_from(month).ok()?, day).ok()?;
    let clock = Time::from_hms_micro(hour, minute, second, micro).ok()?;
    let nanos = PrimitiveDateTime::new(date, clock)
        .assume_utc()
        .unix_timestamp_nanos();
    i64::try_from(nanos)
        .ok()
        .map(DateTime::from_timestamp_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn representable_moments_are_indexed_and_others_not() {
        let nanos = |text| moment(text).map(DateTime::into_timestamp_nanos);
        assert_eq!(nanos("1970-01-01"), Some(0));
        assert_eq!(nanos("1970-01-01T00:00:01.5"), Some(1_500_000_000));
        assert_eq!(
            nanos("1970-01-02T00:00:00.000001Z"),
            Some(86_400_000_001_000)
        );
        assert_eq!(nanos("1969-12-31T23:59:59"), Some(-1_000_000_000));
        for never in [
            "0000-00-00",
            "2026-00-10",
            "2026-02-30",
            "9999-12-31T23:59:59",
            "0001-01-01",
            "",
            "x",
            "2026-01-01T1",
        ] {
            assert_eq!(nanos(never), None, "{never}");
        }
    }
}
