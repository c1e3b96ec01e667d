//! Bytes and files of any size through buffers of a stated size: copy, move, replace, temporary
//! space, and pipelines whose queues are bounded in bytes.
//!
//! [`copy`] moves bytes from a reader to a writer through one buffer, and sums them. [`copy_file`]
//! and [`move_file`] do so with files and never show half of one: the copy is written beside the
//! target, read back and compared, made durable, and put in place by one rename. [`AtomicFile`] is
//! that for what a program writes itself. [`TempSpace`] lends temporary files up to a limit of bytes
//! together. With the feature `zip`, `zip` streams entries of ZIP archives. [`Pipeline`] runs steps in threads with bounded queues between them.
//!
//! **Cost.** A copy or move: one buffer of [`CopyOptions::buffer_bytes`] (256 KiB by default), no
//! thread; each byte is read, summed (CRC-32) and written once, and files are read once more, unless
//! [`Verify::None`] has the kernel copy them. An [`AtomicFile`] or [`TempFile`]: a descriptor and
//! some 100 bytes. A [`Pipeline`]: see there.
//!
//! **Not for.** Bounding the page cache: file pages beside the buffer are the kernel's, which takes
//! them back when memory is short. Copying folders, links, devices, sockets, owners, extended
//! attributes or holes (a hole is copied as zeros). Protection from a disk that lies about what it
//! has stored: reading back finds what the file system or another writer spoiled.
//!
//! ```
//! use plimsoll::stream::{CopyOptions, copy};
//!
//! # fn main() -> Result<(), plimsoll::Error> {
//! let mut target = Vec::new();
//! let options = CopyOptions { buffer_bytes: 4 << 10, ..CopyOptions::default() };
//! let copied = copy(&b"123456789"[..], &mut target, options)?;
//! assert_eq!((copied.bytes, copied.crc32), (9, Some(0xcbf4_3926)));
//! # Ok(())
//! # }
//! ```

mod atomic;
mod files;
mod pipeline;
mod queue;
mod temp;
#[cfg(feature = "zip")]
pub mod zip;

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crc32fast::Hasher;

use crate::amount::Amount;
use crate::error::{Error, ErrorKind};

pub use atomic::{AtomicFile, remove_leftovers};
pub use files::{Moved, copy_file, move_file};
pub use pipeline::{Outlet, Pipeline, PipelineFigures};
pub use queue::QueueFigures;
pub use temp::{TempFigures, TempFile, TempSpace};

/// Less than a page makes a system call for every few bytes.
const BUFFER_MIN: usize = 4 << 10;
/// More is no faster anywhere, and was most likely meant as another number.
const BUFFER_MAX: usize = 64 << 20;

/// How to copy: `CopyOptions { buffer_bytes: 1 << 20, ..CopyOptions::default() }`.
pub struct CopyOptions<'a> {
    /// Size of the one buffer, 4 KiB to 64 MiB; 256 KiB by default.
    pub buffer_bytes: usize,
    /// Looked at before each buffer is filled, and once more before a file is put in place.
    pub cancel: Option<&'a Cancel>,
    /// Told after each buffer, in the copying thread; after each 16 MiB where the kernel copies.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
    /// Whether files are read back; [`Verify::ReadBack`] by default.
    pub verify: Verify,
}

/// What is done to prove a copied file, after it is on the disk and before it is in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verify {
    /// Reads all of the copy and compares length and CRC-32 with what was read from the source. The
    /// kernel is first asked to drop the copy's pages, so that the bytes come from where the file
    /// system has stored them. That proves that the file system returns what was read, so it finds
    /// what the way there spoiled: another writer, memory, a driver, a disk that lost a write. It
    /// does not prove that the source was right, that a disk has stored what it still answers out of
    /// its own cache, or what a change of more than 32 bits had a chance in 4 billion to hide.
    #[default]
    ReadBack,
    /// Nothing: the kernel copies the bytes (copy_file_range(2), which shares them where the file
    /// system can), and nothing sums them. The copy is durable and put in place whole all the same,
    /// and its length is compared with the source's.
    None,
}

impl Default for CopyOptions<'_> {
    fn default() -> Self {
        CopyOptions {
            buffer_bytes: 256 << 10,
            cancel: None,
            progress: None,
            verify: Verify::ReadBack,
        }
    }
}

impl fmt::Debug for CopyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOptions")
            .field("buffer_bytes", &self.buffer_bytes)
            .field("cancel", &self.cancel)
            .field("progress", &self.progress.is_some())
            .field("verify", &self.verify)
            .finish()
    }
}

/// Says from elsewhere that work is to end. A clone is the same switch.
///
/// ```
/// use plimsoll::ErrorKind;
/// use plimsoll::stream::{Cancel, CopyOptions, copy};
///
/// let cancel = Cancel::new();
/// cancel.clone().cancel();
/// let options = CopyOptions { cancel: Some(&cancel), ..CopyOptions::default() };
/// let error = copy(&b"bytes"[..], Vec::new(), options).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Cancelled);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that nobody has used yet. A clone is the same one; 8 bytes and an atomic flag.
    #[must_use]
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends the work at its next buffer, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What the copy is at.
    pub phase: Phase,
    /// Bytes done in this phase.
    pub done_bytes: u64,
    /// Size of the source when the copy began; None of a reader.
    pub total_bytes: Option<u64>,
}

/// What a copy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reads the source and writes the copy.
    Copying,
    /// Reads the copy back.
    Verifying,
}

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Bytes that were copied.
    pub bytes: u64,
    /// CRC-32 of ISO-HDLC, that of ZIP and PNG; None where the kernel copied.
    pub crc32: Option<u32>,
}

/// Copies all of `reader` to `writer` and flushes it, O(bytes). Reads that were interrupted are
/// repeated.
///
/// # Errors
/// [`ErrorKind::Io`] for what fails, with the number of bytes before it; the writer has some or all of
/// them then. [`ErrorKind::Cancelled`], and [`ErrorKind::Invalid`] for a buffer beyond its range.
pub fn copy(
    mut reader: impl Read,
    mut writer: impl Write,
    options: CopyOptions<'_>,
) -> Result<Copied, Error> {
    Pump::new(options)?.run(&mut reader, &mut writer, Phase::Copying, None)
}

/// One buffer, and who wants to know.
#[derive(Debug)]
struct Pump<'a> {
    buffer: Vec<u8>,
    options: CopyOptions<'a>,
}

impl<'a> Pump<'a> {
    fn new(options: CopyOptions<'a>) -> Result<Pump<'a>, Error> {
        let bytes = options.buffer_bytes;
        if !(BUFFER_MIN..=BUFFER_MAX).contains(&bytes) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "copy through a buffer of {}: it takes {} to {}",
                    Amount(bytes as u64),
                    Amount(BUFFER_MIN as u64),
                    Amount(BUFFER_MAX as u64),
                ),
            ));
        }
        Ok(Pump {
            buffer: vec![0; bytes],
            options,
        })
    }

    fn check_cancel(&self, done: u64) -> Result<(), Error> {
        if !self.options.cancel.is_some_and(Cancel::is_cancelled) {
            return Ok(());
        }
        let message = format!("copy: cancelled after {}", Amount(done));
        Err(Error::new(ErrorKind::Cancelled, message))
    }

    fn tell(&mut self, phase: Phase, done_bytes: u64, total_bytes: Option<u64>) {
        if let Some(progress) = &mut self.options.progress {
            progress(Progress {
                phase,
                done_bytes,
                total_bytes,
            });
        }
    }

    fn run(
        &mut self,
        reader: &mut dyn Read,
        writer: &mut dyn Write,
        phase: Phase,
        total_bytes: Option<u64>,
    ) -> Result<Copied, Error> {
        let (mut done, mut sum) = (0_u64, Hasher::new());
        let failed = |what: &str, done, error: io::Error| {
            Error::with_source(
                ErrorKind::Io,
                format!("copy: {what} after {done} bytes"),
                error,
            )
        };
        loop {
            self.check_cancel(done)?;
            let read = match reader.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("reading failed", done, error)),
            };
            let chunk = &self.buffer[..read];
            writer
                .write_all(chunk)
                .map_err(|error| failed("writing failed", done, error))?;
            sum.update(chunk);
            done += read as u64;
            self.tell(phase, done, total_bytes);
        }
        writer
            .flush()
            .map_err(|error| failed("flushing failed", done, error))?;
        Ok(Copied {
            bytes: done,
            crc32: Some(sum.finalize()),
        })
    }
}
