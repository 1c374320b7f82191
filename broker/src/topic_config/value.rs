//! How values of settings are read: each gives what was meant, or a text for the user.

use std::time::Duration;

pub(super) fn number(text: &str, least: i64, greatest: i64) -> Result<i64, String> {
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| "not a whole number".to_owned())?;
    if (least..=greatest).contains(&number) {
        Ok(number)
    } else {
        Err(format!("must lie between {least} and {greatest}"))
    }
}

/// A number whose least value is 0 or more.
pub(super) fn unsigned(text: &str, least: i64, greatest: i64) -> Result<u64, String> {
    Ok(number(text, least, greatest)?.unsigned_abs())
}

/// A time whose least value is 0 or more.
pub(super) fn millis(text: &str, least: i64) -> Result<Duration, String> {
    unsigned(text, least, i64::MAX).map(Duration::from_millis)
}

/// A limit; the greatest number stands for none, as in Kafka.
pub(super) fn limit(text: &str, least: i64) -> Result<Option<u64>, String> {
    let number = unsigned(text, least, i64::MAX)?;
    Ok((number != i64::MAX.unsigned_abs()).then_some(number))
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    let text = text.trim();
    match (
        text.eq_ignore_ascii_case("true"),
        text.eq_ignore_ascii_case("false"),
    ) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(one_of(text, &["true", "false"])),
    }
}

/// A size that was checked to lie between 0 and 2^31 - 1.
pub(super) fn size(bytes: i64) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

/// A codec's level that was checked to be a few digits long.
pub(super) fn level_of(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(0)
}

pub(super) fn one_of(found: &str, known: &[&str]) -> String {
    format!("{found:?} is none of {}", known.join(", "))
}

/// A setting whose one value is what this broker does anyway: it may be said, and nothing else may.
pub(super) fn only(text: &str, value: &str, why: &str) -> Result<(), String> {
    if text.trim().eq_ignore_ascii_case(value) {
        return Ok(());
    }
    Err(format!("only {value:?} is possible: {why}"))
}

/// The entries of a list; empty ones count for nothing, and none counts twice.
pub(crate) fn entries(text: &str) -> Vec<&str> {
    let mut entries = Vec::new();
    for entry in text.split(',').map(str::trim) {
        if !entry.is_empty() && !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries
}
