//! What the points scatter by around their trend, and how many of them are as good as independent.

use crate::order;

/// Scatter around a trend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// Standard deviation of the bulk.
    pub(crate) deviation: f64,
    /// How many independent points the correlated ones are worth.
    pub(crate) effective: f64,
    /// True if it cannot be told from a random walk.
    pub(crate) wanders: bool,
}

/// A random walk without its trend is worth fewer points than this in 95 of 100 cases, whatever its
/// length (17.0, 18.1 and 16.9 of 300 simulated walks of 30, 100 and 300 points): the test for a unit
/// root of Dickey and Fuller (JASA 1979), on the correlation time instead of the first correlation,
/// which noise on top of a walk hides.
const WANDERING_POINTS: f64 = 17.5;

/// Of few points, as floors are, it is this share of them.
const WANDERING_SHARE: f64 = 0.45;

/// Describes `residuals` of figures that are whole multiples of `resolution`.
///
/// Neighbours in a series of memory are alike, and a trend test that takes them as independent finds
/// trends everywhere (Machida, Andrzejak, Matias, Vicente, ISSREW 2013). As Hamed and Rao (J.
/// Hydrology, 1998) do for Mann-Kendall, the number of points is divided by the autocorrelation time
/// `1 + 2 Σ ρ`. The sum ends where ρ falls below 0 (Geyer, Statistical Science 1992) or at five times
/// itself (Sokal, Monte Carlo Methods, 1997), so that it follows whatever correlation there is
/// instead of one model of it.
pub(crate) fn noise(residuals: &[f64], resolution: f64) -> Noise {
    let count = residuals.len() as f64;
    // A value anywhere within one step has this deviation.
    let rounding = resolution / 12_f64.sqrt();
    let deviation = order::robust_deviation(residuals).max(rounding);
    let farthest = residuals
        .iter()
        .fold(0.0_f64, |most, value| most.max(value.abs()));
    if farthest <= resolution || deviation == 0.0 {
        // Rounding alone: the trend itself is known.
        return Noise {
            deviation,
            effective: count.max(1.0),
            wanders: false,
        };
    }
    let middle = order::median(residuals);
    let bulk: Vec<f64> = residuals
        .iter()
        .map(|value| (value - middle).clamp(-3.0 * deviation, 3.0 * deviation))
        .collect();
    let (time, neighbour) = correlation_time(&bulk);
    let wanders = count / time < WANDERING_POINTS.min(WANDERING_SHARE * count);
    // Removing a trend makes ρ look smaller than it is, by (1 + 4ρ) / count (Kendall 1954).
    let corrected = (neighbour + (1.0 + 4.0 * neighbour) / count).clamp(0.0, 0.999);
    let time = time.max((1.0 + corrected) / (1.0 - corrected));
    Noise {
        deviation,
        effective: (count / time).max(1.0),
        wanders,
    }
}

/// The autocorrelation time in points (at least 1) and the correlation of neighbours.
fn correlation_time(values: &[f64]) -> (f64, f64) {
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let power: f64 = centred.iter().map(|value| value * value).sum();
    if power <= 0.0 {
        return (1.0, 0.0);
    }
    let at_lag = |lag: usize| {
        let product: f64 = centred
            .iter()
            .zip(&centred[lag..])
            .map(|(early, late)| early * late)
            .sum();
        product / power
    };
    let neighbour = if count > 1 { at_lag(1) } else { 0.0 };
    let mut time = 1.0_f64;
    for lag in 1..count / 2 {
        let correlation = at_lag(lag);
        if correlation < 0.0 {
            break;
        }
        time += 2.0 * correlation;
        if lag as f64 >= 5.0 * time {
            break;
        }
    }
    (time.max(1.0), neighbour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlated(correlation: f64, count: usize) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut value = 0.0;
        (0..count)
            .map(|_| {
                value = correlation * value + random.f64() - 0.5;
                value
            })
            .collect()
    }

    #[test]
    fn correlated_points_count_less() {
        let check = |correlation: f64, at_least: f64, at_most: f64| {
            let noise = noise(&correlated(correlation, 1000), 0.0);
            assert!(
                (at_least..=at_most).contains(&noise.effective),
                "{correlation}: {noise:?}"
            );
            assert!(!noise.wanders);
        };
        check(0.0, 700.0, 1000.0);
        check(0.5, 200.0, 450.0);
        check(0.9, 20.0, 90.0);
    }

    #[test]
    fn a_random_walk_wanders() {
        let walk = correlated(1.0, 1000);
        let slope = (walk[999] - walk[0]) / 999.0;
        let residuals: Vec<f64> = walk
            .iter()
            .enumerate()
            .map(|(index, value)| value - slope * index as f64)
            .collect();
        assert!(noise(&residuals, 0.0).wanders);
    }

    #[test]
    fn rounding_alone_is_no_correlation() {
        let stairs: Vec<f64> = (0..100).map(|i| f64::from(i % 10) / 10.0 - 0.5).collect();
        let noise = noise(&stairs, 1.0);
        assert_eq!(noise.effective, 100.0);
        assert!(!noise.wanders);
    }
}
