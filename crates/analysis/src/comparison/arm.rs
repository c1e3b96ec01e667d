//! Moments of the two arms and what follows from them: half the interval, the ratio, what could be
//! told with more repeats.

use plimsoll_model::{Bytes, Estimate};

use super::{ComparisonOptions, POWER};
use crate::quantile;

/// Far above any number of bytes, and its square is far from overflow.
const VALUE_MAX: f64 = 1e30;

/// Steps of the resolution; repeats that scatter less are taken for rounded to the same value.
const FROZEN: f64 = 0.4;

/// True if all values can be reckoned with.
pub(super) fn checked(values: &[f64]) -> bool {
    values.iter().all(|v| v.abs() <= VALUE_MAX)
}

/// One arm. 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
    /// Square of what repeats do not average out.
    floor: f64,
}

impl Moments {
    pub(super) fn of(values: &[f64], resolution: Bytes) -> Moments {
        let resolution = resolution.0 as f64;
        let variance = quantile::variance(values);
        // Rounded figures that scatter by more than this scatter without rounding too, by some 0.3
        // steps, and rounding averages out to a twentieth of a step (Widrow & Kollár 2008). Below,
        // all repeats may be rounded the same way: two such arms may differ by one step for
        // nothing, (step² / 2) · 2 = step².
        let frozen = variance.sqrt() < FROZEN * resolution;
        Moments {
            count: values.len() as f64,
            mean: quantile::mean(values),
            variance,
            floor: if frozen {
                resolution.powi(2) / 2.0
            } else {
                0.0
            },
        }
    }

    /// Half the interval of the mean, `t` standard errors and the floor in quadrature.
    pub(super) fn half(&self, t: f64) -> f64 {
        self.half_squared(t).sqrt()
    }

    fn half_squared(&self, t: f64) -> f64 {
        t * t * self.variance / self.count + self.floor
    }
}

/// Two arms and how they vary together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contrast {
    base: Moments,
    changed: Moments,
    /// Covariance of the rounds; 0 for independent arms.
    covariance: f64,
    paired: bool,
    confidence: f64,
}

impl Contrast {
    pub(super) fn new(
        base: &[f64],
        changed: &[f64],
        paired: bool,
        options: &ComparisonOptions,
    ) -> Contrast {
        let mut contrast = Contrast {
            base: Moments::of(base, options.resolution),
            changed: Moments::of(changed, options.resolution),
            covariance: 0.0,
            paired,
            confidence: options.confidence,
        };
        if paired {
            contrast.covariance = base
                .iter()
                .zip(changed)
                .map(|(b, c)| (b - contrast.base.mean) * (c - contrast.changed.mean))
                .sum::<f64>()
                / (base.len() - 1) as f64;
        }
        contrast
    }

    /// The same moments as if both arms had `repeats` values.
    pub(super) fn with_repeats(mut self, repeats: usize) -> Contrast {
        self.base.count = repeats as f64;
        self.changed.count = repeats as f64;
        self
    }

    pub(super) fn value(&self) -> f64 {
        self.changed.mean - self.base.mean
    }

    /// Degrees of freedom: of the pairs, or Welch's (1947).
    fn freedom(&self) -> f64 {
        if self.paired {
            return self.base.count - 1.0;
        }
        let b = self.base.variance / self.base.count;
        let c = self.changed.variance / self.changed.count;
        let whole = b + c;
        if whole <= 0.0 {
            return self.base.count + self.changed.count - 2.0;
        }
        // As shares, for squares of small variances vanish.
        let share = |v: f64, count: f64| (v / whole).powi(2) / (count - 1.0);
        1.0 / (share(b, self.base.count) + share(c, self.changed.count))
    }

    fn t(&self) -> f64 {
        quantile::student(quantile::upper_tail(self.confidence), self.freedom())
    }

    /// Half the interval of the difference.
    pub(super) fn half(&self) -> f64 {
        self.half_of(self.t())
    }

    fn half_of(&self, t: f64) -> f64 {
        let covariance = t * t * self.covariance / self.base.count;
        let squared = self.base.half_squared(t) + self.changed.half_squared(t) - 2.0 * covariance;
        // Rounds that move together to the last digit leave the rounding of the sums.
        let least = self.base.floor + self.changed.floor;
        squared.max(least).sqrt()
    }

    /// The true difference that leaves its interval clear of 0 in 80 % of all tries.
    pub(super) fn detectable(&self) -> f64 {
        let t = self.t();
        let reach = quantile::student(POWER, self.freedom()) / t;
        self.half_of(t) * (1.0 + reach)
    }

    /// Repeats at which the difference seen would be told if spreads were known, rounding aside.
    pub(super) fn repeats_if_normal(&self) -> f64 {
        let reach =
            quantile::normal(quantile::upper_tail(self.confidence)) + quantile::normal(POWER);
        let variance = self.base.variance + self.changed.variance - 2.0 * self.covariance;
        reach.powi(2) * variance.max(0.0) / self.value().powi(2)
    }

    /// Changed over base with Fieller's interval (1954): all ratios ρ for which changed − ρ · base
    /// is not told from 0. None unless base is clearly above 0.
    pub(super) fn ratio(&self) -> Option<Estimate> {
        let t = self.t();
        let scale = self.base.mean;
        let base = self.base.half_squared(t) / scale.powi(2);
        if scale <= 0.0 || base >= 1.0 || base.is_nan() {
            return None;
        }
        let value = self.changed.mean / scale;
        let changed = self.changed.half_squared(t) / scale.powi(2);
        let together = t * t * self.covariance / self.base.count / scale.powi(2);
        let middle = value - together;
        let inner = middle.powi(2) - (1.0 - base) * (value.powi(2) - changed);
        let half = inner.max(0.0).sqrt() / (1.0 - base);
        let centre = middle / (1.0 - base);
        let ratio = Estimate {
            value,
            low: (centre - half).min(value),
            high: (centre + half).max(value),
        };
        (ratio.low.is_finite() && ratio.high.is_finite()).then_some(ratio)
    }
}
