//! Request and response headers, and whole frames: length, header, message.
//!
//! ```text
//! request  v1: int16 key, int16 version, int32 correlation id, nullable string client id   v2: + tag buffer
//! response v0: int32 correlation id                                                        v1: + tag buffer
//! ```
//!
//! A flexible version has the newer header, with two exceptions that keep old and new peers able to talk: the client
//! id stays a string with an int16 length, and the response header of ApiVersions is always v0.

use bytes::Bytes;

use crate::api_key::ApiKey;
use crate::messages::{Message, Request};
use crate::records::Piece;
use crate::text::Str;
use crate::wire::{DecodeError, Decoder, EncodeError, Encoder, Version};

/// The client id and everything else in a header is laid out as in versions that are not flexible.
const PLAIN: Version = Version {
    number: 0,
    flexible: false,
};

/// What stands before every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API, as sent; see [`ApiKey`].
    pub api_key: i16,
    /// Version of the request, and of its response.
    pub api_version: i16,
    /// Chosen by the client, repeated in the response.
    pub correlation_id: i32,
    /// Name that the client gives itself.
    pub client_id: Option<Str>,
}

/// What stands before every response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The one of the request.
    pub correlation_id: i32,
}

/// Version of the header before a request, 1 or 2.
pub fn request_header_version(key: ApiKey, version: i16) -> i16 {
    if key.is_flexible(version) { 2 } else { 1 }
}

/// Version of the header before a response, 0 or 1.
pub fn response_header_version(key: ApiKey, version: i16) -> i16 {
    i16::from(key.is_flexible(version) && key != ApiKey::ApiVersions)
}

impl RequestHeader {
    /// Reads a header; one with an unknown key is read as version 1.
    pub fn decode(from: &mut Decoder) -> Result<RequestHeader, DecodeError> {
        let api_key = from.i16()?;
        let api_version = from.i16()?;
        let correlation_id = from.i32()?;
        let client_id = from.string(PLAIN)?;
        if ApiKey::try_from(api_key).is_ok_and(|key| request_header_version(key, api_version) == 2)
        {
            from.skip_tags()?;
        }
        Ok(RequestHeader {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }

    /// Writes the header as [`RequestHeader::decode`] reads it.
    pub fn encode(&self, to: &mut Encoder) -> Result<(), EncodeError> {
        to.i16(self.api_key);
        to.i16(self.api_version);
        to.i32(self.correlation_id);
        to.string(self.client_id.as_deref(), PLAIN)?;
        if ApiKey::try_from(self.api_key)
            .is_ok_and(|key| request_header_version(key, self.api_version) == 2)
        {
            to.uvarint(0);
        }
        Ok(())
    }
}

impl ResponseHeader {
    /// Reads the header before a response of this API and version.
    pub fn decode(
        from: &mut Decoder,
        key: ApiKey,
        version: i16,
    ) -> Result<ResponseHeader, DecodeError> {
        let correlation_id = from.i32()?;
        if response_header_version(key, version) == 1 {
            from.skip_tags()?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    /// Writes the header before a response of this API and version.
    pub fn encode(self, to: &mut Encoder, key: ApiKey, version: i16) {
        to.i32(self.correlation_id);
        if response_header_version(key, version) == 1 {
            to.uvarint(0);
        }
    }
}

/// Splits a received frame (without its length) into its header and the decoder of its message.
pub fn decode_request_frame(frame: Bytes) -> Result<(RequestHeader, Decoder), DecodeError> {
    let mut from = Decoder::new(frame);
    let header = RequestHeader::decode(&mut from)?;
    Ok((header, from))
}

/// The whole frame of a response, length first.
pub fn encode_response_frame<R: Request>(
    correlation_id: i32,
    version: i16,
    response: &R::Response,
) -> Result<Vec<Piece>, EncodeError> {
    let mut to = Encoder::new();
    to.i32(0);
    ResponseHeader { correlation_id }.encode(&mut to, R::KEY, version);
    response.encode(&mut to, version)?;
    to.finish_frame()
}

/// The whole frame of a request, length first.
pub fn encode_request_frame<R: Request>(
    correlation_id: i32,
    client_id: Option<Str>,
    version: i16,
    request: &R,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut to = Encoder::new();
    to.i32(0);
    RequestHeader {
        api_key: R::KEY.into(),
        api_version: version,
        correlation_id,
        client_id,
    }
    .encode(&mut to)?;
    request.encode(&mut to, version)?;
    Piece::all_in_memory(to.finish_frame()?)
}

/// Reads a received response frame (without its length) to a request of this version.
pub fn decode_response_frame<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(ResponseHeader, R::Response), DecodeError> {
    let mut from = Decoder::new(frame);
    let header = ResponseHeader::decode(&mut from, R::KEY, version)?;
    Ok((header, R::Response::decode(&mut from, version)?))
}
