//! Series that hardly move: a few steps of the kernel's counter up and down, and no more.
//!
//! Programs creep by single pages (a dictionary that is resized, a stack that went deeper once), and so
//! little movement has no shape that could be told from a walk or a warm-up. It needs none: whatever
//! its shape, growth is at most what moved at all.

use plimsoll_model::{Estimate, Growth, GrowthClass};

use super::rules::GROWING_POINTS;
use super::series::{Series, without_strays};

/// Steps of the counter: 32 KiB where pages are counted.
const STEPS_MAX: f64 = 8.0;

/// The kernel counts pages. What is counted in larger steps moves by more than a little in each.
const STEP_MAX: f64 = 4096.0;

/// The part that is looked at, from here to the end: before it, any program may warm up.
const WARM_UP: f64 = 1.0 / 3.0;

/// Growth of at most what moved, if that is next to nothing; `None` if it is not, or if the series is
/// too short.
pub(super) fn still(points: &Series, growth: &Growth) -> Option<Growth> {
    let bytes = without_strays(&points.bytes);
    let start = (points.len() as f64 * WARM_UP) as usize;
    if points.len() - start < GROWING_POINTS {
        return None;
    }
    let bound = STEPS_MAX * points.resolution.min(STEP_MAX);
    let moved = range(&bytes[start..]);
    if moved > bound {
        return None;
    }
    let span = (points.work[points.len() - 1] - points.work[start]) * points.span;
    let most = moved.max(points.resolution) / span;
    let always = range(&bytes) <= bound;
    Some(Growth {
        class: if always {
            GrowthClass::Flat
        } else {
            GrowthClass::Bounded
        },
        slope: Some(Estimate {
            value: (bytes[bytes.len() - 1] - bytes[start]) / span,
            low: -most,
            high: most,
        }),
        // Growth by twice as much would have moved it out of what was seen.
        detection_limit: Some(2.0 * most),
        warm_up: if always { 0 } else { start },
        halves: None,
        reasons: Vec::new(),
        more_points: None,
        ..growth.clone()
    })
}

fn range(bytes: &[f64]) -> f64 {
    let most = bytes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = bytes.iter().copied().fold(f64::INFINITY, f64::min);
    most - least
}

#[cfg(test)]
mod tests {
    use plimsoll_model::GrowthPoint;

    use crate::leak::{LeakOptions, judge};

    use super::*;

    fn judged(pages: impl Fn(usize) -> f64) -> Growth {
        let point = |cycle: usize| GrowthPoint {
            work: cycle as f64,
            bytes: 1e7 + 4096.0 * pages(cycle).floor(),
        };
        let points: Vec<GrowthPoint> = (0..600).map(point).collect();
        judge(&points, &LeakOptions::default())
    }

    /// A page more at these cycles.
    fn steps(at: &'static [usize]) -> impl Fn(usize) -> f64 {
        move |cycle| at.iter().filter(|step| cycle >= **step).count() as f64
    }

    #[test]
    fn a_few_pages_are_no_growth_and_bound_it() {
        let creeps = judged(steps(&[40, 90, 330, 350, 500]));
        assert_eq!(creeps.class, GrowthClass::Flat, "{creeps:?}");
        assert!(creeps.detection_limit.unwrap() < 100.0, "{creeps:?}");
        assert!(creeps.reasons.is_empty());
    }

    #[test]
    fn what_rose_before_is_bounded() {
        let warm = judged(|cycle| (cycle.min(120) * 5) as f64 + steps(&[300, 420])(cycle));
        assert_eq!(warm.class, GrowthClass::Bounded, "{warm:?}");
    }

    #[test]
    fn a_page_now_and_then_is_still_a_leak() {
        let leak = judged(|cycle| cycle as f64 / 8.0);
        assert_eq!(leak.class, GrowthClass::Growing, "{leak:?}");
    }
}
