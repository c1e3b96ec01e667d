//! Bytes of another process: process_vm_readv(2), else /proc/PID/mem; and the size of a page.

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

/// UIO_MAXIOV: a call takes no more pieces.
pub(crate) const PIECES_MAX: usize = 1024;

/// Copies `buffer.len() / addresses.len()` bytes from each address in one call, and tells how
/// many bytes came: the kernel stops at the first piece that it can't read.
pub(crate) fn read_by_readv(pid: u32, addresses: &[u64], buffer: &mut [u8]) -> io::Result<usize> {
    debug_assert!(addresses.len() <= PIECES_MAX, "one call's worth of pieces");
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

/// Reads from one process by the best means that it allows.
#[derive(Debug)]
pub(crate) struct Memory {
    pid: u32,
    /// Opened when process_vm_readv is refused as a system call (seccomp, kernel without it).
    file: Option<File>,
}

impl Memory {
    pub(crate) fn new(pid: u32) -> Memory {
        Memory { pid, file: None }
    }

    /// Copies equal pieces from each address (at most [`PIECES_MAX`]); how many whole pieces came.
    pub(crate) fn read_pieces(&mut self, addresses: &[u64], buffer: &mut [u8]) -> usize {
        let Some(width) = buffer.len().checked_div(addresses.len()).filter(|w| *w > 0) else {
            return 0;
        };
        if self.file.is_none() {
            match read_by_readv(self.pid, addresses, buffer) {
                Ok(length) => return length / width,
                Err(error) => match error.raw_os_error() {
                    // EPERM: refused by a security module, but also by seccomp. ENOSYS: not built.
                    Some(libc::ENOSYS | libc::EPERM) => {
                        self.file = File::open(format!("/proc/{}/mem", self.pid)).ok();
                    }
                    _ => return 0,
                },
            }
        }
        let Some(file) = &self.file else {
            return 0;
        };
        let pieces = addresses.iter().zip(buffer.chunks_exact_mut(width));
        pieces
            .map(|(address, piece)| file.read_exact_at(piece, *address).is_ok())
            .take_while(|whole| *whole)
            .count()
    }
}
