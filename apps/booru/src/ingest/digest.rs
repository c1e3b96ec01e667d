//! Sums of a file: MD5, which the original knows images by, and BLAKE3, by which two files are judged equal.
//! Memory: one buffer.

use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use md5::{Digest as _, Md5};

/// Read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Of all bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) md5: [u8; 16],
    pub(super) blake3: [u8; 32],
    pub(super) bytes: u64,
}

/// What tells that a file is still the one that was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    /// Nanoseconds since 1970.
    pub(super) changed: i64,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// How many names the file has.
    pub(super) names: u64,
}

impl PartialEq for Stamp {
    /// Whatever names it has.
    fn eq(&self, other: &Stamp) -> bool {
        self.is_same_file(other) && (self.bytes, self.changed) == (other.bytes, other.changed)
    }
}

impl Stamp {
    /// # Errors
    /// A file that is not there, and what is no regular file: links are not followed.
    pub(super) fn of(path: &Path) -> Result<Stamp> {
        let found = path
            .symlink_metadata()
            .with_context(|| format!("look at {}", path.display()))?;
        if !found.is_file() {
            bail!("{} is no regular file", path.display());
        }
        Ok(Stamp::from(&found))
    }

    pub(super) fn is_same_file(&self, other: &Stamp) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Stamp {
        let nanoseconds = i64::from(found.mtime_nsec() as i32);
        Stamp {
            bytes: found.len(),
            changed: found
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds),
            device: found.dev(),
            inode: found.ino(),
            names: found.nlink(),
        }
    }
}

/// Opens a regular file to read it. Links are not followed, and a pipe keeps nobody waiting for who writes to it.
///
/// # Errors
/// A file that is not there, can't be read or is none.
pub(super) fn open_regular(path: &Path) -> std::io::Result<File> {
    let no_file = || std::io::Error::other("it is no regular file");
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path);
    let file = match opened {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(no_file()),
        file => file?,
    };
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(no_file()),
    }
}

/// Reads a file once. O(bytes).
///
/// # Errors
/// A file that can't be read.
pub(super) fn digest(path: &Path) -> Result<Digest> {
    copy_to(path, &mut std::io::sink())
}

/// Reads a file once and writes its bytes to `to`; the sums are of what was written.
///
/// # Errors
/// What can't be read or written.
pub(super) fn copy_to(path: &Path, to: &mut impl Write) -> Result<Digest> {
    let reading = || format!("read {}", path.display());
    let mut file = open_regular(path).with_context(reading)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut md5, mut blake3) = (Md5::new(), blake3::Hasher::new());
    let mut bytes = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).with_context(reading),
        };
        md5.update(&buffer[..count]);
        blake3.update(&buffer[..count]);
        to.write_all(&buffer[..count])
            .with_context(|| format!("copy {}", path.display()))?;
        bytes += count as u64;
    }
    Ok(Digest {
        md5: md5.finalize().into(),
        blake3: *blake3.finalize().as_bytes(),
        bytes,
    })
}

/// As hex digits.
pub(super) fn md5_hex(bytes: &[u8]) -> String {
    crate::edit::hex(&Md5::digest(bytes))
}
