//! Progress of long work: one line on standard error where that is a terminal, nothing elsewhere.
use indicatif::{ProgressBar, ProgressStyle};

/// How far something is; the line goes when this is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Work of a known size, counted in `unit`.
    pub(super) fn of(total: u64, unit: &str) -> Progress {
        let style = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
        Progress::styled(ProgressBar::new(total), &style)
    }

    /// Work of a known size in bytes.
    pub(super) fn of_bytes(total: u64) -> Progress {
        let style = "{wide_bar} {bytes} of {total_bytes}, {eta} left";
        Progress::styled(ProgressBar::new(total), style)
    }

    /// No progress to be seen.
    pub(super) fn hidden() -> Progress {
        Progress(ProgressBar::hidden())
    }

    pub(super) fn add(&self, done: u64) {
        self.0.inc(done);
    }

    fn styled(bar: ProgressBar, style: &str) -> Progress {
        let style = ProgressStyle::with_template(style).expect("the template is a constant");
        Progress(bar.with_style(style))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
