//! One page of a set of images, in any order.

use std::cmp::Ordering;

use super::bits::Bits;
use crate::catalog::Images;
use crate::query::{Direction, Order, SortKey};

/// Fewer answers than one in so many are sorted, others are met on a walk through all images in order,
/// which passes by the rest in vain.
const SORTED_SHARE: usize = 50;

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
    let mut found: Vec<u32> = answers.iter().collect();
    match order {
        Order::By(SortKey::Id, Direction::Ascending) => {}
        Order::By(SortKey::Id, Direction::Descending) => found.reverse(),
        Order::By(key, direction) => {
            select(&mut found, offset, end, |a, b| {
                compare(images, key, direction, *a, *b)
            });
        }
        Order::Random(_) => {
            select(&mut found, offset, end, |a, b| {
                compare_by(images, order, *a, *b)
            });
        }
    }
    found.truncate(end);
    found.drain(..offset);
    found.shrink_to_fit();
    found
}

/// Puts what is between `offset` and `end` in a sorted list there. O(n + page · log page).
fn select(found: &mut [u32], offset: usize, end: usize, compare: impl Fn(&u32, &u32) -> Ordering) {
    if end < found.len() {
        found.select_nth_unstable_by(end, &compare);
    }
    let head = &mut found[..end];
    if offset > 0 {
        head.select_nth_unstable_by(offset, &compare);
    }
    head[offset..].sort_unstable_by(&compare);
}

/// Which of two images comes first.
pub(super) fn compare_by(images: &Images, order: Order, a: u32, b: u32) -> Ordering {
    match order {
        Order::By(key, direction) => compare(images, key, direction, a, b),
        Order::Random(seed) => {
            let place = |image: u32| shuffled(seed.unwrap_or(0), images.id(image));
            place(a).cmp(&place(b)).then(a.cmp(&b))
        }
    }
}

fn compare(images: &Images, key: SortKey, direction: Direction, a: u32, b: u32) -> Ordering {
    let (of_a, of_b) = (images.sort_number(key, a), images.sort_number(key, b));
    // Those without it come last, either way.
    let is_unknown = of_a.is_none().cmp(&of_b.is_none());
    let by_number = of_a.cmp(&of_b).then(a.cmp(&b));
    is_unknown.then(match direction {
        Direction::Ascending => by_number,
        Direction::Descending => by_number.reverse(),
    })
}

/// A number that tells nothing of the image: SplitMix64 (Steele, Lea and Flood, 2014).
fn shuffled(seed: u64, id: u32) -> u64 {
    let mut mixed = seed ^ u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
