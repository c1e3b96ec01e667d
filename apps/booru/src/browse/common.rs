//! Which tags images have in common.

use anyhow::Result;
use plimsoll::dictionary::TermId;
use serde::Serialize;

use super::list::TagRow;
use crate::board::Board;
use crate::missing;

/// A tag, and on how many of the images it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TagShare {
    #[serde(flatten)]
    pub tag: TagRow,
    /// Of those asked for.
    pub images: u64,
    /// The same of a hundred, to one place: 100 for all alone, 0.1 at least.
    pub percentage: f64,
}

/// Tags of some images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommonTags {
    /// How many images, each counted once.
    pub images: u64,
    /// On each of them, by name.
    pub in_all: Vec<TagShare>,
    /// On some of them, the most frequent first.
    pub in_some: Vec<TagShare>,
    /// How many tags are on some, also those that are not told.
    pub in_some_total: u64,
}

impl Board {
    /// Tags that images, by id, have, at most `limit` of those that only some have. O(pairs of these
    /// images), 4 bytes for each tag there is.
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn common_tags(&self, images: &[u32], limit: usize) -> Result<CommonTags> {
        let catalog = self.catalog();
        let mut ids = images.to_vec();
        ids.sort_unstable();
        ids.dedup();
        if let Some(gone) = ids.iter().find(|id| catalog.images.of_id(**id).is_none()) {
            missing!("there is no image {gone}");
        }
        let mut counts = vec![0_u32; catalog.tags.names().len() as usize];
        let mut met: Vec<TermId> = Vec::new();
        let sql = "SELECT tag_id FROM image_tags WHERE image_id = ?1";
        for id in &ids {
            self.store
                .each_row("read the tags of an image", sql, &[(*id).into()], |row| {
                    let term = row.id(0)?.and_then(|tag| catalog.tags.term_of_id(tag));
                    if let Some(term) = term {
                        let count = &mut counts[term.index()];
                        if *count == 0 {
                            met.push(term);
                        }
                        *count += 1;
                    }
                    Ok(())
                })?;
        }
        let count = |term: &TermId| counts[term.index()];
        let share = |term: &TermId| TagShare {
            tag: TagRow::of(&catalog, *term),
            images: count(term).into(),
            percentage: percentage(count(term), ids.len()),
        };
        let (all, mut some): (Vec<TermId>, Vec<TermId>) = met
            .iter()
            .partition(|term| count(term) as usize == ids.len());
        let mut in_all: Vec<TagShare> = all.iter().map(share).collect();
        in_all.sort_by(|a, b| a.tag.name.cmp(&b.tag.name));
        some.sort_unstable_by_key(|term| (std::cmp::Reverse(count(term)), *term));
        Ok(CommonTags {
            images: ids.len() as u64,
            in_all,
            in_some: some.iter().take(limit).map(share).collect(),
            in_some_total: some.len() as u64,
        })
    }
}

/// Never 100 for less than all, nor 0 for any.
fn percentage(part: u32, of: usize) -> f64 {
    (f64::from(part) * 1000.0 / of as f64).floor().max(1.0) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_not_rounded_to_all_or_none() {
        assert_eq!(percentage(1999, 2000), 99.9);
        assert_eq!(percentage(1, 200_000), 0.1);
        assert_eq!(percentage(1, 3), 33.3);
        assert_eq!(percentage(7, 7), 100.0);
    }
}
