//! ApiVersions: what this broker speaks (KIP-35, KIP-511).
//!
//! Only what is served is listed: clients switch features on by what they see. A version that is not known
//! is answered in `api::begin`. Of Kafka's features there is `group.version`: level 1 is on, so the broker makes the
//! assignments of groups that want it (KIP-848).

use headrace_protocol::ErrorCode;
use headrace_protocol::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::{Call, SERVED};

/// The feature of groups whose assignment the broker makes, and the level it is at.
const GROUP_VERSION: (&str, i16) = ("group.version", 1);

/// The features never change while the broker runs.
const FEATURES_EPOCH: i64 = 1;

/// First version whose clients take a feature that may be at level 0 (trap 5): version 3 must not name it.
const FIRST_LEVEL_0: i16 = 4;

pub(super) async fn handle(call: Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let named =
        is_software(&request.client_software_name) && is_software(&request.client_software_version);
    if call.version >= 3 && !named {
        return ApiVersionsResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..ApiVersionsResponse::default()
        };
    }
    ApiVersionsResponse {
        api_keys: SERVED
            .iter()
            .filter_map(|key| ApiVersion::of(*key))
            .collect(),
        supported_features: supported(call.version),
        finalized_features_epoch: FEATURES_EPOCH,
        finalized_features: vec![FinalizedFeatureKey {
            name: GROUP_VERSION.0.into(),
            max_version_level: GROUP_VERSION.1,
            min_version_level: GROUP_VERSION.1,
        }],
        ..ApiVersionsResponse::default()
    }
}

fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    let feature = SupportedFeatureKey {
        name: GROUP_VERSION.0.into(),
        min_version: 0,
        max_version: GROUP_VERSION.1,
    };
    if version < FIRST_LEVEL_0 {
        Vec::new()
    } else {
        vec![feature]
    }
}

/// KIP-511: letters, digits, `-` and `.`, beginning and ending with a letter or digit.
fn is_software(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    outer(bytes.first()) && outer(bytes.last()) && bytes.iter().copied().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// trap 5
    #[test]
    fn software_names_follow_the_pattern() {
        for good in ["librdkafka", "apache-kafka-java", "4.3.1", "x"] {
            assert!(is_software(good), "{good}");
        }
        for bad in ["", "-x", "x.", "a b", "a_b", "caf\u{e9}"] {
            assert!(!is_software(bad), "{bad}");
        }
    }

    /// trap 4
    #[test]
    fn transactions_are_not_advertised() {
        let keys: Vec<i16> = SERVED.iter().map(|key| (*key).into()).collect();
        assert!(keys.iter().all(|key| !(24..=28).contains(key)));
    }
}
