//! What a model said of an image and is no tag of it, shown among its tags as the original does.

use std::collections::BTreeSet;

use anyhow::Result;
use plimsoll::dictionary::TermId;

use crate::board::Board;
use crate::ml::review;
use crate::ml::settings::TaggerSettings;
use crate::query::Category;

pub(super) struct Predicted {
    pub(super) name: String,
    pub(super) category: Category,
    /// Where there is such a tag.
    pub(super) term: Option<TermId>,
    /// How certain the model is, in hundredths, cut off.
    pub(super) percent: u8,
}

/// What is at least as certain as `LOCAL_TAGGER_DISPLAY_THRESHOLD`, of `LOCAL_TAGGER_MERGE_CATEGORIES`, not
/// among the image's tags, which it `has`, and refused or taken off by nobody. The most certain first.
///
/// # Errors
/// What the database says.
pub(super) fn read(
    board: &Board,
    image: u32,
    has: &[TermId],
    settings: &TaggerSettings,
) -> Result<Vec<Predicted>> {
    let mut found = Vec::new();
    let predictions = review::predictions_of(&board.store, image)?;
    if predictions.is_empty() {
        return Ok(found);
    }
    let refused = review::refused_names(&board.store, image)?;
    let catalog = board.catalog();
    let mut seen = BTreeSet::new();
    for one in predictions {
        if (one.confidence as f32) < settings.display_threshold {
            break;
        }
        let merged = Category::of(&one.category);
        let merged = merged.filter(|one| settings.merge_categories.contains(one));
        // The original keeps a prediction under the name that the model has for it.
        let term = catalog.tags.find_name(&one.tag);
        let name = term.map_or(one.tag, |term| catalog.tags.name(term));
        let is_tag = term.is_some_and(|term| has.contains(&term));
        let Some(category) = merged.filter(|_| !is_tag && !refused.contains(&name)) else {
            continue;
        };
        if seen.insert(name.clone()) {
            let known = term.and_then(|term| catalog.tags.kind(term).category());
            found.push(Predicted {
                category: known.unwrap_or(category),
                percent: (one.confidence.clamp(0.0, 1.0) * 100.0).floor() as u8,
                name,
                term,
            });
        }
    }
    Ok(found)
}
