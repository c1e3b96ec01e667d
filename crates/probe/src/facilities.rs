//! What this kernel lets us read, found out by a real trial on ourselves.
//!
//! A return code proves nothing: clear_refs accepts "4" on kernels without soft-dirty and does
//! nothing. Each trial prepares a page of known state and checks that the answer is that state.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use plimsoll_model::{AddressRange, Gap, GapReason};

use crate::memory::{self, page_size};
use crate::pagemap::{
    Entry, SCAN_FILE, SCAN_GUARD, SCAN_PRESENT, SCAN_SWAPPED, SCAN_ZERO, ScanMeans, trial_scan,
};

/// `Ok` when the trial gave the right answer, else what is missing and why.
pub type Facility = Result<(), Gap>;

/// All facilities. Those that only some verbs need are tried when this is made, not before.
#[derive(Clone, Debug)]
pub struct Facilities {
    /// Residency in small steps; kernel 6.7.
    pub pagemap_scan: Facility,
    /// Single mappings without text; kernel 6.11.
    pub procmap_query: Facility,
    /// State of a file in the page cache; kernel 6.5.
    pub cachestat: Facility,
    /// Sums over a process; kernel 4.14.
    pub smaps_rollup: Facility,
    /// Reading another process's memory; CONFIG_CROSS_MEMORY_ATTACH.
    pub process_vm_readv: Facility,
    /// Clearing referenced bits, for the working set; CONFIG_PROC_PAGE_MONITOR.
    pub clear_refs: Facility,
    /// Telling pages written since a moment; CONFIG_MEM_SOFT_DIRTY.
    pub soft_dirty: Facility,
    /// Physical frames in pagemap; CAP_SYS_ADMIN.
    pub frames: Facility,
    /// Map counts of frames, for PSS without smaps; root.
    pub page_counts: Facility,
    /// Pressure stall information; CONFIG_PSI, psi=1.
    pub pressure: Facility,
}

impl Facilities {
    /// Tries all. Costs under a millisecond, and marks our own pages unreferenced.
    #[must_use]
    pub fn try_all() -> Facilities {
        let walk = WalkFacilities::get();
        Facilities {
            pagemap_scan: walk.pagemap_scan.clone(),
            procmap_query: try_procmap_query(),
            cachestat: try_cachestat(),
            smaps_rollup: try_smaps_rollup(),
            process_vm_readv: try_process_vm_readv(),
            clear_refs: try_clear_refs(),
            soft_dirty: try_soft_dirty(),
            frames: walk.frames.clone(),
            page_counts: walk.page_counts.clone(),
            pressure: try_pressure(),
        }
    }

    /// Each facility by the name that a reader knows it by.
    pub fn list(&self) -> [(&'static str, &Facility); 10] {
        [
            ("PAGEMAP_SCAN", &self.pagemap_scan),
            ("PROCMAP_QUERY", &self.procmap_query),
            ("cachestat", &self.cachestat),
            ("smaps_rollup", &self.smaps_rollup),
            ("process_vm_readv", &self.process_vm_readv),
            ("clear_refs", &self.clear_refs),
            ("soft-dirty", &self.soft_dirty),
            ("page frames", &self.frames),
            ("page counts", &self.page_counts),
            ("pressure stall information", &self.pressure),
        ]
    }
}

/// Those that every reading needs, tried once.
#[derive(Debug)]
pub(crate) struct WalkFacilities {
    pub(crate) pagemap_scan: Facility,
    pub(crate) frames: Facility,
    pub(crate) page_counts: Facility,
    pub(crate) means: ScanMeans,
    /// Frame of the system's zero page, where frames can be seen.
    pub(crate) zero_frame: Option<u64>,
}

impl WalkFacilities {
    pub(crate) fn get() -> &'static WalkFacilities {
        static TRIED: OnceLock<WalkFacilities> = OnceLock::new();
        TRIED.get_or_init(|| {
            let frames = try_frames();
            let scan = try_pagemap_scan();
            let zero_frame = frames.as_ref().ok().map(|frames| frames.zero);
            WalkFacilities {
                means: match &scan {
                    Ok(guard) => ScanMeans::Scan { guard: *guard },
                    Err(_) => ScanMeans::Entries { zero_frame },
                },
                zero_frame,
                page_counts: frames
                    .clone()
                    .and_then(|frames| try_page_counts(frames.own)),
                pagemap_scan: scan.map(|_| ()),
                frames: frames.map(|_| ()),
            }
        })
    }
}

fn gap(what: &str, error: &io::Error) -> Gap {
    let reason = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => GapReason::Denied,
        _ => GapReason::Unsupported,
    };
    Gap::new(what, reason, error.to_string())
}

fn untrue(what: &str, detail: &str) -> Gap {
    Gap::new(what, GapReason::Unsupported, detail)
}

/// Pages of ours in a known state.
struct Pages {
    start: *mut u8,
    count: usize,
}

impl Pages {
    fn private(count: usize) -> io::Result<Pages> {
        Pages::map(count, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    fn map(count: usize, flags: i32, descriptor: i32) -> io::Result<Pages> {
        // SAFETY: a new mapping at an address of the kernel's choice; nothing is replaced.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * page_length(),
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                descriptor,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = start.cast();
        Ok(Pages { start, count })
    }

    fn write(&self, page: usize) {
        assert!(page < self.count, "a page of this mapping");
        // SAFETY: within the mapping, which is writable and ours alone.
        unsafe { self.start.add(page * page_length()).write_volatile(1) };
    }

    fn read(&self, page: usize) -> u8 {
        assert!(page < self.count, "a page of this mapping");
        // SAFETY: within the mapping, which is readable.
        unsafe { self.start.add(page * page_length()).read_volatile() }
    }

    /// Has processors look at the page tables again: withdrawing a right flushes them.
    fn forget_translations(&self) -> io::Result<()> {
        for rights in [libc::PROT_NONE, libc::PROT_READ | libc::PROT_WRITE] {
            // SAFETY: the mapping made in `map`, to which there is no reference.
            let result =
                unsafe { libc::mprotect(self.start.cast(), self.count * page_length(), rights) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    fn address(&self, page: usize) -> u64 {
        (self.start as usize + page * page_length()) as u64
    }

    fn range(&self) -> AddressRange {
        AddressRange::new(self.address(0), self.address(self.count))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, to which no reference is left.
        unsafe { libc::munmap(self.start.cast(), self.count * page_length()) };
    }
}

fn page_length() -> usize {
    usize::try_from(page_size().0).unwrap_or(4096)
}

/// Page 0 written, page 1 a zero page, page 2 untouched: `true` when guard regions are known.
fn try_pagemap_scan() -> Result<bool, Gap> {
    const WHAT: &str = "page residency by PAGEMAP_SCAN";
    let failed = |error: io::Error| gap(WHAT, &error);
    let pages = Pages::private(3).map_err(failed)?;
    pages.write(0);
    pages.read(1);
    let file = File::open("/proc/self/pagemap").map_err(failed)?;
    let wanted = SCAN_PRESENT | SCAN_SWAPPED | SCAN_ZERO | SCAN_FILE;
    let with_guard = trial_scan(&file, pages.range(), wanted | SCAN_GUARD);
    let guard = with_guard.is_ok();
    let regions = with_guard
        .or_else(|_| trial_scan(&file, pages.range(), wanted))
        .map_err(|error| {
            let hint = "needs Linux 6.7; pagemap is read instead";
            Gap::new(WHAT, gap(WHAT, &error).reason, format!("{error}; {hint}"))
        })?;
    let found: Vec<_> = regions.iter().map(|r| (r.start, r.categories)).collect();
    let expected = [
        (pages.address(0), SCAN_PRESENT),
        (pages.address(1), SCAN_PRESENT | SCAN_ZERO),
    ];
    if found == expected {
        Ok(guard)
    } else {
        Err(untrue(
            WHAT,
            "accepted, but its answer about our own pages is wrong",
        ))
    }
}

#[derive(Clone, Debug)]
struct Frames {
    /// Of the system's zero page.
    zero: u64,
    /// Of a page of ours, mapped once.
    own: u64,
}

fn try_frames() -> Result<Frames, Gap> {
    const WHAT: &str = "physical page frames";
    const HINT: &str = "the kernel hides them without CAP_SYS_ADMIN; run as root to see them";
    let failed = |error: io::Error| gap(WHAT, &error);
    let pages = Pages::private(2).map_err(failed)?;
    pages.write(0);
    pages.read(1);
    let file = File::open("/proc/self/pagemap").map_err(failed)?;
    let frame = |page: usize| -> io::Result<Option<u64>> {
        let mut entry = [0; 8];
        file.read_exact_at(&mut entry, pages.address(page) / page_size().0 * 8)?;
        Ok(Entry(u64::from_ne_bytes(entry)).frame())
    };
    match (frame(1).map_err(failed)?, frame(0).map_err(failed)?) {
        (Some(zero), Some(own)) if zero != own => Ok(Frames { zero, own }),
        _ => Err(Gap::new(WHAT, GapReason::Denied, HINT)),
    }
}

fn try_page_counts(own: u64) -> Facility {
    const WHAT: &str = "page map counts";
    let failed = |error: io::Error| gap(WHAT, &error);
    let file = File::open("/proc/kpagecount").map_err(failed)?;
    let mut count = [0; 8];
    // The page whose frame this was is unmapped by now: only that the file answers is checked
    // here; the truth of counts is checked on a page that is still mapped.
    file.read_exact_at(&mut count, own * 8).map_err(failed)?;
    let pages = Pages::private(1).map_err(failed)?;
    pages.write(0);
    let mut entry = [0; 8];
    File::open("/proc/self/pagemap")
        .and_then(|map| map.read_exact_at(&mut entry, pages.address(0) / page_size().0 * 8))
        .map_err(failed)?;
    let frame = Entry(u64::from_ne_bytes(entry)).frame();
    let Some(frame) = frame else {
        return Err(untrue(WHAT, "our own page has no frame"));
    };
    file.read_exact_at(&mut count, frame * 8).map_err(failed)?;
    match u64::from_ne_bytes(count) {
        1 => Ok(()),
        other => Err(untrue(
            WHAT,
            &format!("a page that is mapped once is counted {other} times"),
        )),
    }
}

/// `_IOWR('f', 17, struct procmap_query)`, whose size is 104.
const PROCMAP_QUERY: libc::Ioctl = 0xc068_6611_u32 as libc::Ioctl;

fn try_procmap_query() -> Facility {
    const WHAT: &str = "mappings by PROCMAP_QUERY";
    let failed = |error: io::Error| gap(WHAT, &error);
    let pages = Pages::private(1).map_err(failed)?;
    let file = File::open("/proc/self/maps").map_err(failed)?;
    // size, query_flags, query_addr, vma_start, vma_end, then fields that stay zero.
    let mut query = [0_u64; 13];
    query[0] = size_of_val(&query) as u64;
    query[2] = pages.address(0);
    // SAFETY: as large as struct procmap_query, whose buffers are left out (sizes 0).
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), PROCMAP_QUERY, query.as_mut_ptr()) };
    if answer < 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    match query[3] <= pages.address(0) && query[4] >= pages.address(1) {
        true => Ok(()),
        false => Err(untrue(WHAT, "it names another mapping than our own page's")),
    }
}

fn try_cachestat() -> Facility {
    const WHAT: &str = "file cache state by cachestat";
    // cachestat(2) has number 451 on every architecture.
    const CACHESTAT: libc::c_long = 451;
    let failed = |error: io::Error| gap(WHAT, &error);
    // SAFETY: the name is a C string; the call opens a new descriptor.
    let descriptor = unsafe { libc::memfd_create(c"trial".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    // SAFETY: just opened, owned by nobody else.
    let file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(descriptor) };
    file.write_all_at(&vec![1; 2 * page_length()], 0)
        .map_err(failed)?;
    let range = [0_u64; 2];
    let mut answer = [0_u64; 5];
    // SAFETY: range and answer are as large as struct cachestat_range and struct cachestat.
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            answer.as_mut_ptr(),
            0,
        )
    };
    match (result, answer[0]) {
        (0, 2) => Ok(()),
        (0, other) => Err(untrue(
            WHAT,
            &format!("it finds {other} of 2 pages that were just written"),
        )),
        _ => Err(failed(io::Error::last_os_error())),
    }
}

fn try_smaps_rollup() -> Facility {
    const WHAT: &str = "sums by smaps_rollup";
    let text = std::fs::read("/proc/self/smaps_rollup").map_err(|error| gap(WHAT, &error))?;
    match crate::smaps::parse_rollup(&text) {
        Some(rollup) if !rollup.counters.rss.is_zero() => Ok(()),
        _ => Err(untrue(WHAT, "it says that we have no resident memory")),
    }
}

fn try_process_vm_readv() -> Facility {
    const WHAT: &str = "memory by process_vm_readv";
    let word = std::hint::black_box(0x5047_u64);
    let mut copy = [0; 8];
    let address = (&raw const word).addr() as u64;
    let read = memory::read_by_readv(std::process::id(), &[address], &mut copy);
    match read {
        Ok(8) if u64::from_ne_bytes(copy) == word => Ok(()),
        Ok(_) => Err(untrue(WHAT, "a word of ours came back changed")),
        Err(error) => Err(gap(WHAT, &error)),
    }
}

/// Referenced bytes of a page of ours, from smaps.
fn referenced(pages: &Pages) -> Option<u64> {
    let text = std::fs::read("/proc/self/smaps").ok()?;
    let parsed = crate::smaps::parse_smaps(&text);
    let mut found = parsed.mappings.iter();
    let mapping = found.find(|mapping| mapping.range.contains(pages.address(0)))?;
    Some(mapping.counters.referenced.0)
}

fn try_clear_refs() -> Facility {
    const WHAT: &str = "working set by clear_refs";
    // Reclaim clears referenced bits too, at any moment: one right answer is proof enough.
    for _ in 0..3 {
        if referenced_follows().map_err(|error| gap(WHAT, &error))? {
            return Ok(());
        }
    }
    Err(untrue(WHAT, "accepted, but referenced bytes do not follow"))
}

fn referenced_follows() -> io::Result<bool> {
    // A shared mapping is never joined to a neighbour, so its figure is ours alone.
    let pages = Pages::map(2, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)?;
    pages.write(0);
    pages.write(1);
    let before = referenced(&pages);
    std::fs::write("/proc/self/clear_refs", "1")?;
    let cleared = referenced(&pages);
    // A processor that still has the translation cached sets no bit, and clear_refs does not flush it.
    pages.forget_translations()?;
    pages.write(0);
    let after = referenced(&pages);
    let page = page_size().0;
    Ok((before, cleared, after) == (Some(2 * page), Some(0), Some(page)))
}

fn try_soft_dirty() -> Facility {
    const WHAT: &str = "written pages by soft-dirty";
    let failed = |error: io::Error| gap(WHAT, &error);
    let pages = Pages::private(2).map_err(failed)?;
    pages.write(0);
    pages.write(1);
    std::fs::write("/proc/self/clear_refs", "4").map_err(failed)?;
    pages.write(0);
    let file = File::open("/proc/self/pagemap").map_err(failed)?;
    let dirty = |page: usize| -> io::Result<bool> {
        let mut entry = [0; 8];
        file.read_exact_at(&mut entry, pages.address(page) / page_size().0 * 8)?;
        Ok(u64::from_ne_bytes(entry) & 1 << 55 != 0)
    };
    match (dirty(0).map_err(failed)?, dirty(1).map_err(failed)?) {
        (true, false) => Ok(()),
        _ => Err(untrue(
            WHAT,
            "accepted, but written pages are not told apart: the kernel lacks \
             CONFIG_MEM_SOFT_DIRTY",
        )),
    }
}

fn try_pressure() -> Facility {
    const WHAT: &str = "memory pressure";
    let text =
        std::fs::read_to_string("/proc/pressure/memory").map_err(|error| gap(WHAT, &error))?;
    match text.starts_with("some avg10=") && text.contains("total=") {
        true => Ok(()),
        false => Err(untrue(WHAT, "/proc/pressure/memory is not as documented")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_facility_answers_or_says_why() {
        for (name, facility) in Facilities::try_all().list() {
            match facility {
                Ok(()) => eprintln!("{name}: works"),
                Err(gap) => {
                    eprintln!("{name}: {gap}");
                    assert!(!gap.detail.is_empty(), "{name} has no reason");
                }
            }
        }
    }
}
