//! Why an administrative call failed, in the broker's own words where it has some.
use headrace_protocol::ErrorCode;

use crate::raw::RawError;

/// Why an administrative call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No broker answered; try again.
    #[error("no answer from {bootstrap}: {reason}")]
    Unreachable {
        /// The addresses tried.
        bootstrap: String,
        /// Why.
        reason: String,
    },
    /// The topic does not exist.
    #[error("topic {0} does not exist")]
    UnknownTopic(String),
    /// The group does not exist.
    #[error("group {0} does not exist")]
    UnknownGroup(String),
    /// The broker has no such request, or not in a version that this client has.
    #[error("{0}")]
    Unserved(String),
    /// The cluster refused.
    #[error("{subject}: {reason}")]
    Refused {
        /// Topic, partition or group.
        subject: String,
        /// The broker's words and Kafka's name of the error.
        reason: String,
    },
}

impl AdminError {
    /// A refusal by the cluster; `message` is what the broker said besides the code.
    pub(super) fn refused(subject: &str, code: ErrorCode, message: Option<&str>) -> AdminError {
        AdminError::Refused {
            subject: subject.to_owned(),
            reason: words(code, message),
        }
    }

    pub(super) fn unanswered(bootstrap: &str, error: &RawError) -> AdminError {
        match error {
            RawError::Unserved { .. } => AdminError::Unserved(error.to_string()),
            _ => AdminError::Unreachable {
                bootstrap: bootstrap.to_owned(),
                reason: error.to_string(),
            },
        }
    }
}

/// What went wrong, for people: the broker's own words, or ours for answers that have room for a code only.
pub(super) fn words(code: ErrorCode, message: Option<&str>) -> String {
    let name = code.to_string();
    let own = message.filter(|message| !message.is_empty() && *message != name);
    match own.or(plain(code)) {
        Some(words) => format!("{} [{name}]", words.trim_end_matches('.')),
        None => name,
    }
}

fn plain(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::NON_EMPTY_GROUP => Some("the group has members; stop them first"),
        ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => {
            Some("members of the group are subscribed to the topic; stop them first")
        }
        ErrorCode::UNKNOWN_MEMBER_ID => {
            Some("members of the group decide about its offsets; stop them first")
        }
        ErrorCode::OFFSET_OUT_OF_RANGE => Some("the partition does not have this offset"),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Some("there is no such topic or partition"),
        ErrorCode::POLICY_VIOLATION => {
            Some("the topic's own settings, or a rule of the cluster, forbid it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_words_come_before_the_codes_name() {
        let code = ErrorCode::INVALID_CONFIG;
        assert_eq!(
            words(code, Some("no such setting")),
            "no such setting [INVALID_CONFIG (40)]"
        );
        assert_eq!(words(code, None), "INVALID_CONFIG (40)");
        assert_eq!(words(code, Some("")), "INVALID_CONFIG (40)");
        assert_eq!(
            words(ErrorCode::NON_EMPTY_GROUP, None),
            "the group has members; stop them first [NON_EMPTY_GROUP (68)]"
        );
    }
}
