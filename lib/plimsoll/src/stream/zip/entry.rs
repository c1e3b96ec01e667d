//! One entry of a directory, as the directory tells it. No memory of its own: it shows the buffer of
//! the walk.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rawzip::{ZipArchiveEntryWayfinder, ZipFileHeaderRecord};

use super::ZipArchive;
use super::header::{self, CENTRAL_BYTES, LOCAL_BYTES, u16_at, u32_at};
use crate::error::{Error, ErrorKind};

/// An entry, for as long as a walk is at it; [`ZipEntry::place`] is what can be kept. What it says is
/// what the directory says: only [`ZipArchive::check`] and reading it to its end show whether it is so.
#[derive(Debug)]
pub struct ZipEntry<'a> {
    archive: &'a ZipArchive,
    record: ZipFileHeaderRecord<'a>,
}

/// How an entry is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZipMethod {
    /// As it is: method 0.
    Stored,
    /// By deflate: method 8.
    Deflated,
    /// Another one, by its number in the format's APPNOTE, 4.4.5: can be copied raw and not be read.
    Other(u16),
}

impl ZipMethod {
    pub(super) fn number(self) -> u16 {
        match self {
            ZipMethod::Stored => 0,
            ZipMethod::Deflated => 8,
            ZipMethod::Other(number) => number,
        }
    }
}

impl From<u16> for ZipMethod {
    fn from(number: u16) -> ZipMethod {
        match number {
            0 => ZipMethod::Stored,
            8 => ZipMethod::Deflated,
            number => ZipMethod::Other(number),
        }
    }
}

/// Where an entry is in its archive, and how it is stored: what it takes to read it, in 56 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZipPlace {
    pub(super) header_at: u64,
    pub(super) stored_bytes: u64,
    pub(super) content_bytes: u64,
    pub(super) crc32: u32,
    pub(super) method: ZipMethod,
    pub(super) is_encrypted: bool,
}

impl ZipPlace {
    /// Bytes of what the entry holds, as the directory says.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Bytes of the same in the archive.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }
}

impl<'a> ZipEntry<'a> {
    pub(super) fn new(archive: &'a ZipArchive, record: ZipFileHeaderRecord<'a>) -> ZipEntry<'a> {
        ZipEntry { archive, record }
    }

    pub(super) fn archive(&self) -> &'a ZipArchive {
        self.archive
    }

    /// The name, by its bytes: most often UTF-8 or code page 437, folders end in `/`.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.record.file_path().as_bytes()
    }

    /// The name as a path below some folder; None for one that leads elsewhere (absolute, with `..`, a
    /// drive letter or a zero byte) or is empty. A backslash counts as a separator.
    #[must_use]
    pub fn safe_path(&self) -> Option<&Path> {
        let name = self.name();
        let mut parts = name.split(|byte| matches!(byte, b'/' | b'\\'));
        let leads_elsewhere = name.is_empty()
            || matches!(name[0], b'/' | b'\\')
            || name.get(1) == Some(&b':')
            || name.contains(&0)
            || parts.any(|part| part == b"..");
        (!leads_elsewhere).then(|| Path::new(OsStr::from_bytes(name)))
    }

    /// What the directory has beside the entry, in no stated encoding.
    #[must_use]
    pub fn comment(&self) -> &[u8] {
        self.record.comment().as_bytes()
    }

    /// How its bytes are stored.
    #[must_use]
    pub fn method(&self) -> ZipMethod {
        self.record.compression_method().as_u16().into()
    }

    /// CRC-32 of what it holds.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        self.record.crc32()
    }

    /// Bytes of what it holds.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.record.uncompressed_size_hint()
    }

    /// Bytes of the same in the archive.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.record.compressed_size_hint()
    }

    /// Whether its name ends in a slash: a folder has no content.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.record.is_dir()
    }

    /// Whether it is encrypted: it can be copied raw and not be read.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.record.flags().is_encrypted()
    }

    /// What to keep to read it later.
    #[must_use]
    pub fn place(&self) -> ZipPlace {
        ZipPlace {
            header_at: self.record.local_header_offset(),
            stored_bytes: self.stored_bytes(),
            content_bytes: self.content_bytes(),
            crc32: self.crc32(),
            method: self.method(),
            is_encrypted: self.is_encrypted(),
        }
    }

    /// Its record in the directory, as it is in the file.
    pub(super) fn read_record(&self) -> Result<Vec<u8>, Error> {
        let at = self.record.central_directory_offset();
        let mut record = vec![0; CENTRAL_BYTES];
        self.archive.bytes_at(at, &mut record)?;
        let rest = header::central_rest(&record);
        record.resize(CENTRAL_BYTES + rest, 0);
        let rest = &mut record[CENTRAL_BYTES..];
        self.archive.bytes_at(at + CENTRAL_BYTES as u64, rest)?;
        Ok(record)
    }

    /// What an error calls it.
    pub(super) fn shown(&self) -> String {
        shown(self.name())
    }
}

/// A name as an error shows it: not longer than a line, without what moves a terminal.
pub(super) fn shown(name: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    let cut = &name[..name.len().min(SHOWN_MAX)];
    let rest = if cut.len() < name.len() { "…" } else { "" };
    format!("{:?}{rest}", String::from_utf8_lossy(cut))
}

/// Where an entry begins and ends in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) header_at: u64,
    pub(super) data_at: u64,
    pub(super) data_end: u64,
    /// After what follows the data: the descriptor, if there is one.
    pub(super) end: u64,
}

impl ZipArchive {
    /// By the entry's own header, and its descriptor where it has one. `name` is filled with the name
    /// in that header.
    pub(super) fn extent(&self, place: &ZipPlace, name: &mut Vec<u8>) -> Result<Extent, Error> {
        const WHAT: &str = "read an entry of";
        let end = self.entries_end();
        let cut = || self.malformed(WHAT, "it reaches beyond where entries end");
        let header_at = place.header_at;
        let fits = |from: u64, more: u64| from.checked_add(more).filter(|to| *to <= end);
        fits(header_at, LOCAL_BYTES as u64).ok_or_else(cut)?;
        let mut header = [0; LOCAL_BYTES];
        self.bytes_at(header_at, &mut header)?;
        if u32_at(&header, 0) != header::LOCAL_SIGNATURE {
            return Err(self.malformed(WHAT, "the directory points at no entry"));
        }
        let (name_bytes, rest) = (u16_at(&header, 26), header::local_rest(&header) as u64);
        let data_at = fits(header_at, LOCAL_BYTES as u64 + rest).ok_or_else(cut)?;
        let data_end = fits(data_at, place.stored_bytes).ok_or_else(cut)?;
        name.resize(usize::from(name_bytes), 0);
        self.bytes_at(header_at + LOCAL_BYTES as u64, name)?;
        let mut extent = Extent {
            header_at,
            data_at,
            data_end,
            end: data_end,
        };
        if u16_at(&header, 6) & header::FLAG_DESCRIPTOR != 0 {
            let mut after = [0; header::DESCRIPTOR_BYTES_MAX];
            let there = (end - data_end).min(after.len() as u64) as usize;
            self.bytes_at(data_end, &mut after[..there])?;
            let found = header::descriptor_bytes(&after[..there], place);
            let why = "what follows its data does not repeat its sizes and CRC as its header promises; \
                       add what it holds anew instead of copying it";
            extent.end += found.ok_or_else(|| self.malformed(WHAT, why))? as u64;
        }
        Ok(extent)
    }

    /// Refuses what can't be read.
    pub(super) fn check_readable(&self, place: &ZipPlace) -> Result<(), Error> {
        let why = match place.method {
            _ if place.is_encrypted => "it is encrypted".to_owned(),
            ZipMethod::Other(number) => format!("its compression method {number} isn't known"),
            ZipMethod::Stored | ZipMethod::Deflated => return Ok(()),
        };
        let message = format!(
            "read an entry of the archive {}: {why}; it can only be copied as it is",
            self.path.display()
        );
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}

/// The parser's own place holds less than an entry's.
const _: () = assert!(size_of::<ZipPlace>() <= size_of::<ZipArchiveEntryWayfinder>() + 16);
