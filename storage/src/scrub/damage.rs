//! What a scrub found in a segment, marked for all views of it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::position::Offset;

/// Bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub position: u64,
    /// The offsets that cannot be read any more; none where a control frame is damaged.
    pub offsets: Range<Offset>,
    /// What does not fit.
    pub reason: String,
}

/// The damaged places of one segment, shared by all views of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Damage(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    any: AtomicBool,
    findings: Mutex<Vec<Finding>>,
}

impl Damage {
    /// All that was found; for a sound segment the cost is one load.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        if !self.0.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.with(|findings| findings.clone())
    }

    /// The damage nearest at or behind `offset`.
    pub(crate) fn from(&self, offset: Offset) -> Option<Finding> {
        let reached = |finding: &Finding| {
            finding.offsets.end > offset && finding.offsets.start < finding.offsets.end
        };
        let findings = self.findings().into_iter().filter(reached);
        findings.min_by_key(|finding| finding.offsets.start)
    }

    /// Adds a finding; false if the place is known.
    pub(super) fn add(&self, finding: &Finding) -> bool {
        let new = self.with(|findings| {
            let new = findings.iter().all(|one| one.position != finding.position);
            if new {
                findings.push(finding.clone());
            }
            new
        });
        self.0.any.store(true, Ordering::Release);
        new
    }

    /// A panic elsewhere cannot leave the list half changed.
    fn with<R>(&self, act: impl FnOnce(&mut Vec<Finding>) -> R) -> R {
        act(&mut self
            .0
            .findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}
