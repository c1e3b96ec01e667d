//! Where the frames of a run begin, read out of its index alone. Memory: one frame a level of the index.

use super::entries::Position;
use super::frame::{self, Frame, HEADER_BYTES};
use super::run::Run;
use crate::error::Error;

/// Goes through the frames of a run in order, by the first key of each and how many entries are before
/// it; made by [`Run::frame_starts`].
///
/// It reads the index and no entry, some 0.2 % of the file with frames of 64 KiB, so that whoever merges
/// a run can know far ahead where its keys are dense. A step is O(bytes of a key), and reads a frame of
/// the index, 16 KiB, where one begins. It holds [`FrameStarts::bytes_max`] at most.
#[derive(Debug)]
pub struct FrameStarts {
    run: Run,
    /// The frames of the index that are being read, the root first.
    levels: Vec<Level>,
    at: Option<(u64, u64)>,
    is_begun: bool,
}

#[derive(Debug)]
struct Level {
    frame: Frame,
    position: Position,
    /// Where the frame is, for messages.
    at: u64,
    is_first: bool,
}

impl FrameStarts {
    pub(super) fn new(run: Run) -> FrameStarts {
        FrameStarts {
            run,
            levels: Vec::new(),
            at: None,
            is_begun: false,
        }
    }

    /// The most bytes of memory that it takes.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        let trailer = &self.run.inner.trailer;
        let level = 2 * self.run.inner.longest_raw() + super::KEY_BYTES_MAX + size_of::<Level>();
        trailer.levels as usize * level + size_of::<FrameStarts>()
    }

    /// To the next frame, at first to the first; false when there is none, then and ever after.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) and [`ErrorKind::Malformed`](crate::ErrorKind::Malformed),
    /// after which it is at its end.
    pub fn advance(&mut self) -> Result<bool, Error> {
        let stepped = self.step();
        if stepped.is_err() {
            self.levels.clear();
            self.at = None;
        }
        stepped
    }

    /// The first key of this frame. Before the first and behind the last one it means nothing.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.levels.last().map_or(&[], |level| &level.position.key)
    }

    /// How many entries of the run are before this frame.
    #[must_use]
    pub fn ordinal(&self) -> u64 {
        self.at.map_or(0, |(_, ordinal)| ordinal)
    }

    fn step(&mut self) -> Result<bool, Error> {
        let trailer = self.run.inner.trailer;
        if !self.is_begun {
            self.is_begun = true;
            if trailer.levels > 0 {
                self.open(trailer.root, trailer.levels)?;
            }
        }
        loop {
            let below = trailer.levels - self.levels.len() as u32;
            let Some(level) = self.levels.last_mut() else {
                self.at = None;
                return Ok(false);
            };
            let Some((place, ordinal)) = level.advance(&self.run)? else {
                self.levels.pop();
                continue;
            };
            // A frame stands before all that name it: so the way down ends.
            if place >= level.at || place < HEADER_BYTES as u64 {
                let what = "a name in the index leads out of the run";
                return Err(self.run.inner.damaged(level.at, what));
            }
            if below == 0 {
                let is_above = self.at.is_none_or(|(_, before)| before < ordinal);
                if !is_above || ordinal >= trailer.entries {
                    let what = "ordinals in the index are not in order";
                    return Err(self.run.inner.damaged(level.at, what));
                }
                self.at = Some((place, ordinal));
                return Ok(true);
            }
            self.open(place, below)?;
        }
    }

    /// Reads the frame of the index at a place, which has to be of this level.
    fn open(&mut self, at: u64, level: u32) -> Result<(), Error> {
        let inner = &*self.run.inner;
        let mut frame = Frame::default();
        let head = frame
            .read(inner.file(), at, inner.frames_end(), inner.longest_raw())
            .map_err(|error| error.locate(&inner.path, at))?;
        if u32::from(head.level) != level {
            return Err(inner.damaged(at, "another level of the index is there"));
        }
        self.levels.push(Level {
            frame,
            position: Position::default(),
            at,
            is_first: true,
        });
        Ok(())
    }
}

impl Level {
    /// Place and ordinal of the next frame that is named here.
    fn advance(&mut self, run: &Run) -> Result<Option<(u64, u64)>, Error> {
        let found = self.position.advance(&self.frame.raw, self.is_first);
        let damaged = |what| run.inner.damaged(self.at, what);
        if !found.map_err(damaged)? {
            return Ok(None);
        }
        self.is_first = false;
        let value = self.position.value(&self.frame.raw);
        if value.len() != 16 {
            return Err(damaged("a name in the index has another length"));
        }
        Ok(Some((
            frame::number(&value[..8]),
            frame::number(&value[8..]),
        )))
    }
}
