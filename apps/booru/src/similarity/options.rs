//! How embeddings are searched, and what is told of them.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::codec::Kind;
use crate::store::Access;

/// How embeddings are searched.
#[derive(Clone, Copy, Debug)]
pub struct SemanticOptions {
    pub access: Access,
    pub kind: Kind,
    /// Of vectors held in memory while they are used; the others are read for each search.
    pub held_bytes_max: u64,
    /// After no use for so long, nothing is held and nothing open.
    pub idle_timeout: Duration,
    /// Of one search.
    pub threads: usize,
    /// How long another program may hold the database or the file.
    pub patience: Duration,
}

/// An image that is like another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Match {
    pub id: u32,
    pub score: f64,
}

/// What embeddings hold now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SemanticStatus {
    pub is_loaded: bool,
    /// Vectors that are searched, and rows of the database that are none of their length. These and what
    /// the file is are 0 while nothing is loaded.
    pub vectors: u64,
    pub skipped: u64,
    pub dimensions: u64,
    /// Of memory: vectors, and what goes with them.
    pub held_bytes: u64,
    pub file_bytes: u64,
    pub loads_total: u64,
    pub unloads_by_idleness_total: u64,
    pub unloads_by_pressure_total: u64,
}

/// What a survey finds in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    pub database: PathBuf,
    pub rows: u64,
    pub vectors: u64,
    pub skipped: u64,
    pub dimensions: u64,
    pub file: PathBuf,
    pub file_bytes: u64,
    pub kind: Kind,
}
