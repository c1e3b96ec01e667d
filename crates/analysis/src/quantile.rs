//! Moments and quantiles of a few figures, and quantiles of the distributions that intervals need.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Intervals of less confidence say nothing, those of more need tails that no few repeats show.
const CONFIDENCE_MIN: f64 = 0.5;
const CONFIDENCE_MAX: f64 = 0.999;

/// Degrees of freedom from which on Student's t is taken as normal (they differ by 1e-3 there).
const FREEDOM_NORMAL: f64 = 2000.0;

/// A confidence that an interval can have; NaN becomes 95 %.
pub(crate) fn bounded_confidence(confidence: f64) -> f64 {
    if confidence.is_nan() {
        0.95
    } else {
        confidence.clamp(CONFIDENCE_MIN, CONFIDENCE_MAX)
    }
}

/// The quantile that leaves half of `1 - confidence` on each side.
pub(crate) fn upper_tail(confidence: f64) -> f64 {
    0.5 + bounded_confidence(confidence) / 2.0
}

/// Mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}

/// Variance with `n - 1`; 0 below two values.
pub(crate) fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

/// Sorts a copy; NaN last.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Quantile of sorted values, linear between neighbours (type 7 of Hyndman & Fan 1996, R's
/// default); 0 of nothing.
pub(crate) fn sample_quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = p.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Median; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    sample_quantile(&sorted(values), 0.5)
}

/// Quantile `p` of Student's t with `freedom` degrees of freedom, at least 1.
pub(crate) fn student(p: f64, freedom: f64) -> f64 {
    if freedom >= FREEDOM_NORMAL {
        return normal(p);
    }
    match StudentsT::new(0.0, 1.0, freedom.max(1.0)) {
        Ok(distribution) => distribution.inverse_cdf(p),
        Err(_) => normal(p),
    }
}

/// Quantile `p` of the standard normal distribution.
pub(crate) fn normal(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// Probability that a standard normal figure is below `z`.
pub(crate) fn normal_below(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let check = |got: f64, expected: f64| {
            assert!((got - expected).abs() < 2e-3, "{got} for {expected}");
        };
        check(student(0.975, 1.0), 12.706);
        check(student(0.975, 4.0), 2.776);
        check(student(0.975, 1e9), 1.960);
        check(student(0.025, 8.0), -2.306);
        check(normal(0.8), 0.8416);
        check(sample_quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5);
        check(sample_quantile(&[1.0], 0.9), 1.0);
    }

    #[test]
    fn moments_of_nothing_are_zero() {
        assert_eq!(mean(&[]), 0.0);
        assert_eq!(variance(&[3.0]), 0.0);
        assert_eq!(median(&[]), 0.0);
    }
}
