//! A run that is open. Memory: a descriptor, a path and the numbers of its trailer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entries::Position;
use super::frame::{
    self, ENTRIES, Frame, HEADER_BYTES, ReadError, TRAILER_BYTES, Trailer, VERSION,
};
use super::reader::RunReader;
use super::starts::FrameStarts;
use super::{KEY_BYTES_MAX, SortedEntries, pages};
use crate::error::{Error, ErrorKind};
use crate::stream::TempFile;

/// A run that is open for reading; see the [module](super). A clone is the same run. The file may be
/// replaced or removed meanwhile: what was opened is read on.
#[derive(Clone, Debug)]
pub struct Run {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    store: Store,
    pub(super) path: PathBuf,
    pub(super) trailer: Trailer,
}

#[derive(Debug)]
pub(super) enum Store {
    Named(File),
    Temp(TempFile),
}

impl Inner {
    pub(super) fn file(&self) -> &File {
        match &self.store {
            Store::Named(file) => file,
            Store::Temp(file) => file.file(),
        }
    }

    /// Where frames end.
    pub(super) fn frames_end(&self) -> u64 {
        self.trailer.file_bytes - TRAILER_BYTES as u64
    }

    pub(super) fn longest_raw(&self) -> usize {
        self.trailer.longest_raw as usize
    }

    pub(super) fn damaged(&self, at: u64, what: &'static str) -> Error {
        ReadError::Damaged(what).locate(&self.path, at)
    }
}

/// What a run holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunFigures {
    /// Keys with their values.
    pub entries: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Sums up the checksums of all frames: two runs that differ have the same by chance only, once in
    /// four billion.
    pub checksum: u32,
    /// Frames that hold entries.
    pub frames: u64,
    /// Levels of the index.
    pub levels: u32,
}

impl RunFigures {
    pub(super) fn new(trailer: &Trailer) -> RunFigures {
        RunFigures {
            entries: trailer.entries,
            file_bytes: trailer.file_bytes,
            checksum: trailer.chain,
            frames: trailer.frames,
            levels: trailer.levels,
        }
    }
}

impl Run {
    pub(super) fn new(store: Store, path: PathBuf, trailer: Trailer) -> Run {
        let inner = Inner {
            store,
            path,
            trailer,
        };
        pages::without_read_ahead(inner.file());
        Run {
            inner: Arc::new(inner),
        }
    }

    /// Opens a run: reads its start and its end, O(1). What is between is checked when it is read.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Malformed`] for what is no run, is cut off or damaged;
    /// [`ErrorKind::Unsupported`] for a run of a later version.
    pub fn open(path: impl AsRef<Path>) -> Result<Run, Error> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| {
            Error::with_source(
                ErrorKind::Io,
                format!("open the run {}", path.display()),
                error,
            )
        })?;
        let trailer = read_ends(&file, path)?;
        Ok(Run::new(Store::Named(file), path.to_owned(), trailer))
    }

    /// What it holds.
    #[must_use]
    pub fn figures(&self) -> RunFigures {
        RunFigures::new(&self.inner.trailer)
    }

    /// The most bytes of memory that a reader of it takes.
    #[must_use]
    pub fn reader_bytes(&self) -> usize {
        2 * self.inner.longest_raw() + 2 * KEY_BYTES_MAX + size_of::<RunReader>()
    }

    /// Reads all entries, from the first.
    #[must_use]
    pub fn reader(&self) -> RunReader {
        RunReader::from_start(self.clone())
    }

    /// Reads the entries whose keys are `key` or above. Reads one frame a level.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] and [`ErrorKind::Malformed`].
    pub fn reader_from(&self, key: &[u8]) -> Result<RunReader, Error> {
        // The last frame that begins at or below the key; where there is none, the first one.
        let frame = self.descend(|first, _| first <= key)?;
        let mut reader = match frame {
            Some((at, ordinal)) => RunReader::from_frame(self.clone(), at, ordinal),
            None => RunReader::from_start(self.clone()),
        };
        reader.skip_below(key)?;
        Ok(reader)
    }

    /// The value of `key`, put into `value`; false when the run has no such key. Reads one frame a
    /// level.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] and [`ErrorKind::Malformed`].
    pub fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool, Error> {
        let mut reader = self.reader_from(key)?;
        if !reader.advance()? || reader.key() != key {
            return Ok(false);
        }
        value.clear();
        value.extend_from_slice(reader.value());
        Ok(true)
    }

    /// Keys that cut the run into `parts` ranges of about as many entries, to within a frame: each is
    /// the first of a range, so `parts` - 1 of them, or fewer where the run has fewer frames. They
    /// rise. Reads `parts` frames a level.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] and [`ErrorKind::Malformed`].
    pub fn split_keys(&self, parts: usize) -> Result<Vec<Vec<u8>>, Error> {
        let entries = self.inner.trailer.entries;
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for part in 1..parts as u64 {
            let wanted = (u128::from(entries) * u128::from(part) / parts as u128) as u64;
            let mut found = Vec::new();
            let frame = self.descend_noting(|_, ordinal| ordinal <= wanted, &mut found)?;
            let is_new = keys.last().is_none_or(|last| *last < found);
            if frame.is_some_and(|(_, ordinal)| ordinal > 0) && is_new {
                keys.push(found);
            }
        }
        Ok(keys)
    }

    /// The frames of entries in order: the first key of each, and how many entries are before it. Reads
    /// the index only, as it goes.
    #[must_use]
    pub fn frame_starts(&self) -> FrameStarts {
        FrameStarts::new(self.clone())
    }

    /// Goes down the index by the last name of each frame that `is_before` holds for; the place and
    /// ordinal of the frame of entries. None of an empty run, and where it holds for no name.
    pub(super) fn descend(
        &self,
        is_before: impl Fn(&[u8], u64) -> bool,
    ) -> Result<Option<(u64, u64)>, Error> {
        self.descend_noting(is_before, &mut Vec::new())
    }

    fn descend_noting(
        &self,
        is_before: impl Fn(&[u8], u64) -> bool,
        first: &mut Vec<u8>,
    ) -> Result<Option<(u64, u64)>, Error> {
        let inner = &*self.inner;
        let mut frame = Frame::default();
        let mut position = Position::default();
        let (mut at, mut ordinal) = (inner.trailer.root, 0);
        for level in (1..=inner.trailer.levels).rev() {
            let head = frame
                .read(inner.file(), at, inner.frames_end(), inner.longest_raw())
                .map_err(|error| error.locate(&inner.path, at))?;
            if u32::from(head.level) != level {
                return Err(inner.damaged(at, "another level of the index is there"));
            }
            let mut below = None;
            let mut is_first = true;
            position.begin_any();
            while position
                .advance(&frame.raw, is_first)
                .map_err(|what| inner.damaged(at, what))?
            {
                is_first = false;
                let value = position.value(&frame.raw);
                if value.len() != 16 {
                    return Err(inner.damaged(at, "a name in the index has another length"));
                }
                let (place, before) = (frame::number(&value[..8]), frame::number(&value[8..]));
                if !is_before(&position.key, before) {
                    break;
                }
                first.clear();
                first.extend_from_slice(&position.key);
                below = Some((place, before));
            }
            let Some(found) = below else { return Ok(None) };
            // A frame stands before all that name it: so the way down ends.
            if found.0 >= at || found.0 < HEADER_BYTES as u64 {
                return Err(inner.damaged(at, "a name in the index leads out of the run"));
            }
            (at, ordinal) = found;
        }
        Ok((inner.trailer.levels > 0).then_some((at, ordinal)))
    }
}

const _: () = assert!(ENTRIES == 0, "levels of the index count up from there");

fn read_ends(file: &File, path: &Path) -> Result<Trailer, Error> {
    let located = |at: u64| move |error: std::io::Error| ReadError::from(error).locate(path, at);
    let length = file.metadata().map_err(located(0))?.len();
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(located(0))?;
    let version = frame::parse_header(&header).map_err(|error| error.locate(path, 0))?;
    if version != VERSION {
        let message = format!(
            "read the run {} of version {version}: only version {VERSION} is known; a later plimsoll \
             wrote it",
            path.display()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let at = length.saturating_sub(TRAILER_BYTES as u64);
    let damaged = |what| Err(ReadError::Damaged(what).locate(path, at));
    if at < HEADER_BYTES as u64 {
        return damaged("it is shorter than an empty run");
    }
    let mut bytes = [0; TRAILER_BYTES];
    file.read_exact_at(&mut bytes, at).map_err(located(at))?;
    let trailer = Trailer::parse(&bytes).map_err(|error| error.locate(path, at))?;
    if trailer.file_bytes != length {
        return damaged("it has another length than its end says");
    }
    if !trailer.is_possible() {
        return damaged("its end tells numbers that no run has");
    }
    Ok(trailer)
}
