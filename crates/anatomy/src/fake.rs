//! A process made of bytes, for tests: what is put in is resident, everything else is not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_model::{
    AddressRange, Backing, Bytes, Counters, CountersSource, FileId, Gap, Mapping, Method, Page,
    PageRun, PageSize, Permissions, ProcessId, ProcessInfo, ProcessState, ReadingCost, Residency,
    Snapshot, StatusFigures, SystemMemory, Target, Thread, VmFlags,
};

pub(crate) const PAGE: u64 = 4096;

/// Memory by page address.
#[derive(Default)]
pub(crate) struct FakeTarget {
    pages: BTreeMap<u64, Vec<u8>>,
    file_pages: bool,
    shared: Vec<Page>,
}

impl FakeTarget {
    /// Makes the pages of `range` resident and zero.
    pub(crate) fn touch(&mut self, range: AddressRange) -> &mut FakeTarget {
        for page in (range.start & !(PAGE - 1)..range.end).step_by(PAGE as usize) {
            self.pages
                .entry(page)
                .or_insert_with(|| vec![0; PAGE as usize]);
        }
        self
    }

    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) -> &mut FakeTarget {
        for (at, byte) in (address..).zip(bytes) {
            self.touch(AddressRange::sized(at, 1));
            let page = self
                .pages
                .get_mut(&(at & !(PAGE - 1)))
                .expect("touched above");
            page[(at % PAGE) as usize] = *byte;
        }
        self
    }

    pub(crate) fn words(&mut self, address: u64, words: &[u64]) -> &mut FakeTarget {
        for (at, word) in (address..).step_by(8).zip(words) {
            self.write(at, &word.to_ne_bytes());
        }
        self
    }

    /// All pages are file pages, and these of them have another sharer.
    pub(crate) fn share(&mut self, pages: Vec<Page>) -> &mut FakeTarget {
        self.file_pages = true;
        self.shared = pages;
        self
    }
}

impl Target for FakeTarget {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let mut at = address;
        let mut left = buffer;
        while !left.is_empty() {
            let Some(page) = self.pages.get(&(at & !(PAGE - 1))) else {
                return false;
            };
            let rest = &page[(at % PAGE) as usize..];
            let (piece, behind) = left.split_at_mut(rest.len().min(left.len()));
            piece.copy_from_slice(&rest[..piece.len()]);
            at += piece.len() as u64;
            left = behind;
        }
        true
    }

    fn read_each(&self, addresses: &[u64], width: usize, out: &mut Vec<u8>) -> Vec<bool> {
        out.clear();
        out.resize(addresses.len() * width, 0);
        let parts = out.chunks_mut(width.max(1));
        addresses
            .iter()
            .zip(parts)
            .map(|(address, part)| self.read(*address, part))
            .collect()
    }

    fn residency(&self, range: AddressRange) -> Result<Residency, Gap> {
        let mut runs: Vec<PageRun> = Vec::new();
        for page in self
            .pages
            .range(range.start..range.end)
            .map(|(page, _)| *page)
        {
            match runs.last_mut() {
                Some(run) if run.range.end == page => run.range.end += PAGE,
                _ => runs.push(PageRun {
                    range: AddressRange::sized(page, PAGE),
                    resident: true,
                    swapped: false,
                    file: self.file_pages,
                }),
            }
        }
        Ok(Residency { runs })
    }

    fn shared_pages(&self, range: AddressRange) -> Result<Vec<Page>, Gap> {
        Ok(self
            .shared
            .iter()
            .copied()
            .filter(|page| range.contains(page.address))
            .collect())
    }
}

/// A private anonymous mapping whose `resident` bytes are all dirty.
pub(crate) fn anonymous(range: AddressRange, resident: Bytes) -> Mapping {
    Mapping {
        range,
        permissions: Permissions {
            read: true,
            write: true,
            execute: false,
            shared: false,
        },
        offset: 0,
        file: None,
        backing: Backing::Anonymous,
        counters: Counters {
            rss: resident,
            pss: resident,
            private_dirty: resident,
            anonymous: resident,
            ..Counters::default()
        },
        flags: VmFlags::default(),
    }
}

/// A guard: reserved, not accessible.
pub(crate) fn guard(range: AddressRange) -> Mapping {
    Mapping {
        permissions: Permissions::default(),
        ..anonymous(range, Bytes::ZERO)
    }
}

/// A shared, read-only mapping of a clean file.
pub(crate) fn file(range: AddressRange, offset: u64, inode: u64, resident: Bytes) -> Mapping {
    Mapping {
        range,
        permissions: Permissions {
            read: true,
            write: false,
            execute: false,
            shared: true,
        },
        offset,
        file: Some(FileId {
            device_major: 8,
            device_minor: 1,
            inode,
        }),
        backing: Backing::File {
            path: PathBuf::from(format!("/data/{inode}.db")),
            deleted: false,
        },
        counters: Counters {
            rss: resident,
            pss: resident,
            private_clean: resident,
            ..Counters::default()
        },
        flags: VmFlags::default(),
    }
}

pub(crate) fn snapshot(mappings: Vec<Mapping>) -> Snapshot {
    let id = ProcessId {
        pid: 1000,
        start_time: 1,
    };
    let rss = mappings.iter().map(|mapping| mapping.counters.rss).sum();
    Snapshot {
        taken_at: Duration::from_secs(1_700_000_000),
        process: ProcessInfo {
            id,
            parent: 1,
            name: "subject".to_owned(),
            command: vec!["subject".to_owned()],
            executable: Some(PathBuf::from("/usr/bin/subject")),
            uid: 0,
            state: ProcessState::Sleeping,
            cgroup: None,
        },
        page_size: PageSize(PAGE),
        status: StatusFigures {
            rss,
            threads: 1,
            ..StatusFigures::default()
        },
        mappings,
        counters_source: CountersSource::Smaps,
        threads: vec![Thread {
            tid: 1000,
            name: "subject".to_owned(),
            stack_pointer: None,
        }],
        files: BTreeMap::new(),
        images: BTreeMap::new(),
        cgroup: None,
        system: SystemMemory::default(),
        gaps: Vec::new(),
        cost: ReadingCost {
            method: Method::Smaps,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            longest_hold: Duration::ZERO,
            total_hold: Duration::ZERO,
            holds: 0,
            bytes_read: 0,
            target_bytes_read: 0,
        },
    }
}
