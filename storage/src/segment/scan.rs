//! Checking every frame of a segment in order: for recovery, and wherever an index is built anew.
//!
//! A frame is sound if its CRC is right and it **continues** what came before: its base offset is the
//! next offset; a batch has the epoch of the last no-op; a control frame has the next entry index; a
//! no-op's epoch is not lower; nothing follows a ROLL. A scan stops at the first frame that is not sound
//! and says why; whether that is a torn tail or corruption is `log/recovery`'s to judge.

use std::io;

use super::Tail;
use super::format::{
    self, Control, ControlError, ControlFrame, Head, Seed, SegmentHeader, read_control, read_head,
};
use super::window::{LOOK_UP_BYTES, SCAN_BYTES, Window};
use crate::fs::DiskFile;
use crate::index::file::Resumed;
use crate::index::{ControlPlace, IndexBuilder, OpenTransactions};
use crate::log::LogIdentity;
use crate::log::epochs::EpochRun;
use crate::log::hint::Hint;
use crate::planted::{Mistake, planted};
use crate::position::{EntryIndex, Offset};
use crate::record::{BatchHeader, CRC_COVERS_FROM, MarkerKind, marker_kind};

/// What is known about a segment before it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) identity: &'a LogIdentity,
    /// From the file's name.
    pub(crate) base_offset: Offset,
    /// From the file's name.
    pub(crate) base_index: EntryIndex,
    /// Where the segment before ended, and the CRC of its ROLL; `None` for the first segment.
    pub(crate) before: Option<(Tail, u32)>,
    /// The transactions open where the segment begins.
    pub(crate) open: &'a OpenTransactions,
    /// Where the log was last known durable; checked when the scan passes it.
    pub(crate) hint: Option<Hint>,
    pub(crate) index_interval_bytes: u64,
}

/// The ROLL that ends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RollFrame {
    pub(crate) at_ms: i64,
    pub(crate) crc: u32,
    pub(crate) position: u64,
}

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// The bytes are not what was written, or not yet all written.
    Invalid(String),
    /// The frame was written like this, and cannot be what we hold it for; never cut.
    Refused(String),
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) header_crc: u32,
    /// Where the log ends with the last sound frame.
    pub(crate) tail: Tail,
    /// The position after the last sound frame.
    pub(crate) end: u64,
    pub(crate) index: IndexBuilder,
    pub(crate) runs: Vec<EpochRun>,
    pub(crate) roll: Option<RollFrame>,
    /// Why the scan ended before the end of the file.
    pub(crate) stop: Option<Unsound>,
}

/// A frame whose own bytes are right.
#[derive(Debug)]
pub(super) enum Sound {
    /// With its marker, if it is a control batch.
    Batch(BatchHeader, Option<MarkerKind>),
    Control(SoundControl),
}

/// A control frame with what the segment around it wants to know.
#[derive(Debug)]
pub(super) struct SoundControl {
    frame: ControlFrame,
    /// Its CRC field, which the next segment's header repeats after a ROLL.
    crc: u32,
    size_bytes: u32,
}

/// Checks the first `size` bytes of `file` frame by frame.
pub(crate) fn scan(file: &dyn DiskFile, size: u64, expected: &Expected<'_>) -> io::Result<Scan> {
    scan_on(file, size, expected, Scan::beginning(expected))
}

/// Goes on with a scan whose frames so far were sound.
pub(crate) fn scan_on(
    file: &dyn DiskFile,
    size: u64,
    expected: &Expected<'_>,
    mut scan: Scan,
) -> io::Result<Scan> {
    let mut window = Window::new(file, size, SCAN_BYTES);
    let seed = Seed::new(expected.identity, expected.base_index);
    while scan.end < size && scan.stop.is_none() {
        let taken = frame_at(&mut window, scan.end, seed)?
            .and_then(|(sound, frame_bytes)| scan.take(sound, expected).map(|()| frame_bytes));
        match taken {
            Ok(frame_bytes) => scan.end += frame_bytes,
            Err(_) if resynchronised(&mut scan, &mut window, size, expected)? => {}
            Err(stop) => scan.stop = Some(stop),
        }
    }
    Ok(scan)
}

/// The state of a scan at the end of a kept index, so that what lies before is not read again.
///
/// The index is believed only if the segment's header and the last frame that it covers are sound, and
/// that frame ends the log where the index says: offset, ordinal and epoch of an entry determine
/// everything before it.
pub(crate) fn resume(
    file: &dyn DiskFile,
    size: u64,
    expected: &Expected<'_>,
    resumed: Resumed,
) -> io::Result<Option<Scan>> {
    let mut window = Window::new(file, size, LOOK_UP_BYTES);
    let seed = Seed::new(expected.identity, expected.base_index);
    let Ok((Sound::Control(control), _)) = frame_at(&mut window, 0, seed)? else {
        return Ok(None);
    };
    let Ok(header) = check_header(&control.frame, expected) else {
        return Ok(None);
    };
    let last_frame = resumed.builder.state().last_frame;
    let Ok((sound, frame_bytes)) = frame_at(&mut window, last_frame, seed)? else {
        return Ok(None);
    };
    let tail = resumed.tail;
    let ends = match &sound {
        Sound::Batch(header, _) => (header.last_offset().plus(1), tail.index, header.epoch),
        Sound::Control(SoundControl { frame, .. }) => (frame.offset, frame.index, frame.epoch),
    };
    let is_entry = last_frame > 0;
    let fits = is_entry
        && ends == (tail.offset, tail.index, tail.epoch)
        && last_frame.checked_add(frame_bytes) == Some(resumed.end);
    let at_roll = matches!(&sound, Sound::Control(control) if matches!(control.frame.control, Control::Roll { .. }));
    let flushed_otherwise = expected
        .hint
        .is_some_and(|hint| hint.index == tail.index && hint != Hint::of(tail));
    if (!fits && !planted(Mistake::PartTrusted)) || at_roll || flushed_otherwise {
        return Ok(None);
    }
    Ok(Some(Scan {
        header: Some(header),
        header_crc: control.crc,
        tail,
        end: resumed.end,
        index: resumed.builder,
        runs: resumed.runs,
        roll: None,
        stop: None,
    }))
}

/// The planted search for magic bytes: takes the next bytes that look like a frame and would continue.
fn resynchronised(
    scan: &mut Scan,
    window: &mut Window<'_>,
    size: u64,
    expected: &Expected<'_>,
) -> io::Result<bool> {
    if !planted(Mistake::MagicBytesSearched) {
        return Ok(false);
    }
    let end = scan.end;
    let seed = Seed::new(expected.identity, expected.base_index);
    for position in end + 1..size {
        if let Ok((sound, frame_bytes)) = frame_at(window, position, seed)? {
            scan.end = position;
            if scan.take(sound, expected).is_ok() {
                scan.end += frame_bytes;
                return Ok(true);
            }
        }
    }
    scan.end = end;
    Ok(false)
}

/// Reads one frame and checks it by itself.
pub(super) fn frame_at(
    window: &mut Window<'_>,
    position: u64,
    seed: Seed,
) -> io::Result<Result<(Sound, u64), Unsound>> {
    let head = match read_head(window.head(position)?) {
        Ok(head) => head,
        Err(reason) => return Ok(Err(Unsound::invalid(reason))),
    };
    let frame_bytes = head.size_bytes();
    let len = usize::try_from(frame_bytes).unwrap_or(usize::MAX);
    let frame = window.get(position, len)?;
    if frame.len() < len {
        return Ok(Err(Unsound::invalid(
            "frame reaches past the end of the file",
        )));
    }
    let sound = match head {
        Head::Batch(header) => check_batch(&header, frame).map(|()| {
            let marker = header.is_control().then(|| marker_kind(frame)).flatten();
            Sound::Batch(header, marker)
        }),
        Head::Control { size_bytes, .. } => match read_control(frame, seed) {
            Ok(control) => Ok(Sound::Control(SoundControl {
                frame: control,
                crc: format::crc_field(frame),
                size_bytes: u32::try_from(size_bytes).expect("a length field is an i32"),
            })),
            Err(error) => Err(Unsound::from(error)),
        },
    };
    Ok(sound.map(|sound| (sound, frame_bytes)))
}

fn check_batch(header: &BatchHeader, frame: &[u8]) -> Result<(), Unsound> {
    if crc32c::crc32c(&frame[CRC_COVERS_FROM..]) != header.crc {
        return Err(Unsound::invalid("batch checksum does not match"));
    }
    header
        .check_counts()
        .map_err(|error| Unsound::Invalid(error.to_string()))
}

impl Unsound {
    fn invalid(reason: &str) -> Unsound {
        Unsound::Invalid(reason.to_owned())
    }
}

impl From<ControlError> for Unsound {
    fn from(error: ControlError) -> Unsound {
        match error {
            ControlError::Crc => Unsound::invalid("control frame checksum does not match"),
            ControlError::Unknown { kind, version } => {
                Unsound::Refused(format!("frame of unknown kind {kind}, version {version}"))
            }
            ControlError::Payload { kind } => Unsound::Refused(format!(
                "frame of kind {kind} has a payload of unknown format"
            )),
        }
    }
}

impl Scan {
    /// Nothing read yet.
    fn beginning(expected: &Expected<'_>) -> Scan {
        Scan {
            header: None,
            header_crc: 0,
            tail: expected.before.map_or(Tail::EMPTY, |(tail, _)| tail),
            end: 0,
            index: IndexBuilder::new(expected.index_interval_bytes, expected.open.clone()),
            runs: Vec::new(),
            roll: None,
            stop: None,
        }
    }

    /// Takes a frame if it continues the log.
    pub(super) fn take(&mut self, sound: Sound, expected: &Expected<'_>) -> Result<(), Unsound> {
        if self.roll.is_some() {
            return Err(Unsound::invalid("bytes after the ROLL"));
        }
        let before = self.tail;
        match sound {
            Sound::Control(control) if self.header.is_none() => {
                return self.take_header(&control, expected);
            }
            Sound::Batch(..) if self.header.is_none() => {
                return Err(Unsound::invalid(
                    "file does not begin with a segment header",
                ));
            }
            Sound::Batch(header, marker) => {
                if header.base_offset != self.tail.offset {
                    return Err(Unsound::Invalid(format!(
                        "batch at offset {} where {} is next",
                        header.base_offset, self.tail.offset
                    )));
                }
                if header.epoch != self.tail.epoch {
                    return Err(Unsound::Invalid(format!(
                        "batch of epoch {} in epoch {}",
                        header.epoch, self.tail.epoch
                    )));
                }
                self.tail.offset = header.last_offset().plus(1);
                self.tail.index = self.tail.index.next();
                self.index.batch(&header, self.tail.index, self.end, marker);
            }
            Sound::Control(control) => self.take_control(&control)?,
        }
        if let Some(run) = EpochRun::begins(&before, &self.tail) {
            self.runs.push(run);
        }
        match expected.hint {
            Some(hint) if hint.index == self.tail.index && hint != Hint::of(self.tail) => {
                Err(Unsound::Refused(format!(
                    "entry {} ends at offset {}, epoch {}, but was flushed as offset {}, epoch {}",
                    hint.index, self.tail.offset, self.tail.epoch, hint.offset, hint.epoch
                )))
            }
            _ => Ok(()),
        }
    }

    fn take_control(&mut self, control: &SoundControl) -> Result<(), Unsound> {
        let SoundControl { frame, crc, .. } = control;
        let new_epoch = frame.epoch > self.tail.epoch && frame.control == Control::NoOp;
        if frame.offset != self.tail.offset
            || frame.index != self.tail.index.next()
            || (frame.epoch != self.tail.epoch && !new_epoch)
        {
            return Err(Unsound::Invalid(format!(
                "control frame of entry {}, offset {}, epoch {} does not continue entry {}, offset {}, epoch {}",
                frame.index,
                frame.offset,
                frame.epoch,
                self.tail.index,
                self.tail.offset,
                self.tail.epoch
            )));
        }
        match frame.control {
            Control::SegmentHeader(_) => {
                return Err(Unsound::Refused(
                    "segment header inside a segment".to_owned(),
                ));
            }
            Control::Roll { at_ms } => {
                self.roll = Some(RollFrame {
                    at_ms,
                    crc: *crc,
                    position: self.end,
                });
            }
            Control::LogStart(offset) if offset > self.tail.offset => {
                return Err(Unsound::Refused(format!(
                    "log start {offset} lies past the end of the log, {}",
                    self.tail.offset
                )));
            }
            Control::LogStart(offset) => self.tail.log_start = self.tail.log_start.max(offset),
            Control::NoOp | Control::Membership(_) => {}
        }
        self.tail.index = frame.index;
        self.tail.epoch = frame.epoch;
        self.note_place(control);
        Ok(())
    }

    fn note_place(&mut self, control: &SoundControl) {
        self.index.control(ControlPlace {
            position: self.end,
            size_bytes: control.size_bytes,
            index: control.frame.index,
            kind: control.frame.control.kind(),
        });
    }

    /// A sound header that does not fit was not torn by a crash: the file is in the wrong place, or
    /// the one before it is missing.
    fn take_header(
        &mut self,
        control: &SoundControl,
        expected: &Expected<'_>,
    ) -> Result<(), Unsound> {
        let SoundControl { frame, crc, .. } = control;
        let header = check_header(frame, expected)?;
        let log_start = header.log_start.max(self.tail.log_start);
        self.tail = Tail {
            offset: frame.offset,
            index: EntryIndex(frame.index.0.saturating_sub(1)),
            epoch: frame.epoch,
            log_start,
        };
        self.header = Some(header);
        self.header_crc = *crc;
        self.note_place(control);
        Ok(())
    }
}

/// Checks a sound first frame against the file's name, the log's identity and the segment before.
pub(crate) fn check_header(
    frame: &ControlFrame,
    expected: &Expected<'_>,
) -> Result<SegmentHeader, Unsound> {
    let refused = |reason: &str| Err(Unsound::Refused(reason.to_owned()));
    let Control::SegmentHeader(header) = frame.control else {
        return refused("file does not begin with a segment header");
    };
    if header.identity != *expected.identity {
        return Err(Unsound::Refused(format!(
            "segment belongs to cluster {}, topic {}, partition {}",
            header.identity.cluster_id, header.identity.topic_id, header.identity.partition
        )));
    }
    if frame.offset != expected.base_offset || frame.index != expected.base_index {
        return refused("segment header and file name differ");
    }
    if header.log_start > frame.offset {
        return refused("segment header has a log start past its first offset");
    }
    if let Some((tail, roll_crc)) = expected.before {
        let follows = frame.offset == tail.offset
            && frame.index == tail.index.next()
            && frame.epoch == tail.epoch
            && header.previous_crc == roll_crc;
        if !follows {
            return refused(
                "segment does not continue the one before it: a file is missing or foreign",
            );
        }
    }
    Ok(header)
}
