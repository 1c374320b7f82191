//! `headrace log verify`: one line for each log, and one for everything that was found in it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use headrace_storage::Hint;
use headrace_storage::data_dir::parse_log_dir;
use headrace_storage::fs::{Disk, RealDisk};
use headrace_storage::inspect::{Finding, Report, verify_log};
use headrace_storage::votes::{GroupId, VoteJournal};
use serde_json::json;

use super::is_data_dir;
use crate::cli::progress::Progress;

/// A log's directory, and how far it was known durable.
type Place = (PathBuf, Option<Hint>);

/// Checks the log in `dir`, or all logs of a data directory.
pub(super) fn dir(out: &mut impl Write, dir: &Path, json: bool) -> anyhow::Result<()> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut damaged = 0;
    let places = if is_data_dir(dir) {
        let votes = VoteJournal::load(&*disk, dir)?;
        for damage in &votes.damaged {
            let reason = "rounds of the vote journal are damaged in both copies".to_owned();
            let (file, position) = (damage.path.clone(), damage.position);
            finding(
                out,
                json,
                "DAMAGED",
                &Finding {
                    file,
                    position,
                    reason,
                },
            )?;
        }
        damaged += votes.damaged.len();
        places(&*disk, dir, |group| {
            votes.states.get(group).and_then(|state| state.hint)
        })?
    } else {
        check_is_log(&*disk, dir)?;
        vec![(dir.to_path_buf(), None)]
    };
    let count = places.len();
    let progress = Progress::of(u64::try_from(count)?, "logs");
    for (dir, hint) in places {
        let report = verify_log(&disk, &dir, hint);
        let report = report.with_context(|| format!("cannot read {}", dir.display()))?;
        damaged += usize::from(report.damage.is_some());
        tell(out, json, &dir, &report)?;
        progress.add(1);
    }
    drop(progress);
    if damaged > 0 {
        out.flush()?;
        bail!(
            "{damaged} damaged of {count} logs: a broker does not serve them and leaves them as they are; put back a copy of their files, or delete their topics"
        );
    }
    Ok(())
}

/// A directory in which there is nothing to check is no sound log.
fn check_is_log(disk: &dyn Disk, dir: &Path) -> anyhow::Result<()> {
    let names = disk.list(dir);
    let names = names.with_context(|| format!("cannot list {}", dir.display()))?;
    let is_segment = |name: &String| Path::new(name).extension().is_some_and(|is| is == "log");
    if !names.iter().any(is_segment) {
        bail!(
            "{} is neither a data directory (meta and topics/ are missing) nor a log's directory (no .log file is in it)",
            dir.display()
        );
    }
    Ok(())
}

/// The logs of a data directory.
fn places(
    disk: &dyn Disk,
    data: &Path,
    hint: impl Fn(&GroupId) -> Option<Hint>,
) -> anyhow::Result<Vec<Place>> {
    let topics = data.join("topics");
    let names = disk.list(&topics);
    let names = names.with_context(|| format!("cannot list {}", topics.display()))?;
    let place = |name: &String| {
        let (topic_id, partition) = parse_log_dir(name)?;
        let hint = hint(&GroupId {
            topic_id,
            partition,
        });
        Some((topics.join(name), hint))
    };
    Ok(names.iter().filter_map(place).collect())
}

fn tell(out: &mut impl Write, json: bool, dir: &Path, report: &Report) -> io::Result<()> {
    let sound = report.damage.is_none();
    if json {
        let line = json!({
            "log": dir, "sound": sound, "bytes": report.bytes,
            "log_start": report.log_start.0, "log_end": report.log_end.0,
        });
        writeln!(out, "{line}")?;
    } else if sound {
        let Report {
            bytes,
            log_start,
            log_end,
            ..
        } = report;
        let dir = dir.display();
        writeln!(
            out,
            "sound    {dir}: offsets {log_start} to {log_end}, {bytes} bytes"
        )?;
    }
    if let Some(damage) = &report.damage {
        finding(out, json, "DAMAGED", damage)?;
    }
    for remark in &report.remarks {
        finding(out, json, "remark", remark)?;
    }
    Ok(())
}

fn finding(out: &mut impl Write, json: bool, grade: &str, finding: &Finding) -> io::Result<()> {
    let Finding {
        file,
        position,
        reason,
    } = finding;
    if json {
        let line = json!({ "grade": grade, "file": file, "position": position, "reason": reason });
        writeln!(out, "{line}")
    } else {
        writeln!(
            out,
            "{grade:<7}  {} at byte {position}: {reason}",
            file.display()
        )
    }
}
