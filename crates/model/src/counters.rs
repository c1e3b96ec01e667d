//! What the kernel counts for one mapping.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Exactness};

/// Page counters of one mapping, in bytes. Field meanings: proc_pid_smaps(5).
///
/// `rss = private_clean + private_dirty + shared_clean + shared_dirty`, and `anonymous` is the
/// part of `rss` that no file backs. Hugetlb pages are in `hugetlb` alone: the kernel does not
/// count them in RSS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub rss: Bytes,
    pub pss: Bytes,
    pub private_clean: Bytes,
    pub private_dirty: Bytes,
    pub shared_clean: Bytes,
    pub shared_dirty: Bytes,
    pub anonymous: Bytes,
    pub lazy_free: Bytes,
    pub anon_huge: Bytes,
    pub hugetlb: Bytes,
    pub swap: Bytes,
    pub swap_pss: Bytes,
    pub locked: Bytes,
    pub referenced: Bytes,
}

impl Counters {
    #[must_use]
    pub fn private(&self) -> Bytes {
        self.private_clean + self.private_dirty
    }

    #[must_use]
    pub fn shared(&self) -> Bytes {
        self.shared_clean + self.shared_dirty
    }

    #[must_use]
    pub fn dirty(&self) -> Bytes {
        self.private_dirty + self.shared_dirty
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Counters) {
        self.rss += other.rss;
        self.pss += other.pss;
        self.private_clean += other.private_clean;
        self.private_dirty += other.private_dirty;
        self.shared_clean += other.shared_clean;
        self.shared_dirty += other.shared_dirty;
        self.anonymous += other.anonymous;
        self.lazy_free += other.lazy_free;
        self.anon_huge += other.anon_huge;
        self.hugetlb += other.hugetlb;
        self.swap += other.swap;
        self.swap_pss += other.swap_pss;
        self.locked += other.locked;
        self.referenced += other.referenced;
    }
}

/// Where a snapshot's counters come from, and so what they can be trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountersSource {
    /// /proc/PID/smaps: the kernel's own figures. PSS and dirty are exact.
    Smaps,
    /// A walk of page flags in small steps. RSS, swap, anonymous and private are exact; `pss` is
    /// as stated (exact with page counts, else an upper bound: a page that others map too is
    /// counted at one half); every anonymous page counts as dirty, and of file pages none does.
    Walk { pss: Exactness },
}
