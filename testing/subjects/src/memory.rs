//! Mappings that a subject makes and touches, page by page, so that it knows what is resident.
//!
//! The main type is [`Region`]: one `mmap`, unmapped when dropped. Every page that a method says it
//! touches really is touched; nothing else is. Not an allocator and not fit for production: it is
//! for making states of the kernel that tests can look at.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// Whether writes reach the file and other processes (`MAP_SHARED`) or not (`MAP_PRIVATE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    Private,
    Shared,
}

/// One mapping of this process.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a region is plain memory at a fixed address; all accesses go through volatile reads and
// writes of single bytes, whose values nothing depends on.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// Bytes in a page of this system.
#[must_use]
pub fn page_bytes() -> usize {
    // SAFETY: sysconf has no preconditions.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("the page size is positive on every Linux")
}

impl Region {
    /// Private anonymous memory, readable and writable, nothing touched yet.
    pub fn anonymous(length: usize) -> io::Result<Region> {
        Region::map(
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            ANONYMOUS | libc::MAP_PRIVATE,
            None,
        )
    }

    /// Private anonymous memory that never gets huge pages, so that touching a part of it makes
    /// just that part resident.
    ///
    /// A page without access on either side, never unmapped, keeps it a mapping of its own: Linux
    /// gives thread stacks the same flags since 6.7 (MAP_STACK implies VM_NOHUGEPAGE), and would
    /// merge the two.
    pub fn anonymous_in_small_pages(length: usize) -> io::Result<Region> {
        let page = page_bytes();
        let length = length.next_multiple_of(page);
        let flags = ANONYMOUS | libc::MAP_PRIVATE;
        let guarded = Region::map(length + 2 * page, libc::PROT_NONE, flags, None)?;
        guarded.protect(page..page + length, libc::PROT_READ | libc::PROT_WRITE)?;
        match guarded.advise(page..page + length, libc::MADV_NOHUGEPAGE) {
            // A kernel without transparent huge pages does not know the advice and needs none.
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
            _ => {}
        }
        // SAFETY: the offset is inside the mapping.
        let start = unsafe { guarded.start.add(page) };
        std::mem::forget(guarded);
        Ok(Region { start, length })
    }

    /// Anonymous memory shared with children, which the kernel keeps in its internal tmpfs.
    pub fn shared_anonymous(length: usize) -> io::Result<Region> {
        Region::map(
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            ANONYMOUS | libc::MAP_SHARED,
            None,
        )
    }

    /// The first `length` bytes of `file`, readable; shared mappings are writable as well.
    ///
    /// The address is a multiple of 64 KiB but not of 2 MiB. A read fault
    /// also maps what is cached around it, in windows of 64 KiB aligned by address
    /// (`fault_around_bytes`, mm/memory.c), so touching whole aligned windows touches just those;
    /// and no 2 MiB folio can be mapped at once, which would make more resident than was touched.
    pub fn of_file(file: &File, length: usize, sharing: Sharing) -> io::Result<Region> {
        let (protection, flags) = match sharing {
            Sharing::Private => (libc::PROT_READ, libc::MAP_PRIVATE),
            Sharing::Shared => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
        };
        let slack = HUGE_PAGE_BYTES + FAULT_AROUND_BYTES;
        let reserve = Region::map(
            length + slack,
            libc::PROT_NONE,
            ANONYMOUS | libc::MAP_PRIVATE,
            None,
        )?;
        let start = reserve.address().next_multiple_of(HUGE_PAGE_BYTES) + FAULT_AROUND_BYTES;
        // SAFETY: the range lies in `reserve`, which is ours and in which nothing lives.
        let address = unsafe {
            libc::mmap(
                start as *mut libc::c_void,
                length,
                protection,
                flags | libc::MAP_FIXED,
                file.as_raw_fd(),
                0,
            )
        };
        let region = Region::from_mmap(address, length)?;
        reserve.unmap_around(&region)?;
        Ok(region)
    }

    /// Any `mmap` at an address the kernel picks.
    pub fn map(
        length: usize,
        protection: libc::c_int,
        flags: libc::c_int,
        file: Option<BorrowedFd<'_>>,
    ) -> io::Result<Region> {
        let descriptor = file.map_or(-1, |file| file.as_raw_fd());
        // SAFETY: without MAP_FIXED the kernel picks a free range, so nothing of ours is replaced.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                flags,
                descriptor,
                0,
            )
        };
        Region::from_mmap(address, length)
    }

    fn from_mmap(address: *mut libc::c_void, length: usize) -> io::Result<Region> {
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(address.cast()).expect("mmap does not return the null page");
        Ok(Region { start, length })
    }

    /// Unmaps what lies before and after `inner`, and forgets this region.
    fn unmap_around(self, inner: &Region) -> io::Result<()> {
        let before = inner.address() - self.address();
        let after = self.length - before - inner.length.next_multiple_of(page_bytes());
        let end = inner.address() + inner.length.next_multiple_of(page_bytes());
        let start = self.address();
        std::mem::forget(self);
        for (address, length) in [(start, before), (end, after)] {
            // SAFETY: both parts belong to the reserved range, in which nothing lives.
            if length > 0 && unsafe { libc::munmap(address as *mut libc::c_void, length) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// The length asked for, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Writes one byte to each page of `range`: each becomes resident, private copy or dirty.
    pub fn write_pages(&self, range: Range<usize>, value: u8) {
        for offset in range.clone().step_by(page_bytes()) {
            assert!(
                offset < self.length,
                "page at {offset} is outside {} bytes",
                self.length
            );
            // SAFETY: the offset is inside the mapping, which lives as long as `self`.
            unsafe { self.start.as_ptr().add(offset).write_volatile(value) };
        }
    }

    /// Reads one byte of each page of `range` and returns their sum.
    #[must_use]
    pub fn read_pages(&self, range: Range<usize>) -> u64 {
        let mut sum = 0;
        for offset in range.clone().step_by(page_bytes()) {
            assert!(
                offset < self.length,
                "page at {offset} is outside {} bytes",
                self.length
            );
            // SAFETY: the offset is inside the mapping, which lives as long as `self`.
            sum += u64::from(unsafe { self.start.as_ptr().add(offset).read_volatile() });
        }
        sum
    }

    /// Writes `bytes` at `offset`.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(
            offset + bytes.len() <= self.length,
            "write outside the mapping"
        );
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: checked above; the mapping lives as long as `self`.
            unsafe {
                self.start
                    .as_ptr()
                    .add(offset + index)
                    .write_volatile(*byte)
            };
        }
    }

    /// `madvise` on `range`.
    pub fn advise(&self, range: Range<usize>, advice: libc::c_int) -> io::Result<()> {
        let (address, length) = self.part(range);
        // SAFETY: the range is ours, and its contents may become zeros: nothing depends on them.
        check(unsafe { libc::madvise(address, length, advice) })
    }

    /// `mprotect` on `range`.
    pub fn protect(&self, range: Range<usize>, protection: libc::c_int) -> io::Result<()> {
        let (address, length) = self.part(range);
        // SAFETY: the range is ours; the caller touches it no more than it then allows.
        check(unsafe { libc::mprotect(address, length, protection) })
    }

    /// `mlock` on `range`.
    pub fn lock(&self, range: Range<usize>) -> io::Result<()> {
        let (address, length) = self.part(range);
        // SAFETY: the range is ours; locking changes no content.
        check(unsafe { libc::mlock(address, length) })
    }

    fn part(&self, range: Range<usize>) -> (*mut libc::c_void, usize) {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "part outside the mapping"
        );
        // SAFETY: the offset is inside the mapping, as just checked.
        let address = unsafe { self.start.as_ptr().add(range.start) };
        (address.cast(), range.len())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody uses it after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

const ANONYMOUS: libc::c_int = libc::MAP_ANONYMOUS;

/// The kernel's default `fault_around_bytes`, also a multiple of every common page size.
pub const FAULT_AROUND_BYTES: usize = 64 << 10;

const HUGE_PAGE_BYTES: usize = 2 << 20;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Creates `length` bytes of real (not sparse) data at `path` and writes them back to the disk, so
/// that its cached pages are clean; returned open for reading and writing.
pub fn create_file(path: &std::path::Path, length: usize) -> io::Result<File> {
    use std::io::Write;
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let chunk: Vec<u8> = (0..64_usize << 10)
        .map(|index| (index % 251) as u8)
        .collect();
    let mut left = length;
    while left > 0 {
        let part = left.min(chunk.len());
        file.write_all(&chunk[..part])?;
        left -= part;
    }
    file.sync_all()?;
    Ok(file)
}
