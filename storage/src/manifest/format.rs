//! The bytes of a manifest.
//!
//! ```text
//! 'HRMANIF' 01 | cluster id | topic id | partition i32 | applied u64 | epoch i32 | end offset i64
//!   | log start i64 | runs u32 | files u32 | membership bytes i32 (-1: none) | membership index u64
//!   | { epoch i32 | start i64 | index u64 }*runs
//!   | { base offset i64 | base index u64 | generation u32 | bytes u64 | CRC-32C u32 }*files
//!   | membership | CRC-32C of all before, u32
//! ```
//!
//! Integers are big-endian. The checksum is against accidents; what comes from another machine is judged
//! field by field as well: counts must fit the bytes there are before anything is allocated for them.

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use super::{Manifest, ManifestError, ManifestFile, TermRun};
use crate::log::LogIdentity;
use crate::position::{EntryIndex, LeaderEpoch, Offset};
use crate::segment::format::{SEGMENT_HEADER_BYTES, as_u64};

const MAGIC: [u8; 8] = *b"HRMANIF\x01";
const FIXED_BYTES: usize = 8 + 16 + 16 + 4 + 8 + 4 + 8 + 8 + 4 + 4 + 4 + 8;
const RUN_BYTES: usize = 20;
const FILE_BYTES: usize = 32;
const CRC_BYTES: usize = 4;

pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let count = |len: usize| u32::try_from(len).expect("a list in memory is below 2^32");
    let membership = manifest.membership.as_ref();
    let (voters_index, voters) = membership.map_or((EntryIndex(0), None), |(index, content)| {
        (*index, Some(content))
    });
    let mut out = Vec::with_capacity(
        FIXED_BYTES
            + manifest.terms.len() * RUN_BYTES
            + manifest.files.len() * FILE_BYTES
            + voters.map_or(0, Bytes::len)
            + CRC_BYTES,
    );
    out.put_slice(&MAGIC);
    out.put_u128(manifest.identity.cluster_id.as_u128());
    out.put_u128(manifest.identity.topic_id.as_u128());
    out.put_i32(manifest.identity.partition);
    out.put_u64(manifest.applied.0);
    out.put_i32(manifest.epoch.0);
    out.put_i64(manifest.end_offset.0);
    out.put_i64(manifest.log_start.0);
    out.put_u32(count(manifest.terms.len()));
    out.put_u32(count(manifest.files.len()));
    let voters_bytes = voters.map_or(-1, |content| {
        i32::try_from(content.len()).expect("a voter set is below 2 GiB")
    });
    out.put_i32(voters_bytes);
    out.put_u64(voters_index.0);
    for run in &manifest.terms {
        out.put_i32(run.epoch.0);
        out.put_i64(run.start.0);
        out.put_u64(run.index.0);
    }
    for file in &manifest.files {
        out.put_i64(file.base_offset.0);
        out.put_u64(file.base_index.0);
        out.put_u32(file.generation);
        out.put_u64(file.size_bytes);
        out.put_u32(file.crc);
    }
    out.put_slice(voters.map_or(&[], |content| content));
    out.put_u32(crc32c::crc32c(&out));
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let damaged = |reason| ManifestError { reason };
    let (body, crc) = bytes
        .split_last_chunk::<CRC_BYTES>()
        .ok_or(damaged("cut"))?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
        return Err(damaged("checksum does not match"));
    }
    let fixed = body.get(..FIXED_BYTES).ok_or(damaged("cut"))?;
    let mut from = fixed
        .strip_prefix(&MAGIC)
        .ok_or(damaged("wrong magic or version"))?;
    let identity = LogIdentity {
        cluster_id: Uuid::from_u128(from.get_u128()),
        topic_id: Uuid::from_u128(from.get_u128()),
        partition: from.get_i32(),
    };
    let applied = EntryIndex(from.get_u64());
    let epoch = LeaderEpoch(from.get_i32());
    let end_offset = Offset(from.get_i64());
    let log_start = Offset(from.get_i64());
    let runs_bytes = u64::from(from.get_u32()) * as_u64(RUN_BYTES);
    let files_bytes = u64::from(from.get_u32()) * as_u64(FILE_BYTES);
    let voters_bytes = from.get_i32();
    let voters_index = EntryIndex(from.get_u64());

    let rest = &body[FIXED_BYTES..];
    let stated = runs_bytes + files_bytes + u64::try_from(voters_bytes).unwrap_or(0);
    if stated != as_u64(rest.len()) || voters_bytes < -1 {
        return Err(damaged("its parts do not fit its size"));
    }
    let part = |bytes: u64| usize::try_from(bytes).map_err(|_| damaged("larger than memory"));
    let (runs, rest) = rest.split_at(part(runs_bytes)?);
    let (files, voters) = rest.split_at(part(files_bytes)?);
    let voters = (voters_bytes >= 0).then(|| (voters_index, Bytes::copy_from_slice(voters)));
    let manifest = Manifest {
        identity,
        applied,
        epoch,
        end_offset,
        log_start,
        terms: runs.chunks_exact(RUN_BYTES).map(read_run).collect(),
        membership: voters,
        files: files.chunks_exact(FILE_BYTES).map(read_file).collect(),
    };
    check(&manifest).map_err(damaged)?;
    Ok(manifest)
}

fn read_run(mut from: &[u8]) -> TermRun {
    TermRun {
        epoch: LeaderEpoch(from.get_i32()),
        start: Offset(from.get_i64()),
        index: EntryIndex(from.get_u64()),
    }
}

fn read_file(mut from: &[u8]) -> ManifestFile {
    ManifestFile {
        base_offset: Offset(from.get_i64()),
        base_index: EntryIndex(from.get_u64()),
        generation: from.get_u32(),
        size_bytes: from.get_u64(),
        crc: from.get_u32(),
    }
}

/// Whether the fields can describe a log.
fn check(manifest: &Manifest) -> Result<(), &'static str> {
    let Manifest {
        applied,
        end_offset,
        log_start,
        terms,
        files,
        ..
    } = manifest;
    let Some((first, last)) = files.first().zip(files.last()) else {
        return Err("no files");
    };
    let in_order = files.is_sorted_by(|before, after| {
        before.base_index < after.base_index && before.base_offset <= after.base_offset
    });
    if !in_order || first.base_offset < Offset(0) || first.base_index < EntryIndex(1) {
        return Err("files are not in order");
    }
    let header_bytes = as_u64(SEGMENT_HEADER_BYTES);
    let total = files.iter().try_fold(0_u64, |sum, file| {
        let plausible = file.size_bytes >= header_bytes;
        plausible
            .then(|| sum.checked_add(file.size_bytes))
            .flatten()
    });
    if total.is_none_or(|total| i64::try_from(total).is_err()) {
        return Err("sizes of files are impossible");
    }
    if last.base_index > applied.next() || last.base_offset > *end_offset {
        return Err("files go on behind the last entry");
    }
    if *log_start < first.base_offset || log_start > end_offset {
        return Err("log start lies outside the files");
    }
    let rising = terms.is_sorted_by(|before, after| {
        before.epoch < after.epoch && before.index < after.index && before.start <= after.start
    });
    let known = terms.last().is_some_and(|last| {
        last.index <= *applied && last.epoch == manifest.epoch && last.start <= *end_offset
    });
    if !rising || !known {
        return Err("terms are not in order");
    }
    let voters = manifest.membership.as_ref();
    if voters.is_some_and(|(index, _)| index > applied) {
        return Err("voter set is newer than the last entry");
    }
    Ok(())
}
