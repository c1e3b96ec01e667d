//! One process's totals, and what they say of reclaim. Pure; see proc_pid_smaps(5) and
//! Documentation/ABI/testing/procfs-smaps_rollup.
//!
//! Read from smaps_rollup, or added up from smaps piece by piece where the kernel has no rollup
//! (before Linux 4.14); both print the same lines. `smaps.rs` is for the figures of each mapping.

use plimsoll_model::{Bytes, Reclaim};

use crate::system::kib_lines;

/// One process's totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rss: Bytes,
    pub(crate) pss: Bytes,
    pub(crate) private_clean: Bytes,
    pub(crate) private_dirty: Bytes,
    pub(crate) shared_dirty: Bytes,
    pub(crate) anonymous: Bytes,
    pub(crate) lazy_free: Bytes,
    pub(crate) swap: Bytes,
    /// A share of PSS, not of RSS.
    pub(crate) locked: Bytes,
    /// Since Linux 5.4.
    pub(crate) pss_anon: Option<Bytes>,
    pub(crate) pss_shmem: Option<Bytes>,
    /// Since Linux 6.0.
    pub(crate) pss_dirty: Option<Bytes>,
    /// RssShmem of status: needed where `pss_dirty` is not there.
    pub(crate) rss_shmem: Bytes,
}

impl Totals {
    /// `None` when there is no `Rss` or no `Pss`.
    pub(crate) fn parse(text: &[u8]) -> Option<Totals> {
        let mut sum = TotalsSum::default();
        sum.add(text);
        sum.finish()
    }

    /// Whether [`Totals::reclaim`] needs `rss_shmem` to tell dirty file pages from dirty shared
    /// memory.
    pub(crate) fn wants_shmem(&self) -> bool {
        let dirty = self.private_dirty + self.shared_dirty;
        let without_shares = self.pss_dirty.is_none() || self.pss_shmem.is_none();
        without_shares && dirty > self.anonymous
    }

    /// Splits PSS by how the kernel can take it back. The classes sum to PSS exactly.
    ///
    /// Anonymous pages and shared memory count as dirty; the few that are clean make
    /// `after_writeback` too small by as much. Locked pages are taken from what would need swap
    /// first, since the kernel does not say which they are.
    pub(crate) fn reclaim(&self, swap: bool) -> Reclaim {
        let anon = self.pss_anon.unwrap_or(self.anonymous).min(self.pss);
        let shmem = self.shmem_share(self.pss - anon);
        let file = self.pss - anon - shmem;
        // Clean since it was freed: dropped like a clean file page (MADV_FREE in madvise(2)).
        let lazy = self.lazy_free.min(anon);
        let swap_backed = anon - lazy + shmem;
        let dirty = self.dirty_file(swap_backed).min(file);
        let clean = file - dirty;
        let mut unassigned = self.locked.min(self.pss);
        let mut take_locked = |class: Bytes| {
            let locked = class.min(unassigned);
            unassigned -= locked;
            (locked, class - locked)
        };
        let (locked_swap_backed, swap_backed) = take_locked(swap_backed);
        let (locked_dirty, dirty) = take_locked(dirty);
        let (locked_clean, clean) = take_locked(clean);
        let (locked_lazy, lazy) = take_locked(lazy);
        let locked = locked_swap_backed + locked_dirty + locked_clean + locked_lazy;
        Reclaim {
            must_stay: if swap { locked } else { locked + swap_backed },
            swap_only: if swap { swap_backed } else { Bytes::ZERO },
            droppable: clean + lazy,
            after_writeback: dirty,
        }
    }

    /// PSS of shared memory, at most `rest`, the PSS that is not anonymous. Before Linux 5.4 it is
    /// taken to be shared as much as the rest is.
    fn shmem_share(&self, rest: Bytes) -> Bytes {
        let share = self.pss_shmem.unwrap_or_else(|| {
            let rest_rss = self.rss.saturating_sub(self.anonymous);
            rest.scaled(self.rss_shmem.min(rest_rss).0, rest_rss.0)
        });
        share.min(rest)
    }

    /// Dirty pages of files that are not memory: PSS, or before Linux 6.0 a bound in RSS.
    fn dirty_file(&self, swap_backed_share: Bytes) -> Bytes {
        if let Some(dirty) = self.pss_dirty {
            return dirty.saturating_sub(swap_backed_share);
        }
        let dirty = self.private_dirty + self.shared_dirty;
        let dirty_anon = self.anonymous.saturating_sub(self.lazy_free);
        dirty
            .saturating_sub(dirty_anon)
            .saturating_sub(self.rss_shmem)
    }
}

/// Adds up lines; used piece by piece for smaps, which may be large.
#[derive(Clone, Debug, Default)]
pub(crate) struct TotalsSum {
    sum: Totals,
    has_rss: bool,
    has_pss: bool,
}

impl TotalsSum {
    /// Adds whole lines. Sums stay far from overflow: no process has 2^63 bytes resident, and a
    /// text that says so is cut off there.
    pub(crate) fn add(&mut self, lines: &[u8]) {
        for (key, value) in kib_lines(lines) {
            let sum = &mut self.sum;
            let field = match key {
                b"Rss" => {
                    self.has_rss = true;
                    &mut sum.rss
                }
                b"Pss" => {
                    self.has_pss = true;
                    &mut sum.pss
                }
                b"Private_Clean" => &mut sum.private_clean,
                b"Private_Dirty" => &mut sum.private_dirty,
                b"Shared_Dirty" => &mut sum.shared_dirty,
                b"Anonymous" => &mut sum.anonymous,
                b"LazyFree" => &mut sum.lazy_free,
                b"Swap" => &mut sum.swap,
                b"Locked" => &mut sum.locked,
                b"Pss_Anon" => sum.pss_anon.get_or_insert_default(),
                b"Pss_Shmem" => sum.pss_shmem.get_or_insert_default(),
                b"Pss_Dirty" => sum.pss_dirty.get_or_insert_default(),
                _ => continue,
            };
            const SUM_MAX: u64 = 1 << 60;
            *field = Bytes(field.0.saturating_add(value.0).min(SUM_MAX));
        }
    }

    pub(crate) fn finish(self) -> Option<Totals> {
        (self.has_rss && self.has_pss).then_some(self.sum)
    }
}
