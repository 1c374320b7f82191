//! One request and its answer over a connection of its own, for what librdkafka cannot ask (topic ids).
//!
//! Any broker of the cluster answers Metadata, so the bootstrap addresses are tried in their order.
use std::io;

use bytes::Bytes;
use headrace_protocol::header::{decode_response_frame, encode_request_frame};
use headrace_protocol::{DecodeError, EncodeError, Request, Str};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::connection::{ClientConfig, REQUEST_TIMEOUT};

/// Largest answer taken: metadata of some hundred thousand partitions.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes reserved before any has come: a length is never trusted with an allocation.
const READ_BYTES: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RawError {
    #[error("{address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    #[error("request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    #[error("answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
}

/// Sends a request to the first bootstrap broker that answers.
pub(crate) async fn ask<R: Request>(
    config: &ClientConfig,
    version: i16,
    request: &R,
) -> Result<R::Response, RawError> {
    let client_id = Some(Str::from(config.client_id.as_str()));
    let frame = encode_request_frame(1, client_id, version, request)?.concat();
    let mut last = RawError::Timeout;
    for address in config.bootstrap.split(',').map(str::trim) {
        match tokio::time::timeout(REQUEST_TIMEOUT, exchange(address, &frame)).await {
            Ok(Ok(answer)) => return Ok(decode_response_frame::<R>(answer, version)?.1),
            Ok(Err(source)) => {
                last = RawError::Io {
                    address: address.to_owned(),
                    source,
                }
            }
            Err(_) => last = RawError::Timeout,
        }
    }
    Err(last)
}

/// Writes one frame and reads one frame, without its length.
async fn exchange(address: &str, frame: &[u8]) -> io::Result<Bytes> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(frame).await?;
    let length = usize::try_from(stream.read_i32().await?).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "answer too large: not a Kafka broker?",
        ));
    }
    let mut answer = Vec::with_capacity(length.min(READ_BYTES));
    let read = stream.take(length as u64).read_to_end(&mut answer).await?;
    if read < length {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(Bytes::from(answer))
    }
}
