//! Rules that names or images speak for.
//!
//! By name: a character `x_(c)` is of the copyright `c`; `x_(v)_(c)` is a form of the character `x_(c)`.
//! By images: nearly all images of a character have a copyright, or a trait of body, hair or face.
//!
//! All is counted over the sets in memory, in O(pairs of characters + pairs of copyrights and traits).
//! Beside the answer it takes 4 bytes for each image and tag, and for each pair of image and character, of
//! at most [`PAIRS_MAX`] at once: below 4 MiB at 200,000 images.

use anyhow::Result;
use plimsoll::dictionary::TermId;
use serde::Serialize;

use super::preview::count_both;
use crate::board::Board;
use crate::catalog::{Catalog, Kind};
use crate::query::Category;
use crate::store::Store;

/// Suggestions that are told at most; those after them come up once these are decided.
pub const SUGGESTIONS_MAX: usize = 1000;
/// From this confidence on, and with so many images, nobody is asked.
pub const AUTO_CONFIDENCE: f64 = 0.95;
/// See [`AUTO_CONFIDENCE`].
pub const AUTO_IMAGES: u64 = 10;

/// Of `x_(c)` and `c`.
const COPYRIGHT_CONFIDENCE: f64 = 0.92;
/// Of `x_(v)_(c)` and `x_(c)`.
const VARIANT_CONFIDENCE: f64 = 0.95;
/// Images of a character from which anything is concluded.
const IMAGES_MIN: u64 = 3;
/// Of a hundred images with a character, so many have to have the other tag.
const SHARE_PERCENT: u64 = 85;
/// Pairs of image and character that are held at once.
const PAIRS_MAX: usize = 256 << 10;

/// What speaks for a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NamingPattern,
    Correlation,
    /// Somebody says so.
    Manual,
}

impl Reason {
    /// As in `tag_implications.inference_type`.
    pub(crate) fn stored(self) -> &'static str {
        match self {
            Reason::NamingPattern => "naming_pattern",
            Reason::Correlation => "correlation",
            Reason::Manual => "manual",
        }
    }
}

/// A rule that could be made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleSuggestion {
    pub tag: String,
    pub implied: String,
    pub reason: Reason,
    /// From 0 to 1: of images, the share that has both; of names, how often such a name means it.
    pub confidence: f64,
    /// With the tag.
    pub images: u64,
    /// Of them, without the implied one.
    pub gaining: u64,
}

/// A page of suggestions, of at most [`SUGGESTIONS_MAX`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleSuggestions {
    pub suggestions: Vec<RuleSuggestion>,
    /// All there are, also behind those that are told.
    pub total: u64,
}

/// A suggestion by number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Proposal {
    pub(crate) tag: TermId,
    pub(crate) implied: TermId,
    pub(crate) reason: Reason,
    pub(crate) confidence: f64,
    pub(crate) images: u64,
}

impl Proposal {
    pub(crate) fn manual(tag: TermId, implied: TermId) -> Proposal {
        Proposal {
            tag,
            implied,
            reason: Reason::Manual,
            confidence: 1.0,
            images: 0,
        }
    }
}

impl Board {
    /// Rules that could be made and were not decided so far: the surest first, of equal ones those with
    /// the most images. From `offset`, at most `limit`.
    ///
    /// # Errors
    /// What the database says.
    pub fn suggest_rules(&self, offset: usize, limit: usize) -> Result<RuleSuggestions> {
        let featured = read_featured(&self.store)?;
        let known = known_rules(&self.store)?;
        let catalog = self.catalog();
        let mut total = 0;
        let mut best: Vec<Proposal> = Vec::new();
        proposals(&catalog, &featured, &known, |proposal| {
            total += 1;
            best.push(proposal);
            if best.len() >= 2 * SUGGESTIONS_MAX {
                keep_best(&mut best);
            }
        })?;
        keep_best(&mut best);
        let mut suggestions = Vec::new();
        for proposal in best.iter().skip(offset).take(limit) {
            let both = count_both(&catalog, proposal.tag, proposal.implied)?;
            suggestions.push(RuleSuggestion {
                tag: catalog.tags.name(proposal.tag),
                implied: catalog.tags.name(proposal.implied),
                reason: proposal.reason,
                confidence: proposal.confidence,
                images: proposal.images,
                gaining: proposal.images - both,
            });
        }
        Ok(RuleSuggestions { suggestions, total })
    }
}

fn keep_best(best: &mut Vec<Proposal>) {
    best.sort_by(|a, b| {
        let by_confidence = b.confidence.total_cmp(&a.confidence);
        let by_images = b.images.cmp(&a.images);
        let by_tags = (a.tag, a.implied).cmp(&(b.tag, b.implied));
        by_confidence.then(by_images).then(by_tags)
    });
    best.truncate(SUGGESTIONS_MAX);
}

/// Ids of tags that are traits of body, hair or face, ascending; 4 bytes each.
pub(crate) fn read_featured(store: &Store) -> Result<Vec<u32>> {
    let mut featured = Vec::new();
    if !store.schema.has("tags", "extended_category") {
        return Ok(featured);
    }
    let sql = "SELECT id FROM tags WHERE substr(extended_category, 1, 3) IN ('01_', '02_', '03_') ORDER BY id";
    store.each_row("read traits", sql, &[], |row| {
        featured.extend(row.id(0)?);
        Ok(())
    })?;
    Ok(featured)
}

/// Pairs of tags, by id, of which a rule is kept, whatever its status, in order; 8 bytes each.
pub(crate) fn known_rules(store: &Store) -> Result<Vec<(u32, u32)>> {
    let mut known = Vec::new();
    if !store.schema.has_table("tag_implications") {
        return Ok(known);
    }
    let sql = "SELECT source_tag_id, implied_tag_id FROM tag_implications ORDER BY source_tag_id, implied_tag_id";
    store.each_row("read the rules", sql, &[], |row| {
        known.extend(row.id(0)?.zip(row.id(1)?));
        Ok(())
    })?;
    known.sort_unstable();
    Ok(known)
}

/// Tells all suggestions of which no rule is kept, each pair once.
pub(crate) fn proposals(
    catalog: &Catalog,
    featured: &[u32],
    known: &[(u32, u32)],
    mut tell: impl FnMut(Proposal),
) -> Result<()> {
    let id = |term| catalog.tags.id(term);
    let mut tell_new = |proposal: Proposal| {
        let pair = (id(proposal.tag), id(proposal.implied));
        if known.binary_search(&pair).is_err() {
            tell(proposal);
        }
    };
    let kinds = catalog.tags.terms();
    let characters = kinds.filter(|(_, kind)| *kind == Kind::Of(Category::Character));
    let mut batch = Batch::default();
    for (term, _) in characters {
        for (implied, confidence) in named(catalog, &catalog.tags.name(term)) {
            let by_images = by_images(catalog, featured, term, implied)?;
            if !by_images.is_some_and(|other| other.confidence > confidence) {
                tell_new(by_name(catalog, term, implied, confidence));
            }
        }
        let images = catalog.count_of(term);
        if images < IMAGES_MIN {
            continue;
        }
        if batch.pairs + images as usize > PAIRS_MAX {
            batch.tell(catalog, featured, &mut tell_new);
            batch = Batch::default();
        }
        batch.pairs += images as usize;
        batch.characters.push(term);
    }
    batch.tell(catalog, featured, &mut tell_new);
    Ok(())
}

/// What speaks most for a rule of these two, if anything does.
///
/// # Errors
/// As a query of both says.
pub(crate) fn proposal_of(
    catalog: &Catalog,
    featured: &[u32],
    tag: TermId,
    implied: TermId,
) -> Result<Option<Proposal>> {
    if catalog.tags.kind(tag) != Kind::Of(Category::Character) {
        return Ok(None);
    }
    let mut found = named(catalog, &catalog.tags.name(tag)).into_iter();
    let of_name = found.find(|(other, _)| *other == implied);
    let of_name = of_name.map(|(_, confidence)| by_name(catalog, tag, implied, confidence));
    let of_images = by_images(catalog, featured, tag, implied)?;
    Ok(match (of_name, of_images) {
        (Some(name), Some(images)) if images.confidence > name.confidence => Some(images),
        (Some(name), _) => Some(name),
        (None, images) => images,
    })
}

/// Tags that the name of a character speaks of, and how surely.
fn named(catalog: &Catalog, name: &str) -> Vec<(TermId, f64)> {
    let mut found = Vec::new();
    let Some((rest, last)) = split_bracket(name) else {
        return found;
    };
    let of_kind = |name: &str, category| {
        let term = catalog.tags.term(name)?;
        (catalog.tags.kind(term) == Kind::Of(category)).then_some(term)
    };
    if let Some(copyright) = of_kind(last, Category::Copyright) {
        found.push((copyright, COPYRIGHT_CONFIDENCE));
    }
    if let Some((base, _)) = split_bracket(rest)
        && let Some(character) = of_kind(&format!("{base}_({last})"), Category::Character)
    {
        found.push((character, VARIANT_CONFIDENCE));
    }
    found
}

/// `x` and `c` of `x_(c)`.
fn split_bracket(name: &str) -> Option<(&str, &str)> {
    let (rest, last) = name.strip_suffix(')')?.rsplit_once("_(")?;
    let is_plain = !rest.is_empty() && !last.is_empty() && !last.contains(['(', ')']);
    is_plain.then_some((rest, last))
}

fn by_name(catalog: &Catalog, tag: TermId, implied: TermId, confidence: f64) -> Proposal {
    Proposal {
        tag,
        implied,
        reason: Reason::NamingPattern,
        confidence,
        images: catalog.count_of(tag),
    }
}

/// Of a character, if enough of its images have the other tag.
fn by_images(
    catalog: &Catalog,
    featured: &[u32],
    tag: TermId,
    implied: TermId,
) -> Result<Option<Proposal>> {
    if !is_implied_by_images(catalog, featured, implied) {
        return Ok(None);
    }
    let both = count_both(catalog, tag, implied)?;
    Ok(correlated(catalog, tag, implied, both))
}

fn correlated(catalog: &Catalog, tag: TermId, implied: TermId, both: u64) -> Option<Proposal> {
    let images = catalog.count_of(tag);
    let is_enough = images >= IMAGES_MIN && both * 100 >= images * SHARE_PERCENT;
    is_enough.then(|| Proposal {
        tag,
        implied,
        reason: Reason::Correlation,
        confidence: both as f64 / images as f64,
        images,
    })
}

fn is_implied_by_images(catalog: &Catalog, featured: &[u32], term: TermId) -> bool {
    let is_featured = || featured.binary_search(&catalog.tags.id(term)).is_ok();
    match catalog.tags.kind(term).category() {
        Some(Category::Copyright) => true,
        Some(Category::General) => is_featured(),
        _ => false,
    }
}

/// Characters that are looked at together.
#[derive(Default)]
struct Batch {
    characters: Vec<TermId>,
    pairs: usize,
}

impl Batch {
    fn tell(&self, catalog: &Catalog, featured: &[u32], tell: &mut impl FnMut(Proposal)) {
        if self.characters.is_empty() {
            return;
        }
        let on_images = OnImages::of(catalog, &self.characters);
        let mut counts = vec![0_u32; self.characters.len()];
        let mut counted = Vec::new();
        for (implied, _) in catalog.tags.terms() {
            if !is_implied_by_images(catalog, featured, implied) {
                continue;
            }
            for image in catalog.images_of(implied).iter() {
                for character in on_images.characters(image) {
                    let count = &mut counts[*character as usize];
                    if *count == 0 {
                        counted.push(*character);
                    }
                    *count += 1;
                }
            }
            for character in counted.drain(..) {
                let both = std::mem::take(&mut counts[character as usize]);
                let tag = self.characters[character as usize];
                let found = correlated(catalog, tag, implied, both.into());
                let is_surer = |proposal: &Proposal| {
                    let mut of_name = named(catalog, &catalog.tags.name(tag)).into_iter();
                    let of_name = of_name.find(|(other, _)| *other == implied);
                    of_name.is_none_or(|(_, confidence)| proposal.confidence > confidence)
                };
                found.filter(is_surer).into_iter().for_each(&mut *tell);
            }
        }
    }
}

/// Characters, by their place in a batch, that each image has.
struct OnImages {
    /// Where those of an image begin, and one more.
    starts: Vec<u32>,
    characters: Vec<u32>,
}

impl OnImages {
    fn of(catalog: &Catalog, characters: &[TermId]) -> OnImages {
        let mut starts = vec![0_u32; catalog.images.numbers() + 1];
        for character in characters {
            let images = catalog.images_of(*character);
            images.iter().for_each(|image| starts[image as usize] += 1);
        }
        // To where each one ends; putting characters in moves that to where it begins.
        let mut end = 0;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        let mut held = vec![0; end as usize];
        for (place, character) in characters.iter().enumerate() {
            for image in catalog.images_of(*character).iter() {
                let start = &mut starts[image as usize];
                *start -= 1;
                held[*start as usize] = place as u32;
            }
        }
        OnImages {
            starts,
            characters: held,
        }
    }

    fn characters(&self, image: u32) -> &[u32] {
        let start = self.starts[image as usize] as usize;
        let end = self.starts[image as usize + 1] as usize;
        &self.characters[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_last_bracket() {
        let check = |name: &str, split: Option<(&str, &str)>| {
            assert_eq!(split_bracket(name), split, "{name}");
        };
        check("miku_(vocaloid)", Some(("miku", "vocaloid")));
        check("a_(b)_(c)", Some(("a_(b)", "c")));
        for name in [
            "miku",
            "miku_()",
            "_(c)",
            "a_(b_(c))",
            "a(b)",
            "a_(b)c",
            ")",
            "",
        ] {
            check(name, None);
        }
    }
}
