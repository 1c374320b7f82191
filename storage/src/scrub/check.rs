//! The check of one segment, a step at a time.

use std::io;
use std::ops::Range;
use std::path::Path;

use uuid::Uuid;

use super::damage::Finding;
use super::{Scrubbed, reindex};
use crate::compaction::open::read_header;
use crate::fs::{DiskFile, OpenMode};
use crate::index::{SparseIndex, file as index_file};
use crate::log::{LogIdentity, LogView};
use crate::position::{EntryIndex, Offset};
use crate::record::CRC_COVERS_FROM;
use crate::segment::cut::Cut;
use crate::segment::format::{
    Control, ControlKind, Head, Seed, kind_field, read_control, read_head,
};
use crate::segment::reader::{SealedFile, Segment};
use crate::segment::window::{SCAN_BYTES, Window};

/// Why a frame is not sound.
struct Unsound {
    reason: String,
    /// What may be wrong before it: where a frame lies, and the offset from which nothing is sure.
    from: Option<(u64, Offset)>,
}

impl From<String> for Unsound {
    fn from(reason: String) -> Unsound {
        Unsound { reason, from: None }
    }
}

pub(super) const NOBODY: LogIdentity = LogIdentity {
    cluster_id: Uuid::nil(),
    topic_id: Uuid::nil(),
    partition: 0,
};

/// Inside a segment, behind the last frame that was checked.
#[derive(Debug)]
pub(super) struct Place {
    /// Whose place it is: what takes a segment's place has another.
    pub(super) cut: Cut,
    pub(super) base_index: EntryIndex,
    pub(super) position: u64,
    offset: Offset,
    /// Where the frame before it lies, and the offset before that.
    before: (u64, Offset),
    index: EntryIndex,
    seed: Option<Seed>,
    /// The CRC of a compacted file's content so far; `None` once something was wrong.
    content_crc: Option<u32>,
    rolled: bool,
    entries: Option<SparseIndex>,
    entry: usize,
    /// An index entry named another frame.
    index_differs: bool,
    /// Why the index file is to be written anew.
    unindexed: Option<&'static str>,
}

/// Checks a segment from a place on; `None` at its end, or if its file is gone.
pub(super) fn check(
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
    pub(super) fn at_begin(segment: &Segment) -> Place {
        Place {
            cut: segment.cut().clone(),
            base_index: segment.base_index,
            position: 0,
            offset: segment.base_offset,
            before: (0, segment.base_offset),
            index: segment.base_index,
            seed: None,
            content_crc: Some(0),
            rolled: false,
            entries: None,
            entry: 0,
            index_differs: false,
            unindexed: None,
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
        while self.place.position < self.segment.size_bytes && !self.is_cut() {
            if self.done.bytes >= bytes_max {
                return Ok(false);
            }
            let at = self.place.position;
            match self.frame(&mut window, at)? {
                Ok(bytes) => {
                    self.place.position += bytes;
                    self.done.bytes = self.done.bytes.saturating_add(bytes);
                }
                Err(unsound) => self.damaged(&mut window, at, unsound)?,
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
            self.place.unindexed = Some("it was missing or damaged");
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
        let whole = match &self.sealed.compacted {
            Some(header) => self.place.content_crc == Some(header.content_crc),
            None => self.place.content_crc.is_some(),
        };
        let unmet = |entries: &SparseIndex| entries.get(self.place.entry).is_some();
        if whole && self.place.index_differs {
            self.drop_index("an entry named the wrong frame");
        } else if whole && self.place.entries.as_ref().is_some_and(unmet) {
            self.drop_index("an entry named no frame");
        }
        if whole {
            self.reindex();
        }
    }

    /// Writes the index anew if there is none. Only a committed segment is never cut.
    fn reindex(&mut self) {
        let is_committed = self.view.high_watermark() > self.segment.end_offset;
        let is_sound = self.sealed.damage.findings().is_empty() && !self.is_cut();
        let Some(reason) = self.place.unindexed.filter(|_| is_committed && is_sound) else {
            return;
        };
        let path = &self.sealed.index_path;
        match reindex::reindex(self.segment, self.sealed, self.file) {
            Ok(true) => self.done.reindexed.push((path.clone(), reason)),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "index is not written anew");
            }
        }
        // read once more
        self.done.bytes = self.done.bytes.saturating_add(self.segment.size_bytes);
    }

    /// Checks the frame at a position and moves offset and ordinal on; its size.
    fn frame(&mut self, window: &mut Window<'_>, at: u64) -> io::Result<Result<u64, Unsound>> {
        let head = match read_head(window.head(at)?) {
            Ok(head) => head,
            Err(reason) => return Ok(Err(reason.to_owned().into())),
        };
        let bytes = head.size_bytes();
        if bytes > self.segment.size_bytes - at {
            return Ok(Err("frame reaches past the segment".to_owned().into()));
        }
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        let frame = window.get(at, len)?;
        if frame.len() < len {
            return Ok(Err("frame reaches past the end of the file"
                .to_owned()
                .into()));
        }
        let sound = match head {
            Head::Batch(_) => self.batch(&head, frame),
            Head::Control { .. } => self.control(at, frame).map_err(Unsound::from),
        };
        if sound.is_ok() {
            let frame_crc = |crc| crc32c::crc32c_append(crc, frame);
            self.place.content_crc = self.place.content_crc.map(frame_crc);
            self.compare_index(at, &head);
            self.place.before = (at, self.place.offset);
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

    fn batch(&self, head: &Head, frame: &[u8]) -> Result<(), Unsound> {
        let Head::Batch(header) = head else {
            return Ok(());
        };
        if crc32c::crc32c(&frame[CRC_COVERS_FROM..]) != header.crc {
            return Err("batch checksum does not match".to_owned().into());
        }
        let next = self.place.offset;
        // the checksum does not cover the base offset; where it may leave some out, the segment's end bounds it
        let compacted = self.sealed.compacted.is_some();
        let continues = if compacted {
            header.base_offset >= next && header.last_offset() < self.segment.end_offset
        } else {
            header.base_offset == next
        };
        if !continues {
            let base = header.base_offset;
            // where some are left out, it may be the frame before that says a wrong offset
            let from = (compacted && header.base_offset < next).then_some(self.place.before);
            let reason = format!("batch at offset {base} where {next} is next");
            return Err(Unsound { reason, from });
        }
        let epoch = self.view.epoch_at(header.base_offset);
        if header.base_offset >= self.view.log_start() && header.epoch != epoch {
            return Err(format!("batch of epoch {} in epoch {epoch}", header.epoch).into());
        }
        Ok(())
    }

    fn control(&mut self, at: u64, frame: &[u8]) -> Result<(), String> {
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
            // whether the frame or the entry is wrong, the whole shows
            self.place.index_differs = true;
        }
    }

    /// Tells of a bad frame and goes on behind it.
    fn damaged(&mut self, window: &mut Window<'_>, at: u64, unsound: Unsound) -> io::Result<()> {
        let Unsound { reason, from } = unsound;
        let (place, from) = from.unwrap_or((at, self.place.offset));
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
                self.tell(place, from..offset, reason);
                self.place.entry = listed()
                    .take_while(|entry| entry.position < position)
                    .count();
                self.place.position = position;
                (self.place.before, self.place.offset) = ((position, offset), offset);
                self.place.index = index;
                return Ok(());
            }
        }
        self.tell(place, from..self.segment.end_offset, reason);
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

    /// Whether bytes of the segment were taken back. Asked after reading: a truncation says so first.
    fn is_cut(&self) -> bool {
        self.segment.cut().position() < self.segment.size_bytes
    }

    /// The index is derived: one that says what is not so goes at once.
    fn drop_index(&mut self, reason: &'static str) {
        if self.is_cut() {
            return;
        }
        let path: &Path = &self.sealed.index_path;
        self.place.entries = None;
        self.place.unindexed = Some(reason);
        if let Err(error) = index_file::remove(&*self.sealed.disk, path) {
            tracing::warn!(path = %path.display(), %error, "damaged index is not removed");
        }
    }

    fn all(&self) -> Range<Offset> {
        self.segment.base_offset..self.segment.end_offset
    }

    fn nothing(&self) -> Range<Offset> {
        self.place.offset..self.place.offset
    }

    /// Marks the segment and tells, unless it was told before.
    fn tell(&mut self, position: u64, offsets: Range<Offset>, reason: String) {
        if self.is_cut() {
            return;
        }
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
