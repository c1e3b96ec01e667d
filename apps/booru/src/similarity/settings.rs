//! Settings of similarity: the original's names where it has one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use plimsoll::budget::{Budget, Policy};

use super::{
    Kind, MATCHES_MAX, Method, SemanticOptions, Similarity, SimilarityOptions, TagOptions,
};
use crate::config::{BoardArguments, File, parse_switch};
use crate::store::{self, Access};

/// Of vectors: all of 61,000 with 1,024 numbers. What is beyond is read from the file for each search.
const MEMORY_MIB: u64 = 64;
const IDLE_TIMEOUT: u64 = 300;
/// As the original's.
const CACHE_SIZE: usize = 50;
/// More read the same memory.
const THREADS_MAX: usize = 2;

#[derive(Clone, Debug, Default, Args)]
pub struct SimilarityArguments {
    /// Whether embeddings are used; without, nothing of them is opened.
    #[arg(long, env = "ENABLE_SEMANTIC_SIMILARITY", value_name = "BOOL", value_parser = parse_switch)]
    enable_semantic_similarity: Option<bool>,
    /// Bytes a number in the file that is searched; answers are the same.
    #[arg(long, env = "SIMILARITY_VECTORS", value_enum)]
    similarity_vectors: Option<Kind>,
    /// Of vectors held in memory while they are used.
    #[arg(long, env = "SIMILARITY_MEMORY_MB", value_name = "MIB")]
    similarity_memory_mb: Option<u64>,
    /// Of one search of embeddings.
    #[arg(long, env = "SIMILARITY_THREADS", value_name = "COUNT")]
    similarity_threads: Option<usize>,
    /// After how many seconds without use nothing is held any more.
    #[arg(long, env = "FAISS_IDLE_TIMEOUT", value_name = "SECONDS")]
    faiss_idle_timeout: Option<u64>,
    /// How tags are compared.
    #[arg(long, env = "SIMILARITY_METHOD", value_enum, ignore_case = true)]
    similarity_method: Option<Method>,
    /// Of the asymmetric methods: the part that says how much of the one's tags the other has, 0 to 1.
    #[arg(long, env = "ASYMMETRIC_ALPHA", value_name = "PART")]
    asymmetric_alpha: Option<f64>,
    /// Whether the extended category of a tag, where it has one, says its weight.
    #[arg(long, env = "USE_EXTENDED_SIMILARITY", value_name = "BOOL", value_parser = parse_switch)]
    use_extended_similarity: Option<bool>,
    /// Whether answers are kept in the table similar_images_cache.
    #[arg(long, env = "SIMILARITY_CACHE_ENABLED", value_name = "BOOL", value_parser = parse_switch)]
    similarity_cache_enabled: Option<bool>,
    /// How many images of each answer.
    #[arg(long, env = "SIMILARITY_CACHE_SIZE", value_name = "COUNT")]
    similarity_cache_size: Option<usize>,
}

impl SimilarityArguments {
    /// The similarity of a board, with a budget of its own. `access` is to `similarity.db`.
    ///
    /// # Errors
    /// No board, a setting that is none.
    pub fn open(&self, board: &BoardArguments, access: Access) -> Result<Similarity> {
        let options = self.options(board, access)?;
        let database = store::find(&board.board)?;
        let folder = match store::is_address(&database) {
            true => None,
            false => Some(database.parent().unwrap_or(Path::new(""))),
        };
        let budget = Budget::new(u64::MAX >> 1, Policy::Greedy);
        Ok(Similarity::open(folder, options, &budget))
    }

    /// A flag, else what the environment says, else `booru.toml`, else what is usual.
    ///
    /// # Errors
    /// A setting that is none.
    pub fn options(&self, board: &BoardArguments, access: Access) -> Result<SimilarityOptions> {
        let file = File::read(&board.board)?;
        let is_enabled = self
            .enable_semantic_similarity
            .or(file.enable_semantic_similarity)
            .unwrap_or(true);
        let idle_timeout = self.faiss_idle_timeout.or(file.faiss_idle_timeout);
        let idle_timeout = Duration::from_secs(idle_timeout.unwrap_or(IDLE_TIMEOUT));
        let memory = self.similarity_memory_mb.or(file.similarity_memory_mb);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.similarity_threads.or(file.similarity_threads);
        let threads = threads.unwrap_or(cores.min(THREADS_MAX));
        ensure!(
            (1..=64).contains(&threads),
            "SIMILARITY_THREADS is {threads}: 1 to 64 are possible"
        );
        let alpha = self.asymmetric_alpha.or(file.asymmetric_alpha);
        let alpha = alpha.unwrap_or(TagOptions::default().alpha);
        ensure!(
            (0.0..=1.0).contains(&alpha),
            "ASYMMETRIC_ALPHA is {alpha}: it is a part, from 0 to 1"
        );
        let cached = self.similarity_cache_size.or(file.similarity_cache_size);
        let cached = cached.unwrap_or(CACHE_SIZE);
        ensure!(
            (1..=MATCHES_MAX).contains(&cached),
            "SIMILARITY_CACHE_SIZE is {cached}: 1 to {MATCHES_MAX} are possible"
        );
        let is_cached = self
            .similarity_cache_enabled
            .or(file.similarity_cache_enabled)
            .unwrap_or(false);
        Ok(SimilarityOptions {
            semantic: is_enabled.then_some(SemanticOptions {
                access,
                kind: self
                    .similarity_vectors
                    .or(file.similarity_vectors)
                    .unwrap_or_default(),
                held_bytes_max: memory.unwrap_or(MEMORY_MIB).saturating_mul(1 << 20),
                idle_timeout,
                threads,
                patience: Duration::from_secs(board.patience),
            }),
            tags: TagOptions {
                method: self
                    .similarity_method
                    .or(file.similarity_method)
                    .unwrap_or_default(),
                alpha,
                use_extended: self
                    .use_extended_similarity
                    .or(file.use_extended_similarity)
                    .unwrap_or(true),
            },
            cached: is_cached.then_some(cached),
            idle_timeout,
        })
    }
}
