//! What a server asks its thumbnailer, and what that says: JSON, a request at a time.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// About a picture below the folder of images.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) stored: String,
    pub(super) file: Version,
    pub(super) step: Step,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Step {
    /// What it will take, by its head.
    Measure,
    /// The small picture, with so many bytes and what the process has.
    Make { memory_bytes: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Takes {
        memory_bytes: u64,
    },
    Made,
    /// The picture is at fault: it can't be read until its file is another.
    Unreadable {
        reason: String,
    },
}

/// A file as it is now: another if it was written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Version {
    pub(super) fn of(file: &File) -> std::io::Result<Version> {
        let metadata = file.metadata()?;
        Ok(Version {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
