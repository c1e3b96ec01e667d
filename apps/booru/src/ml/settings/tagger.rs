//! The tagger: its model, and from which certainty on a prediction is kept, shown, and an image's tag.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use plimsoll_booru_worker_protocol::message::Tagging;

use super::source::Source;
use crate::query::Category;

/// Which predictions go straight onto images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewPolicy {
    /// Those from their threshold on; the rest waits for a review.
    BelowThreshold,
    /// None.
    All,
}

#[derive(Clone, Debug)]
pub struct TaggerSettings {
    pub is_enabled: bool,
    /// Written beside each prediction.
    pub name: String,
    pub model: PathBuf,
    /// Without it, what lies beside the model.
    pub metadata: Option<PathBuf>,
    /// From here on a prediction is the image's tag.
    pub threshold: f32,
    pub character_threshold: f32,
    /// From here on it is kept.
    pub storage_threshold: f32,
    /// From here on it is shown with the image's tags, if its category is among `merge_categories`; what is
    /// no tag of the image too.
    pub display_threshold: f32,
    pub merge_categories: Vec<Category>,
    /// Whether images that a source has tags of are tagged too.
    pub always_run: bool,
    pub review: ReviewPolicy,
    /// Whether an image without a rating gets the model's.
    pub rates: bool,
}

impl TaggerSettings {
    pub(super) fn read(source: &Source<'_>) -> Result<TaggerSettings> {
        let share = |name: &str, usual: f32| source.number(name, usual, 0.0..=1.0);
        let review = source.text("LOCAL_TAGGER_REVIEW")?;
        let settings = TaggerSettings {
            is_enabled: source.is("ENABLE_LOCAL_TAGGER", true)?,
            name: source.text("LOCAL_TAGGER_NAME")?.unwrap_or_default(),
            model: source.path("LOCAL_TAGGER_MODEL_PATH", "models/Tagger/model.onnx")?,
            metadata: source
                .text("LOCAL_TAGGER_METADATA_PATH")?
                .map(|path| source.board.join(path)),
            threshold: share("LOCAL_TAGGER_THRESHOLD", 0.6)?,
            character_threshold: share("LOCAL_TAGGER_CHARACTER_THRESHOLD", 0.85)?,
            storage_threshold: share("LOCAL_TAGGER_STORAGE_THRESHOLD", 0.5)?,
            display_threshold: share("LOCAL_TAGGER_DISPLAY_THRESHOLD", 0.7)?,
            merge_categories: merge_categories(source)?,
            always_run: source.is("LOCAL_TAGGER_ALWAYS_RUN", false)?,
            review: match review.as_deref() {
                None | Some("below_threshold") => ReviewPolicy::BelowThreshold,
                Some("all") => ReviewPolicy::All,
                Some(other) => {
                    bail!("LOCAL_TAGGER_REVIEW is {other:?}; there are below_threshold and all")
                }
            },
            rates: source.is("LOCAL_TAGGER_RATING", true)?,
        };
        let (storage, threshold) = (settings.storage_threshold, settings.threshold);
        ensure!(
            storage <= threshold,
            "LOCAL_TAGGER_STORAGE_THRESHOLD is {storage}, above LOCAL_TAGGER_THRESHOLD ({threshold}): tags \
             between the two would be lost"
        );
        Ok(settings)
    }

    /// What the worker is told.
    #[must_use]
    pub fn tagging(&self) -> Tagging {
        Tagging {
            model_path: self.model.to_string_lossy().into_owned(),
            threshold: self.threshold,
            character_threshold: self.character_threshold,
            storage_threshold: self.storage_threshold,
            metadata_path: self
                .metadata
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
        }
    }

    /// Whether a prediction goes straight onto its image.
    #[must_use]
    pub fn is_certain(&self, category: &str, confidence: f32) -> bool {
        let threshold = match category {
            "character" => self.character_threshold,
            _ => self.threshold,
        };
        self.review == ReviewPolicy::BelowThreshold && confidence >= threshold
    }
}

/// With or without brackets and quotes, as the original's file has them; `[]` is none.
fn merge_categories(source: &Source<'_>) -> Result<Vec<Category>> {
    let name = "LOCAL_TAGGER_MERGE_CATEGORIES";
    let text = source.text(name)?;
    let text = text.as_deref().unwrap_or("general").trim();
    let names = text.trim_matches(['[', ']']).split(',');
    let names = names.map(|name| name.trim_matches([' ', '\'', '"']).to_lowercase());
    let categories = names.filter(|name| !name.is_empty()).map(|one| {
        let category = Category::of(&one);
        category.with_context(|| {
            let known = Category::ALL.map(Category::name).join(", ");
            format!("{name} has {one:?}; there are {known}")
        })
    });
    categories.collect()
}
