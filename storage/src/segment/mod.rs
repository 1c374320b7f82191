//! One file of a log: frames one after another, from a segment header to a ROLL.
//!
//! ```text
//! {base_offset:020}-{base_index}.log
//! | segment header | frame | frame | … | ROLL |            (sealed: never changes again)
//! | segment header | frame | frame | zeros, preallocated   (active: the last file)
//!
//! {base_offset:020}-{base_index}.{generation}.log         several sealed ones after compaction
//! | compacted header | batch | batch | …
//! ```
//!
//! A frame is an unmodified Kafka batch, so any range of batches goes out as it lies, or a control frame
//! of ours (`format`). The file's name says which offset and entry index come first in it.

pub(crate) mod behind;
pub(crate) mod chunk;
pub(crate) mod cut;
mod ends;
pub(crate) mod entries;
pub(crate) mod format;
pub(crate) mod gather;
#[cfg(test)]
mod golden;
pub(crate) mod reader;
pub(crate) mod scan;
pub(crate) mod window;
pub(crate) mod writer;

use crate::position::{EntryIndex, Offset};

/// Where a log ends (or stood, at some frame): what the next frame has to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The offset of the next record.
    pub(crate) offset: Offset,
    /// The index of the last entry.
    pub(crate) index: EntryIndex,
    /// The epoch of the last entry.
    pub(crate) epoch: crate::position::LeaderEpoch,
    /// The first offset that counts; moved by control frames.
    pub(crate) log_start: Offset,
}

impl Tail {
    /// A log in which nothing was ever written.
    pub(crate) const EMPTY: Tail = Tail {
        offset: Offset(0),
        index: EntryIndex(0),
        epoch: crate::position::LeaderEpoch(0),
        log_start: Offset(0),
    };
}

/// Which records and entries a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) base_offset: Offset,
    pub(crate) base_index: EntryIndex,
    /// The offset after its last record.
    pub(crate) end_offset: Offset,
    /// Its last entry; the one before the first if it has none.
    pub(crate) last_index: EntryIndex,
}

/// The name of the segment file that begins with this offset and entry.
pub(crate) fn file_name(base_offset: Offset, base_index: EntryIndex) -> String {
    format!("{base_offset:020}-{base_index}.log")
}

/// The name of the index beside it.
pub(crate) fn index_name(base_offset: Offset, base_index: EntryIndex) -> String {
    format!("{base_offset:020}-{base_index}.index")
}

/// Reads a segment file's name back; `None` if it is not one that [`file_name`] gives.
pub(crate) fn parse_file_name(name: &str) -> Option<(Offset, EntryIndex)> {
    let (offset, index) = name.strip_suffix(".log")?.split_once('-')?;
    let base = (
        Offset(offset.parse().ok()?),
        EntryIndex(index.parse().ok()?),
    );
    (file_name(base.0, base.1) == name).then_some(base)
}

/// The end of the name of a file that compaction has not finished.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";

/// The name of the file into which segments were compacted, the first of which begins with this offset
/// and entry.
pub(crate) fn compacted_name(
    base_offset: Offset,
    base_index: EntryIndex,
    generation: u32,
) -> String {
    format!("{base_offset:020}-{base_index}.{generation}.log")
}

/// Its name until it is finished.
pub(crate) fn cleaned_name(base_offset: Offset, base_index: EntryIndex, generation: u32) -> String {
    format!("{base_offset:020}-{base_index}.{generation}{CLEANED_SUFFIX}")
}

/// The name of the index beside it.
pub(crate) fn compacted_index_name(
    base_offset: Offset,
    base_index: EntryIndex,
    generation: u32,
) -> String {
    format!("{base_offset:020}-{base_index}.{generation}.index")
}

/// Reads the name of a segment file back, compacted or not (then its generation is 0).
pub(crate) fn parse_generation(name: &str) -> Option<(Offset, EntryIndex, u32)> {
    if let Some((offset, index)) = parse_file_name(name) {
        return Some((offset, index, 0));
    }
    let (base, generation) = name.strip_suffix(".log")?.rsplit_once('.')?;
    let (offset, index) = parse_file_name(&format!("{base}.log"))?;
    let generation = generation
        .parse()
        .ok()
        .filter(|generation| *generation > 0)?;
    (compacted_name(offset, index, generation) == name).then_some((offset, index, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        let name = file_name(Offset(1234), EntryIndex(56));
        assert_eq!(name, "00000000000000001234-56.log");
        assert_eq!(parse_file_name(&name), Some((Offset(1234), EntryIndex(56))));
        for other in [
            "1234-56.log",
            "00000000000000001234-056.log",
            "00000000000000001234.log",
            "-1-2.log",
        ] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn generation_is_read_from_a_name() {
        let name = compacted_name(Offset(1234), EntryIndex(56), 7);
        assert_eq!(name, "00000000000000001234-56.7.log");
        let base = (Offset(1234), EntryIndex(56));
        assert_eq!(parse_generation(&name), Some((base.0, base.1, 7)));
        assert_eq!(
            parse_generation(&file_name(base.0, base.1)),
            Some((base.0, base.1, 0))
        );
        for other in [
            "00000000000000001234-56.0.log",
            "00000000000000001234-56.07.log",
            "00000000000000001234-56.7.cleaned",
            "00000000000000001234-56.7.7.log",
        ] {
            assert_eq!(parse_generation(other), None, "{other}");
        }
    }
}
