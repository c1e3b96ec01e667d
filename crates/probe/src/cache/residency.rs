//! How much of a file is in the page cache: cachestat(2), else mincore(2).
//!
//! Neither is trusted on its return code alone. cachestat is tried once on a file of known state.
//! mincore says "all resident" to those who may not write the file (since Linux 5.2), so it is
//! asked only where that rule does not bite. On overlayfs the pages belong to the file below, so
//! cachestat would truthfully report an empty cache of the wrong inode: mincore follows the
//! mapping to the right one.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use plimsoll_model::{Bytes, CacheState, GapReason, PageSize};

/// What kind of file system a file is on; from statfs(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// tmpfs or ramfs: pages are memory.
    Memory,
    Overlay,
    Btrfs,
    Other,
}

impl FileSystem {
    /// Whether stat(2) gives another device than maps prints: btrfs has one for each subvolume,
    /// overlayfs its own or one for each layer.
    pub(crate) fn renumbers_devices(&self) -> bool {
        matches!(self, FileSystem::Btrfs | FileSystem::Overlay)
    }

    pub(crate) fn in_memory(&self) -> bool {
        *self == FileSystem::Memory
    }
}

/// Why the state of an open file is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotTold {
    Denied,
    /// cachestat is missing and mincore does not tell strangers.
    Stranger,
    TooLarge,
    Failed,
}

impl NotTold {
    pub(crate) fn words(self) -> (GapReason, &'static str) {
        match self {
            NotTold::Denied => (
                GapReason::Denied,
                "the kernel tells its cache state to those who may write it only; run as root",
            ),
            NotTold::Stranger => (
                GapReason::Unsupported,
                "without cachestat (Linux 6.5) only its owner can tell; run as root",
            ),
            NotTold::TooLarge => (
                GapReason::Bounded,
                "without cachestat (Linux 6.5) only files up to 64 GiB are looked at",
            ),
            NotTold::Failed => (
                GapReason::Unsupported,
                "the kernel does not tell its cache state",
            ),
        }
    }
}

/// The kernel's magic numbers from include/uapi/linux/magic.h.
const TMPFS_MAGIC: i128 = 0x0102_1994;
const RAMFS_MAGIC: i128 = 0x8584_58f6;
const OVERLAYFS_MAGIC: i128 = 0x794c_7630;
const BTRFS_MAGIC: i128 = 0x9123_683e;

pub(crate) fn file_system(file: &File) -> FileSystem {
    // SAFETY: fstatfs(2) fills the struct it is given; all-zero is a valid value of it.
    let (status, rc) = unsafe {
        let mut status: libc::statfs = std::mem::zeroed();
        let rc = libc::fstatfs(file.as_raw_fd(), &raw mut status);
        (status, rc)
    };
    // The field's type differs between architectures and C libraries; i128 holds them all.
    match i128::from(status.f_type) {
        _ if rc != 0 => FileSystem::Other,
        TMPFS_MAGIC | RAMFS_MAGIC => FileSystem::Memory,
        OVERLAYFS_MAGIC => FileSystem::Overlay,
        BTRFS_MAGIC => FileSystem::Btrfs,
        _ => FileSystem::Other,
    }
}

/// The state of the whole file in the page cache.
pub(crate) fn cache_state(file: &File, system: &FileSystem) -> Result<CacheState, NotTold> {
    if *system != FileSystem::Overlay && cachestat_is_truthful() {
        match cachestat(file.as_raw_fd(), 0) {
            Ok(pages) => return Ok(pages.state(page_size())),
            // Since Linux 6.15 it needs what mincore needs.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(NotTold::Denied);
            }
            Err(_) => {}
        }
    }
    if !mincore_tells(file) {
        return Err(NotTold::Stranger);
    }
    let size = file.metadata().map_err(|_| NotTold::Failed)?.len();
    if size > MINCORE_BYTES_MAX {
        return Err(NotTold::TooLarge);
    }
    let cached = mincore(file, size).ok_or(NotTold::Failed)?;
    Ok(CacheState {
        cached,
        dirty: None,
        writeback: None,
        evicted: None,
        recently_evicted: None,
    })
}

/// struct cachestat in include/uapi/linux/mman.h: numbers of pages.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct CachePages {
    cache: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

impl CachePages {
    fn state(self, page: PageSize) -> CacheState {
        CacheState {
            cached: page.pages(self.cache),
            dirty: Some(page.pages(self.dirty)),
            writeback: Some(page.pages(self.writeback)),
            evicted: Some(page.pages(self.evicted)),
            recently_evicted: Some(page.pages(self.recently_evicted)),
        }
    }
}

/// struct cachestat_range; a length of 0 means up to the end of the file.
#[repr(C)]
struct CacheRange {
    offset: u64,
    length: u64,
}

/// The same number on all architectures (Linux 6.5).
const SYS_CACHESTAT: libc::c_long = 451;

fn cachestat(descriptor: RawFd, length: u64) -> io::Result<CachePages> {
    let range = CacheRange { offset: 0, length };
    let mut pages = CachePages::default();
    // SAFETY: both pointers are to live structs laid out as the kernel's; it writes `pages` only.
    let rc = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            descriptor,
            &raw const range,
            &raw mut pages,
            0,
        )
    };
    if rc == 0 {
        Ok(pages)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks once for a memfd of four pages of which two were written.
fn cachestat_is_truthful() -> bool {
    static TRUTHFUL: OnceLock<bool> = OnceLock::new();
    *TRUTHFUL.get_or_init(|| {
        let page = page_size().0;
        let probe = || -> io::Result<CachePages> {
            let memory = memory_file()?;
            memory.set_len(4 * page)?;
            let written = vec![1; usize::try_from(2 * page).unwrap_or(0)];
            std::os::unix::fs::FileExt::write_all_at(&memory, &written, 0)?;
            cachestat(memory.as_raw_fd(), 4 * page)
        };
        // Four where shared memory is made of huge pages.
        probe().is_ok_and(|pages| (2..=4).contains(&pages.cache))
    })
}

fn memory_file() -> io::Result<File> {
    // SAFETY: the name is NUL-terminated.
    let descriptor = unsafe { libc::memfd_create(c"cachestat probe".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
}

/// Whether mincore answers us truthfully for this file: `can_do_mincore` in mm/mincore.c wants
/// its owner, or one who may write it, or CAP_FOWNER.
fn mincore_tells(file: &File) -> bool {
    let Ok(metadata) = file.metadata() else {
        return false;
    };
    // SAFETY: geteuid(2) can't fail and touches no memory.
    let user = unsafe { libc::geteuid() };
    // The user that a user namespace shows for those it does not know (kernel.overflowuid).
    const UNKNOWN_USER: u32 = 65534;
    metadata.uid() == user
        || may_write(file)
        || (metadata.uid() != UNKNOWN_USER && has_capability(CAP_FOWNER))
}

const CAP_FOWNER: u32 = 3;

fn has_capability(number: u32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .is_some_and(|mask| mask >> number & 1 == 1)
}

fn may_write(file: &File) -> bool {
    // SAFETY: the name is an empty NUL-terminated string, which AT_EMPTY_PATH allows.
    let rc = unsafe {
        libc::faccessat(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::W_OK,
            libc::AT_EACCESS | libc::AT_EMPTY_PATH,
        )
    };
    rc == 0
}

/// Mapped at once for mincore: bounds our address space and the vector of one byte a page.
const MINCORE_CHUNK_BYTES: u64 = 256 << 20;
/// mincore takes about 10 ms a GiB; cachestat, which has no such cost, is there since 2023.
const MINCORE_BYTES_MAX: u64 = 64 << 30;

fn mincore(file: &File, size: u64) -> Option<Bytes> {
    let page = page_size().0;
    let mut resident_pages = 0_u64;
    let mut vector =
        vec![0_u8; usize::try_from(MINCORE_CHUNK_BYTES.min(size).div_ceil(page)).ok()?];
    let mut offset = 0;
    while offset < size {
        let length = usize::try_from((size - offset).min(MINCORE_CHUNK_BYTES)).ok()?;
        // SAFETY: a new mapping at an address of the kernel's choice; it is never read from or
        // written to, and it is unmapped below.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                i64::try_from(offset).ok()?,
            )
        };
        if address == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the vector has a byte for every page of the mapping, which is ours until the
        // munmap that follows.
        let rc = unsafe {
            let rc = libc::mincore(address, length, vector.as_mut_ptr());
            libc::munmap(address, length);
            rc
        };
        if rc != 0 {
            return None;
        }
        let pages = (length as u64).div_ceil(page);
        let answers = vector.get(..usize::try_from(pages).ok()?)?;
        // Only the lowest bit has a meaning (mincore(2)).
        resident_pages += answers.iter().filter(|answer| **answer & 1 == 1).count() as u64;
        offset += length as u64;
    }
    Some(Bytes(resident_pages * page))
}

fn page_size() -> PageSize {
    // SAFETY: sysconf(3) touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PageSize(u64::try_from(size).expect("sysconf knows the page size on Linux"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file on disk with `pages` pages written, unlinked at once.
    fn temporary(pages: u64) -> File {
        let path = std::env::temp_dir().join(format!(
            "plimsoll-cache-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(pages * page_size().0).unwrap()])
            .unwrap();
        file
    }

    #[test]
    fn both_ways_see_a_file_that_was_just_written() {
        let file = temporary(300);
        let all = page_size().pages(300);
        assert_eq!(mincore(&file, all.0), Some(all));
        if !cachestat_is_truthful() {
            eprintln!("skipped: this kernel has no truthful cachestat");
            return;
        }
        let state = cache_state(&file, &file_system(&file)).unwrap();
        assert_eq!(state.cached, all);
        assert!(state.dirty.unwrap() <= all);
    }

    #[test]
    fn dropped_pages_are_not_cached() {
        let file = temporary(300);
        if file_system(&file).in_memory() {
            eprintln!("skipped: the folder for temporary files is memory, nothing drops its pages");
            return;
        }
        file.sync_all().unwrap();
        // SAFETY: posix_fadvise(2) touches no memory of ours.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let state = cache_state(&file, &file_system(&file)).unwrap();
        let size = page_size().pages(300).0;
        assert!(state.cached.0 < size / 10, "{state:?}");
        assert_eq!(mincore(&file, size), Some(state.cached));
    }

    #[test]
    fn an_empty_file_has_nothing_cached() {
        let file = temporary(0);
        assert_eq!(mincore(&file, 0), Some(Bytes::ZERO));
        let state = cache_state(&file, &FileSystem::Overlay).unwrap();
        assert_eq!((state.cached, state.dirty), (Bytes::ZERO, None));
    }

    #[test]
    fn memory_files_are_told_apart() {
        assert_eq!(file_system(&memory_file().unwrap()), FileSystem::Memory);
        assert_eq!(
            file_system(&File::open("/proc/self/stat").unwrap()),
            FileSystem::Other
        );
    }
}
