//! The embeddings of a shared board, which the server compares: nothing is held here.

use anyhow::Result;

use super::options::Match;
use super::semantic::MATCHES_MAX;
use crate::store::Store;

/// The `k` wanted images most like one, which is left out. `None` where that has no embedding.
///
/// One that is not wanted is one that is gone from the board, and its embedding went with it, but for those
/// of a moment ago: an answer may then be shorter by them.
pub(super) fn similar_to(
    store: &Store,
    image: u32,
    k: usize,
    is_wanted: &dyn Fn(u32) -> bool,
) -> Result<Option<Vec<Match>>> {
    let Some(vectors) = store.find_vectors()? else {
        return Ok(None);
    };
    let Some(vector) = vectors.read(image)? else {
        return Ok(None);
    };
    let found = vectors.nearest(&vector, k.min(MATCHES_MAX) + 1)?;
    let others = found
        .into_iter()
        .filter(|(id, _)| *id != image && is_wanted(*id));
    let matches = others.map(|(id, score)| Match { id, score });
    Ok(Some(matches.take(k).collect()))
}
