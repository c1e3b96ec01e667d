//! Tags that a model is not certain of wait here for somebody to accept or refuse them: the table
//! `booru_reviews`. What is refused is remembered, so that no later run brings it back.
//!
//! **Cost.** [`CHUNK`] tags at once, however many are accepted.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde::Serialize;

use super::tables;
use crate::board::Board;
use crate::query::moment::now_text;
use crate::refuse;
use crate::store::{Store, Value};

/// Tags that are accepted or refused in one transaction.
pub const CHUNK: u32 = 500;

/// Which tags are meant; all of those that wait where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// On this image, by id.
    pub image: Option<u32>,
    /// Of this name.
    pub tag: Option<String>,
    /// That the model is at least so certain of, from 0 to 1.
    pub confidence_min: Option<f64>,
}

/// A tag that waits.
#[derive(Clone, Debug, Serialize)]
pub struct Review {
    pub image_id: u32,
    pub path: String,
    pub tag: String,
    pub category: String,
    /// From 0 to 1.
    pub confidence: f64,
}

/// How many images a tag waits on.
#[derive(Clone, Debug, Serialize)]
pub struct TagReviews {
    pub tag: String,
    pub category: String,
    pub images: u64,
    /// The most certain of them.
    pub confidence_max: f64,
}

/// What stands behind each question: tags that an image has got meanwhile wait no more.
const WAITING: &str = "FROM booru_reviews AS review \
    JOIN images AS image ON image.id = review.image_id \
    WHERE review.state = 'pending' \
    AND (?1 IS NULL OR review.image_id = ?1) AND (?2 IS NULL OR review.tag_name = ?2) \
    AND (?3 IS NULL OR review.confidence >= ?3) \
    AND NOT EXISTS (SELECT 1 FROM tags AS tag JOIN image_tags AS pair ON pair.tag_id = tag.id \
    WHERE tag.name = review.tag_name AND pair.image_id = review.image_id)";

impl Which {
    fn values(&self) -> [Value<'_>; 3] {
        [
            self.image.into(),
            self.tag.as_ref().into(),
            self.confidence_min.into(),
        ]
    }
}

/// The tags that wait, the most certain first.
///
/// # Errors
/// What the database says.
pub fn list(store: &Store, which: &Which, offset: u32, limit: u32) -> Result<Vec<Review>> {
    let mut found = Vec::new();
    if !tables::are_there(store) {
        return Ok(found);
    }
    let sql = format!(
        "SELECT review.image_id, image.filepath, review.tag_name, review.category, review.confidence \
         {WAITING} ORDER BY review.confidence DESC, review.image_id, review.tag_name LIMIT ?4 OFFSET ?5"
    );
    let [image, tag, confidence] = which.values();
    let values = [image, tag, confidence, limit.into(), offset.into()];
    store.each_row("list tags for review", &sql, &values, |row| {
        let Some(image_id) = row.id(0)? else {
            return Ok(());
        };
        found.push(Review {
            image_id,
            path: row.text(1)?.unwrap_or_default(),
            tag: row.text(2)?.unwrap_or_default(),
            category: row.text(3)?.unwrap_or_default(),
            confidence: row.real(4)?.unwrap_or_default(),
        });
        Ok(())
    })?;
    Ok(found)
}

/// The tags that wait on most images.
///
/// # Errors
/// What the database says.
pub fn list_by_tag(store: &Store, which: &Which, limit: u32) -> Result<Vec<TagReviews>> {
    let mut found = Vec::new();
    if !tables::are_there(store) {
        return Ok(found);
    }
    let sql = format!(
        "SELECT review.tag_name, MIN(review.category), COUNT(*) AS images, MAX(review.confidence) \
         {WAITING} GROUP BY review.tag_name ORDER BY images DESC, review.tag_name LIMIT ?4"
    );
    let [image, tag, confidence] = which.values();
    store.each_row(
        "list tags for review",
        &sql,
        &[image, tag, confidence, limit.into()],
        |row| {
            found.push(TagReviews {
                tag: row.text(0)?.unwrap_or_default(),
                category: row.text(1)?.unwrap_or_default(),
                images: row
                    .integer(2)?
                    .and_then(|count| u64::try_from(count).ok())
                    .unwrap_or(0),
                confidence_max: row.real(3)?.unwrap_or_default(),
            });
            Ok(())
        },
    )?;
    Ok(found)
}

/// How many wait.
///
/// # Errors
/// What the database says.
pub fn count(store: &Store, which: &Which) -> Result<u64> {
    if !tables::are_there(store) {
        return Ok(0);
    }
    let sql = format!("SELECT COUNT(*) {WAITING}");
    let count = store.query_row("count tags for review", &sql, &which.values(), |row| {
        row.integer(0)
    })?;
    Ok(count
        .flatten()
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or(0))
}

/// Puts tags onto their images, as edits by hand; how many. [`CHUNK`] at a time, so a kill leaves the rest
/// waiting.
///
/// # Errors
/// What the database says.
pub fn accept(board: &mut Board, which: &Which) -> Result<u64> {
    each_chunk(board, which, |board, reviews| {
        board.accept_reviews(reviews).map(|edited| edited.added)
    })
}

/// Refuses tags for good; how many.
///
/// # Errors
/// What the database says.
pub fn reject(board: &mut Board, which: &Which) -> Result<u64> {
    each_chunk(board, which, |board, reviews| refuse(board, reviews))
}

fn refuse(board: &Board, reviews: &[(u32, String)]) -> Result<u64> {
    let now = now_text();
    board.store.write(|| {
        let mut changed = 0;
        for (image, tag) in reviews {
            let sql = "UPDATE booru_reviews SET state = 'rejected', changed_at = ?3 \
                       WHERE image_id = ?1 AND tag_name = ?2 AND state = 'pending'";
            let values = [(*image).into(), tag.into(), (&now).into()];
            changed += board
                .store
                .execute("refuse a tag of a model", sql, &values)?;
        }
        Ok(changed)
    })
}

/// As [`accept`], but of these tags of an image those that wait, at once.
///
/// # Errors
/// More than [`CHUNK`] tags; what the database says.
pub fn accept_tags(board: &mut Board, image: u32, tags: &[String]) -> Result<u64> {
    let reviews = waiting(board, image, tags)?;
    board.accept_reviews(&reviews).map(|edited| edited.added)
}

/// As [`reject`], but of these tags of an image those that wait, at once.
///
/// # Errors
/// More than [`CHUNK`] tags; what the database says.
pub fn reject_tags(board: &mut Board, image: u32, tags: &[String]) -> Result<u64> {
    let reviews = waiting(board, image, tags)?;
    refuse(board, &reviews)
}

fn waiting(board: &Board, image: u32, tags: &[String]) -> Result<Vec<(u32, String)>> {
    board.store.check_writable()?;
    if tags.len() > CHUNK as usize {
        refuse!("at most {CHUNK} tags of an image are decided on at once");
    }
    let mut reviews = Vec::with_capacity(tags.len());
    for tag in tags {
        let which = Which {
            image: Some(image),
            tag: Some(tag.clone()),
            confidence_min: None,
        };
        if count(&board.store, &which)? > 0 {
            reviews.push((image, tag.clone()));
        }
    }
    Ok(reviews)
}

/// Lets an image's refused tags be suggested again; how many.
///
/// # Errors
/// A board that is read-only, and what the database says.
pub fn forget_rejections(board: &mut Board, image: u32) -> Result<u64> {
    if !tables::are_there(&board.store) {
        return Ok(0);
    }
    let sql = "DELETE FROM booru_reviews WHERE image_id = ?1 AND state = 'rejected'";
    let store = &board.store;
    store.write(|| store.execute("forget what was refused", sql, &[image.into()]))
}

fn each_chunk(
    board: &mut Board,
    which: &Which,
    act: impl Fn(&mut Board, &[(u32, String)]) -> Result<u64>,
) -> Result<u64> {
    board.store.check_writable()?;
    let mut changed = 0;
    let mut before = None;
    loop {
        let chunk = list(&board.store, which, 0, CHUNK)?;
        let chunk: Vec<_> = chunk
            .into_iter()
            .map(|one| (one.image_id, one.tag))
            .collect();
        let Some(first) = chunk.first().cloned() else {
            return Ok(changed);
        };
        // What is listed must not be left as it was, or this would never end.
        if before.as_ref() == Some(&first) {
            bail!(
                "review {:?} of image {}: it stays in the queue; try again",
                first.1,
                first.0
            );
        }
        before = Some(first);
        changed += act(board, &chunk)?;
    }
}

/// Tags that somebody refused for an image, or took off it by hand.
///
/// # Errors
/// What the database says.
pub fn refused_names(store: &Store, image: u32) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut read = |sql: &str| {
        store.each_row("read what was refused", sql, &[image.into()], |row| {
            names.extend(row.text(0)?);
            Ok(())
        })
    };
    if tables::are_there(store) {
        read("SELECT tag_name FROM booru_reviews WHERE image_id = ?1 AND state = 'rejected'")?;
    }
    if store.schema.has_table("tag_deltas") {
        read(
            "SELECT tag_name FROM tag_deltas WHERE operation = 'remove' \
             AND image_md5 = (SELECT md5 FROM images WHERE id = ?1)",
        )?;
    }
    Ok(names)
}

/// A prediction as it is kept.
#[derive(Clone, Debug, Serialize)]
pub struct Predicted {
    pub tag: String,
    pub category: String,
    /// From 0 to 1.
    pub confidence: f64,
    pub tagger: String,
}

/// What a model said of an image, the most certain first; the original's predictions too. Refused ones are
/// not among them.
///
/// # Errors
/// What the database says.
pub fn predictions_of(store: &Store, image: u32) -> Result<Vec<Predicted>> {
    let mut found = Vec::new();
    if !store.schema.has_table("local_tagger_predictions") {
        return Ok(found);
    }
    let unless_refused = match tables::are_there(store) {
        true => {
            "AND NOT EXISTS (SELECT 1 FROM booru_reviews AS review WHERE review.state = 'rejected' \
             AND review.image_id = prediction.image_id AND review.tag_name = prediction.tag_name)"
        }
        false => "",
    };
    let sql = format!(
        "SELECT tag_name, category, confidence, tagger_version FROM local_tagger_predictions AS prediction \
         WHERE image_id = ?1 {unless_refused} ORDER BY confidence DESC, tag_name"
    );
    store.each_row("read predictions", &sql, &[image.into()], |row| {
        found.push(Predicted {
            tag: row.text(0)?.unwrap_or_default(),
            category: row.text(1)?.unwrap_or_default(),
            confidence: row.real(2)?.unwrap_or_default(),
            tagger: row.text(3)?.unwrap_or_default(),
        });
        Ok(())
    })?;
    Ok(found)
}
