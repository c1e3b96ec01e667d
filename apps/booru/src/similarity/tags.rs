//! Images with like tags: every image that shares one is compared, from the catalog alone.
//!
//! What two images share is summed over the postings of the one's tags; what they have together follows
//! from the sums of each, so no tags of images are held. Ratings are left out, as the original does.
//!
//! Memory: 4 bytes a tag and 4 an image from the first question until [`TagSimilarity::unload`] (1.3 MB at
//! 200,000 images and 120,000 tags), 4 an image more for each question while it is answered.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use plimsoll::dictionary::TermId;
use plimsoll::ledger::Tag;
use serde::{Deserialize, Serialize};

use super::options::Match;
use super::select::Best;
use crate::board::Board;
use crate::catalog::{Catalog, Kind};
use crate::query::Category;
use crate::store::Value;

static WEIGHTS: Tag = Tag::new("similarity: weights of tags");

/// Images that are less alike are none.
const SCORE_MIN: f64 = 0.1;

/// How two sets of tags are compared; the original's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Method {
    /// Shared tags of all tags of both.
    Jaccard,
    /// The same, each tag by 1 / ln(images with it + 1) and its category.
    #[default]
    Weighted,
    /// The same, each tag by ln(images / (images with it + 1)) + 1 and its category.
    WeightedTfidf,
    /// Weighted, mixed with what part of the one's own tags is shared.
    Asymmetric,
    AsymmetricTfidf,
}

impl FromStr for Method {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Method> {
        match clap::ValueEnum::from_str(name, true) {
            Ok(method) => Ok(method),
            Err(_) => bail!(
                "{name:?} is no method of similarity: jaccard, weighted, weighted_tfidf, asymmetric and \
                 asymmetric_tfidf are"
            ),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TagOptions {
    pub method: Method,
    /// The part of coverage in the asymmetric ones, 0 to 1.
    pub alpha: f64,
    /// Whether a tag's extended category, where it has one, says its weight.
    pub use_extended: bool,
}

impl Default for TagOptions {
    fn default() -> TagOptions {
        TagOptions {
            method: Method::default(),
            alpha: 0.6,
            use_extended: true,
        }
    }
}

/// The weight of a tag by its category, as the original's settings have it.
fn category_weight(kind: Kind) -> f32 {
    match kind {
        Kind::Of(Category::Character) => 6.0,
        Kind::Of(Category::Copyright) => 3.0,
        Kind::Of(Category::General) | Kind::Unknown => 3.0,
        Kind::Of(Category::Species) => 2.5,
        Kind::Of(Category::Artist) => 2.0,
        Kind::Of(Category::Meta) => 0.5,
        Kind::Foreign => 1.0,
        Kind::Rating | Kind::Gone => 0.0,
    }
}

/// The same of extended categories, by the number that their names begin with.
const EXTENDED_WEIGHTS: [f32; 22] = [
    2.0, 4.0, 3.5, 3.0, 1.5, 2.5, 2.0, 2.0, 2.0, 1.0, 1.0, 1.5, 1.0, 1.5, 0.8, 0.5, 0.5, 0.8, 0.5,
    0.3, 0.3, 1.5,
];

fn extended_weight(category: &str) -> Option<f32> {
    let (number, _) = category.split_once('_')?;
    let number: usize = number.parse().ok().filter(|_| number.len() == 2)?;
    EXTENDED_WEIGHTS.get(number).copied()
}

/// Weights of all tags and their sums over the tags of each image, as of one catalog.
#[derive(Debug)]
struct Weights {
    generation: u64,
    /// By term.
    terms: Vec<f32>,
    /// By image.
    sums: Vec<f32>,
}

/// Compares images by tags. Of all threads.
#[derive(Debug, Default)]
pub struct TagSimilarity {
    options: TagOptions,
    weights: Mutex<Option<Arc<Weights>>>,
}

impl TagSimilarity {
    #[must_use]
    pub fn new(options: TagOptions) -> TagSimilarity {
        TagSimilarity {
            options,
            weights: Mutex::default(),
        }
    }

    /// The `k` images whose tags are most like those of one, each alike by more than 0.1; equally alike
    /// ones by rising id. The image itself is left out. O(images with each of its tags), and once after
    /// each change of the board O(pairs of image and tag).
    ///
    /// # Errors
    /// An image that is not there, and what the database says.
    pub fn similar_to(
        &self,
        board: &Board,
        image: u32,
        k: usize,
        is_wanted: &dyn Fn(u32) -> bool,
    ) -> Result<Vec<Match>> {
        let mut tags = Vec::new();
        board.store().each_row(
            "read the tags of an image",
            "SELECT tag_id FROM image_tags WHERE image_id = ?1 ORDER BY tag_id",
            &[Value::from(image)],
            |row| {
                tags.extend(row.id(0)?);
                Ok(())
            },
        )?;
        let extended = self.extended_if_needed(board)?;
        let catalog = board.catalog();
        let Some(number) = catalog.images().of_id(image) else {
            bail!("there is no image {image}");
        };
        let weights = self.weights(&catalog, extended);
        let terms = tags
            .into_iter()
            .filter_map(|tag| catalog.tags().term_of_id(tag));
        let terms: Vec<TermId> = terms.collect();
        Ok(self.compare(&catalog, &weights, number, &terms, k, is_wanted))
    }

    /// Lets go of what is held between questions; how many bytes.
    pub fn unload(&self) -> usize {
        let mut weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        let held = weights.take();
        held.map_or(0, |weights| weights.bytes())
    }

    /// Bytes held between questions.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        weights.as_ref().map_or(0, |weights| weights.bytes())
    }

    /// The weights of tags by id that have an extended category; `None` where weights are there already.
    fn extended_if_needed(&self, board: &Board) -> Result<Option<BTreeMap<u32, f32>>> {
        let generation = board.catalog().generation();
        let held = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        if held
            .as_ref()
            .is_some_and(|held| held.generation == generation)
        {
            return Ok(None);
        }
        drop(held);
        let mut extended = BTreeMap::new();
        let is_asked = self.options.use_extended && self.options.method != Method::Jaccard;
        if is_asked && board.store().schema.has("tags", "extended_category") {
            board.store().each_row(
                "read the extended categories of tags",
                "SELECT id, extended_category FROM tags WHERE extended_category IS NOT NULL",
                &[],
                |row| {
                    let weight = row.text(1)?.as_deref().and_then(extended_weight);
                    if let (Some(tag), Some(weight)) = (row.id(0)?, weight) {
                        extended.insert(tag, weight);
                    }
                    Ok(())
                },
            )?;
        }
        Ok(Some(extended))
    }

    fn weights(&self, catalog: &Catalog, extended: Option<BTreeMap<u32, f32>>) -> Arc<Weights> {
        let mut held = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = &*held
            && (held.generation == catalog.generation() || extended.is_none())
        {
            // Without the extended categories it was of this catalog a moment ago.
            return Arc::clone(held);
        }
        let extended = extended.unwrap_or_default();
        let weights =
            WEIGHTS.run(|| Arc::new(Weights::of(catalog, self.options.method, &extended)));
        *held = Some(Arc::clone(&weights));
        weights
    }

    fn compare(
        &self,
        catalog: &Catalog,
        weights: &Weights,
        image: u32,
        terms: &[TermId],
        k: usize,
        is_wanted: &dyn Fn(u32) -> bool,
    ) -> Vec<Match> {
        let mut shared = vec![0.0_f32; catalog.images().numbers()];
        let mut own = 0.0_f32;
        for term in terms {
            let Some(&weight) = weights
                .terms
                .get(term.index())
                .filter(|weight| **weight > 0.0)
            else {
                continue;
            };
            own += weight;
            for other in &*catalog.images_of(*term) {
                if let Some(shared) = shared.get_mut(other as usize) {
                    *shared += weight;
                }
            }
        }
        let mut best = Best::new(k);
        for (other, (shared, sum)) in shared.into_iter().zip(&weights.sums).enumerate() {
            if shared == 0.0 || other == image as usize {
                continue;
            }
            let score = self.score(shared.into(), own.into(), (*sum).into());
            let id = catalog.images().id(other as u32);
            if score > SCORE_MIN && is_wanted(id) {
                best.push(id, score);
            }
        }
        let found = best.finish().into_iter();
        found.map(|(id, score)| Match { id, score }).collect()
    }

    /// Of what is shared and what each has.
    fn score(&self, shared: f64, own: f64, other: f64) -> f64 {
        let of_both = shared / (own + other - shared);
        match self.options.method {
            Method::Jaccard | Method::Weighted | Method::WeightedTfidf => of_both,
            Method::Asymmetric | Method::AsymmetricTfidf => {
                let alpha = self.options.alpha;
                alpha * shared / own + (1.0 - alpha) * of_both
            }
        }
    }
}

impl Weights {
    fn of(catalog: &Catalog, method: Method, extended: &BTreeMap<u32, f32>) -> Weights {
        let images = catalog.images().len();
        let mut terms = Vec::new();
        for (term, kind) in catalog.tags().terms() {
            let count = catalog.count_of(term);
            if kind == Kind::Rating || count == 0 {
                continue;
            }
            let category = extended
                .get(&catalog.tags().id(term))
                .copied()
                .unwrap_or(category_weight(kind));
            let count = count as f64;
            let weight = match method {
                Method::Jaccard => 1.0,
                Method::Weighted | Method::Asymmetric => {
                    (1.0 / (count + 1.0).ln()) as f32 * category
                }
                Method::WeightedTfidf | Method::AsymmetricTfidf => {
                    ((images as f64 / (count + 1.0)).ln() + 1.0) as f32 * category
                }
            };
            terms.resize(term.index(), 0.0);
            terms.push(weight);
        }
        let mut sums = vec![0.0_f32; catalog.images().numbers()];
        // In the order of tags, as what is shared is summed: of equal sets both are the same to the bit.
        for (term, weight) in terms
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0.0)
        {
            for image in &*catalog.images_of(TermId::new(term as u32)) {
                if let Some(sum) = sums.get_mut(image as usize) {
                    *sum += weight;
                }
            }
        }
        Weights {
            generation: catalog.generation(),
            terms,
            sums,
        }
    }

    fn bytes(&self) -> usize {
        (self.terms.capacity() + self.sums.capacity()) * size_of::<f32>()
    }
}
