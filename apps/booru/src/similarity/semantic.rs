//! Search by embeddings: the images whose vectors have the greatest inner products with one, exactly.
//!
//! Codes of 1 byte a number are compared first, which leaves out every image that can't be among the
//! best; the scores of the others are computed from the `f32` of `similarity.db`, the most promising
//! first, until no other can be better. So an answer is that of comparing all vectors in `f64`, equal
//! scores by rising image, whatever [`Kind`](super::Kind) the file has.
//!
//! Nothing is opened before the first search or edit, and all is closed again after
//! [`idle_timeout`](SemanticOptions::idle_timeout), or where the budget needs the memory.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use plimsoll::budget::Budget;
use plimsoll::lazy::{Lazy, LazyOptions};

use super::codec::{DIMENSIONS_MAX, Probe};
use super::embeddings::{Embeddings, vector_of};
use super::index::{Index, IsWanted, VECTORS};
use super::kernel::dot_exact;
use super::options::{Match, SemanticOptions, SemanticStatus, Survey};
use super::select::{Best, Candidate};
use super::source::{Loaded, Moment, Source, follow, load};
use super::sync::Trust;
use super::vector_file::Damaged;
use crate::board;
use crate::store::Access;

/// Images an answer may have.
pub const MATCHES_MAX: usize = 1000;

/// Searches of one question: others may change the database in between, and a file may be found damaged.
const TRIES_MAX: usize = 4;

/// The embeddings of a board. Of all threads.
#[derive(Debug)]
pub struct Semantic {
    source: Arc<Source>,
    loaded: Lazy<Loaded>,
}

/// What became of a try.
enum Tried<T> {
    Done(T),
    /// The database is another now, or not what the file says.
    Again(Trust),
}

impl Semantic {
    /// Of the `similarity.db` in a folder. Opens nothing.
    #[must_use]
    pub fn new(folder: &Path, options: SemanticOptions, budget: &Budget) -> Semantic {
        let source = Arc::new(Source {
            database: folder.join("similarity.db"),
            file: folder.join("similarity.vectors"),
            options,
            connection: Mutex::default(),
            summary: Mutex::default(),
        });
        let lazy = LazyOptions {
            idle_timeout: options.idle_timeout,
            ..LazyOptions::default()
        };
        let builder = Arc::clone(&source);
        let loaded = Lazy::new(budget, "similarity: vectors", lazy, move |reservation| {
            load(&builder, reservation)
                .map_err(Into::<Box<dyn std::error::Error + Send + Sync>>::into)
        });
        Semantic { source, loaded }
    }

    /// The images most like one, which is left out. `None` where that has no embedding.
    ///
    /// # Errors
    /// As [`Semantic::search`] says.
    pub fn similar_to(
        &self,
        image: u32,
        k: usize,
        is_wanted: &(dyn Fn(u32) -> bool + Sync),
    ) -> Result<Option<Vec<Match>>> {
        let Some(vector) = self.vector(image)? else {
            return Ok(None);
        };
        let is_other = |other: u32| other != image && is_wanted(other);
        self.search(&vector, k, &is_other).map(Some)
    }

    /// The embedding of an image.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn vector(&self, image: u32) -> Result<Option<Vec<f32>>> {
        let mut connection = self.source.lock();
        let Some((embeddings, _)) = connection.embeddings(&self.source)? else {
            return Ok(None);
        };
        let read = embeddings.read(image, |_, bytes| vector_of(bytes, bytes.len() / 4))?;
        Ok(read.flatten().filter(|vector| !vector.is_empty()))
    }

    /// The `k` wanted images whose vectors have the greatest inner products with this one, exactly; equal
    /// ones by rising id. O(bytes of the file); 12 bytes more for each vector that is as good as the best.
    ///
    /// # Errors
    /// A vector of another length than those of the board, or with numbers that are none; more than
    /// [`MATCHES_MAX`]; a database that can't be read.
    pub fn search(&self, vector: &[f32], k: usize, is_wanted: IsWanted<'_>) -> Result<Vec<Match>> {
        ensure!(
            k <= MATCHES_MAX,
            "ask for {k} similar images: {MATCHES_MAX} are the most"
        );
        ensure!(
            vector.iter().all(|number| number.is_finite()),
            "search by a vector: one of its numbers is none"
        );
        if k == 0 {
            return Ok(Vec::new());
        }
        for _ in 0..TRIES_MAX {
            let loaded = self.loaded.get()?;
            match self.try_search(&loaded, vector, k, is_wanted)? {
                Tried::Done(found) => return Ok(found),
                Tried::Again(trust) => {
                    self.source.lock().is_distrusted |= trust == Trust::Nothing;
                    drop(loaded);
                    self.loaded.unload();
                }
            }
        }
        bail!(
            "search {}: it changed {TRIES_MAX} times meanwhile; try again",
            self.source.database.display()
        )
    }

    fn try_search(
        &self,
        loaded: &Loaded,
        vector: &[f32],
        k: usize,
        is_wanted: IsWanted<'_>,
    ) -> Result<Tried<Vec<Match>>> {
        let following = loaded.read();
        let moment = following.moment;
        let Some(index) = &following.index else {
            return self.search_database(moment, vector, k, is_wanted);
        };
        let shape = index.file().shape();
        if vector.len() != shape.dimensions {
            // If it still is what it was; else those of another model may have come in.
            return self.at_moment(moment, |_| {
                bail!(
                    "search by a vector of {} numbers: those of {} have {}",
                    vector.len(),
                    self.source.database.display(),
                    shape.dimensions
                )
            });
        }
        let probe = Probe::new(shape.kind, vector);
        let threads = self.source.options.threads;
        let candidates = VECTORS.run(|| index.candidates(&probe, k, is_wanted, threads));
        let candidates = match candidates {
            Err(error) if error.is::<Damaged>() => return Ok(Tried::Again(Trust::Nothing)),
            candidates => candidates?,
        };
        self.at_moment(moment, |embeddings| {
            rescore(embeddings, index, &probe, candidates, k)
        })
    }

    /// Without a file: each vector of the database, which takes longer and no memory.
    fn search_database(
        &self,
        moment: Moment,
        vector: &[f32],
        k: usize,
        is_wanted: IsWanted<'_>,
    ) -> Result<Tried<Vec<Match>>> {
        self.at_moment(moment, |embeddings| {
            let mut best = Best::new(k);
            embeddings.each(|image, _, bytes| {
                if bytes.len() == vector.len() * 4
                    && vector_of(bytes, vector.len()).is_some()
                    && is_wanted(image)
                {
                    best.push(image, dot_exact(bytes, vector));
                }
                Ok(())
            })?;
            Ok(Tried::Done(matches(best)))
        })
    }

    /// Does `act` if the database is as it was at a moment, and while it stays so.
    fn at_moment(
        &self,
        moment: Moment,
        act: impl FnOnce(&Embeddings) -> Result<Tried<Vec<Match>>>,
    ) -> Result<Tried<Vec<Match>>> {
        let mut connection = self.source.lock();
        let edits = connection.edits;
        let Some((embeddings, opened)) = connection.embeddings(&self.source)? else {
            return Ok(Tried::Done(Vec::new()));
        };
        embeddings.reading(|| {
            let version = embeddings.version()?;
            let now = Moment {
                opened,
                version,
                edits,
            };
            match now == moment {
                true => act(embeddings),
                false => Ok(Tried::Again(Trust::Stamps)),
            }
        })
    }

    /// The best `k` by codes alone, for measuring how good they are without the rest.
    ///
    /// # Errors
    /// As [`Semantic::search`] says.
    pub fn search_codes(&self, vector: &[f32], k: usize) -> Result<Vec<Match>> {
        let loaded = self.loaded.get()?;
        let following = loaded.read();
        let index = following.index.as_ref();
        let index = index.context("search codes: there is no file of vectors")?;
        ensure!(
            vector.len() == index.file().shape().dimensions,
            "search codes: by a vector of another length"
        );
        let probe = Probe::new(index.file().shape().kind, vector);
        let found = index.estimates(&probe, k, &|_| true)?;
        Ok(found
            .into_iter()
            .map(|(id, score)| Match { id, score })
            .collect())
    }

    /// Puts in the embedding of an image, or in place of the one before. `similarity.db` is made where there
    /// is none.
    ///
    /// # Errors
    /// A vector that is none, a board that is read-only, what SQLite says.
    pub fn add(&self, image: u32, vector: &[f32]) -> Result<()> {
        ensure!(
            (1..=DIMENSIONS_MAX).contains(&vector.len())
                && vector.iter().all(|number| number.is_finite()),
            "put in the vector of image {image}: it is to have 1 to {DIMENSIONS_MAX} numbers"
        );
        self.edit(image, Some(vector))?;
        Ok(())
    }

    /// Takes out the embedding of an image; whether it had one.
    ///
    /// # Errors
    /// As [`Semantic::add`] says.
    pub fn remove(&self, image: u32) -> Result<bool> {
        self.edit(image, None)
    }

    fn edit(&self, image: u32, vector: Option<&[f32]>) -> Result<bool> {
        ensure!(
            self.source.options.access == Access::InPlace,
            "change {}: it was opened read-only",
            self.source.database.display()
        );
        // A search holds this lock for reading, so it sees the edit in database and file or in neither.
        let loaded = self.loaded.get_loaded();
        let mut following = loaded
            .as_ref()
            .map(|loaded| loaded.0.write().unwrap_or_else(PoisonError::into_inner));
        let (is_changed, edits) = self.source.lock().edit(&self.source, image, vector)?;
        let (Some(following), true) = (following.as_deref_mut(), is_changed) else {
            return Ok(is_changed);
        };
        let is_followed = match &mut following.index {
            // An edit from before it was loaded may have been missed: the next search sees by the count.
            Some(index) if following.moment.edits + 1 == edits => {
                follow(index, image, vector, self.source.options.patience)
            }
            _ => Ok(false),
        };
        // If not, the database has it all the same, and the next search loads anew.
        if let (Ok(true), Some(index)) = (is_followed, &following.index) {
            following.moment.edits = edits;
            self.source.summarize(index);
        }
        Ok(is_changed)
    }

    /// Makes the file anew from all of the database, and says what there is.
    ///
    /// # Errors
    /// A database or a file that can't be read or written.
    pub fn build(&self) -> Result<Option<Survey>> {
        self.source.lock().is_distrusted = true;
        self.loaded.unload();
        self.survey()
    }

    /// What there is; the file is brought up to the database. `None` without a database or vectors in it.
    ///
    /// # Errors
    /// A database or a file that can't be read or written.
    pub fn survey(&self) -> Result<Option<Survey>> {
        let loaded = self.loaded.get()?;
        let rows = {
            let mut connection = self.source.lock();
            match connection.embeddings(&self.source)? {
                Some((embeddings, _)) => embeddings.count()?,
                None => return Ok(None),
            }
        };
        let following = loaded.read();
        let Some(index) = &following.index else {
            ensure!(
                rows == 0,
                "make {}: none of the {rows} rows of {} can be taken, or this user may not write there",
                self.source.file.display(),
                self.source.database.display()
            );
            return Ok(None);
        };
        let counts = index.counts();
        Ok(Some(Survey {
            database: self.source.database.clone(),
            rows,
            vectors: counts.vectors as u64,
            skipped: counts.skipped as u64,
            dimensions: index.file().shape().dimensions as u64,
            file: self.source.file.clone(),
            file_bytes: index.file().bytes(),
            kind: index.file().shape().kind,
        }))
    }

    /// The images that have a vector, ascending. 4 bytes each.
    ///
    /// # Errors
    /// A database that can't be read.
    pub fn images(&self) -> Result<Vec<u32>> {
        let loaded = self.loaded.get()?;
        let following = loaded.read();
        Ok(following
            .index
            .as_ref()
            .map_or(Vec::new(), Index::list_images))
    }

    /// What is held now. Opens nothing.
    #[must_use]
    pub fn status(&self) -> SemanticStatus {
        let figures = self.loaded.figures();
        let mut status = SemanticStatus {
            is_loaded: figures.loaded,
            held_bytes: figures.held_bytes,
            loads_total: figures.built_total,
            unloads_by_idleness_total: figures.unloaded_by_idleness_total,
            unloads_by_pressure_total: figures.unloaded_by_pressure_total,
            ..SemanticStatus::default()
        };
        if figures.loaded {
            let summary = self.source.summary.lock();
            let summary = *summary.unwrap_or_else(PoisonError::into_inner);
            status.vectors = summary.counts.vectors as u64;
            status.skipped = summary.counts.skipped as u64;
            status.dimensions = summary.dimensions as u64;
            status.file_bytes = summary.file_bytes;
        }
        status
    }

    /// Closes all if nobody has used it for the idle timeout, as of `now`; whether it did.
    pub fn unload_if_idle(&self, now: Instant) -> bool {
        let is_unloaded = self.loaded.unload_idle(now);
        if is_unloaded {
            self.close();
        }
        is_unloaded
    }

    /// Closes all now; whether anything was held.
    pub fn unload(&self) -> bool {
        let is_unloaded = self.loaded.unload();
        self.close();
        is_unloaded
    }

    fn close(&self) {
        self.source.lock().embeddings = None;
        board::give_back();
    }
}

/// The scores of candidates from the database, until no other can be among the best.
fn rescore(
    embeddings: &Embeddings,
    index: &Index,
    probe: &Probe,
    candidates: Vec<Candidate>,
    k: usize,
) -> Result<Tried<Vec<Match>>> {
    let mut best = Best::new(k);
    for candidate in candidates {
        if best.is_settled_for(candidate.upper) {
            break;
        }
        let image = index.image(candidate.row);
        let query = probe.numbers();
        let score = embeddings.read(image, |_, bytes| {
            (bytes.len() == query.len() * 4).then(|| dot_exact(bytes, query))
        })?;
        match score.flatten() {
            Some(score)
                if f64::from(candidate.lower) <= score && score <= f64::from(candidate.upper) =>
            {
                best.push(image, score);
            }
            // It is another than the file says.
            _ => return Ok(Tried::Again(Trust::Nothing)),
        }
    }
    Ok(Tried::Done(matches(best)))
}

fn matches(best: Best) -> Vec<Match> {
    let found = best.finish().into_iter();
    found.map(|(id, score)| Match { id, score }).collect()
}
