//! A filter bound to the columns of one schema: every literal converted to its column's type, once.
//!
//! | column | literals it takes | compared as |
//! |---|---|---|
//! | integers, YEAR, BIT(1) | int, uint; double; `true` `false` with == and != | i128; decimal |
//! | DECIMAL | int, uint, double, text of digits | decimal, exact |
//! | FLOAT, DOUBLE | int, uint, double | f64 |
//! | text, ENUM, SET, UUID, INET | text | bytes |
//! | DATE, DATETIME, TIMESTAMP | text, a date alone means its midnight | canonical text |
//! | TIME | text `[-]HH:MM:SS[.ffffff]` | microseconds |
//!
//! Binary and JSON columns are refused. A column that only a newer schema has is NULL here.
use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use headrace_clients::change::{Column, ColumnType, Row, Schema};

use super::{Comparison, Filter, Literal, Node, Operator};
use crate::value::{self, Place, ValueError};

/// Longest text of a number that is compared, in bytes: DECIMAL has 65 digits, DOUBLE up to 330.
const DIGITS_MAX: usize = 400;

/// Why a filter does not fit a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// No such column.
    #[error("the table has no column `{0}`")]
    Unknown(String),
    /// The literal cannot be compared with the column.
    #[error("column `{column}` is {is}, which cannot be compared with {literal}")]
    Type {
        /// The column.
        column: String,
        /// Its type, for people.
        is: &'static str,
        /// The literal, for people.
        literal: String,
    },
}

/// A filter ready for the rows of one schema.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundFilter {
    root: BoundNode,
}

#[derive(Debug, Clone, PartialEq)]
enum BoundNode {
    And(Box<BoundNode>, Box<BoundNode>),
    Or(Box<BoundNode>, Box<BoundNode>),
    Not(Box<BoundNode>),
    /// The column came later: NULL, so no comparison holds.
    Never,
    Compare(Place, Operator, Test),
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Integer(i128),
    Decimal(BigDecimal),
    Double(f64),
    Text(String),
    Moment(String),
    Time(i64),
}

impl Filter {
    /// Binds to `schema`; a column that it lacks and `newest` has is NULL.
    pub fn bind(&self, schema: &Schema, newest: &Schema) -> Result<BoundFilter, BindError> {
        bind_node(&self.root, schema, newest).map(|root| BoundFilter { root })
    }
}

fn bind_node(node: &Node, schema: &Schema, newest: &Schema) -> Result<BoundNode, BindError> {
    let boxed = |node: &Node| bind_node(node, schema, newest).map(Box::new);
    Ok(match node {
        Node::And(a, b) => BoundNode::And(boxed(a)?, boxed(b)?),
        Node::Or(a, b) => BoundNode::Or(boxed(a)?, boxed(b)?),
        Node::Not(a) => BoundNode::Not(boxed(a)?),
        Node::Compare(comparison) => bind_comparison(comparison, schema, newest)?,
    })
}

fn bind_comparison(
    comparison: &Comparison,
    schema: &Schema,
    newest: &Schema,
) -> Result<BoundNode, BindError> {
    let Comparison {
        column: name,
        operator,
        literal,
    } = comparison;
    let place = schema
        .columns
        .iter()
        .position(|column| column.name == *name);
    let Some(column) = place
        .map(|index| &schema.columns[index])
        .or_else(|| newest.column(name))
    else {
        return Err(BindError::Unknown(name.clone()));
    };
    let test = test(column, *operator, literal).ok_or_else(|| BindError::Type {
        column: name.clone(),
        is: type_name(column.ty),
        literal: literal.to_string(),
    })?;
    Ok(match place {
        Some(index) => BoundNode::Compare(
            Place {
                index,
                name: name.clone(),
            },
            *operator,
            test,
        ),
        None => BoundNode::Never,
    })
}

/// The table above; `None` where column and literal do not go together.
fn test(column: &Column, operator: Operator, literal: &Literal) -> Option<Test> {
    use ColumnType as T;
    match (column.ty, literal) {
        (T::Int | T::UInt | T::Year | T::Bit, Literal::Int(value)) => Some(Test::Integer(*value)),
        (T::Int | T::UInt | T::Bit, Literal::Bool(value)) => {
            matches!(operator, Operator::Equal | Operator::NotEqual)
                .then_some(Test::Integer(i128::from(*value)))
        }
        (T::Int | T::UInt | T::Year | T::Bit | T::Decimal { .. }, Literal::Double(digits)) => {
            digits.parse().ok().map(Test::Decimal)
        }
        (T::Decimal { .. }, Literal::Int(value)) => Some(Test::Decimal((*value).into())),
        (T::Decimal { .. }, Literal::Text(digits)) => decimal(digits).map(Test::Decimal),
        (T::Float | T::Double, Literal::Int(value)) => {
            value.to_string().parse().ok().map(Test::Double)
        }
        (T::Float | T::Double, Literal::Double(digits)) => digits.parse().ok().map(Test::Double),
        (T::Text | T::Enum | T::Set | T::Uuid | T::Inet, Literal::Text(text)) => {
            Some(Test::Text(text.clone()))
        }
        (T::Date, Literal::Text(text)) => is_date(text).then(|| Test::Moment(text.clone())),
        (T::DateTime { fraction } | T::Timestamp { fraction }, Literal::Text(text)) => {
            moment(text, fraction, matches!(column.ty, T::Timestamp { .. })).map(Test::Moment)
        }
        (T::Time { .. }, Literal::Text(text)) => microseconds(text).map(Test::Time),
        _ => None,
    }
}

impl BoundFilter {
    /// True when the row belongs to the view.
    ///
    /// # Errors
    /// With the column's name, when a value is not of its column's form.
    pub fn accepts(&self, row: &Row<'_>) -> Result<bool, (String, ValueError)> {
        self.root.holds(row)
    }
}

impl BoundNode {
    fn holds(&self, row: &Row<'_>) -> Result<bool, (String, ValueError)> {
        match self {
            BoundNode::And(a, b) => Ok(a.holds(row)? && b.holds(row)?),
            BoundNode::Or(a, b) => Ok(a.holds(row)? || b.holds(row)?),
            BoundNode::Not(a) => a.holds(row).map(|holds| !holds),
            BoundNode::Never => Ok(false),
            BoundNode::Compare(place, operator, test) => match place.of(row) {
                None => Ok(false),
                Some(json) => test
                    .order(json)
                    .map(|order| operator.holds(order))
                    .map_err(|error| (place.name.clone(), error)),
            },
        }
    }
}

impl Operator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterEqual => order.is_ge(),
        }
    }
}

impl Test {
    /// Order of the column's value against the literal.
    fn order(&self, json: &str) -> Result<Ordering, ValueError> {
        let text = value::text(json)?;
        let wrong = |expected| ValueError::new(expected, json);
        match self {
            Test::Integer(literal) => text
                .parse::<i128>()
                .map(|value| value.cmp(literal))
                .map_err(|_| wrong("an integer")),
            Test::Decimal(literal) => decimal(&text)
                .map(|value| value.cmp(literal))
                .ok_or_else(|| wrong("a decimal number")),
            Test::Double(literal) => text
                .parse::<f64>()
                .ok()
                .and_then(|value| value.partial_cmp(literal))
                .ok_or_else(|| wrong("a number")),
            Test::Text(literal) => Ok(text.as_bytes().cmp(literal.as_bytes())),
            Test::Moment(literal) => Ok(text.strip_suffix('Z').unwrap_or(&text).cmp(literal)),
            Test::Time(literal) => microseconds(&text)
                .map(|value| value.cmp(literal))
                .ok_or_else(|| wrong("a time")),
        }
    }
}

/// Plain digits with sign and point; an exponent is refused, for it could ask for any amount of memory.
fn decimal(text: &str) -> Option<BigDecimal> {
    let plain = text.len() <= DIGITS_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    plain.then(|| text.parse().ok()).flatten()
}

/// `2026-01-01`, zero dates included.
fn is_date(text: &str) -> bool {
    matches_shape(text, "0000-00-00")
}

/// True when `text` has a digit wherever `shape` has one, and the same character elsewhere.
fn matches_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, like)| {
            if like.is_ascii_digit() {
                byte.is_ascii_digit()
            } else {
                byte == like
            }
        })
}

/// The literal in the column's canonical text without its `Z`: `T` between date and time, fraction padded.
fn moment(text: &str, fraction: u8, utc: bool) -> Option<String> {
    if is_date(text) {
        return moment(&format!("{text}T00:00:00"), fraction, utc);
    }
    let text = if utc {
        text.strip_suffix('Z').unwrap_or(text)
    } else {
        text
    };
    let (seconds, digits) = text.split_once('.').unwrap_or((text, ""));
    let shaped = matches_shape(seconds, "0000-00-00T00:00:00");
    if !shaped || digits.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let width = usize::from(fraction);
    let digits = format!("{digits:0<width$}");
    Some(if digits.is_empty() {
        seconds.to_owned()
    } else {
        format!("{seconds}.{digits}")
    })
}

/// `[-]HH:MM:SS[.ffffff]`, hours up to three digits.
fn microseconds(text: &str) -> Option<i64> {
    let (negative, text) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (clock, digits) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let shaped = (2..=3).contains(&hours.len())
        && minutes.len() == 2
        && seconds.len() == 2
        && parts.next().is_none();
    let all_digits = [hours, minutes, seconds, digits]
        .iter()
        .all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if !shaped || !all_digits || digits.len() > 6 {
        return None;
    }
    let number = |part: &str| part.parse::<i64>().ok();
    let whole = (number(hours)? * 60 + number(minutes)?) * 60 + number(seconds)?;
    let value = whole * 1_000_000 + number(&format!("{digits:0<6}"))?;
    Some(if negative { -value } else { value })
}

fn type_name(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Int | ColumnType::UInt | ColumnType::Year | ColumnType::Bit => "an integer",
        ColumnType::Decimal { .. } => "a DECIMAL",
        ColumnType::Float | ColumnType::Double => "a floating-point number",
        ColumnType::Text => "text",
        ColumnType::Enum => "an ENUM (text)",
        ColumnType::Set => "a SET (text)",
        ColumnType::Uuid => "a UUID (text)",
        ColumnType::Inet => "an address (text)",
        ColumnType::Bytes => "binary",
        ColumnType::Json => "JSON",
        ColumnType::Date => "a DATE ('2026-01-31')",
        ColumnType::Time { .. } => "a TIME ('13:05:00')",
        ColumnType::DateTime { .. } => "a DATETIME ('2026-01-31T13:05:00')",
        ColumnType::Timestamp { .. } => "a TIMESTAMP ('2026-01-31T13:05:00Z')",
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Int(value) => write!(f, "the number {value}"),
            Literal::Double(digits) => write!(f, "the number {digits}"),
            Literal::Text(text) => write!(f, "the text '{text}'"),
            Literal::Bool(value) => write!(f, "{value}"),
        }
    }
}
