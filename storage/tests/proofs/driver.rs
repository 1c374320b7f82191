//! One log and its vote journal on a recorded disk, driven by a script, and its [`History`].

use std::path::Path;
use std::sync::Arc;

use headrace_storage::data_dir::DataDir;
use headrace_storage::fs::{Disk, MemoryDisk, Trace, read_atomic, write_atomic};
use headrace_storage::record::batches;
use headrace_storage::votes::{GroupId, Loaded, VoteJournal};
use headrace_storage::{
    Batch, BatchBuilder, Checkpoints, Compression, Entry, EntryIndex, Hint, Known, LeaderEpoch,
    Log, LogCheckpoint, LogConfig, LogIdentity, LogView, Offset, SyncDone, SyncPoint, WriteError,
};
use uuid::Uuid;

use crate::explore::Proven;
use crate::history::{History, Seen, What, Written, times_asked};

/// The data directory, where the vote journal lies.
pub(crate) const ROOT: &str = "/data";

/// The log's directory.
pub(crate) const DIR: &str = "/data/topics/log";

/// Said to the journal at each sync, so that it writes and syncs its hint every time.
const HINT_DUE_BYTES: u64 = 64 << 20;

/// Small segments and indexes, so that short scripts cross many borders.
pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes_max: 4000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

pub(crate) fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: 3,
    }
}

fn group() -> GroupId {
    GroupId::from(&identity())
}

/// Opens the log with the hint that the journal has.
pub(crate) fn open(disk: &MemoryDisk) -> Result<Log, String> {
    let votes = match VoteJournal::load(disk, Path::new(ROOT)) {
        Ok(votes) => votes,
        // nothing was ever written
        Err(_) if disk.list(Path::new(ROOT)).is_err() => Loaded::default(),
        Err(error) => return Err(format!("journal refuses: {}", chain(&error))),
    };
    open_with(disk, &votes)
}

fn open_with(disk: &MemoryDisk, votes: &Loaded) -> Result<Log, String> {
    if !votes.damaged.is_empty() {
        return Err(format!("journal is damaged: {:?}", votes.damaged));
    }
    let hint = votes.states.get(&group()).and_then(|state| state.hint);
    let checkpoint = take_checkpoint(disk)?;
    let known = Known { hint, checkpoint };
    let disk = Arc::new(disk.clone());
    let opened = Log::open(disk, Path::new(DIR), identity(), config(), known);
    opened.map_err(|error| format!("recovery refuses: {}", chain(&error)))
}

/// The data directory, if the script has made one.
fn data_dir(disk: &MemoryDisk) -> Result<Option<DataDir>, String> {
    let root = Path::new(ROOT);
    if disk.bytes_of(&root.join("meta")).is_none() {
        return Ok(None);
    }
    let opened = DataDir::open_on(Arc::new(disk.clone()), root);
    opened.map(Some).map_err(|error| chain(&error))
}

/// What the log was at a clean stop.
fn take_checkpoint(disk: &MemoryDisk) -> Result<Option<LogCheckpoint>, String> {
    let Some(data) = data_dir(disk)? else {
        return Ok(None);
    };
    let taken = data.take_checkpoint();
    let mut taken = taken.map_err(|error| format!("start refuses: {}", chain(&error)))?;
    Ok(taken.remove(&group()))
}

/// Lowers the hint of the log in a journal that is begun anew, as its shard would.
pub(crate) fn lower_hint(disk: &MemoryDisk, hint: Hint) -> std::io::Result<()> {
    let root = Path::new(ROOT);
    let loaded = VoteJournal::load(disk, root).map_err(std::io::Error::other)?;
    let votes = VoteJournal::create(Arc::new(disk.clone()), root, 0, &loaded);
    let lowered = votes.and_then(|mut votes| votes.lower_hint(group(), hint));
    lowered.map_err(std::io::Error::other)
}

/// Begins the journal anew and opens the log, as a start of the broker does.
fn start(disk: &MemoryDisk) -> Result<(VoteJournal, Log), String> {
    let fails = |error: &dyn std::error::Error| format!("journal fails: {}", chain(error));
    let root = Path::new(ROOT);
    disk.create_dir_all(root).map_err(|error| fails(&error))?;
    let loaded = VoteJournal::load(disk, root).map_err(|error| fails(&error))?;
    let votes = VoteJournal::create(Arc::new(disk.clone()), root, 0, &loaded);
    let votes = votes.map_err(|error| fails(&error))?;
    Ok((votes, open_with(disk, &loaded)?))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// All batches of a view from its log start, checked.
pub(crate) fn batches_of(view: &LogView, upto: Offset) -> Result<Vec<Batch>, String> {
    let runs = view.read(view.log_start(), upto, usize::MAX, true);
    let runs = runs.map_err(|error| format!("read fails: {}", chain(&error)))?;
    let mut found = Vec::new();
    for run in runs {
        let bytes = run.to_bytes();
        let bytes = bytes.map_err(|error| format!("read fails: {}", chain(&error)))?;
        for batch in batches(bytes) {
            let unsound = |error| format!("a batch is not sound: {}", chain(&error));
            found.push(batch.map_err(unsound)?);
        }
    }
    Ok(found)
}

/// A batch as [`Seen`] has it.
pub(crate) fn shown(batch: &Batch) -> (Offset, LeaderEpoch, u32) {
    let crc = crc32c::crc32c(&batch.to_bytes());
    (batch.base_offset(), batch.header().epoch, crc)
}

/// The entries that a log gives out, by ordinal.
fn entries_of(log: &Log) -> Result<Vec<(LeaderEpoch, Option<u32>)>, String> {
    let mut found = Vec::new();
    let mut from = log.first_index();
    let upto = EntryIndex(log.last_index().0 + 1);
    while from < upto {
        // small steps, so that every border between two of them is met
        let entries = log.entries(from, upto, 900);
        for stored in entries.map_err(|error| format!("entries fail: {}", chain(&error)))? {
            if stored.index != from || log.term(from) != Some(stored.epoch) {
                return Err(format!("entry {from} is given as {stored:?}"));
            }
            let crc = match &stored.entry {
                Entry::Batch(batch) => Some(crc32c::crc32c(&batch.to_bytes())),
                _ => None,
            };
            found.push((stored.epoch, crc));
            from = EntryIndex(from.0 + 1);
        }
    }
    Ok(found)
}

/// What an open log shows.
pub(crate) fn look(log: &Log) -> Result<Seen, String> {
    let view = log.reader().view();
    let found = batches_of(&view, view.log_end())?;
    for batch in &found {
        let (known, of_batch) = (view.epoch_at(batch.base_offset()), batch.header().epoch);
        if known != of_batch {
            return Err(format!(
                "epoch runs say {known} where {of_batch} was written"
            ));
        }
    }
    let mut times = Vec::new();
    for asked in times_asked() {
        let found = view.find_timestamp(asked, view.log_end());
        times.push(found.map_err(|error| format!("look-up fails: {}", chain(&error)))?);
    }
    let ordered = view.log_start() <= view.last_stable()
        && view.last_stable() <= view.high_watermark()
        && view.high_watermark() <= view.log_end();
    if !ordered || log.flushed() > log.log_end() {
        return Err("positions are out of order".to_owned());
    }
    Ok(Seen {
        first_index: log.first_index().0,
        entries: entries_of(log)?,
        last_index: log.last_index().0,
        epoch: log.epoch(),
        log_start: view.log_start(),
        log_end: view.log_end(),
        batches: found.iter().map(shown).collect(),
        times,
    })
}

/// A log being driven.
///
/// A call that fails leaves the log closed, and the script goes on without effect until it opens the log
/// again: so the same scripts serve where calls fail on purpose.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) disk: MemoryDisk,
    /// `None` if it could not be opened.
    pub(crate) log: Option<Log>,
    /// There whenever the log is.
    votes: Option<VoteJournal>,
    pub(crate) history: History,
    /// What failed, in words: calls of the log now open, and starts.
    pub(crate) failures: Vec<String>,
    term: i32,
    outstanding: Option<SyncPoint>,
    /// How the one ended that was run before its log is told.
    ran: Option<SyncDone>,
}

impl Driver {
    /// A new log on an empty disk, in its first term.
    pub(crate) fn new(disk: MemoryDisk) -> Driver {
        Driver::in_term(disk, 1)
    }

    /// A new log that begins in this term.
    pub(crate) fn in_term(disk: MemoryDisk, term: i32) -> Driver {
        let mut driver = Driver {
            disk,
            log: None,
            votes: None,
            history: History::default(),
            failures: Vec::new(),
            term: term - 1,
            outstanding: None,
            ran: None,
        };
        driver.open();
        driver
    }

    /// The log as a start finds it, in its last term; with a history that begins here.
    pub(crate) fn started(disk: &MemoryDisk) -> Result<Driver, String> {
        let (votes, log) = start(disk)?;
        Ok(Driver {
            disk: disk.clone(),
            term: log.epoch().0,
            log: Some(log),
            votes: Some(votes),
            history: History::default(),
            failures: Vec::new(),
            outstanding: None,
            ran: None,
        })
    }

    /// Opens the log; what a start has shown is durable, and what it has not found is gone.
    fn open(&mut self) {
        self.outstanding = None;
        self.ran = None;
        self.log = None;
        self.votes = None;
        match start(&self.disk) {
            Ok((votes, log)) => {
                self.votes = Some(votes);
                let count = usize::try_from(log.last_index().0).expect("64 bits");
                let calls = self.disk.recorded();
                self.history.truncated(calls, count);
                self.history.promised(calls, count);
                self.log = Some(log);
                self.lead();
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, what: String) {
        self.history.cache_in_doubt(self.disk.recorded());
        self.failures.push(what);
    }

    /// Begins a term.
    pub(crate) fn lead(&mut self) {
        self.term += 1;
        let term = LeaderEpoch(self.term);
        self.entry(Entry::NoOp { term });
    }

    pub(crate) fn entry(&mut self, entry: Entry) {
        let Some(log) = &mut self.log else { return };
        let what = What::of(&entry);
        match log.append(entry) {
            Ok(_) => {
                let epoch = log.epoch();
                let written = Written { epoch, what };
                self.history.staged(self.disk.recorded(), written);
            }
            Err(error) => assert!(log.write_error().is_some(), "{error}"),
        }
    }

    /// Stages a batch of records with these timestamps.
    pub(crate) fn batch(&mut self, times: &[i64], value_bytes: usize) {
        let mut builder = BatchBuilder::new(Compression::None);
        let value = vec![b'v'; value_bytes];
        for time in times {
            builder.push(*time, Some(b"key"), Some(&value), &[]);
        }
        self.stamped(builder.build());
    }

    /// Where the next batch goes.
    pub(crate) fn next(&self) -> (Offset, LeaderEpoch) {
        let next = |log: &Log| (log.next_offset(), log.epoch());
        self.log.as_ref().map_or((Offset(0), LeaderEpoch(0)), next)
    }

    /// Stages a batch, stamped for the end of the log.
    pub(crate) fn stamped(&mut self, mut batch: Batch) {
        let (offset, epoch) = self.next();
        batch.stamp(offset, epoch);
        self.entry(Entry::Batch(batch));
    }

    pub(crate) fn roll(&mut self, at_ms: i64) {
        self.entry(Entry::Roll { at_ms });
    }

    pub(crate) fn log_start(&mut self, offset: i64) {
        let offset = Offset(offset);
        self.entry(Entry::LogStart { offset });
    }

    pub(crate) fn write(&mut self) {
        let result = self.log.as_mut().map(Log::write);
        self.note(result.and_then(Result::err));
    }

    /// Takes note of a call's end: what is written now, or that it failed.
    fn note(&mut self, failure: Option<WriteError>) {
        let Some(failure) = failure else {
            let calls = self.disk.recorded();
            if let Some(log) = self.log.as_ref().filter(|log| !log.has_staged()) {
                let written = usize::try_from(log.last_index().0).expect("64 bits");
                self.history.in_cache(calls, written);
            }
            return;
        };
        let log = self.log.as_ref().expect("a log that failed is open");
        assert!(
            log.write_error().is_some(),
            "a failed call leaves the log open: {failure}"
        );
        self.fail(chain(&failure));
    }

    /// Takes a sync point that other calls may overtake.
    pub(crate) fn start_sync(&mut self) {
        self.outstanding = self.log.as_mut().and_then(Log::sync_point);
        if self.outstanding.is_some() {
            // the worst moment to ask for the hint
            self.write_hint();
        }
    }

    /// Takes one if there is none.
    pub(crate) fn start_sync_unless_outstanding(&mut self) {
        if self.outstanding.is_none() {
            self.start_sync();
        }
    }

    /// Runs the sync point taken before; the log is told by [`Driver::end_sync`], after whatever comes between.
    pub(crate) fn run_sync(&mut self) {
        self.ran = self.outstanding.take().map(SyncPoint::run);
    }

    /// Runs the sync point taken before, unless that was done, and acknowledges what it covers.
    pub(crate) fn end_sync(&mut self) {
        let point = self.outstanding.take();
        let done = self.ran.take().or_else(|| point.map(SyncPoint::run));
        let (Some(done), Some(log)) = (done, &mut self.log) else {
            return;
        };
        let result = log.synced(done);
        // Also what failed may have been preceded by something that did not.
        let flushed = usize::try_from(log.flushed_index().0).expect("64 bits");
        self.history.promised(self.disk.recorded(), flushed);
        if result.is_ok() {
            self.write_hint();
        }
        self.note(result.err());
    }

    /// Stages the hint and writes it; a failure leaves the log open.
    fn write_hint(&mut self) {
        let (Some(log), Some(votes)) = (&self.log, &mut self.votes) else {
            return;
        };
        votes.set_hint(group(), log.hint());
        votes.note_synced_bytes(HINT_DUE_BYTES);
        let mut written = votes.write();
        if let (Ok(()), Some(point)) = (&written, votes.sync_point()) {
            written = votes.synced(point.run()).map(drop);
        }
        if let Err(error) = written {
            self.fail(chain(&error));
        }
    }

    /// Writes and syncs until all is acknowledged.
    pub(crate) fn settle(&mut self) {
        self.write();
        self.start_sync();
        while self.outstanding.is_some() {
            self.end_sync();
            self.start_sync();
        }
    }

    /// Takes everything that is acknowledged as committed.
    pub(crate) fn commit(&mut self) {
        if let Some(log) = &mut self.log {
            log.commit(log.flushed_index());
        }
    }

    /// Takes back all entries after the first `last`.
    pub(crate) fn truncate(&mut self, last: usize) {
        let (Some(log), Some(votes)) = (&mut self.log, &mut self.votes) else {
            return;
        };
        let index = EntryIndex(u64::try_from(last).expect("64 bits"));
        if index >= log.last_index() {
            return;
        }
        self.history.truncation_begun(self.disk.recorded(), last);
        let mut lower = |hint| {
            votes
                .lower_hint(group(), hint)
                .map_err(std::io::Error::other)
        };
        let result = log.truncate(index, &mut lower);
        if result.is_ok() {
            self.history.truncated(self.disk.recorded(), last);
        }
        self.note(result.err());
    }

    /// Gives up the entries below the log start, and the segments that are only of such.
    pub(crate) fn remove_below_log_start(&mut self) {
        self.commit();
        let Some(log) = &mut self.log else { return };
        log.raise_first_index(log.flushed_index());
        let result = log.remove_below_log_start();
        self.note(result.err());
    }

    /// Makes a data directory around the log, so that clean stops leave a checkpoint.
    pub(crate) fn make_data_dir(&mut self) {
        // made elsewhere: a first start makes it before there are votes, and refuses to behind them
        let (elsewhere, meta) = (MemoryDisk::new(), Path::new(ROOT).join("meta"));
        let made = DataDir::open_on(Arc::new(elsewhere.clone()), Path::new(ROOT));
        let made = made.map_err(|error| chain(&error)).and_then(|_| {
            let content = read_atomic(&elsewhere, &meta).map_err(|error| chain(&error))?;
            let content = content.ok_or("no meta was made")?;
            write_atomic(&self.disk, &meta, &content).map_err(|error| chain(&error))
        });
        if let Err(error) = made {
            self.fail(error);
        }
    }

    /// Closes log and journal and opens them again on the same disk, in a new term.
    pub(crate) fn reopen(&mut self) {
        let mut checkpoints = Checkpoints::default();
        if let Some(log) = self.log.take() {
            let all = self.history.now().entries.len();
            match log.close() {
                Ok(checkpoint) => {
                    self.history.promised(self.disk.recorded(), all);
                    checkpoints.insert(group(), checkpoint);
                }
                Err(error) => self.fail(chain(&error)),
            }
        }
        match self.votes.as_mut().map(VoteJournal::settle) {
            Some(Err(error)) => self.fail(chain(&error)),
            Some(Ok(())) if !checkpoints.is_empty() => self.write_checkpoint(&checkpoints),
            Some(Ok(())) | None => {}
        }
        self.open();
    }

    fn write_checkpoint(&mut self, checkpoints: &Checkpoints) {
        let written = data_dir(&self.disk).and_then(|data| {
            let written = data.map(|data| data.write_checkpoint(checkpoints));
            written.transpose().map_err(|error| chain(&error))
        });
        if let Err(error) = written {
            self.fail(error);
        }
    }

    /// Opens the log again without closing it, as after a process crash.
    pub(crate) fn kill(&mut self) {
        self.open();
    }
}

/// Runs a script on an empty, recorded disk.
pub(crate) fn recorded(script: impl FnOnce(&mut Driver)) -> (LogProof, Trace) {
    let disk = MemoryDisk::new();
    disk.record();
    let mut driver = Driver::new(disk);
    script(&mut driver);
    assert!(driver.failures.is_empty(), "{:?}", driver.failures);
    let trace = driver.disk.take_trace();
    let history = driver.history;
    (LogProof { history }, trace)
}

/// A log must hold what its history says.
#[derive(Debug)]
pub(crate) struct LogProof {
    pub(crate) history: History,
}

impl Proven for LogProof {
    type Seen = Seen;

    fn recover(&self, disk: &MemoryDisk) -> Result<Seen, String> {
        recover(disk)
    }

    fn allows(&self, calls: usize, seen: &Seen) -> Result<(), String> {
        self.history.at(calls).allows(seen)
    }

    fn allows_of_cache(&self, calls: usize, seen: &Seen) -> Result<(), String> {
        self.history.at(calls).allows_of_cache(seen)
    }

    fn era(&self, calls: usize) -> usize {
        self.history.era(calls)
    }

    fn go_on(&self, disk: &MemoryDisk) -> Result<Seen, String> {
        go_on(disk)
    }
}

/// The log as a start finds it, all of it committed.
pub(crate) fn recover(disk: &MemoryDisk) -> Result<Seen, String> {
    let mut log = open(disk)?;
    // A log start counts once it is committed; whoever reads all of a log takes it as that.
    log.commit(log.last_index());
    look(&log)
}

/// Appends entries of the sizes that a torn group may have had, in the same epoch and in a new one.
pub(crate) fn go_on(disk: &MemoryDisk) -> Result<Seen, String> {
    let before = recover(disk)?;
    let mut driver = Driver::started(disk)?;
    if driver.term == 0 {
        driver.lead();
    }
    driver.batch(&[7], 60);
    driver.settle();
    driver.commit();
    let after = look(driver.log.as_ref().expect("opened above"))?;
    let added = &driver.history.now().entries;
    let added = added.iter().filter_map(|written| match written.what {
        What::Batch { base, crc, .. } => Some((base, written.epoch, crc)),
        _ => None,
    });
    let wanted: Vec<_> = before.batches.iter().copied().chain(added).collect();
    if after.batches != wanted {
        return Err(format!(
            "after more work the log is {after:?}, not {wanted:?}"
        ));
    }
    Ok(after)
}
