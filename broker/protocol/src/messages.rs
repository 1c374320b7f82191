//! `messages!`: a message is declared as a table, and its struct, default, encoder and decoder follow.
//!
//! One file declares one API, request and response. A row is
//!
//! ```text
//! field: Type [versions, options] = default;
//! ```
//!
//! - `versions`: a range of the versions that have the field, `..` for all (`4..`, `..=12`, `8..=10`);
//! - `tagged N`: the field stands in the tag buffer under tag `N` (rows with tags stand in the order of the tags);
//! - `nullable range`: null only in these versions; a field of type `Option` is nullable in all of its versions
//!   unless this says less;
//! - `at_most N`: a list of more elements is refused when it is read, for answers cost far more than questions;
//! - `ignorable`: left out of versions that lack it; any other field that is not at its default there is an error;
//! - `= default`: for what the type's own default does not say.
//!
//! ```text
//! messages! {
//!     api Heartbeat [0..=4, flexible 4]: HeartbeatRequest => HeartbeatResponse;
//!
//!     /// Keeps a member in its group.
//!     pub struct HeartbeatRequest {
//!         group_id: Str [..];
//!         generation_id: i32 [..];
//!         member_id: Str [..];
//!         group_instance_id: Option<Str> [3..];
//!     }
//!
//!     /// Whether the member is still in.
//!     pub struct HeartbeatResponse {
//!         throttle_time_ms: i32 [1.., ignorable];
//!         error_code: ErrorCode [..];
//!     }
//! }
//! ```
//!
//! To add an API: a file with such a table, a `pub mod` in `lib.rs`, and its versions in the row of `api_key.rs`;
//! the tests in `tests/` then want its fields for the oracle. Field and struct names are those of Kafka's message
//! definitions, in snake_case. `never_flexible` stands in place of `flexible N` where it is so. `data Name [versions];` declares a struct that is no API (`consumer_protocol.rs`).
//!
//! Defaults are Kafka's where they matter on the wire (a tagged field is left out at its default, a field that the
//! version lacks must be at it); where they do not, they are what a broker or client can send without harm.

use std::ops::RangeInclusive;

use crate::api_key::ApiKey;
use crate::wire::{DecodeError, Decoder, EncodeError, Encoder};

/// A value with a layout for each of its versions.
pub trait Message: Sized {
    /// The versions it has.
    const VERSIONS: RangeInclusive<i16>;

    /// Reads the message off the front; bytes behind it are left alone, as Kafka does.
    fn decode(from: &mut Decoder, version: i16) -> Result<Self, DecodeError>;

    /// Writes the message; on an error what was written so far is worthless.
    fn encode(&self, to: &mut Encoder, version: i16) -> Result<(), EncodeError>;
}

/// The request of an API.
pub trait Request: Message {
    /// The API.
    const KEY: ApiKey;
    /// First version with compact lengths and tag buffers; `i16::MAX` if there is none.
    const FLEXIBLE: i16;
    /// What answers it.
    type Response: Message;
}

/// Declares the messages of one API; the module's head explains the table.
macro_rules! messages {
    (
        api $key:ident [$versions:expr, never_flexible]: $request:ident => $response:ident;
        $($structs:tt)*
    ) => {
        $crate::messages::messages! {
            api $key [$versions, flexible 0x7fff]: $request => $response;
            $($structs)*
        }
    };

    (
        api $key:ident [$versions:expr, flexible $flexible:literal]: $request:ident => $response:ident;
        $($structs:tt)*
    ) => {
        $crate::messages::messages! { @structs $($structs)* }
        $crate::messages::messages! { @message $request, $versions, $flexible, $crate::api_key::ApiKey::$key as i16 }
        $crate::messages::messages! { @message $response, $versions, $flexible, $crate::api_key::ApiKey::$key as i16 }

        impl $crate::messages::Request for $request {
            const KEY: $crate::api_key::ApiKey = $crate::api_key::ApiKey::$key;
            const FLEXIBLE: i16 = $flexible;
            type Response = $response;
        }
    };

    (data $($name:ident),+ [$versions:expr]; $($structs:tt)*) => {
        $crate::messages::messages! { @structs $($structs)* }
        $($crate::messages::messages! { @message $name, $versions, i16::MAX, -1 })+
    };

    (@message $name:ident, $versions:expr, $flexible:expr, $key:expr) => {
        impl $crate::messages::Message for $name {
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;

            fn decode(
                from: &mut $crate::wire::Decoder,
                version: i16,
            ) -> Result<Self, $crate::wire::DecodeError> {
                if !Self::VERSIONS.contains(&version) {
                    return Err($crate::wire::DecodeError::Version { key: $key, version });
                }
                let version = $crate::wire::Version { number: version, flexible: version >= $flexible };
                <Self as $crate::value::Wire>::read(from, version)
            }

            fn encode(
                &self,
                to: &mut $crate::wire::Encoder,
                version: i16,
            ) -> Result<(), $crate::wire::EncodeError> {
                if !Self::VERSIONS.contains(&version) {
                    return Err($crate::wire::EncodeError::Version { key: $key, version });
                }
                let version = $crate::wire::Version { number: version, flexible: version >= $flexible };
                <Self as $crate::value::Wire>::write(self, to, version)
            }
        }
    };

    (@default) => { Default::default() };
    (@default $default:expr) => { $default };

    (@structs $(
        $(#[$doc:meta])*
        pub struct $name:ident {$(
            $(#[$field_doc:meta])*
            $field:ident: $type:ty [$versions:expr $(, $option:ident $($argument:expr)?)*] $(= $default:expr)?;
        )*}
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {$(
            $(#[$field_doc])*
            #[doc = concat!("\n\nVersions `", stringify!($versions), "`.")]
            pub $field: $type,
        )*}

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::messages::messages!(@default $($default)?),)* }
            }
        }

        impl $crate::value::Nullable for $name {
            fn read_nullable(
                from: &mut $crate::wire::Decoder,
                version: $crate::wire::Version,
            ) -> Result<Option<Self>, $crate::wire::DecodeError> {
                if from.i8()? < 0 {
                    return Ok(None);
                }
                <Self as $crate::value::Wire>::read(from, version).map(Some)
            }

            fn write_nullable(
                value: Option<&Self>,
                to: &mut $crate::wire::Encoder,
                version: $crate::wire::Version,
            ) -> Result<(), $crate::wire::EncodeError> {
                to.i8(if value.is_some() { 1 } else { -1 });
                value.map_or(Ok(()), |value| $crate::value::Wire::write(value, to, version))
            }
        }

        impl $crate::value::Wire for $name {
            fn read(
                from: &mut $crate::wire::Decoder,
                version: $crate::wire::Version,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let mut message = Self::default();
                $(
                    let $field = $crate::value::Field::new(stringify!($field), $versions)
                        $(.$option($($argument)?))*;
                    if $field.in_body(version) {
                        message.$field = $field.read(from, version)?;
                    }
                )*
                if version.flexible {
                    for _ in 0..from.uvarint()? {
                        let tagged = from.tagged()?;
                        let mut read = false;
                        $(
                            if $field.has_tag(tagged.tag, version) {
                                message.$field = $field.read(from, version)?;
                                read = true;
                            }
                        )*
                        from.end_tagged(&tagged, read)?;
                    }
                }
                Ok(message)
            }

            fn write(
                &self,
                to: &mut $crate::wire::Encoder,
                version: $crate::wire::Version,
            ) -> Result<(), $crate::wire::EncodeError> {
                let default = Self::default();
                let mut tags = 0;
                $(
                    let $field = $crate::value::Field::new(stringify!($field), $versions)
                        $(.$option($($argument)?))*;
                    $field.write(&self.$field, &default.$field, to, version)?;
                    tags += u32::from($field.tag_for(&self.$field, &default.$field, version).is_some());
                )*
                if version.flexible {
                    to.uvarint(tags);
                    $(
                        if let Some(tag) = $field.tag_for(&self.$field, &default.$field, version) {
                            to.tagged(tag, &self.$field, version)?;
                        }
                    )*
                }
                Ok(())
            }
        }
    )*};
}

pub(crate) use messages;
