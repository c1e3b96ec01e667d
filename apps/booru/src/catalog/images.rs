//! Images in memory: ids of the database, numbers to sort and compare by, paths to find parts in.
//!
//! Memory an image: its path in lower case and 5 bytes, 4 for its id, 4 for each of six numbers, 4 for
//! each of three orders.

use anyhow::Result;
use plimsoll::postings::Postings;

use super::column::Column;
use super::texts::Texts;
use crate::query::{Direction, Field, SortKey};

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
}

/// What is known of an image besides its tags.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) score: Option<i64>,
    pub(crate) favourites: Option<i64>,
    pub(crate) width: Option<i64>,
    pub(crate) height: Option<i64>,
    pub(crate) ingested: Option<i64>,
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

    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of the database.
    #[must_use]
    pub fn id(&self, image: u32) -> u32 {
        self.ids[image as usize]
    }

    /// The image of this id. O(log n).
    #[must_use]
    pub fn of_id(&self, id: u32) -> Option<u32> {
        self.ids.binary_search(&id).ok().map(|image| image as u32)
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
        let mut sorted: Vec<u32> = (0..images.len() as u32).collect();
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

    /// All images in this order.
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
