//! What a model says of images: its predictions are kept, the certain ones become tags, the rest waits for
//! a review. Also that review.
//!
//! What somebody took off an image by hand, or refused in a review, is not put on again. A tag that is put
//! on so has the source `ai_inference` and is no edit by hand: nothing is written to `tag_deltas`. One that
//! somebody accepts is.

use std::collections::BTreeSet;

use anyhow::Result;
use plimsoll::dictionary::TermId;

use super::columns::Words;
use super::{Edit, Edited};
use crate::board::Board;
use crate::catalog::{Kind, RATING};
use crate::ml::answers::{Prediction, Tagged};
use crate::ml::settings::TaggerSettings;
use crate::ml::{queue, review};
use crate::query::Category;
use crate::query::moment;
use crate::store::Value;

/// What stands in `image_tags.source` for tags of models.
const BY_MODEL: &str = "ai_inference";

/// A job with the model's words.
#[derive(Clone, Debug)]
pub(crate) struct TaggedJob {
    pub(crate) job: u32,
    /// By id.
    pub(crate) image: u32,
    pub(crate) tagged: Tagged,
}

impl Board {
    /// Puts what a model said of some images into the database, and writes down that their jobs are done,
    /// in one transaction. Predictions of an earlier run are replaced; tags that it put on stay.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) fn record_tagged(
        &mut self,
        jobs: &[TaggedJob],
        settings: &TaggerSettings,
    ) -> Result<Edited> {
        let now = moment::now_text();
        self.edit(|edit| {
            edit.ensure_table("local_tagger_predictions")?;
            for job in jobs {
                // An image that was deleted meanwhile took its job along.
                let is_due = queue::finish(edit.store, job.job)?;
                if let Some(image) = edit.catalog.images.of_id(job.image).filter(|_| is_due) {
                    edit.record_one(image, &job.tagged, settings, &now)?;
                }
            }
            Ok(())
        })
    }

    /// Puts tags that wait for a review onto their images, as edits by hand. Others are skipped.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) fn accept_reviews(&mut self, reviews: &[(u32, String)]) -> Result<Edited> {
        self.edit(|edit| {
            for (id, name) in reviews {
                let sql = "SELECT category FROM booru_reviews \
                           WHERE image_id = ?1 AND tag_name = ?2 AND state = 'pending'";
                let values = [(*id).into(), name.into()];
                let what = "accept a tag of a model";
                let category = edit
                    .store
                    .query_row(what, sql, &values, |row| row.text(0))?;
                let (Some(category), Some(image)) = (category, edit.catalog.images.of_id(*id))
                else {
                    continue;
                };
                let category = category.as_deref().and_then(Category::of);
                let (tag, name, kind) =
                    edit.find_or_make(name, category.unwrap_or(Category::General))?;
                edit.add(image, tag, &name, kind)?;
                let sql = "DELETE FROM booru_reviews WHERE image_id = ?1 AND tag_name = ?2";
                edit.store.execute(what, sql, &values)?;
            }
            Ok(())
        })
    }
}

impl Edit<'_> {
    fn record_one(
        &mut self,
        image: u32,
        tagged: &Tagged,
        settings: &TaggerSettings,
        now: &str,
    ) -> Result<()> {
        let id = self.catalog.images.id(image);
        let tagger = match settings.name.as_str() {
            "" => tagged.tagger.as_str(),
            name => name,
        };
        self.forget_predictions(id)?;
        let refused = review::refused_names(self.store, id)?;
        let mut words: Vec<(String, Option<Category>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for prediction in &tagged.predictions {
            // An alias leads to its tag, and both may be predicted.
            let term = self.find(&prediction.name);
            let name = term.map_or_else(
                || prediction.name.clone(),
                |term| self.catalog.tags.name(term),
            );
            if prediction.confidence < settings.storage_threshold
                || name.starts_with(RATING)
                || !seen.insert(name.clone())
            {
                continue;
            }
            self.keep_prediction(id, &name, prediction, tagger, now)?;
            if refused.contains(&name) {
                continue;
            }
            if settings.is_certain(prediction.category.name(), prediction.confidence) {
                let (tag, name, kind) = self.find_or_make(&name, prediction.category)?;
                if self.link(image, tag, BY_MODEL)? {
                    words.push((name, kind.category()));
                }
            } else if !term.is_some_and(|term| self.has(image, term)) {
                self.ask_for_review(id, &name, prediction, now)?;
            }
        }
        if settings.rates {
            self.rate_by_model(image, tagged, settings, &refused)?;
        }
        let words: Vec<_> = words
            .iter()
            .map(|(name, category)| Words::Add(name, *category))
            .collect();
        self.edit_words(image, &words)
    }

    fn has(&self, image: u32, term: TermId) -> bool {
        self.catalog.images_of(term).contains(image)
    }

    /// Of an earlier run; what was refused stays refused.
    fn forget_predictions(&self, id: u32) -> Result<()> {
        let what = "replace predictions";
        for sql in [
            "DELETE FROM local_tagger_predictions WHERE image_id = ?1",
            "DELETE FROM booru_reviews WHERE image_id = ?1 AND state = 'pending'",
        ] {
            self.store.execute(what, sql, &[id.into()])?;
        }
        Ok(())
    }

    fn keep_prediction(
        &self,
        id: u32,
        name: &str,
        prediction: &Prediction,
        tagger: &str,
        now: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO local_tagger_predictions \
                   (image_id, tag_name, category, confidence, tagger_version, created_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
        let values = [
            id.into(),
            name.into(),
            prediction.category.name().into(),
            Value::Real(rounded(prediction.confidence)),
            tagger.into(),
            now.into(),
        ];
        self.store.execute("keep a prediction", sql, &values)?;
        Ok(())
    }

    fn ask_for_review(
        &self,
        id: u32,
        name: &str,
        prediction: &Prediction,
        now: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO booru_reviews \
                   (image_id, tag_name, category, confidence, state, changed_at) \
                   VALUES (?1, ?2, ?3, ?4, 'pending', ?5) ON CONFLICT DO NOTHING";
        let values = [
            id.into(),
            name.into(),
            prediction.category.name().into(),
            Value::Real(rounded(prediction.confidence)),
            now.into(),
        ];
        self.store.execute("queue a tag for review", sql, &values)?;
        Ok(())
    }

    /// The model's rating for an image that has none.
    fn rate_by_model(
        &mut self,
        image: u32,
        tagged: &Tagged,
        settings: &TaggerSettings,
        refused: &BTreeSet<String>,
    ) -> Result<()> {
        let Some((name, confidence)) = &tagged.rating else {
            return Ok(());
        };
        if *confidence < settings.storage_threshold || refused.contains(name) {
            return Ok(());
        }
        let mut tags = self.tags_of(image)?.into_iter();
        if tags.any(|term| self.catalog.tags.kind(term) == Kind::Rating) {
            return Ok(());
        }
        let (tag, _, _) = self.find_or_make(name, Category::Meta)?;
        self.link(image, tag, BY_MODEL)?;
        Ok(())
    }
}

/// What an `f32` tells, without the digits that only an `f64` has.
fn rounded(confidence: f32) -> f64 {
    (f64::from(confidence) * 1e6).round() / 1e6
}
