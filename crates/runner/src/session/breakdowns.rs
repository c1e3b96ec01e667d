//! Full readings of a session: when one is asked for, and what becomes of it.

use std::time::Duration;

use plimsoll_model::{Breakdown, Gap, GapReason, Scope};
use plimsoll_probe::read_status;

use super::Session;
use crate::BreakdownReason;
use crate::reading::{Asked, Done};

impl Session<'_> {
    pub(super) fn ask_for_breakdown(&mut self, now: Duration) {
        if self.reader.is_busy() || self.end.is_some() {
            return;
        }
        if let Some(reason) = self.schedule.due(now, self.counts.parts.rss) {
            self.begin_reading(now, reason);
        }
    }

    /// Nothing when a reading is on its way or nothing is left to read.
    pub(super) fn begin_reading(&mut self, at: Duration, reason: BreakdownReason) {
        let processes = self.tree.ids();
        if !processes.is_empty() {
            let rss = self.counts.parts.rss;
            self.reader.ask(Asked { at, rss, reason }, processes);
        }
    }

    pub(super) fn take_reading(&mut self) {
        if let Some(done) = self.reader.take() {
            self.tell_reading(done);
        }
    }

    pub(super) fn tell_reading(&mut self, done: Done) {
        let now = self.clock.now();
        self.schedule.taken(now, done.asked.rss, done.cost);
        if done.asked.reason == BreakdownReason::Mark {
            self.let_go_on();
        } else if self.waiting.is_some() && self.end.is_none() {
            // It was in the way of the reading that a mark waits for.
            self.begin_reading(now, BreakdownReason::Mark);
        } else {
            self.let_go_on();
        }
        match done.breakdown {
            Ok(breakdown) if is_of_a_dead_process(&breakdown) => {
                let detail = "the subject ended while it was read";
                self.gap(now, Gap::new("breakdown", GapReason::Vanished, detail));
            }
            Ok(breakdown) => {
                self.counts.breakdowns += 1;
                self.observer
                    .breakdown(done.asked.at, done.asked.reason, breakdown);
            }
            Err(gap) if gap.reason == GapReason::Vanished && self.end.is_some() => {
                let detail = "the subject ended while it was read";
                self.gap(now, Gap::new("breakdown", GapReason::Vanished, detail));
            }
            Err(gap) => self.gap(now, gap),
        }
    }

    /// The state that a recording leaves its subject in, when that goes on after it.
    pub(super) fn read_last(&mut self) {
        self.begin_reading(self.clock.now(), BreakdownReason::Last);
        if let Some(done) = self.reader.wait() {
            self.tell_reading(done);
        }
    }
}

/// Whether the process was gone before its reading was done. What was not read any more would stand
/// as unattributed, and as the last word on it.
fn is_of_a_dead_process(breakdown: &Breakdown) -> bool {
    let is_torn = |gap: &Gap| gap.reason == GapReason::Vanished;
    breakdown.scope == Scope::Process
        && breakdown.gaps.iter().any(is_torn)
        && read_status(breakdown.process.id.pid).is_err()
}
