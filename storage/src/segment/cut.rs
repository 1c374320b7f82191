//! How readers learn that the end of a file they hold was taken back.
//!
//! A view of the log is never changed, but a truncation (of entries that were never committed) cuts the
//! file below it, and what is appended next lies at positions that the view believes to know. So all
//! views of a file share a [`Cut`]. The writer lowers it **before** it touches the file, a reader looks at
//! it **after** it has read: bytes from beyond it are not given out. The file's later views get a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The position from which on the bytes of a file are no longer what earlier views say.
#[derive(Clone, Debug)]
pub(crate) struct Cut(Arc<AtomicU64>);

impl Cut {
    /// Nothing is cut.
    pub(crate) fn none() -> Cut {
        Cut(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// Takes back everything from `position` on, in all views that share this; for good.
    pub(crate) fn lower(&self, position: u64) {
        self.0.fetch_min(position, Ordering::SeqCst);
    }

    /// Whether the other is shared by the same views.
    pub(crate) fn is(&self, other: &Cut) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Everything below is as it was.
    pub(crate) fn position(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
