//! The mapped memfd: two slots that are written in turn, so that one of them is whole whenever the
//! writer is interrupted, stopped or killed.
//!
//! Layout and meaning of every field: `docs/reference/beacon.md`.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use crate::error::{Error, ErrorKind};
use crc32fast::Hasher;

const MAGIC: &[u8; 8] = b"plimsoll";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 48;
/// Where the checksum is; it covers what is before it, and the text.
const CHECKSUM_AT: usize = 40;
const SLOT_BYTES: usize = 16 << 10;
/// Address space of a beacon; resident is what was written of it.
pub const PAGE_BYTES: usize = 2 * SLOT_BYTES;
/// The longest text of a slot.
pub(super) const TEXT_MAX: usize = SLOT_BYTES - HEADER_BYTES;

#[derive(Debug)]
pub(super) struct Page {
    start: NonNull<u8>,
    sequence: u64,
    /// Field 22 of /proc/PID/stat: tells this process from one that got a copy of the mapping.
    start_time: u64,
}

// SAFETY: the mapping belongs to this value alone and is as good in any thread.
unsafe impl Send for Page {}

impl Page {
    pub(super) fn create() -> Result<Page, Error> {
        let failed = |step: &str, error: std::io::Error| {
            let text = format!("publish a beacon: {step}");
            Error::with_source(ErrorKind::Io, text, error)
        };
        let start_time = start_time().map_err(|error| failed("read /proc/self/stat", error))?;
        let start = map().map_err(|error| failed("make its memfd of 32 KiB", error))?;
        Ok(Page {
            start,
            sequence: 0,
            start_time,
        })
    }

    /// Writes `text` as the newest: into the slot that has the older one.
    pub(super) fn write(&mut self, text: &[u8], written_at: u64) {
        debug_assert!(text.len() <= TEXT_MAX);
        self.sequence += 1;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..10].copy_from_slice(&VERSION.to_le_bytes());
        header[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        header[12..16].copy_from_slice(&(text.len() as u32).to_le_bytes());
        header[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        header[24..32].copy_from_slice(&self.start_time.to_le_bytes());
        header[32..40].copy_from_slice(&written_at.to_le_bytes());
        let mut checksum = Hasher::new();
        checksum.update(&header[..CHECKSUM_AT]);
        checksum.update(text);
        header[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.finalize().to_le_bytes());
        let slot = (self.sequence % 2) as usize * SLOT_BYTES;
        // SAFETY: slot and text lie in the mapping, which is this value's own and writable; other
        // processes may read it meanwhile, and find by the checksum that it is not whole. Nobody can
        // cut the file: it is sealed.
        unsafe {
            let slot = self.start.add(slot).as_ptr();
            slot.copy_from_nonoverlapping(header.as_ptr(), HEADER_BYTES);
            slot.add(HEADER_BYTES)
                .copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
    }
}

impl Page {
    /// The last call, and only in the process that made it: in a child of fork the mapping is not
    /// there, and something else may be.
    pub(super) fn unmap(&mut self) {
        // SAFETY: mapped in `map`, this long, and by the caller not used after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), PAGE_BYTES) };
    }
}

fn map() -> std::io::Result<NonNull<u8>> {
    let failed = std::io::Error::last_os_error;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string; the descriptor is new and ours.
    let memfd = unsafe {
        let descriptor = libc::memfd_create(c"plimsoll-beacon".as_ptr(), flags);
        if descriptor < 0 {
            return Err(failed());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    let memfd = File::from(memfd);
    memfd.set_len(PAGE_BYTES as u64)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: a change of an open descriptor that takes a number.
    if unsafe { libc::fcntl(memfd.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(failed());
    }
    // SAFETY: a fresh mapping at an address that the kernel chooses.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            memfd.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(failed());
    }
    // SAFETY: advice on the mapping just made. Where the kernel refuses it, a child has the mapping
    // and writes nothing to it, and readers find that its start time is another's.
    unsafe { libc::madvise(start, PAGE_BYTES, libc::MADV_DONTFORK) };
    NonNull::new(start.cast()).ok_or_else(|| std::io::ErrorKind::Other.into())
}

/// Clock ticks after boot at which this process began, as proc_pid_stat(5) has it.
fn start_time() -> std::io::Result<u64> {
    let mut stat = Vec::new();
    File::open("/proc/self/stat")?.read_to_end(&mut stat)?;
    let malformed = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    // The name, in parentheses, may hold anything; field 3 is what follows the last of them.
    let name_end = stat
        .iter()
        .rposition(|&byte| byte == b')')
        .ok_or_else(malformed)?;
    let rest = str::from_utf8(&stat[name_end + 1..]).map_err(|_| malformed())?;
    let field = rest
        .split_ascii_whitespace()
        .nth(22 - 3)
        .ok_or_else(malformed)?;
    field.parse().map_err(|_| malformed())
}
