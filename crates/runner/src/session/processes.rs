//! Processes of a session: how each began and ended, and the peaks that no sample has seen.

use std::time::Duration;

use plimsoll_model::{Bytes, EventKind, Gap, GapReason, ProcessId, ProcessRecord};

use super::Session;
use crate::End;
use crate::child::{self, Change};

/// A peak that the kernel reports at the end of a process is a gap when it is this much above all
/// that was seen: less may have happened between two samples of any program.
const PEAK_MISSED: Bytes = Bytes::mib(4);

impl Session<'_> {
    pub(super) fn take_gone(&mut self, id: ProcessId, now: Duration) {
        if id != self.root {
            self.tell_ended(id, now, None);
        } else if !self.start.is_child {
            self.tell_ended(id, now, None);
            self.end = Some(End::Gone);
        }
        // Our own child is told when it is reaped, with the kernel's last word on its peak.
    }

    /// Those that ended since the last tick: a root that ends its children and exits leaves no
    /// further tick in which they would be missed, and they would be told as living on.
    pub(super) fn tell_those_gone(&mut self) {
        if self.start.is_child {
            self.reap();
        }
        let now = self.clock.now();
        for id in self.tree.find_gone() {
            self.take_gone(id, now);
        }
    }

    pub(super) fn reap(&mut self) {
        while let Some(change) = child::next_change() {
            match change {
                Change::Ended {
                    pid,
                    end,
                    rss_max,
                    work,
                } => {
                    if pid == self.start.pid {
                        self.work = work;
                    }
                    self.take_end(pid, end, rss_max);
                }
                Change::Stopped { pid, signal } => {
                    let by_terminal =
                        matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
                    if pid == self.start.pid && by_terminal && child::in_foreground() {
                        child::stop_as_well();
                    }
                }
            }
        }
    }

    fn take_end(&mut self, pid: u32, end: End, rss_max: Bytes) {
        let now = self.clock.now();
        // A child starts with the highest RSS of the process that forked it (exec_mmap in
        // fs/exec.c), so a figure that is not above ours says nothing.
        let rss_max = Some(rss_max).filter(|rss_max| *rss_max > self.start.rss_before);
        match self.tree.id_of(pid) {
            Some(id) => self.tell_ended(id, now, rss_max),
            None => {
                let who = "a process too short-lived to be seen";
                self.tell_missed_peak(now, self.peak_seen(), rss_max, who);
            }
        }
        if pid == self.start.pid {
            self.end = Some(end);
        }
    }

    pub(super) fn tell_started(&mut self, record: &ProcessRecord, now: Duration) {
        self.schedule.processes_changed();
        self.observer.process_started(record);
        self.event(now, EventKind::ProcessStarted, name_of(record));
    }

    /// `rss_max`: the kernel's last word on it, where we are its parent.
    fn tell_ended(&mut self, id: ProcessId, now: Duration, rss_max: Option<Bytes>) {
        let Some(mut ended) = self.tree.remove(id, now) else {
            return;
        };
        let name = name_of(&ended.record);
        let own_peak = ended.record.rss_peak;
        self.counts.process_peak = self.counts.process_peak.max(own_peak);
        if id.pid == self.start.pid && ended.childless {
            let who = format!("{name}, or a child of it too short-lived to be seen,");
            self.tell_missed_peak(now, own_peak, rss_max, &who);
            ended.record.rss_peak = own_peak.max(rss_max.unwrap_or_default());
            if let Some(rss_max) = rss_max.filter(|rss_max| *rss_max > own_peak) {
                self.tree.note_ended_peak(rss_max);
            }
        } else {
            let who = format!("a child of {name} that was too short-lived to be seen");
            self.tell_missed_peak(now, self.peak_seen(), rss_max, &who);
        }
        self.schedule.processes_changed();
        self.observer.process_ended(&ended.record);
        self.event(now, EventKind::ProcessEnded, name);
    }

    fn peak_seen(&self) -> Bytes {
        self.counts.process_peak.max(self.tree.peak())
    }

    /// `ru_maxrss` is of the process, of any it waited for, or of the one that forked it: only
    /// above all peaks that were seen is it certainly the peak of something that was not.
    fn tell_missed_peak(&mut self, now: Duration, seen: Bytes, rss_max: Option<Bytes>, who: &str) {
        let Some(rss_max) = rss_max.filter(|rss_max| *rss_max > seen) else {
            return;
        };
        self.counts.process_peak = self.counts.process_peak.max(rss_max);
        if rss_max.saturating_sub(seen) > PEAK_MISSED {
            let detail = format!(
                "{who} reached {rss_max} between two samples, by the kernel's account at its end; \
                 a shorter interval shows more"
            );
            self.gap(now, Gap::new("a peak", GapReason::Bounded, detail));
        }
    }
}

fn name_of(record: &ProcessRecord) -> String {
    format!("{} ({})", record.name, record.id)
}
