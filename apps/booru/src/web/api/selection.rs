//! Which images a request is about.

use anyhow::Result;
use serde::Deserialize;

use super::image::id_of;
use crate::board::Board;
use crate::query::Query;
use crate::refuse;

/// The ids of all images that are told in one way or another.
///
/// # Errors
/// None is told; a path that is none, a query that is none; what the database says.
pub(super) fn select(
    board: &Board,
    ids: &[u32],
    filepaths: &[String],
    query: Option<&str>,
) -> Result<Vec<u32>> {
    if ids.is_empty() && filepaths.is_empty() && query.is_none() {
        refuse!("no images are told: give ids, filepaths or a query");
    }
    let mut all = match query {
        Some(query) => board.all_matches(&query.parse::<Query>()?)?,
        None => Vec::new(),
    };
    all.extend(ids);
    for path in filepaths {
        all.push(id_of(board, path)?);
    }
    Ok(all)
}

/// One image, by its id or its path.
#[derive(Debug, Deserialize)]
pub(super) struct OneImage {
    #[serde(alias = "image_id")]
    id: Option<u32>,
    filepath: Option<String>,
}

impl OneImage {
    /// # Errors
    /// Neither is told, or a path that is none; what the database says.
    pub(super) fn id(&self, board: &Board) -> Result<u32> {
        match (self.id, &self.filepath) {
            (Some(id), _) => Ok(id),
            (None, Some(path)) => id_of(board, path),
            (None, None) => refuse!("one image is to be told: give its id or its filepath"),
        }
    }
}
