//! What images are like an image: by embeddings, by tags, by looks, or by all of them.
//!
//! [`Semantic`] searches the vectors of `similarity.db`, exactly; [`TagSimilarity`] compares with every image
//! that shares a tag. Both hold nothing before they are asked, and give back all after they have not been
//! asked for a while. A shared board has its vectors in its own database, which compares them; how images look
//! is compared by their hashes there.

mod blend;
pub(crate) mod cache;
mod codec;
mod copy;
mod embeddings;
mod frame;
mod index;
mod kernel;
mod options;
mod select;
mod semantic;
pub(crate) mod settings;
mod shared;
mod source;
mod sync;
mod tags;
mod vector_file;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use plimsoll::budget::Budget;
use serde::Serialize;

use crate::board::Board;
use crate::query::moment;

pub use blend::{POOL, Pools, Similar};
pub use codec::{DIMENSIONS_MAX, Kind};
pub use copy::{CopiedVectors, copy};
pub use options::{Match, SemanticOptions, SemanticStatus, Survey};
pub use semantic::{MATCHES_MAX, Semantic};
pub use settings::SimilarityArguments;
pub use tags::{Method, TagOptions, TagSimilarity};

/// In what way images are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// By embeddings.
    Semantic,
    Tags,
    /// By perceptual hashes.
    Visual,
    /// By all of these.
    #[default]
    Blend,
}

impl By {
    /// What stands in `similar_images_cache.similarity_type`.
    fn stored_name(self) -> &'static str {
        match self {
            By::Semantic => "semantic",
            By::Tags => "tag",
            By::Visual => "visual",
            By::Blend => "blended",
        }
    }
}

/// Of 64: images further apart don't look alike, as the original has it.
const LOOKS_DISTANCE_MAX: f64 = 15.0;

/// How images are compared.
#[derive(Clone, Copy, Debug)]
pub struct SimilarityOptions {
    /// `None`: embeddings are not to be used, and nothing of them is opened.
    pub semantic: Option<SemanticOptions>,
    pub tags: TagOptions,
    /// Images kept in `similar_images_cache` of each that was asked for; `None`: it is neither read nor written.
    pub cached: Option<usize>,
    pub idle_timeout: Duration,
}

const SWITCHED_OFF: &str =
    "ENABLE_SEMANTIC_SIMILARITY is false; set it to true, or ask `--by tags`";
const AT_SERVER: &str = "those of this board are in its own database, and no similarity.db is used";

/// What is held now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SimilarityStatus {
    /// `None` where embeddings are not to be used, or a server has them.
    pub semantic: Option<SemanticStatus>,
    pub tags_held_bytes: u64,
}

/// Similarity for all threads of a board.
#[derive(Debug)]
pub struct Similarity {
    embeddings: Embeddings,
    tags: TagSimilarity,
    cached: Option<usize>,
    idle_timeout: Duration,
    tags_used: Mutex<Option<Instant>>,
}

/// Where the embeddings of a board are.
#[derive(Debug)]
enum Embeddings {
    SwitchedOff,
    /// In `similarity.db` beside its database.
    Beside(Semantic),
    /// In its database, at a server.
    AtServer,
}

impl Similarity {
    /// Of the board whose database lies in `folder`; at a server where that is `None`. Opens nothing; what
    /// vectors take is claimed from `budget` while they are used, and given up where others need it.
    #[must_use]
    pub fn open(folder: Option<&Path>, options: SimilarityOptions, budget: &Budget) -> Similarity {
        Similarity {
            embeddings: match (options.semantic, folder) {
                (None, _) => Embeddings::SwitchedOff,
                (Some(_), None) => Embeddings::AtServer,
                (Some(options), Some(folder)) => {
                    Embeddings::Beside(Semantic::new(folder, options, budget))
                }
            },
            tags: TagSimilarity::new(options.tags),
            cached: options.cached,
            idle_timeout: options.idle_timeout,
            tags_used: Mutex::default(),
        }
    }

    /// # Errors
    /// Where embeddings are not to be used, or are at a server.
    pub fn semantic(&self) -> Result<&Semantic> {
        match &self.embeddings {
            Embeddings::Beside(semantic) => Ok(semantic),
            Embeddings::SwitchedOff => bail!("use embeddings: {SWITCHED_OFF}"),
            Embeddings::AtServer => bail!("use similarity.db: {AT_SERVER}"),
        }
    }

    /// Whether embeddings are in the board's own database.
    #[must_use]
    pub fn is_at_server(&self) -> bool {
        matches!(self.embeddings, Embeddings::AtServer)
    }

    /// The images whose embeddings are most like that of one; `None` where it has none.
    ///
    /// # Errors
    /// As [`Semantic::search`] says, and where embeddings are not to be used.
    pub fn similar_to(&self, image: u32, k: usize) -> Result<Option<Vec<Match>>> {
        self.semantic()?.similar_to(image, k, &|_| true)
    }

    /// The images of a board that are most like one of it. Those that are gone from the board are left out.
    ///
    /// # Errors
    /// An image that is not there or has no embedding, a way to compare that is not there; what the databases
    /// say.
    pub fn similar(&self, board: &Board, image: u32, by: By, limit: usize) -> Result<Vec<Similar>> {
        if board.catalog().images().of_id(image).is_none() {
            crate::missing!("there is no image {image}");
        }
        if let Some(cached) = self.cached
            && limit <= cached
        {
            let mut found = cache::read(board.store(), image, by, limit)?;
            found.retain(|similar| is_there(board, similar.id));
            if !found.is_empty() {
                return Ok(found);
            }
        }
        self.compare(board, image, by, limit)
    }

    /// As [`Similarity::similar`], anew, and kept in `similar_images_cache` if that is used. On the board that
    /// may write.
    ///
    /// # Errors
    /// As [`Similarity::similar`] says.
    pub fn refresh_cached(&self, board: &Board, image: u32, by: By) -> Result<Vec<Similar>> {
        let found = self.compare(board, image, by, self.cached.unwrap_or(0))?;
        if self.cached.is_some() {
            cache::write(board.store(), image, by, &found, &moment::now_text())?;
        }
        Ok(found)
    }

    /// Drops what is kept of an image in `similar_images_cache`, as after [`Similarity::add`]. On the board that
    /// may write.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_cached(&self, board: &Board, image: u32) -> Result<()> {
        cache::forget(board.store(), [image].into_iter())
    }

    fn compare(&self, board: &Board, image: u32, by: By, limit: usize) -> Result<Vec<Similar>> {
        let single = |found: Vec<Match>, put: fn(&mut Similar, f64)| {
            let found = found.into_iter().map(|Match { id, score }| {
                let mut similar = Similar {
                    id,
                    score,
                    ..Similar::default()
                };
                put(&mut similar, score);
                similar
            });
            found.collect()
        };
        Ok(match by {
            By::Semantic => {
                let Some(found) = self.by_embeddings(board, image, limit)? else {
                    crate::missing!(
                        "image {image} has no embedding; ask `--by tags`, or have one made"
                    );
                };
                single(found, |of, score| of.semantic = Some(score))
            }
            By::Tags => single(self.by_tags(board, image, limit)?, |of, score| {
                of.tags = Some(score);
            }),
            By::Visual => {
                let Some(found) = by_looks(board, image, limit)? else {
                    crate::missing!(
                        "image {image} has no perceptual hash; `booru duplicates DIR hash` makes those that are missing"
                    );
                };
                single(found, |of, score| of.visual = Some(score))
            }
            By::Blend => {
                let semantic = match self.embeddings {
                    Embeddings::SwitchedOff => None,
                    _ => self.by_embeddings(board, image, POOL)?,
                };
                let pools = Pools {
                    semantic: semantic.unwrap_or_default(),
                    tags: self.by_tags(board, image, POOL)?,
                    visual: by_looks(board, image, POOL)?.unwrap_or_default(),
                };
                pools.blend(limit)
            }
        })
    }

    fn by_embeddings(&self, board: &Board, image: u32, k: usize) -> Result<Option<Vec<Match>>> {
        // One look at the catalog, so that no edit waits for a search, nor a search for an edit.
        let there = board.catalog().images().list_ids();
        let is_there = |id: u32| there.binary_search(&id).is_ok();
        if self.is_at_server() {
            return shared::similar_to(board.store(), image, k, &is_there);
        }
        self.semantic()?.similar_to(image, k, &is_there)
    }

    fn by_tags(&self, board: &Board, image: u32, k: usize) -> Result<Vec<Match>> {
        let found = self.tags.similar_to(board, image, k, &|_| true);
        *self.lock_used() = Some(Instant::now());
        found
    }

    /// Puts in the embedding of an image, or in place of the one before.
    ///
    /// # Errors
    /// As [`Semantic::add`] says, and where embeddings are not to be used.
    pub fn add(&self, image: u32, vector: &[f32]) -> Result<()> {
        self.semantic()?.add(image, vector)
    }

    /// Takes out the embedding of an image, as when it is deleted; whether it had one. Without effect where
    /// embeddings are not to be used, and at a server, where it goes with its image.
    ///
    /// # Errors
    /// As [`Semantic::remove`] says.
    pub fn remove(&self, image: u32) -> Result<bool> {
        match &self.embeddings {
            Embeddings::Beside(semantic) => semantic.remove(image),
            Embeddings::SwitchedOff | Embeddings::AtServer => Ok(false),
        }
    }

    /// What is held now. Opens nothing.
    #[must_use]
    pub fn status(&self) -> SimilarityStatus {
        SimilarityStatus {
            semantic: self.beside().map(Semantic::status),
            tags_held_bytes: self.tags.held_bytes() as u64,
        }
    }

    /// Gives back what was not used for the idle timeout, as of `now`; whether there was anything. To be called
    /// now and then.
    pub fn unload_if_idle(&self, now: Instant) -> bool {
        let is_unloaded = self
            .beside()
            .is_some_and(|semantic| semantic.unload_if_idle(now));
        let mut used = self.lock_used();
        let is_idle =
            used.is_some_and(|used| now.saturating_duration_since(used) >= self.idle_timeout);
        if is_idle {
            *used = None;
            self.tags.unload();
            crate::board::give_back();
        }
        is_unloaded || is_idle
    }

    fn beside(&self) -> Option<&Semantic> {
        match &self.embeddings {
            Embeddings::Beside(semantic) => Some(semantic),
            Embeddings::SwitchedOff | Embeddings::AtServer => None,
        }
    }

    fn lock_used(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        let used = self.tags_used.lock();
        used.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// `None` where the image has no hash.
fn by_looks(board: &Board, image: u32, k: usize) -> Result<Option<Vec<Match>>> {
    let found = board.find_visually_similar(image, LOOKS_DISTANCE_MAX, k)?;
    Ok(found.map(|found| {
        let found = found.into_iter();
        let matches = found.map(|one| Match {
            id: one.image,
            score: one.score,
        });
        matches.collect()
    }))
}

fn is_there(board: &Board, image: u32) -> bool {
    board.catalog().images().of_id(image).is_some()
}
