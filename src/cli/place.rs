//! Places in a partition, as they are written on the command line.
//!
//! ```text
//! earliest   latest   42   @1700000000000   @2026-11-21   @2026-11-21T10:00:00Z   @-90m
//! ```
//! An `@` is a time: milliseconds since 1970, a date or a date and time in RFC 3339 (UTC where no zone is given), or
//! so long ago.
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headrace_clients::{Admin, AdminError, OffsetAt, TopicPartition};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Earliest,
    Latest,
    Offset(i64),
    Time(When),
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Milliseconds since 1970.
    At(i64),
    /// So long before now.
    Ago(Duration),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        match text {
            "earliest" => return Ok(Place::Earliest),
            "latest" => return Ok(Place::Latest),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return when(time).map(Place::Time);
        }
        match text.parse() {
            Ok(offset) if offset >= 0 => Ok(Place::Offset(offset)),
            _ => Err("write earliest, latest, an offset, or @TIME".to_owned()),
        }
    }
}

impl Place {
    /// The offset of this place in each partition, within what the partition has now.
    pub(super) async fn find(
        self,
        admin: &Admin,
        bounds: &Bounds,
    ) -> Result<BTreeMap<TopicPartition, i64>, AdminError> {
        let places = bounds.0.keys().cloned();
        let found = match self {
            Place::Time(when) => Some(admin.offsets(places, OffsetAt::Time(when.ms())).await?),
            _ => None,
        };
        let offset = |(place, (start, end)): (&TopicPartition, &(i64, i64))| {
            let offset = match self {
                Place::Earliest => *start,
                Place::Latest => *end,
                Place::Offset(offset) => offset,
                // nothing that late yet: what comes next
                Place::Time(_) => found
                    .as_ref()
                    .and_then(|found| found.get(place).copied().flatten())
                    .unwrap_or(*end),
            };
            (place.clone(), offset)
        };
        Ok(bounds.0.iter().map(offset).collect())
    }
}

/// The log start and the high watermark of partitions.
#[derive(Clone, Debug)]
pub(super) struct Bounds(pub(super) BTreeMap<TopicPartition, (i64, i64)>);

impl Bounds {
    pub(super) async fn ask(
        admin: &Admin,
        places: Vec<TopicPartition>,
    ) -> Result<Bounds, AdminError> {
        let starts = admin.offsets(places.clone(), OffsetAt::Earliest).await?;
        let mut ends = admin.offsets(places, OffsetAt::Latest).await?;
        let both = starts.into_iter().map(|(place, start)| {
            let start = start.unwrap_or(0);
            let end = ends.remove(&place).flatten().unwrap_or(start);
            (place, (start, end.max(start)))
        });
        Ok(Bounds(both.collect()))
    }
}

impl When {
    /// Milliseconds since 1970.
    pub(super) fn ms(self) -> i64 {
        match self {
            When::At(ms) => ms,
            When::Ago(ago) => {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                i64::try_from(now.saturating_sub(ago).as_millis()).unwrap_or(i64::MAX)
            }
        }
    }
}

/// Reads what stands behind an `@`.
pub(super) fn when(text: &str) -> Result<When, String> {
    if let Some(ago) = text.strip_prefix('-') {
        return duration(ago).map(When::Ago);
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(When::At(ms));
    }
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
        .or_else(|_| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339));
    let at = at.map_err(|_| {
        format!(
            "{text:?} is no time; write milliseconds, 2026-11-21T10:00:00Z, or -90m for so long ago"
        )
    })?;
    let ms = at.unix_timestamp_nanos() / 1_000_000;
    i64::try_from(ms)
        .map(When::At)
        .map_err(|_| format!("{text:?} is too far away"))
}

/// Reads `90s`, `15m`, `36h`, `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write a number and s, m, h or d, such as 90m");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let place = |text: &str| text.parse::<Place>();
        assert_eq!(place("earliest"), Ok(Place::Earliest));
        assert_eq!(place("latest"), Ok(Place::Latest));
        assert_eq!(place("42"), Ok(Place::Offset(42)));
        let at = |ms| Ok(Place::Time(When::At(ms)));
        assert_eq!(place("@1700000000123"), at(1_700_000_000_123));
        assert_eq!(place("@2023-11-14T22:13:20Z"), at(1_700_000_000_000));
        assert_eq!(place("@2023-11-14T23:13:20+01:00"), at(1_700_000_000_000));
        assert_eq!(place("@2023-11-14T22:13:20"), at(1_700_000_000_000));
        assert_eq!(place("@2023-11-14"), at(1_699_920_000_000));
        let ago = Ok(Place::Time(When::Ago(Duration::from_mins(90))));
        assert_eq!(place("@-90m"), ago);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for wrong in [
            "",
            "-1",
            "first",
            "@",
            "@-",
            "@-5",
            "@-5y",
            "@yesterday",
            "1.5",
            "@-ä",
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
        assert!(duration("99999999999999999999d").is_err());
        assert!(duration("18446744073709551615d").is_err());
    }
}
