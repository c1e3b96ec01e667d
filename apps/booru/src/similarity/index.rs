//! The vectors while they are searched: frames held in memory as far as the bytes allowed go, the others
//! read from the file for each search, one at a time for each thread.
//!
//! Memory: 4 bytes and a bit a row, 56 bytes and its body a frame that is held; a search adds a frame
//! a thread and what [`select`](super::select) says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use plimsoll::ledger::Tag;

use super::codec::Probe;
use super::frame::{FrameBuilder, State, rows};
use super::select::{Candidate, Selection};
use super::vector_file::VectorFile;

/// Also what is held for a search alone.
pub(super) static VECTORS: Tag = Tag::new("similarity: vectors");

/// Below this many bytes a second thread costs more than it brings.
const BYTES_WORTH_A_THREAD: u64 = 32 << 20;

/// Whether an image may be in an answer.
pub(super) type IsWanted<'a> = &'a (dyn Fn(u32) -> bool + Sync);

/// A file of vectors that is open to be searched.
#[derive(Debug)]
pub(super) struct Index {
    file: VectorFile,
    /// By row.
    images: Vec<u32>,
    /// A bit a row: whether it is the last one of its image, and a vector.
    live: Vec<u64>,
    counts: Counts,
    /// By frame; those behind the first ones are put at the end since, and not held.
    bodies: Vec<Option<Box<[u8]>>>,
    /// By frame, whether its sum was found right since this was opened.
    checked: Vec<AtomicBool>,
}

/// Images by what the last row of each is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) vectors: usize,
    pub(super) skipped: usize,
}

impl Index {
    /// Reads a file, and holds the first frames as long as `claim` grants their bytes.
    pub(super) fn open(file: VectorFile, claim: impl FnMut(u64) -> bool) -> Result<Index> {
        VECTORS.run(|| Index::read(file, claim))
    }

    fn read(file: VectorFile, mut claim: impl FnMut(u64) -> bool) -> Result<Index> {
        let mut images = Vec::with_capacity(file.rows() as usize);
        let mut last: Vec<(u32, u32, State)> = Vec::with_capacity(file.rows() as usize);
        file.each_meta(|row, meta| {
            images.push(meta.image);
            last.push((meta.image, row, meta.state));
        })?;
        last.sort_unstable_by_key(|(image, row, _)| (*image, *row));
        let mut live = vec![0_u64; images.len().div_ceil(64)];
        let mut counts = Counts::default();
        for (at, (image, row, state)) in last.iter().enumerate() {
            if last.get(at + 1).is_some_and(|(next, ..)| next == image) {
                continue;
            }
            match state {
                State::Vector => {
                    set(&mut live, *row, true);
                    counts.vectors += 1;
                }
                State::Skipped => counts.skipped += 1,
                State::Gone => {}
            }
        }
        drop(last);
        let mut index = Index {
            bodies: Vec::with_capacity(file.frames().len()),
            checked: Vec::with_capacity(file.frames().len()),
            file,
            images,
            live,
            counts,
        };
        let mut is_granted = true;
        for frame in index.file.frames() {
            let bytes = index.file.shape().body_bytes(frame.rows as usize);
            is_granted = is_granted && claim(bytes as u64);
            let mut body = None;
            if is_granted {
                let mut bytes = Vec::with_capacity(bytes);
                index.file.read_body(frame, &mut bytes)?;
                index.file.check_body(frame, &bytes)?;
                body = Some(bytes.into_boxed_slice());
            }
            index.checked.push(AtomicBool::new(body.is_some()));
            index.bodies.push(body);
        }
        Ok(index)
    }

    pub(super) fn file(&self) -> &VectorFile {
        &self.file
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn image(&self, row: u32) -> u32 {
        self.images[row as usize]
    }

    /// Those with a vector, ascending.
    pub(super) fn list_images(&self) -> Vec<u32> {
        let rows = (0_u32..).zip(&self.images);
        let live = rows.filter(|(row, _)| is_set(&self.live, *row));
        let mut images: Vec<u32> = live.map(|(_, image)| *image).collect();
        images.sort_unstable();
        images
    }

    /// Bytes on the heap besides the bodies that were claimed.
    pub(super) fn own_bytes(&self) -> usize {
        self.images.capacity() * 4
            + self.live.capacity() * 8
            + self.bodies.capacity() * size_of::<Option<Box<[u8]>>>()
            + self.checked.capacity()
            + self.file.heap_bytes()
    }

    /// All rows that may be among the best `k`, the most promising first. O(bytes of the file).
    ///
    /// # Errors
    /// A file that can't be read, or is damaged.
    pub(super) fn candidates(
        &self,
        probe: &Probe,
        k: usize,
        is_wanted: IsWanted<'_>,
        threads: usize,
    ) -> Result<Vec<Candidate>> {
        let selection = self.scan(threads, &|part| {
            let mut selection = Selection::new(k);
            part.each_row(|row, scaled, codes| {
                let bounds = probe.bounds(scaled, codes);
                if selection.wants(bounds.upper) && is_wanted(self.image(row)) {
                    selection.push(row, bounds);
                }
            })?;
            Ok(selection)
        })?;
        Ok(selection.finish())
    }

    /// The best `k` by what codes alone say of scores: without proof, for measuring how good that is.
    pub(super) fn estimates(
        &self,
        probe: &Probe,
        k: usize,
        is_wanted: IsWanted<'_>,
    ) -> Result<Vec<(u32, f64)>> {
        let mut best = super::select::Best::new(k);
        let next = AtomicUsize::new(0);
        let part = Part {
            index: self,
            next: &next,
        };
        part.each_row(|row, scaled, codes| {
            let image = self.image(row);
            if is_wanted(image) {
                best.push(image, probe.estimate(scaled, codes));
            }
        })?;
        Ok(best.finish())
    }

    /// Has each thread take frames one after the other.
    fn scan(
        &self,
        threads: usize,
        act: &(dyn Fn(Part<'_>) -> Result<Selection> + Sync),
    ) -> Result<Selection> {
        let next = AtomicUsize::new(0);
        let part = || Part {
            index: self,
            next: &next,
        };
        if threads < 2 || self.file.bytes() < BYTES_WORTH_A_THREAD {
            return act(part());
        }
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .map(|_| scope.spawn(|| VECTORS.run(|| act(part()))))
                .collect();
            let mut selection = act(part());
            for other in others {
                let other = match other.join() {
                    Ok(other) => other,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                selection = Ok(selection?.merge(other?));
            }
            selection
        })
    }

    /// Puts rows at the end of the file and takes those that they replace out of what is searched. The file
    /// is to be locked.
    pub(super) fn append(&mut self, frame: &mut FrameBuilder, rows: &[(u32, State)]) -> Result<()> {
        let first = self.file.rows();
        self.file.append(frame)?;
        VECTORS.run(|| {
            for (row, (image, state)) in (first..).zip(rows) {
                self.forget(*image);
                self.images.push(*image);
                self.live.resize(self.images.len().div_ceil(64), 0);
                if *state == State::Vector {
                    set(&mut self.live, row, true);
                    self.counts.vectors += 1;
                }
            }
            self.bodies.push(None);
            self.checked.push(AtomicBool::new(true));
        });
        Ok(())
    }

    fn forget(&mut self, image: u32) {
        let rows = self.images.iter().enumerate();
        let of_image: Vec<u32> = rows
            .filter(|(_, other)| **other == image)
            .map(|(row, _)| row as u32)
            .collect();
        for row in of_image {
            if is_set(&self.live, row) {
                set(&mut self.live, row, false);
                self.counts.vectors -= 1;
            }
        }
    }
}

/// What one thread of a search sees: the frames that no other has taken.
struct Part<'a> {
    index: &'a Index,
    next: &'a AtomicUsize,
}

impl Part<'_> {
    fn each_row(&self, mut visit: impl FnMut(u32, super::codec::Scaled, &[u8])) -> Result<()> {
        let index = self.index;
        let shape = index.file.shape();
        let mut read = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(frame) = index.file.frames().get(number) else {
                return Ok(());
            };
            let body = match &index.bodies[number] {
                Some(body) => body,
                None => {
                    index.file.read_body(frame, &mut read)?;
                    if !index.checked[number].load(Ordering::Relaxed) {
                        index.file.check_body(frame, &read)?;
                        index.checked[number].store(true, Ordering::Relaxed);
                    }
                    read.as_slice()
                }
            };
            let numbered = (frame.first_row..).zip(rows(shape, body, frame.rows as usize));
            for (row, (meta, codes)) in numbered {
                if is_set(&index.live, row) {
                    visit(row, meta.scaled, codes);
                }
            }
        }
    }
}

fn is_set(bits: &[u64], row: u32) -> bool {
    bits[row as usize / 64] >> (row % 64) & 1 == 1
}

fn set(bits: &mut [u64], row: u32, is: bool) {
    let bit = 1 << (row % 64);
    match is {
        true => bits[row as usize / 64] |= bit,
        false => bits[row as usize / 64] &= !bit,
    }
}
