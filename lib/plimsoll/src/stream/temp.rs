//! Temporary files within a limit of bytes. Memory: a descriptor and some 50 bytes a file.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::atomic::unnamed_beside;
use crate::amount::Amount;
use crate::error::{Error, ErrorKind};
use crate::sync::{Mutex, lock};

/// A folder's space for temporary files: together they take at most so many bytes. A clone is the same
/// space.
///
/// A file counts as many bytes as it is long, holes included; what the file system adds isn't counted.
/// Each claim takes one short lock. It keeps no space free for itself: others can still fill the disk.
///
/// ```
/// use std::io::{Seek, Write};
/// use plimsoll::stream::TempSpace;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let space = TempSpace::new(std::env::temp_dir(), 1 << 20)?;
/// let mut runs = space.file()?;
/// runs.write_all(&[7; 600_000])?;
/// let mut more = space.file()?;
/// let error = more.write_all(&[7; 600_000]).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
/// drop(runs);
/// more.write_all(&[7; 600_000])?;
/// # more.rewind()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TempSpace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    figures: Mutex<TempFigures>,
}

/// What a space holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TempFigures {
    /// What all files may hold together.
    pub limit_bytes: u64,
    /// What they hold now.
    pub held_bytes: u64,
    /// The most that was ever held.
    pub held_peak_bytes: u64,
    /// Files that are open.
    pub files: u64,
    /// Writes that would have passed the limit.
    pub refused_total: u64,
}

impl TempSpace {
    /// A space in `folder`, which exists.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is no folder.
    pub fn new(folder: impl AsRef<Path>, limit_bytes: u64) -> Result<TempSpace, Error> {
        let folder = folder.as_ref();
        if !fs::metadata(folder).is_ok_and(|found| found.is_dir()) {
            let message = format!("keep temporary files in {}: no folder", folder.display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let figures = TempFigures {
            limit_bytes,
            held_bytes: 0,
            held_peak_bytes: 0,
            files: 0,
            refused_total: 0,
        };
        Ok(TempSpace {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                figures: Mutex::new(figures),
            }),
        })
    }

    /// A new, empty file without a name: it is gone when it is dropped, and also when the process is
    /// killed.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn file(&self) -> Result<TempFile, Error> {
        let file = unnamed_beside(&self.inner.folder.join("temp"))?;
        lock(&self.inner.figures).files += 1;
        Ok(TempFile {
            space: self.clone(),
            file,
            at: 0,
            length: 0,
        })
    }

    /// The figures of this moment.
    #[must_use]
    pub fn figures(&self) -> TempFigures {
        *lock(&self.inner.figures)
    }

    fn claim(&self, wanted: u64) -> io::Result<()> {
        let mut figures = lock(&self.inner.figures);
        let left = figures.limit_bytes - figures.held_bytes;
        if wanted <= left {
            figures.held_bytes += wanted;
            figures.held_peak_bytes = figures.held_peak_bytes.max(figures.held_bytes);
            return Ok(());
        }
        figures.refused_total += 1;
        let message = format!(
            "write a temporary file in {}: {} more wanted, {} held by {} files, {} left of {}; drop some, \
             or raise the limit",
            self.inner.folder.display(),
            Amount(wanted),
            Amount(figures.held_bytes),
            figures.files,
            Amount(left),
            Amount(figures.limit_bytes),
        );
        let error = Error::new(ErrorKind::OutOfBudget, message);
        Err(io::Error::new(io::ErrorKind::StorageFull, error))
    }

    fn free(&self, bytes: u64) {
        lock(&self.inner.figures).held_bytes -= bytes;
    }
}

/// A temporary file that counts against its [`TempSpace`]. A write that does not fit writes nothing, and
/// fails with [`io::ErrorKind::StorageFull`] and an [`Error`] of [`ErrorKind::OutOfBudget`] inside. It
/// is written without a buffer: wrap it in a `BufWriter` for small writes.
#[derive(Debug)]
pub struct TempFile {
    space: TempSpace,
    file: File,
    /// Where the next read or write is.
    at: u64,
    /// What is claimed: the file is at most so long.
    length: u64,
}

impl TempFile {
    /// What the file counts.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.length
    }

    /// The file itself, to read it elsewhere than [`Read`] is: what is written must be claimed first.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Cuts or extends the file. Where reading and writing goes on stays, even beyond the end.
    ///
    /// # Errors
    /// As writing.
    pub fn set_len(&mut self, length: u64) -> io::Result<()> {
        let more = length.saturating_sub(self.length);
        self.space.claim(more)?;
        if let Err(error) = self.file.set_len(length) {
            self.space.free(more);
            return Err(error);
        }
        self.space.free(self.length.saturating_sub(length));
        self.length = length;
        Ok(())
    }
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = self.at.saturating_add(bytes.len() as u64);
        let more = end.saturating_sub(self.length);
        self.space.claim(more)?;
        let written = self.file.write(bytes);
        let end = match &written {
            Ok(0) | Err(_) => self.length,
            Ok(written) => self.at + *written as u64,
        };
        let longer = end.saturating_sub(self.length);
        self.space.free(more - longer);
        self.length += longer;
        if let Ok(written) = &written {
            self.at += *written as u64;
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for TempFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for TempFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let mut figures = lock(&self.space.inner.figures);
        figures.held_bytes -= self.length;
        figures.files -= 1;
    }
}
