//! A sort of any number of entries within a number of bytes. Memory: the number that is given, half of
//! which is used at the least.

use super::merge::Merge;
use super::reader::RunReader;
use super::run::Run;
use super::writer::RunWriter;
use super::{RunOptions, SortedEntries, check_lengths};
use crate::amount::Amount;
use crate::error::{Error, ErrorKind};
use crate::stream::TempSpace;

/// Frames of temporary runs: many are read at once, so they are small.
const FRAME_BYTES: usize = 16 << 10;
/// What a writer of such a run holds: its frame, the stored one, three levels of the index, the table
/// of LZ4 (16 KiB), and longest entries in each.
const WRITER_BYTES: usize = 384 << 10;
/// Two readers with the longest entries, and a writer.
const MEMORY_MIN: usize = 1 << 20;
/// Places in the arena are 32 bits.
const MEMORY_MAX: usize = u32::MAX as usize;

/// Bytes before each entry in the arena: length of the key (2) and of the value (4).
const HEAD_BYTES: usize = 6;

/// What a [`Sorter`] may take.
#[derive(Clone, Debug)]
pub struct SortOptions {
    /// Bytes of memory, 1 MiB to 4 GiB: reserve them from a [budget](crate::budget) before.
    pub memory_bytes: usize,
    /// Where sorted runs are spilled to: what is sorted, compressed, and as much again while several
    /// passes are needed.
    pub space: TempSpace,
}

/// Sorts entries by their keys, whatever their number; see the [module](super).
///
/// Entries gather in memory; when that is full they are sorted and spilled to a temporary run. At the
/// end the runs are merged, in several passes where there are more than memory has room to read at
/// once. Of entries with one key, the last that was pushed stays. O(n log n) comparisons; each entry is
/// written once for each pass, of which there is one up to (memory / 40 KiB) times the memory.
#[derive(Debug)]
pub struct Sorter {
    options: SortOptions,
    /// Entries one behind the other, and where each begins.
    arena: Vec<u8>,
    places: Vec<u32>,
    runs: Vec<Run>,
    figures: SortFigures,
}

/// What a sort did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SortFigures {
    /// Entries pushed, those of one key each counted.
    pub entries: u64,
    /// Runs that were written, those of merges included.
    pub runs: u64,
    /// What they took on disk together.
    pub spilled_bytes: u64,
    /// Merges before the last one, which needs no disk.
    pub merges: u64,
}

impl Sorter {
    /// Takes its memory now, and holds it until [`Sorter::finish`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for memory out of its range.
    pub fn new(options: SortOptions) -> Result<Sorter, Error> {
        let memory = options.memory_bytes;
        if !(MEMORY_MIN..=MEMORY_MAX).contains(&memory) {
            let message = format!(
                "sort within {}: it takes {} to {}",
                Amount(memory as u64),
                Amount(MEMORY_MIN as u64),
                Amount(MEMORY_MAX as u64)
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let room = memory - WRITER_BYTES;
        // An entry of 16 bytes and its head fill both at once; most are longer.
        let places = room / 6;
        Ok(Sorter {
            arena: Vec::with_capacity(room - places),
            places: Vec::with_capacity(places / size_of::<u32>()),
            options,
            runs: Vec::new(),
            figures: SortFigures::default(),
        })
    }

    /// What it did so far.
    #[must_use]
    pub fn figures(&self) -> SortFigures {
        self.figures
    }

    /// Takes an entry.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an entry that is longer than any a run holds; [`ErrorKind::Io`] of
    /// the temporary space, which may be full.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        check_lengths(key, value)?;
        let bytes = HEAD_BYTES + key.len() + value.len();
        let is_full = self.arena.len() + bytes > self.arena.capacity()
            || self.places.len() == self.places.capacity();
        if is_full {
            self.spill()?;
        }
        self.places.push(self.arena.len() as u32);
        self.arena
            .extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.arena
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.figures.entries += 1;
        Ok(())
    }

    /// The entries in order, each key once.
    ///
    /// # Errors
    /// As [`Sorter::push`], and [`ErrorKind::Malformed`] where a temporary file reads back as something
    /// else.
    pub fn finish(mut self) -> Result<Sorted, Error> {
        if self.runs.is_empty() {
            sort(&self.arena, &mut self.places);
            return Ok(Sorted {
                figures: self.figures,
                entries: Entries::Memory(Memory::new(self.arena, self.places)),
            });
        }
        if !self.places.is_empty() {
            self.spill()?;
        }
        self.arena = Vec::new();
        self.places = Vec::new();
        while !self.fits(self.runs.len(), 0) {
            self.merge_pass()?;
        }
        let readers = self.runs.iter().map(Run::reader).collect();
        Ok(Sorted {
            figures: self.figures,
            entries: Entries::Merged(Merge::new(readers)),
        })
    }

    /// Writes what is in memory as a run.
    fn spill(&mut self) -> Result<(), Error> {
        sort(&self.arena, &mut self.places);
        let memory = Memory::new(
            std::mem::take(&mut self.arena),
            std::mem::take(&mut self.places),
        );
        let (memory, run) = self.write(memory)?;
        self.runs.push(run);
        (self.arena, self.places) = (memory.arena, memory.places);
        self.arena.clear();
        self.places.clear();
        Ok(())
    }

    fn write<C: SortedEntries>(&mut self, mut from: C) -> Result<(C, Run), Error> {
        let options = RunOptions::default().frame_bytes(FRAME_BYTES);
        let mut writer = RunWriter::temp(&self.options.space, options)?;
        while from.advance()? {
            writer.push(from.key(), from.value())?;
        }
        let run = writer.into_temp_run()?;
        self.figures.runs += 1;
        self.figures.spilled_bytes += run.figures().file_bytes;
        Ok((from, run))
    }

    /// Whether so many of the oldest runs can be read at once, beside `beside` bytes.
    fn fits(&self, count: usize, beside: usize) -> bool {
        let needed: usize = self.runs[..count].iter().map(Run::reader_bytes).sum();
        needed + beside <= self.options.memory_bytes
    }

    /// Merges neighbours, as many at once as memory has room for: fewer and longer runs, their order
    /// kept.
    fn merge_pass(&mut self) -> Result<(), Error> {
        let mut merged = Vec::new();
        while !self.runs.is_empty() {
            let room = (2..=self.runs.len()).take_while(|count| self.fits(*count, WRITER_BYTES));
            let count = room.last().unwrap_or(1);
            let group: Vec<Run> = self.runs.drain(..count).collect();
            if let [alone] = &group[..] {
                merged.push(alone.clone());
                continue;
            }
            let readers = group.iter().map(Run::reader).collect();
            let (_, run) = self.write(Merge::new(readers))?;
            self.figures.merges += 1;
            merged.push(run);
        }
        self.runs = merged;
        Ok(())
    }
}

/// Orders places by key, then by place: of one key, the last pushed comes last.
fn sort(arena: &[u8], places: &mut [u32]) {
    places.sort_unstable_by(|a, b| key_at(arena, *a).cmp(key_at(arena, *b)).then(a.cmp(b)));
}

fn lengths_at(arena: &[u8], place: u32) -> (usize, usize) {
    let at = place as usize;
    let key = u16::from_le_bytes([arena[at], arena[at + 1]]);
    let value = super::frame::number(&arena[at + 2..at + HEAD_BYTES]);
    (usize::from(key), value as usize)
}

fn key_at(arena: &[u8], place: u32) -> &[u8] {
    let (key, _) = lengths_at(arena, place);
    &arena[place as usize + HEAD_BYTES..][..key]
}

/// What was sorted: entries in order, each key once.
#[derive(Debug)]
pub struct Sorted {
    figures: SortFigures,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    Memory(Memory),
    Merged(Merge<RunReader>),
}

impl Sorted {
    /// What the sort did.
    #[must_use]
    pub fn figures(&self) -> SortFigures {
        self.figures
    }
}

impl SortedEntries for Sorted {
    fn advance(&mut self) -> Result<bool, Error> {
        match &mut self.entries {
            Entries::Memory(memory) => memory.advance(),
            Entries::Merged(merge) => merge.advance(),
        }
    }

    fn key(&self) -> &[u8] {
        match &self.entries {
            Entries::Memory(memory) => memory.key(),
            Entries::Merged(merge) => merge.key(),
        }
    }

    fn value(&self) -> &[u8] {
        match &self.entries {
            Entries::Memory(memory) => memory.value(),
            Entries::Merged(merge) => merge.value(),
        }
    }
}

/// Sorted entries that are in memory.
#[derive(Debug)]
struct Memory {
    arena: Vec<u8>,
    places: Vec<u32>,
    /// Places before this one are read.
    next: usize,
}

impl Memory {
    fn new(arena: Vec<u8>, places: Vec<u32>) -> Memory {
        Memory {
            arena,
            places,
            next: 0,
        }
    }

    fn place(&self) -> Option<u32> {
        self.places.get(self.next.checked_sub(1)?).copied()
    }
}

impl SortedEntries for Memory {
    fn advance(&mut self) -> Result<bool, Error> {
        let Some(&place) = self.places.get(self.next) else {
            return Ok(false);
        };
        let key = key_at(&self.arena, place);
        let same = self.places[self.next..].iter();
        self.next += same
            .take_while(|place| key_at(&self.arena, **place) == key)
            .count();
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.place().map_or(&[], |place| key_at(&self.arena, place))
    }

    fn value(&self) -> &[u8] {
        self.place().map_or(&[], |place| {
            let (key, value) = lengths_at(&self.arena, place);
            &self.arena[place as usize + HEAD_BYTES + key..][..value]
        })
    }
}
