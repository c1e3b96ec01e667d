//! A run is read from some key to its end. Memory: one frame, stored and raw, and a key.

use super::SortedEntries;
use super::entries::Position;
use super::frame::{Chain, ENTRIES, Frame, HEADER_BYTES};
use super::pages::ReadBehind;
use super::run::Run;
use crate::error::Error;

/// Reads a run in the order of its keys; made by [`Run::reader`] and [`Run::reader_from`].
///
/// Every frame is checked before an entry of it is given. One that reads from the first entry to the
/// end has also checked that no frame is missing, doubled or out of another run. A step is O(bytes of
/// the entry), and reads a frame where one begins.
#[derive(Debug)]
pub struct RunReader {
    run: Run,
    frame: Frame,
    position: Position,
    /// Where the next frame is, and this one.
    next: u64,
    at: u64,
    /// Entries before the next.
    ordinal: u64,
    frames: u64,
    /// Of a reader from the start.
    chain: Option<Chain>,
    behind: ReadBehind,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// No entry was read.
    Before,
    /// On an entry that was not given yet.
    Found,
    On,
    Ended,
    Broken,
}

impl RunReader {
    pub(super) fn from_start(run: Run) -> RunReader {
        RunReader {
            chain: Some(Chain::new()),
            ..RunReader::from_frame(run, HEADER_BYTES as u64, 0)
        }
    }

    pub(super) fn from_frame(run: Run, at: u64, ordinal: u64) -> RunReader {
        RunReader {
            run,
            frame: Frame::default(),
            position: Position::default(),
            next: at,
            at,
            ordinal,
            frames: 0,
            chain: None,
            behind: ReadBehind::starting_at(at),
            step: Step::Before,
        }
    }

    /// How many entries of the run are at or before this one.
    #[must_use]
    pub fn ordinal(&self) -> u64 {
        match self.step {
            Step::Found => self.ordinal - 1,
            _ => self.ordinal,
        }
    }

    /// Stops before the first key that is `key` or above.
    pub(super) fn skip_below(&mut self, key: &[u8]) -> Result<(), Error> {
        while self.advance()? {
            if self.key() >= key {
                self.step = Step::Found;
                break;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<bool, Error> {
        loop {
            let is_first = self.step == Step::Before;
            match self.position.advance(&self.frame.raw, is_first) {
                Ok(true) => {
                    self.step = Step::On;
                    self.ordinal += 1;
                    return Ok(true);
                }
                Ok(false) => {}
                Err(what) => return Err(self.run.inner.damaged(self.at, what)),
            }
            if !self.read_frame()? {
                return Ok(false);
            }
        }
    }

    /// To the next frame of entries; false at the end.
    fn read_frame(&mut self) -> Result<bool, Error> {
        let inner = &*self.run.inner;
        let end = inner.frames_end();
        while self.next < end {
            self.at = self.next;
            let head = self
                .frame
                .read(inner.file(), self.at, end, inner.longest_raw())
                .map_err(|error| error.locate(&inner.path, self.at))?;
            self.next = self.at + super::frame::HEAD_BYTES as u64 + head.stored as u64;
            if let Some(chain) = &mut self.chain {
                chain.add(head);
            }
            self.behind.read_to(inner.file(), self.next);
            if head.level == ENTRIES {
                self.frames += 1;
                self.position.begin_next();
                return Ok(true);
            }
        }
        self.frame.raw.clear();
        self.position.begin_next();
        self.behind.finish(inner.file(), self.next);
        let trailer = &inner.trailer;
        if self.ordinal != trailer.entries {
            return Err(inner.damaged(end, "it has another number of entries than its end says"));
        }
        let sum = self.chain.as_ref().map(Chain::sum);
        if sum.is_some_and(|sum| sum != trailer.chain || self.frames != trailer.frames) {
            return Err(inner.damaged(end, "a frame is missing, doubled or out of another run"));
        }
        Ok(false)
    }
}

impl SortedEntries for RunReader {
    fn advance(&mut self) -> Result<bool, Error> {
        match self.step {
            Step::Found => {
                self.step = Step::On;
                return Ok(true);
            }
            Step::Ended => return Ok(false),
            Step::Broken => {
                let what = "it could not be read on after an earlier error";
                return Err(self.run.inner.damaged(self.at, what));
            }
            Step::Before | Step::On => {}
        }
        let stepped = self.step();
        match &stepped {
            Ok(true) => {}
            Ok(false) => self.step = Step::Ended,
            Err(_) => self.step = Step::Broken,
        }
        stepped
    }

    fn key(&self) -> &[u8] {
        &self.position.key
    }

    fn value(&self) -> &[u8] {
        self.position.value(&self.frame.raw)
    }
}
