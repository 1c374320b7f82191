//! A connection of our own to one broker: requests in our own codec, one at a time, each with its answer.
//!
//! For what librdkafka cannot ask (topic ids) or does not pass on (a broker's own words about a refusal). A new
//! connection asks first which versions the broker serves, so every request goes out in the newest that both know.
use std::io;
use std::ops::RangeInclusive;

use bytes::Bytes;
use headrace_protocol::api_versions::{ApiVersion, ApiVersionsRequest};
use headrace_protocol::header::{decode_response_frame, encode_request_frame};
use headrace_protocol::{DecodeError, EncodeError, ErrorCode, Request, Str};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::REQUEST_TIMEOUT;

/// Largest answer taken: metadata of some hundred thousand partitions.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes reserved before any has come: a length is never trusted with an allocation.
const READ_BYTES: usize = 64 * 1024;
/// The version of ApiVersions that every broker answers, whatever else it knows.
const ASK_VERSIONS: i16 = 0;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RawError {
    #[error("{address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("{address}: no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout { address: String },
    #[error("{address} serves {api} in none of the versions {} to {}", versions.start(), versions.end())]
    Unserved {
        address: String,
        api: String,
        versions: RangeInclusive<i16>,
    },
    #[error("request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    #[error("{address}: answer cannot be read: {source}")]
    Decode {
        address: String,
        source: DecodeError,
    },
}

/// A connection, and what its broker serves.
pub(crate) struct Link {
    address: String,
    client_id: Str,
    stream: TcpStream,
    served: Vec<ApiVersion>,
    correlation_id: i32,
    deadline: Instant,
}

impl Link {
    /// Connects; everything that is asked on this connection is answered by the deadline, or not at all.
    pub(crate) async fn open(
        address: &str,
        client_id: &str,
        deadline: Instant,
    ) -> Result<Link, RawError> {
        let connected = timeout_at(deadline, TcpStream::connect(address)).await;
        let stream = within(address, connected)?;
        let nodelay = stream.set_nodelay(true);
        nodelay.map_err(|source| io_error(address, source))?;
        let mut link = Link {
            address: address.to_owned(),
            client_id: client_id.into(),
            stream,
            served: Vec::new(),
            correlation_id: 0,
            deadline,
        };
        let answer = link
            .exchange(ASK_VERSIONS, &ApiVersionsRequest::default())
            .await?;
        if answer.error_code != ErrorCode::NONE {
            let words = format!("it refuses to name its versions: {}", answer.error_code);
            return Err(io_error(address, io::Error::other(words)));
        }
        link.served = answer.api_keys;
        Ok(link)
    }

    /// Answers are waited for up to another deadline.
    pub(crate) fn until(self, deadline: Instant) -> Link {
        Link { deadline, ..self }
    }

    /// Sends a request in the newest of `versions` that the broker serves, and waits for its answer.
    pub(crate) async fn ask<R: Request>(
        &mut self,
        versions: RangeInclusive<i16>,
        request: &R,
    ) -> Result<R::Response, RawError> {
        let served = self
            .served
            .iter()
            .find(|served| served.api_key == i16::from(R::KEY))
            .map(|served| served.min_version..=served.max_version);
        let Some(version) = served.and_then(|served| newest_common(&versions, &served)) else {
            return Err(RawError::Unserved {
                address: self.address.clone(),
                api: format!("{:?}", R::KEY),
                versions,
            });
        };
        self.exchange(version, request).await
    }

    async fn exchange<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, RawError> {
        self.correlation_id += 1;
        let client_id = Some(self.client_id.clone());
        let frame = encode_request_frame(self.correlation_id, client_id, version, request)?;
        let frame = frame.concat();
        let exchanged = timeout_at(self.deadline, transfer(&mut self.stream, &frame)).await;
        let answer = within(&self.address, exchanged)?;
        match decode_response_frame::<R>(answer, version) {
            Ok((header, answer)) if header.correlation_id == self.correlation_id => Ok(answer),
            Ok(_) => {
                let words = io::Error::other("it answers another request than the one sent");
                Err(io_error(&self.address, words))
            }
            Err(source) => Err(RawError::Decode {
                address: self.address.clone(),
                source,
            }),
        }
    }
}

/// The newest version in both ranges.
fn newest_common(ours: &RangeInclusive<i16>, theirs: &RangeInclusive<i16>) -> Option<i16> {
    let newest = *ours.end().min(theirs.end());
    (newest >= *ours.start() && newest >= *theirs.start()).then_some(newest)
}

/// Writes one frame and reads one frame, without its length.
async fn transfer(stream: &mut TcpStream, frame: &[u8]) -> io::Result<Bytes> {
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

fn within<T, E>(address: &str, done: Result<io::Result<T>, E>) -> Result<T, RawError> {
    match done {
        Ok(done) => done.map_err(|source| io_error(address, source)),
        Err(_) => Err(RawError::Timeout {
            address: address.to_owned(),
        }),
    }
}

fn io_error(address: &str, source: io::Error) -> RawError {
    RawError::Io {
        address: address.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_know_is_taken() {
        assert_eq!(newest_common(&(4..=7), &(0..=5)), Some(5));
        assert_eq!(newest_common(&(4..=7), &(0..=9)), Some(7));
        assert_eq!(newest_common(&(4..=7), &(0..=3)), None);
        assert_eq!(newest_common(&(4..=7), &(8..=9)), None);
    }
}
