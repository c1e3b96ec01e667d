//! Images that look like one image.
//!
//! **Cost.** O(images), each hash read from the index of the database's own and kept in no memory; the answer.

use anyhow::{Context, Result, bail};
use plimsoll_booru_picture::phash::Phash;
use serde::Serialize;

use crate::board::Board;

/// Images of one answer at most.
pub const SIMILAR_MAX: usize = 500;

/// The original measures this in 64ths of a hash, of whatever size: its 15 is 60 bits of 256.
const SCALE: f64 = 64.0;

/// An image that looks like another one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Similar {
    pub image: u32,
    /// From 0 to 64, whatever the size of the hashes.
    pub distance: f64,
    /// 1 is equal hashes, 0 is opposite ones; 1 - distance / 64.
    pub score: f64,
}

impl Board {
    /// Images whose hash is within a distance (of 64, as the original has it) of that of an image, by id, the
    /// nearest first; at most `limit`, up to [`SIMILAR_MAX`]. Of as near ones those with lesser ids.
    ///
    /// # Errors
    /// An image that is not there, or has no hash; what the database says.
    pub fn visually_similar(
        &self,
        image: u32,
        distance_max: f64,
        limit: usize,
    ) -> Result<Vec<Similar>> {
        let what = format!("read the perceptual hash of image {image}");
        let Some(hash) = self.hash_of(image, &what)? else {
            bail!("{what}: it has none; `booru duplicates DIR hash` makes those that are missing");
        };
        let hash = hash.parse().with_context(|| what)?;
        self.near(&hash, image, distance_max, limit)
    }

    /// As [`Board::visually_similar`]; `None` where the image has no hash, or what stands there is none.
    pub(crate) fn find_visually_similar(
        &self,
        image: u32,
        distance_max: f64,
        limit: usize,
    ) -> Result<Option<Vec<Similar>>> {
        let what = format!("read the perceptual hash of image {image}");
        let hash = self.hash_of(image, &what)?;
        let hash = hash.and_then(|hash| hash.parse().ok());
        hash.map(|hash| self.near(&hash, image, distance_max, limit))
            .transpose()
    }

    fn near(
        &self,
        hash: &Phash,
        image: u32,
        distance_max: f64,
        limit: usize,
    ) -> Result<Vec<Similar>> {
        let bits = f64::from(hash.size().bits());
        let limit = limit.min(SIMILAR_MAX);
        let mut nearest: Vec<(u32, u32)> = Vec::with_capacity(limit + 1);
        let column = self.store.schema.column("images", "phash");
        let sql = format!("SELECT id, {column} FROM images WHERE {column} IS NOT NULL");
        self.store
            .each_row("compare perceptual hashes", &sql, &[], |row| {
                let other: Option<Phash> = row.text(1)?.and_then(|text| text.parse().ok());
                let distance = other.and_then(|other| hash.distance(&other));
                let (Some(id), Some(distance)) = (row.id(0)?, distance) else {
                    return Ok(());
                };
                if id == image || f64::from(distance) * SCALE / bits > distance_max {
                    return Ok(());
                }
                let place = nearest.partition_point(|near| *near < (distance, id));
                if place < limit {
                    nearest.truncate(limit - 1);
                    nearest.insert(place, (distance, id));
                }
                Ok(())
            })?;
        let similar = nearest.into_iter().map(|(distance, image)| Similar {
            image,
            distance: f64::from(distance) * SCALE / bits,
            score: 1.0 - f64::from(distance) / bits,
        });
        Ok(similar.collect())
    }

    fn hash_of(&self, image: u32, what: &str) -> Result<Option<String>> {
        let column = self.store.schema.column("images", "phash");
        let sql = format!("SELECT {column} FROM images WHERE id = ?1");
        let found = self
            .store
            .query_row(what, &sql, &[image.into()], |row| row.text(0))?;
        found.with_context(|| format!("{what}: there is no such image"))
    }
}
