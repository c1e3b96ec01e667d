//! What one entry holds, streamed. Memory: 32 KiB of the archive and the 50 KiB of inflating.

use std::io::{self, BufReader, Read};

use crc32fast::Hasher;
use flate2::bufread::DeflateDecoder;
use rawzip::{FileReader, RangeReader};

use super::entry::{ZipMethod, ZipPlace};
use super::{ZipArchive, ZipFigures, ZipLimits};
use crate::error::{Error, ErrorKind};

/// Bytes of the archive that are read at once to inflate.
const READ_BYTES: usize = 32 << 10;

/// Streams what an entry holds. It never gives more bytes than the directory says, and the read that
/// would return 0 fails with [`io::ErrorKind::InvalidData`] and an [`Error`] of
/// [`ErrorKind::Malformed`] inside where length or CRC-32 are others: who stops earlier has bytes that
/// nobody proved.
#[derive(Debug)]
pub struct ZipReader<'a> {
    source: Source<'a>,
    archive: &'a ZipArchive,
    place: ZipPlace,
    done_bytes: u64,
    sum: Hasher,
    is_over: bool,
}

#[derive(Debug)]
enum Source<'a> {
    Stored(RangeReader<&'a FileReader>),
    Deflated(DeflateDecoder<BufReader<RangeReader<&'a FileReader>>>),
}

impl ZipArchive {
    /// Begins to read what an entry of this archive holds.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for encrypted entries and other methods than stored and deflated;
    /// [`ErrorKind::Exhausted`] for one beyond `limits`; [`ErrorKind::Malformed`] where the place is no
    /// entry's; [`ErrorKind::Io`].
    pub fn read(&self, place: ZipPlace, limits: &ZipLimits) -> Result<ZipReader<'_>, Error> {
        self.check_readable(&place)?;
        limits.admit(self, &place, b"")?;
        let extent = self.extent(&place, &mut Vec::new())?;
        let range = self.range(extent.data_at, extent.data_end);
        let source = match place.method {
            ZipMethod::Deflated => {
                let buffered = BufReader::with_capacity(READ_BYTES, range);
                Source::Deflated(DeflateDecoder::new(buffered))
            }
            _ => Source::Stored(range),
        };
        Ok(ZipReader {
            source,
            archive: self,
            place,
            done_bytes: 0,
            sum: Hasher::new(),
            is_over: false,
        })
    }

    /// [Checks](ZipArchive::check) the archive and reads all that it holds, to compare every length and
    /// CRC-32; O(bytes of the contents). Entries that can't be read (encrypted, other methods) aren't.
    ///
    /// # Errors
    /// As [`ZipArchive::check`] and [`ZipReader`]; the message names the entry.
    pub fn verify(&self, limits: &ZipLimits) -> Result<ZipFigures, Error> {
        let figures = self.check(limits)?;
        let mut buffer = vec![0; READ_BYTES];
        self.walk(|entry| {
            let place = entry.place();
            if self.check_readable(&place).is_err() {
                return Ok(());
            }
            let mut reader = self.read(place, limits)?;
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        let message = format!("verify {}", entry.shown());
                        return Err(Error::with_source(ErrorKind::Malformed, message, error));
                    }
                    Err(error) => return Err(self.io("verify", error)),
                }
            }
        })?;
        Ok(figures)
    }
}

impl ZipReader<'_> {
    fn damaged(&self, why: &str) -> io::Error {
        let error = self.archive.malformed("read an entry of", why);
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    fn read_source(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.source.read(into).map_err(|error| {
            // What the system refuses has its number; the rest is of inflating.
            if error.raw_os_error().is_some() {
                return error;
            }
            self.damaged(&format!("its compressed bytes are damaged ({error})"))
        })
    }

    /// The end, or what is wrong with it.
    fn end(&mut self) -> io::Result<usize> {
        if self.read_source(&mut [0])? != 0 {
            let why = format!(
                "it holds more than the {} bytes that it says",
                self.place.content_bytes
            );
            return Err(self.damaged(&why));
        }
        let found = self.sum.clone().finalize();
        if found != self.place.crc32 {
            let why = format!(
                "its CRC-32 is {found:08x} and should be {:08x}",
                self.place.crc32
            );
            return Err(self.damaged(&why));
        }
        self.is_over = true;
        Ok(0)
    }
}

impl Read for ZipReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.place.content_bytes - self.done_bytes;
        if self.is_over || into.is_empty() {
            return Ok(0);
        }
        if left == 0 {
            return self.end();
        }
        let wanted = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.read_source(&mut into[..wanted])?;
        if read == 0 {
            let why = format!(
                "it ends after {} of {} bytes",
                self.done_bytes, self.place.content_bytes
            );
            return Err(self.damaged(&why));
        }
        self.sum.update(&into[..read]);
        self.done_bytes += read as u64;
        Ok(read)
    }
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Stored(range) => range.read(into),
            Source::Deflated(decoder) => decoder.read(into),
        }
    }
}
