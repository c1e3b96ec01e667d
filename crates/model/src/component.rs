//! A component: a named owner of resident bytes.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::{Bytes, CacheState, Package, ProcessCount};

/// One owner. Its parts, when there are any, sum to its usage exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    pub name: String,
    pub kind: Kind,
    pub usage: Usage,
    pub reclaim: Reclaim,
    pub sharing: Sharing,
    /// How `usage.proportional` was obtained.
    pub proportional_exactness: Exactness,
    /// What proves the label, in a few words: "smaps name", "malloc chunk headers", "pthread
    /// descriptor with this tid".
    pub evidence: String,
    /// One line for the reader: used part of a stack, cached part of a file. May be empty.
    pub detail: String,
    /// What is inside, as far as it can be told (live, free but held).
    pub used: Option<Used>,
    /// For a file: its state in the page cache, and its whole size.
    pub cache: Option<CacheState>,
    pub file_size: Option<Bytes>,
    pub package: Option<Package>,
    pub parts: Vec<Component>,
}

impl Component {
    /// An owner of nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Component {
        Component {
            name: name.into(),
            kind,
            usage: Usage::default(),
            reclaim: Reclaim::default(),
            sharing: Sharing::default(),
            proportional_exactness: Exactness::Exact,
            evidence: String::new(),
            detail: String::new(),
            used: None,
            cache: None,
            file_size: None,
            package: None,
            parts: Vec::new(),
        }
    }
}

/// What sort of owner a component is. The name in JSON is snake_case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Memory that an allocator manages: glibc, musl, jemalloc, mimalloc, tcmalloc.
    Heap,
    /// Memory that a language runtime manages: CPython, Go, JVM, V8.
    Runtime,
    /// Thread stacks with their thread-local storage.
    Stack,
    /// Code and data of programs and libraries, with their writable data and zeroed tails.
    Code,
    /// Code made at run time.
    Jit,
    /// Mapped files that are not programs: databases, weights, fonts.
    File,
    /// Shared memory, memfd, System V, tmpfs files, shared anonymous.
    Shared,
    /// hugetlb pages, which RSS does not count.
    Hugetlb,
    /// Device mappings.
    Device,
    /// vdso and other pages the kernel maps in.
    Kernel,
    /// Anonymous memory with a name the program gave it (prctl).
    Named,
    /// No rule owns it.
    Unattributed,
}

impl Kind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Heap => "heap",
            Kind::Runtime => "runtime",
            Kind::Stack => "stack",
            Kind::Code => "code",
            Kind::Jit => "jit",
            Kind::File => "file",
            Kind::Shared => "shared",
            Kind::Hugetlb => "hugetlb",
            Kind::Device => "device",
            Kind::Kernel => "kernel",
            Kind::Named => "named",
            Kind::Unattributed => "unattributed",
        }
    }
}

/// Bytes of a component, all of them resident figures but `swap` and `hugetlb`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Counted in RSS: a page mapped twice counts twice.
    pub resident: Bytes,
    /// Distinct pages: equals `resident` unless the same file page is mapped several times.
    pub distinct: Bytes,
    /// PSS.
    pub proportional: Bytes,
    /// USS.
    pub private: Bytes,
    pub dirty: Bytes,
    pub swap: Bytes,
    /// hugetlb pages, beside RSS.
    pub hugetlb: Bytes,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.resident += other.resident;
        self.distinct += other.distinct;
        self.proportional += other.proportional;
        self.private += other.private;
        self.dirty += other.dirty;
        self.swap += other.swap;
        self.hugetlb += other.hugetlb;
    }
}

/// Whether the kernel can take resident bytes back, and how. The classes sum to
/// [`Usage::resident`] (in a [`crate::ProcessRow`]: to PSS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaim {
    /// Anonymous with no swap to go to, or locked.
    pub must_stay: Bytes,
    /// Anonymous or tmpfs: only by writing it to swap.
    pub swap_only: Bytes,
    /// Clean file pages and lazily freed ones: at any time, at no cost but a later read.
    pub droppable: Bytes,
    /// Dirty file pages: after they are written back.
    pub after_writeback: Bytes,
}

impl Reclaim {
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.must_stay + self.swap_only + self.droppable + self.after_writeback
    }

    /// The class that holds most; ties go to the one that is harder to reclaim.
    #[must_use]
    pub fn class(&self) -> ReclaimClass {
        let classes = [
            (self.must_stay, ReclaimClass::MustStay),
            (self.swap_only, ReclaimClass::SwapOnly),
            (self.after_writeback, ReclaimClass::AfterWriteback),
            (self.droppable, ReclaimClass::Droppable),
        ];
        let most = classes
            .iter()
            .map(|(bytes, _)| *bytes)
            .max()
            .unwrap_or_default();
        classes
            .iter()
            .find(|(bytes, _)| *bytes == most)
            .map_or(ReclaimClass::MustStay, |(_, class)| *class)
    }
}

impl AddAssign for Reclaim {
    fn add_assign(&mut self, other: Reclaim) {
        self.must_stay += other.must_stay;
        self.swap_only += other.swap_only;
        self.droppable += other.droppable;
        self.after_writeback += other.after_writeback;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReclaimClass {
    MustStay,
    SwapOnly,
    AfterWriteback,
    Droppable,
}

impl ReclaimClass {
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            ReclaimClass::MustStay => "must stay",
            ReclaimClass::SwapOnly => "swap only",
            ReclaimClass::AfterWriteback => "after write-back",
            ReclaimClass::Droppable => "droppable now",
        }
    }
}

/// With whom a component's pages are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Mappings of this process (or tree) that belong to it.
    pub mappings: u32,
    /// Processes that map the same file, this one included; `None` when not applicable or not
    /// counted.
    pub processes: Option<ProcessCount>,
    /// Resident bytes that at least one other mapping shares.
    pub shared: Bytes,
}

/// How good a figure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exactness {
    #[default]
    Exact,
    /// Split in proportion to resident pages inside one mapping.
    Estimated,
    /// The true figure is this or less.
    AtMost,
}

/// Occupancy inside a component, read from the owner's own structures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// In use by the program.
    pub live: Bytes,
    /// Freed by the program, held for reuse.
    pub held_free: Bytes,
    /// How it was told: "chunk walk", "pool headers".
    pub method: String,
}
