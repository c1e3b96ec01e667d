//! A new archive beside its target, whole or not at all. Memory: one buffer for copying, one for the
//! directory, whose records wait in a file without a name.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc32fast::Hasher;
use flate2::Compression;
use flate2::read::DeflateEncoder;
use rawzip::time::{DosDateTime, UtcDateTime};

use super::entry::{Extent, ZipEntry, ZipMethod, shown};
use super::header::{self, Contents, Fresh, u16_at, u32_at};
use super::{ZipArchive, ZipFigures, ZipLimits};
use crate::error::{Error, ErrorKind};
use crate::stream::atomic::unnamed_beside;
use crate::stream::files::check_back;
use crate::stream::{AtomicFile, Copied, CopyOptions, Phase, Pump, Verify};

/// Records of the directory that are written to their file at once.
const SPOOL_BYTES: usize = 64 << 10;
/// What lengths of names and comments must fit.
const TEXT_BYTES_MAX: usize = u16::MAX as usize;

/// An entry to add: its name, and how it is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct ZipNew<'a> {
    /// By its bytes, up to 65,535; folders end in `/`. Where it is UTF-8 and not ASCII, the entry says
    /// so.
    pub name: &'a [u8],
    /// [`ZipMethod::Stored`], right for what is compressed already, or [`ZipMethod::Deflated`].
    pub method: ZipMethod,
    /// When it was changed last; 1980-01-01 for None, so that equal contents make equal archives.
    pub modified: Option<SystemTime>,
    /// Permissions of Unix, such as `0o644`.
    pub mode: Option<u32>,
    /// Up to 65,535 bytes.
    pub comment: &'a [u8],
}

impl<'a> ZipNew<'a> {
    /// Without time, permissions and comment.
    #[must_use]
    pub fn new(name: &'a [u8], method: ZipMethod) -> ZipNew<'a> {
        ZipNew {
            name,
            method,
            modified: None,
            mode: None,
            comment: b"",
        }
    }

    fn header(&self) -> Fresh<'a> {
        const UNIX: u16 = 3 << 8;
        const VERSION: u16 = 20;
        const REGULAR: u32 = 0o100_000;
        const FOLDER: u32 = 0x10;
        let is_utf8 = [self.name, self.comment]
            .iter()
            .all(|text| std::str::from_utf8(text).is_ok());
        let is_ascii = self.name.is_ascii() && self.comment.is_ascii();
        let is_folder = self.name.ends_with(b"/");
        let since = self.modified.map(|time| time.duration_since(UNIX_EPOCH));
        let seconds = since.map(|since| since.map_or(0, |since| since.as_secs()));
        let dos_time = seconds.map_or([0, 0x21], |seconds| {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            let time = DosDateTime::from(&UtcDateTime::from_unix(seconds));
            [time.packed_time(), time.packed_date()]
        });
        let mode = self.mode.map(|mode| {
            let kind = if is_folder { 0o40_000 } else { REGULAR };
            (mode & 0o7777 | kind) << 16
        });
        Fresh {
            name: self.name,
            comment: self.comment,
            method: self.method,
            flags: if is_utf8 && !is_ascii {
                header::FLAG_UTF8
            } else {
                0
            },
            made_by: VERSION | if mode.is_some() { UNIX } else { 0 },
            dos_time,
            seconds: seconds.and_then(|seconds| u32::try_from(seconds).ok()),
            attributes: mode.unwrap_or(0) | if is_folder { FOLDER } else { 0 },
        }
    }
}

/// Writes an archive that appears whole or not at all: dropped without [`ZipWriter::commit`], it leaves
/// its target as it was. An entry that fails is left out, and the next one can be written in its place;
/// after a failure of its own file only dropping it is left.
#[derive(Debug)]
pub struct ZipWriter<'o> {
    file: AtomicFile,
    target: PathBuf,
    pump: Pump<'o>,
    /// The end of what is written so far.
    at: u64,
    /// Of everything up to there.
    sum: Hasher,
    spool: BufWriter<File>,
    entries: u64,
    comment: Vec<u8>,
    is_broken: bool,
}

impl<'o> ZipWriter<'o> {
    /// Begins an archive that will be `target`, in a folder that exists: see [`AtomicFile::create`].
    /// Progress is told for each entry by itself, and for reading back.
    ///
    /// # Errors
    /// As [`AtomicFile::create`]; [`ErrorKind::Invalid`] for a buffer beyond its range.
    pub fn create(
        target: impl AsRef<Path>,
        options: CopyOptions<'o>,
    ) -> Result<ZipWriter<'o>, Error> {
        let target = target.as_ref();
        let pump = Pump::new(options)?;
        let file = AtomicFile::create(target)?;
        let spool = BufWriter::with_capacity(SPOOL_BYTES, unnamed_beside(target)?);
        Ok(ZipWriter {
            file,
            target: target.to_owned(),
            pump,
            at: 0,
            sum: Hasher::new(),
            spool,
            entries: 0,
            comment: Vec::new(),
            is_broken: false,
        })
    }

    /// Copies an entry of another archive as it is: header, compressed bytes and what follows them bit
    /// by bit, and its record in the directory but for its place. O(bytes as stored); nothing is
    /// unpacked, so damage within is copied too.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where the entry isn't where its directory says, or its archive was
    /// changed since it was opened; [`ErrorKind::Unsupported`] for archives in several files,
    /// [`ErrorKind::Io`], [`ErrorKind::Cancelled`].
    pub fn copy(&mut self, entry: &ZipEntry<'_>) -> Result<(), Error> {
        self.guarded("copy", entry.name(), |writer| writer.copy_raw(entry, None))
    }

    /// As [`ZipWriter::copy`], under another name: that, the flag that says whether it is UTF-8, and a
    /// field with the old name in Unicode are all that changes.
    ///
    /// # Errors
    /// As [`ZipWriter::copy`]; [`ErrorKind::Invalid`] for a name that is empty or too long;
    /// [`ErrorKind::Unsupported`] where name and comment would need two encodings.
    pub fn copy_as(&mut self, entry: &ZipEntry<'_>, name: &[u8]) -> Result<(), Error> {
        check_text(&self.target, name, b"")?;
        self.guarded("copy", entry.name(), |writer| {
            writer.copy_raw(entry, Some(name))
        })
    }

    /// Writes an entry anew with what `reader` gives; O(bytes). Beyond 4 GiB it is written with ZIP64.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name or comment that is too long, an empty name, and a method that
    /// can't be written; [`ErrorKind::Io`] for what `reader` fails with, [`ErrorKind::Cancelled`].
    pub fn add(&mut self, new: &ZipNew<'_>, reader: impl Read) -> Result<ZipFigures, Error> {
        self.write_fresh(&new.header(), reader)
    }

    /// Writes `entry` anew with what `reader` gives: its name, time, attributes and comment stay, its
    /// extra fields don't, as they tell of the contents that were.
    ///
    /// # Errors
    /// As [`ZipWriter::add`] and [`ErrorKind::Io`] for the archive that `entry` is from.
    pub fn replace(
        &mut self,
        entry: &ZipEntry<'_>,
        method: ZipMethod,
        reader: impl Read,
    ) -> Result<ZipFigures, Error> {
        let record = entry.read_record()?;
        let fresh = Fresh {
            name: entry.name(),
            comment: entry.comment(),
            method,
            flags: u16_at(&record, 8) & header::FLAG_UTF8,
            made_by: u16_at(&record, 4),
            dos_time: [u16_at(&record, 12), u16_at(&record, 14)],
            seconds: None,
            attributes: u32_at(&record, 38),
        };
        self.write_fresh(&fresh, reader)
    }

    /// Sets the comment of the archive, up to 65,535 bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a longer one.
    pub fn set_comment(&mut self, comment: &[u8]) -> Result<(), Error> {
        check_text(&self.target, b"-", comment)?;
        self.comment = comment.to_vec();
        Ok(())
    }

    /// Writes the directory, makes all durable, reads it back ([`Verify`]), [checks](ZipArchive::check)
    /// the archive as a reader would see it, and puts it in place.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Cancelled`], and [`ErrorKind::Malformed`] where it reads back as
    /// something else, two entries have one name, or a copied one has another name in its own header
    /// than in its directory. The target is as it was then, but where the message says that it is
    /// replaced.
    pub fn commit(mut self) -> Result<ZipFigures, Error> {
        if self.is_broken {
            let message = format!(
                "finish the archive {}: writing it failed before",
                self.target.display()
            );
            return Err(Error::new(ErrorKind::Io, message));
        }
        self.write_directory()?;
        let copied = Copied {
            bytes: self.at,
            crc32: Some(self.sum.clone().finalize()),
        };
        match self.pump.options.verify {
            Verify::ReadBack => check_back(&mut self.file, &self.target, copied, &mut self.pump)?,
            Verify::None => self.pump.check_cancel(self.at)?,
        }
        let again = self.file.file().try_clone().map_err(|e| self.failed(e))?;
        let figures = ZipArchive::of(again, &self.target)?.check(&ZipLimits::NONE)?;
        if figures.entries != self.entries {
            let message = format!(
                "finish the archive {}: {} entries were written and {} are there",
                self.target.display(),
                self.entries,
                figures.entries
            );
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        self.file.commit()?;
        Ok(figures)
    }

    fn write_directory(&mut self) -> Result<(), Error> {
        self.spool.flush().map_err(|e| self.failed(e))?;
        let directory_at = self.at;
        let spool = self.spool.get_mut();
        spool.rewind().map_err(|e| {
            let message = format!("read the directory of {} again", self.target.display());
            Error::with_source(ErrorKind::Io, message, e)
        })?;
        let copied = self
            .pump
            .run(spool, self.file.file(), Phase::Copying, None)?;
        self.take(copied);
        let end = header::end(self.entries, directory_at, self.at, &self.comment);
        self.put(&end)?;
        // An entry that failed may have been longer than what came in its place.
        let length = self.at;
        self.file.file().set_len(length).map_err(|e| self.failed(e))
    }

    /// Runs what writes one entry; if it fails, the end is where it was before.
    fn guarded<T>(
        &mut self,
        what: &str,
        name: &[u8],
        act: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (at, sum) = (self.at, self.sum.clone());
        act(self).map_err(|error| {
            self.at = at;
            self.sum = sum;
            let is_back = self.file.seek(SeekFrom::Start(at)).is_ok();
            self.is_broken |= !is_back;
            let message = format!("{what} {} to {}", shown(name), self.target.display());
            Error::with_source(error.kind(), message, error)
        })
    }

    fn copy_raw(&mut self, entry: &ZipEntry<'_>, name: Option<&[u8]>) -> Result<(), Error> {
        let archive = entry.archive();
        let unsupported = |why: &str| {
            let message = format!("an entry of {}: {why}", archive.path().display());
            Error::new(ErrorKind::Unsupported, message)
        };
        let extent = archive.extent(&entry.place(), &mut Vec::new())?;
        let record = header::relocate(&entry.read_record()?, self.at, name).map_err(unsupported)?;
        let mut from = extent.header_at;
        if let Some(name) = name {
            let local = read_local(archive, &extent)?;
            let local = header::rename_local(&local, name, &record).map_err(unsupported)?;
            self.put(&local)?;
            from = extent.data_at;
        }
        let mut range = archive.range(from, extent.end);
        let copied = self
            .pump
            .run(&mut range, self.file.file(), Phase::Copying, None)?;
        if copied.bytes != extent.end - from {
            return Err(archive.malformed("copy an entry of", "it was cut meanwhile"));
        }
        self.take(copied);
        archive.check_unchanged()?;
        self.list(&record)
    }

    fn write_fresh(&mut self, fresh: &Fresh<'_>, reader: impl Read) -> Result<ZipFigures, Error> {
        check_text(&self.target, fresh.name, fresh.comment)?;
        if let ZipMethod::Other(number) = fresh.method {
            let message = format!(
                "add {}: method {number} can't be written; take stored or deflated",
                shown(fresh.name)
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.guarded("add", fresh.name, |writer| {
            let at = writer.at;
            // Its place: what it says is only known after the data.
            let blank = fresh.local(&Contents::default());
            writer.write(&blank)?;
            let mut contents = Summed {
                reader,
                sum: Hasher::new(),
                bytes: 0,
            };
            let file = writer.file.file();
            let copied = match fresh.method {
                ZipMethod::Deflated => {
                    let mut encoder = DeflateEncoder::new(&mut contents, Compression::default());
                    writer.pump.run(&mut encoder, file, Phase::Copying, None)?
                }
                _ => writer.pump.run(&mut contents, file, Phase::Copying, None)?,
            };
            let known = Contents {
                crc32: contents.sum.finalize(),
                stored_bytes: copied.bytes,
                content_bytes: contents.bytes,
            };
            let local = fresh.local(&known);
            writer
                .file
                .seek(SeekFrom::Start(at))
                .map_err(|e| writer.failed(e))?;
            writer.put(&local)?;
            writer.take(copied);
            let end = SeekFrom::Start(writer.at);
            writer.file.seek(end).map_err(|e| writer.failed(e))?;
            if known.is_wide() {
                writer.put(&known.descriptor())?;
            }
            let record = header::relocate(&fresh.central(&known), at, None)
                .map_err(|why| Error::new(ErrorKind::Invalid, why))?;
            writer.list(&record)?;
            Ok(ZipFigures {
                entries: 1,
                content_bytes: known.content_bytes,
                stored_bytes: known.stored_bytes,
                file_bytes: writer.at - at,
            })
        })
    }

    /// Writes bytes whose sum isn't final.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|e| self.failed(e))
    }

    /// Writes bytes at the end.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write(bytes)?;
        self.sum.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Counts bytes that the pump wrote at the end.
    fn take(&mut self, copied: Copied) {
        let crc32 = copied.crc32.expect("the pump sums what it copies");
        self.sum
            .combine(&Hasher::new_with_initial_len(crc32, copied.bytes));
        self.at += copied.bytes;
    }

    /// Puts an entry that is written on the list.
    fn list(&mut self, record: &[u8]) -> Result<(), Error> {
        if let Err(error) = self.spool.write_all(record) {
            // Part of it may be there.
            self.is_broken = true;
            return Err(self.failed(error));
        }
        self.entries += 1;
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> Error {
        let message = format!("write the archive {}", self.target.display());
        Error::with_source(ErrorKind::Io, message, error)
    }
}

/// The header of an entry with its name and extra fields: at most 128 KiB.
fn read_local(archive: &ZipArchive, extent: &Extent) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(extent.data_at - extent.header_at);
    let mut local = vec![0; length.expect("two lengths of 16 bits")];
    archive.bytes_at(extent.header_at, &mut local)?;
    Ok(local)
}

fn check_text(target: &Path, name: &[u8], comment: &[u8]) -> Result<(), Error> {
    let why = if name.is_empty() {
        "a name is empty"
    } else if name.len().max(comment.len()) > TEXT_BYTES_MAX {
        "a name or comment is too long; 65,535 bytes is the most"
    } else {
        return Ok(());
    };
    let message = format!("write the archive {}: {why}", target.display());
    Err(Error::new(ErrorKind::Invalid, message))
}

/// What is read through it is summed and counted.
struct Summed<R> {
    reader: R,
    sum: Hasher,
    bytes: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(into)?;
        self.sum.update(&into[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
