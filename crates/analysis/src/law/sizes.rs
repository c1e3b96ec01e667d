//! Runs grouped by size: the information about the law is in the distinct sizes, that about the
//! noise in the repeats. Holds a few numbers a size and one a run.

use plimsoll_model::{LawUndetermined, SizedPeak};

use crate::quantile;

/// Two coefficients and a spread cannot be judged from fewer sizes.
pub(super) const SIZES_MIN: usize = 4;

/// No program has more items, and n^4 stays far from overflow.
pub(super) const SIZE_MAX: f64 = 1e18;

/// No address space holds more.
const BYTES_MAX: f64 = 18_446_744_073_709_551_616.0;

/// No law of memory holds better than to one part in a thousand, however equal the repeats are:
/// allocators round sizes to classes and the heap to pages and arenas.
const MISFIT_MIN: f64 = 1e-3;

/// Without repeats the misfit alone tells the spread; this is only how it is shared among sizes.
const NOISE_ASSUMED: f64 = 1e-2;

/// How the standard deviation of a run grows with its bytes: as their power 1, 1/2 or 0.
const VARIANCE_POWERS: [f64; 3] = [1.0, 0.5, 0.0];

/// Where the noise is below half the resolution rounding hides it: such sizes are left out of its
/// estimate, in so many rounds as it takes to find which they are.
const NOISE_ROUNDS: usize = 3;

/// Another power than 1 must be this much likelier (natural logarithm), for repeats are few.
const LIKELIER: f64 = 2.0;

/// Standard deviations of a difference that is there beyond doubt, for any number of repeats above 2.
const RISE_DEVIATIONS: f64 = 8.0;

#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// Distinct sizes, ascending.
    pub(super) n: Vec<f64>,
    /// Mean bytes at each size.
    pub(super) mean: Vec<f64>,
    pub(super) runs: Vec<usize>,
    /// Standard deviation of each mean, as repeats and resolution tell.
    pub(super) sd: Vec<f64>,
    /// Degrees of freedom of the repeats: runs less sizes.
    pub(super) freedom: usize,
    /// Least variance of the means about a law, in units of `sd`².
    pub(super) variance_min: f64,
    noise: Noise,
    /// All runs as (index of the size, bytes).
    points: Vec<(usize, f64)>,
}

/// `sd² = (factor · bytes^power)² + resolution² / 12`.
#[derive(Clone, Copy, Debug)]
struct Noise {
    factor: f64,
    power: f64,
    resolution: f64,
}

impl Noise {
    fn variance(&self, bytes: f64) -> f64 {
        (self.factor * bytes.max(0.0).powf(self.power)).powi(2)
    }

    /// What repeats do not average out: rounding to the resolution, and misfit.
    fn floor(&self, bytes: f64) -> f64 {
        // One byte at least, so that no weight is infinite.
        let rounding = self.resolution.powi(2) / 12.0;
        rounding.max(1.0) + (MISFIT_MIN * bytes).powi(2)
    }
}

impl Sizes {
    /// Groups the runs. O(r log r) for r runs.
    pub(super) fn group(points: &[SizedPeak], resolution: f64) -> Result<Sizes, LawUndetermined> {
        let points = checked(points)?;
        let mut sizes = Sizes {
            n: Vec::new(),
            mean: Vec::new(),
            runs: Vec::new(),
            sd: Vec::new(),
            freedom: 0,
            variance_min: 1.0,
            noise: Noise {
                factor: 0.0,
                power: 1.0,
                resolution,
            },
            points: Vec::with_capacity(points.len()),
        };
        for point in &points {
            if sizes.n.last() != Some(&point.n) {
                sizes.n.push(point.n);
                sizes.mean.push(0.0);
                sizes.runs.push(0);
            }
            let place = sizes.n.len() - 1;
            sizes.mean[place] += point.bytes;
            sizes.runs[place] += 1;
            sizes.points.push((place, point.bytes));
        }
        if sizes.n.len() < SIZES_MIN {
            return Err(LawUndetermined::TooFewSizes {
                distinct: sizes.n.len(),
                needed: SIZES_MIN,
            });
        }
        for (mean, runs) in sizes.mean.iter_mut().zip(&sizes.runs) {
            *mean /= *runs as f64;
        }
        sizes.freedom = points.len() - sizes.n.len();
        sizes.estimate_noise();
        Ok(sizes)
    }

    /// Whether the repeats alone show more bytes at the largest size than at the smallest, whatever
    /// law lies between: then it is not constant, even if no law fits. Not told without repeats.
    pub(super) fn rises(&self) -> bool {
        let (Some(first), Some(last)) = (self.mean.first(), self.mean.last()) else {
            return false;
        };
        let (from, to) = (self.sd[0], self.sd[self.sd.len() - 1]);
        self.freedom > 0 && last - first > RISE_DEVIATIONS * from.hypot(to)
    }

    fn estimate_noise(&mut self) {
        if self.freedom == 0 {
            self.noise.factor = NOISE_ASSUMED;
            self.variance_min = (MISFIT_MIN / NOISE_ASSUMED).powi(2);
        } else {
            let (factor, power) = self.likeliest_noise();
            self.noise.factor = factor;
            self.noise.power = power;
        }
        self.sd = (0..self.n.len())
            .map(|i| self.mean_sd(self.mean[i], self.runs[i]))
            .collect();
    }

    fn likeliest_noise(&self) -> (f64, f64) {
        let mut best = (0.0, 1.0);
        let mut best_likelihood = f64::NEG_INFINITY;
        for power in VARIANCE_POWERS {
            let (variance, likelihood) = self.noise_of_power(power);
            if variance <= 0.0 {
                return (0.0, 1.0);
            }
            let margin = if power == 1.0 { 0.0 } else { LIKELIER };
            if likelihood - margin > best_likelihood {
                best = (variance.sqrt(), power);
                best_likelihood = likelihood - margin;
            }
        }
        best
    }

    /// Variance in units of `bytes^(2 power)` and its log likelihood.
    fn noise_of_power(&self, power: f64) -> (f64, f64) {
        let weight = |i: usize| self.mean[i].max(1.0).powf(2.0 * power);
        let mut squares = vec![0.0; self.len()];
        for &(i, bytes) in &self.points {
            squares[i] += (bytes - self.mean[i]).powi(2) / weight(i);
        }
        let pooled = |seen: &[bool]| {
            let (sum, freedom) = (0..self.len())
                .filter(|&i| seen[i])
                .fold((0.0, 0), |(sum, freedom), i| {
                    (sum + squares[i], freedom + self.runs[i] - 1)
                });
            (freedom > 0).then(|| sum / freedom as f64)
        };
        let mut seen = vec![true; self.len()];
        let mut variance = pooled(&seen).unwrap_or(0.0);
        for _ in 0..NOISE_ROUNDS {
            let resolved = (self.noise.resolution / 2.0).powi(2);
            for (i, seen) in seen.iter_mut().enumerate() {
                *seen = variance * weight(i) >= resolved;
            }
            variance = pooled(&seen).unwrap_or(variance);
        }
        let likelihood = (0..self.len())
            .map(|i| {
                (self.runs[i] - 1) as f64 * (variance * weight(i)).ln() + squares[i] / variance
            })
            .sum::<f64>()
            / -2.0;
        (variance, likelihood)
    }

    pub(super) fn n_max(&self) -> f64 {
        self.n.last().copied().unwrap_or(1.0)
    }

    pub(super) fn n_min(&self) -> f64 {
        self.n.first().copied().unwrap_or(1.0)
    }

    pub(super) fn len(&self) -> usize {
        self.n.len()
    }

    /// Runs over all sizes.
    pub(super) fn runs_total(&self) -> usize {
        self.points.len()
    }

    /// All runs as (index of the size, bytes).
    pub(super) fn points(&self) -> &[(usize, f64)] {
        &self.points
    }

    /// Standard deviation of one run that takes `bytes`.
    pub(super) fn run_sd(&self, bytes: f64) -> f64 {
        (self.noise.variance(bytes) + self.noise.floor(bytes)).sqrt()
    }

    /// Standard deviation of the mean of `runs` runs that take `bytes`.
    pub(super) fn mean_sd(&self, bytes: f64, runs: usize) -> f64 {
        (self.noise.variance(bytes) / runs as f64 + self.noise.floor(bytes)).sqrt()
    }

    /// The same sizes with other means: what a resample or an imagined law gives. Runs are not
    /// kept.
    pub(super) fn with_means(&self, mean: Vec<f64>) -> Sizes {
        Sizes {
            n: self.n.clone(),
            mean,
            runs: self.runs.clone(),
            sd: self.sd.clone(),
            points: Vec::new(),
            ..*self
        }
    }

    /// One more size above the largest, with as many runs as others have.
    pub(super) fn push(&mut self, n: f64, bytes: f64) {
        let runs = self.runs.iter().sum::<usize>() / self.runs.len().max(1);
        self.n.push(n);
        self.mean.push(bytes);
        self.runs.push(runs.max(1));
        self.sd.push(self.mean_sd(bytes, runs.max(1)));
    }

    /// All sizes but the largest.
    pub(super) fn without_largest(&self) -> Sizes {
        let mut rest = self.clone();
        rest.n.pop();
        rest.mean.pop();
        rest.runs.pop();
        rest.sd.pop();
        rest.points.retain(|&(i, _)| i < rest.n.len());
        rest
    }

    /// Relative change of the bytes from the least to the largest size; 0 from 0 bytes.
    pub(super) fn relative_change(&self) -> f64 {
        match (self.mean.first(), self.mean.last()) {
            (Some(first), Some(last)) if *first > 0.0 => last / first - 1.0,
            _ => 0.0,
        }
    }

    /// Median of the relative standard deviations of the means.
    pub(super) fn relative_sd(&self) -> f64 {
        let relative: Vec<f64> = (0..self.len())
            .map(|i| self.sd[i] / self.mean[i].max(1.0))
            .collect();
        quantile::median(&relative)
    }
}

/// The points ascending by size, or what is wrong with them.
fn checked(points: &[SizedPeak]) -> Result<Vec<SizedPeak>, LawUndetermined> {
    if points.is_empty() {
        return Err(LawUndetermined::NoPoints);
    }
    for (point, peak) in points.iter().enumerate() {
        if !(peak.n > 0.0 && peak.n <= SIZE_MAX) {
            return Err(LawUndetermined::InvalidSize { point });
        }
        if !(peak.bytes >= 0.0 && peak.bytes <= BYTES_MAX) {
            return Err(LawUndetermined::InvalidBytes { point });
        }
    }
    let mut points = points.to_vec();
    // By bytes too: the order of the runs must not change the last digit of a sum.
    points.sort_by(|a, b| a.n.total_cmp(&b.n).then(a.bytes.total_cmp(&b.bytes)));
    Ok(points)
}
