//! Order statistics of slices: median, quantile, median absolute deviation. Copies the slice once.

/// MAD × this estimates the standard deviation of normal values.
pub(crate) const MAD_TO_DEVIATION: f64 = 1.4826;

/// The middle value, the mean of the two middle ones if their number is even; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    median_in_place(&mut values.to_vec())
}

/// [`median`] without a copy; the order of `values` is lost. Linear in their number.
pub(crate) fn median_in_place(values: &mut [f64]) -> f64 {
    let count = values.len();
    if count == 0 {
        return 0.0;
    }
    let (below, middle, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    let middle = *middle;
    if count % 2 == 1 {
        return middle;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    lower + (middle - lower) / 2.0
}

/// The value under which `share` (0 to 1) of the values lie, interpolated; 0 of nothing.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let position = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let index = position.floor() as usize;
    let next = sorted[(index + 1).min(sorted.len() - 1)];
    sorted[index] + (next - sorted[index]) * position.fract()
}

/// Standard deviation of the bulk of `values`, which strays do not move.
///
/// The MAD alone is 0 where more than half of the values are equal, as page counts are; the mean
/// distance without the farthest tenth still sees the rest.
pub(crate) fn robust_deviation(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = median(values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let by_median = MAD_TO_DEVIATION * median(&distances);
    distances.sort_unstable_by(f64::total_cmp);
    let kept = (distances.len() * 9).div_ceil(10);
    // Of a normal distribution the mean distance is 0.798 deviations, without its last tenth 0.656.
    let by_mean = distances[..kept].iter().sum::<f64>() / kept as f64 / 0.656;
    by_median.max(by_mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_nothing() {
        let check = |values: &[f64], expected: f64| assert_eq!(median(values), expected);
        check(&[], 0.0);
        check(&[3.0], 3.0);
        check(&[3.0, 1.0], 2.0);
        check(&[5.0, 1.0, 3.0], 3.0);
        check(&[4.0, 1.0, 3.0, 2.0], 2.5);
    }

    #[test]
    fn quantiles_are_interpolated() {
        let check =
            |share: f64, expected: f64| assert_eq!(quantile(&[4.0, 0.0, 2.0], share), expected);
        check(0.0, 0.0);
        check(0.25, 1.0);
        check(0.5, 2.0);
        check(1.0, 4.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn strays_do_not_move_the_deviation() {
        let mut values: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        let clean = robust_deviation(&values);
        values[50] = 1e12;
        assert!(robust_deviation(&values) < clean * 1.1);
        assert_eq!(robust_deviation(&[7.0; 9]), 0.0);
    }
}
