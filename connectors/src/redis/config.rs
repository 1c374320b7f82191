//! What a Redis target needs of a view, checked without a server.
use redis::IntoConnectionInfo as _;

use crate::config::{ConfigError, ViewConfig};
use crate::view::Definition;

/// Start of the keys that hold watermarks: `__headrace:VIEW`.
pub const WATERMARK_PREFIX: &str = "__headrace:";
/// Oldest major version of the server: Functions came with it.
pub const SERVER_MAJOR_MIN: u32 = 7;

/// Refuses an URL that cannot be read, and keys that a reset could not tell from others.
pub fn check(view: &ViewConfig, definition: &Definition, url: &str) -> Result<(), ConfigError> {
    if let Err(error) = url.into_connection_info() {
        let message = format!(
            "target `{}`: the Redis URL cannot be read: {error}",
            view.to
        );
        return Err(ConfigError::new(&view.name, "to", message)
            .hint("write redis://[user:password@]host:port[/database]"));
    }
    let prefix = definition.key().prefix();
    let hint = || {
        format!(
            "write `{}:{}`",
            view.name,
            view.key.trim_start_matches(prefix)
        )
    };
    if prefix.is_empty() {
        let message = "a Redis key needs text before the first {, because a reset deletes all keys that start with it";
        return Err(ConfigError::new(&view.name, "key", message).hint(hint()));
    }
    if prefix.starts_with(WATERMARK_PREFIX) || WATERMARK_PREFIX.starts_with(prefix) {
        let message = format!(
            "keys that start with `{prefix}` could meet the watermarks, `{WATERMARK_PREFIX}…`"
        );
        return Err(ConfigError::new(&view.name, "key", message).hint(hint()));
    }
    Ok(())
}
