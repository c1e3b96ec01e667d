//! One of the two slots of a page: header, text, and a checksum over both.

use plimsoll_model::{Gap, GapReason, Target};

use super::WHAT;

const MAGIC: &[u8; 8] = b"plimsoll";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 48;
const CHECKSUM_AT: usize = 40;
pub(super) const SLOT_BYTES: u64 = 16 << 10;
pub(super) const PAGE_BYTES: u64 = 2 * SLOT_BYTES;
const TEXT_MAX: usize = SLOT_BYTES as usize - HEADER_BYTES;

/// A slot whose checksum fits.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) sequence: u64,
    /// Of the process that wrote it, as field 22 of /proc/PID/stat has it.
    pub(super) start_time: u64,
    /// Nanoseconds since the Unix epoch.
    pub(super) written_at: u64,
    pub(super) text: Vec<u8>,
}

/// Why there is none. Of two, the greater one says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SlotError {
    /// Not written yet, or its pages are not resident.
    Absent,
    /// Something else than a slot.
    Foreign,
    /// The checksum does not fit: it is being written, or damaged.
    Torn,
    Version(u16),
    /// A copy of the mapping in a child is its parent's account, not its own.
    OtherProcess,
}

impl SlotError {
    pub(super) fn gap(self) -> Gap {
        let (reason, detail) = match self {
            SlotError::Absent => (
                GapReason::Absent,
                "its beacon is not resident, or was never written".to_owned(),
            ),
            SlotError::Foreign => (
                GapReason::Malformed,
                "its beacon holds something else than figures".to_owned(),
            ),
            SlotError::Torn => (
                GapReason::Malformed,
                "no slot of its beacon has a checksum that fits".to_owned(),
            ),
            SlotError::OtherProcess => (
                GapReason::Absent,
                "its beacon was written by another process, or in another time namespace"
                    .to_owned(),
            ),
            SlotError::Version(version) => (
                GapReason::Unsupported,
                format!(
                    "its beacon has version {version}, and this plimsoll reads version {VERSION}"
                ),
            ),
        };
        Gap::new(WHAT, reason, detail)
    }
}

impl Slot {
    pub(super) fn read(target: &dyn Target, at: u64) -> Result<Slot, SlotError> {
        let mut header = [0; HEADER_BYTES];
        if !target.read(at, &mut header) || header == [0; HEADER_BYTES] {
            return Err(SlotError::Absent);
        }
        if header[..8] != *MAGIC {
            return Err(SlotError::Foreign);
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version != VERSION {
            return Err(SlotError::Version(version));
        }
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
        let header_bytes = u16::from_le_bytes([header[10], header[11]]);
        if usize::from(header_bytes) != HEADER_BYTES || length > TEXT_MAX {
            return Err(SlotError::Foreign);
        }
        let mut text = vec![0; length];
        if !target.read(at + HEADER_BYTES as u64, &mut text) {
            return Err(SlotError::Absent);
        }
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&header[..CHECKSUM_AT]);
        checksum.update(&text);
        if checksum.finalize().to_le_bytes() != header[CHECKSUM_AT..CHECKSUM_AT + 4] {
            return Err(SlotError::Torn);
        }
        let number = |at: usize| u64::from_le_bytes(*header[at..].first_chunk().unwrap_or(&[0; 8]));
        Ok(Slot {
            sequence: number(16),
            start_time: number(24),
            written_at: number(32),
            text,
        })
    }
}
