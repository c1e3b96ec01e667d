//! A run is written: one frame being filled, and one for each level of the index.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::entries::Block;
use super::frame::{
    self, Chain, ENTRIES, HEADER_BYTES, LEVELS_MAX, RAW_BYTES_MAX, TRAILER_BYTES, Trailer,
};
use super::pages::WriteBehind;
use super::run::{Run, RunFigures, Store};
use super::{FRAME_BYTES_MAX, RunOptions, check_lengths, entries, shown};
use crate::error::{Error, ErrorKind};
use crate::stream::{AtomicFile, TempFile, TempSpace};

/// Frames of the index: some 150 keys of 100 bytes, so that a look-up reads little.
const INDEX_BYTES: usize = 16 << 10;

const _: () = assert!(FRAME_BYTES_MAX + entries::ENTRY_BYTES_MAX <= RAW_BYTES_MAX);

/// Writes a run, entry by entry in rising order of their keys; see the [module](super).
///
/// The file is there, whole and durable, after [`RunWriter::commit`], and not before: dropped without
/// it, what was there before stays. Each entry is O(its bytes); every `frame_bytes` the frame is
/// compressed and written.
#[derive(Debug)]
pub struct RunWriter {
    output: Output,
    path: PathBuf,
    options: RunOptions,
    entries: Block,
    /// Of the levels 1, 2, …
    index: Vec<Block>,
    /// A frame as it is stored.
    stored: Vec<u8>,
    at: u64,
    /// Entries in frames that were written, and all.
    written: u64,
    count: u64,
    frames: u64,
    longest_raw: usize,
    chain: Chain,
    behind: WriteBehind,
    /// A write failed: what follows would leave a hole.
    is_broken: bool,
}

#[derive(Debug)]
enum Output {
    Named(AtomicFile),
    Temp(TempFile),
}

impl Output {
    fn file(&mut self) -> &File {
        match self {
            Output::Named(file) => file.file(),
            Output::Temp(file) => file.file(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Output::Named(file) => file.write_all(bytes),
            Output::Temp(file) => file.write_all(bytes),
        }
    }
}

impl RunWriter {
    /// Begins a run that will be `path`, in a folder that exists.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for options out of their range, else as [`AtomicFile::create`].
    pub fn create(path: impl AsRef<Path>, options: RunOptions) -> Result<RunWriter, Error> {
        options.check()?;
        let mut file = AtomicFile::create(&path)?;
        if let Some(mode) = options.mode {
            file.set_permissions(Permissions::from_mode(mode));
        }
        RunWriter::begin(Output::Named(file), path.as_ref().to_owned(), options)
    }

    /// Begins a run that is gone when it is dropped.
    pub(super) fn temp(space: &TempSpace, options: RunOptions) -> Result<RunWriter, Error> {
        options.check()?;
        let file = space.file()?;
        RunWriter::begin(Output::Temp(file), PathBuf::from("(temporary)"), options)
    }

    fn begin(output: Output, path: PathBuf, options: RunOptions) -> Result<RunWriter, Error> {
        let mut writer = RunWriter {
            output,
            path,
            options,
            entries: Block::with_capacity(options.frame_bytes),
            index: Vec::new(),
            stored: Vec::new(),
            at: 0,
            written: 0,
            count: 0,
            frames: 0,
            longest_raw: 0,
            chain: Chain::new(),
            behind: WriteBehind::default(),
            is_broken: false,
        };
        writer.write(&frame::header())?;
        Ok(writer)
    }

    /// Entries that were pushed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that were written to the file so far.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.at
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the key is not above the one before, or key or value are longer than
    /// any that is taken: the entry is left out then, and the writer goes on. [`ErrorKind::Io`], after
    /// which it takes nothing more.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        check_lengths(key, value)?;
        if self.count > 0 && key <= self.entries.last() {
            let message = format!(
                "write the key {} to the run {}: it is not above the one before, {}; sort the entries \
                 first",
                shown(key),
                self.path.display(),
                shown(self.entries.last())
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if self.entries.bytes.len() >= self.options.frame_bytes {
            self.end_entries()?;
        }
        self.entries.push(key, value);
        self.count += 1;
        Ok(())
    }

    /// Makes the run durable and puts it in place.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; the file that was there before is as it was then, but where
    /// [`AtomicFile::commit`] says otherwise.
    pub fn commit(self) -> Result<RunFigures, Error> {
        let (output, _, trailer) = self.finish()?;
        let Output::Named(file) = output else {
            unreachable!("only the sorter makes temporary runs, and keeps them");
        };
        file.commit()?;
        Ok(RunFigures::new(&trailer))
    }

    /// The temporary run, to be read.
    pub(super) fn into_temp_run(self) -> Result<Run, Error> {
        let (output, path, trailer) = self.finish()?;
        let Output::Temp(file) = output else {
            unreachable!("named runs are committed");
        };
        Ok(Run::new(Store::Temp(file), path, trailer))
    }

    fn finish(mut self) -> Result<(Output, PathBuf, Trailer), Error> {
        if self.count > 0 {
            self.end_entries()?;
        }
        let mut root = 0;
        for level in 0..self.index.len() {
            root = self.at;
            let is_root = level + 1 == self.index.len();
            self.end_index(level, is_root)?;
        }
        let trailer = Trailer {
            entries: self.count,
            root,
            frames: self.frames,
            longest_raw: self.longest_raw as u32,
            chain: self.chain.sum(),
            file_bytes: self.at + TRAILER_BYTES as u64,
            levels: self.index.len() as u32,
        };
        self.write(&trailer.bytes())?;
        if let Output::Named(_) = self.output {
            let synced = self.output.file().sync_data();
            synced.map_err(|error| failed(&self.path, self.at, error))?;
        }
        let at = self.at;
        self.behind.finish(self.output.file(), at);
        Ok((self.output, self.path, trailer))
    }

    /// Writes the frame of entries, and names it in the index.
    fn end_entries(&mut self) -> Result<(), Error> {
        let at = self.at;
        self.write_frame(ENTRIES, None)?;
        self.frames += 1;
        let first = std::mem::take(&mut self.entries.first);
        self.name(0, &first, at, self.written)?;
        self.entries.first = first;
        self.entries.clear();
        self.written = self.count;
        Ok(())
    }

    /// Puts a frame into the index of a level.
    fn name(&mut self, level: usize, first: &[u8], at: u64, ordinal: u64) -> Result<(), Error> {
        if level == self.index.len() {
            assert!(level < LEVELS_MAX as usize, "no file has that many frames");
            self.index.push(Block::with_capacity(INDEX_BYTES));
        }
        if self.index[level].bytes.len() >= INDEX_BYTES {
            self.end_index(level, false)?;
        }
        self.index[level].push(first, &index_value(at, ordinal));
        Ok(())
    }

    /// Writes the frame of a level of the index, and names it in the one above unless it is the root.
    fn end_index(&mut self, level: usize, is_root: bool) -> Result<(), Error> {
        let at = self.at;
        self.write_frame(level as u8 + 1, Some(level))?;
        let mut block = std::mem::replace(&mut self.index[level], Block::with_capacity(0));
        if !is_root {
            let ordinal = first_ordinal(&block);
            self.name(level + 1, &block.first, at, ordinal)?;
        }
        block.clear();
        self.index[level] = block;
        Ok(())
    }

    fn write_frame(&mut self, kind: u8, level: Option<usize>) -> Result<(), Error> {
        let raw = match level {
            None => &self.entries.bytes,
            Some(level) => &self.index[level].bytes,
        };
        self.stored.clear();
        let head = frame::encode(kind, raw, self.at, &mut self.stored);
        self.longest_raw = self.longest_raw.max(raw.len());
        self.chain.add(head);
        let stored = std::mem::take(&mut self.stored);
        self.write(&stored)?;
        self.stored = stored;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.is_broken {
            let message = format!(
                "write the run {}: an earlier write failed; begin it anew",
                self.path.display()
            );
            return Err(Error::new(ErrorKind::Io, message));
        }
        self.is_broken = true;
        let written = self.output.write_all(bytes);
        written.map_err(|error| failed(&self.path, self.at, error))?;
        self.at += bytes.len() as u64;
        let behind = self.behind.written_to(self.output.file(), self.at);
        behind.map_err(|error| failed(&self.path, self.at, error))?;
        self.is_broken = false;
        Ok(())
    }
}

const _: () = assert!(HEADER_BYTES < FRAME_BYTES_MAX);

/// Where a frame is, and how many entries are before it.
fn index_value(at: u64, ordinal: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&at.to_le_bytes());
    value[8..].copy_from_slice(&ordinal.to_le_bytes());
    value
}

/// How many entries are before the first frame that a frame of the index names.
fn first_ordinal(block: &Block) -> u64 {
    let mut position = entries::Position::default();
    let found = position.advance(&block.bytes, true);
    assert_eq!(found, Ok(true), "a frame of the index names a frame");
    frame::number(&position.value(&block.bytes)[8..])
}

fn failed(path: &Path, at: u64, error: std::io::Error) -> Error {
    let message = format!("write the run {} at byte {at}", path.display());
    Error::with_source(ErrorKind::Io, message, error)
}
