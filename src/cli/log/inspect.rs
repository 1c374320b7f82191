//! `headrace log inspect`: what lies in a file, or in every file below a directory.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;
use headrace_storage::fs::{Disk, RealDisk};
use headrace_storage::inspect::{self, Content, End, Frame};
use headrace_storage::votes::VoteJournal;
use serde_json::{Value, json};

use super::frame::{self, DECOMPRESSED_BYTES_MAX};
use super::is_data_dir;

/// The file that a clean stop leaves in the data directory.
const CHECKPOINT: &str = "checkpoint";

/// What is shown, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) records: bool,
    pub(super) json: bool,
}

/// Shows a file or everything below a directory.
pub(super) fn path(out: &mut impl Write, path: &Path, show: Show) -> anyhow::Result<()> {
    let disk = RealDisk;
    let about = || format!("cannot read {}", path.display());
    if path.is_dir() {
        if is_data_dir(path) {
            votes(out, &disk, path, show)?;
            let left = path.join(CHECKPOINT);
            if left.is_file() {
                checkpoint(out, &disk, &left, show).with_context(about)?;
            }
        }
        for name in disk.list(path).with_context(about)? {
            let below = path.join(name);
            if below.is_dir() || is_shown(&below) {
                self::path(out, &below, show)?;
            }
        }
        return Ok(());
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("log") => segment(out, &disk, path, show).with_context(about),
        Some("index") => index(out, &disk, path, show).with_context(about),
        _ if name_of(path) == CHECKPOINT => checkpoint(out, &disk, path, show).with_context(about),
        _ if name_of(path).starts_with("votes-") => {
            let root = path.parent().unwrap_or(Path::new("."));
            votes(out, &disk, root, show)
        }
        _ => anyhow::bail!(
            "{} is no file that this command reads: segments (.log), indexes (.index), votes-N, checkpoint, or a directory of them",
            path.display()
        ),
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// Whether a file met in a directory is shown; votes are shown once, by their directory.
fn is_shown(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("log" | "index"))
}

fn segment(out: &mut impl Write, disk: &dyn Disk, path: &Path, show: Show) -> io::Result<()> {
    heading(out, path, "segment", show)?;
    let mut failed = Ok(());
    let end = inspect::segment(disk, path, &mut |found| {
        failed = one_frame(out, &found, show);
        if failed.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    failed?;
    let (words, value) = match end {
        End::Complete => return Ok(()),
        End::Room { bytes } => (
            format!("{bytes} bytes reserved and not yet written"),
            json!({ "kind": "room", "bytes": bytes }),
        ),
        End::NoFrame { position, reason } => (
            format!(
                "NO FRAME at byte {position}: {reason}; `headrace log verify` says what that means"
            ),
            json!({ "kind": "no frame", "position": position, "reason": reason }),
        ),
    };
    line(out, show, &words, &value)
}

fn one_frame(out: &mut impl Write, found: &Frame, show: Show) -> io::Result<()> {
    line(out, show, &frame::words(found), &frame::as_json(found))?;
    let Content::Batch {
        batch: Ok(batch), ..
    } = &found.content
    else {
        return Ok(());
    };
    if !show.records {
        return Ok(());
    }
    match batch.records(DECOMPRESSED_BYTES_MAX) {
        Ok(records) => records.iter().try_for_each(|record| {
            line(
                out,
                show,
                &frame::record_words(record),
                &frame::record_json(record),
            )
        }),
        Err(error) => {
            let reason = error.to_string();
            let value = json!({ "kind": "records", "unsound": reason });
            line(
                out,
                show,
                &format!("records cannot be read: {reason}"),
                &value,
            )
        }
    }
}

fn index(out: &mut impl Write, disk: &dyn Disk, path: &Path, show: Show) -> io::Result<()> {
    heading(out, path, "index", show)?;
    let Some(index) = inspect::index(disk, path) else {
        let words = "damaged or of another version; it will be rebuilt from its segment";
        return line(
            out,
            show,
            words,
            &json!({ "kind": "index", "unsound": words }),
        );
    };
    for entry in index {
        let words = format!(
            "{:>12}  offset {:<10} entry {:<10} newest before {}",
            entry.position,
            entry.offset,
            entry.index,
            frame::time(entry.max_timestamp_before)
        );
        let value = json!({
            "kind": "index entry", "position": entry.position, "offset": entry.offset.0,
            "index": entry.index.0, "max_timestamp_before": entry.max_timestamp_before,
        });
        line(out, show, &words, &value)?;
    }
    Ok(())
}

fn votes(out: &mut impl Write, disk: &dyn Disk, root: &Path, show: Show) -> anyhow::Result<()> {
    heading(out, root, "vote journals", show)?;
    let loaded = VoteJournal::load(disk, root)?;
    let mut states: Vec<_> = loaded.states.iter().collect();
    states.sort_by_key(|(group, _)| **group);
    for (group, state) in states {
        let hint = state.hint.map(|hint| {
            format!(
                "flushed to offset {}, entry {}, epoch {}",
                hint.offset, hint.index, hint.epoch
            )
        });
        let words = format!(
            "{}-{}  term {}, vote {:#x}, {}",
            group.topic_id,
            group.partition,
            state.term,
            state.vote,
            hint.as_deref().unwrap_or("nothing known flushed")
        );
        let value = json!({
            "kind": "vote", "topic_id": group.topic_id.to_string(), "partition": group.partition,
            "term": state.term.0, "vote": state.vote,
            "flushed": state.hint.map(|hint| json!({
                "offset": hint.offset.0, "index": hint.index.0, "epoch": hint.epoch.0,
            })),
        });
        line(out, show, &words, &value)?;
    }
    Ok(())
}

/// What a clean stop left, and the next start takes over instead of reading the logs.
fn checkpoint(out: &mut impl Write, disk: &dyn Disk, path: &Path, show: Show) -> io::Result<()> {
    heading(out, path, "checkpoint", show)?;
    let Some(logs) = inspect::checkpoint(disk, path)? else {
        let words = "damaged; the logs will be recovered as after a crash";
        let value = json!({ "kind": "checkpoint", "unsound": words });
        return line(out, show, words, &value);
    };
    for (group, log) in logs {
        let (start, end) = (log.log_start(), log.hint());
        let (segments, bytes) = (log.segments(), log.size_bytes());
        let words = format!(
            "{}-{}  offsets {start} to {}, entry {}, epoch {}, {segments} segments, {bytes} bytes",
            group.topic_id, group.partition, end.offset, end.index, end.epoch
        );
        let value = json!({
            "kind": "checkpoint", "topic_id": group.topic_id.to_string(), "partition": group.partition,
            "log_start": start.0, "log_end": end.offset.0, "index": end.index.0, "epoch": end.epoch.0,
            "segments": segments, "bytes": bytes,
        });
        line(out, show, &words, &value)?;
    }
    Ok(())
}

fn heading(out: &mut impl Write, path: &Path, kind: &str, show: Show) -> io::Result<()> {
    let words = format!("{}: {kind}", path.display());
    line(out, show, &words, &json!({ "file": path, "kind": kind }))
}

fn line(out: &mut impl Write, show: Show, words: &str, value: &Value) -> io::Result<()> {
    if show.json {
        writeln!(out, "{value}")
    } else {
        writeln!(out, "{words}")
    }
}
