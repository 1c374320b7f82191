//! ApiVersions (key 18): which APIs and versions a broker has. The first request on every connection.
//!
//! A broker that lacks the request's version answers in the layout of version 0, whose array is not compact, with
//! error 35 and at least the row of ApiVersions itself, so that the client can ask again
//! ([`ApiVersionsResponse::unsupported_version`]). The response header is always v0 (`header.rs`).

use crate::api_key::ApiKey;
use crate::error_code::ErrorCode;
use crate::header::encode_response_frame;
use crate::messages::messages;
use crate::records::Piece;
use crate::text::Str;
use crate::wire::EncodeError;

messages! {
    api ApiVersions [0..=4, flexible 3]: ApiVersionsRequest => ApiVersionsResponse;

    /// Asks for the versions of every API.
    pub struct ApiVersionsRequest {
        /// KIP-511: letters, digits, `.` and `-`, beginning and ending with a letter or digit.
        client_software_name: Str [3.., ignorable];
        /// As the name.
        client_software_version: Str [3.., ignorable];
    }

    /// The APIs and features of a broker.
    pub struct ApiVersionsResponse {
        error_code: ErrorCode [..];
        api_keys: Vec<ApiVersion> [..];
        throttle_time_ms: i32 [1.., ignorable];
        /// Version 3 must not carry a feature with minimum version 0 (KAFKA-17011).
        supported_features: Vec<SupportedFeatureKey> [3.., tagged 0, ignorable];
        /// -1 if unknown.
        finalized_features_epoch: i64 [3.., tagged 1, ignorable] = -1;
        finalized_features: Vec<FinalizedFeatureKey> [3.., tagged 2, ignorable];
        zk_migration_ready: bool [3.., tagged 3, ignorable];
    }

    /// An API and its first and last version.
    pub struct ApiVersion {
        api_key: i16 [..];
        min_version: i16 [..];
        max_version: i16 [..];
    }

    /// A feature and the levels that the broker could run at.
    pub struct SupportedFeatureKey {
        name: Str [3..];
        min_version: i16 [3..];
        max_version: i16 [3..];
    }

    /// A feature and the levels that the cluster runs at.
    pub struct FinalizedFeatureKey {
        name: Str [3..];
        max_version_level: i16 [3..];
        min_version_level: i16 [3..];
    }
}

impl ApiVersionsResponse {
    /// The answer to a request whose version is not served, to be sent in version 0.
    pub fn unsupported_version() -> ApiVersionsResponse {
        ApiVersionsResponse {
            error_code: ErrorCode::UNSUPPORTED_VERSION,
            api_keys: ApiVersion::of(ApiKey::ApiVersions).into_iter().collect(),
            ..ApiVersionsResponse::default()
        }
    }

    /// The whole frame of that answer.
    pub fn unsupported_version_frame(correlation_id: i32) -> Result<Vec<Piece>, EncodeError> {
        encode_response_frame::<ApiVersionsRequest>(
            correlation_id,
            0,
            &ApiVersionsResponse::unsupported_version(),
        )
    }
}

impl ApiVersion {
    /// The row of an API as it is advertised, `None` if it must not be.
    pub fn of(key: ApiKey) -> Option<ApiVersion> {
        let versions = key.advertised()?;
        Some(ApiVersion {
            api_key: key.into(),
            min_version: *versions.start(),
            max_version: *versions.end(),
        })
    }
}
