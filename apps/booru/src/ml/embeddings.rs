//! Vectors of images, put where the original keeps them: `similarity.db` beside the database. Those of a shared
//! board are in its own database.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use plimsoll::budget::{Budget, Policy};
use rusqlite::{Connection, OpenFlags};

use crate::similarity::{Kind, Semantic, SemanticOptions};
use crate::store::sqlite::Explain as _;
use crate::store::{Access, Store};

/// For another program that writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// For writing alone: no index is loaded by it.
pub(crate) fn open(database: &Path) -> Semantic {
    let folder = database.parent().unwrap_or(Path::new("."));
    let options = SemanticOptions {
        access: Access::InPlace,
        kind: Kind::default(),
        held_bytes_max: 0,
        idle_timeout: Duration::ZERO,
        threads: 1,
        patience: PATIENCE,
    };
    Semantic::new(folder, options, &Budget::new(u64::MAX >> 1, Policy::Greedy))
}

/// Of `images`, ascending ids, those without a vector of `dimension` numbers. O(images); one read of keys and
/// lengths.
///
/// # Errors
/// What the database says.
pub(crate) fn lacking(store: &Store, images: &[u32], dimension: usize) -> Result<Vec<u32>> {
    match store.file() {
        Some(database) => lacking_beside(database, images, dimension),
        None => {
            let vectors = store.find_vectors()?;
            let vectors = vectors.filter(|vectors| vectors.dimensions() == dimension);
            let known = vectors.map_or(Ok(Vec::new()), |vectors| vectors.images())?;
            let is_lacking = |image: &&u32| known.binary_search(image).is_err();
            Ok(images.iter().filter(is_lacking).copied().collect())
        }
    }
}

fn lacking_beside(database: &Path, images: &[u32], dimension: usize) -> Result<Vec<u32>> {
    let path = database.with_file_name("similarity.db");
    if !path.exists() {
        return Ok(images.to_vec());
    }
    let reading = || format!("read {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(&path, flags).explain(reading)?;
    file.busy_timeout(PATIENCE).explain(reading)?;
    let sql = "SELECT image_id FROM embeddings WHERE length(embedding) = ?1 ORDER BY image_id";
    let mut statement = file.prepare(sql).explain(reading)?;
    let mut rows = statement.query([dimension as i64 * 4]).explain(reading)?;
    let mut lacking = Vec::new();
    let mut images = images.iter().copied().peekable();
    while let Some(row) = rows.next().explain(reading)? {
        let known: i64 = row.get(0)?;
        while let Some(image) = images.next_if(|image| i64::from(*image) < known) {
            lacking.push(image);
        }
        images.next_if(|image| i64::from(*image) == known);
    }
    lacking.extend(images);
    Ok(lacking)
}
