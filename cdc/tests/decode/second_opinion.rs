//! `mysql_cdc` reads the same files; where it is known to be right, its values must be ours.

use headrace_cdc::binlog::event::Event;
use headrace_cdc::binlog::rows::Plan;
use headrace_cdc::value::Value;
use mysql_cdc::binlog_reader::BinlogReader;
use mysql_cdc::events::binlog_event::BinlogEvent;
use mysql_cdc::events::row_events::mysql_value::MySqlValue;

use crate::file::{for_each_event, path, raw_events};

/// Its rows of the table `numbers`: all inserted by one statement.
fn their_rows(name: &str) -> Vec<Vec<Option<MySqlValue>>> {
    let file = std::fs::File::open(path(name)).expect("golden file");
    let mut table_id = 0;
    let mut rows = Vec::new();
    let mut reader = BinlogReader::new(file).expect("a binlog");
    // What it cannot read (other tables, MySQL's PREVIOUS_GTIDS) looks like the file's end to its
    // iterator, so events are asked for by number.
    for _ in raw_events(name) {
        match reader.read_event() {
            Ok((_, BinlogEvent::TableMapEvent(map))) if map.table_name == "numbers" => {
                table_id = map.table_id;
            }
            Ok((_, BinlogEvent::WriteRowsEvent(write))) if write.table_id == table_id => {
                rows.extend(write.rows.into_iter().map(|row| row.cells));
            }
            _ => {}
        }
    }
    rows
}

fn our_rows(name: &str) -> Vec<Vec<Value<'static>>> {
    let mut plan = None;
    let mut ours = Vec::new();
    for_each_event(name, &mut |header, event| match event {
        Ok(Event::TableMap(map)) => {
            plan = (map.table == "numbers").then(|| Plan::new(&map, None).unwrap());
        }
        Ok(Event::Rows(rows)) => {
            let Some(plan) = &plan else { return };
            for change in rows.rows(header, plan).unwrap() {
                let row = change.unwrap().after.unwrap();
                ours.push(row.into_iter().map(Value::into_owned).collect());
            }
        }
        _ => {}
    });
    ours
}

/// Its integers are bit patterns without a sign: ours are brought to the same.
fn agree(ours: &Value<'_>, theirs: Option<&MySqlValue>) -> bool {
    let integer = |bits: u32, theirs: u64| {
        let mask = u64::MAX >> (64 - bits);
        match ours {
            Value::Int(number) => number.cast_unsigned() & mask == theirs,
            Value::UInt(number) => *number == theirs,
            _ => false,
        }
    };
    match (ours, theirs) {
        (Value::Null, None) => true,
        (_, Some(MySqlValue::TinyInt(number))) => integer(8, u64::from(*number)),
        (_, Some(MySqlValue::SmallInt(number))) => integer(16, u64::from(*number)),
        (_, Some(MySqlValue::MediumInt(number))) => integer(24, u64::from(*number)),
        (_, Some(MySqlValue::Int(number))) => integer(32, u64::from(*number)),
        (_, Some(MySqlValue::BigInt(number))) => integer(64, *number),
        // YEAR 0 is 1900 to it.
        (Value::UInt(year), Some(MySqlValue::Year(theirs))) => {
            *year == u64::from(*theirs) || (*year == 0 && *theirs == 1900)
        }
        (Value::Float(float), Some(MySqlValue::Float(theirs))) => {
            float.to_bits() == theirs.to_bits()
        }
        (Value::Double(double), Some(MySqlValue::Double(theirs))) => {
            double.to_bits() == theirs.to_bits()
        }
        (Value::Decimal(text), Some(MySqlValue::Decimal(theirs))) => same_decimal(text, theirs),
        (Value::UInt(bit), Some(MySqlValue::Bit(bits))) => bits.as_slice() == [*bit == 1],
        (Value::Bytes(bytes), Some(MySqlValue::Bit(bits))) => {
            let set: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
            usize::try_from(set) == Ok(bits.iter().filter(|bit| **bit).count())
        }
        _ => false,
    }
}

/// Leading zeros aside.
fn same_decimal(ours: &str, theirs: &str) -> bool {
    let plain = |text: &str| {
        let (sign, digits) = text
            .strip_prefix('-')
            .map_or(("", text), |digits| ("-", digits));
        let digits = digits.trim_start_matches('0');
        let zero = if digits.is_empty() || digits.starts_with('.') {
            "0"
        } else {
            ""
        };
        format!("{sign}{zero}{digits}")
    };
    plain(ours) == plain(theirs)
}

#[test]
fn numbers_agree_with_mysql_cdc() {
    for name in ["mysql-values.binlog", "mariadb-values.binlog"] {
        let (ours, theirs) = (our_rows(name), their_rows(name));
        assert_eq!((ours.len(), theirs.len()), (9, 9), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.len(), theirs.len());
            for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                assert!(
                    agree(ours, theirs.as_ref()),
                    "{name} column {at}: {ours:?} {theirs:?}"
                );
            }
        }
    }
}
