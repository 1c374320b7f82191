//! One connection to a Redis server: checked when it is opened, with our function loaded.
//!
//! The function's library is named by the hash of its source, so another version of it is another
//! library and two versions of Headrace can share a server.
use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError};

use super::config::SERVER_MAJOR_MIN;
use crate::sink::SinkError;

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take; one call is at most 1 MB or one row of 64 MiB.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

const SOURCE: &str = include_str!("apply.lua");

/// The function's name, which is also its library's.
pub(crate) static FUNCTION: LazyLock<String> = LazyLock::new(|| {
    let hash = sha1_smol::Sha1::from(SOURCE).digest().to_string();
    format!("headrace_{}", &hash[..12])
});

fn library() -> String {
    let name = FUNCTION.as_str();
    format!(
        "#!lua name={name}\n{}",
        SOURCE.replace("FUNCTION_NAME", name)
    )
}

/// A connection that a view may use.
#[derive(Debug)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    /// `host:port`, for messages.
    address: String,
}

impl Connection {
    /// Connects, checks version and eviction policy, loads the function.
    pub(crate) async fn open(url: &str) -> Result<Connection, SinkError> {
        let client = redis::Client::open(url).map_err(|error| failure("the Redis URL", &error))?;
        let address = client.get_connection_info().addr().to_string();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let inner = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| failure(&address, &error))?;
        let mut connection = Connection { inner, address };
        connection.check_server().await?;
        connection.load().await?;
        Ok(connection)
    }

    /// Sends one command.
    pub(crate) async fn query<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, SinkError> {
        cmd.query_async(&mut self.inner)
            .await
            .map_err(|error| failure(&self.address, &error))
    }

    /// Calls our function; where the server no longer has it, loads it and calls again.
    pub(crate) async fn call<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, SinkError> {
        match cmd.query_async(&mut self.inner).await {
            Err(error) if function_missing(&error) => {
                tracing::info!(
                    redis = self.address,
                    "the function was gone, loading it again"
                );
                self.load().await?;
                self.query(cmd).await
            }
            answer => answer.map_err(|error| failure(&self.address, &error)),
        }
    }

    async fn load(&mut self) -> Result<(), SinkError> {
        let mut cmd = redis::cmd("FUNCTION");
        cmd.arg("LOAD").arg("REPLACE").arg(library());
        self.query::<String>(&cmd).await.map(|_| ())
    }

    async fn check_server(&mut self) -> Result<(), SinkError> {
        let info: String = self.query(redis::cmd("INFO").arg("everything")).await?;
        let value = |name: &str| {
            let mut lines = info.lines();
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let version = value("redis_version").unwrap_or_default();
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < SERVER_MAJOR_MIN) {
            return Err(SinkError::Refused {
                message: format!(
                    "redis at {} is version {version}, and {SERVER_MAJOR_MIN} or later is needed (Functions)",
                    self.address
                ),
                hint: format!("use Redis {SERVER_MAJOR_MIN} or later, or Valkey"),
            });
        }
        let policy = value("maxmemory_policy").unwrap_or_default();
        if policy.starts_with("allkeys-") {
            return Err(SinkError::Refused {
                message: format!("redis at {} evicts any key (maxmemory-policy {policy}), so a view in it would lose rows", self.address),
                hint: "run CONFIG SET maxmemory-policy noeviction (or a volatile-* policy), also in redis.conf".into(),
            });
        }
        Ok(())
    }
}

fn function_missing(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("Function not found"))
        || error.to_string().contains("Function not found")
}

/// What a caller does about an error: give a person something to change, or try again.
fn failure(address: &str, error: &RedisError) -> SinkError {
    let message = format!("redis at {address}: {error}");
    let credentials = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    if credentials || error.kind() == ErrorKind::AuthenticationFailed {
        let hint = "check user and password in the Redis URL, and that the user may run FUNCTION, FCALL, INFO, SCAN, UNLINK and write the view's keys";
        return SinkError::Refused {
            message,
            hint: hint.into(),
        };
    }
    if error.kind() == ErrorKind::InvalidClientConfig {
        return SinkError::Refused {
            message,
            hint: "write redis://[user:password@]host:port[/database]".into(),
        };
    }
    SinkError::Unavailable(message)
}
