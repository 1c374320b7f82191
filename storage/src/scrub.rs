//! Finding a flipped byte in a sealed segment before a reader does.
//!
//! ```text
//! step:  | header | frame | frame | frame ...... | ROLL |     next segment ...
//!                   '-- checked --'-- next step --'           position in memory, per log
//! ```
//! - Every frame: its CRC, and that it continues offset, ordinal and epoch. A compacted file also by the checksum
//!   of its content. The index beside it entry by entry: one that does not match is removed, and built anew.
//! - What is found is marked in the segment, for all views: a read of the offsets that lie there fails
//!   ([`crate::ReadError::Damaged`]); all others go on. Marks are kept in memory; a later pass finds them again.
//! - Behind a bad frame the check goes on where the next sound frame is known to begin: by the frame's own
//!   length, or by the index. Nothing is searched for.
//! - Reading again what was read changes nothing: a place is told once.

mod damage;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::compaction::open::read_header;
use crate::fs::{DiskFile, OpenMode};
use crate::index::{SparseIndex, file as index_file};
use crate::log::{LogIdentity, LogView};
use crate::position::{EntryIndex, Offset};
use crate::record::CRC_COVERS_FROM;
use crate::segment::format::{
    Control, ControlKind, Head, Seed, kind_field, read_control, read_head,
};
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::window::{SCAN_BYTES, Window};
pub(crate) use damage::Damage;
pub use damage::Finding;

/// Where the check of one log stands.
#[derive(Debug, Default)]
pub struct Scrubber {
    place: Option<Place>,
}

/// Inside a segment, behind the last frame that was checked.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    base_index: EntryIndex,
    position: u64,
    offset: Offset,
    index: EntryIndex,
    seed: Option<Seed>,
    /// The CRC of a compacted file's content so far; `None` once something was wrong.
    content_crc: Option<u32>,
    rolled: bool,
    entries: Option<SparseIndex>,
    entry: usize,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// The bytes read.
    pub bytes: u64,
    /// What was found and not told before.
    pub findings: Vec<Finding>,
    /// Whether the last sealed segment was reached; the next step begins at the first.
    pub pass_over: bool,
}

/// Why a frame is not sound.
type Reason = String;

const NOBODY: LogIdentity = LogIdentity {
    cluster_id: Uuid::nil(),
    topic_id: Uuid::nil(),
    partition: 0,
};

impl Scrubber {
    /// How far it is in the segment it reads, in bytes.
    pub fn position(&self) -> u64 {
        self.place.as_ref().map_or(0, |place| place.position)
    }

    /// Checks about `bytes_max` bytes further, at least one frame.
    ///
    /// A disk that fails to read is an error; the next step tries there again.
    pub fn step(&mut self, view: &LogView, bytes_max: u64) -> io::Result<Scrubbed> {
        let mut done = Scrubbed::default();
        let reached = self.place.as_ref().map(|place| place.base_index);
        let before = |one: &Segment| reached.is_some_and(|base| one.base_index < base);
        let from = view.sealed().partition_point(before);
        for segment in &view.sealed()[from..] {
            if done.bytes >= bytes_max {
                self.place.get_or_insert_with(|| Place::at_begin(segment));
                return Ok(done);
            }
            let place = self.place.take();
            // a compacted file in the place of others is begun anew
            let same = place.filter(|place| place.path == segment.path());
            let place = same.unwrap_or_else(|| Place::at_begin(segment));
            self.place = check(segment, view, place, bytes_max, &mut done)?;
            if self.place.is_some() {
                return Ok(done);
            }
        }
        self.place = None;
        done.pass_over = true;
        Ok(done)
    }
}

/// Checks a segment from a place on; `None` at its end, or if its file is gone.
fn check(
    segment: &Segment,
    view: &LogView,
    place: Place,
    bytes_max: u64,
    done: &mut Scrubbed,
) -> io::Result<Option<Place>> {
    let Some(sealed) = segment.sealed_file() else {
        return Ok(None);
    };
    let file = match sealed.disk.open(&sealed.path, OpenMode::Read) {
        Ok(file) => file,
        // removed since the view was taken
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let from = place.position;
    let wanted = bytes_max.saturating_sub(done.bytes);
    // a copy in memory says nothing about the disk; what stays is read from there
    forget(&*file, from, wanted, &sealed.path);
    let mut check = Check {
        segment,
        sealed,
        file: &*file,
        view,
        place,
        done,
    };
    let ended = check.frames(bytes_max)?;
    let place = check.place;
    // nor shall the check fill the memory with what nobody asked for
    forget(&*file, from, wanted, &sealed.path);
    Ok((!ended).then_some(place))
}

fn forget(file: &dyn DiskFile, from: u64, len: u64, path: &Path) {
    if let Err(error) = file.drop_cache(from, len) {
        tracing::debug!(path = %path.display(), %error, "cached pages are kept");
    }
}

impl Place {
    fn at_begin(segment: &Segment) -> Place {
        Place {
            path: segment.path().to_path_buf(),
            base_index: segment.base_index,
            position: 0,
            offset: segment.base_offset,
            index: segment.base_index,
            seed: None,
            content_crc: Some(0),
            rolled: false,
            entries: None,
            entry: 0,
        }
    }
}

/// One step in one segment.
struct Check<'a> {
    segment: &'a Segment,
    sealed: &'a SealedFile,
    file: &'a dyn DiskFile,
    view: &'a LogView,
    place: Place,
    done: &'a mut Scrubbed,
}

impl Check<'_> {
    /// Checks frames until the step has its bytes; true at the end of the segment.
    fn frames(&mut self, bytes_max: u64) -> io::Result<bool> {
        if self.place.position == 0 {
            self.begin()?;
        }
        let mut window = Window::new(self.file, self.segment.size_bytes, SCAN_BYTES);
        while self.place.position < self.segment.size_bytes {
            if self.done.bytes >= bytes_max {
                return Ok(false);
            }
            let at = self.place.position;
            match self.frame(&mut window, at)? {
                Ok(bytes) => {
                    self.place.position += bytes;
                    self.done.bytes = self.done.bytes.saturating_add(bytes);
                }
                Err(reason) => self.damaged(&mut window, at, reason)?,
            }
        }
        self.end();
        Ok(true)
    }

    /// The size of the file, the index beside it, and the header of a compacted one.
    fn begin(&mut self) -> io::Result<()> {
        let size = self.file.size()?;
        if size != self.segment.size_bytes {
            let stated = self.segment.size_bytes;
            self.tell(
                0,
                self.all(),
                format!("the file has {size} bytes, not {stated}"),
            );
        }
        self.place.entries = index_file::read_index(&*self.sealed.disk, &self.sealed.index_path);
        if self.place.entries.is_none() {
            self.drop_index("the index cannot be read");
        }
        if self.sealed.compacted.is_some() {
            match read_header(self.file, self.segment.size_bytes)? {
                Ok((_, header_bytes)) => {
                    self.place.position = header_bytes;
                    self.done.bytes = self.done.bytes.saturating_add(header_bytes);
                }
                Err(reason) => {
                    self.tell(0, self.all(), reason.to_owned());
                    self.place.position = self.segment.size_bytes;
                    self.place.content_crc = None;
                }
            }
        }
        Ok(())
    }

    /// What only the whole shows.
    fn end(&mut self) {
        let at = self.place.position;
        if let Some(header) = &self.sealed.compacted {
            if self
                .place
                .content_crc
                .is_some_and(|crc| crc != header.content_crc)
            {
                self.tell(
                    0,
                    self.all(),
                    "the content's checksum does not match".to_owned(),
                );
            }
        } else if self.place.content_crc.is_some() && !self.place.rolled {
            self.tell(
                at,
                self.nothing(),
                "the segment ends without a ROLL".to_owned(),
            );
        }
        let unmet = |entries: &SparseIndex| entries.get(self.place.entry).is_some();
        if self.place.content_crc.is_some() && self.place.entries.as_ref().is_some_and(unmet) {
            self.drop_index("an index entry names no frame");
        }
    }

    /// Checks the frame at a position and moves offset and ordinal on; its size.
    fn frame(&mut self, window: &mut Window<'_>, at: u64) -> io::Result<Result<u64, Reason>> {
        let head = match read_head(window.head(at)?) {
            Ok(head) => head,
            Err(reason) => return Ok(Err(reason.to_owned())),
        };
        let bytes = head.size_bytes();
        if bytes > self.segment.size_bytes - at {
            return Ok(Err("frame reaches past the segment".to_owned()));
        }
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        let frame = window.get(at, len)?;
        if frame.len() < len {
            return Ok(Err("frame reaches past the end of the file".to_owned()));
        }
        let sound = match head {
            Head::Batch(_) => self.batch(&head, frame),
            Head::Control { .. } => self.control(at, frame),
        };
        if sound.is_ok() {
            let frame_crc = |crc| crc32c::crc32c_append(crc, frame);
            self.place.content_crc = self.place.content_crc.map(frame_crc);
            self.compare_index(at, &head);
            self.place.offset = self.place.offset.max(head.end_offset());
            self.place.index = self.index_behind(at);
        }
        Ok(sound.map(|()| bytes))
    }

    /// The ordinal behind the frame at `at`; a segment header has none of its own.
    fn index_behind(&self, at: u64) -> EntryIndex {
        if at == 0 {
            self.place.index
        } else {
            self.place.index.next()
        }
    }

    fn batch(&self, head: &Head, frame: &[u8]) -> Result<(), Reason> {
        let Head::Batch(header) = head else {
            return Ok(());
        };
        if crc32c::crc32c(&frame[CRC_COVERS_FROM..]) != header.crc {
            return Err("batch checksum does not match".to_owned());
        }
        let next = self.place.offset;
        let continues = if self.sealed.compacted.is_some() {
            header.base_offset >= next
        } else {
            header.base_offset == next
        };
        if !continues {
            let base = header.base_offset;
            return Err(format!("batch at offset {base} where {next} is next"));
        }
        let epoch = self.view.epoch_at(header.base_offset);
        if header.base_offset >= self.view.log_start() && header.epoch != epoch {
            return Err(format!("batch of epoch {} in epoch {epoch}", header.epoch));
        }
        Ok(())
    }

    fn control(&mut self, at: u64, frame: &[u8]) -> Result<(), Reason> {
        if self.sealed.compacted.is_some() {
            return Err("control frame among compacted batches".to_owned());
        }
        let kind = kind_field(frame);
        self.place.rolled = kind == Some(ControlKind::Roll);
        let seed = match (self.place.seed, at) {
            (Some(seed), _) => seed,
            // the CRC of a segment header does not depend on whose it is
            (None, 0) => Seed::new(&NOBODY, self.segment.base_index),
            // without the header nothing says what the CRCs begin from
            (None, _) => return Ok(()),
        };
        let control = read_control(frame, seed)
            .map_err(|error| format!("control frame is not sound: {error:?}"))?;
        if control.offset != self.place.offset || control.index != self.place.index {
            return Err(format!(
                "control frame of entry {}, offset {} where entry {}, offset {} is next",
                control.index, control.offset, self.place.index, self.place.offset
            ));
        }
        match control.control {
            Control::SegmentHeader(header) if at == 0 => {
                self.place.seed = Some(Seed::new(&header.identity, self.segment.base_index));
                Ok(())
            }
            Control::SegmentHeader(_) => Err("segment header inside a segment".to_owned()),
            _ if at == 0 => Err("file does not begin with a segment header".to_owned()),
            _ => Ok(()),
        }
    }

    /// An index entry at or before this frame must be of this frame.
    fn compare_index(&mut self, at: u64, head: &Head) {
        let Some(entry) = self
            .place
            .entries
            .as_ref()
            .and_then(|entries| entries.get(self.place.entry))
        else {
            return;
        };
        if entry.position > at {
            return;
        }
        let is_batch = matches!(head, Head::Batch(_));
        if entry.position == at && is_batch && entry.offset == head.base_offset() {
            self.place.entry += 1;
        } else {
            self.drop_index("an index entry names the wrong frame");
        }
    }

    /// Tells of a bad frame and goes on behind it.
    fn damaged(&mut self, window: &mut Window<'_>, at: u64, reason: Reason) -> io::Result<()> {
        let from = self.place.offset;
        self.place.content_crc = None;
        let stated = read_head(window.head(at)?).map_or(0, |head| head.size_bytes());
        let entries = self.place.entries.clone().unwrap_or_default();
        let listed = || (0..).map_while(|at| entries.get(at));
        let behind = listed().filter(|entry| entry.position > at);
        let by_index = behind.map(|entry| (entry.position, entry.index));
        let next_index = self.index_behind(at);
        let by_length = (stated > 0).then(|| (at.saturating_add(stated), next_index));
        for (position, index) in by_length.into_iter().chain(by_index) {
            if position >= self.segment.size_bytes {
                continue;
            }
            if let Some(offset) = self.sound_alone(window, position)?
                && (from..=self.segment.end_offset).contains(&offset)
            {
                self.tell(at, from..offset, reason);
                self.place.entry = listed()
                    .take_while(|entry| entry.position < position)
                    .count();
                self.place.position = position;
                self.place.offset = offset;
                self.place.index = index;
                return Ok(());
            }
        }
        self.tell(at, from..self.segment.end_offset, reason);
        self.place.position = self.segment.size_bytes;
        Ok(())
    }

    /// The offset of a frame whose own checksum is right.
    fn sound_alone(&self, window: &mut Window<'_>, at: u64) -> io::Result<Option<Offset>> {
        let Ok(head) = read_head(window.head(at)?) else {
            return Ok(None);
        };
        let bytes = head.size_bytes();
        if bytes > self.segment.size_bytes - at {
            return Ok(None);
        }
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        let frame = window.get(at, len)?;
        let sound = frame.len() == len
            && match head {
                Head::Batch(header) => crc32c::crc32c(&frame[CRC_COVERS_FROM..]) == header.crc,
                Head::Control { .. } => self
                    .place
                    .seed
                    .is_none_or(|seed| read_control(frame, seed).is_ok()),
            };
        Ok(sound.then(|| head.base_offset()))
    }

    /// The index is derived: it goes, and who needs it builds it anew.
    fn drop_index(&mut self, reason: &str) {
        let path: &Path = &self.sealed.index_path;
        self.place.entries = None;
        if let Err(error) = index_file::remove(&*self.sealed.disk, path) {
            tracing::warn!(path = %path.display(), %error, "damaged index is not removed");
        }
        let offsets = self.nothing();
        self.done.findings.push(Finding {
            path: path.to_path_buf(),
            position: 0,
            offsets,
            reason: reason.to_owned(),
        });
    }

    fn all(&self) -> Range<Offset> {
        self.segment.base_offset..self.segment.end_offset
    }

    fn nothing(&self) -> Range<Offset> {
        self.place.offset..self.place.offset
    }

    /// Marks the segment and tells, unless it was told before.
    fn tell(&mut self, position: u64, offsets: Range<Offset>, reason: Reason) {
        let finding = Finding {
            path: self.sealed.path.clone(),
            position,
            offsets,
            reason,
        };
        if self.sealed.damage.add(&finding) {
            self.done.findings.push(finding);
        }
    }
}
