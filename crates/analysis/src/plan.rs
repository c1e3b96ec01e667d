//! The order in which trials are run, so that what drifts (a cache that warms, a machine that gets
//! busy) does not fall on one arm or one size alone.

use fastrand::Rng;

/// All trials of `cells` cells, `repeat` of each, in random order: the index of the cell of each.
/// Each block of `cells` trials holds every cell once, so that work that is cut short has the same
/// number of each, give or take one.
#[must_use]
pub fn randomised(cells: usize, repeat: usize, seed: u64) -> Vec<usize> {
    let mut rng = Rng::with_seed(seed);
    let mut order = Vec::with_capacity(cells.saturating_mul(repeat));
    for _ in 0..repeat {
        let start = order.len();
        order.extend(0..cells);
        rng.shuffle(&mut order[start..]);
    }
    order
}

/// `rounds` rounds in which every arm runs once, each round in the reverse order of the one before:
/// what an arm leaves behind for the next is met from both sides.
#[must_use]
pub fn interleaved(arms: usize, rounds: usize) -> Vec<usize> {
    let forth: Vec<usize> = (0..arms).collect();
    let back: Vec<usize> = (0..arms).rev().collect();
    (0..rounds)
        .flat_map(|round| if round % 2 == 0 { &forth } else { &back })
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_holds_every_cell_and_the_seed_decides() {
        let order = randomised(5, 4, 7);
        assert_eq!(order.len(), 20);
        for block in order.chunks(5) {
            let mut sorted = block.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert_eq!(order, randomised(5, 4, 7));
        assert_ne!(order, randomised(5, 4, 8));
        assert!(randomised(0, 4, 7).is_empty());
    }

    #[test]
    fn rounds_turn_round() {
        assert_eq!(interleaved(3, 3), [0, 1, 2, 2, 1, 0, 0, 1, 2]);
        assert!(interleaved(2, 0).is_empty());
    }
}
