//! File pages dropped behind where a file is read or written, so that the page cache, which a cgroup
//! counts as memory, stays within a few windows.
//!
//! The kernel drops only clean pages (posix_fadvise(2)): a window that was written is first handed to
//! the disk (sync_file_range(2)), and waited for when the next one is full, so that writing goes on
//! meanwhile. `O_DIRECT` would bypass the cache as well, but needs aligned buffers, reads without
//! read-ahead, and is refused by some file systems; advice is only ignored there.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// What may be in the page cache behind the reading or writing place: large enough for the disk to
/// work in one go, small beside any cap a program has.
pub(super) const WINDOW_BYTES: u64 = 1 << 20;

/// How far is read ahead. The kernel's own read-ahead is up to twice what the device is set to, and
/// 8 MiB are no rare setting.
const AHEAD_BYTES: u64 = 512 << 10;

/// Has the kernel read only what is asked for, by this descriptor.
pub(super) fn without_read_ahead(file: &File) {
    advise(file, 0, 0, libc::POSIX_FADV_RANDOM);
}

/// Reads ahead, and drops what was read.
#[derive(Debug, Default)]
pub(super) struct ReadBehind {
    from: u64,
    ahead: u64,
}

impl ReadBehind {
    pub(super) fn starting_at(at: u64) -> ReadBehind {
        ReadBehind {
            from: at,
            ahead: at,
        }
    }

    /// Tells that all before `at` was read.
    pub(super) fn read_to(&mut self, file: &File, at: u64) {
        if at + AHEAD_BYTES / 2 > self.ahead {
            let from = self.ahead.max(at);
            self.ahead = at + AHEAD_BYTES;
            advise(file, from, self.ahead - from, libc::POSIX_FADV_WILLNEED);
        }
        if at.saturating_sub(self.from) >= WINDOW_BYTES {
            drop_pages(file, self.from, at);
            self.from = at;
        }
    }

    /// Tells that no more is read, up to the end at `at`.
    pub(super) fn finish(&mut self, file: &File, at: u64) {
        drop_pages(file, self.from, at);
        self.from = at;
    }
}

/// Drops what was written.
#[derive(Debug, Default)]
pub(super) struct WriteBehind {
    /// Handed to the disk up to here, from the start of the window that is waited for.
    window: u64,
    handed: u64,
}

impl WriteBehind {
    /// Tells that all before `at` was written.
    pub(super) fn written_to(&mut self, file: &File, at: u64) -> io::Result<()> {
        if at - self.handed < WINDOW_BYTES {
            return Ok(());
        }
        write_out(file, self.handed, at, libc::SYNC_FILE_RANGE_WRITE)?;
        self.settle(file)?;
        self.window = self.handed;
        self.handed = at;
        Ok(())
    }

    /// Waits for the window before the last one, and drops it.
    fn settle(&mut self, file: &File) -> io::Result<()> {
        if self.handed > self.window {
            let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
                | libc::SYNC_FILE_RANGE_WRITE
                | libc::SYNC_FILE_RANGE_WAIT_AFTER;
            write_out(file, self.window, self.handed, all)?;
            drop_pages(file, self.window, self.handed);
        }
        Ok(())
    }

    /// Tells that all was written and made durable.
    pub(super) fn finish(&self, file: &File, at: u64) {
        drop_pages(file, self.window, at);
    }
}

/// Has the range written out; the whole file where the file system can't do it for a range.
fn write_out(file: &File, from: u64, to: u64, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: plain numbers and an open descriptor; the call touches no memory of ours.
    let result =
        unsafe { libc::sync_file_range(file.as_raw_fd(), from as i64, (to - from) as i64, flags) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ESPIPE | libc::ENOSYS | libc::EPERM) => file.sync_data(),
        _ => Err(error),
    }
}

/// Drops whole pages only, and large folios only where all of them is in the range: so it begins one
/// window early, for what the call before had to leave.
fn drop_pages(file: &File, from: u64, to: u64) {
    let from = from.saturating_sub(WINDOW_BYTES) / WINDOW_BYTES * WINDOW_BYTES;
    if to > from {
        advise(file, from, to - from, libc::POSIX_FADV_DONTNEED);
    }
}

fn advise(file: &File, from: u64, length: u64, advice: libc::c_int) {
    // SAFETY: plain numbers and an open descriptor. Only advice: what it returns changes nothing for
    // the caller.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), from as i64, length as i64, advice) };
}
