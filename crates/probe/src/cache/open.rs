//! Opens the very file that is mapped, or says why not.
//!
//! A path in maps is what the reader's root makes of it and may be gone, renamed over, or lie in
//! another mount namespace, so every candidate is looked at (stat) before it is opened, and opened
//! only when device and inode are those of the mapping.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plimsoll_model::{FileId, GapReason};

use super::residency::file_system;
use super::{Wanted, map_files_name, reason_of};

/// Opens files that one process has mapped.
#[derive(Debug)]
pub(crate) struct Opener {
    process: PathBuf,
}

/// Why a mapped file could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotOpened {
    Denied,
    /// No name leads to it any more, and its open mapping may not be used.
    Unlinked,
    /// Its path now leads to another file.
    Replaced,
    /// Same inode, another device, on a file system that is not known to do that.
    OtherDevice,
    Failed,
}

impl NotOpened {
    pub(crate) fn words(self) -> (GapReason, &'static str) {
        match self {
            NotOpened::Denied => (GapReason::Denied, "may not be opened; run as root"),
            NotOpened::Unlinked => (
                GapReason::Vanished,
                "deleted, and only root may open it through its mapping",
            ),
            NotOpened::Replaced => (
                GapReason::Changed,
                "its path leads to another file now (replaced, or another mount namespace)",
            ),
            NotOpened::OtherDevice => (
                GapReason::Unsupported,
                "the mapping and the file have different device numbers, so they can't be proved \
                 to be the same",
            ),
            NotOpened::Failed => (GapReason::Unsupported, "can't be opened"),
        }
    }
}

impl Opener {
    pub(crate) fn new(pid: u32) -> Opener {
        Opener {
            process: PathBuf::from(format!("/proc/{pid}")),
        }
    }

    /// By path as the process sees it, by path as we see it (it may have changed its root), then
    /// through the mapping itself, then through a descriptor that the process has open.
    pub(crate) fn open(&self, wanted: &Wanted<'_>) -> Result<File, NotOpened> {
        let mut worst = None;
        let mut candidates = Vec::new();
        if !wanted.unlinked {
            let below_root = wanted.path.strip_prefix("/").unwrap_or(&wanted.path);
            candidates.push(self.process.join("root").join(below_root));
            candidates.push(wanted.path.clone());
        }
        let name = map_files_name(wanted.mapping.range);
        candidates.push(self.process.join("map_files").join(name));
        for candidate in &candidates {
            match open_proved(candidate, wanted.id) {
                Ok(file) => return Ok(file),
                // The first answer is of the most likely path: the most telling one.
                Err(reason) => worst = worst.or(reason),
            }
        }
        if let Some(file) = self.open_descriptor(wanted.id) {
            return Ok(file);
        }
        Err(match worst {
            Some(reason) => reason,
            None if wanted.unlinked => NotOpened::Unlinked,
            None => NotOpened::Replaced,
        })
    }

    /// Through /proc/PID/fd, for deleted files and memfds that are still open.
    fn open_descriptor(&self, id: FileId) -> Option<File> {
        let descriptors = std::fs::read_dir(self.process.join("fd")).ok()?;
        descriptors
            .flatten()
            .take(DESCRIPTORS_MAX)
            .find_map(|entry| open_proved(&entry.path(), id).ok())
    }
}

/// Looked at for each file that nothing else leads to; servers with more have them for sockets.
const DESCRIPTORS_MAX: usize = 4096;

/// `Err(None)`: nothing there.
fn open_proved(path: &Path, id: FileId) -> Result<File, Option<NotOpened>> {
    let failed = |error: std::io::Error| match reason_of(&error) {
        GapReason::Vanished => None,
        GapReason::Denied => Some(NotOpened::Denied),
        _ => Some(NotOpened::Failed),
    };
    // Looked at first: opening a device or a FIFO may have effects.
    check_identity(&std::fs::metadata(path).map_err(failed)?, id)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    match check_identity(&file.metadata().map_err(failed)?, id)? {
        Identity::Same => Ok(file),
        Identity::OtherDevice if file_system(&file).renumbers_devices() => Ok(file),
        Identity::OtherDevice => Err(Some(NotOpened::OtherDevice)),
    }
}

enum Identity {
    Same,
    /// The same inode, but another device than maps prints.
    OtherDevice,
}

fn check_identity(metadata: &Metadata, id: FileId) -> Result<Identity, Option<NotOpened>> {
    let kind = metadata.file_type();
    if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket() {
        return Err(Some(NotOpened::Replaced));
    }
    let device = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
    if metadata.ino() != id.inode {
        Err(Some(NotOpened::Replaced))
    } else if device != (id.device_major, id.device_minor) {
        Ok(Identity::OtherDevice)
    } else {
        Ok(Identity::Same)
    }
}
