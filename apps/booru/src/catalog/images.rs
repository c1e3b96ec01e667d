//! Images in memory: ids of the database, numbers to sort and compare by, paths to find parts in.
//!
//! Memory an image: its path in lower case and 5 bytes, 4 for its id, 4 for each of six numbers, 4 for
//! each of three orders. One that is deleted keeps its number, and what is held under it, until a quarter of
//! them are such: then the catalog is read anew.

use anyhow::{Result, bail};
use plimsoll::postings::Postings;

use super::column::Column;
use super::room;
use super::texts::Texts;
use crate::query::{Direction, Field, SortKey};
use crate::store::Schema;

/// Images are numbered in the order of their ids.
#[derive(Debug, Default)]
pub struct Images {
    ids: Vec<u32>,
    pub(crate) paths: Texts,
    score: Column,
    favourites: Column,
    width: Column,
    height: Column,
    ingested: Column,
    tag_count: Column,
    orders: Vec<SortOrder>,
    /// Deleted, by number.
    gone: Postings,
}

/// Deleted images below which the catalog is not read anew for their sake: some 100 KiB.
const GONE_MIN: u64 = 1024;

/// What is known of an image besides its tags.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) score: Option<i64>,
    pub(crate) favourites: Option<i64>,
    pub(crate) width: Option<i64>,
    pub(crate) height: Option<i64>,
    pub(crate) ingested: Option<i64>,
}

impl Numbers {
    /// Those that have a column in the database, as they would be read anew.
    pub(crate) fn stored_in(self, schema: &Schema) -> Numbers {
        let stored = |column, number: Option<i64>| number.filter(|_| schema.has("images", column));
        Numbers {
            score: stored("score", self.score),
            favourites: stored("fav_count", self.favourites),
            width: stored("image_width", self.width),
            height: stored("image_height", self.height),
            ingested: stored("ingested_at", self.ingested),
        }
    }
}

/// All images sorted by one key, descending, equal ones by falling number; those without it at the end.
#[derive(Debug)]
pub(crate) struct SortOrder {
    key: SortKey,
    images: Vec<u32>,
    /// How many have the key.
    known: usize,
}

/// Orders that are asked for often enough to be held: walking one is some times faster than sorting.
const HELD: [SortKey; 3] = [SortKey::Ingested, SortKey::Score, SortKey::Favourites];

/// A set with more than one in so many images is met soon on a walk through all of them.
const WALKED_SHARE: u64 = 64;

impl Images {
    pub(crate) fn push(&mut self, id: u32, path: &str, numbers: Numbers) -> Result<()> {
        room::make(&mut self.ids, 1);
        self.ids.push(id);
        self.paths.push(path)?;
        self.score.push(numbers.score);
        self.favourites.push(numbers.favourites);
        self.width.push(numbers.width);
        self.height.push(numbers.height);
        self.ingested.push(numbers.ingested);
        self.tag_count.push(Some(0));
        Ok(())
    }

    /// Puts an image behind all others, and where it belongs in the orders that are held; its number.
    /// O(images), a move of some bytes each.
    pub(crate) fn add(&mut self, id: u32, path: &str, numbers: Numbers) -> Result<u32> {
        if let Some(last) = self.ids.last().filter(|last| **last >= id) {
            bail!("take image {id}: its id is not above {last}, the last one");
        }
        let image = self.numbers() as u32;
        self.push(id, path, numbers)?;
        let mut orders = std::mem::take(&mut self.orders);
        for order in &mut orders {
            order.insert(self, image);
        }
        self.orders = orders;
        Ok(image)
    }

    /// Its number is not used again.
    pub(crate) fn remove(&mut self, image: u32) {
        self.gone.insert(image);
    }

    /// Whether so many are deleted that what they still hold is worth reading all anew.
    pub(crate) fn is_worn(&self) -> bool {
        self.gone.len() > GONE_MIN && self.gone.len() * 4 > self.numbers() as u64
    }

    pub(crate) fn set_tag_count(&mut self, image: u32, count: i64) {
        self.tag_count.set(image, Some(count));
    }

    /// Puts all in the orders that are held, and gives back what is not used. O(n log n).
    pub(crate) fn finish(&mut self) {
        self.ids.shrink_to_fit();
        self.paths.shrink();
        for column in [
            &mut self.score,
            &mut self.favourites,
            &mut self.width,
            &mut self.height,
            &mut self.ingested,
            &mut self.tag_count,
        ] {
            column.shrink();
        }
        self.orders = HELD.iter().map(|key| SortOrder::of(self, *key)).collect();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len() - self.gone.len() as usize
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Above all numbers of images, those of deleted ones included.
    #[must_use]
    pub(crate) fn numbers(&self) -> usize {
        self.ids.len()
    }

    /// Deleted images, by number.
    pub(crate) fn gone(&self) -> &Postings {
        &self.gone
    }

    /// The id of the database.
    #[must_use]
    pub fn id(&self, image: u32) -> u32 {
        self.ids[image as usize]
    }

    /// The ids of all images, ascending. O(n): 4 bytes each.
    pub(crate) fn list_ids(&self) -> Vec<u32> {
        let ids = (0_u32..).zip(&self.ids);
        let there = ids.filter(|(image, _)| !self.gone.contains(*image));
        there.map(|(_, id)| *id).collect()
    }

    /// The image of this id. O(log n).
    #[must_use]
    pub fn of_id(&self, id: u32) -> Option<u32> {
        let image = self.ids.binary_search(&id).ok()? as u32;
        (!self.gone.contains(image)).then_some(image)
    }

    /// The column of a field; `None` for ids, which all have.
    pub(crate) fn number(&self, field: Field, image: u32) -> Option<i64> {
        match field {
            Field::Id => Some(i64::from(self.id(image))),
            Field::Score => self.score.get(image),
            Field::Favourites => self.favourites.get(image),
            Field::Width => self.width.get(image),
            Field::Height => self.height.get(image),
            Field::TagCount => self.tag_count.get(image),
            Field::Date => self.ingested.get(image),
        }
    }

    /// What an image is sorted by.
    pub(crate) fn sort_number(&self, key: SortKey, image: u32) -> Option<i64> {
        let field = match key {
            SortKey::Ingested => Field::Date,
            SortKey::Score => Field::Score,
            SortKey::Favourites => Field::Favourites,
            SortKey::Width => Field::Width,
            SortKey::Height => Field::Height,
            SortKey::TagCount => Field::TagCount,
            SortKey::Id => Field::Id,
            SortKey::Pixels => {
                let width = self.width.get(image)?;
                return Some(width.saturating_mul(self.height.get(image)?));
            }
        };
        self.number(field, image)
    }

    /// Of some images, at most `limit` that come first in an order that is held, descending. O(images).
    pub(crate) fn first_of(&self, set: &Postings, key: SortKey, limit: usize) -> Vec<u32> {
        match self.order(key) {
            // Asking a set costs more than reading it, so a small one is read.
            Some(order) if set.len() > self.len() as u64 / WALKED_SHARE => {
                let walk = order.walk(Direction::Descending);
                walk.filter(|image| set.contains(*image))
                    .take(limit)
                    .collect()
            }
            _ => {
                let mut images: Vec<u32> = set.iter().collect();
                images.sort_unstable_by_key(|image| {
                    std::cmp::Reverse((self.sort_number(key, *image), *image))
                });
                images.truncate(limit);
                images
            }
        }
    }

    pub(crate) fn order(&self, key: SortKey) -> Option<&SortOrder> {
        self.orders.iter().find(|order| order.key == key)
    }

    /// Bytes held, by part: paths, orders, the rest.
    #[must_use]
    pub fn bytes(&self) -> ImageBytes {
        let columns = [
            &self.score,
            &self.favourites,
            &self.width,
            &self.height,
            &self.ingested,
            &self.tag_count,
        ];
        let orders = self.orders.iter().map(|order| order.images.capacity() * 4);
        ImageBytes {
            paths: self.paths.heap_bytes(),
            orders: orders.sum(),
            rest: self.ids.capacity() * 4
                + self.gone.size_bytes()
                + columns.into_iter().map(Column::heap_bytes).sum::<usize>(),
        }
    }
}

/// What [`Images`] holds.
#[derive(Clone, Copy, Debug)]
pub struct ImageBytes {
    pub paths: usize,
    pub orders: usize,
    pub rest: usize,
}

impl SortOrder {
    fn of(images: &Images, key: SortKey) -> SortOrder {
        let mut sorted: Vec<u32> = (0..images.numbers() as u32).collect();
        // None is less than any number: reversed, it comes last.
        sorted.sort_unstable_by_key(|image| {
            std::cmp::Reverse((images.sort_number(key, *image), *image))
        });
        let known = sorted.partition_point(|image| images.sort_number(key, *image).is_some());
        SortOrder {
            key,
            images: sorted,
            known,
        }
    }

    /// Puts in an image whose number is above all others.
    fn insert(&mut self, images: &Images, image: u32) {
        let number = images.sort_number(self.key, image);
        // Reversed, none comes last; of equal ones the greatest number first, which is this one.
        let comes_before = |other: &u32| images.sort_number(self.key, *other) > number;
        let place = self.images.partition_point(comes_before);
        room::make(&mut self.images, 1);
        self.images.insert(place, image);
        self.known += usize::from(number.is_some());
    }

    /// All images in this order, deleted ones too.
    pub(crate) fn walk(&self, direction: Direction) -> Walk<'_> {
        let (known, unknown) = self.images.split_at(self.known);
        match direction {
            Direction::Descending => Walk::Descending(known.iter().chain(unknown)),
            Direction::Ascending => Walk::Ascending(known.iter().rev().chain(unknown.iter().rev())),
        }
    }
}

type Slice<'a> = std::slice::Iter<'a, u32>;
type Reversed<'a> = std::iter::Rev<Slice<'a>>;

pub(crate) enum Walk<'a> {
    Descending(std::iter::Chain<Slice<'a>, Slice<'a>>),
    Ascending(std::iter::Chain<Reversed<'a>, Reversed<'a>>),
}

impl Iterator for Walk<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Walk::Descending(walk) => walk.next().copied(),
            Walk::Ascending(walk) => walk.next().copied(),
        }
    }
}
