//! ApiVersions: what this broker speaks (KIP-35, KIP-511).
//!
//! Only what is served is listed: clients switch features on by what they see. A version that is not known
//! is answered in `api::begin`.

use headrace_protocol::ErrorCode;
use headrace_protocol::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};

use super::{Call, SERVED};

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
        ..ApiVersionsResponse::default()
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
