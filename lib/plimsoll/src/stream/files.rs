//! Copies and moves of whole files.

use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::atomic::{MODE_KEPT, folder_of, sync_folder};
use super::{AtomicFile, Copied, CopyOptions, Phase, Pump, Verify};
use crate::error::{Error, ErrorKind};

/// Bytes between two looks at the switch when the kernel copies: a few milliseconds.
const KERNEL_STEP: u64 = 16 << 20;

/// How a file was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// By a new name: nothing was read.
    Renamed,
    /// To another file system, then removed.
    Copied(Copied),
}

/// Copies the regular file `source` to `target`, which it replaces: copied beside it, made durable,
/// read back and compared ([`Verify`]), and put in place as by [`AtomicFile`], with the
/// permissions of the source but its set-id bits. Holds one buffer; O(bytes), which are read twice.
///
/// # Errors
/// [`ErrorKind::Invalid`] where either is no regular file or both are one, [`ErrorKind::Io`],
/// [`ErrorKind::Cancelled`], and [`ErrorKind::Malformed`] when the copy reads back as something else
/// or the source changed meanwhile. The target is as it was then, and nothing stays beside it.
pub fn copy_file(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    options: CopyOptions<'_>,
) -> Result<Copied, Error> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let found = fs::metadata(source).map_err(|error| failed("copy", source, target, error))?;
    check_pair("copy", source, target, &found)?;
    let mut pump = Pump::new(options)?;
    let (copied, file) = copy_beside(source, target, &mut pump)?;
    file.commit()?;
    Ok(copied)
}

/// Moves the regular file `source` to `target`, which it replaces: by a new name where both are on one
/// file system, else as [`copy_file`], with the time of its last change kept, and then removed. It is
/// durable on return.
///
/// # Errors
/// As [`copy_file`]; a link is no regular file here, and the source has to be readable. The source is there until the target is whole; if
/// only its removal fails, both are there and the message says so.
pub fn move_file(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    options: CopyOptions<'_>,
) -> Result<Moved, Error> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let io_failed = |error| failed("move", source, target, error);
    let found = fs::symlink_metadata(source).map_err(io_failed)?;
    check_pair("move", source, target, &found)?;
    let mut pump = Pump::new(options)?;
    pump.check_cancel(0)?;
    // A name that is durable before its bytes would be an empty file after a power failure.
    File::open(source)
        .and_then(|file| file.sync_all())
        .map_err(io_failed)?;
    match fs::rename(source, target) {
        Ok(()) => {
            sync_folder(folder_of(target)).map_err(io_failed)?;
            sync_folder(folder_of(source)).map_err(io_failed)?;
            return Ok(Moved::Renamed);
        }
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        Err(error) => return Err(io_failed(error)),
    }
    let (copied, mut file) = copy_beside(source, target, &mut pump)?;
    let changed = found.modified().map_err(io_failed)?;
    file.file()
        .set_times(FileTimes::new().set_modified(changed))
        .map_err(io_failed)?;
    file.commit()?;
    fs::remove_file(source)
        .and_then(|()| sync_folder(folder_of(source)))
        .map_err(|error| {
            let message = format!(
                "move {}: {} is whole, but the source may still be there",
                source.display(),
                target.display()
            );
            Error::with_source(ErrorKind::Io, message, error)
        })?;
    Ok(Moved::Copied(copied))
}

/// A verified copy beside the target, durable and not yet in place.
fn copy_beside(
    source: &Path,
    target: &Path,
    pump: &mut Pump<'_>,
) -> Result<(Copied, AtomicFile), Error> {
    let io_failed = |error| failed("copy", source, target, error);
    let mut from = File::open(source).map_err(io_failed)?;
    let before = from.metadata().map_err(io_failed)?;
    let mut file = AtomicFile::create(target)?;
    let total = Some(before.len());
    let copied = match pump.options.verify {
        Verify::ReadBack => pump.run(&mut from, file.file(), Phase::Copying, total)?,
        Verify::None => copy_in_kernel(&from, file.file(), total, pump)?,
    };
    let after = from.metadata().map_err(io_failed)?;
    let is_same = |a: &Metadata, b: &Metadata| {
        a.len() == b.len() && (a.mtime(), a.mtime_nsec()) == (b.mtime(), b.mtime_nsec())
    };
    if copied.bytes != before.len() || !is_same(&before, &after) {
        let message = format!(
            "copy {}: it was changed meanwhile ({} bytes at first, {} copied); try again when nobody \
             writes to it",
            source.display(),
            before.len(),
            copied.bytes
        );
        return Err(Error::new(ErrorKind::Malformed, message));
    }
    if pump.options.verify == Verify::ReadBack {
        check_back(&mut file, target, copied, pump)?;
    }
    pump.check_cancel(copied.bytes)?;
    let mode = before.permissions().mode() & MODE_KEPT;
    file.set_permissions(Permissions::from_mode(mode));
    Ok((copied, file))
}

/// By the file system or inside the kernel where it can, else through a buffer of std's on the stack.
fn copy_in_kernel(
    from: &File,
    to: &mut File,
    total: Option<u64>,
    pump: &mut Pump<'_>,
) -> Result<Copied, Error> {
    let mut done = 0;
    loop {
        pump.check_cancel(done)?;
        let step = io::copy(&mut from.take(KERNEL_STEP), to).map_err(|error| {
            let message = format!("copy: reading or writing failed after {done} bytes");
            Error::with_source(ErrorKind::Io, message, error)
        })?;
        if step == 0 {
            let crc32 = None;
            return Ok(Copied { bytes: done, crc32 });
        }
        done += step;
        pump.tell(Phase::Copying, done, total);
    }
}

/// Makes what was written durable, reads it back and compares.
pub(super) fn check_back(
    file: &mut AtomicFile,
    target: &Path,
    copied: Copied,
    pump: &mut Pump<'_>,
) -> Result<(), Error> {
    let failed = |error| {
        let message = format!("read {} back", target.display());
        Error::with_source(ErrorKind::Io, message, error)
    };
    file.file().sync_all().map_err(failed)?;
    give_up_pages(file.file());
    file.rewind().map_err(failed)?;
    let total = Some(copied.bytes);
    let back = pump.run(file.file(), &mut io::sink(), Phase::Verifying, total)?;
    if copied == back {
        return Ok(());
    }
    let message = format!(
        "write {}: {} bytes with CRC-32 {:08x} were written and {} bytes with {:08x} read back; check \
         the disk",
        target.display(),
        copied.bytes,
        copied.crc32.unwrap_or_default(),
        back.bytes,
        back.crc32.unwrap_or_default()
    );
    Err(Error::new(ErrorKind::Malformed, message))
}

/// Asks the kernel to forget pages that are on the disk; what it doesn't, is read from memory.
fn give_up_pages(file: &File) {
    // SAFETY: the descriptor is open as long as `file` is borrowed; no memory of ours is touched.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

fn check_pair(what: &str, source: &Path, target: &Path, found: &Metadata) -> Result<(), Error> {
    let other = fs::metadata(target).ok();
    let is_one = |other: &Metadata| (other.dev(), other.ino()) == (found.dev(), found.ino());
    let why = if !found.is_file() {
        "the first is no regular file"
    } else if other.as_ref().is_some_and(|other| !other.is_file()) {
        "the second is no regular file"
    } else if other.as_ref().is_some_and(is_one) {
        "both are one file"
    } else {
        return Ok(());
    };
    let message = format!("{what} {} to {}: {why}", source.display(), target.display());
    Err(Error::new(ErrorKind::Invalid, message))
}

fn failed(what: &str, source: &Path, target: &Path, error: io::Error) -> Error {
    let message = format!("{what} {} to {}", source.display(), target.display());
    Error::with_source(ErrorKind::Io, message, error)
}
