//! Sorted runs: files of entries in the order of their keys, written once, then read, sought and merged
//! any number of times; and a sort of any number of entries within a stated number of bytes.
//!
//! State of a hundred million things does not have to be a table that is changed in place. Kept as a
//! run, it is read beside what is new, also sorted, in one pass ([`Merge`], or a join by hand over two
//! [`SortedEntries`]s), and what changed is written as another, small run. A [`RunWriter`] takes entries in
//! rising order of their keys and puts the file in place whole or not at all. A [`Run`] is open in
//! O(1), finds a key by an index that stays in the file, is cut into even ranges by
//! [`Run::split_keys`], and into small ones as it is read by [`Run::frame_starts`]. A [`Sorter`] takes entries in any order, and spills sorted runs to temporary
//! files when its memory is full.
//!
//! Keys are compressed by what they share with the key before, frames by LZ4. Every byte is under a
//! checksum: damage is told with the place of the frame that it is in, never as entries. What is left of a
//! damaged run, and between which keys some are lost, is read by a [`Salvage`].
//!
//! **Cost.** Writing: [`RunOptions::frame_bytes`] twice and 16 KiB an index level (of which there are
//! three for 100 million entries), some 200 KiB with the default. Reading: [`Run::reader_bytes`],
//! twice the longest frame. Nothing grows with the number of entries. The page cache is bounded too:
//! pages behind are written out and dropped, so that at most three windows of 1 MiB and half a one read
//! ahead are in it, for each file that is being written or read from end to end. On disk, 66
//! bytes an entry were measured for keys of 100 bytes with values of 29. A [`Sorter`]: what it is
//! given, see there. No thread.
//!
//! **Not for.** Changing entries in place, or many look-ups of single keys: each reads one frame for
//! every level, 2 or 3 for 100 million entries, and nothing is cached. Use a database for that.
//! Readers drop pages behind themselves, also for others that read the same file. Values of more than
//! 64 KiB and keys of more than 4 KiB are refused.
//!
//! ```
//! use plimsoll::runs::{SortedEntries, Run, RunOptions, RunWriter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("plimsoll-doc-runs-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let path = folder.join("ages.run");
//! let mut writer = RunWriter::create(&path, RunOptions::default())?;
//! writer.push(b"ada", &[36])?;
//! writer.push(b"alan", &[41])?;
//! writer.commit()?;
//!
//! let run = Run::open(&path)?;
//! let mut reader = run.reader_from(b"ae")?;
//! assert!(reader.advance()?);
//! assert_eq!((reader.key(), reader.value()), (&b"alan"[..], &[41][..]));
//! assert!(!reader.advance()?);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```

mod entries;
mod frame;
mod merge;
mod pages;
mod reader;
mod run;
mod salvage;
mod sort;
mod starts;
mod writer;

use crate::error::{Error, ErrorKind};

pub use merge::Merge;
pub use reader::RunReader;
pub use run::{Run, RunFigures};
pub use salvage::{Gap, Salvage, SalvageFigures};
pub use sort::{SortFigures, SortOptions, Sorted, Sorter};
pub use starts::FrameStarts;
pub use writer::RunWriter;

/// Four times the longest key of S3, so that names with a prefix or a suffix fit too.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// A value is read and written whole: what is larger belongs into a file of its own.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// Less, and heads of frames and lost compression cost more than the entries.
const FRAME_BYTES_MIN: usize = 4 << 10;
/// More compresses no better: LZ4 sees 64 KiB back.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// How to write a run: `RunOptions { frame_bytes: 16 << 10, ..RunOptions::default() }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunOptions {
    /// Bytes of entries in a frame before it is compressed, 4 KiB to 1 MiB; 64 KiB by default. A frame
    /// is full once it is that long, so its last entry may go beyond. Readers hold it twice.
    pub frame_bytes: usize,
    /// Permissions of the file; `None` keeps those of the file that is replaced, or takes those of any
    /// new file.
    pub mode: Option<u32>,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            frame_bytes: 64 << 10,
            mode: None,
        }
    }
}

impl RunOptions {
    /// The same with frames of so many bytes.
    #[must_use]
    pub fn frame_bytes(self, frame_bytes: usize) -> RunOptions {
        RunOptions {
            frame_bytes,
            ..self
        }
    }

    /// The same with these permissions, such as `0o600`.
    #[must_use]
    pub fn mode(self, mode: u32) -> RunOptions {
        RunOptions {
            mode: Some(mode),
            ..self
        }
    }

    fn check(&self) -> Result<(), Error> {
        if (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&self.frame_bytes) {
            return Ok(());
        }
        let message = format!(
            "write a run in frames of {} bytes: they have {FRAME_BYTES_MIN} to {FRAME_BYTES_MAX}",
            self.frame_bytes
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }
}

/// Entries in strictly rising order of their keys, one at a time.
pub trait SortedEntries {
    /// Goes to the next entry, at first to the first; false when there is none, then and ever after.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Malformed`] of what is read, and after an error again.
    fn advance(&mut self) -> Result<bool, Error>;

    /// The key of this entry. Before the first and behind the last one it means nothing.
    fn key(&self) -> &[u8];

    /// The value of this entry.
    fn value(&self) -> &[u8];
}

impl<C: SortedEntries + ?Sized> SortedEntries for Box<C> {
    fn advance(&mut self) -> Result<bool, Error> {
        (**self).advance()
    }

    fn key(&self) -> &[u8] {
        (**self).key()
    }

    fn value(&self) -> &[u8] {
        (**self).value()
    }
}

/// An entry that is longer than any run holds.
fn check_lengths(key: &[u8], value: &[u8]) -> Result<(), Error> {
    if key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "write an entry with a key of {} and a value of {} bytes: at most {KEY_BYTES_MAX} and \
         {VALUE_BYTES_MAX} are taken",
        key.len(),
        value.len()
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// Bytes of a key as a message shows them, not more than tell it apart.
fn shown(key: &[u8]) -> impl std::fmt::Display {
    const SHOWN_MAX: usize = 120;
    let cut = &key[..key.len().min(SHOWN_MAX)];
    let more = if cut.len() < key.len() { "…" } else { "" };
    format!("\"{}{more}\"", cut.escape_ascii())
}
