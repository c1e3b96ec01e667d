//! Giving freed memory back to the system, with the effect measured.

use std::time::{Duration, Instant};

use super::process::StatusFile;

/// What trimming did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrimFigures {
    /// Times that memory was given back, or tried to be.
    pub trims_total: u64,
    /// Anonymous RSS before less after, summed; a trim during which it grew counts 0. Other threads
    /// allocate and free meanwhile, so this is at most an approximation.
    pub freed_bytes_total: u64,
    /// Of the last one.
    pub freed_bytes_last: u64,
    /// How long the last one took; allocating threads may wait for parts of it.
    pub took_last: Duration,
}

impl TrimFigures {
    /// Runs `purge`, or the allocator's own trim, and measures it.
    pub(super) fn trim(&mut self, status: &StatusFile, purge: Option<&(dyn Fn() + Send)>) {
        let anon = || status.read().map(|figures| figures.anon_bytes);
        let before = anon();
        let started = Instant::now();
        match purge {
            Some(purge) => purge(),
            None => trim_malloc(),
        }
        self.took_last = started.elapsed();
        self.trims_total += 1;
        if let (Ok(before), Ok(after)) = (before, anon()) {
            self.freed_bytes_last = before.saturating_sub(after);
            self.freed_bytes_total += self.freed_bytes_last;
        }
    }
}

/// glibc gives back free pages of all arenas; other allocators need a purge function.
fn trim_malloc() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim takes the allocator's own locks and may be called at any time.
        let _returned = unsafe { libc::malloc_trim(0) };
    }
}
