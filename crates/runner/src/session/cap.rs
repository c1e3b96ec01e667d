//! The bounds of a session's subject: its cap, its time, and what it leaves behind.

use std::time::Duration;

use plimsoll_model::CapRecord;
use plimsoll_probe::all_descendants;

use super::Session;
use crate::child;
use crate::launch::Leftovers;

const LOOKS_FOR_LEFTOVERS: u32 = 3;

impl Session<'_> {
    /// Kills a subject that has used up its time; again at each tick, for what it forks meanwhile.
    pub(super) fn end_if_overdue(&mut self, now: Duration) {
        let timeout = self.inside.as_ref().and_then(|inside| inside.timeout);
        if self.end.is_some() || timeout.is_none_or(|timeout| now < timeout) {
            return;
        }
        // It starts no more while it is looked for what it has started since the last look, and is killed last: what
        // it leaves behind is nobody's child.
        child::send(self.start.pid, libc::SIGSTOP);
        let known = self.tree.ids().iter().map(|id| id.pid).collect::<Vec<_>>();
        let found = all_descendants(self.start.pid);
        for pid in known.into_iter().chain(found).rev() {
            if pid != self.start.pid {
                child::send(pid, libc::SIGKILL);
            }
        }
        child::send(self.start.pid, libc::SIGKILL);
    }

    /// Kills what the subject left behind, where that is asked for.
    pub(super) fn end_leftovers(&mut self) {
        if self.leftovers() != Leftovers::Killed || self.end.is_none() {
            return;
        }
        // Orphans come to us. One that was forked while others were looked for is found the next time.
        for _ in 0..LOOKS_FOR_LEFTOVERS {
            let known = self.tree.ids().into_iter().map(|id| id.pid);
            for pid in known.chain(all_descendants(self.tree.anchor())) {
                if pid != self.start.pid {
                    child::send(pid, libc::SIGKILL);
                }
            }
        }
    }

    /// The kernel's figures of the cap, which is taken down.
    pub(super) fn end_cap(&mut self, at: Duration) -> Option<CapRecord> {
        let leftovers = self.leftovers();
        let cap = self.inside.as_mut()?.cap.take()?;
        let (record, gap) = cap.finish(leftovers);
        if let Some(gap) = gap {
            self.gap(at, gap);
        }
        if leftovers == Leftovers::Killed {
            // They are ours to reap, and nobody asks how they ended.
            while child::next_change().is_some() {}
        }
        Some(record)
    }

    fn leftovers(&self) -> Leftovers {
        self.inside
            .as_ref()
            .map_or(Leftovers::GoOn, |inside| inside.leftovers)
    }
}
