//! The last records of a topic: of each partition its last ones, and of these the newest.
use std::io::Write;

use headrace_clients::{ClientConfig, Record, last_records};

use super::{Bounds, Shown};

/// Shows the last records in the order of their times; in each partition that of their offsets.
pub(super) async fn show(
    client: &ClientConfig,
    bounds: &Bounds,
    count: u32,
    shown: &mut Shown<impl Write>,
) -> anyhow::Result<()> {
    let count = usize::try_from(count)?;
    let mut partitions = Vec::new();
    for (place, (start, end)) in &bounds.0 {
        if start < end {
            let last = last_records(client, &place.topic, place.partition, count).await?;
            partitions.push((place.partition, last));
        }
    }
    for (partition, record) in newest(partitions, count) {
        shown.show(partition, &record)?;
    }
    shown.out.flush()?;
    Ok(())
}

/// The newest of all records, taken from the ends of the partitions, so that none passes another of its partition.
fn newest(mut partitions: Vec<(i32, Vec<Record>)>, count: usize) -> Vec<(i32, Record)> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let last = partitions
            .iter_mut()
            .filter(|(_, records)| !records.is_empty())
            .max_by_key(|(partition, records)| {
                (records.last().map(|record| record.timestamp_ms), *partition)
            });
        let Some((partition, records)) = last else {
            break;
        };
        taken.extend(records.pop().map(|record| (*partition, record)));
    }
    taken.reverse();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_records_come_in_the_order_of_time_and_of_offsets() {
        let record = |offset, timestamp_ms| Record {
            offset,
            timestamp_ms,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let partitions = || {
            vec![
                (0, vec![record(0, 10), record(1, 40), record(2, 30)]),
                (1, vec![record(0, 20), record(1, 35)]),
                (2, Vec::new()),
            ]
        };
        let newest = |count| {
            let records = newest(partitions(), count).into_iter();
            records.map(|(p, r)| (p, r.offset)).collect::<Vec<_>>()
        };
        assert_eq!(newest(3), [(0, 1), (0, 2), (1, 1)]);
        assert_eq!(newest(9), [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)]);
    }
}
