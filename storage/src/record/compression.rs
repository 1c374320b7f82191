//! The four codecs of Kafka's batches, in both directions; reading is bounded by the caller's limit.
//!
//! gzip may have several members; snappy comes in xerial's framing from Java and bare from librdkafka's
//! older versions; lz4 is the frame format with independent blocks; zstd may have several frames.
//!
//! ```text
//! xerial:  82 'SNAPPY' 00 | version i32 | compatible i32 | { block length i32 | snappy block }*
//! ```

use std::io::{self, Read, Write};

use bytes::Bytes;
use thiserror::Error;

const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
/// Snappy's own block size; Java's reader copes with any.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Zstd windows: encoders declare up to 8 MiB at ordinary levels even for small data, 128 MiB at most.
const ZSTD_WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;

/// The codec of a batch's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not compressed.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in xerial's framing.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// Why records could not be decompressed (or compressed).
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CompressionError {
    /// A codec number that no version of Kafka knows.
    #[error("unknown compression codec {codec}")]
    Unknown {
        /// The three attribute bits.
        codec: i16,
    },
    /// The output would pass the limit.
    #[error("records decompress to more than {max_bytes} bytes")]
    TooLarge {
        /// The limit given.
        max_bytes: usize,
    },
    /// The codec refused the bytes.
    #[error("{codec:?} data is malformed: {reason}")]
    Malformed {
        /// Whose bytes they claim to be.
        codec: Compression,
        /// The codec's words.
        reason: String,
    },
}

impl Compression {
    /// The codec with this number in the low attribute bits.
    pub(crate) fn from_bits(bits: i16) -> Result<Compression, CompressionError> {
        match bits {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            codec => Err(CompressionError::Unknown { codec }),
        }
    }

    /// The number of the codec in the attribute bits.
    pub fn bits(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// Decompresses `input` to at most `max_bytes`; without a codec the slice itself, never too large.
    pub(crate) fn decompress(
        self,
        input: &Bytes,
        max_bytes: usize,
    ) -> Result<Bytes, CompressionError> {
        let plain = match self {
            Compression::None => return Ok(input.clone()),
            Compression::Gzip => {
                self.read_bounded(flate2::bufread::MultiGzDecoder::new(&input[..]), max_bytes)?
            }
            Compression::Snappy => unsnappy(input, max_bytes)?,
            Compression::Lz4 => {
                self.read_bounded(lz4_flex::frame::FrameDecoder::new(&input[..]), max_bytes)?
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&input[..])
                    .map_err(|error| self.malformed(&error))?;
                let wanted = max_bytes.checked_ilog2().unwrap_or(0) + 1;
                let window = wanted.clamp(*ZSTD_WINDOW_LOG.start(), *ZSTD_WINDOW_LOG.end());
                decoder
                    .window_log_max(window)
                    .map_err(|error| self.malformed(&error))?;
                self.read_bounded(decoder, max_bytes)?
            }
        };
        Ok(plain.into())
    }

    fn read_bounded(self, from: impl Read, max_bytes: usize) -> Result<Vec<u8>, CompressionError> {
        let mut plain = Vec::new();
        let limit = u64::try_from(max_bytes)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        from.take(limit)
            .read_to_end(&mut plain)
            .map_err(|error| self.malformed(&error))?;
        if plain.len() > max_bytes {
            return Err(CompressionError::TooLarge { max_bytes });
        }
        Ok(plain)
    }

    fn malformed(self, error: &dyn std::fmt::Display) -> CompressionError {
        CompressionError::Malformed {
            codec: self,
            reason: error.to_string(),
        }
    }

    /// Compresses `plain` at the codec's own level; in memory no codec has a reason to fail.
    pub(crate) fn compress(self, plain: Vec<u8>) -> Result<Bytes, CompressionError> {
        self.compress_at(plain, None)
    }

    /// Compresses `plain`; gzip and zstd know levels.
    pub(crate) fn compress_at(
        self,
        plain: Vec<u8>,
        level: Option<i32>,
    ) -> Result<Bytes, CompressionError> {
        let packed = match self {
            Compression::None => Ok(plain),
            Compression::Gzip => gzip(&plain, level),
            Compression::Snappy => snappy(&plain),
            Compression::Lz4 => lz4(&plain),
            // 0 is its default
            Compression::Zstd => zstd::bulk::compress(&plain, level.unwrap_or(0)),
        };
        packed
            .map(Bytes::from)
            .map_err(|error| self.malformed(&error))
    }
}

fn gzip(plain: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
    let level = level.and_then(|level| u32::try_from(level).ok());
    let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain)?;
    encoder.finish()
}

fn lz4(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(plain)?;
    encoder.finish().map_err(io::Error::other)
}

fn snappy(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = XERIAL_MAGIC.to_vec();
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
        let length = i32::try_from(packed.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

fn unsnappy(input: &[u8], max_bytes: usize) -> Result<Vec<u8>, CompressionError> {
    let codec = Compression::Snappy;
    let mut plain = Vec::new();
    if !input.starts_with(&XERIAL_MAGIC) {
        unsnappy_block(input, max_bytes, &mut plain)?;
        return Ok(plain);
    }
    let mut blocks = input
        .get(XERIAL_HEADER_BYTES..)
        .ok_or_else(|| codec.malformed(&"xerial header is cut"))?;
    while let Some((length, rest)) = blocks.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length))
            .map_err(|_| codec.malformed(&"block length is negative"))?;
        let (block, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| codec.malformed(&"block reaches past the batch"))?;
        unsnappy_block(block, max_bytes, &mut plain)?;
        blocks = rest;
    }
    if !blocks.is_empty() {
        return Err(codec.malformed(&"block length is cut"));
    }
    Ok(plain)
}

/// Snappy expands at most about 21 times (64 bytes of output per 3 of input), so a stated length above
/// that is a lie and is refused before anything is allocated for it.
const SNAPPY_RATIO_MAX: usize = 32;

fn unsnappy_block(
    block: &[u8],
    max_bytes: usize,
    plain: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let codec = Compression::Snappy;
    let stated = snap::raw::decompress_len(block).map_err(|error| codec.malformed(&error))?;
    let before = plain.len();
    if stated > max_bytes.saturating_sub(before) {
        return Err(CompressionError::TooLarge { max_bytes });
    }
    if stated > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(codec.malformed(&"stated length is beyond what snappy can reach"));
    }
    plain.resize(before + stated, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut plain[before..])
        .map_err(|error| codec.malformed(&error))?;
    plain.truncate(before + written);
    Ok(())
}
