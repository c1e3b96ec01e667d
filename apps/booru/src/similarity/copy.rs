//! The embeddings of one board into another, as after `booru copy`: each is put to the image of the same MD5.
//!
//! Memory: 4 bytes a vector of the source, and one vector.

use anyhow::Result;
use serde::Serialize;

use super::{Similarity, cache};
use crate::store::Store;

/// What became of the vectors of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CopiedVectors {
    pub vectors: u64,
    /// Whose image the other board has not.
    pub without_image: u64,
}

/// A board and where its embeddings are.
pub(super) type Place<'a> = (&'a Store, &'a Similarity);

/// Copies all embeddings, in place of those that the images have. Where a server takes them, all or none;
/// into `similarity.db` one by one: what is copied before an error stays, and is copied again the next time.
/// O(vectors), with three questions to the databases for each.
///
/// # Errors
/// Embeddings that are not to be used; vectors of another length than those of the server; a board that is
/// read-only; what the databases say.
pub fn copy((source, from): Place<'_>, (target, to): Place<'_>) -> Result<CopiedVectors> {
    target.check_writable()?;
    match to.is_at_server() {
        true => target.write(|| copy_each(source, from, target, to)),
        false => copy_each(source, from, target, to),
    }
}

fn copy_each(
    source: &Store,
    from: &Similarity,
    target: &Store,
    to: &Similarity,
) -> Result<CopiedVectors> {
    let mut copied = CopiedVectors::default();
    for image in images(source, from)? {
        let Some(vector) = vector(source, from, image)? else {
            continue;
        };
        match same_image(source, image, target)? {
            Some(id) => {
                put(target, to, id, &vector)?;
                copied.vectors += 1;
            }
            None => copied.without_image += 1,
        }
    }
    Ok(copied)
}

fn images(store: &Store, similarity: &Similarity) -> Result<Vec<u32>> {
    match similarity.is_at_server() {
        true => {
            let vectors = store.find_vectors()?;
            vectors.map_or(Ok(Vec::new()), |vectors| vectors.images())
        }
        false => similarity.semantic()?.images(),
    }
}

fn vector(store: &Store, similarity: &Similarity, image: u32) -> Result<Option<Vec<f32>>> {
    match similarity.is_at_server() {
        true => match store.find_vectors()? {
            Some(vectors) => vectors.read(image),
            None => Ok(None),
        },
        false => similarity.semantic()?.vector(image),
    }
}

fn put(store: &Store, similarity: &Similarity, image: u32, vector: &[f32]) -> Result<()> {
    match similarity.is_at_server() {
        true => store.vectors(vector.len())?.put(image, vector)?,
        false => similarity.add(image, vector)?,
    }
    cache::forget(store, [image].into_iter())
}

/// The image of another board with the same MD5; `None` where there is none, or this one has no MD5.
fn same_image(source: &Store, image: u32, target: &Store) -> Result<Option<u32>> {
    let what = "look for the same image";
    let sql = "SELECT md5 FROM images WHERE id = ?1";
    let md5 = source.query_row(what, sql, &[image.into()], |row| row.text(0))?;
    let Some(md5) = md5.flatten().filter(|md5| !md5.is_empty()) else {
        return Ok(None);
    };
    let sql = "SELECT id FROM images WHERE md5 = ?1 ORDER BY id LIMIT 1";
    let same = target.query_row(what, sql, &[(&md5).into()], |row| row.id(0))?;
    Ok(same.flatten())
}
