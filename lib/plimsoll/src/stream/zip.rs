//! ZIP archives of any size: walked entry by entry, one entry streamed in chunks, and written anew
//! with all entries that stay copied as they are. Needs the feature `zip`.
//!
//! [`ZipArchive`] reads: [`ZipArchive::walk`] shows every [`ZipEntry`] of the directory,
//! [`ZipArchive::read`] streams what one holds, [`ZipArchive::check`] finds what hostile archives do.
//! [`ZipWriter`] writes a new archive beside its target, which may be the archive that is read:
//! entries are copied raw (compressed bytes, CRC, flags, times, comments and extra fields, bit by
//! bit), copied under another name, replaced, added or left out. What it wrote is read back, and put
//! in place in one step, as by [`AtomicFile`](super::AtomicFile).
//!
//! **Cost.** No memory for entries while reading, copying or adding: a walk holds one buffer of
//! 192 KiB (the longest record that a directory can have), a [`ZipReader`] 32 KiB and the 50 KiB of
//! inflating, a [`ZipWriter`] one buffer of [`CopyOptions::buffer_bytes`](super::CopyOptions), 64 KiB
//! for the new directory, which waits in a file without a name, and some 300 KiB while it deflates.
//! [`ZipArchive::check`], which [`ZipWriter::commit`] calls too, holds 8 bytes an entry, and up to
//! 40 more for entries that lie in another order than the directory has them and not side by side.
//!
//! **Not for.** Encrypted entries and methods but stored and deflated: they are listed, and copied
//! raw, but not read. Archives in several files. Bytes before the first entry, such as a program that
//! unpacks itself, aren't carried into a new archive. Extracting into folders: where files may go is
//! the caller's to decide, [`ZipEntry::safe_path`] helps. Editing in place.
//!
//! ```
//! use plimsoll::stream::CopyOptions;
//! use plimsoll::stream::zip::{ZipArchive, ZipLimits, ZipMethod, ZipNew, ZipWriter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("plimsoll-doc-zip-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let path = folder.join("comic.cbz");
//! let mut made = ZipWriter::create(&path, CopyOptions::default())?;
//! for name in ["cover.jpg", "page 1.jpg", "thumbs.db"] {
//!     made.add(&ZipNew::new(name.as_bytes(), ZipMethod::Stored), &b"pixels"[..])?;
//! }
//! made.commit()?;
//!
//! let archive = ZipArchive::open(&path)?;
//! archive.check(&ZipLimits::default())?;
//! let mut edited = ZipWriter::create(&path, CopyOptions::default())?;
//! archive.walk(|entry| match entry.name() {
//!     b"thumbs.db" => Ok(()), // Left out.
//!     b"page 1.jpg" => edited.copy_as(entry, b"page 01.jpg"),
//!     _ => edited.copy(entry),
//! })?;
//! assert_eq!(edited.commit()?.entries, 2);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```

mod check;
mod entry;
mod header;
mod reader;
mod writer;

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rawzip::{
    FileReader, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, RECOMMENDED_BUFFER_SIZE, RangeReader, ReaderAt,
};

use crate::error::{Error, ErrorKind};

pub use check::ZipLimits;
pub use entry::{ZipEntry, ZipMethod, ZipPlace};
pub use reader::ZipReader;
pub use writer::{ZipNew, ZipWriter};

/// A ZIP archive that is open for reading. Two descriptors and a path; it can be read from many
/// threads at once.
#[derive(Debug)]
pub struct ZipArchive {
    inner: rawzip::ZipArchive<FileReader>,
    /// The same file again, for its metadata.
    file: File,
    path: PathBuf,
    opened: Stamp,
}

/// What an archive is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZipFigures {
    /// Entries of the directory, folders among them.
    pub entries: u64,
    /// What all entries hold, as the directory says.
    pub content_bytes: u64,
    /// The same as it is stored.
    pub stored_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
}

/// Tells whether a file is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(found: Metadata) -> Stamp {
        Stamp {
            length: found.len(),
            changed: (found.mtime(), found.mtime_nsec()),
        }
    }
}

impl ZipArchive {
    /// Opens an archive and finds its directory, O(1), or O(1 MiB) where something follows the
    /// archive. Nothing of the directory is read yet.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Malformed`] where no directory is found, as in a file that was
    /// cut.
    pub fn open(path: impl AsRef<Path>) -> Result<ZipArchive, Error> {
        let path = path.as_ref();
        let failed = |error| {
            let message = format!("open the archive {}", path.display());
            Error::with_source(ErrorKind::Io, message, error)
        };
        ZipArchive::of(File::open(path).map_err(failed)?, path)
    }

    fn of(file: File, path: &Path) -> Result<ZipArchive, Error> {
        let failed = |error| {
            let message = format!("open the archive {}", path.display());
            Error::with_source(ErrorKind::Io, message, error)
        };
        let opened = file.metadata().map_err(failed)?.into();
        let again = file.try_clone().map_err(failed)?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let inner = rawzip::ZipArchive::from_file(again, &mut buffer)
            .map_err(|error| foreign("open the archive", path, error))?;
        Ok(ZipArchive {
            inner,
            file,
            path: path.to_owned(),
            opened,
        })
    }

    /// Shows every entry in the order of the directory, and returns how many there are; O(bytes of
    /// the directory).
    ///
    /// # Errors
    /// What `each` returns, at once. [`ErrorKind::Io`]; [`ErrorKind::Malformed`] for a directory that
    /// is damaged or holds another number of entries than the archive says.
    pub fn walk<E: From<Error>>(
        &self,
        mut each: impl FnMut(&ZipEntry<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
        let mut entries = self.inner.entries(&mut buffer);
        let mut count = 0_u64;
        let damaged = |error| foreign("read the directory of", &self.path, error);
        while let Some(record) = entries.next_entry().map_err(damaged)? {
            count += 1;
            each(&ZipEntry::new(self, record))?;
        }
        let told = self.inner.entries_hint();
        // Writers that know no ZIP64 count 65,536 entries as 0.
        if count == told || (told <= 0xffff && count & 0xffff == told) {
            return Ok(count);
        }
        let why = format!("it holds {count} entries and says that there are {told}");
        Err(self.malformed("read the directory of", &why).into())
    }

    /// The place of the first entry called `name`, by its bytes; O(bytes of the directory). A place is
    /// small and can be kept.
    ///
    /// # Errors
    /// As [`ZipArchive::walk`].
    pub fn find(&self, name: &[u8]) -> Result<Option<ZipPlace>, Error> {
        let mut found = None;
        self.walk(|entry| {
            if found.is_none() && entry.name() == name {
                found = Some(entry.place());
            }
            Ok::<_, Error>(())
        })?;
        Ok(found)
    }

    /// The comment of the archive, up to 64 KiB.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn comment(&self) -> Result<Vec<u8>, Error> {
        let mut comment = Vec::new();
        self.inner
            .comment()
            .read_to_end(&mut comment)
            .map_err(|error| self.io("read the comment of", error))?;
        Ok(comment)
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where entries end and the directory begins.
    fn entries_end(&self) -> u64 {
        self.inner.directory_offset()
    }

    fn bytes_at(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.inner
            .get_ref()
            .read_exact_at(into, at)
            .map_err(|error| self.io("read", error))
    }

    fn range(&self, from: u64, to: u64) -> RangeReader<&FileReader> {
        RangeReader::new(self.inner.get_ref(), from..to)
    }

    /// Fails when somebody wrote to the file since it was opened.
    fn check_unchanged(&self) -> Result<(), Error> {
        let found = self.file.metadata().map_err(|e| self.io("read", e))?;
        if Stamp::from(found) == self.opened {
            return Ok(());
        }
        let why = "it was changed since it was opened; open it again";
        Err(self.malformed("read", why))
    }

    fn io(&self, what: &str, error: std::io::Error) -> Error {
        let message = format!("{what} the archive {}", self.path.display());
        Error::with_source(ErrorKind::Io, message, error)
    }

    fn malformed(&self, what: &str, why: &str) -> Error {
        let message = format!("{what} the archive {}: {why}", self.path.display());
        Error::new(ErrorKind::Malformed, message)
    }
}

/// An error of the crate that parses, as one of ours.
fn foreign(what: &str, path: &Path, error: rawzip::Error) -> Error {
    let message = format!("{what} {}", path.display());
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::with_source(ErrorKind::Io, message, error)
        }
        kind => {
            let message = format!("{message}: no ZIP archive, or it is damaged or was cut");
            Error::with_source(ErrorKind::Malformed, message, kind.to_string())
        }
    }
}
