//! Bytes of another process, from /proc/PID/mem; and the size of a page.
//!
//! process_vm_readv(2) is faster but does harm: it pins the pages it copies, and since Linux 5.19
//! pinning an anonymous page that is shared after fork first gives the target a copy of its own
//! (mm/gup.c, `gup_must_unshare`). Measured on 6.18: reading the shared 24 MiB of four processes
//! once left them with 72 MiB more. /proc/PID/mem pins nothing (mm/memory.c,
//! `access_remote_vm`). The call is kept for the trial that says whether it works.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use plimsoll_model::PageSize;

/// The system's page size.
pub(crate) fn page_size() -> PageSize {
    // SAFETY: sysconf takes a number and returns one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PageSize(u64::try_from(size).unwrap_or(4096))
}

/// Copies `buffer.len() / addresses.len()` bytes from each address in one call, and tells how
/// many bytes came: the kernel stops at the first piece that it can't read.
pub(crate) fn read_by_readv(pid: u32, addresses: &[u64], buffer: &mut [u8]) -> io::Result<usize> {
    let Some(width) = buffer.len().checked_div(addresses.len()) else {
        return Ok(0);
    };
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: width * addresses.len(),
    };
    let remote: Vec<libc::iovec> = addresses
        .iter()
        .map(|address| libc::iovec {
            iov_base: *address as *mut libc::c_void,
            iov_len: width,
        })
        .collect();
    let pid = i32::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: `local` is a live buffer of that length; `remote` holds addresses of the other
    // process, which the kernel checks.
    let length = unsafe {
        libc::process_vm_readv(
            pid,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// Reads from one process.
#[derive(Debug)]
pub(crate) struct Memory {
    pid: u32,
    /// Opened by the first reading; `None` again when that is refused.
    file: Option<File>,
}

impl Memory {
    pub(crate) fn new(pid: u32) -> Memory {
        Memory { pid, file: None }
    }

    /// Fills `buffer` from `address`; whether all of it came.
    pub(crate) fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        if self.file.is_none() {
            self.file = File::open(format!("/proc/{}/mem", self.pid)).ok();
        }
        self.file
            .as_ref()
            .is_some_and(|file| file.read_exact_at(buffer, address).is_ok())
    }
}
