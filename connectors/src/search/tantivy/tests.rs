//! The contract on an index, and what is the index' own.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use headrace_clients::change::{Column, ColumnType, Row, Schema, Version};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::ViewConfig;
use crate::sink::contract::{self, Harness, definition, identity, schema, view_config};
use crate::sink::{
    Call, Epoch, Offset, Operation, Partition, Position, Prepared, Sink, SinkError, Target,
};
use crate::view::Definition;

struct IndexHarness {
    dir: TempDir,
    remembered: TempDir,
    target: TantivyTarget,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if std::fs::copy(entry.path(), &to).is_err() {
            // a merge may remove a segment's file meanwhile; the index does not need it any more
        }
    }
}

impl IndexHarness {
    fn new() -> IndexHarness {
        let (dir, remembered) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let target = TantivyTarget::new(dir.path(), "things", &definition());
        IndexHarness {
            dir,
            remembered,
            target,
        }
    }
}

fn names(found: &Found) -> BTreeMap<String, String> {
    let name = |hit: &Hit| {
        serde_json::from_str::<serde_json::Value>(hit.fields.get()).unwrap()["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    found
        .hits
        .iter()
        .map(|hit| (hit.key.clone(), name(hit)))
        .collect()
}

impl Harness for IndexHarness {
    type Target = TantivyTarget;

    fn target(&self) -> &TantivyTarget {
        &self.target
    }

    async fn rows(&mut self) -> BTreeMap<String, String> {
        let found = self.target.search("", 1000).unwrap();
        assert_eq!(found.total, found.hits.len());
        names(&found)
    }

    async fn remember(&mut self) {
        copy(self.dir.path(), self.remembered.path());
    }

    async fn lose(&mut self) {
        std::fs::remove_dir_all(self.dir.path()).unwrap();
        copy(self.remembered.path(), self.dir.path());
    }

    /// A key longer than a term can be.
    async fn poison(&mut self, offset: i64) -> Operation<TantivyValue> {
        Operation {
            offset: Offset(offset),
            version: None,
            key: "k".repeat(70_000),
            value: None,
        }
    }
}

#[tokio::test]
async fn an_index_keeps_the_contract() {
    contract::run(|| std::future::ready(IndexHarness::new())).await;
}

fn everything() -> Schema {
    use ColumnType as T;
    let columns = [
        ("id", T::UInt),
        ("title", T::Text),
        ("status", T::Enum),
        (
            "price",
            T::Decimal {
                precision: 10,
                scale: 2,
            },
        ),
        ("ratio", T::Double),
        ("stock", T::Int),
        ("raw", T::Bytes),
        ("doc", T::Json),
        ("born", T::Date),
        ("at", T::DateTime { fraction: 6 }),
        ("lasts", T::Time { fraction: 0 }),
        ("uuid", T::Uuid),
        ("-odd name", T::Text),
    ];
    let column = |(at, (name, ty)): (usize, (&str, T))| Column {
        name: name.into(),
        ty,
        key: (at == 0).then_some(1),
        nullable: true,
        default: None,
    };
    Schema {
        columns: columns.into_iter().enumerate().map(column).collect(),
    }
}

const ROW: &str = r#"{"id":18446744073709551615,"title":"The quick brown fox","status":"in stock","price":"12.50","ratio":0.1,"stock":-3,"raw":"AP8=","doc":{"tags":["red","blue"],"n":7},"born":"2026-01-31","at":"2026-01-31T13:05:00.000001","lasts":"-00:00:01","uuid":"0d9c","-odd name":"x"}"#;
const OTHER: &str = r#"{"id":1,"title":"A lazy dog","status":"sold","price":"100.00","ratio":null,"stock":5,"raw":null,"doc":[1],"born":"0000-00-00","at":null,"lasts":null,"uuid":null,"-odd name":null}"#;

async fn filled() -> (TempDir, TantivyTarget) {
    let dir = TempDir::new().unwrap();
    let target = TantivyTarget::new(dir.path(), "things", &definition());
    let mut sink = target.open(Partition(0), identity()).await.unwrap();
    assert_eq!(sink.prepare(&everything(), None).await, Ok(Prepared::Ready));
    let fields = definition().fields(&everything());
    let operation = |offset: i64, json: &str| {
        let value = sink
            .encode(&fields, &Row::parse(json.as_bytes()).unwrap())
            .unwrap();
        Operation {
            offset: Offset(offset),
            version: None,
            key: format!("thing:{offset}"),
            value: Some(value),
        }
    };
    let operations: Arc<[_]> = [operation(0, ROW), operation(1, OTHER)].into();
    let position = Position {
        offset: Offset(1),
        version: None,
        partial: false,
    };
    sink.apply(Call {
        epoch: Epoch(1),
        previous: None,
        first: true,
        operations,
        position,
    })
    .await
    .unwrap();
    assert_eq!(
        target.search("", 10).unwrap().total,
        0,
        "nothing is searchable before the commit"
    );
    sink.commit().await.unwrap();
    (dir, target)
}

#[tokio::test]
async fn queries_find_rows_by_every_kind_of_column() {
    let (_dir, target) = filled().await;
    for (q, keys) in [
        ("", &["thing:0", "thing:1"][..]),
        ("  ", &["thing:0", "thing:1"]),
        ("*", &["thing:0", "thing:1"]),
        ("fox", &["thing:0"]),
        ("FOX", &["thing:0"]),
        ("fox OR dog", &["thing:0", "thing:1"]),
        ("quick AND lazy", &[]),
        ("\"brown fox\"", &["thing:0"]),
        ("\"fox brown\"", &[]),
        ("sold", &["thing:1"]),
        ("status:\"in stock\"", &["thing:0"]),
        ("id:18446744073709551615", &["thing:0"]),
        ("stock:[-5 TO 0]", &["thing:0"]),
        ("price:[12 TO 13]", &["thing:0"]),
        ("price:>=100", &["thing:1"]),
        ("price.exact:12.50", &["thing:0"]),
        ("price.exact:12.5", &[]),
        ("ratio:0.1", &["thing:0"]),
        ("doc.tags:red", &["thing:0"]),
        ("doc.n:7", &["thing:0"]),
        ("born:[2026-01-01T00:00:00Z TO *}", &["thing:0"]),
        ("at:[* TO 2026-01-31T13:05:01Z}", &["thing:0"]),
        ("title:dog", &["thing:1"]),
        ("lasts:\"-00:00:01\"", &["thing:0"]),
        ("+dog -fox", &["thing:1"]),
    ] {
        let found = target
            .search(q, 10)
            .unwrap_or_else(|error| panic!("{q}: {error}"));
        let mut found: Vec<&str> = found.hits.iter().map(|hit| hit.key.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, keys, "{q}");
    }
}

#[tokio::test]
async fn stored_fields_are_exact_and_null_is_absent() {
    let (_dir, target) = filled().await;
    let found = target.search("fox", 1).unwrap();
    assert_eq!(found.hits[0].fields.get(), ROW);
    let found = target.search("dog", 1).unwrap();
    assert_eq!(
        found.hits[0].fields.get(),
        r#"{"id":1,"title":"A lazy dog","status":"sold","price":"100.00","stock":5,"doc":[1],"born":"0000-00-00"}"#
    );
    let json = serde_json::to_string(&found).unwrap();
    assert!(
        json.starts_with(r#"{"total":1,"hits":[{"key":"thing:1","score":"#),
        "{json}"
    );
    let counted = target.search("", 0).unwrap();
    assert_eq!((counted.total, counted.hits.len()), (2, 0));
    assert_eq!(target.search("", 1).unwrap().hits.len(), 1);
}

#[tokio::test]
async fn bad_queries_are_errors_with_words() {
    let (_dir, target) = filled().await;
    for q in [
        "nope:x",
        "id:abc",
        "title:\"",
        "((",
        "price:[1 TO",
        "raw:x",
        "-fox",
    ] {
        let error = target.search(q, 10).unwrap_err();
        assert!(
            matches!(&error, SearchError::Query(message) if !message.is_empty()),
            "{q}: {error}"
        );
    }
}

#[tokio::test]
async fn no_query_of_the_allowed_length_ends_the_process() {
    let (_dir, target) = filled().await;
    for unit in [
        "(", "a (", "+", "-", "- ", "NOT ", "a AND ", "a OR ", "[", "\"", "a:", "\\", "*", "a^",
        "(a OR ", "+(", "{", "IN [", "a~1 ", "/",
    ] {
        for length in [60, 100, 4096, 5000] {
            drop(target.search(&unit.repeat(length / unit.len()), 10));
        }
    }
}

#[test]
fn a_search_before_the_index_is_open_says_so() {
    let dir = TempDir::new().unwrap();
    let target = TantivyTarget::new(dir.path(), "things", &definition());
    assert!(matches!(target.search("", 10), Err(SearchError::NotOpen)));
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("things")).unwrap();
    let precious = dir.path().join("things/thesis.txt");
    std::fs::write(&precious, "precious").unwrap();
    let target = TantivyTarget::new(dir.path(), "things", &definition());
    let error = target.open(Partition(0), identity()).await.unwrap_err();
    assert!(matches!(error, SinkError::Refused { .. }), "{error:?}");
    assert!(precious.exists());
}

fn with_column(name: &str, ty: ColumnType) -> Schema {
    let mut schema = schema();
    schema.columns.push(Column {
        name: name.into(),
        ty,
        key: None,
        nullable: true,
        default: None,
    });
    schema
}

fn version(csn: u64) -> Version {
    Version { csn, index: 0 }
}

#[tokio::test]
async fn what_a_crash_leaves_of_making_or_emptying_an_index_is_no_obstacle() {
    let dir = TempDir::new().unwrap();
    let (folder, aside) = (
        dir.path().join("things"),
        dir.path().join(".things.emptied"),
    );
    for made in [&folder, &aside] {
        std::fs::create_dir(made).unwrap();
        for name in [".managed.json", ".tmpAbC123", ".tantivy-meta.lock"] {
            std::fs::write(made.join(name), "[]").unwrap();
        }
    }
    std::fs::write(aside.join("half-removed.store"), "old").unwrap();
    let target = TantivyTarget::new(dir.path(), "things", &definition());
    assert!(target.open(Partition(0), identity()).await.is_ok());
    assert!(folder.join("meta.json").exists() && !aside.exists());
}

#[tokio::test]
async fn what_a_crash_leaves_of_a_commit_is_gone_before_the_next() {
    let (dir, target) = filled().await;
    drop(target);
    let folder = dir.path().join("things");
    let name = "223bb2ff24244043868ce66c97bc7d64.433524.del";
    let managed = std::fs::read_to_string(folder.join(".managed.json")).unwrap();
    let mut managed: Vec<String> = serde_json::from_str(&managed).unwrap();
    managed.push(name.to_owned());
    let managed = serde_json::to_string(&managed).unwrap();
    std::fs::write(folder.join(".managed.json"), managed).unwrap();
    std::fs::write(folder.join(name), "half written").unwrap();
    let target = TantivyTarget::new(dir.path(), "things", &definition());
    assert!(target.open(Partition(0), identity()).await.is_ok());
    assert!(!folder.join(name).exists());
    assert_eq!(target.search("", 10).unwrap().total, 2);
}

#[tokio::test]
async fn a_new_column_empties_the_index_once() {
    let dir = TempDir::new().unwrap();
    let target = TantivyTarget::new(dir.path(), "things", &definition());
    let mut sink = target.open(Partition(0), identity()).await.unwrap();
    let stock = with_column("stock", ColumnType::Int);
    assert_eq!(
        sink.prepare(&schema(), Some(version(5))).await,
        Ok(Prepared::Ready)
    );
    let position = Position {
        offset: Offset(3),
        version: Some(version(5)),
        partial: false,
    };
    let call = Call {
        epoch: Epoch(1),
        previous: None,
        first: true,
        operations: [].into(),
        position,
    };
    sink.apply(call.clone()).await.unwrap();
    sink.commit().await.unwrap();
    assert_eq!(
        sink.prepare(&stock, Some(version(9))).await,
        Ok(Prepared::Emptied)
    );
    assert_eq!(sink.stored().await, Ok(None));
    sink.apply(call).await.unwrap();
    sink.commit().await.unwrap();
    // rows of the older schema, read again, leave the index as it is
    assert_eq!(
        sink.prepare(&schema(), Some(version(5))).await,
        Ok(Prepared::Ready)
    );
    assert_eq!(
        sink.prepare(&stock, Some(version(12))).await,
        Ok(Prepared::Ready)
    );
    drop(sink);
    let mut sink = target.open(Partition(0), identity()).await.unwrap();
    assert_eq!(
        sink.prepare(&stock, Some(version(12))).await,
        Ok(Prepared::Ready)
    );
    // another kind under the same name: only a newer schema wins
    let text = with_column("stock", ColumnType::Text);
    assert_eq!(
        sink.prepare(&text, Some(version(4))).await,
        Ok(Prepared::Ready)
    );
    assert_eq!(
        sink.prepare(&text, Some(version(20))).await,
        Ok(Prepared::Emptied)
    );
    assert_eq!(
        sink.prepare(&stock, Some(version(12))).await,
        Ok(Prepared::Ready)
    );
}

#[tokio::test]
async fn chosen_fields_are_indexed_under_their_own_names() {
    let dir = TempDir::new().unwrap();
    let fields = BTreeMap::from([("label".to_owned(), "name".to_owned())]);
    let definition = Definition::new(&ViewConfig {
        fields: Some(fields),
        ..view_config()
    })
    .unwrap();
    let target = TantivyTarget::new(dir.path(), "things", &definition);
    let mut sink = target.open(Partition(0), identity()).await.unwrap();
    sink.prepare(&schema(), None).await.unwrap();
    let row = Row::parse(br#"{"id":1,"name":"fox"}"#).unwrap();
    let value = sink.encode(&definition.fields(&schema()), &row).unwrap();
    let operations = [Operation {
        offset: Offset(0),
        version: None,
        key: "thing:1".into(),
        value: Some(value),
    }]
    .into();
    let position = Position {
        offset: Offset(0),
        version: None,
        partial: false,
    };
    sink.apply(Call {
        epoch: Epoch(1),
        previous: None,
        first: true,
        operations,
        position,
    })
    .await
    .unwrap();
    sink.commit().await.unwrap();
    let found = target.search("label:fox", 1).unwrap();
    assert_eq!(found.hits[0].fields.get(), r#"{"label":"fox"}"#);
    assert!(target.search("name:fox", 1).is_err());
}

/// One step of the crash test: operations on eight keys, then perhaps a commit, then perhaps a crash.
#[derive(Debug, Clone)]
struct Step {
    rows: Vec<(u8, Option<u8>)>,
    commit: bool,
    crash: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0_u8..8, proptest::option::of(any::<u8>()));
    let rows = proptest::collection::vec(row, 1..12);
    let step = (rows, any::<bool>(), proptest::bool::weighted(0.3));
    let step = step.prop_map(|(rows, commit, crash)| Step {
        rows,
        commit,
        crash,
    });
    proptest::collection::vec(step, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever was committed when the process died: the index is the fold of the log up to its watermark.
    #[test]
    fn after_a_crash_an_index_is_the_fold_up_to_its_watermark(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(crash_run(steps));
    }
}

async fn crash_run(steps: Vec<Step>) {
    let dir = TempDir::new().unwrap();
    let mut log: Vec<(u8, Option<u8>)> = Vec::new();
    let mut target = TantivyTarget::new(dir.path(), "things", &definition());
    let mut sink = target.open(Partition(0), identity()).await.unwrap();
    sink.prepare(&schema(), None).await.unwrap();
    let (mut previous, mut first, mut epoch) = (None, true, 1);
    for step in steps {
        let from = previous.map_or(0, |Offset(offset)| usize::try_from(offset).unwrap() + 1);
        log.truncate(from);
        log.extend(&step.rows);
        let fields = definition().fields(&schema());
        let operations: Vec<_> = (from..log.len())
            .map(|at| {
                let (key, value) = log[at];
                let json = format!(r#"{{"id":{key},"name":"{}"}}"#, value.unwrap_or(0));
                let row = Row::parse(json.as_bytes()).unwrap();
                let value = value.map(|_| sink.encode(&fields, &row).unwrap());
                Operation {
                    offset: Offset(i64::try_from(at).unwrap()),
                    version: None,
                    key: format!("thing:{key}"),
                    value,
                }
            })
            .collect();
        let position = Position {
            offset: Offset(i64::try_from(log.len()).unwrap() - 1),
            version: None,
            partial: false,
        };
        let call = Call {
            epoch: Epoch(epoch),
            previous,
            first,
            operations: operations.into(),
            position,
        };
        sink.apply(call).await.unwrap();
        (previous, first) = (Some(position.offset), false);
        if step.commit {
            sink.commit().await.unwrap();
        }
        if step.crash {
            drop(sink);
            target = TantivyTarget::new(dir.path(), "things", &definition());
            sink = target.open(Partition(0), identity()).await.unwrap();
            let stored = sink.stored().await.unwrap();
            let applied = stored.map_or(0, |stored| {
                usize::try_from(stored.position.offset.0).unwrap() + 1
            });
            let mut fold = BTreeMap::new();
            for (key, value) in &log[..applied] {
                match value {
                    Some(value) => fold.insert(format!("thing:{key}"), value.to_string()),
                    None => fold.remove(&format!("thing:{key}")),
                };
            }
            assert_eq!(names(&target.search("", 100).unwrap()), fold);
            sink.prepare(&schema(), None).await.unwrap();
            (previous, first, epoch) =
                (stored.map(|stored| stored.position.offset), true, epoch + 1);
        }
    }
}
