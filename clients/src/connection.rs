//! How every client of this crate reaches the cluster: bootstrap address, common librdkafka settings,
//! and librdkafka's own log lines as `tracing` events.
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};

/// Longest that one question to the cluster (metadata, watermarks, topic creation) may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);

/// Where the cluster is and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// `host:port` of at least one broker, separated by commas.
    pub bootstrap: String,
    /// Name that the broker's logs and metrics show.
    pub client_id: String,
}

impl ClientConfig {
    /// A client of the cluster at `bootstrap`.
    pub fn new(bootstrap: impl Into<String>, client_id: impl Into<String>) -> ClientConfig {
        ClientConfig {
            bootstrap: bootstrap.into(),
            client_id: client_id.into(),
        }
    }

    /// The settings every librdkafka client shares: quick reconnects, so that a restarted broker is found at once.
    pub(crate) fn native(&self) -> rdkafka::ClientConfig {
        let mut native = rdkafka::ClientConfig::new();
        native
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", &self.client_id)
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "500")
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "500")
            .set("log.connection.close", "false");
        native
    }
}

/// Builds a librdkafka client whose log lines go to `tracing`.
pub(crate) fn create<T>(native: &rdkafka::ClientConfig) -> KafkaResult<T>
where
    T: FromClientConfigAndContext<Context>,
{
    native.create_with_context(Context::default())
}

/// Receives what librdkafka says about its connections.
#[derive(Debug, Default)]
pub(crate) struct Context {
    last_error: LastError,
}

/// The last connection error of a client, for messages about time-outs.
#[derive(Debug, Default)]
pub(crate) struct LastError(Mutex<Option<String>>);

impl LastError {
    /// Written by librdkafka's callback thread, whenever a broker cannot be reached.
    pub(crate) fn set(&self, reason: &str) {
        tracing::debug!(target: "librdkafka", reason, "client error");
        if let Ok(mut last) = self.0.lock() {
            *last = Some(reason.to_owned());
        }
    }

    /// The reason, or an empty text.
    pub(crate) fn text(&self) -> String {
        self.0
            .lock()
            .map(|last| last.clone().unwrap_or_default())
            .unwrap_or_default()
    }
}

impl Context {
    /// Why the last connection failed, or an empty text.
    pub(crate) fn last_error(&self) -> String {
        self.last_error.text()
    }
}

/// Passes on a librdkafka log line; lost connections are its daily business, so only what it calls critical warns.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(target: "librdkafka", facility, message);
        }
        _ => tracing::debug!(target: "librdkafka", facility, message),
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        self.last_error.set(reason);
    }
}

impl ConsumerContext for Context {}
