//! Binlog files and SELECT files of the golden folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headrace_cdc::binlog::error::DecodeError;
use headrace_cdc::binlog::event::{Event, EventDecoder, EventHeader, inner_events};
use headrace_cdc::binlog::rows::Plan;
use headrace_cdc::schema::select::snapshot_value;
use headrace_cdc::schema::table::{ColumnDef, InformationSchemaColumn, TableDef};
use headrace_cdc::value::Value;

/// The files of both servers.
pub(crate) const FILES: [&str; 4] = [
    "mysql-values.binlog",
    "mysql-own.binlog",
    "mariadb-values.binlog",
    "mariadb-own.binlog",
];

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// A file's whole events, without the magic number before them.
pub(crate) fn raw_events(name: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path(name)).expect("golden file");
    let mut rest = bytes.strip_prefix(b"\xfebin").expect("magic number");
    let mut events = Vec::new();
    while let Some(header) = EventHeader::parse(rest) {
        let (event, after) = rest.split_at(usize::try_from(header.size).unwrap());
        events.push(event.to_vec());
        rest = after;
    }
    events
}

/// Decodes a file's events, those of compressed transactions too, and hands each to `each`.
pub(crate) fn for_each_event(
    name: &str,
    each: &mut dyn FnMut(&EventHeader, Result<Event<'_>, DecodeError>),
) {
    let mut decoder = EventDecoder::new();
    for bytes in raw_events(name) {
        match decoder.decode(&bytes) {
            Ok((_, Event::TransactionPayload(payload))) => {
                let inner = payload.expand(1 << 20).expect("a whole payload");
                for event in inner_events(&inner) {
                    let (header, event) = decoder.decode_inner(event.unwrap()).unwrap();
                    each(&header, Ok(event));
                }
            }
            Ok((header, event)) => each(&header, Ok(event)),
            Err(error) => each(&EventHeader::parse(&bytes).unwrap(), Err(error)),
        }
    }
}

pub(crate) fn json(values: &[Value<'_>]) -> Vec<String> {
    values
        .iter()
        .map(|value| {
            let mut out = Vec::new();
            value.write_json(&mut out);
            String::from_utf8(out).expect("JSON is UTF-8")
        })
        .collect()
}

/// A table's rows as JSON texts per column, by the first column's.
pub(crate) type Rows = BTreeMap<String, Vec<String>>;

/// What the stream leaves of each table, by its name: what cannot be decoded is left out.
pub(crate) fn fold(name: &str) -> BTreeMap<String, (TableDef, Rows)> {
    let mut tables: BTreeMap<String, (TableDef, Rows)> = BTreeMap::new();
    let mut plans: BTreeMap<u64, Plan> = BTreeMap::new();
    for_each_event(name, &mut |header, event| match event {
        Ok(Event::TableMap(map)) => {
            if let Ok(plan) = Plan::new(&map, None) {
                let entry = tables.entry(map.table.to_owned());
                entry.or_insert_with(|| (plan.table().clone(), Rows::new()));
                plans.insert(map.table_id, plan);
            }
        }
        Ok(Event::Rows(rows)) => {
            let Some(plan) = plans.get(&rows.table_id) else {
                return;
            };
            let Ok(changes) = rows.rows(header, plan) else {
                return;
            };
            let (_, folded) = tables.get_mut(&plan.table().table).expect("it has a plan");
            for change in changes {
                // Old times with fractions cannot be told from those without.
                let Ok(change) = change else { break };
                if let Some(before) = change.before {
                    let before = json(&before);
                    assert_eq!(folded.remove(&before[0]), Some(before), "the row before");
                }
                if let Some(after) = change.after {
                    let after = json(&after);
                    folded.insert(after[0].clone(), after);
                }
            }
        }
        _ => {}
    });
    tables
}

/// What SELECT showed of each table, by its name.
pub(crate) fn selected(name: &str) -> BTreeMap<String, (Vec<ColumnDef>, Rows)> {
    #[derive(serde::Deserialize)]
    struct Line {
        table: String,
        columns: Vec<(String, String, Option<String>, String)>,
        rows: Vec<Vec<Option<String>>>,
    }
    let text = std::fs::read_to_string(path(name)).expect("golden file");
    let tables = text.lines().map(|line| {
        let line: Line = serde_json::from_str(line).unwrap();
        let columns: Vec<ColumnDef> = line
            .columns
            .iter()
            .map(|(name, column_type, charset, nullable)| {
                ColumnDef::from_information_schema(&InformationSchemaColumn {
                    name,
                    column_type,
                    charset: charset.as_deref(),
                    nullable: nullable == "YES",
                    default: None,
                })
            })
            .collect();
        let rows = line.rows.iter().map(|row| {
            let texts = columns.iter().zip(row).map(|(column, text)| {
                let bytes = text.as_ref().map(|text| STANDARD.decode(text).unwrap());
                let value = snapshot_value(column, bytes.as_deref()).unwrap();
                json(&[value]).remove(0)
            });
            let texts: Vec<String> = texts.collect();
            (texts[0].clone(), texts)
        });
        let rows = rows.collect();
        (line.table, (columns, rows))
    });
    tables.collect()
}
