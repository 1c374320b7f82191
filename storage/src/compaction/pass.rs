//! The passes of one cleaning: survey, then group after group.

use super::header::{CompactedHeader, Counts};
use super::input::Input;
use super::key_map::KeyMap;
use super::metrics::CleaningMetrics;
use super::output::{Output, Written};
use super::retain::Rules;
use super::rewrite::{Old, Rewriter, Terms};
use super::survey::{self, Facts, Survey};
use super::transactions::Aborted;
use super::{Cleaned, CleaningError, CleaningJob, Pace, Swap, Tools, plan, swap};
use crate::index::NO_TIMESTAMP;
use crate::planted::{Mistake, planted};
use crate::position::Offset;
use crate::segment::format::Head;
use crate::segment::reader::Segment;
use crate::segment::{Tail, cleaned_name};

/// Runs a job to its end, or to its first error.
pub(super) fn clean(
    job: CleaningJob,
    tools: &Tools<'_>,
    swap: &mut dyn FnMut(Swap) -> bool,
) -> Cleaned {
    let begun = tools.clock.monotonic();
    let mut cleaner = Cleaner {
        end: job
            .segments
            .last()
            .map_or(Offset(0), |last| last.end_offset),
        aborted: Aborted::default(),
        job,
        tools,
        pace: Pace::new(tools),
        metrics: CleaningMetrics::default(),
    };
    let result = cleaner.run(swap);
    let mut metrics = cleaner.metrics;
    metrics.time = tools.clock.monotonic().saturating_sub(begun);
    metrics.throttled = cleaner.pace.throttled.get();
    Cleaned {
        result,
        metrics,
        pin: cleaner.job.pin,
    }
}

struct Cleaner<'a> {
    job: CleaningJob,
    /// The end of all that is to be cleaned.
    end: Offset,
    aborted: Aborted,
    tools: &'a Tools<'a>,
    pace: Pace<'a>,
    metrics: CleaningMetrics,
}

impl Cleaner<'_> {
    fn run(&mut self, swap: &mut dyn FnMut(Swap) -> bool) -> Result<(), CleaningError> {
        if let Some(view) = self.job.view.take() {
            let aborted = view.aborted_transactions(self.job.log_start, self.end)?;
            self.aborted = Aborted::new(&aborted);
        }
        while plan::first_dirty(&self.job.segments) < self.end {
            self.pass(swap)?;
        }
        Ok(())
    }

    /// Cleans up to where the map is full, which is further than it was before.
    fn pass(&mut self, swap: &mut dyn FnMut(Swap) -> bool) -> Result<(), CleaningError> {
        let dirty_from = plan::first_dirty(&self.job.segments);
        let records = u64::try_from(self.end.0 - dirty_from.0).unwrap_or(0);
        let map = KeyMap::new(self.tools.budget, records, self.tools.seed);
        let map = map.ok_or(CleaningError::Busy)?;
        self.metrics.key_map_bytes = self.metrics.key_map_bytes.max(map.size_bytes());
        let survey = self.survey(map, dirty_from)?;
        self.metrics.passes += 1;
        self.metrics.keys = self.metrics.keys.max(survey.map.keys());
        let segments = std::mem::take(&mut self.job.segments);
        let reached = segments.partition_point(|segment| segment.base_offset < survey.upto);
        let interval = self.job.index_interval_bytes;
        let groups = plan::groups(&segments[..reached], &self.job.config, interval);
        let mut rewriter = Rewriter::default();
        let mut cleaned = Vec::with_capacity(segments.len());
        let mut segments = segments.into_iter();
        for group in groups {
            // held no longer than until they are replaced: an open file keeps its room on the disk
            let inputs: Vec<Segment> = segments.by_ref().take(group.len()).collect();
            let is_done = |segment: &Segment| {
                let header = segment.compacted();
                header.is_some_and(|header| header.cleaned_to >= survey.upto)
            };
            if inputs.iter().all(is_done) {
                self.pass_by(&inputs, &survey, &mut rewriter)?;
                self.metrics.groups_skipped += 1;
                cleaned.extend(inputs);
            } else {
                let facts = &survey.facts[group];
                cleaned.push(self.group(&inputs, facts, &survey, &mut rewriter, swap)?);
            }
        }
        cleaned.extend(segments);
        self.job.segments = cleaned;
        Ok(())
    }

    fn survey(&mut self, map: KeyMap, dirty_from: Offset) -> Result<Survey, CleaningError> {
        let terms = survey::Terms {
            identity: &self.job.identity,
            dirty_from,
            log_start: self.job.log_start,
            aborted: &self.aborted,
            producers: self.job.producers.as_ref(),
            decompressed_bytes_max: self.job.config.decompressed_bytes_max,
        };
        self.metrics.bytes_read += self.job.size_bytes();
        survey::survey(&self.job.segments, map, &terms, &self.pace)
    }

    /// Follows the transactions through a group that stays as it is, and looks for batches that hide records.
    fn pass_by(
        &mut self,
        inputs: &[Segment],
        survey: &Survey,
        rewriter: &mut Rewriter,
    ) -> Result<(), CleaningError> {
        let terms = self.terms(survey);
        for segment in inputs {
            let input = Input::open(segment, &self.job.identity)?;
            let mut walk = input.walk(&self.job.identity, true);
            while let Some(head) = walk.next(&self.pace)? {
                if let Head::Batch(header) = head {
                    let (header, frame) = (&header, walk.batch(&header)?);
                    rewriter.pass_by(Old { header, frame }, &terms);
                }
            }
        }
        self.metrics.bytes_read += inputs.iter().map(|input| input.size_bytes).sum::<u64>();
        Ok(())
    }

    /// Rewrites a group and puts the new file in its place.
    fn group(
        &mut self,
        inputs: &[Segment],
        facts: &[Facts],
        survey: &Survey,
        rewriter: &mut Rewriter,
        swap: &mut dyn FnMut(Swap) -> bool,
    ) -> Result<Segment, CleaningError> {
        let written = self.rewrite(inputs, facts, survey, rewriter)?;
        let output_bytes = written.size_bytes;
        let (disk, dir) = (&self.job.disk, &self.job.dir);
        let done = swap::commit(disk, dir, written, inputs, self.job.index_interval_bytes)?;
        let segment = done.segment.clone();
        if !swap(done) {
            return Err(CleaningError::LogGone);
        }
        if !planted(Mistake::InputsRemovedBeforeSwap) {
            swap::remove_inputs(&**disk, dir, inputs)?;
        }
        let input_bytes = inputs.iter().map(|input| input.size_bytes).sum::<u64>();
        self.metrics.groups += 1;
        self.metrics.input_bytes += input_bytes;
        self.metrics.bytes_read += input_bytes;
        self.metrics.output_bytes += output_bytes;
        self.metrics.bytes_written += output_bytes;
        Ok(segment)
    }

    /// Writes the group's file; one that is not finished is removed.
    fn rewrite(
        &mut self,
        inputs: &[Segment],
        facts: &[Facts],
        survey: &Survey,
        rewriter: &mut Rewriter,
    ) -> Result<Written, CleaningError> {
        let header = self.header(inputs, facts, survey.upto);
        let counts = Counts {
            runs: header.runs.len(),
            aborted: self
                .aborted
                .ending_in(header.base_offset, header.end.offset),
            open: header.open.len(),
            membership_bytes: header.membership.as_ref().map_or(0, |(_, set)| set.len()),
        };
        let name = cleaned_name(header.base_offset, header.base_index, header.generation);
        let path = self.job.dir.join(name);
        let interval = self.job.index_interval_bytes;
        let disk = &*self.job.disk;
        let mut out = Output::create(disk, path.clone(), header.base_index, counts, interval)?;
        let result = self
            .batches(inputs, survey, rewriter, &mut out)
            .and_then(|()| out.finish(header));
        if result.is_err()
            && let Err(error) = self.job.disk.remove(&path)
        {
            tracing::warn!(path = %path.display(), %error, "unfinished file not removed, the next start will");
        }
        result
    }

    /// What batches are rewritten by.
    fn terms<'a>(&'a self, survey: &'a Survey) -> Terms<'a> {
        Terms {
            rules: Rules {
                map: &survey.map,
                upto: survey.upto,
                log_start: self.job.log_start,
                range_end: self.end,
                now_ms: self.tools.clock.now_ms(),
                last_batches: &survey.last_batches,
                aborted: &self.aborted,
            },
            delete_retention_ms: self.job.config.delete_retention_ms,
            decompressed_bytes_max: self.job.config.decompressed_bytes_max,
        }
    }

    fn batches(
        &mut self,
        inputs: &[Segment],
        survey: &Survey,
        rewriter: &mut Rewriter,
        out: &mut Output,
    ) -> Result<(), CleaningError> {
        let mut metrics = self.metrics;
        let terms = self.terms(survey);
        for segment in inputs {
            let input = Input::open(segment, &self.job.identity)?;
            let mut walk = input.walk(&self.job.identity, true);
            while let Some(head) = walk.next(&self.pace)? {
                if let Head::Batch(header) = head {
                    let frame = walk.batch(&header)?;
                    let old = Old {
                        header: &header,
                        frame,
                    };
                    rewriter.batch(old, &terms, out, &mut metrics)?;
                    out.pay(&self.pace)?;
                }
            }
        }
        self.metrics = metrics;
        Ok(())
    }

    /// What the group's header says before its content is known.
    fn header(&self, inputs: &[Segment], facts: &[Facts], upto: Offset) -> CompactedHeader {
        let first = &inputs[0];
        let (begin, end) = (&facts[0], &facts[facts.len() - 1]);
        let generation = inputs.iter().filter_map(Segment::compacted);
        let generation = generation
            .map(|header| header.generation)
            .max()
            .unwrap_or(0);
        CompactedHeader {
            identity: self.job.identity,
            base_offset: first.base_offset,
            base_index: first.base_index,
            base_epoch: begin.base_epoch,
            base_log_start: begin.base_log_start,
            created_ms: begin.created_ms,
            previous_crc: begin.previous_crc,
            end: Tail {
                // records below it may be gone from here
                log_start: end.end.log_start.max(self.job.log_start),
                ..end.end
            },
            roll_at_ms: end.roll_at_ms,
            roll_crc: end.roll_crc,
            generation: generation.saturating_add(1),
            cleaned_to: upto,
            max_timestamp: NO_TIMESTAMP,
            content_bytes: 0,
            content_crc: 0,
            runs: facts
                .iter()
                .flat_map(|of| of.runs.iter().copied())
                .collect(),
            aborted: Vec::new(),
            open: end.open.clone(),
            membership: facts.iter().rev().find_map(|of| of.membership.clone()),
        }
    }
}
