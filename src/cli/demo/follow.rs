//! One change followed from its commit: binlog, topic, Redis, index, each proven by reading it back.
//!
//! The times are those of the parts themselves: when the source made the record (`ts_ms` of its envelope), when
//! a consumer of the topic had it, and when each view stored the watermark that covers it (`applied_at_ms`).
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use headrace_clients::change::{ChangeHeaders, Envelope, topic_name};
use headrace_clients::{ClientConfig, Reader, Record};
use headrace_connectors::Views;
use mysql_async::Row;
use mysql_async::prelude::Queryable as _;
use serde_json::value::RawValue;
use tokio::time::{Instant, interval, timeout};

use super::super::remote::Remote;
use super::shop::{PATIENCE, PRODUCTS, Shop, Step, hits};

/// Pause between two looks at a watermark: the error of the times that a view tells.
const LOOK: Duration = Duration::from_millis(1);

/// Follows changes of `shop.products`.
pub(super) struct Follower<'a> {
    reader: Reader,
    topic: String,
    remote: &'a Remote,
}

impl<'a> Follower<'a> {
    /// Starts at the end of the topic.
    pub(super) async fn open(
        bootstrap: &str,
        shop: &Shop,
        remote: &'a Remote,
    ) -> anyhow::Result<Follower<'a>> {
        // the connection is warm before anything is measured
        drop(shop.version().await?);
        let client = ClientConfig::new(bootstrap, "headrace-demo");
        let topic = topic_name("shop", "shop", PRODUCTS.name);
        let (_, end) = Reader::open(&client, &topic, 0, 0)?.watermarks().await?;
        Ok(Follower {
            reader: Reader::open(&client, &topic, 0, end)?,
            topic,
            remote,
        })
    }

    /// Runs the statement and tells where its change arrived, and when.
    pub(super) async fn follow<'v>(
        &mut self,
        step: &Step,
        shop: &Shop,
        views: &impl Fn() -> Option<&'v Views>,
    ) -> anyhow::Result<()> {
        shop.database().await.query_drop(&step.sql).await?;
        let committed_ms = now_ms();
        let after = |at_ms: i64| (at_ms - committed_ms).max(0);

        let (record, read_ms) = timeout(PATIENCE, self.record_of(step))
            .await
            .context("no record in the topic")??;
        let headers = record.change()?.context("a captured record has headers")?;
        let value = record.value.as_deref().context("a change has a value")?;
        let envelope = Envelope::parse(value)?;
        println!("{}  {}", step.title, step.sql);
        let event = binlog_event(shop, &envelope).await?;
        line(
            after(envelope.ts_ms),
            "binlog change",
            &change(&envelope, &headers, &event),
        );
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        let image = envelope
            .after
            .or(envelope.before)
            .map(RawValue::get)
            .unwrap_or_default();
        line(
            after(read_ms),
            "topic record ",
            &format!(
                "{}/0 offset {}: key {key} {image}",
                self.topic, record.offset
            ),
        );

        let cached_ms = self.watermark(PRODUCTS.cache, record.offset, views).await?;
        line(
            after(cached_ms),
            "Redis key    ",
            &read_redis(shop, step).await?,
        );
        let searchable_ms = self
            .watermark(PRODUCTS.search, record.offset, views)
            .await?;
        line(
            after(searchable_ms),
            "search hit   ",
            &self.read_index(step).await?,
        );
        println!();
        Ok(())
    }

    /// The record of the step, and when it was read.
    async fn record_of(&mut self, step: &Step) -> anyhow::Result<(Record, i64)> {
        let key = format!("{{\"id\":{}}}", step.id);
        loop {
            let record = self.reader.next().await?;
            let read_ms = now_ms();
            let Some(value) = record.value.as_deref() else {
                continue;
            };
            if record.key.as_deref() == Some(key.as_bytes())
                && Envelope::parse(value)?.op == step.op
            {
                return Ok((record, read_ms));
            }
        }
    }

    /// When a view stored a watermark that covers an offset.
    async fn watermark<'v>(
        &self,
        view: &str,
        offset: i64,
        views: &impl Fn() -> Option<&'v Views>,
    ) -> anyhow::Result<i64> {
        let deadline = Instant::now() + PATIENCE;
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            let states = views().context("the views run")?.states();
            let state = states
                .into_iter()
                .find(|state| state.name == view)
                .context("the view is configured")?;
            let part = state.partitions.first();
            let stored = part
                .and_then(|part| part.watermark)
                .filter(|watermark| watermark.offset >= offset);
            if let (Some(_), Some(at_ms)) = (stored, part.and_then(|part| part.applied_at_ms)) {
                return Ok(at_ms);
            }
            if Instant::now() > deadline {
                bail!("view {view} did not reach offset {offset}: {state:?}");
            }
        }
    }

    async fn read_index(&self, step: &Step) -> anyhow::Result<String> {
        let found = hits(self.remote, PRODUCTS.search, step.query).await?;
        ensure!(
            found == u64::from(step.there),
            "the index has {found} hits for {}",
            step.query
        );
        let answer = if step.there {
            format!("finds row {}", step.id)
        } else {
            "finds nothing".to_owned()
        };
        Ok(format!("{} ?q={} {answer}", PRODUCTS.search, step.query))
    }
}

/// What the server itself says about the event at the record's position.
async fn binlog_event(shop: &Shop, envelope: &Envelope<'_>) -> anyhow::Result<String> {
    let source = &envelope.source;
    let show = format!(
        "SHOW BINLOG EVENTS IN '{}' FROM {} LIMIT 1",
        source.file, source.pos
    );
    let event: Option<Row> = shop.database().await.query_first(show).await?;
    let kind = event.and_then(|event| event.get::<String, _>("Event_type"));
    kind.context("the binlog has no event at the record's position")
}

fn change(envelope: &Envelope<'_>, headers: &ChangeHeaders<'_>, event: &str) -> String {
    let source = &envelope.source;
    let gtid = headers.gtid.unwrap_or("-");
    format!(
        "GTID {gtid}, {event} at {}:{}, commit number {}",
        source.file, source.pos, headers.version
    )
}

/// The key as an application reads it.
async fn read_redis(shop: &Shop, step: &Step) -> anyhow::Result<String> {
    let key = format!("{}{}", PRODUCTS.prefix, step.id);
    let fields: BTreeMap<String, String> = redis::cmd("HGETALL")
        .arg(&key)
        .query_async(&mut shop.redis())
        .await?;
    ensure!(
        fields.is_empty() != step.there,
        "{key} is {fields:?} in Redis"
    );
    if !step.there {
        return Ok(format!("{key} is gone"));
    }
    let wanted = format!(
        "SELECT name, CAST(price AS CHAR) FROM shop.products WHERE id = {}",
        step.id
    );
    let wanted: Option<(String, String)> = shop.database().await.query_first(wanted).await?;
    let shown = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let found = (shown("name"), shown("price"));
    ensure!(
        wanted.as_ref() == Some(&found),
        "{key} is {fields:?} in Redis, MariaDB has {wanted:?}"
    );
    Ok(format!("{key} name={} price={}", found.0, found.1))
}

fn line(after_ms: i64, what: &str, shown: &str) {
    println!("  +{after_ms:>4} ms  {what}  {shown}");
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
