//! Marks of a session: each ends a stage and begins another.

use std::time::Duration;

use plimsoll_model::StageSource;

use super::Session;
use crate::BreakdownReason;
use crate::marks::Mark;
use crate::stages::Stages;

/// Lines of one instant, 100 bytes each; more that are there are of the next one.
const LINES_MAX: usize = 10_000;

impl Session<'_> {
    /// Marks in the order in which they came. While the sender of one waits for a full reading,
    /// later ones wait too.
    pub(super) fn take_marks(&mut self) {
        while self.waiting.is_none() {
            let Some(first) = self.next_mark() else {
                return;
            };
            // Who writes a line does not wait for us: lines that are there already are of the same
            // instant, and must not look as if memory had stood still from one to the next.
            let mut marks = vec![first];
            while marks.len() < LINES_MAX
                && marks
                    .last()
                    .is_some_and(|mark| mark.source == StageSource::Log)
                && let Some(mark) = self.next_mark()
            {
                marks.push(mark);
            }
            self.take_together(marks);
        }
    }

    fn next_mark(&mut self) -> Option<Mark> {
        let inside = self.inside.as_ref()?;
        inside.marks.try_recv().ok()
    }

    /// Marks of one instant: lines, and at their end perhaps one whose sender waits.
    fn take_together(&mut self, marks: Vec<Mark>) {
        let now = self.clock.now();
        let mut cut = self.tree.cut(now);
        if cut.parts.rss.is_zero() {
            // A line of output that came after the subject's end.
            cut.parts = self.counts.parts;
        } else {
            // Newer than the last tick: a stage that ends before the next one ends with these.
            self.counts.parts = cut.parts;
            self.counts.rss_max = self.counts.rss_max.max(cut.parts.rss);
        }
        for mark in &marks {
            let stage = self.stages.mark(mark.label.clone(), mark.source, now, &cut);
            self.observer.stage(&stage);
            // The peaks are of what ran before the first of them.
            cut.peaks.clear();
        }
        self.tell_found(&cut.look, now);
        for gap in cut.look.gaps {
            self.gap(now, gap);
        }
        let due = self.end.is_none() && self.schedule.mark_due(now);
        self.waiting = marks.into_iter().next_back();
        if due {
            self.begin_reading(now, BreakdownReason::Mark);
            if self.reader.is_busy() {
                return;
            }
        }
        self.let_go_on();
    }

    /// Answers the mark that waits, if any.
    pub(super) fn let_go_on(&mut self) {
        if let Some(mark) = self.waiting.take() {
            mark.answer();
        }
    }

    /// Marks and output that are still on their way, and the stage that was open. Returns the end
    /// of the subject's standard error.
    pub(super) fn end_stages(&mut self, at: Duration) -> String {
        self.let_go_on();
        let errors = self
            .inside
            .as_mut()
            .map_or_else(String::new, |inside| inside.output.drain());
        self.take_marks();
        self.let_go_on();
        let peaks = self.tree.cut(at).peaks;
        let stages = std::mem::replace(&mut self.stages, Stages::begin());
        if let Some(stage) = stages.end(at, self.counts.parts, &peaks) {
            self.observer.stage(&stage);
        }
        errors
    }
}
