//! The file that is searched, beside `similarity.db`: the same vectors in fewer bytes, one frame behind the
//! other, never changed but by frames at the end. Of several rows of an image the last one counts.
//!
//! It is made anew from the database whenever anything about it is not as it should be, so nothing is
//! ever lost with it: it is written whole or not at all, what a killed process left at its end is cut
//! off, and each frame is checked before an answer comes out of it.
//!
//! ```text
//! head    "PLMSVEC\n", version u32, kind u32, dimensions u32, 4 zero bytes, 16 bytes of BLAKE3 of these
//! frames  see frame.rs
//! ```
//! Memory: 24 bytes a frame of 256 KiB.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use plimsoll::stream::AtomicFile;

use super::codec::{DIMENSIONS_MAX, Kind};
use super::frame::{
    FrameBuilder, HEAD_BYTES, Meta, Shape, metas_bytes, metas_of, parse_head, sum_of,
};

const MAGIC: [u8; 8] = *b"PLMSVEC\n";
/// Raised with any change of the format; files of another version are made anew.
const VERSION: u32 = 1;
const FILE_HEAD_BYTES: usize = 40;

/// An open file of vectors.
#[derive(Debug)]
pub(super) struct VectorFile {
    file: File,
    is_writable: bool,
    path: PathBuf,
    shape: Shape,
    frames: Vec<Frame>,
    /// Behind the last whole frame.
    end: u64,
}

/// Where a frame is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    offset: u64,
    sum: [u8; 16],
    /// Of the file: the number of the first row of the frame.
    pub(super) first_row: u32,
    pub(super) rows: u32,
}

/// Why a file can't be taken as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl std::fmt::Display for Damaged {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("the file of vectors is damaged")
    }
}

impl std::error::Error for Damaged {}

fn head_of(shape: Shape) -> [u8; FILE_HEAD_BYTES] {
    let kind = match shape.kind {
        Kind::F32 => 0_u32,
        Kind::F16 => 1,
        Kind::Int8 => 2,
    };
    let mut head = [0; FILE_HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&kind.to_le_bytes());
    head[16..20].copy_from_slice(&(shape.dimensions as u32).to_le_bytes());
    let sum = blake3::hash(&head[..24]);
    head[24..].copy_from_slice(&sum.as_bytes()[..16]);
    head
}

fn shape_of(head: &[u8; FILE_HEAD_BYTES]) -> Option<Shape> {
    let dimensions = u32::from_le_bytes(head[16..20].try_into().ok()?) as usize;
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return None;
    }
    let shapes = Kind::ALL.map(|kind| Shape { kind, dimensions });
    shapes.into_iter().find(|shape| head_of(*shape) == *head)
}

impl VectorFile {
    /// Opens what is there and looks at each head. `None` where there is no such file, or one that is not
    /// to be used.
    pub(super) fn open(path: &Path) -> Result<Option<VectorFile>> {
        let opening = || format!("open {}", path.display());
        let (file, is_writable) = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                (File::open(path).with_context(opening)?, false)
            }
            opened => (opened.with_context(opening)?, true),
        };
        let mut head = [0; FILE_HEAD_BYTES];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.with_context(opening)?,
        }
        let Some(shape) = shape_of(&head) else {
            return Ok(None);
        };
        let mut vectors = VectorFile {
            file,
            is_writable,
            path: path.to_owned(),
            shape,
            frames: Vec::new(),
            end: FILE_HEAD_BYTES as u64,
        };
        vectors.read_on().with_context(opening)?;
        Ok(Some(vectors))
    }

    /// Finds the frames that stand behind the last one known. What is no whole frame ends the file.
    pub(super) fn read_on(&mut self) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        let mut head = [0; HEAD_BYTES];
        while self.end + HEAD_BYTES as u64 <= len {
            self.file.read_exact_at(&mut head, self.end)?;
            let Some((rows, sum)) = parse_head(&head, self.shape) else {
                break;
            };
            let next = self.end + self.shape.frame_bytes(rows) as u64;
            if next > len {
                break;
            }
            self.put_frame(rows, sum);
        }
        Ok(())
    }

    fn put_frame(&mut self, rows: usize, sum: [u8; 16]) {
        self.frames.push(Frame {
            offset: self.end,
            sum,
            first_row: self.rows(),
            rows: rows as u32,
        });
        self.end += self.shape.frame_bytes(rows) as u64;
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Of all frames, those that count no more included.
    pub(super) fn rows(&self) -> u32 {
        let last = self.frames.last();
        last.map_or(0, |frame| frame.first_row + frame.rows)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.frames.capacity() * size_of::<Frame>()
    }

    /// Calls `visit` for what goes with each row, in the order of rows. Nothing is checked but what is read
    /// again by a search.
    pub(super) fn each_meta(&self, mut visit: impl FnMut(u32, Meta)) -> Result<()> {
        let mut bytes = Vec::new();
        for frame in &self.frames {
            bytes.resize(metas_bytes(frame.rows as usize), 0);
            self.read_at(&mut bytes, frame.offset + HEAD_BYTES as u64)?;
            for (row, meta) in metas_of(&bytes).enumerate() {
                visit(frame.first_row + row as u32, meta);
            }
        }
        Ok(())
    }

    /// Reads the body of a frame into `body`, which then has exactly its bytes.
    pub(super) fn read_body(&self, frame: &Frame, body: &mut Vec<u8>) -> Result<()> {
        body.resize(self.shape.body_bytes(frame.rows as usize), 0);
        self.read_at(body, frame.offset + HEAD_BYTES as u64)
    }

    /// # Errors
    /// [`Damaged`] where a body is not what was written.
    pub(super) fn check_body(&self, frame: &Frame, body: &[u8]) -> Result<()> {
        match sum_of(frame.offset, frame.rows as usize, body) == frame.sum {
            true => Ok(()),
            false => Err(Damaged.into()),
        }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        match self.file.read_exact_at(bytes, offset) {
            // Somebody has cut it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Damaged.into()),
            read => read.with_context(|| format!("read {}", self.path.display())),
        }
    }

    /// Locks the file against other processes that write it, for as long as the guard is there. `None` where
    /// another file has been put in its place.
    pub(super) fn lock(&self, patience: Duration) -> Result<Option<Locked>> {
        let locking = || format!("lock {}", self.path.display());
        let file = self.file.try_clone().with_context(locking)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error).with_context(locking),
                Err(TryLockError::WouldBlock) if begin.elapsed() > patience => bail!(
                    "lock {}: another program writes it; try again when that is done",
                    self.path.display()
                ),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        let locked = Locked(file);
        let identity = |about: &fs::Metadata| (about.dev(), about.ino());
        let own = self.file.metadata().with_context(locking)?;
        let is_ours =
            fs::metadata(&self.path).is_ok_and(|there| identity(&there) == identity(&own));
        Ok(is_ours.then_some(locked))
    }

    /// Puts a frame at the end, over what a killed process may have left there. The file is to be locked, and
    /// nothing of another process to stand behind what is known.
    pub(super) fn append(&mut self, frame: &mut FrameBuilder) -> Result<()> {
        if frame.rows() == 0 {
            return Ok(());
        }
        let appending = || format!("put vectors at the end of {}", self.path.display());
        if !self.is_writable {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied)).with_context(appending);
        }
        let (bytes, rows) = frame.take(self.end);
        self.file.set_len(self.end).with_context(appending)?;
        self.file
            .write_all_at(&bytes, self.end)
            .with_context(appending)?;
        let mut sum = [0; 16];
        sum.copy_from_slice(&bytes[16..HEAD_BYTES]);
        self.put_frame(rows, sum);
        Ok(())
    }

    /// Whether another process has put something behind what is known, or cut it.
    pub(super) fn is_grown(&self) -> Result<bool> {
        let about = self.file.metadata();
        let about = about.with_context(|| format!("look at {}", self.path.display()))?;
        Ok(about.len() != self.end)
    }
}

/// Unlocks when it is dropped.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // A lock that can't be given back goes with the process.
        let _ = self.0.unlock();
    }
}

/// Writes a new file, to be put in place of the old one whole.
#[derive(Debug)]
pub(super) struct VectorFileWriter {
    file: AtomicFile,
    path: PathBuf,
    frame: FrameBuilder,
    end: u64,
}

impl VectorFileWriter {
    pub(super) fn create(path: &Path, shape: Shape) -> Result<VectorFileWriter> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(&head_of(shape))
            .with_context(|| format!("write {}", path.display()))?;
        Ok(VectorFileWriter {
            file,
            path: path.to_owned(),
            frame: FrameBuilder::new(shape),
            end: FILE_HEAD_BYTES as u64,
        })
    }

    /// The frame to put rows into; [`VectorFileWriter::flush_full`] after each.
    pub(super) fn frame(&mut self) -> &mut FrameBuilder {
        &mut self.frame
    }

    pub(super) fn flush_full(&mut self) -> Result<()> {
        match self.frame.is_full() {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let (bytes, _) = self.frame.take(self.end);
        self.file
            .write_all(&bytes)
            .with_context(|| format!("write {}", self.path.display()))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn commit(mut self) -> Result<VectorFile> {
        if self.frame.rows() > 0 {
            self.flush()?;
        }
        self.file.commit()?;
        VectorFile::open(&self.path)?
            .with_context(|| format!("open {}: it was just written", self.path.display()))
    }
}
