//! Resampling: draws from a pool of standardised residuals, and percentile intervals of what was
//! computed from the draws.

use fastrand::Rng;
use plimsoll_model::Estimate;

use crate::quantile;

/// A pool with fewer members has no tails to draw from: normal draws are taken in its place.
const POOL_MIN: usize = 8;

/// Draws of mean 0 and variance 1. Deterministic for a seed. Holds one `f64` a residual.
#[derive(Debug)]
pub(crate) struct Resampler {
    pool: Vec<f64>,
    /// Standard deviation of the kernel that smooths the pool.
    kernel: f64,
    rng: Rng,
}

impl Resampler {
    /// Centres and scales `residuals` to mean 0 and variance 1; draws are normal where they are too
    /// few, or all the same.
    pub(crate) fn new(residuals: &[f64], seed: u64) -> Resampler {
        let mean = quantile::mean(residuals);
        let squares = residuals.iter().map(|r| (r - mean).powi(2)).sum::<f64>();
        let scale = (squares / residuals.len().max(1) as f64).sqrt();
        let usable = residuals.len() >= POOL_MIN && scale.is_finite() && scale > 0.0;
        let pool = if usable {
            residuals.iter().map(|r| (r - mean) / scale).collect()
        } else {
            Vec::new()
        };
        Resampler {
            pool,
            kernel: (residuals.len().max(1) as f64).powf(-0.2),
            rng: Rng::with_seed(seed),
        }
    }

    /// A member of the pool, smoothed by a normal kernel and shrunk back to variance 1 (Silverman &
    /// Young 1987): a few dozen residuals have no tails of their own.
    pub(crate) fn draw(&mut self) -> f64 {
        let normal = self.draw_normal();
        if self.pool.is_empty() {
            return normal;
        }
        let member = self.pool[self.rng.usize(..self.pool.len())];
        (member + self.kernel * normal) / self.kernel.hypot(1.0)
    }

    fn draw_normal(&mut self) -> f64 {
        // Box & Muller 1958; 1 - u is never 0.
        let radius = (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.rng.f64()).cos()
    }

    /// The mean of `count` draws, scaled back to variance 1.
    pub(crate) fn draw_mean(&mut self, count: usize) -> f64 {
        // Beyond this the mean is as good as normal, and the loop need not follow the input.
        let count = count.clamp(1, 32);
        (0..count).map(|_| self.draw()).sum::<f64>() / (count as f64).sqrt()
    }
}

/// The percentile interval of `draws`, widened so that it holds `value`.
pub(crate) fn percentile_interval(value: f64, draws: &[f64], confidence: f64) -> Estimate {
    let sorted = quantile::sorted(draws);
    if sorted.is_empty() {
        return Estimate {
            value,
            low: value,
            high: value,
        };
    }
    // Of b draws the k-th has the share k / (b + 1) below it, not (k - 1) / (b - 1).
    let (count, tail) = (draws.len() as f64, quantile::upper_tail(confidence));
    let tail = (tail * (count + 1.0) - 1.0) / (count - 1.0).max(1.0);
    Estimate {
        value,
        low: quantile::sample_quantile(&sorted, 1.0 - tail).min(value),
        high: quantile::sample_quantile(&sorted, tail).max(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_mean_zero_and_variance_one() {
        for pool in [vec![], vec![1.0; 20], (0..30).map(f64::from).collect()] {
            let mut resampler = Resampler::new(&pool, 7);
            let draws: Vec<f64> = (0..20_000).map(|_| resampler.draw_mean(3)).collect();
            assert!(quantile::mean(&draws).abs() < 0.03);
            assert!((quantile::variance(&draws) - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn the_interval_holds_the_value() {
        let interval = percentile_interval(10.0, &[1.0, 2.0, 3.0], 0.95);
        assert!(interval.low < interval.high && interval.high == 10.0);
    }
}
