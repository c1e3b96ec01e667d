//! What came of uploads and deletions, appended as it happens.
//!
//! ```text
//! header  "mirrjrnl", version u32, generation u64, checksum of the delta u32, CRC-32 u32    28 bytes
//! frame   length u32, CRC-32 u32, entries
//! entry   kind u8, ordinal in the delta (number), and of a failure: reason u8, detail (number),
//!         seconds since 1970 (number)
//! ```
//!
//! Numbers are little-endian, or varints where it says (number). An entry names its key by where it
//! stands in the delta: 100 million results are 0.6 GB instead of 12. A frame's CRC-32 is of its place,
//! its length and its entries. What a crash left unfinished at the end is dropped: those results are
//! had again by doing the work again, which changes nothing. A bad frame before good ones is damage.
//!
//! Memory: one frame, at most 8 KiB.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use plimsoll::runs::Sorter;

use crate::number::{put_number, take_number};
use crate::record::{Outcome, decode_reason, encode_reason};

const MAGIC: &[u8; 8] = b"mirrjrnl";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 28;
const HEAD_BYTES: usize = 8;

/// Results in a frame, and how long one waits for others: what a crash may forget.
const FRAME_RESULTS: usize = 100;
const FRAME_WAIT: Duration = Duration::from_secs(1);
/// 100 entries of at most 25 bytes, rounded up; more is damage.
const FRAME_BYTES_MAX: usize = 8 << 10;

/// One line of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// What came of the entry of the delta with this ordinal, counted from 0.
    Result(u64, Outcome),
    /// Uploads may have begun of entries before this ordinal.
    UploadsBegun(u64),
    /// Deletions may have begun of entries before this ordinal.
    DeletionsBegun(u64),
}

const UPLOADED: u8 = 1;
const DELETED: u8 = 2;
const FAILED: u8 = 3;
const UPLOADS_BEGUN: u8 = 4;
const DELETIONS_BEGUN: u8 = 5;
const ADOPTED: u8 = 6;

impl Entry {
    pub(super) fn encode(self, bytes: &mut Vec<u8>) {
        match self {
            Entry::Result(ordinal, outcome) => {
                bytes.push(match outcome {
                    Outcome::Uploaded => UPLOADED,
                    Outcome::Deleted => DELETED,
                    Outcome::Adopted => ADOPTED,
                    Outcome::Failed(..) => FAILED,
                });
                put_number(bytes, ordinal);
                if let Outcome::Failed(reason, at) = outcome {
                    encode_reason(reason, bytes);
                    put_number(bytes, at);
                }
            }
            Entry::UploadsBegun(ordinal) => {
                bytes.push(UPLOADS_BEGUN);
                put_number(bytes, ordinal);
            }
            Entry::DeletionsBegun(ordinal) => {
                bytes.push(DELETIONS_BEGUN);
                put_number(bytes, ordinal);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Result<Entry> {
        let Some((&kind, rest)) = from.split_first() else {
            bail!("an entry is cut off");
        };
        *from = rest;
        let ordinal = take_number(from)?;
        Ok(match kind {
            UPLOADED => Entry::Result(ordinal, Outcome::Uploaded),
            DELETED => Entry::Result(ordinal, Outcome::Deleted),
            ADOPTED => Entry::Result(ordinal, Outcome::Adopted),
            FAILED => {
                let reason = decode_reason(from)?;
                Entry::Result(ordinal, Outcome::Failed(reason, take_number(from)?))
            }
            UPLOADS_BEGUN => Entry::UploadsBegun(ordinal),
            DELETIONS_BEGUN => Entry::DeletionsBegun(ordinal),
            other => bail!("no entry is of kind {other}"),
        })
    }
}

/// Which delta a journal belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Belongs {
    pub generation: u64,
    pub delta_checksum: u32,
}

/// A journal that is written.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    path: PathBuf,
    at: u64,
    frame: Vec<u8>,
    results: usize,
    oldest: Option<Instant>,
}

impl JournalWriter {
    /// Begins an empty journal, durable but for its name in the folder.
    pub fn create(path: &Path, belongs: Belongs) -> Result<JournalWriter> {
        let failed = || format!("create the journal {}", path.display());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .with_context(failed)?;
        file.write_all_at(&header(belongs), 0)
            .with_context(failed)?;
        file.sync_all().with_context(failed)?;
        Ok(JournalWriter::at(file, path, HEADER_BYTES as u64))
    }

    /// Goes on with a journal, behind the last frame that is whole.
    pub fn open(path: &Path, belongs: Belongs) -> Result<JournalWriter> {
        let end = read(path, belongs, |_| Ok(()))?;
        let failed = || format!("open the journal {}", path.display());
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(failed)?;
        file.set_len(end).with_context(failed)?;
        Ok(JournalWriter::at(file, path, end))
    }

    fn at(file: File, path: &Path, at: u64) -> JournalWriter {
        JournalWriter {
            file,
            path: path.to_owned(),
            at,
            frame: vec![0; HEAD_BYTES],
            results: 0,
            oldest: None,
        }
    }

    /// Whether no entry is durable yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == HEADER_BYTES as u64
    }

    /// Takes an entry; it is durable after some time, see [`JournalWriter::tick`].
    pub fn append(&mut self, entry: Entry) -> Result<()> {
        entry.encode(&mut self.frame);
        self.results += 1;
        self.oldest.get_or_insert_with(Instant::now);
        if self.results >= FRAME_RESULTS {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes durable what waits for more than a second.
    pub fn tick(&mut self) -> Result<()> {
        match self.oldest {
            Some(oldest) if oldest.elapsed() >= FRAME_WAIT => self.sync(),
            _ => Ok(()),
        }
    }

    /// Makes all entries durable.
    pub fn sync(&mut self) -> Result<()> {
        if self.results == 0 {
            return Ok(());
        }
        let length = (self.frame.len() - HEAD_BYTES) as u32;
        let sum = sum_of(self.at, length, &self.frame[HEAD_BYTES..]);
        self.frame[..4].copy_from_slice(&length.to_le_bytes());
        self.frame[4..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
        let failed = || {
            format!(
                "write the journal {} at byte {}",
                self.path.display(),
                self.at
            )
        };
        // At a place, not at the end: what a failed write left is written over by the next try.
        self.file
            .write_all_at(&self.frame, self.at)
            .with_context(failed)?;
        self.file.sync_data().with_context(failed)?;
        drop_pages(&self.file);
        self.at += self.frame.len() as u64;
        self.frame.truncate(HEAD_BYTES);
        self.results = 0;
        self.oldest = None;
        Ok(())
    }
}

/// Reads a journal, giving each entry; where the whole frames end.
///
/// # Errors
/// A journal that is damaged or of another delta, and the first error of `each`.
pub fn read(
    path: &Path,
    belongs: Belongs,
    mut each: impl FnMut(Entry) -> Result<()>,
) -> Result<u64> {
    let failed = || format!("read the journal {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let length = file.metadata().with_context(failed)?.len();
    let mut reader = BufReader::with_capacity(16 << 10, &file);
    let mut bytes = [0; HEADER_BYTES];
    if length < HEADER_BYTES as u64 {
        bail!(
            "read the journal {}: it is cut off in its header",
            path.display()
        );
    }
    reader.read_exact(&mut bytes).with_context(failed)?;
    if bytes != header(belongs) {
        bail!(
            "read the journal {}: its header is damaged, or it is not of generation {}",
            path.display(),
            belongs.generation
        );
    }
    let mut at = HEADER_BYTES as u64;
    let mut frame = Vec::new();
    while let Some(used) = read_frame(&mut reader, at, length, &mut frame).with_context(failed)? {
        let mut from = &frame[..];
        while !from.is_empty() {
            let entry = Entry::take(&mut from)
                .with_context(|| format!("read the journal {} at byte {at}", path.display()))?;
            each(entry)?;
        }
        at += used;
    }
    // The last frame of a crash is cut off or spoiled, and nothing is behind it.
    if find_frame(&file, at, length).with_context(failed)? {
        bail!(
            "read the journal {}: damaged at byte {at}, with whole frames behind it; `mirror check \
             --repair` keeps what is known",
            path.display()
        );
    }
    drop_pages(&file);
    Ok(at)
}

/// Reads a frame, and how many bytes it takes; none where there is none that is whole.
fn read_frame(
    reader: &mut impl Read,
    at: u64,
    end: u64,
    frame: &mut Vec<u8>,
) -> Result<Option<u64>> {
    let mut head = [0; HEAD_BYTES];
    if end.saturating_sub(at) < HEAD_BYTES as u64 {
        return Ok(None);
    }
    reader.read_exact(&mut head)?;
    let (length, sum) = parse_head(head);
    let whole = HEAD_BYTES as u64 + u64::from(length);
    if length == 0 || length as usize > FRAME_BYTES_MAX || whole > end - at {
        return Ok(None);
    }
    frame.resize(length as usize, 0);
    reader.read_exact(frame)?;
    Ok((sum == sum_of(at, length, frame)).then_some(whole))
}

/// Whether a whole frame begins anywhere behind `at`. Only what a crash can have left is looked through:
/// a frame and one more; farther behind there is nothing, or it is damage anyway.
fn find_frame(file: &File, at: u64, end: u64) -> Result<bool> {
    const LEFT_MAX: u64 = 2 * (FRAME_BYTES_MAX + HEAD_BYTES) as u64;
    if end - at > LEFT_MAX {
        return Ok(true);
    }
    let mut frame = Vec::new();
    let mut left = vec![0; (end - at) as usize];
    file.read_exact_at(&mut left, at)?;
    for start in 1..left.len() {
        let place = at + start as u64;
        if read_frame(&mut &left[start..], place, end, &mut frame)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What [`salvage`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All of it, but for so many bytes at the end that a crash may have left.
    Whole { torn_bytes: u64 },
    /// Frames are missing from this byte on.
    Damaged { at: u64 },
    /// Nothing: no journal of this delta.
    Nothing(&'static str),
}

/// Reads all frames that are whole, also behind damage, and gives each entry.
///
/// # Errors
/// It can't be read; the first error of `each`.
pub fn salvage(
    path: &Path,
    belongs: Belongs,
    mut each: impl FnMut(Entry) -> Result<()>,
) -> Result<Left> {
    const WINDOW: u64 = 64 << 10;
    let failed = || format!("read the journal {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Left::Nothing("it is missing"));
        }
        opened => opened.with_context(failed)?,
    };
    let end = file.metadata().with_context(failed)?.len();
    let mut bytes = [0; HEADER_BYTES];
    if end < HEADER_BYTES as u64 {
        return Ok(Left::Nothing("it is cut off in its header"));
    }
    file.read_exact_at(&mut bytes, 0).with_context(failed)?;
    if bytes != header(belongs) {
        return Ok(Left::Nothing(
            "its header is damaged, or it is of another delta",
        ));
    }
    let (mut at, mut bad_from, mut damaged_at) = (HEADER_BYTES as u64, None, None);
    let (mut frame, mut window) = (Vec::new(), Vec::new());
    while at < end {
        let beyond = end.min(at + WINDOW + (FRAME_BYTES_MAX + HEAD_BYTES) as u64);
        window.resize((beyond - at) as usize, 0);
        file.read_exact_at(&mut window, at).with_context(failed)?;
        let start = at;
        while at < end.min(start + WINDOW) {
            let from = &mut &window[(at - start) as usize..];
            let Some(used) = read_frame(from, at, end, &mut frame)? else {
                bad_from.get_or_insert(at);
                at += 1;
                continue;
            };
            damaged_at = damaged_at.or(bad_from.take());
            let mut from = &frame[..];
            while !from.is_empty() {
                each(Entry::take(&mut from).with_context(failed)?)?;
            }
            at += used;
        }
    }
    Ok(match (damaged_at, bad_from) {
        (Some(at), _) => Left::Damaged { at },
        (None, torn) => Left::Whole {
            torn_bytes: torn.map_or(0, |from| end - from),
        },
    })
}

/// Puts the results of a journal into a sort, by ordinal; how far uploads and deletions had begun.
pub fn sort_results(path: &Path, belongs: Belongs, sorter: &mut Sorter) -> Result<(u64, u64)> {
    let mut bytes = Vec::new();
    let (mut uploads, mut deletions) = (0, 0);
    read(path, belongs, |entry| {
        match entry {
            Entry::Result(ordinal, _) => {
                bytes.clear();
                entry.encode(&mut bytes);
                sorter.push(&ordinal.to_be_bytes(), &bytes)?;
            }
            Entry::UploadsBegun(ordinal) => uploads = uploads.max(ordinal),
            Entry::DeletionsBegun(ordinal) => deletions = deletions.max(ordinal),
        }
        Ok(())
    })?;
    Ok((uploads, deletions))
}

/// The result that [`sort_results`] put in.
pub fn parse_result(mut value: &[u8]) -> Result<Outcome> {
    match Entry::take(&mut value)? {
        Entry::Result(_, outcome) => Ok(outcome),
        other => bail!("no result but {other:?} was sorted"),
    }
}

fn header(belongs: Belongs) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&belongs.generation.to_le_bytes());
    bytes[20..24].copy_from_slice(&belongs.delta_checksum.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn parse_head(head: [u8; HEAD_BYTES]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = head;
    (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    )
}

fn sum_of(at: u64, length: u32, entries: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&at.to_le_bytes());
    sum.update(&length.to_le_bytes());
    sum.update(entries);
    sum.finalize()
}

/// Gives up the pages of the file, which a cgroup counts.
fn drop_pages(file: &File) {
    // SAFETY: plain numbers and an open descriptor. Only advice: what it returns changes nothing here.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Reason;
    use crate::testing::Folder;

    const BELONGS: Belongs = Belongs {
        generation: 7,
        delta_checksum: 99,
    };

    fn entries(count: u64) -> Vec<Entry> {
        (0..count)
            .map(|n| match n % 6 {
                0 => Entry::UploadsBegun(n + 1000),
                1 => Entry::Result(n, Outcome::Failed(Reason::DestinationRefused(451), n << 30)),
                2 => Entry::DeletionsBegun(n),
                3 => Entry::Result(n * 1_000_000, Outcome::Deleted),
                4 => Entry::Result(n, Outcome::Adopted),
                _ => Entry::Result(n, Outcome::Uploaded),
            })
            .collect()
    }

    fn read_all(path: &Path) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        read(path, BELONGS, |entry| {
            found.push(entry);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn entries_come_back_and_are_appended_to() {
        let folder = Folder::new("journal");
        let path = folder.path("journal");
        let all = entries(730);
        let mut journal = JournalWriter::create(&path, BELONGS).unwrap();
        assert_eq!(read_all(&path).unwrap(), []);
        for entry in &all[..350] {
            journal.append(*entry).unwrap();
        }
        // What is not durable is lost by a crash.
        drop(journal);
        assert_eq!(read_all(&path).unwrap(), all[..300]);
        let mut journal = JournalWriter::open(&path, BELONGS).unwrap();
        for entry in &all[300..] {
            journal.append(*entry).unwrap();
        }
        journal.sync().unwrap();
        assert_eq!(read_all(&path).unwrap(), all);
    }

    #[test]
    fn a_crash_at_any_byte_keeps_the_whole_frames() {
        let folder = Folder::new("journal-crash");
        let path = folder.path("journal");
        let all = entries(300);
        let mut journal = JournalWriter::create(&path, BELONGS).unwrap();
        for entry in &all {
            journal.append(*entry).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            // Cut off, or of its full length with zeros where nothing arrived.
            for padding in [0, whole.len() - length] {
                let mut bytes = whole[..length].to_vec();
                bytes.extend(vec![0; padding]);
                std::fs::write(&path, bytes).unwrap();
                match read_all(&path) {
                    Ok(found) => {
                        assert!(found.len().is_multiple_of(100) && all.starts_with(&found));
                        JournalWriter::open(&path, BELONGS).unwrap();
                        assert_eq!(read_all(&path).unwrap(), found);
                    }
                    Err(_) => assert!(length < HEADER_BYTES),
                }
            }
        }
    }

    #[test]
    fn damage_before_whole_frames_is_told() {
        let folder = Folder::new("journal-damage");
        let path = folder.path("journal");
        let mut journal = JournalWriter::create(&path, BELONGS).unwrap();
        for entry in entries(300) {
            journal.append(entry).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let mut lengths = Vec::new();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            std::fs::write(&path, bytes).unwrap();
            match read_all(&path) {
                // In the last frame it can't be told from what a crash left.
                Ok(found) => lengths.push((at, found.len())),
                Err(error) => assert!(
                    format!("{error:#}").contains("read the journal"),
                    "{error:#}"
                ),
            }
        }
        let first = lengths.first().expect("the last frame has bytes").0;
        assert!(first > whole.len() / 2, "told up to byte {first}");
        assert!(lengths.iter().all(|(_, found)| *found == 200));
    }

    #[test]
    fn a_journal_of_another_delta_is_refused() {
        let folder = Folder::new("journal-foreign");
        let path = folder.path("journal");
        let other = Belongs {
            delta_checksum: 1,
            ..BELONGS
        };
        JournalWriter::create(&path, other).unwrap();
        let error = read_all(&path).unwrap_err().to_string();
        assert!(error.contains("not of generation 7"), "{error}");
    }
}
