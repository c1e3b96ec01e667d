//! The queue of pairs that a person has not looked at.
//!
//! **Cost.** A page: O(pairs within the distance) to count and sort them, by the database; what is on the page.

use anyhow::Result;
use serde::Serialize;

use super::{Label, STORED_DISTANCE_MAX, Suggestion};
use crate::board::Board;
use crate::store::{Row, Value};

/// Pairs of a page, unless more are asked for, and at most.
pub const PAGE_PAIRS: usize = 50;
pub const PAGE_PAIRS_MAX: usize = 500;

/// How pairs follow each other; those that are alike in it by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum QueueOrder {
    /// By how many bits their hashes differ.
    #[default]
    Distance,
    /// By how much the pictures differ, those that have not been compared last.
    Difference,
}

/// One of the images of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueuedImage {
    pub id: u32,
    pub path: String,
    pub width: Option<u32>,
    pub height: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueuedPair {
    pub image_a: QueuedImage,
    pub image_b: QueuedImage,
    /// Bits in which the hashes differ.
    pub distance: u32,
    /// In percent: 100 is no bit, 0 as many as stored pairs may differ in.
    pub confidence: f64,
    pub label: Option<Label>,
    /// `None` until their pictures are compared.
    pub suggestion: Option<Suggestion>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueuePage {
    pub pairs: Vec<QueuedPair>,
    /// Within the distance and not looked at.
    pub total: u64,
    /// What the last search for pairs looked within; `None` before the first, or where it found none.
    pub scan_threshold: Option<u32>,
}

/// The pair is one about which somebody has said something.
const NOT_REVIEWED: &str = "NOT EXISTS (SELECT 1 FROM image_relations AS r \
    WHERE (r.image_id_a = p.image_id_a AND r.image_id_b = p.image_id_b) \
    OR (r.image_id_a = p.image_id_b AND r.image_id_b = p.image_id_a))";

/// Columns of a suggestion, in the order of [`read_suggestion`].
const SUGGESTION: &str = "s.signal, s.visual_signal, s.metadata_adjustment, s.mean_abs_diff, \
    s.changed_ratio, s.largest_blob_ratio, s.blob_count, s.peak_blob_contrast, s.mask_mismatch, \
    s.pixel_ratio, s.filesize_ratio, s.tag_gap_ratio";
/// Where those begin in a row.
const SUGGESTION_AT: usize = 9;

impl Board {
    /// Pairs whose hashes differ in at most so many bits and that nobody has looked at, from `offset`, at most
    /// `limit`, up to [`PAGE_PAIRS_MAX`].
    ///
    /// # Errors
    /// What the database says.
    pub fn duplicate_queue(
        &self,
        distance_max: u32,
        order: QueueOrder,
        offset: usize,
        limit: usize,
    ) -> Result<QueuePage> {
        let mut page = QueuePage {
            pairs: Vec::new(),
            total: 0,
            scan_threshold: None,
        };
        if !self.store.schema.has_table("duplicate_pairs") {
            return Ok(page);
        }
        page.scan_threshold = self.scan_threshold()?;
        page.total = self.count_queued(distance_max)?;
        let values = [
            distance_max.into(),
            (limit.min(PAGE_PAIRS_MAX) as i64).into(),
            i64::try_from(offset).unwrap_or(i64::MAX).into(),
        ];
        let most = page.scan_threshold.unwrap_or(STORED_DISTANCE_MAX);
        let sql = self.queue_sql(order);
        self.store
            .each_row("read the queue of duplicates", &sql, &values, |row| {
                page.pairs.extend(read_pair(row, most)?);
                Ok(())
            })?;
        Ok(page)
    }

    fn queue_sql(&self, order: QueueOrder) -> String {
        let schema = &self.store.schema;
        let side = |image: &str, column: &str| match schema.has("images", column) {
            true => format!("{image}.{column}"),
            false => "NULL".to_owned(),
        };
        let has_suggestions = schema.has_table("duplicate_pair_suggestions");
        let (suggestion, join) = match has_suggestions {
            true => (
                SUGGESTION,
                "LEFT JOIN duplicate_pair_suggestions AS s \
                 ON s.image_id_a = p.image_id_a AND s.image_id_b = p.image_id_b",
            ),
            false => ("NULL", ""),
        };
        let order = match order {
            QueueOrder::Difference if has_suggestions => "s.signal IS NULL, s.signal, p.distance",
            _ => "p.distance",
        };
        format!(
            "SELECT p.image_id_a, p.image_id_b, p.distance, a.filepath, {}, {}, b.filepath, {}, {}, \
             {suggestion} FROM duplicate_pairs AS p JOIN images AS a ON a.id = p.image_id_a \
             JOIN images AS b ON b.id = p.image_id_b {join} WHERE p.distance <= ?1 {} \
             ORDER BY {order}, p.image_id_a, p.image_id_b LIMIT ?2 OFFSET ?3",
            side("a", "image_width"),
            side("a", "image_height"),
            side("b", "image_width"),
            side("b", "image_height"),
            self.and_not_reviewed(),
        )
    }

    fn and_not_reviewed(&self) -> String {
        match self.store.schema.has_table("image_relations") {
            true => format!("AND {NOT_REVIEWED}"),
            false => String::new(),
        }
    }

    fn count_queued(&self, distance_max: u32) -> Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM duplicate_pairs AS p JOIN images AS a ON a.id = p.image_id_a \
             JOIN images AS b ON b.id = p.image_id_b WHERE p.distance <= ?1 {}",
            self.and_not_reviewed()
        );
        let what = "count the queue of duplicates";
        let count = self
            .store
            .query_row(what, &sql, &[distance_max.into()], |row| row.integer(0))?;
        Ok(u64::try_from(count.flatten().unwrap_or(0)).unwrap_or(0))
    }

    fn scan_threshold(&self) -> Result<Option<u32>> {
        let sql = "SELECT max(threshold) FROM duplicate_pairs";
        let what = "read of the last search for duplicates";
        let found = self.store.query_row(what, sql, &[], |row| row.id(0))?;
        Ok(found.flatten())
    }
}

fn read_pair(row: &Row<'_>, distance_max: u32) -> Result<Option<QueuedPair>> {
    let (Some(a), Some(b), Some(distance)) = (row.id(0)?, row.id(1)?, row.integer(2)?) else {
        return Ok(None);
    };
    let Ok(distance) = u32::try_from(distance) else {
        return Ok(None);
    };
    let image = |id, first: usize| -> Result<QueuedImage> {
        Ok(QueuedImage {
            id,
            path: row.text(first)?.unwrap_or_default(),
            width: row.id(first + 1)?,
            height: row.id(first + 2)?,
        })
    };
    let suggestion = read_suggestion(row)?;
    let part = 1.0 - f64::from(distance) / f64::from(distance_max.max(1));
    Ok(Some(QueuedPair {
        image_a: image(a, 3)?,
        image_b: image(b, 6)?,
        distance,
        confidence: (part.max(0.0) * 1000.0).round() / 10.0,
        label: suggestion.as_ref().map(Suggestion::label),
        suggestion,
    }))
}

fn read_suggestion(row: &Row<'_>) -> Result<Option<Suggestion>> {
    if row.value(SUGGESTION_AT)? == Value::Null {
        return Ok(None);
    }
    let real = |at: usize| -> Result<f64> { Ok(row.real(SUGGESTION_AT + at)?.unwrap_or(0.0)) };
    let blobs = row.integer(SUGGESTION_AT + 6)?.unwrap_or(0);
    Ok(Some(Suggestion {
        signal: real(0)?,
        visual_signal: real(1)?,
        metadata_adjustment: real(2)?,
        mean_abs_diff: real(3)?,
        changed_ratio: real(4)?,
        largest_blob_ratio: real(5)?,
        blob_count: u32::try_from(blobs).unwrap_or(0),
        peak_blob_contrast: real(7)?,
        mask_mismatch: real(8)?,
        pixel_ratio: real(9)?,
        filesize_ratio: real(10)?,
        tag_gap_ratio: real(11)?,
    }))
}
