//! Reading files below one root without ever leaving it.
//!
//! Paths and symbolic links below a container's root are written by whoever owns the container.
//! [`Root`] resolves them with openat2(2) and `RESOLVE_IN_ROOT`, so that an absolute link or a
//! `..` stays inside, and opens regular files only: a FIFO would block and a device may act on
//! being opened. A network or FUSE file system below the root can still make a read wait.
//! It is not a cache; each call opens and closes.

use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plimsoll_model::{Gap, GapReason};

use crate::folder::Folder;

/// RESOLVE_IN_ROOT answers EAGAIN when a rename ran beside a `..`; more tries than this mean that
/// someone renames on purpose (openat2(2)).
const RESOLVE_TRIES: u32 = 8;

/// A folder that absolute paths are resolved against.
#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    /// The root as the kernel names it here; what names of files below it start with.
    name: PathBuf,
    resolution: Resolution,
    owner: Owner,
}

/// Who decides what lies below a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It is this process's own root, mounts and all.
    Ourselves,
    /// A container, or whoever has made a mount namespace of their own.
    Others,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// openat2 keeps every path below the root.
    InRoot,
    /// No openat2, and the root is this process's own: there is nothing to escape to.
    Plain,
}

/// What one bounded read found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    #[default]
    Whole,
    /// The file goes on behind the limit.
    Cut,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Root, Gap> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let folder = plain_open(path, flags)
            .map_err(|error| gap_of("packages of the mapped files", path, &error))?;
        let name = descriptor_name(&folder).unwrap_or_else(|_| path.to_path_buf());
        let mut root = Root {
            owner: owner_of(&folder),
            folder,
            name,
            resolution: Resolution::InRoot,
        };
        if let Err(error) = root.open_path(Path::new("/")) {
            // Kernels before 5.6 answer ENOSYS, and seccomp filters older than the call EPERM,
            // which openat2 itself never gives for O_PATH.
            let unsupported = matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM));
            if unsupported && root.owner == Owner::Ourselves {
                root.resolution = Resolution::Plain;
            } else if unsupported {
                return Err(Gap::new(
                    "packages of the mapped files",
                    GapReason::Unsupported,
                    "openat2, without which links in a container could lead out of it",
                ));
            } else {
                return Err(gap_of("packages of the mapped files", path, &error));
            }
        }
        Ok(root)
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// Replaces `buffer` by the first `limit` bytes of the regular file at `path`.
    pub(crate) fn read(
        &self,
        path: &Path,
        limit: usize,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Extent> {
        buffer.clear();
        let mut file = self.open_file(path)?;
        read_bounded(&mut file, limit, buffer)
    }

    /// The regular file at `path`, for reading.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<File> {
        let handle = File::from(self.open_path(path)?);
        if !handle.metadata()?.is_file() {
            return Err(not_regular());
        }
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        plain_open(&descriptor_path(&handle), flags).map(File::from)
    }

    /// Where `path` leads after all links, as a path below this root.
    pub(crate) fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let name = descriptor_name(&self.open_path(path)?)?;
        let below = name.strip_prefix(&self.name).unwrap_or(&name);
        Ok(Path::new("/").join(below))
    }

    pub(crate) fn is_file(&self, path: &Path) -> bool {
        self.open_path(path)
            .and_then(|handle| File::from(handle).metadata())
            .is_ok_and(|metadata| metadata.is_file())
    }

    /// Names in the folder at `path`, sorted; `Cut` when there are more than the limit.
    pub(crate) fn names(&self, path: &Path) -> io::Result<(Vec<OsString>, Extent)> {
        Folder::open(self, path)?.names(|_| true)
    }

    /// An O_PATH descriptor: resolved, but neither readable nor acting on the file.
    pub(crate) fn open_path(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        if self.resolution == Resolution::Plain {
            return plain_open(path, flags);
        }
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: open_how is plain integers, for which all zeros is the documented default.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = u64::from(flags.cast_unsigned());
        how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            tries += 1;
            // SAFETY: the path is nul-terminated, `how` lives across the call, and its size is
            // passed beside it; the call writes no memory of ours.
            let descriptor = unsafe {
                libc::syscall(
                    libc::SYS_openat2,
                    self.folder.as_raw_fd(),
                    path.as_ptr(),
                    &raw const how,
                    size_of::<libc::open_how>(),
                )
            };
            if let Ok(descriptor) = i32::try_from(descriptor)
                && descriptor >= 0
            {
                // SAFETY: the kernel just gave this descriptor to us and to nobody else.
                return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
            let error = io::Error::last_os_error();
            let again = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR));
            if !again || tries == RESOLVE_TRIES {
                return Err(error);
            }
        }
    }
}

/// Appends the first `limit` bytes of `source`.
pub(crate) fn read_bounded(
    source: &mut impl Read,
    limit: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<Extent> {
    let start = buffer.len();
    // One byte more than the limit tells a file that ends there from one that goes on.
    source
        .take(u64::try_from(limit).map_or(u64::MAX, |limit| limit.saturating_add(1)))
        .read_to_end(buffer)?;
    if buffer.len() - start > limit {
        buffer.truncate(start + limit);
        return Ok(Extent::Cut);
    }
    Ok(Extent::Whole)
}

/// A gap for a record that is there but could not be read.
pub(crate) fn gap_of(what: &str, path: &Path, error: &io::Error) -> Gap {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => GapReason::Denied,
        io::ErrorKind::NotFound => GapReason::Vanished,
        _ if error.raw_os_error() == Some(libc::ESRCH) => GapReason::Vanished,
        _ => GapReason::Malformed,
    };
    Gap::new(what, reason, format!("{}: {error}", path.display()))
}

/// Whether an error only says that there is nothing at that path.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(crate) fn descriptor_path(handle: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

fn descriptor_name(handle: &impl AsRawFd) -> io::Result<PathBuf> {
    fs::read_link(descriptor_path(handle))
}

pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a regular file")
}

pub(crate) fn plain_open(path: &Path, flags: i32) -> io::Result<OwnedFd> {
    plain_open_at(
        libc::AT_FDCWD,
        &CString::new(path.as_os_str().as_bytes())?,
        flags,
    )
}

pub(crate) fn plain_open_at(folder: RawFd, path: &CStr, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the path is nul-terminated and no O_CREAT asks for a mode argument.
    let descriptor = unsafe { libc::openat(folder, path.as_ptr(), flags) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave this descriptor to us and to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Ours is the same folder through the same mount. A mount belongs to one mount namespace, so a
/// process that shares the folder but has mounts of its own, over dpkg's records too, is told.
fn owner_of(folder: &OwnedFd) -> Owner {
    let identity = |folder: &OwnedFd| {
        let metadata = File::from(folder.try_clone().ok()?).metadata().ok()?;
        Some((metadata.dev(), metadata.ino(), mount_of(folder)?))
    };
    let own = plain_open(Path::new("/"), libc::O_PATH | libc::O_CLOEXEC);
    match (identity(folder), own.ok().as_ref().and_then(identity)) {
        (Some(one), Some(other)) if one == other => Owner::Ourselves,
        _ => Owner::Others,
    }
}

/// The number of the mount that a descriptor goes through; proc_pid_fdinfo(5).
fn mount_of(handle: &OwnedFd) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without openat2 only this process's own root is read: nothing lies outside of it.
    #[test]
    fn the_own_root_is_told_from_others() {
        let check = |path: &str, expected: Owner| {
            let root = Root::open(Path::new(path)).unwrap();
            assert_eq!(root.owner(), expected, "{path}");
        };
        check("/", Owner::Ourselves);
        check("/proc/self/root", Owner::Ourselves);
        check("/proc/self", Owner::Others);
    }

    #[test]
    fn a_longer_file_is_cut() {
        let check = |text: &[u8], limit, expected: (&[u8], Extent)| {
            let mut buffer = Vec::new();
            let extent = read_bounded(&mut &text[..], limit, &mut buffer).unwrap();
            assert_eq!((buffer.as_slice(), extent), expected);
        };
        check(b"abc", 3, (b"abc", Extent::Whole));
        check(b"abcd", 3, (b"abc", Extent::Cut));
        check(b"", 0, (b"", Extent::Whole));
        check(b"a", 0, (b"", Extent::Cut));
    }
}
