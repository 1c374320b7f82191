//! One function per fuzz target: it takes any bytes and panics if something is wrong.
//!
//! Checksums would keep most inputs out. So the first byte of an input says whether they are to be made
//! right before the bytes are used: what lies behind them is then tried too.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use headrace_storage::data_dir::DataDir;
use headrace_storage::fs::{Disk, DiskFile, MemoryDisk, OpenMode};
use headrace_storage::manifest::{Manifest, Receiver};
use headrace_storage::record::batches;
use headrace_storage::votes::{GroupId, VoteJournal};
use headrace_storage::{
    Batch, BatchBuilder, Checkpoints, Compression, Entry, EntryIndex, Known, LeaderEpoch, Log,
    LogCheckpoint, LogConfig, LogIdentity, LogView, Offset,
};
use uuid::Uuid;

/// A batch decompresses to at most this.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;
const ROOT: &str = "/data";
const DIR: &str = "/data/log";
/// Set in the first byte of an input: checksums are made right.
const REPAIR: u8 = 1;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("batch", batch),
    ("segment", segment),
    ("index", index),
    ("votes", votes),
    ("manifest", manifest),
    ("checkpoint", checkpoint),
];

/// Batches as they come from a client or a file.
pub fn batch(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if flags & REPAIR != 0 {
        repair_frames(&mut bytes);
    }
    let bytes = Bytes::from(bytes);
    for batch in batches(bytes.clone()).take_while(Result::is_ok).flatten() {
        look_into(&batch);
    }
    if let Ok(batch) = Batch::check(bytes) {
        let again = Batch::check(batch.to_bytes()).expect("a checked batch is checked again");
        assert_eq!(again, batch);
        look_into(&batch);
    }
}

fn look_into(batch: &Batch) {
    let header = *batch.header();
    let records = batch.records(DECOMPRESSED_BYTES_MAX);
    for record in records.unwrap_or_default() {
        let last = header.last_offset();
        assert!(record.offset >= header.base_offset && record.offset <= last);
    }
    if let Some(marker) = batch.control_marker() {
        assert!(header.is_control(), "{marker:?}");
    }
}

/// Whose log the targets open.
pub fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: 3,
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes_max: 4000,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

fn open(disk: &MemoryDisk) -> Option<Log> {
    open_with(disk, None)
}

fn open_with(disk: &MemoryDisk, checkpoint: Option<LogCheckpoint>) -> Option<Log> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let known = Known {
        hint: None,
        checkpoint,
    };
    Log::open(disk, Path::new(DIR), identity(), config(), known).ok()
}

fn put(disk: &MemoryDisk, path: &Path, bytes: &[u8]) {
    let file = match disk.open(path, OpenMode::Create) {
        Ok(file) => file,
        Err(_) => disk.open(path, OpenMode::Write).expect("a file"),
    };
    let write = |file: &dyn DiskFile| {
        file.set_size(0)?;
        file.write_at(0, &mut [std::io::IoSlice::new(bytes)])
    };
    write(&*file).expect("a disk without failures");
}

/// A segment file as a crash or a bad disk may leave it; recovery gives the same twice.
pub fn segment(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if flags & REPAIR != 0 {
        repair_frames(&mut bytes);
    }
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new(DIR)).expect("a directory");
    put(
        &disk,
        &Path::new(DIR).join("00000000000000000000-1.log"),
        &bytes,
    );
    let Some(mut log) = open(&disk) else { return };
    let found = shown(&mut log);
    drop(log);
    let mut again = open(&disk).expect("a log that was recovered is recovered again");
    assert_eq!(shown(&mut again), found);
    // It goes on, and what is added is found behind what was there.
    let term = LeaderEpoch(again.epoch().0.saturating_add(1));
    if again.append(Entry::NoOp { term }).is_err() {
        return;
    }
    let mut added = BatchBuilder::new(Compression::None);
    added.push(1, None, Some(b"added"), &[]);
    let mut added = added.build();
    added.stamp(again.next_offset(), again.epoch());
    again
        .append(Entry::Batch(added))
        .expect("a batch that continues");
    again.write().expect("a disk without failures");
    while let Some(point) = again.sync_point() {
        again.synced(point.run()).expect("a disk without failures");
    }
    let longer = shown(&mut again);
    let crashed = shown(&mut open(&disk.crash()).expect("what was synced is recovered"));
    assert_eq!(longer, crashed);
    assert!(longer.2.starts_with(&found.2));
}

/// Ends, and the bytes of all batches.
type Shown = (Offset, EntryIndex, Vec<Bytes>);

fn shown(log: &mut Log) -> Shown {
    log.commit(log.last_index());
    let view = log.reader().view();
    let all = EntryIndex(log.last_index().0 + 1);
    drop(log.entries(log.first_index(), all, 1 << 20));
    drop(view.find_timestamp(5, view.log_end()));
    drop(view.max_timestamp(view.log_end()));
    drop(log.membership(log.last_index()));
    (log.log_end(), log.last_index(), bytes_of(&view))
}

fn bytes_of(view: &LogView) -> Vec<Bytes> {
    let chunks = view.read(view.log_start(), view.log_end(), 1 << 20, true);
    let chunks = chunks.expect("a recovered log is read");
    let bytes = chunks.iter().map(|chunk| chunk.to_bytes().expect("memory"));
    bytes.collect()
}

/// A log of three segments, all synced.
pub fn sealed_log() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).expect("an empty disk");
    for term in 1..4 {
        let term = LeaderEpoch(term);
        log.append(Entry::NoOp { term }).expect("a new term");
        for time in 0..6 {
            let mut builder = BatchBuilder::new(Compression::None);
            builder.push(time, Some(b"key"), Some(&[b'v'; 90]), &[]);
            let mut batch = builder.build();
            batch.stamp(log.next_offset(), log.epoch());
            log.append(Entry::Batch(batch))
                .expect("a batch that continues");
        }
        log.append(Entry::Roll { at_ms: 7 }).expect("a ROLL");
        log.write().expect("a disk without failures");
        while let Some(point) = log.sync_point() {
            log.synced(point.run()).expect("a disk without failures");
        }
    }
    disk
}

/// The index files of a log, whatever is in them: they are derived data, so nothing may change.
pub fn index(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    let disk = sealed_log();
    let wanted = shown(&mut open(&disk.fork()).expect("a sound log"));
    let names = disk.list(Path::new(DIR)).expect("a disk without failures");
    let indexes: Vec<PathBuf> = names
        .iter()
        .map(|name| Path::new(DIR).join(name))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "index")
        })
        .collect();
    let Some(path) = indexes.get(usize::from(flags >> 4) % indexes.len().max(1)) else {
        return;
    };
    put(&disk, path, bytes);
    let mut log = open(&disk).expect("an index closes no log");
    assert_eq!(shown(&mut log), wanted);
    for time in 0..6 {
        let view = log.reader().view();
        let found = view.find_timestamp(time, view.log_end());
        assert_eq!(found.expect("a look-up"), Some((Offset(time), time)));
    }
}

/// A vote journal; what it says is carried into the next one.
pub fn votes(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if flags & REPAIR != 0 {
        repair_blocks(&mut bytes);
    }
    let disk = MemoryDisk::new();
    let root = Path::new(ROOT);
    disk.create_dir_all(root).expect("a directory");
    put(&disk, &root.join("votes-0"), &bytes);
    let Ok(loaded) = VoteJournal::load(&disk, root) else {
        return;
    };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let created = VoteJournal::create(shared, root, 1, &loaded);
    drop(created.expect("a disk without failures"));
    disk.remove(&root.join("votes-0")).expect("it is there");
    let again = VoteJournal::load(&disk, root).expect("a journal of ours");
    assert_eq!(again.states, loaded.states);
    assert!(again.damaged.is_empty());
}

/// A manifest as it comes from another machine, and a copy begun with it.
pub fn manifest(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if let Some((body, field)) = bytes.split_last_chunk_mut::<4>()
        && flags & REPAIR != 0
    {
        *field = crc32c::crc32c(body).to_be_bytes();
    }
    let Ok(manifest) = Manifest::decode(&bytes) else {
        return;
    };
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
    let disk = sealed_log();
    let before = disk.digest();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    if let Ok(receiver) = Receiver::begin(shared, Path::new(DIR), manifest) {
        // Files of nothing we have: whatever is taken for them must not become the log.
        drop(receiver);
    }
    if disk.digest() == before {
        return;
    }
    let mut log = open(&disk).expect("a copy that was begun changes no log");
    assert_eq!(shown(&mut log).1, EntryIndex(24));
}

/// A data directory with a log of sealed segments and an active one, as a clean stop leaves it.
pub fn stopped_log() -> MemoryDisk {
    let disk = sealed_log();
    let mut log = open(&disk).expect("a sound log");
    for time in 0..3 {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(time, Some(b"key"), Some(&[b'v'; 90]), &[]);
        let mut batch = builder.build();
        batch.stamp(log.next_offset(), log.epoch());
        log.append(Entry::Batch(batch))
            .expect("a batch that continues");
    }
    let closed = log.close().expect("a disk without failures");
    let data = data_dir(&disk);
    data.write_checkpoint(&Checkpoints::from([(GroupId::from(&identity()), closed)]))
        .expect("a disk without failures");
    disk
}

fn data_dir(disk: &MemoryDisk) -> DataDir {
    DataDir::open_on(Arc::new(disk.clone()), Path::new(ROOT)).expect("a disk without failures")
}

/// The checkpoint of a clean stop. It goes, whatever is in it. With its checksum it may say anything and is
/// believed if the files are as it says; even so nothing panics, and the next start finds the whole log.
pub fn checkpoint(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    let repaired = flags & REPAIR != 0;
    if repaired {
        repair_file(&mut bytes);
    }
    let disk = stopped_log();
    let path = Path::new(ROOT).join("checkpoint");
    let written = disk.bytes_of(&path);
    put(&disk, &path, &bytes);
    let taken = data_dir(&disk).take_checkpoint();
    let mut taken = taken.expect("a disk without failures");
    assert_eq!(disk.crash().bytes_of(&path), None, "kept for another start");
    let whole = shown(&mut open(&disk.fork()).expect("a sound log"));
    if let Some(mut log) = open_with(&disk, taken.remove(&GroupId::from(&identity()))) {
        if repaired && written.as_ref() != Some(&bytes) {
            look_at(&mut log);
        } else {
            assert_eq!(shown(&mut log), whole);
        }
    }
    let mut again = open(&disk).expect("a checkpoint changes no log");
    assert_eq!(shown(&mut again), whole);
}

/// Reads in every way there is, whatever comes of it.
fn look_at(log: &mut Log) {
    log.commit(log.last_index());
    let view = log.reader().view();
    let upto = EntryIndex(log.last_index().0.saturating_add(1));
    drop(log.entries(log.first_index(), upto, 1 << 20));
    drop(log.membership(log.last_index()));
    drop(view.find_timestamp(5, view.log_end()));
    drop(view.max_timestamp(view.log_end()));
    drop(view.aborted_transactions(view.log_start(), view.log_end()));
    for chunk in view
        .read(view.log_start(), view.log_end(), 1 << 20, true)
        .unwrap_or_default()
    {
        drop(chunk.to_bytes());
    }
}

/// Makes a checksummed file's length and checksum right.
fn repair_file(bytes: &mut [u8]) {
    const HEADER_BYTES: usize = 16;
    const CRC_BYTES: usize = 4;
    let Some(content_bytes) = bytes.len().checked_sub(HEADER_BYTES + CRC_BYTES) else {
        return;
    };
    let length = u64::try_from(content_bytes).expect("64 bits");
    bytes[8..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    let (body, field) = bytes.split_at_mut(HEADER_BYTES + content_bytes);
    field.copy_from_slice(&crc32c::crc32c(body).to_be_bytes());
}

/// Makes the checksums of frames right, as far as their lengths lead.
fn repair_frames(bytes: &mut [u8]) {
    let identity = identity();
    let seed = crc32c::crc32c(identity.topic_id.as_bytes());
    let seed = crc32c::crc32c_append(seed, &identity.partition.to_be_bytes());
    let seed = crc32c::crc32c_append(seed, &1_u64.to_be_bytes());
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 22) {
        let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let Ok(length) = usize::try_from(length) else {
            return;
        };
        let end = (at + 12).saturating_add(length).min(bytes.len());
        if end < at + 22 {
            return;
        }
        let crc = match (head[16], head[21]) {
            (0x7F, 1) => {
                let crc = crc32c::crc32c(&bytes[at..at + 17]);
                crc32c::crc32c_append(crc, &bytes[at + 21..end])
            }
            (0x7F, _) => {
                let crc = crc32c::crc32c_append(seed, &bytes[at..at + 17]);
                crc32c::crc32c_append(crc, &bytes[at + 21..end])
            }
            _ => crc32c::crc32c(&bytes[at + 21..end]),
        };
        bytes[at + 17..at + 21].copy_from_slice(&crc.to_be_bytes());
        at = end;
    }
}

/// Makes the checksums of a vote journal's blocks right.
fn repair_blocks(bytes: &mut [u8]) {
    const BLOCK_BYTES: usize = 4096;
    for (at, block) in bytes.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        let pair = u64::try_from(at / 2).expect("64 bits");
        let seed = crc32c::crc32c(&pair.to_be_bytes());
        let (body, field) = block.split_at_mut(BLOCK_BYTES - 4);
        field.copy_from_slice(&crc32c::crc32c_append(seed, body).to_be_bytes());
    }
}
