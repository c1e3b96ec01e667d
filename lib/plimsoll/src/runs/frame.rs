//! A run as bytes, version 1:
//!
//! ```text
//! header   "plimruns", version u32, checksum u32                                       16 bytes
//! frame    kind u8, raw length u24, stored length u32, checksum u32, stored bytes      any number
//! trailer  entries u64, root at u64, frames at 0 u64, longest raw u32, chain u32,
//!          length of the file u64, levels u32, checksum u32, "plimruns"                56 bytes
//! ```
//!
//! Numbers are little-endian. Stored bytes are LZ4 where that is shorter, else the raw ones. Frames of
//! kind 0 hold entries; those of kind n > 0 are the index of level n, whose entries are the first key
//! of a frame one level below, and where it is. A frame of an index stands after all frames that it
//! names, so a run is written in one pass; the last frame is the root. A frame's checksum is of its
//! place in the file, its head and its bytes, so one that was moved is damage too. The chain sums up
//! the checksums of all frames in order: a frame out of another run is found when all are read.
//!
//! Memory: the bytes of one frame, stored and raw.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lz4_flex::block;

use crate::error::{Error, ErrorKind};
use crc32fast::Hasher;

pub(super) const MAGIC: &[u8; 8] = b"plimruns";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const HEAD_BYTES: usize = 12;
pub(super) const TRAILER_BYTES: usize = 56;

/// What three bytes hold.
pub(super) const RAW_BYTES_MAX: usize = (1 << 24) - 1;
/// With 16 KiB frames of an index and keys of 100 bytes, 2^63 entries need 8.
pub(super) const LEVELS_MAX: u32 = 32;

/// Level of frames that hold entries.
pub(super) const ENTRIES: u8 = 0;

/// What stands before the stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) level: u8,
    pub(super) raw: usize,
    pub(super) stored: usize,
    pub(super) checksum: u32,
}

impl Head {
    pub(super) fn parse(bytes: &[u8; HEAD_BYTES]) -> Head {
        Head {
            level: bytes[0],
            raw: number(&bytes[1..4]) as usize,
            stored: number(&bytes[4..8]) as usize,
            checksum: number(&bytes[8..12]) as u32,
        }
    }

    fn bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = self.level;
        bytes[1..4].copy_from_slice(&(self.raw as u32).to_le_bytes()[..3]);
        bytes[4..8].copy_from_slice(&(self.stored as u32).to_le_bytes());
        bytes[8..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// Whether a frame that some writer wrote can begin so, with so many bytes behind its start.
    pub(super) fn is_possible(self, left: u64, longest_raw: usize) -> bool {
        u32::from(self.level) <= LEVELS_MAX
            && (1..=self.raw).contains(&self.stored)
            && self.raw <= longest_raw
            && (HEAD_BYTES + self.stored) as u64 <= left
    }

    /// What the checksum has to be when these are the bytes, at this place.
    fn sum(self, at: u64, stored: &[u8]) -> u32 {
        let mut sum = Hasher::new();
        sum.update(&at.to_le_bytes());
        sum.update(&self.bytes()[..8]);
        sum.update(stored);
        sum.finalize()
    }
}

/// Sums up checksums of frames in their order.
#[derive(Clone, Debug)]
pub(super) struct Chain(Hasher);

impl Chain {
    pub(super) fn new() -> Chain {
        Chain(Hasher::new())
    }

    pub(super) fn add(&mut self, head: Head) {
        self.0.update(&head.checksum.to_le_bytes());
    }

    pub(super) fn sum(&self) -> u32 {
        self.0.clone().finalize()
    }
}

/// Appends to `out`, which is empty, the frame of `raw` that will stand at `at`.
pub(super) fn encode(level: u8, raw: &[u8], at: u64, out: &mut Vec<u8>) -> Head {
    let room = block::get_maximum_output_size(raw.len());
    resize(out, HEAD_BYTES + room);
    let packed = block::compress_into(raw, &mut out[HEAD_BYTES..])
        .expect("the room is that of the worst case");
    let stored = if packed < raw.len() {
        packed
    } else {
        out[HEAD_BYTES..HEAD_BYTES + raw.len()].copy_from_slice(raw);
        raw.len()
    };
    out.truncate(HEAD_BYTES + stored);
    let mut head = Head {
        level,
        raw: raw.len(),
        stored,
        checksum: 0,
    };
    head.checksum = head.sum(at, &out[HEAD_BYTES..]);
    out[..HEAD_BYTES].copy_from_slice(&head.bytes());
    head
}

/// One frame that was read: its raw bytes, and the room for its stored ones.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) raw: Vec<u8>,
    stored: Vec<u8>,
}

impl Frame {
    /// Reads the frame at `at`, which ends before `end`; checks it whole.
    pub(super) fn read(
        &mut self,
        file: &File,
        at: u64,
        end: u64,
        longest_raw: usize,
    ) -> Result<Head, ReadError> {
        let mut bytes = [0; HEAD_BYTES];
        if end.saturating_sub(at) < HEAD_BYTES as u64 {
            return Err(ReadError::Damaged("a frame is cut off"));
        }
        file.read_exact_at(&mut bytes, at)?;
        let head = Head::parse(&bytes);
        let left = end - at - HEAD_BYTES as u64;
        // Before anything is allocated for lengths that may be damage.
        if head.stored as u64 > left || head.raw > longest_raw || head.stored > head.raw {
            return Err(ReadError::Damaged("a frame is longer than it can be"));
        }
        resize(&mut self.stored, head.stored);
        file.read_exact_at(&mut self.stored, at + HEAD_BYTES as u64)?;
        if head.sum(at, &self.stored) != head.checksum {
            return Err(ReadError::Damaged("its checksum does not hold"));
        }
        resize(&mut self.raw, head.raw);
        if head.stored == head.raw {
            self.raw.copy_from_slice(&self.stored);
            return Ok(head);
        }
        match block::decompress_into(&self.stored, &mut self.raw) {
            Ok(length) if length == head.raw => Ok(head),
            _ => Err(ReadError::Damaged("it can't be decompressed")),
        }
    }
}

/// To exactly this length, without room in vain.
fn resize(bytes: &mut Vec<u8>, length: usize) {
    bytes.clear();
    if bytes.capacity() < length {
        // Not `reserve`: what is in it would be moved, and both be there meanwhile.
        drop(std::mem::take(bytes));
        bytes.reserve_exact(length);
    }
    bytes.resize(length, 0);
}

/// What stands at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) entries: u64,
    /// Where the root of the index is.
    pub(super) root: u64,
    /// Frames that hold entries.
    pub(super) frames: u64,
    /// Raw bytes of the longest frame: what a reader needs.
    pub(super) longest_raw: u32,
    pub(super) chain: u32,
    pub(super) file_bytes: u64,
    /// Levels of the index, the root's included.
    pub(super) levels: u32,
}

impl Trailer {
    pub(super) fn bytes(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.extend_from_slice(&self.entries.to_le_bytes());
        bytes.extend_from_slice(&self.root.to_le_bytes());
        bytes.extend_from_slice(&self.frames.to_le_bytes());
        bytes.extend_from_slice(&self.longest_raw.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&self.file_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.levels.to_le_bytes());
        bytes.extend_from_slice(&sum_of(&bytes).to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        bytes.try_into().expect("the parts add up to the constant")
    }

    /// Whether its numbers are those of some run.
    pub(super) fn is_possible(&self) -> bool {
        let Some(at) = self.file_bytes.checked_sub(TRAILER_BYTES as u64) else {
            return false;
        };
        self.levels <= LEVELS_MAX
            && self.longest_raw as usize <= RAW_BYTES_MAX
            && (self.entries == 0) == (self.levels == 0)
            && (self.levels == 0 || (HEADER_BYTES as u64..at).contains(&self.root))
    }

    pub(super) fn parse(bytes: &[u8; TRAILER_BYTES]) -> Result<Trailer, ReadError> {
        let (numbers, rest) = bytes.split_at(TRAILER_BYTES - 12);
        if &rest[4..] != MAGIC {
            return Err(ReadError::Damaged(
                "it does not end as a run does: it was cut off, or something was appended",
            ));
        }
        if number(&rest[..4]) as u32 != sum_of(numbers) {
            return Err(ReadError::Damaged("the checksum of its end does not hold"));
        }
        Ok(Trailer {
            entries: number(&numbers[..8]),
            root: number(&numbers[8..16]),
            frames: number(&numbers[16..24]),
            longest_raw: number(&numbers[24..28]) as u32,
            chain: number(&numbers[28..32]) as u32,
            file_bytes: number(&numbers[32..40]),
            levels: number(&numbers[40..44]) as u32,
        })
    }
}

pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = sum_of(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The version that a header tells.
pub(super) fn parse_header(bytes: &[u8; HEADER_BYTES]) -> Result<u32, ReadError> {
    if &bytes[..8] != MAGIC {
        return Err(ReadError::Damaged(
            "it does not start with \"plimruns\": this is something else",
        ));
    }
    if number(&bytes[12..]) as u32 != sum_of(&bytes[..12]) {
        return Err(ReadError::Damaged(
            "the checksum of its start does not hold",
        ));
    }
    Ok(number(&bytes[8..12]) as u32)
}

fn sum_of(bytes: &[u8]) -> u32 {
    let mut sum = Hasher::new();
    sum.update(bytes);
    sum.finalize()
}

pub(super) fn number(bytes: &[u8]) -> u64 {
    let whole = bytes.iter().rev();
    whole.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Why something could not be read, before it is said where.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    Damaged(&'static str),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Damaged("it ends in the middle"),
            _ => ReadError::Io(error),
        }
    }
}

impl ReadError {
    /// The error for the frame at `at` of the run at `path`.
    pub(super) fn locate(self, path: &Path, at: u64) -> Error {
        let path = path.display();
        match self {
            ReadError::Io(error) => {
                let message = format!("read the run {path} at byte {at}");
                Error::with_source(ErrorKind::Io, message, error)
            }
            ReadError::Damaged(what) => {
                let message = format!(
                    "read the run {path}, damaged at byte {at}: {what}; take the file from a copy or \
                     make it anew"
                );
                Error::new(ErrorKind::Malformed, message)
            }
        }
    }
}
