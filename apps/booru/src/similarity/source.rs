//! What a search by embeddings needs while it is open: the connection to `similarity.db`, the file of
//! vectors brought up to it, and up to which moment that was.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use anyhow::Result;
use plimsoll::budget::Reservation;

use super::embeddings::{Embeddings, UNSETTLED};
use super::frame::{FrameBuilder, State};
use super::index::{Counts, Index};
use super::options::SemanticOptions;
use super::sync::{Trust, bring_up_to_date};
use super::vector_file::Damaged;
use crate::board;

/// Where vectors come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) database: PathBuf,
    pub(super) file: PathBuf,
    pub(super) options: SemanticOptions,
    pub(super) connection: Mutex<Connection>,
    pub(super) summary: Mutex<Summary>,
}

#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) embeddings: Option<Embeddings>,
    /// Times that it was opened: versions of different connections don't compare.
    pub(super) opened: u64,
    /// Edits through it, which its version doesn't tell.
    pub(super) edits: u64,
    /// Whether the next load is to make the file anew.
    pub(super) is_distrusted: bool,
}

/// What the database was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) opened: u64,
    pub(super) version: i64,
    pub(super) edits: u64,
}

/// Of what is loaded: asking for it is to be no use, after which idleness would begin anew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) counts: Counts,
    pub(super) dimensions: usize,
    pub(super) file_bytes: u64,
}

/// What a search needs.
#[derive(Debug)]
pub(super) struct Loaded(pub(super) RwLock<Following>);

#[derive(Debug)]
pub(super) struct Following {
    /// `None` where the database has no vectors, or no file can be written.
    pub(super) index: Option<Index>,
    /// Up to where it has followed the database.
    pub(super) moment: Moment,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let following = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        following.index = None;
        board::give_back();
    }
}

impl Source {
    pub(super) fn summarize(&self, index: &Index) {
        let summary = Summary {
            counts: index.counts(),
            dimensions: index.file().shape().dimensions,
            file_bytes: index.file().bytes(),
        };
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = summary;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Following> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// The open database, and how many times it was opened; `None` where there is none.
    pub(super) fn embeddings(&mut self, source: &Source) -> Result<Option<(&Embeddings, u64)>> {
        if self.embeddings.is_none() {
            let SemanticOptions {
                access, patience, ..
            } = source.options;
            self.embeddings = Embeddings::open(&source.database, access, patience)?;
            self.opened += 1;
        }
        Ok(self.embeddings.as_ref().map(|open| (open, self.opened)))
    }

    /// Puts in or takes out the vector of an image: whether that changed anything, and the number of the edit.
    pub(super) fn edit(
        &mut self,
        source: &Source,
        image: u32,
        vector: Option<&[f32]>,
    ) -> Result<(bool, u64)> {
        if vector.is_some() && self.embeddings(source)?.is_none() {
            let made = Embeddings::open_or_make(&source.database, source.options.patience)?;
            self.embeddings = Some(made);
            self.opened += 1;
        }
        let Some((embeddings, _)) = self.embeddings(source)? else {
            return Ok((false, self.edits));
        };
        let is_changed = match vector {
            Some(vector) => {
                embeddings.put(image, vector)?;
                true
            }
            None => embeddings.remove(image)?,
        };
        self.edits += u64::from(is_changed);
        Ok((is_changed, self.edits))
    }
}

/// Brings the file up to the database, and opens it.
pub(super) fn load(source: &Source, reservation: &mut Reservation) -> Result<Loaded> {
    let mut connection = source.lock();
    let mut trust = match std::mem::take(&mut connection.is_distrusted) {
        true => Trust::Nothing,
        false => Trust::Stamps,
    };
    let edits = connection.edits;
    let Some((embeddings, opened)) = connection.embeddings(source)? else {
        return Ok(Loaded(RwLock::new(Following {
            index: None,
            moment: Moment::default(),
        })));
    };
    embeddings.reading(|| {
        let moment = Moment {
            opened,
            version: embeddings.version()?,
            edits,
        };
        let index = loop {
            match try_load(source, embeddings, trust, reservation) {
                Err(error) if error.is::<Damaged>() && trust == Trust::Stamps => {
                    trust = Trust::Nothing;
                }
                Err(error) if is_not_writable(&error) => break None,
                index => break index?,
            }
        };
        if let Some(index) = &index {
            source.summarize(index);
        }
        Ok(Loaded(RwLock::new(Following { index, moment })))
    })
}

fn try_load(
    source: &Source,
    embeddings: &Embeddings,
    trust: Trust,
    reservation: &mut Reservation,
) -> Result<Option<Index>> {
    let SemanticOptions {
        kind,
        held_bytes_max,
        patience,
        ..
    } = source.options;
    let file = bring_up_to_date(embeddings, &source.file, kind, trust, patience)?;
    let Some(file) = file else {
        return Ok(None);
    };
    reservation.resize(0)?;
    let index = Index::open(file, |bytes| {
        reservation.bytes() + bytes <= held_bytes_max && reservation.try_grow(bytes).is_ok()
    })?;
    // Beyond what was asked for where the budget has no more: it is needed, and small.
    let _ = reservation.try_grow(index.own_bytes() as u64);
    board::give_back();
    Ok(Some(index))
}

/// Whether a file can't be written because of where it is: the database is then searched itself.
fn is_not_writable(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| {
            use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
            matches!(
                cause.kind(),
                PermissionDenied | ReadOnlyFilesystem | StorageFull
            )
        })
    })
}

/// Whether the index has followed an edit of the database.
pub(super) fn follow(
    index: &mut Index,
    image: u32,
    vector: Option<&[f32]>,
    patience: Duration,
) -> Result<bool> {
    let shape = index.file().shape();
    let Some(_locked) = index.file().lock(patience)? else {
        return Ok(false);
    };
    if index.file().is_grown()? || vector.is_some_and(|vector| vector.len() != shape.dimensions) {
        return Ok(false);
    }
    let mut frame = FrameBuilder::new(shape);
    let state = match vector {
        Some(vector) => {
            frame.push_vector(image, UNSETTLED, vector);
            State::Vector
        }
        None => {
            frame.push_other(image, UNSETTLED, State::Gone);
            State::Gone
        }
    };
    index.append(&mut frame, &[(image, state)])?;
    Ok(true)
}
