//! What each golden file must give.

use std::collections::BTreeMap;

use headrace_cdc::binlog::error::DecodeError;
use headrace_cdc::binlog::event::{Event, EventDecoder, EventHeader, EventParts, inner_events};
use headrace_cdc::binlog::rows::Plan;
use headrace_cdc::binlog::statement::{Statement, TableName, classify};
use headrace_cdc::schema::table::{ColumnDef, ColumnType, InformationSchemaColumn, TableDef};

use crate::file::{FILES, fold, for_each_event, raw_events, selected};

#[test]
fn stream_and_select_give_the_same_json() {
    for (server, tables) in [("mysql", 4), ("mariadb", 4)] {
        let mut streamed = fold(&format!("{server}-values.binlog"));
        streamed.extend(fold(&format!("{server}-own.binlog")));
        let selected = selected(&format!("{server}-select.jsonl"));
        assert_eq!(selected.len(), tables);
        for (table, (columns, rows)) in selected {
            let (def, streamed) = &streamed[&table];
            assert!(rows.len() > 1, "{server} {table} has rows");
            for (key, row) in &rows {
                for (column, (select, stream)) in columns.iter().zip(row.iter().zip(&streamed[key]))
                {
                    assert_eq!(stream, select, "{server} {table} {key} {}", column.name);
                }
            }
            assert_eq!(rows.len(), streamed.len(), "{server} {table}");
            let types = |columns: &[ColumnDef]| -> Vec<(String, ColumnType, bool)> {
                let types = columns.iter();
                types
                    .map(|c| (c.name.clone(), c.ty.clone(), c.nullable))
                    .collect()
            };
            assert_eq!(types(&def.columns), types(&columns), "{server} {table}");
            assert_eq!(def.primary_key, [0], "{server} {table}");
        }
    }
}

#[test]
fn values_are_exact() {
    for server in ["mysql", "mariadb"] {
        let tables = fold(&format!("{server}-values.binlog"));
        let value = |table: &str, id: &str, column: &str| {
            let (def, rows) = &tables[table];
            let at = def
                .columns
                .iter()
                .position(|c| c.name == column)
                .expect(column);
            rows[id][at].clone()
        };
        for (table, id, column, expected) in [
            ("numbers", "1", "y", "0"),
            ("numbers", "3", "m", "-1"),
            ("numbers", "2", "mu", "16777215"),
            ("numbers", "2", "bu", "18446744073709551615"),
            ("numbers", "1", "b", "-9223372036854775808"),
            ("numbers", "3", "d", "\"0.000000000000000000000000000001\""),
            ("numbers", "4", "d1", "\"-0.05\""),
            ("numbers", "3", "f", "0.1"),
            ("numbers", "6", "f", "16777216.0"),
            ("numbers", "7", "x", "5e-324"),
            ("numbers", "2", "b1", "1"),
            ("numbers", "2", "b9", "\"Af8=\""),
            ("numbers", "2", "b64", "\"//////////8=\""),
            ("numbers", "5", "d", "null"),
            ("times", "3", "t1", "\"-00:00:01.5\""),
            ("times", "1", "t6", "\"-00:00:00.000001\""),
            ("times", "1", "d", "\"0000-00-00\""),
            ("times", "1", "s3", "\"0000-00-00T00:00:00.000Z\""),
            ("times", "3", "d", "\"2026-02-31\""),
            ("times", "3", "s0", "\"1970-01-01T00:00:01Z\""),
            ("times", "4", "n6", "\"2026-01-01T00:00:00.000001\""),
            ("texts", "2", "l1", "\"€\u{81}‚ƒ„…†‡ˆ‰\""),
            ("texts", "2", "lc", "\"ÿ€\""),
            ("texts", "2", "b", "\"AAEAAA==\""),
            ("texts", "1", "b", "\"awAAAA==\""),
            ("texts", "2", "e", "\"it's\""),
            ("texts", "2", "el", "\"ü\""),
            ("texts", "2", "s", "\"a,b,ç,d\""),
            ("texts", "2", "sl", "\"x,é\""),
            ("texts", "6", "e", "\"\""),
            ("texts", "5", "v4", "\"kept  \""),
        ] {
            assert_eq!(
                value(table, id, column),
                expected,
                "{server} {table} {id} {column}"
            );
        }
    }
}

#[test]
fn keys_come_in_key_order_and_deletes_are_seen() {
    for server in ["mysql", "mariadb"] {
        let tables = fold(&format!("{server}-values.binlog"));
        let (def, rows) = &tables["keys_"];
        assert_eq!(def.primary_key, [0, 1], "{server}");
        assert!(rows.is_empty(), "{server}");
        assert!(
            def.columns[3].nullable && !def.columns[1].nullable,
            "{server}"
        );
    }
}

#[test]
fn compressed_transactions_and_tagged_gtids_are_read() {
    let tables = fold("mysql-own.binlog");
    let (_, rows) = &tables["plain"];
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["110", "111", "20"]);

    let mut gtids = Vec::new();
    let mut large = String::new();
    let mut plans = BTreeMap::new();
    for_each_event("mysql-own.binlog", &mut |header, event| match event {
        Ok(Event::TransactionStart(start)) => {
            assert!(
                start
                    .commit_time_us
                    .is_some_and(|time| time > 1_700_000_000_000_000)
            );
            gtids.push(start.gtid.expect("gtid_mode is ON").to_string());
        }
        Ok(Event::TableMap(map)) if map.table == "json" => {
            plans.insert(map.table_id, Plan::new(&map, None).unwrap());
        }
        Ok(Event::Rows(rows)) if plans.contains_key(&rows.table_id) => {
            for change in rows.rows(header, &plans[&rows.table_id]).unwrap() {
                let values = crate::file::json(&change.unwrap().after.unwrap_or_default());
                if values.first().is_some_and(|id| id == "13") {
                    large.clone_from(&values[1]);
                }
            }
        }
        _ => {}
    });
    assert!(
        gtids.iter().any(|gtid| gtid.ends_with(":mytag:1")),
        "{gtids:?}"
    );
    let item = format!("\"{}\"", "x".repeat(100));
    assert_eq!(large, format!("[{}]", vec![item; 700].join(", ")));
}

#[test]
fn parts_decode_like_whole_events_and_payloads_must_be_complete() {
    for name in FILES {
        let mut whole = EventDecoder::new();
        let mut parts = EventDecoder::new();
        for bytes in raw_events(name) {
            let header = EventHeader::parse(&bytes).unwrap();
            let (body, checksum) = bytes[EventHeader::LEN..].split_last_chunk::<4>().unwrap();
            let body = if header.kind == 15 {
                body.split_last().unwrap().1
            } else {
                body
            };
            let part = |header, body| EventParts {
                header,
                body,
                checksum_algorithm: 1,
                checksum: *checksum,
            };
            let expected = whole.decode(&bytes).map(|(_, event)| event);
            assert_eq!(parts.decode_parts(&part(header, body)), expected, "{name}");
            if let Ok(Event::TransactionPayload(payload)) = expected {
                let inner = payload.expand(1 << 20).unwrap();
                for event in inner_events(&inner) {
                    let event = event.unwrap();
                    let inner_header = EventHeader::parse(event).unwrap();
                    assert!(parts.inside_payload());
                    let inner_part = part(inner_header, &event[EventHeader::LEN..]);
                    let expected = whole.decode_inner(event).map(|(_, event)| event);
                    assert_eq!(parts.decode_parts(&inner_part), expected, "{name}");
                }
                assert!(!parts.inside_payload());
                // A transport that gave no inner events.
                parts.decode_parts(&part(header, body)).unwrap();
                let next = EventHeader { kind: 33, ..header };
                let error = parts.decode_parts(&part(next, body)).unwrap_err();
                assert!(matches!(error, DecodeError::Payload { .. }), "{error}");
                parts = EventDecoder::new();
                parts.decode_parts(&format_description(name)).unwrap();
                assert!(payload.expand(10).is_err(), "above its limit");
            }
        }
    }
}

fn format_description(name: &str) -> EventParts<'static> {
    let bytes: &'static [u8] = Vec::leak(raw_events(name).remove(0));
    let (body, checksum) = bytes[EventHeader::LEN..].split_last_chunk::<4>().unwrap();
    let header = EventHeader::parse(bytes).unwrap();
    let body = body.split_last().unwrap().1;
    EventParts {
        header,
        body,
        checksum_algorithm: 1,
        checksum: *checksum,
    }
}

/// Plans or refusals of each table, the errors of events, and rows counted without a plan.
fn inspect(name: &str, inspected: Option<&TableDef>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut plans = BTreeMap::new();
    let mut errors = Vec::new();
    let mut layouts = BTreeMap::new();
    for_each_event(name, &mut |header, event| match event {
        Ok(Event::TableMap(map)) => {
            layouts.insert(map.table_id, (map.table.to_owned(), map.layout().unwrap()));
            let inspected = inspected.filter(|table| table.table == map.table);
            let plan = match Plan::new(&map, inspected) {
                Ok(plan) => format!("{} columns", plan.table().columns.len()),
                Err(error) => error.to_string(),
            };
            plans.insert(map.table.to_owned(), plan);
        }
        Ok(Event::Rows(rows)) => {
            let (table, layout) = &layouts[&rows.table_id];
            match rows.count(header, layout) {
                Ok(count) => assert!(count > 0, "{table}"),
                Err(error) => errors.push(format!("{table}: {error}")),
            }
        }
        Ok(_) => {}
        Err(error) => errors.push(error.to_string()),
    });
    (plans, errors)
}

#[test]
fn what_is_not_captured_is_refused_by_name() {
    let (plans, errors) = inspect("mysql-own.binlog", None);
    assert_eq!(
        plans["shapes"],
        "column g.shapes.g has the unsupported type GEOMETRY"
    );
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].starts_with("keys_") && errors[0].contains("binlog_row_image must be FULL"),
        "{errors:?}"
    );
    assert!(
        errors[1].contains("PARTIAL_UPDATE_ROWS") && errors[1].contains("type 39"),
        "{errors:?}"
    );

    let (plans, errors) = inspect("mariadb-own.binlog", None);
    assert_eq!(
        plans["shapes"],
        "column g.shapes.g has the unsupported type GEOMETRY"
    );
    // A table map does not tell the fraction of times in MariaDB's old forms.
    assert!(
        errors.len() == 1 && errors[0].starts_with("old_times:"),
        "{errors:?}"
    );
}

#[test]
fn unsupported_columns_do_not_shift_what_stands_after_them() {
    for name in ["mysql-own.binlog", "mariadb-own.binlog"] {
        let mut seen = false;
        for_each_event(name, &mut |_, event| {
            let Ok(Event::TableMap(map)) = event else {
                return;
            };
            if map.table != "shapes" {
                return;
            }
            seen = true;
            let table = map.table_def().unwrap();
            let ty = |name: &str| {
                &table
                    .columns
                    .iter()
                    .find(|column| column.name == name)
                    .unwrap()
                    .ty
            };
            assert_eq!(
                *ty("u"),
                ColumnType::Int {
                    bytes: 4,
                    unsigned: true
                },
                "{name}"
            );
            assert!(
                matches!(ty("t"), ColumnType::Text { .. }),
                "{name}: {:?}",
                ty("t")
            );
            for refused in ["g", "p", "c", "e"] {
                assert!(
                    matches!(ty(refused), ColumnType::Unsupported(_)),
                    "{name} {refused}"
                );
            }
        });
        assert!(seen, "{name}");
    }
}

#[test]
fn what_only_information_schema_knows_refuses_a_column_too() {
    let columns = [("u", "uuid"), ("n3", "datetime(3) /* mariadb-5.3 */")].map(|(name, ty)| {
        ColumnDef::from_information_schema(&InformationSchemaColumn {
            name,
            column_type: ty,
            charset: None,
            nullable: true,
            default: Some("7"),
        })
    });
    for (table, expected) in [("ids", "type uuid"), ("old_times", "type datetime(3)")] {
        let inspected = TableDef {
            database: "g".to_owned(),
            table: table.to_owned(),
            columns: columns.to_vec(),
            primary_key: Vec::new(),
        };
        let (plans, _) = inspect("mariadb-own.binlog", Some(&inspected));
        assert!(plans[table].contains(expected), "{}", plans[table]);
    }
    let old = &fold("mariadb-own.binlog")["old_times0"].1;
    assert_eq!(
        old["1"],
        [
            "1",
            "\"-12:34:56\"",
            "\"2026-01-02T03:04:05\"",
            "\"2026-01-02T03:04:05Z\""
        ]
    );
}

#[test]
fn statements_and_transaction_starts_are_told() {
    let captured = vec![TableName {
        database: "g".to_owned(),
        table: "plain".to_owned(),
    }];
    for name in FILES {
        let mut seen = BTreeMap::<&str, u32>::new();
        for_each_event(name, &mut |_, event| {
            let what = match event {
                Ok(Event::Query(query)) => match classify(&query, &captured) {
                    Statement::Begin => "begin",
                    Statement::Commit => "commit",
                    Statement::Rollback => "rollback",
                    Statement::Savepoint => "savepoint",
                    Statement::Harmless => "harmless",
                    Statement::Ddl { .. } => "ddl",
                    Statement::Refused { reason } => panic!("{name}: {reason}"),
                },
                Ok(Event::TransactionStart(start)) if start.standalone => "standalone",
                Ok(Event::TransactionStart(_)) => "transaction",
                Ok(Event::Xid(_)) => "xid",
                Ok(Event::GtidList(_)) => "gtid list",
                Ok(Event::Rotate { .. }) => "rotate",
                Ok(Event::FormatDescription(format)) => {
                    assert!(format.checksums);
                    assert_eq!(
                        name.starts_with("maria"),
                        format.server_version.contains("MariaDB")
                    );
                    "format"
                }
                _ => return,
            };
            *seen.entry(what).or_default() += 1;
        });
        assert_eq!((seen["format"], seen["rotate"]), (1, 1), "{name}: {seen:?}");
        let ends = seen["xid"] + seen.get("commit").copied().unwrap_or_default();
        if name.starts_with("maria") {
            assert_eq!(seen["transaction"], ends, "{name}: {seen:?}");
            assert_eq!(
                seen["standalone"],
                seen["ddl"] + seen.get("harmless").copied().unwrap_or_default()
            );
            assert_eq!(seen["gtid list"], 1);
        } else {
            let statements = seen["ddl"] + seen.get("harmless").copied().unwrap_or_default();
            assert_eq!(
                seen["transaction"],
                seen["begin"] + statements,
                "{name}: {seen:?}"
            );
            assert_eq!(seen["begin"], ends, "{name}: {seen:?}");
        }
    }
}

#[test]
fn files_without_checksums_are_read() {
    for name in ["mysql-unchecked.binlog", "mariadb-unchecked.binlog"] {
        let tables = fold(name);
        assert_eq!(tables["nochk"].1["1"], ["1"], "{name}");
        for_each_event(name, &mut |_, event| {
            if let Ok(Event::FormatDescription(format)) = event {
                assert!(!format.checksums, "{name}");
            }
        });
    }
}

#[test]
fn the_first_made_up_rotate_may_carry_a_checksum_in_its_name() {
    let rotate = raw_events("mariadb-values.binlog")
        .pop()
        .expect("the last event");
    let mut fresh = EventDecoder::new();
    let (_, event) = fresh.decode(&rotate).unwrap();
    let Event::Rotate { position, file } = event else {
        panic!("{event:?}")
    };
    assert_eq!((position, file), (4, "binlog.000002"));
    // Four bytes that are no checksum are the name's.
    let mut other = rotate.clone();
    let length = other.len();
    other[length - 4..].copy_from_slice(b"0000");
    let (_, event) = EventDecoder::new().decode(&other).unwrap();
    let Event::Rotate { file, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(file, "binlog.0000020000");
}
