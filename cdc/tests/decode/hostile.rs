//! Damaged and made-up bytes: an error or a value, never a panic, an endless loop or a result much
//! larger than its bytes.

use headrace_cdc::binlog::event::{Event, EventDecoder, EventHeader};
use headrace_cdc::binlog::json;
use headrace_cdc::binlog::rows::Plan;
use headrace_cdc::binlog::statement::{TableName, classify};
use headrace_cdc::binlog::table_map::Layout;
use headrace_cdc::value::Value;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::file::{FILES, raw_events};

/// Printed when an assertion fails, so that the run can be repeated.
const SEED: u64 = 20_261_120;

#[test]
fn every_flipped_bit_is_noticed() {
    for name in FILES {
        let events = raw_events(name);
        let mut decoder = EventDecoder::new();
        decoder.decode(&events[0]).unwrap();
        for event in events.iter().skip(1) {
            // Small events at every byte, large ones at some.
            for at in (0..event.len()).step_by(1 + event.len() / 200) {
                let mut damaged = event.clone();
                damaged[at] ^= 1 << (at % 8);
                assert!(
                    decoder.decode(&damaged).is_err(),
                    "{name}: byte {at} of {event:?}"
                );
            }
        }
    }
}

/// Changes bytes of an event and makes size and checksum right again.
fn mutate(event: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = event[..event.len() - 4].to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(EventHeader::LEN..bytes.len());
        match random.random_range(0..5) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] = 0xff,
            2 => bytes[at] = 0,
            3 => bytes.truncate(at.max(EventHeader::LEN + 1)),
            _ => bytes.insert(at, random.random()),
        }
        if bytes.len() <= EventHeader::LEN + 1 {
            break;
        }
    }
    let size = u32::try_from(bytes.len() + 4).unwrap();
    bytes[9..13].copy_from_slice(&size.to_le_bytes());
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn held_bytes(value: &Value<'_>) -> usize {
    match value {
        Value::Decimal(text) | Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

/// Decodes everything that can be decoded; what comes out is bounded by the bytes that went in.
fn exercise(
    event: &Event<'_>,
    header: &EventHeader,
    plans: &mut Vec<Plan>,
    layouts: &mut Vec<Layout>,
) {
    match event {
        Event::TableMap(map) => {
            if let Ok(layout) = map.layout() {
                assert!(layout.column_count() <= map.columns.len());
                layouts.push(layout);
            }
            if let Ok(plan) = Plan::new(map, None) {
                plans.push(plan);
            }
        }
        Event::Rows(rows) => {
            let size = usize::try_from(header.size).unwrap();
            for layout in layouts.iter() {
                if let Ok(count) = rows.count(header, layout) {
                    assert!(count <= u64::from(header.size));
                }
            }
            for plan in plans.iter() {
                let Ok(changes) = rows.rows(header, plan) else {
                    continue;
                };
                // Padding of BINARY(255), enum and set texts are the largest additions per column.
                let columns = plan.table().columns.len();
                for (count, change) in changes.enumerate() {
                    assert!(count <= size);
                    let Ok(change) = change else { break };
                    for image in [change.before, change.after].into_iter().flatten() {
                        let held: usize = image.iter().map(held_bytes).sum();
                        assert!(held <= 8 * size + columns * 320, "{held} of {size}");
                    }
                }
            }
        }
        Event::TransactionPayload(payload) => {
            if let Ok(bytes) = payload.expand(1 << 16) {
                assert!(bytes.len() <= 1 << 16);
            }
        }
        Event::Query(query) => {
            let captured = vec![TableName {
                database: "g".to_owned(),
                table: "t".to_owned(),
            }];
            classify(query, &captured);
        }
        _ => {}
    }
}

#[test]
fn mutated_events_never_panic_loop_or_grow() {
    let mut random = StdRng::seed_from_u64(SEED);
    for name in FILES {
        let events = raw_events(name);
        let (mut plans, mut layouts) = (Vec::new(), Vec::new());
        let mut decoder = EventDecoder::new();
        for event in &events {
            let Ok((header, whole)) = decoder.decode(event) else {
                continue;
            };
            if header.kind == 19 {
                plans.clear();
                layouts.clear();
            }
            exercise(&whole, &header, &mut plans, &mut layouts);
            for _ in 0..400 {
                let mutated = mutate(event, &mut random);
                let mut other = EventDecoder::new();
                other.decode(&events[0]).unwrap();
                if let Ok((header, event)) = other.decode(&mutated) {
                    let (mut plans, mut layouts) = (plans.clone(), layouts.clone());
                    exercise(&event, &header, &mut plans, &mut layouts);
                }
            }
        }
    }
}

#[test]
fn random_bodies_of_every_type_never_panic() {
    let mut random = StdRng::seed_from_u64(SEED);
    let events = raw_events(FILES[0]);
    for kind in 0..=u8::MAX {
        for _ in 0..200 {
            let mut event = vec![0; EventHeader::LEN + random.random_range(1..60)];
            random.fill(&mut event[..]);
            event[4] = kind;
            event.extend_from_slice(&[0; 4]);
            let event = mutate(&event, &mut random);
            let mut decoder = EventDecoder::new();
            decoder.decode(&events[0]).unwrap();
            if let Ok((header, event)) = decoder.decode(&event) {
                exercise(&event, &header, &mut Vec::new(), &mut Vec::new());
            }
        }
    }
}

#[test]
fn a_json_document_that_points_at_itself_ends() {
    // An array of 200 entries, each the array itself: without limits 200^100 items.
    let count: u16 = 200;
    let size = 4 + 3 * count;
    let mut document = vec![2];
    document.extend_from_slice(&count.to_le_bytes());
    document.extend_from_slice(&size.to_le_bytes());
    for _ in 0..count {
        document.extend_from_slice(&[2, 0, 0]);
    }
    assert_eq!(json::to_text(&document), None);
    // Two levels of sharing grow the text, not without end.
    let long = "x".repeat(120);
    let mut document = vec![2];
    document.extend_from_slice(&count.to_le_bytes());
    document.extend_from_slice(&(size + 121).to_le_bytes());
    for _ in 0..count {
        document.push(12);
        document.extend_from_slice(&size.to_le_bytes());
    }
    document.push(120);
    document.extend_from_slice(long.as_bytes());
    assert_eq!(json::to_text(&document), None);
}

#[test]
fn random_json_documents_never_panic() {
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..20_000 {
        let mut document = vec![0; random.random_range(0..80)];
        random.fill(&mut document[..]);
        if let Some(kind) = document.first_mut() {
            *kind %= 17;
        }
        for byte in document.iter_mut().skip(1) {
            if random.random_bool(0.7) {
                *byte %= 16;
            }
        }
        if let Some(text) = json::to_text(&document) {
            assert!(text.len() <= 8 * document.len() + 64);
            serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("JSON");
        }
    }
}
