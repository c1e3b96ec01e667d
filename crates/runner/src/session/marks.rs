//! Marks of a session: each ends a stage and begins another.

use std::time::Duration;

use super::Session;
use crate::BreakdownReason;
use crate::marks::Mark;
use crate::stages::Stages;

impl Session<'_> {
    /// Marks in the order in which they came. While the sender of one waits for a full reading,
    /// later ones wait too.
    pub(super) fn take_marks(&mut self) {
        while self.waiting.is_none() {
            let Some(mark) = self
                .inside
                .as_ref()
                .and_then(|inside| inside.marks.try_recv().ok())
            else {
                return;
            };
            self.take_mark(mark);
        }
    }

    fn take_mark(&mut self, mark: Mark) {
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
        let stage = self.stages.mark(mark.label.clone(), mark.source, now, &cut);
        self.observer.stage(&stage);
        self.tell_found(&cut.look, now);
        for gap in cut.look.gaps {
            self.gap(now, gap);
        }
        let due = self.end.is_none() && self.schedule.mark_due(now);
        self.waiting = Some(mark);
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
