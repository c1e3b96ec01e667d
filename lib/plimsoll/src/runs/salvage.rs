//! What is left of a damaged run: the entries of all frames that are whole, and where others are missing.
//!
//! A frame's checksum is of its place too, so a frame is known for one wherever reading begins again: behind
//! bad bytes each place is tried until one holds. How many entries a gap has lost is told by the index,
//! where that is whole.
//!
//! Memory: one frame, stored and raw, behind bad bytes a window of 64 KiB and a frame of the index, and
//! where the end is lost frames of up to 1.1 MiB, which bad bytes may seem to begin. Time: O(bytes), and behind bad bytes about
//! one more checksum of them; bytes that were made up to look like heads of frames cost more, up to
//! their number times the longest frame. Not for a disk that can't read: copy what it still reads first.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::entries::{ENTRY_BYTES_MAX, Position};
use super::frame::{
    self, Chain, ENTRIES, Frame, HEAD_BYTES, HEADER_BYTES, Head, MAGIC, ReadError, TRAILER_BYTES,
    Trailer, VERSION,
};
use super::pages::ReadBehind;
use super::run::{Run, Store};
use super::{FRAME_BYTES_MAX, SortedEntries};
use crate::error::{Error, ErrorKind};

/// What is looked through at a time for the next whole frame.
const WINDOW_BYTES: usize = 64 << 10;

/// Reads what is left of a run, in the order of its keys; see the [module](super) for reading whole ones.
///
/// ```
/// use plimsoll::runs::{RunOptions, RunWriter, Salvage, SortedEntries};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("plimsoll-doc-salvage-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("cut.run");
/// let mut writer = RunWriter::create(&path, RunOptions::default().frame_bytes(4096))?;
/// for n in 0..1000_u32 {
///     writer.push(&n.to_be_bytes(), &[7; 20])?;
/// }
/// let figures = writer.commit()?;
/// // The half of it is lost.
/// std::fs::OpenOptions::new().write(true).open(&path)?.set_len(figures.file_bytes / 2)?;
///
/// let mut salvage = Salvage::open(&path)?;
/// while salvage.advance()? {
///     assert!(salvage.gap().is_none(), "what is lost is at the end");
/// }
/// assert!(salvage.gap().is_some());
/// assert!(salvage.figures().entries > 300);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Salvage {
    file: File,
    path: PathBuf,
    /// Where frames end: the trailer, or the file where that is lost.
    end: u64,
    trailer: Option<Trailer>,
    /// To look into the index.
    run: Option<Run>,
    frame: Frame,
    position: Position,
    /// Where the frame at hand is, and the next.
    at: u64,
    next: u64,
    /// Entries before the next, where that is known.
    ordinal: Option<u64>,
    gap: Option<Gap>,
    chain: Chain,
    figures: SalvageFigures,
    behind: ReadBehind,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Before,
    On,
    Ended,
    Broken,
}

/// Entries that are lost between two that are not, or before the first or behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Where the bad bytes begin.
    pub first_byte: u64,
    /// The first byte behind them.
    pub end_byte: u64,
    /// Entries that are lost; none where nobody can tell how many, 0 never.
    pub lost: Option<u64>,
}

/// What was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageFigures {
    /// Entries that were given.
    pub entries: u64,
    /// Bytes in no frame that is whole.
    pub bad_bytes: u64,
    /// Stretches in which entries are lost.
    pub gaps: u64,
    /// Sums up the checksums of the frames that are whole: equal to that of [`RunFigures`] when all are.
    ///
    /// [`RunFigures`]: super::RunFigures
    pub checksum: u32,
    /// What the run says of itself, where its end is whole: entries and checksum.
    pub told: Option<(u64, u32)>,
}

enum Found {
    Frame(Head),
    Trailer(Trailer),
    Nothing,
}

impl Salvage {
    /// Opens what may be a run.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Unsupported`] for a run of a later version.
    pub fn open(path: impl AsRef<Path>) -> Result<Salvage, Error> {
        let path = path.as_ref().to_owned();
        let failed = |error| ReadError::Io(error).locate(&path, 0);
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut header = [0; HEADER_BYTES];
        if length >= HEADER_BYTES as u64 {
            file.read_exact_at(&mut header, 0).map_err(failed)?;
        }
        let version = frame::parse_header(&header).ok();
        if let Some(version) = version.filter(|version| *version != VERSION) {
            let message = format!(
                "salvage the run {} of version {version}: only version {VERSION} is known; a later \
                 plimsoll wrote it",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let trailer_at = length.checked_sub(TRAILER_BYTES as u64);
        let trailer = trailer_at.and_then(|at| read_trailer(&file, at));
        let mut salvage = Salvage {
            file,
            end: length,
            trailer: None,
            run: None,
            frame: Frame::default(),
            position: Position::default(),
            at: 0,
            next: HEADER_BYTES as u64,
            ordinal: Some(0),
            gap: None,
            chain: Chain::new(),
            figures: SalvageFigures::default(),
            behind: ReadBehind::starting_at(0),
            step: Step::Before,
            path,
        };
        if version.is_none() {
            salvage.figures.bad_bytes = length.min(HEADER_BYTES as u64);
        }
        if let Some(trailer) = trailer {
            salvage.take_trailer(trailer)?;
        }
        Ok(salvage)
    }

    /// What is lost right before this entry, or at the end behind the last one.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// How many entries of the run are at or before this one, the lost ones included; none where that can't
    /// be told.
    #[must_use]
    pub fn ordinal(&self) -> Option<u64> {
        self.ordinal
    }

    /// What was found so far, all of it once the end is reached.
    #[must_use]
    pub fn figures(&self) -> SalvageFigures {
        SalvageFigures {
            checksum: self.chain.sum(),
            told: self.trailer.map(|trailer| (trailer.entries, trailer.chain)),
            ..self.figures
        }
    }

    fn take_trailer(&mut self, trailer: Trailer) -> Result<(), Error> {
        self.end = trailer.file_bytes - TRAILER_BYTES as u64;
        self.trailer = Some(trailer);
        let file = self.file.try_clone();
        let file = file.map_err(|error| ReadError::Io(error).locate(&self.path, self.end))?;
        self.run = Some(Run::new(Store::Named(file), self.path.clone(), trailer));
        Ok(())
    }

    fn longest_raw(&self) -> usize {
        let most = FRAME_BYTES_MAX + ENTRY_BYTES_MAX;
        let told = self.trailer.map(|trailer| trailer.longest_raw as usize);
        told.map_or(most, |told| told.min(most))
    }

    fn damaged(&self, what: &'static str) -> Error {
        ReadError::Damaged(what).locate(&self.path, self.at)
    }

    fn step(&mut self) -> Result<bool, Error> {
        loop {
            let is_first = self.figures.entries == 0;
            match self.position.advance(&self.frame.raw, is_first) {
                Ok(true) => break,
                Ok(false) => {}
                // Its checksum holds: it was written wrongly, or is out of another run.
                Err(what) => return Err(self.damaged(what)),
            }
            if !self.read_frame()? {
                return Ok(false);
            }
        }
        self.figures.entries += 1;
        self.ordinal = self.ordinal.map(|ordinal| ordinal + 1);
        Ok(true)
    }

    /// To the next frame of entries that is whole; false behind the last.
    fn read_frame(&mut self) -> Result<bool, Error> {
        let mut bad_from = None;
        loop {
            let from = self.next;
            let found = self.find()?;
            if self.at > from {
                bad_from.get_or_insert(from);
                self.figures.bad_bytes += self.at - from;
            }
            match found {
                Found::Frame(head) => {
                    self.next = self.at + (HEAD_BYTES + head.stored) as u64;
                    self.chain.add(head);
                    self.behind.read_to(&self.file, self.next);
                    if head.level == ENTRIES {
                        self.begin_frame(bad_from)?;
                        return Ok(true);
                    }
                }
                Found::Trailer(trailer) => {
                    self.next = self.at;
                    self.take_trailer(trailer)?;
                }
                Found::Nothing => {
                    self.finish(bad_from)?;
                    return Ok(false);
                }
            }
        }
    }

    /// Goes on with the entries of the frame at hand; bad bytes may have been before it.
    fn begin_frame(&mut self, bad_from: Option<u64>) -> Result<(), Error> {
        self.position.begin_next();
        let Some(first_byte) = bad_from else {
            return Ok(());
        };
        let before = self.ordinal;
        self.ordinal = self.told_ordinal();
        let lost = match (before, self.ordinal) {
            (Some(before), Some(now)) if now < before => {
                return Err(self.damaged("frames of two runs are in it"));
            }
            (Some(before), Some(now)) => Some(now - before),
            _ => None,
        };
        self.note_gap(first_byte, self.at, lost);
        Ok(())
    }

    fn note_gap(&mut self, first_byte: u64, end_byte: u64, lost: Option<u64>) {
        // No entry was in the bad bytes: they were a part of the index.
        if lost == Some(0) {
            return;
        }
        self.figures.gaps += 1;
        self.gap = Some(Gap {
            first_byte,
            end_byte,
            lost,
        });
    }

    /// What the index says of how many entries are before the frame at hand.
    fn told_ordinal(&self) -> Option<u64> {
        let mut first = Position::default();
        first.advance(&self.frame.raw, true).ok()?;
        let found = self.run.as_ref()?.descend(|key, _| key <= &first.key[..]);
        let (at, ordinal) = found.ok()??;
        (at == self.at).then_some(ordinal)
    }

    fn finish(&mut self, bad_from: Option<u64>) -> Result<(), Error> {
        self.frame.raw.clear();
        self.position.begin_next();
        self.behind.finish(&self.file, self.end);
        let told = self.trailer.map(|trailer| trailer.entries);
        let lost = match (told, self.ordinal) {
            (Some(told), Some(now)) if told < now => {
                return Err(self.damaged("it has more entries than its end says"));
            }
            (Some(told), Some(now)) => Some(told - now),
            _ => None,
        };
        self.ordinal = told;
        // Without the trailer nobody knows that nothing is missing.
        if bad_from.is_some() || lost != Some(0) {
            self.note_gap(bad_from.unwrap_or(self.end), self.end, lost);
        }
        let is_unbroken = self.figures.bad_bytes == 0 && self.figures.gaps == 0;
        if is_unbroken
            && self
                .trailer
                .is_some_and(|trailer| trailer.chain != self.chain.sum())
        {
            return Err(self.damaged("a frame is out of another run, and nobody can tell which"));
        }
        Ok(())
    }

    /// The next whole frame at or behind `next`, read; or the end of the run. Its place is `at`.
    fn find(&mut self) -> Result<Found, Error> {
        self.at = self.next;
        if let Some(head) = self.try_frame()? {
            return Ok(Found::Frame(head));
        }
        let mut window = Vec::new();
        while self.at < self.end {
            let beyond = self
                .end
                .min(self.at + (WINDOW_BYTES + TRAILER_BYTES) as u64);
            window.resize((beyond - self.at) as usize, 0);
            let read = self.file.read_exact_at(&mut window, self.at);
            read.map_err(|error| ReadError::from(error).locate(&self.path, self.at))?;
            let start = self.at;
            for offset in 0..window.len().min(WINDOW_BYTES) {
                self.at = start + offset as u64;
                let left = &window[offset..];
                if self.trailer.is_none()
                    && left.get(TRAILER_BYTES - 8..TRAILER_BYTES) == Some(MAGIC)
                    && let Some(trailer) = read_trailer(&self.file, self.at)
                {
                    return Ok(Found::Trailer(trailer));
                }
                let Some(head) = left.first_chunk().map(Head::parse) else {
                    continue;
                };
                if !head.is_possible(self.end - self.at, self.longest_raw()) {
                    continue;
                }
                if let Some(head) = self.try_frame()? {
                    return Ok(Found::Frame(head));
                }
            }
            self.at = start + window.len().min(WINDOW_BYTES) as u64;
            self.behind.read_to(&self.file, self.at);
        }
        self.next = self.end;
        Ok(Found::Nothing)
    }

    /// The frame at `at`, read, if there is one that is whole.
    fn try_frame(&mut self) -> Result<Option<Head>, Error> {
        let longest = self.longest_raw();
        match self.frame.read(&self.file, self.at, self.end, longest) {
            Ok(head) if head.is_possible(self.end - self.at, longest) => Ok(Some(head)),
            Ok(_) | Err(ReadError::Damaged(_)) => Ok(None),
            Err(error) => Err(error.locate(&self.path, self.at)),
        }
    }
}

/// The trailer at `at`, if one that belongs there is.
fn read_trailer(file: &File, at: u64) -> Option<Trailer> {
    let mut bytes = [0; TRAILER_BYTES];
    file.read_exact_at(&mut bytes, at).ok()?;
    let trailer = Trailer::parse(&bytes).ok()?;
    let is_here = trailer.file_bytes == at + TRAILER_BYTES as u64;
    (is_here && trailer.is_possible()).then_some(trailer)
}

impl SortedEntries for Salvage {
    /// To the next entry that is left. Before an entry, and at the end, [`Salvage::gap`] tells what is
    /// missing.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Malformed`] where frames of two runs are mixed: nothing that was
    /// given can be trusted then. That is seen by the order of keys, and, where all frames are whole, by
    /// the checksum of them all.
    fn advance(&mut self) -> Result<bool, Error> {
        match self.step {
            Step::Ended => return Ok(false),
            Step::Broken => {
                return Err(self.damaged("it could not be read on after an earlier error"));
            }
            Step::Before | Step::On => {}
        }
        self.gap = None;
        let stepped = self.step();
        self.step = match &stepped {
            Ok(true) => Step::On,
            Ok(false) => Step::Ended,
            Err(_) => Step::Broken,
        };
        stepped
    }

    fn key(&self) -> &[u8] {
        &self.position.key
    }

    fn value(&self) -> &[u8] {
        self.position.value(&self.frame.raw)
    }
}
