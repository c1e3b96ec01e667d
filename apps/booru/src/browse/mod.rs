//! Tags as a list to look through, and all that is known of one.

mod common;
mod detail;
mod list;
mod overview;

pub use common::{CommonTags, TagShare};
pub use detail::{SAMPLES_MAX, SourceCount, TagDetail};
pub use list::{Browse, TAG_PAGE_MAX, TagFilter, TagOrder, TagPage, TagRow};
pub use overview::{CategoryCount, Overview};

use anyhow::Result;

use crate::store::Store;

/// On so few images, if on any, a tag counts as little used.
pub const LOW_USAGE_MAX: u64 = 4;

/// Ids of tags with an extended category, ascending; 4 bytes each.
fn read_extended(store: &Store) -> Result<Vec<u32>> {
    let mut extended = Vec::new();
    if !store.schema.has("tags", "extended_category") {
        return Ok(extended);
    }
    let sql = "SELECT id FROM tags WHERE extended_category IS NOT NULL AND extended_category <> '' ORDER BY id";
    store.each_row("read extended categories", sql, &[], |row| {
        extended.extend(row.id(0)?);
        Ok(())
    })?;
    Ok(extended)
}
