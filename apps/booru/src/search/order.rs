//! One page of a set of images, in any order.

use std::collections::BinaryHeap;

use super::bits::Bits;
use crate::catalog::Images;
use crate::query::{Direction, Order};

/// Fewer answers than one in so many are sorted, others are met on a walk through all images in order,
/// which passes by the rest in vain.
const SORTED_SHARE: usize = 50;

/// Up to so many are kept sorted while all answers are looked at; for a page further behind all are sorted.
const KEPT_MAX: usize = 4096;

/// The images of a page, which begins behind `offset` others. Up to 4 bytes an answer.
pub(super) fn page(
    images: &Images,
    answers: &Bits,
    count: usize,
    order: Order,
    offset: usize,
    len: usize,
) -> Vec<u32> {
    let end = count.min(offset.saturating_add(len));
    if offset >= end {
        return Vec::new();
    }
    let held = match order {
        Order::By(key, direction) if count > images.len() / SORTED_SHARE => {
            images.order(key).map(|order| order.walk(direction))
        }
        _ => None,
    };
    if let Some(walk) = held {
        let walk = walk.filter(|image| answers.contains(*image));
        return walk.skip(offset).take(end - offset).collect();
    }
    let mut found = match end <= KEPT_MAX {
        true => first(answers, end, |image| rank(images, order, image)),
        false => {
            let mut found: Vec<u32> = answers.iter().collect();
            select(&mut found, offset, end, |image| rank(images, order, *image));
            found.truncate(end);
            found
        }
    };
    found.drain(..offset);
    found.shrink_to_fit();
    found
}

/// The first `end` images in the order of their ranks. O(n), and O(log end) for each that is among the first
/// so far; 32 bytes for each of those.
fn first(answers: &Bits, end: usize, rank: impl Fn(u32) -> Rank) -> Vec<u32> {
    let mut best = BinaryHeap::with_capacity(end);
    for image in answers.iter() {
        let entry = (rank(image), image);
        if best.len() < end {
            best.push(entry);
        } else if let Some(mut last) = best.peek_mut()
            && entry < *last
        {
            *last = entry;
        }
    }
    let sorted = best.into_sorted_vec().into_iter();
    sorted.map(|(_, image)| image).collect()
}

/// Puts what is between `offset` and `end` in a sorted list there. O(n + page · log page).
fn select(found: &mut [u32], offset: usize, end: usize, rank: impl Fn(&u32) -> Rank) {
    if end < found.len() {
        found.select_nth_unstable_by_key(end, &rank);
    }
    let head = &mut found[..end];
    if offset > 0 {
        head.select_nth_unstable_by_key(offset, &rank);
    }
    head[offset..].sort_unstable_by_key(&rank);
}

/// Whether an image has no number to be sorted by, that number, and the image, turned round where the
/// order falls: smaller ranks come first, and those without a number last, either way.
pub(super) type Rank = (bool, i64, u32);

/// Where an image stands in an order.
pub(super) fn rank(images: &Images, order: Order, image: u32) -> Rank {
    match order {
        Order::By(key, direction) => {
            let number = images.sort_number(key, image);
            let (is_unknown, number) = (number.is_none(), number.unwrap_or(0));
            match direction {
                Direction::Ascending => (is_unknown, number, image),
                Direction::Descending => (is_unknown, !number, !image),
            }
        }
        Order::Random(seed) => {
            let place = shuffled(seed.unwrap_or(0), images.id(image));
            (false, place.cast_signed(), image)
        }
    }
}

/// A number that tells nothing of the image: SplitMix64 (Steele, Lea and Flood, 2014).
fn shuffled(seed: u64, id: u32) -> u64 {
    let mut mixed = seed ^ u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
