//! What a topic may be called: Kafka's rules, since clients and directories rely on them.

/// The offsets of consumer groups.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The state of transactions; reserved until they exist.
pub const TRANSACTION_STATE: &str = "__transaction_state";
/// How the topics begin in which sources and views keep their positions, schemas and claims.
const HEADRACE_PREFIX: &str = "__headrace_";

const BYTES_MAX: usize = 249;

/// Whether a topic may have this name: 1 to 249 of ASCII letters, digits, `.`, `_`, `-`; not `.` or `..`.
pub fn is_valid(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(allowed)
}

/// Whether only the broker itself writes to the topic.
pub fn is_internal(name: &str) -> bool {
    name == CONSUMER_OFFSETS || name == TRANSACTION_STATE
}

/// Whether a power cut may lose nothing that was acknowledged in it: such a topic has no write caching.
pub fn is_vital(name: &str) -> bool {
    is_internal(name) || name.starts_with(HEADRACE_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_kafka() {
        for good in ["a", "shop.public-orders_1", "...", &"x".repeat(249)] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "caf\u{e9}",
            "a\0",
            &"x".repeat(250),
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
