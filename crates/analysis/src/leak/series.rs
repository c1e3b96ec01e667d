//! The series as the judge works on it: checked, moved to 0, work scaled to 0..1. 16 bytes a point.

use plimsoll_model::{Doubt, GrowthPoint};

use crate::order;

/// Larger figures are no memory of this world, and their squares would overflow.
const FIGURE_MAX: f64 = 1e18;

/// Up to here differences of f64 are exact integers.
const EXACT_MAX: f64 = 9.0e15;

/// The page that is assumed where the series has too few changes to show its resolution.
const PAGE_BYTES: u64 = 4096;

/// With fewer changes their common divisor is rather the change itself than the resolution.
const CHANGES_MIN: usize = 4;

/// Points that the quadratic steps work on; longer series are reduced to block medians. 1000 points
/// keep a judgement within milliseconds, and lose nothing: noise shrinks as blocks grow.
pub(crate) const THIN_POINTS: usize = 1000;

/// A checked series. `work` runs from 0 to 1, `bytes` starts at 0.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) work: Vec<f64>,
    pub(crate) bytes: Vec<f64>,
    /// Work and bytes of the first point, work from first to last.
    pub(crate) first: GrowthPoint,
    pub(crate) span: f64,
    /// The smallest change that the figures can show: 4096 for page counts, 1 for exact bytes,
    /// 0 if they are not whole numbers.
    pub(crate) resolution: f64,
}

impl Series {
    pub(crate) fn new(points: &[GrowthPoint]) -> Result<Self, Doubt> {
        let first = *points.first().ok_or(Doubt::NoPoints)?;
        let usable = |value: f64| value.is_finite() && value.abs() <= FIGURE_MAX;
        let count = points
            .iter()
            .filter(|point| !usable(point.work) || !usable(point.bytes))
            .count();
        if count > 0 {
            return Err(Doubt::NotFinite { count });
        }
        let count = points
            .windows(2)
            .filter(|pair| pair[1].work <= pair[0].work)
            .count();
        if count > 0 {
            return Err(Doubt::WorkNotIncreasing { count });
        }
        let span = points[points.len() - 1].work - first.work;
        let scale = if span > 0.0 { span } else { 1.0 };
        let work: Vec<f64> = points
            .iter()
            .map(|point| (point.work - first.work) / scale)
            .collect();
        let bytes: Vec<f64> = points
            .iter()
            .map(|point| point.bytes - first.bytes)
            .collect();
        let resolution = resolution(&bytes, first.bytes);
        Ok(Self {
            work,
            bytes,
            first,
            span: scale,
            resolution,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.work.len()
    }

    /// The point at `work` and `bytes` of this series, in the units it was given in.
    pub(crate) fn outside(&self, work: f64, bytes: f64) -> GrowthPoint {
        GrowthPoint {
            work: self.first.work + work * self.span,
            bytes: self.first.bytes + bytes,
        }
    }
}

/// The largest step of which all changes are multiples.
fn resolution(bytes: &[f64], base: f64) -> f64 {
    let whole = |value: f64| value.fract() == 0.0 && value.abs() <= EXACT_MAX;
    let mut divisor = 0;
    let mut changes = 0;
    for pair in bytes.windows(2) {
        let change = (pair[1] - pair[0]).abs();
        if !whole(change) {
            return 0.0;
        }
        if change > 0.0 {
            changes += 1;
            divisor = greatest_common_divisor(divisor, change as u64);
        }
    }
    if changes < CHANGES_MIN {
        // What stands still does not show its resolution: a power of two up to a page that divides
        // the figures themselves is the largest that is likely.
        let base = if whole(base) { base.abs() as u64 } else { 1 };
        let page = greatest_common_divisor(greatest_common_divisor(base, PAGE_BYTES), divisor);
        return page.max(1) as f64;
    }
    divisor as f64
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// At most `count` points: medians of work and bytes over blocks of equal length.
pub(crate) fn block_medians(work: &[f64], bytes: &[f64], count: usize) -> (Vec<f64>, Vec<f64>) {
    let length = work.len().div_ceil(count.max(1)).max(1);
    if length == 1 {
        return (work.to_vec(), bytes.to_vec());
    }
    (
        work.chunks(length).map(order::median).collect(),
        bytes.chunks(length).map(order::median).collect(),
    )
}

/// Running median of five: takes out spikes of one or two points and keeps edges where they are
/// (Tukey, Exploratory Data Analysis, 1977). The two points at either end stay as they are.
pub(crate) fn without_spikes(bytes: &[f64]) -> Vec<f64> {
    let mut smooth = bytes.to_vec();
    for (target, window) in smooth.iter_mut().skip(2).zip(bytes.windows(5)) {
        let mut window = [window[0], window[1], window[2], window[3], window[4]];
        window.sort_unstable_by(f64::total_cmp);
        *target = window[2];
    }
    smooth
}

/// Distance from its neighbours, in deviations of that distance, at which a point is a stray.
const STRAY_DEVIATIONS: f64 = 6.0;

/// Replaces strays alone by the median of the five around them (Hampel's filter): a running median
/// of everything would make neighbours alike that are not.
pub(crate) fn without_strays(bytes: &[f64]) -> Vec<f64> {
    let mut result = without_spikes(bytes);
    let distances: Vec<f64> = bytes.iter().zip(&result).map(|(b, m)| b - m).collect();
    let far = STRAY_DEVIATIONS * order::robust_deviation(&distances);
    for ((value, &original), distance) in result.iter_mut().zip(bytes).zip(&distances) {
        if distance.abs() <= far {
            *value = original;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(bytes: &[f64]) -> Vec<GrowthPoint> {
        bytes
            .iter()
            .enumerate()
            .map(|(index, &bytes)| GrowthPoint {
                work: index as f64,
                bytes,
            })
            .collect()
    }

    #[test]
    fn resolution_is_what_the_figures_can_show() {
        let check = |bytes: &[f64], expected: f64| {
            let series = Series::new(&points(bytes)).expect("the points are in order");
            assert_eq!(series.resolution, expected, "{bytes:?}");
        };
        check(&[8192.0, 8192.0], 4096.0);
        check(&[5000.0, 5000.0], 8.0);
        check(&[5001.0, 5001.0], 1.0);
        check(&[0.5, 0.5], 1.0);
        check(&[0.0, 4096.0, 12288.0, 4096.0, 8192.0], 4096.0);
        check(&[0.5, 0.75, 9.0, 1.0], 0.0);
    }

    #[test]
    fn foul_points_are_counted() {
        let check = |bytes: &[f64], expected: Doubt| {
            assert_eq!(Series::new(&points(bytes)).unwrap_err(), expected);
        };
        check(&[], Doubt::NoPoints);
        check(
            &[1.0, f64::NAN, f64::INFINITY],
            Doubt::NotFinite { count: 2 },
        );
        let twice = [points(&[1.0]), points(&[2.0])].concat();
        assert_eq!(
            Series::new(&twice).unwrap_err(),
            Doubt::WorkNotIncreasing { count: 1 }
        );
    }

    #[test]
    fn spikes_go_and_edges_stay() {
        let spiky = [0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0];
        let smooth = [0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0];
        let result = without_spikes(&spiky);
        assert_eq!(result[2..4], smooth[2..4]);
        assert_eq!(result[6..], smooth[6..]);
    }
}
