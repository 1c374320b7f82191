//! The contract of [`Sink`], as tests that every target runs.
#![allow(
    clippy::unnecessary_wraps,
    reason = "expected answers are written as the sink gives them"
)]
use std::collections::BTreeMap;
use std::future::Future;

use headrace_clients::change::{Column, ColumnType, Row, Schema, Version};
use uuid::Uuid;

use super::*;
use crate::config::ViewConfig;
use crate::view::Definition;

/// A target under test, with what the suite must do behind its back.
pub(crate) trait Harness {
    type Target: Target;
    fn target(&self) -> &Self::Target;
    /// All rows of the view: key -> value of the column `name`.
    fn rows(&mut self) -> impl Future<Output = BTreeMap<String, String>>;
    /// Remembers the target's whole state.
    fn remember(&mut self) -> impl Future<Output = ()>;
    /// Puts the remembered state back: acknowledged writes since then are gone. Open sinks are closed before.
    fn lose(&mut self) -> impl Future<Output = ()>;
    /// Makes the target refuse this operation, and only it; returns the operation to apply.
    fn poison(&mut self, offset: i64) -> impl Future<Output = Operation<SinkValue<Self>>>;
}

pub(crate) type SinkOf<H> = <<H as Harness>::Target as Target>::Sink;
pub(crate) type SinkValue<H> = <SinkOf<H> as Sink>::Value;

pub(crate) fn definition() -> Definition {
    Definition::new(&view_config()).unwrap()
}

pub(crate) fn view_config() -> ViewConfig {
    ViewConfig {
        name: "things".into(),
        from: "shop.things".into(),
        to: "target".into(),
        as_: None,
        key: "thing:{id}".into(),
        where_: None,
        fields: None,
    }
}

pub(crate) fn schema() -> Schema {
    let column = |name: &str, ty, key| Column {
        name: name.into(),
        ty,
        key,
        nullable: true,
        default: None,
    };
    Schema {
        columns: vec![
            column("id", ColumnType::Int, Some(1)),
            column("name", ColumnType::Text, None),
        ],
    }
}

pub(crate) fn identity() -> Identity {
    let log = LogId {
        cluster: "cluster".into(),
        topic: Uuid::from_u128(2),
    };
    Identity {
        log,
        definition: definition().hash().clone(),
    }
}

/// Partition 0 as one writer sees it.
struct Writer<S: Sink> {
    sink: S,
    epoch: Epoch,
    previous: Option<Offset>,
    first: bool,
}

impl<S: Sink> Writer<S> {
    async fn open<T: Target<Sink = S>>(target: &T, epoch: i64) -> Writer<S> {
        let mut sink = target.open(Partition(0), identity()).await.unwrap();
        assert_eq!(sink.prepare(&schema(), None).await, Ok(Prepared::Ready));
        let previous = sink
            .stored()
            .await
            .unwrap()
            .map(|stored| stored.position.offset);
        Writer {
            sink,
            epoch: Epoch(epoch),
            previous,
            first: true,
        }
    }

    fn put(&self, offset: i64, key: i64, name: &str) -> Operation<S::Value> {
        let json = format!(r#"{{"id":{key},"name":"{name}"}}"#);
        let fields = definition().fields(&schema());
        let row = Row::parse(json.as_bytes()).unwrap();
        let value = self.sink.encode(&fields, &row).unwrap();
        Operation {
            value: Some(value),
            ..Writer::<S>::delete(offset, key)
        }
    }

    fn delete(offset: i64, key: i64) -> Operation<S::Value> {
        let version = u64::try_from(offset).ok().map(|offset| Version {
            csn: 100 + offset,
            index: 0,
        });
        Operation {
            offset: Offset(offset),
            version,
            key: format!("thing:{key}"),
            value: None,
        }
    }

    async fn apply(&mut self, operations: &[Operation<S::Value>]) -> Result<Applied, SinkError> {
        let last = operations.last().expect("the tests apply something");
        let position = Position {
            offset: last.offset,
            version: last.version,
            partial: false,
        };
        let call = Call {
            epoch: self.epoch,
            previous: self.previous,
            first: self.first,
            operations: operations.into(),
            position,
        };
        let applied = self.sink.apply(call).await?;
        self.first = false;
        self.previous = Some(last.offset);
        self.sink.commit().await?;
        Ok(applied)
    }

    async fn stored(&mut self) -> Option<(i64, i64)> {
        let stored = self.sink.stored().await.unwrap();
        stored.map(|stored| (stored.epoch.0, stored.position.offset.0))
    }
}

fn done(applied: u64, skipped: u64) -> Result<Applied, SinkError> {
    Ok(Applied {
        applied,
        skipped,
        failed: None,
    })
}

fn rows<const N: usize>(rows: [(i64, &str); N]) -> BTreeMap<String, String> {
    rows.into_iter()
        .map(|(id, name)| (format!("thing:{id}"), name.to_owned()))
        .collect()
}

/// Runs the whole contract, each part on a fresh target of `make`.
pub(crate) async fn run<H: Harness, F: Future<Output = H>>(make: impl Fn() -> F) {
    operations_fold_in_order(make().await).await;
    replay_changes_nothing(make().await).await;
    versions_are_skipped_whatever_their_offset(make().await).await;
    a_zombie_is_fenced(make().await).await;
    lost_writes_are_noticed_and_healed(make().await).await;
    a_missing_watermark_is_loss_unless_it_is_the_first_call(make().await).await;
    another_log_or_definition_is_a_mismatch(make().await).await;
    a_refused_operation_stops_the_call_before_it(make().await).await;
    a_reset_deletes_rows_and_watermark(make().await).await;
    a_call_without_operations_moves_the_watermark(make().await).await;
}

async fn operations_fold_in_order<H: Harness>(mut on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    let calls = [
        vec![
            writer.put(0, 1, "a"),
            writer.put(1, 2, "b"),
            Writer::<SinkOf<H>>::delete(2, 1),
            writer.put(3, 3, "c"),
        ],
        vec![
            Writer::<SinkOf<H>>::delete(4, 3),
            writer.put(5, 3, "d"),
            writer.put(6, 2, "e"),
            Writer::<SinkOf<H>>::delete(7, 9),
        ],
        vec![writer.put(8, 4, "f"), Writer::<SinkOf<H>>::delete(9, 4)],
    ];
    for call in &calls {
        assert_eq!(writer.apply(call).await, done(call.len() as u64, 0));
    }
    assert_eq!(on.rows().await, rows([(2, "e"), (3, "d")]));
    assert_eq!(writer.stored().await, Some((5, 9)));
}

async fn replay_changes_nothing<H: Harness>(mut on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    let first = [
        writer.put(0, 1, "old"),
        Writer::<SinkOf<H>>::delete(1, 1),
        writer.put(2, 1, "new"),
    ];
    writer.apply(&first).await.unwrap();
    assert_eq!(writer.apply(&first).await, done(0, 3));
    let overlap = [
        Writer::<SinkOf<H>>::delete(1, 1),
        writer.put(2, 1, "stale"),
        writer.put(3, 2, "b"),
    ];
    assert_eq!(writer.apply(&overlap).await, done(1, 2));
    assert_eq!(on.rows().await, rows([(1, "new"), (2, "b")]));
    assert_eq!(writer.stored().await, Some((5, 3)));
}

async fn versions_are_skipped_whatever_their_offset<H: Harness>(mut on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    let at = |mut operation: Operation<_>, csn, index| {
        operation.version = Some(Version { csn, index });
        operation
    };
    let high = (1 << 55) - 1;
    let call = [at(writer.put(0, 1, "a"), high, 7)];
    assert_eq!(writer.apply(&call).await, done(1, 0));
    let call = [
        at(writer.put(1, 1, "same"), high, 7),
        at(writer.put(2, 1, "older"), high - 1, 9),
        at(writer.put(3, 2, "newer"), high, 10),
    ];
    assert_eq!(writer.apply(&call).await, done(1, 2));
    let mut plain = writer.put(4, 3, "no version");
    plain.version = None;
    assert_eq!(writer.apply(&[plain]).await, done(1, 0));
    assert_eq!(
        on.rows().await,
        rows([(1, "a"), (2, "newer"), (3, "no version")])
    );
    let stored = writer.sink.stored().await.unwrap().unwrap();
    assert_eq!(
        stored.position.version,
        Some(Version {
            csn: high,
            index: 10
        })
    );
}

async fn a_zombie_is_fenced<H: Harness>(mut on: H) {
    let mut zombie = Writer::open(on.target(), 5).await;
    zombie.apply(&[zombie.put(0, 1, "a")]).await.unwrap();
    let mut writer = Writer::open(on.target(), 9).await;
    assert_eq!(writer.previous, Some(Offset(0)));
    writer.apply(&[writer.put(1, 1, "b")]).await.unwrap();
    assert_eq!(
        zombie
            .apply(&[zombie.put(1, 1, "z"), zombie.put(2, 2, "z")])
            .await,
        Err(SinkError::Fenced(Epoch(9)))
    );
    zombie.first = true;
    assert_eq!(
        zombie.apply(&[Writer::<SinkOf<H>>::delete(2, 1)]).await,
        Err(SinkError::Fenced(Epoch(9)))
    );
    assert_eq!(on.rows().await, rows([(1, "b")]));
    assert_eq!(writer.stored().await, Some((9, 1)));
}

async fn lost_writes_are_noticed_and_healed<H: Harness>(mut on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    writer
        .apply(&[writer.put(0, 1, "a"), writer.put(1, 2, "b")])
        .await
        .unwrap();
    let (epoch, previous) = (writer.epoch, Some(Offset(3)));
    drop(writer);
    on.remember().await;
    let mut writer = Writer::open(on.target(), epoch.0).await;
    writer
        .apply(&[Writer::<SinkOf<H>>::delete(2, 1), writer.put(3, 3, "c")])
        .await
        .unwrap();
    drop(writer);
    on.lose().await;
    let mut writer = Writer {
        previous,
        first: false,
        ..Writer::open(on.target(), epoch.0).await
    };
    assert_eq!(
        writer.apply(&[writer.put(4, 4, "d")]).await,
        Err(SinkError::Lost(Some(Offset(1))))
    );
    assert_eq!(on.rows().await, rows([(1, "a"), (2, "b")]));
    writer.previous = Some(Offset(1));
    writer.first = true;
    let replay = [
        Writer::<SinkOf<H>>::delete(2, 1),
        writer.put(3, 3, "c"),
        writer.put(4, 4, "d"),
    ];
    assert_eq!(writer.apply(&replay).await, done(3, 0));
    assert_eq!(on.rows().await, rows([(2, "b"), (3, "c"), (4, "d")]));
}

async fn a_missing_watermark_is_loss_unless_it_is_the_first_call<H: Harness>(mut on: H) {
    on.remember().await;
    let mut writer = Writer::open(on.target(), 5).await;
    writer.apply(&[writer.put(0, 1, "a")]).await.unwrap();
    drop(writer);
    on.lose().await;
    let mut writer = Writer {
        previous: Some(Offset(0)),
        first: false,
        ..Writer::open(on.target(), 5).await
    };
    assert_eq!(writer.stored().await, None);
    assert_eq!(
        writer.apply(&[writer.put(1, 2, "b")]).await,
        Err(SinkError::Lost(None))
    );
    writer.first = true;
    assert_eq!(
        writer.apply(&[writer.put(1, 2, "b")]).await,
        Err(SinkError::Lost(None))
    );
    writer.previous = None;
    assert_eq!(
        writer
            .apply(&[writer.put(0, 1, "a"), writer.put(1, 2, "b")])
            .await,
        done(2, 0)
    );
    assert_eq!(on.rows().await, rows([(1, "a"), (2, "b")]));
}

async fn another_log_or_definition_is_a_mismatch<H: Harness>(mut on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    writer.apply(&[writer.put(0, 1, "a")]).await.unwrap();
    drop(writer);
    let mut other_log = identity();
    other_log.log.topic = Uuid::from_u128(3);
    let config = ViewConfig {
        where_: Some("id > 1".into()),
        ..view_config()
    };
    let other_definition = Identity {
        definition: Definition::new(&config).unwrap().hash().clone(),
        ..identity()
    };
    for (identity, log) in [(other_log, true), (other_definition, false)] {
        let mut sink = on.target().open(Partition(0), identity).await.unwrap();
        let judged = |error: SinkError| match error {
            SinkError::Mismatch(Mismatch::Log { .. }) => log,
            SinkError::Mismatch(Mismatch::Definition) => !log,
            _ => false,
        };
        assert!(judged(sink.stored().await.unwrap_err()));
        let position = Position {
            offset: Offset(9),
            version: None,
            partial: false,
        };
        let call = Call {
            epoch: Epoch(1),
            previous: None,
            first: true,
            operations: [].into(),
            position,
        };
        assert!(judged(sink.apply(call).await.unwrap_err()));
    }
    assert_eq!(on.rows().await, rows([(1, "a")]));
    assert_eq!(
        Writer::open(on.target(), 5).await.stored().await,
        Some((5, 0))
    );
}

async fn a_refused_operation_stops_the_call_before_it<H: Harness>(mut on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    writer.apply(&[writer.put(0, 1, "a")]).await.unwrap();
    let poison = on.poison(2).await;
    let call = [
        Writer::<SinkOf<H>>::delete(1, 1),
        poison,
        Writer::<SinkOf<H>>::delete(3, 1),
    ];
    let applied = writer.apply(&call).await.unwrap();
    let failed = applied.failed.expect("the target refuses the poison");
    assert_eq!((applied.applied, failed.operation), (1, 1));
    assert!(!failed.reason.is_empty());
    assert_eq!(on.rows().await, rows([]));
    assert_eq!(writer.stored().await, Some((5, 1)));
}

async fn a_reset_deletes_rows_and_watermark<H: Harness>(mut on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    writer
        .apply(&[
            writer.put(0, 1, "a"),
            writer.put(1, 2, "b"),
            writer.put(2, 2, "c"),
        ])
        .await
        .unwrap();
    assert_eq!(writer.sink.reset().await, Ok(2));
    assert_eq!(on.rows().await, rows([]));
    assert_eq!(writer.stored().await, None);
    assert_eq!(
        writer.apply(&[writer.put(3, 3, "d")]).await,
        Err(SinkError::Lost(None))
    );
    let mut writer = Writer::open(on.target(), 6).await;
    assert_eq!(writer.apply(&[writer.put(0, 1, "a")]).await, done(1, 0));
    assert_eq!(on.rows().await, rows([(1, "a")]));
}

async fn a_call_without_operations_moves_the_watermark<H: Harness>(on: H) {
    let mut writer = Writer::open(on.target(), 5).await;
    let version = Some(Version { csn: 8, index: 1 });
    let position = Position {
        offset: Offset(41),
        version,
        partial: true,
    };
    let call = Call {
        epoch: Epoch(5),
        previous: None,
        first: true,
        operations: [].into(),
        position,
    };
    assert_eq!(writer.sink.apply(call).await, done(0, 0));
    writer.sink.commit().await.unwrap();
    assert_eq!(
        writer.sink.stored().await,
        Ok(Some(Watermark {
            epoch: Epoch(5),
            position
        }))
    );
}
