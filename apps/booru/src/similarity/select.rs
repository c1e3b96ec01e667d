//! The images that may be among the best, of scores that are known to lie between two bounds.
//!
//! An image whose upper bound is below the lower bounds of `k` others can't be among the best `k`; all
//! others are kept. Memory: 8 bytes a lower bound of `k`, 12 an image that is kept: a few hundred where
//! vectors differ, all of them where they are all the same.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::codec::Bounds;

/// An image that may be among the best, by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) row: u32,
    /// Rounded down and up.
    pub(super) lower: f32,
    pub(super) upper: f32,
}

/// A number in a heap; there is none that is not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What is known of the best while rows go by.
#[derive(Debug)]
pub(super) struct Selection {
    k: usize,
    /// The `k` highest, the least of them on top.
    lowers: BinaryHeap<Reverse<Ordered>>,
    /// The k-th highest lower bound.
    threshold: f64,
    candidates: Vec<Candidate>,
    /// How many candidates there may be before those below the threshold are taken out.
    sweep_at: usize,
}

impl Selection {
    pub(super) fn new(k: usize) -> Selection {
        Selection {
            k,
            lowers: BinaryHeap::new(),
            threshold: f64::NEG_INFINITY,
            candidates: Vec::new(),
            sweep_at: 4 * k + 256,
        }
    }

    /// Whether a row with this upper bound is to be looked at.
    pub(super) fn wants(&self, upper: f64) -> bool {
        upper >= self.threshold
    }

    pub(super) fn push(&mut self, row: u32, bounds: Bounds) {
        self.push_lower(bounds.lower);
        self.candidates.push(Candidate {
            row,
            lower: (bounds.lower as f32).next_down(),
            upper: (bounds.upper as f32).next_up(),
        });
        if self.candidates.len() >= self.sweep_at {
            self.sweep();
            self.sweep_at = (2 * self.candidates.len()).max(self.sweep_at);
        }
    }

    fn push_lower(&mut self, lower: f64) {
        self.lowers.push(Reverse(Ordered(lower)));
        if self.lowers.len() > self.k {
            self.lowers.pop();
        }
        if self.lowers.len() == self.k
            && let Some(Reverse(least)) = self.lowers.peek()
        {
            self.threshold = least.0;
        }
    }

    fn sweep(&mut self) {
        let threshold = self.threshold;
        self.candidates
            .retain(|candidate| f64::from(candidate.upper) >= threshold);
    }

    /// Of both.
    pub(super) fn merge(mut self, other: Selection) -> Selection {
        for Reverse(lower) in other.lowers {
            self.push_lower(lower.0);
        }
        self.candidates.extend(other.candidates);
        self
    }

    /// The most promising first.
    pub(super) fn finish(mut self) -> Vec<Candidate> {
        self.sweep();
        self.candidates
            .sort_unstable_by(|one, other| other.upper.total_cmp(&one.upper));
        self.candidates
    }
}

/// The best images of those whose scores are known: by falling score, equal ones by rising image.
#[derive(Debug)]
pub(super) struct Best {
    k: usize,
    /// The least of them on top.
    heap: BinaryHeap<Reverse<(Ordered, Reverse<u32>)>>,
}

impl Best {
    pub(super) fn new(k: usize) -> Best {
        Best {
            k,
            heap: BinaryHeap::new(),
        }
    }

    pub(super) fn push(&mut self, image: u32, score: f64) {
        // -0.0 is 0.0.
        self.heap
            .push(Reverse((Ordered(score + 0.0), Reverse(image))));
        if self.heap.len() > self.k {
            self.heap.pop();
        }
    }

    /// Whether nothing with at most this score can be among them any more.
    pub(super) fn is_settled_for(&self, upper: f32) -> bool {
        let least = self.heap.peek();
        self.heap.len() == self.k
            && least.is_some_and(|Reverse((score, _))| f64::from(upper) < score.0)
    }

    pub(super) fn finish(self) -> Vec<(u32, f64)> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted
            .map(|Reverse((score, Reverse(image)))| (image, score.0))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_among_the_best_is_kept() {
        let bounds = |lower: f64, upper: f64| Bounds { lower, upper };
        let rows = [
            bounds(0.1, 0.2),
            bounds(0.5, 0.6),
            bounds(0.4, 0.9),
            bounds(0.0, 0.3),
            bounds(f64::NEG_INFINITY, f64::INFINITY),
            bounds(0.39, 0.4),
        ];
        let select = |rows: &[(usize, Bounds)]| {
            let mut selection = Selection::new(2);
            for (row, bounds) in rows {
                if selection.wants(bounds.upper) {
                    selection.push(*row as u32, *bounds);
                }
            }
            selection
        };
        let rows: Vec<(usize, Bounds)> = rows.into_iter().enumerate().collect();
        let kept = |selection: Selection| -> Vec<u32> {
            let kept = selection.finish();
            kept.iter().map(|candidate| candidate.row).collect()
        };
        assert_eq!(kept(select(&rows)), [4, 2, 1, 5]);
        let (one, other) = rows.split_at(3);
        assert_eq!(kept(select(one).merge(select(other))), [4, 2, 1, 5]);
    }

    #[test]
    fn equal_scores_are_ordered_by_image() {
        let mut best = Best::new(3);
        for (image, score) in [(9, 0.5), (3, 0.5), (7, 0.5), (1, -1.0), (2, 0.7), (4, 0.5)] {
            best.push(image, score);
        }
        assert!(best.is_settled_for(0.4) && !best.is_settled_for(0.5));
        assert_eq!(best.finish(), [(2, 0.7), (3, 0.5), (4, 0.5)]);
    }
}
