//! Several ordered sources as one. Memory: the sources, and 8 bytes for each.

use super::SortedEntries;
use crate::error::Error;

/// Merges sources by key. Where several have a key, the entry of the source that was given last is the
/// one: give them from the oldest to the newest. A step is O(log sources) comparisons of keys.
#[derive(Debug)]
pub struct Merge<C> {
    sources: Vec<C>,
    /// Places of the sources that are on an entry: a binary heap, the least key first, of equal ones
    /// the newest.
    heap: Vec<usize>,
    is_begun: bool,
}

impl<C: SortedEntries> Merge<C> {
    /// Nothing is read before the first step.
    #[must_use]
    pub fn new(sources: Vec<C>) -> Merge<C> {
        Merge {
            heap: Vec::with_capacity(sources.len()),
            sources,
            is_begun: false,
        }
    }

    /// Which of the sources the entry is from, counted from 0.
    #[must_use]
    pub fn source(&self) -> usize {
        self.heap.first().copied().unwrap_or(0)
    }

    /// The sources, as far as they were read.
    #[must_use]
    pub fn sources(&self) -> &[C] {
        &self.sources
    }

    fn begin(&mut self) -> Result<(), Error> {
        for (place, source) in self.sources.iter_mut().enumerate() {
            if source.advance()? {
                self.heap.push(place);
            }
        }
        for at in (0..self.heap.len() / 2).rev() {
            self.sift(at);
        }
        self.is_begun = true;
        Ok(())
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        let keys = (self.sources[a].key(), self.sources[b].key());
        keys.0.cmp(keys.1).then(b.cmp(&a)).is_lt()
    }

    /// Puts the source at a place of the heap where it belongs below.
    fn sift(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let Some(&first) = self.heap.get(left) else {
                return;
            };
            let right = self.heap.get(left + 1);
            let least = match right {
                Some(&second) if self.is_before(second, first) => left + 1,
                _ => left,
            };
            if self.is_before(self.heap[at], self.heap[least]) {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    /// Moves the source at a place of the heap on.
    fn step(&mut self, at: usize) -> Result<(), Error> {
        if !self.sources[self.heap[at]].advance()? {
            self.heap.swap_remove(at);
        }
        self.sift(at);
        Ok(())
    }

    /// Passes the older entries of the key on top. They are right below it: of equal keys each is
    /// below a newer one.
    fn pass_older(&mut self) -> Result<(), Error> {
        while let Some(at) = (1..self.heap.len().min(3))
            .find(|at| self.sources[self.heap[*at]].key() == self.sources[self.heap[0]].key())
        {
            self.step(at)?;
        }
        Ok(())
    }
}

impl<C: SortedEntries> SortedEntries for Merge<C> {
    fn advance(&mut self) -> Result<bool, Error> {
        if !self.is_begun {
            self.begin()?;
        } else if !self.heap.is_empty() {
            self.step(0)?;
        }
        if self.heap.is_empty() {
            return Ok(false);
        }
        self.pass_older()?;
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.heap
            .first()
            .map_or(&[], |&top| self.sources[top].key())
    }

    fn value(&self) -> &[u8] {
        self.heap
            .first()
            .map_or(&[], |&top| self.sources[top].value())
    }
}
