//! The [`Sink`] of one partition of one view in Redis.
use std::time::Duration;

use headrace_clients::change::{Row, Schema, Version};
use redis::Value;

use super::config::WATERMARK_PREFIX;
use super::connection::{Connection, FUNCTION};
use super::encode::{self, Addressee, RedisValue};
use crate::config::Form;
use crate::sink::{
    Applied, Call, Epoch, Failed, Identity, Mismatch, Offset, Partition, Position, Prepared, Sink,
    SinkError, Target, Watermark,
};
use crate::value::ValueError;
use crate::view::{Definition, Field};

/// Field of the watermark's hash with the text before the first `{` of the key template: a reset after the template
/// changed deletes the keys of the earlier one too.
const PREFIX_FIELD: &str = "prefix";

/// Keys asked for and unlinked at a time by a reset.
const SCAN_COUNT: usize = 1000;

/// One view's place in a Redis server.
#[derive(Debug, Clone)]
pub struct RedisTarget {
    url: String,
    watermark: String,
    prefix: String,
    form: Form,
}

impl RedisTarget {
    /// The place of view `name` in the server at `url`.
    pub fn new(url: &str, name: &str, definition: &Definition) -> RedisTarget {
        RedisTarget {
            url: url.to_owned(),
            watermark: format!("{WATERMARK_PREFIX}{name}"),
            prefix: definition.key().prefix().to_owned(),
            form: definition.form(),
        }
    }
}

impl Target for RedisTarget {
    type Sink = RedisSink;

    async fn check(&self) -> Result<(), SinkError> {
        Connection::open(&self.url).await.map(|_| ())
    }

    async fn open(&self, partition: Partition, identity: Identity) -> Result<RedisSink, SinkError> {
        let connection = Connection::open(&self.url).await?;
        Ok(RedisSink {
            target: self.clone(),
            partition,
            identity,
            connection,
        })
    }
}

/// An open partition of a view in Redis.
#[derive(Debug)]
pub struct RedisSink {
    target: RedisTarget,
    partition: Partition,
    identity: Identity,
    connection: Connection,
}

impl Sink for RedisSink {
    type Value = RedisValue;

    const REBUILDS: bool = false;
    const COMMIT_INTERVAL: Duration = Duration::ZERO;

    fn encode(&self, fields: &[Field], row: &Row<'_>) -> Result<RedisValue, (String, ValueError)> {
        encode::encode(self.target.form, fields, row)
    }

    fn size_bytes(value: &RedisValue) -> usize {
        value.size_bytes()
    }

    async fn prepare(
        &mut self,
        _schema: &Schema,
        _version: Option<Version>,
    ) -> Result<Prepared, SinkError> {
        let mut remember = redis::cmd("HSET");
        remember
            .arg(&self.target.watermark)
            .arg(PREFIX_FIELD)
            .arg(&self.target.prefix);
        self.connection.query::<Value>(&remember).await?;
        Ok(Prepared::Ready)
    }

    async fn stored(&mut self) -> Result<Option<Watermark>, SinkError> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(&self.target.watermark)
            .arg("log")
            .arg("definition")
            .arg(self.partition.0);
        let (log, definition, watermark): (Option<String>, Option<String>, Option<String>) =
            self.connection.query(&cmd).await?;
        let ours = self.identity.log.to_string();
        if let Some(stored) = log.filter(|log| *log != ours) {
            return Err(Mismatch::Log { stored, ours }.into());
        }
        if definition.is_some_and(|definition| definition != self.identity.definition.as_str()) {
            return Err(Mismatch::Definition.into());
        }
        watermark
            .map(|text| parse_watermark(&text).ok_or_else(|| self.unreadable(&text)))
            .transpose()
    }

    async fn apply(&mut self, call: Call<RedisValue>) -> Result<Applied, SinkError> {
        let to = Addressee {
            function: &FUNCTION,
            watermark: &self.target.watermark,
            partition: self.partition,
            identity: &self.identity,
        };
        let answer: Vec<Value> = self.connection.call(&encode::command(&to, &call)).await?;
        self.judge(&answer)
    }

    async fn commit(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// The watermark is made a mismatch first, so that a reset that is cut short is never taken for a view.
    async fn reset(&mut self) -> Result<u64, SinkError> {
        let mut seal = redis::cmd("HSET");
        seal.arg(&self.target.watermark)
            .arg("definition")
            .arg("reset was cut short");
        self.connection.query::<Value>(&seal).await?;
        let mut deleted = self.unlink(&self.target.prefix.clone()).await?;
        if let Some(earlier) = self.abandoned_prefix().await? {
            deleted += self.unlink(&earlier).await?;
        }
        self.connection
            .query::<Value>(redis::cmd("DEL").arg(&self.target.watermark))
            .await?;
        Ok(deleted)
    }
}

impl RedisSink {
    /// The next keys that start with `start`, and the cursor after them (0 at the end).
    async fn scan(&mut self, cursor: u64, start: &str) -> Result<(u64, Vec<Vec<u8>>), SinkError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(format!("{}*", glob_escaped(start)))
            .arg("COUNT")
            .arg(SCAN_COUNT);
        self.connection.query(&scan).await
    }

    /// Deletes the keys that start with `prefix`; answers their number.
    async fn unlink(&mut self, prefix: &str) -> Result<u64, SinkError> {
        let (mut cursor, mut deleted) = (0, 0);
        loop {
            let (next, keys) = self.scan(cursor, prefix).await?;
            if !keys.is_empty() {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(keys);
                deleted += self.connection.query::<u64>(&unlink).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(deleted);
            }
        }
    }

    /// The prefix of the definition that last wrote here, if it is another than ours and no other view's.
    async fn abandoned_prefix(&mut self) -> Result<Option<String>, SinkError> {
        let Some(earlier) = self
            .prefix_of(self.target.watermark.as_bytes().to_vec())
            .await?
        else {
            return Ok(None);
        };
        if earlier.is_empty() || earlier == self.target.prefix {
            return Ok(None);
        }
        let mut cursor = 0;
        loop {
            let (next, watermarks) = self.scan(cursor, WATERMARK_PREFIX).await?;
            for watermark in watermarks {
                if watermark == self.target.watermark.as_bytes() {
                    continue;
                }
                let other = self.prefix_of(watermark).await?.unwrap_or_default();
                if !other.is_empty() && (other.starts_with(&earlier) || earlier.starts_with(&other))
                {
                    tracing::warn!(
                        earlier,
                        other,
                        "keys of the earlier prefix stay: another view has written there"
                    );
                    return Ok(None);
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(Some(earlier));
            }
        }
    }

    /// The prefix stored beside a view's watermark.
    async fn prefix_of(&mut self, watermark: Vec<u8>) -> Result<Option<String>, SinkError> {
        let mut get = redis::cmd("HGET");
        get.arg(watermark).arg(PREFIX_FIELD);
        self.connection.query(&get).await
    }

    /// Reads the function's answer; its forms are listed in `apply.lua`.
    fn judge(&self, answer: &[Value]) -> Result<Applied, SinkError> {
        let words: Vec<String> = answer.iter().map(word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["OK", applied, skipped] => Ok(Applied {
                applied: count(applied),
                skipped: count(skipped),
                failed: None,
            }),
            ["FAILED", applied, skipped, operation, reason] => Ok(Applied {
                applied: count(applied),
                skipped: count(skipped),
                failed: Some(Failed {
                    operation: operation.parse().unwrap_or(0),
                    reason: (*reason).to_owned(),
                }),
            }),
            ["FENCED", epoch] => Err(SinkError::Fenced(Epoch(epoch.parse().unwrap_or(i64::MAX)))),
            ["LOST", offset] => Err(SinkError::Lost(offset.parse().ok().map(Offset))),
            ["MISMATCH", "log", stored] => {
                let ours = self.identity.log.to_string();
                Err(Mismatch::Log {
                    stored: (*stored).to_owned(),
                    ours,
                }
                .into())
            }
            ["MISMATCH", "definition", _] => Err(Mismatch::Definition.into()),
            other => Err(SinkError::Unavailable(format!(
                "redis answered {other:?} to {}",
                FUNCTION.as_str()
            ))),
        }
    }

    fn unreadable(&self, text: &str) -> SinkError {
        SinkError::Refused {
            message: format!(
                "the watermark in `{}` cannot be read: {text}",
                self.target.watermark
            ),
            hint: "something else wrote that key: reset the view".into(),
        }
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn count(word: &str) -> u64 {
    word.parse().unwrap_or(0)
}

/// `EPOCH OFFSET CSN INDEX PARTIAL`, as `apply.lua` stores it.
fn parse_watermark(text: &str) -> Option<Watermark> {
    let words: Vec<&str> = text.split(' ').collect();
    let [epoch, offset, csn, index, partial] = words.as_slice() else {
        return None;
    };
    let version = match (*csn, *index) {
        ("-", "-") => None,
        (csn, index) => Some(Version {
            csn: csn.parse().ok()?,
            index: index.parse().ok()?,
        }),
    };
    Some(Watermark {
        epoch: Epoch(epoch.parse().ok()?),
        position: Position {
            offset: Offset(offset.parse().ok()?),
            version,
            partial: *partial == "1",
        },
    })
}

/// The prefix as a literal in a SCAN pattern.
fn glob_escaped(prefix: &str) -> String {
    let mut escaped = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
