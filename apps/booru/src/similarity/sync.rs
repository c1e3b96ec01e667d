//! Bringing the file of vectors up to what `similarity.db` has.
//!
//! Rows are compared by image and by when they came in, and what is new, another or gone is put at the
//! end of the file. It is made anew where there is none, where it is not as it should be, and where more
//! than an eighth of it would count no more. A vector that another program has replaced without a new
//! `created_at` is found when a score comes out of it that can't be, or by `booru embeddings build`.
//!
//! Memory meanwhile: 12 bytes a row of the file, 8 a row of the database, one frame.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use plimsoll::stream::remove_leftovers;

use super::codec::Kind;
use super::embeddings::{Embeddings, Stamp, UNSETTLED, vector_of};
use super::frame::{FrameBuilder, Shape, State};
use super::vector_file::{VectorFile, VectorFileWriter};

/// Rows that may count no more, and frames that may be short, before the file is made anew; more where it
/// is large: an eighth.
const WASTE_MAX: usize = 1024;

/// How far what is in the file is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Where image and time agree.
    Stamps,
    Nothing,
}

/// The file of vectors as the database is now; `None` where that has no vectors. The caller sees to it that
/// the database stays as it is meanwhile.
pub(super) fn bring_up_to_date(
    embeddings: &Embeddings,
    path: &Path,
    kind: Kind,
    trust: Trust,
    patience: Duration,
) -> Result<Option<VectorFile>> {
    loop {
        let Some(mut file) = VectorFile::open(path)? else {
            return rebuild(embeddings, path, kind);
        };
        let Some(locked) = file.lock(patience)? else {
            // Another process has just put a new one in its place.
            continue;
        };
        file.read_on()
            .with_context(|| format!("read {}", path.display()))?;
        if trust == Trust::Nothing || file.shape().kind != kind {
            return rebuild(embeddings, path, kind);
        }
        let changes = changes(embeddings, &file)?;
        if changes.is_rebuild_due(&file) {
            return rebuild(embeddings, path, kind);
        }
        let skipped = changes.skipped + append(embeddings, &mut file, &changes)?;
        // Another model may have made most vectors by now, of another length.
        let is_of_others = 2 * skipped > changes.images
            && embeddings.dimensions()? != Some(file.shape().dimensions);
        if is_of_others {
            return rebuild(embeddings, path, kind);
        }
        drop(locked);
        return Ok(Some(file));
    }
}

/// What the database has that the file has not.
#[derive(Debug, Default)]
struct Changes {
    /// New, or perhaps another than before.
    to_read: Vec<u32>,
    gone: Vec<u32>,
    /// Images of the file that have a row that counts.
    rows: usize,
    /// Images of the database, and of them those that the file has rightly as without a vector.
    images: usize,
    skipped: usize,
}

impl Changes {
    fn is_rebuild_due(&self, file: &VectorFile) -> bool {
        let waste_max = WASTE_MAX.max(self.rows / 8);
        let changes = self.to_read.len() + self.gone.len();
        let waste = file.rows() as usize - self.rows + changes;
        let frames = file.frames().len() - file.rows() as usize / file.shape().rows_max();
        waste > waste_max || frames > waste_max
    }
}

/// The last row of an image in the file.
#[derive(Clone, Copy, Debug)]
struct Known {
    image: u32,
    stamp: Stamp,
    state: State,
}

fn changes(embeddings: &Embeddings, file: &VectorFile) -> Result<Changes> {
    let mut known: Vec<Known> = Vec::with_capacity(file.rows() as usize);
    file.each_meta(|_, meta| {
        known.push(Known {
            image: meta.image,
            stamp: meta.stamp,
            state: meta.state,
        });
    })?;
    // Stable: of an image, the last row stays the last, and is put in the place of those before.
    known.sort_by_key(|row| row.image);
    known.dedup_by(|later, earlier| {
        let is_same = later.image == earlier.image;
        if is_same {
            *earlier = *later;
        }
        is_same
    });
    known.retain(|row| row.state != State::Gone);
    let mut there: Vec<(u32, Stamp)> = Vec::new();
    embeddings.each_stamp(|image, stamp| there.push((image, stamp)))?;
    there.sort_unstable();

    let mut changes = Changes {
        rows: known.len(),
        images: there.len(),
        ..Changes::default()
    };
    let mut known = known.into_iter().peekable();
    for (image, stamp) in there {
        while let Some(row) = known.next_if(|row| row.image < image) {
            changes.gone.push(row.image);
        }
        let row = known.next_if(|row| row.image == image);
        match row.filter(|row| row.stamp == stamp && stamp != UNSETTLED) {
            Some(row) => changes.skipped += usize::from(row.state == State::Skipped),
            None => changes.to_read.push(image),
        }
    }
    changes.gone.extend(known.map(|row| row.image));
    Ok(changes)
}

/// Puts what has changed at the end of a file: how many rows of it are no vectors.
fn append(embeddings: &Embeddings, file: &mut VectorFile, changes: &Changes) -> Result<usize> {
    let shape = file.shape();
    let mut frame = FrameBuilder::new(shape);
    let mut skipped = 0;
    for image in &changes.to_read {
        let state = embeddings.read(*image, |stamp, bytes| {
            push(&mut frame, shape, *image, stamp, bytes)
        })?;
        skipped += usize::from(state == Some(State::Skipped));
        if frame.is_full() {
            file.append(&mut frame)?;
        }
    }
    for image in &changes.gone {
        frame.push_other(*image, UNSETTLED, State::Gone);
        if frame.is_full() {
            file.append(&mut frame)?;
        }
    }
    file.append(&mut frame)?;
    Ok(skipped)
}

/// Puts in a row of the database, vector or not: which.
fn push(frame: &mut FrameBuilder, shape: Shape, image: u32, stamp: Stamp, bytes: &[u8]) -> State {
    match vector_of(bytes, shape.dimensions) {
        Some(vector) => {
            frame.push_vector(image, stamp, &vector);
            State::Vector
        }
        None => {
            frame.push_other(image, stamp, State::Skipped);
            State::Skipped
        }
    }
}

fn rebuild(embeddings: &Embeddings, path: &Path, kind: Kind) -> Result<Option<VectorFile>> {
    let Some(dimensions) = embeddings.dimensions()? else {
        // Nothing is lost with it: the database has no vectors.
        let _ = fs::remove_file(path);
        return Ok(None);
    };
    if let Some(folder) = path.parent() {
        remove_leftovers(folder)?;
    }
    let shape = Shape { kind, dimensions };
    let mut writer = VectorFileWriter::create(path, shape)?;
    embeddings.each(|image, stamp, bytes| {
        push(writer.frame(), shape, image, stamp, bytes);
        writer.flush_full()
    })?;
    writer.commit().map(Some)
}
