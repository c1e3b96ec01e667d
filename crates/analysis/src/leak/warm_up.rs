//! Where a series changes: cuts it into straight stretches, of which the last is the steady part.
//!
//! Barrett, Bolz-Tereick, Killick, Mount and Tratt (Virtual machine warmup blows hot and cold, OOPSLA
//! 2017) find warm-up by change points of the mean instead of "skip ten". Here a stretch is a line:
//! under a leak the mean changes all the time, and what matters is where the slope changes.

use crate::order;

use super::series::block_medians;

/// Blocks that are cut between: 3,540 possible stretches. A change is found to 1/60 of the series.
const BLOCKS: usize = 60;

/// Shorter series have fewer blocks, of so many points: neighbours that are alike would be cut apart.
const BLOCK_POINTS: usize = 4;

const BLOCKS_MIN: usize = 15;

/// A stretch costs as much as its two figures and its place explain by chance, times this.
/// Correlated noise explains more than independent noise (Shi, Gallagher, Lund, Killick,
/// Computational Statistics & Data Analysis 2022), so plain BIC (1) would cut too often.
const PENALTY: f64 = 2.5;

/// The greatest slope of lines that are one course, over the least of them.
const ALIKE: f64 = 1.25;

/// What a step between two lines of one course may be, as a share of their rise.
const JUMP_MAX: f64 = 0.1;

/// A straight stretch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// First point of the series in it.
    pub(crate) start: usize,
    /// The point after its last.
    pub(crate) end: usize,
    /// Bytes per unit of work of its line.
    pub(crate) slope: f64,
    /// Bytes of its line at its first and its last block.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// The least and the greatest slope of the lines that were joined.
    least: f64,
    most: f64,
}

/// Cuts `bytes` over `work` into the stretches that explain it best.
///
/// Optimal partitioning (Jackson et al. 2005; PELT, Killick et al. 2012, is the same minimum with
/// pruning, which 60 blocks do not need): O(60²) after O(n).
pub(crate) fn stretches(work: &[f64], bytes: &[f64], resolution: f64) -> Vec<Stretch> {
    let most = (work.len() / BLOCK_POINTS).clamp(BLOCKS_MIN, BLOCKS);
    let length = work.len().div_ceil(most).max(1);
    let (at, level) = block_medians(work, bytes, most);
    let blocks = at.len();
    let lines = Lines::new(&at, &level);
    let deviation = deviation(&level, resolution);
    let penalty = PENALTY * 3.0 * (blocks.max(2) as f64).ln() * deviation * deviation;
    // best[end]: lowest cost of the blocks before `end`, and where its last stretch starts.
    let mut best = vec![(0.0, 0); blocks + 1];
    for end in 1..=blocks {
        let longest = (0, lines.cost(0, end) + penalty);
        let (start, cost) = (1..end).fold(longest, |(start, cost), candidate| {
            let candidate_cost = best[candidate].0 + lines.cost(candidate, end) + penalty;
            if candidate_cost < cost && (end - candidate > 1 || end < blocks) {
                (candidate, candidate_cost)
            } else {
                (start, cost)
            }
        });
        best[end] = (cost, start);
    }
    let mut stretches = Vec::new();
    let mut end = blocks;
    while end > 0 {
        let start = best[end].1;
        let (from, slope) = lines.line(start, end);
        stretches.push(Stretch {
            start: start * length,
            end: (end * length).min(work.len()),
            slope,
            least: slope,
            most: slope,
            from,
            to: from + slope * (at[end - 1] - at[start]),
        });
        end = start;
    }
    stretches.reverse();
    join_alike(work, stretches)
}

/// Joins the last stretches while all of them rise alike, without a jump between them.
///
/// A leak of a changing number of pages wanders about its line, and the more exactly it is measured,
/// the more of that is seen: but rising by 75 KiB and then by 74 is one course. A cache that fills
/// rises by less and less, and is soon outside of [`ALIKE`].
fn join_alike(work: &[f64], mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    while let [.., one, other] = stretches.as_slice() {
        let rise = other.to - one.from;
        let gap = work[other.start] - work[one.end - 1];
        let jump = other.from - one.to - gap * f64::midpoint(one.slope, other.slope);
        let (least, most) = (one.least.min(other.least), one.most.max(other.most));
        if least <= 0.0 || most > ALIKE * least || jump.abs() > JUMP_MAX * rise {
            break;
        }
        let joined = Stretch {
            start: one.start,
            end: other.end,
            slope: rise / (work[other.end - 1] - work[one.start]).max(f64::MIN_POSITIVE),
            from: one.from,
            to: other.to,
            least,
            most,
        };
        stretches.truncate(stretches.len() - 2);
        stretches.push(joined);
    }
    stretches
}

/// Deviation of the blocks from a smooth course: second differences do not see lines.
fn deviation(level: &[f64], resolution: f64) -> f64 {
    let bends: Vec<f64> = level
        .windows(3)
        .map(|three| three[2] - 2.0 * three[1] + three[0])
        .collect();
    let range = order::quantile(level, 1.0) - order::quantile(level, 0.0);
    (order::robust_deviation(&bends) / 6_f64.sqrt())
        // A whole step of the counter, not its rounding error: where nothing else moves, one page
        // more or less (a thread cache, a stack that grew) is no change of course.
        .max(resolution)
        .max(range * 1e-6)
}

/// Sums from which the line through any blocks and its cost follow at once.
#[derive(Debug)]
struct Lines<'a> {
    at: &'a [f64],
    /// Before each block: Σ x, Σ y, Σ xx, Σ xy, Σ yy.
    sums: Vec<[f64; 5]>,
    middle: f64,
}

impl<'a> Lines<'a> {
    fn new(at: &'a [f64], level: &[f64]) -> Self {
        let middle = order::median(level);
        let mut sums = vec![[0.0; 5]];
        let mut total = [0.0; 5];
        for (&x, &y) in at.iter().zip(level) {
            let y = y - middle;
            for (sum, term) in total.iter_mut().zip([x, y, x * x, x * y, y * y]) {
                *sum += term;
            }
            sums.push(total);
        }
        Self { at, sums, middle }
    }

    /// Count, means and centred moments of blocks `start..end`.
    fn moments(&self, start: usize, end: usize) -> (f64, f64, f64, f64, f64) {
        let sum = |index: usize| self.sums[end][index] - self.sums[start][index];
        let count = (end - start) as f64;
        let (x, y) = (sum(0) / count, sum(1) / count);
        (
            x,
            y,
            sum(2) - count * x * x,
            sum(3) - count * x * y,
            sum(4) - count * y * y,
        )
    }

    /// Squared distance of the blocks from their line.
    fn cost(&self, start: usize, end: usize) -> f64 {
        if end - start < 3 {
            return 0.0;
        }
        let (_, _, xx, xy, yy) = self.moments(start, end);
        let explained = if xx > 0.0 { xy * xy / xx } else { 0.0 };
        (yy - explained).max(0.0)
    }

    /// Level at the first block and slope.
    fn line(&self, start: usize, end: usize) -> (f64, f64) {
        let (x, y, xx, xy, _) = self.moments(start, end);
        let slope = if end - start > 1 && xx > 0.0 {
            xy / xx
        } else {
            0.0
        };
        (self.middle + y - slope * (x - self.at[start]), slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: impl Fn(usize) -> f64) -> Vec<usize> {
        let work: Vec<f64> = (0..300).map(|index| f64::from(index) / 299.0).collect();
        let mut random = fastrand::Rng::with_seed(3);
        let bytes: Vec<f64> = (0..300)
            .map(|index| bytes(index) + 4.0 * (random.f64() - 0.5))
            .collect();
        stretches(&work, &bytes, 0.0)
            .iter()
            .skip(1)
            .map(|stretch| stretch.start)
            .collect()
    }

    #[test]
    fn cuts_where_the_course_changes() {
        assert_eq!(cut(|_| 5.0), []);
        assert_eq!(cut(|index| index as f64), []);
        let check = |cuts: Vec<usize>, expected: usize| {
            assert_eq!(cuts.len(), 1, "{cuts:?}");
            assert!(cuts[0].abs_diff(expected) <= 5, "{cuts:?}");
        };
        check(cut(|index| if index < 60 { 0.0 } else { 50.0 }), 60);
        check(cut(|index| index.saturating_sub(150) as f64), 150);
    }
}
