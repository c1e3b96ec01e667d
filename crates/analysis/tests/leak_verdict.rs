//! What a verdict carries besides its class: limits, control, budget, bounds, doubts; and what must
//! hold of any series.

use std::time::{Duration, Instant};

use plimsoll_analysis::leak::{LeakOptions, judge};
use plimsoll_model::{Bytes, Doubt, Growth, GrowthClass, GrowthPoint};
use proptest::prelude::*;

fn series(count: usize, bytes: impl Fn(f64) -> f64) -> Vec<GrowthPoint> {
    (0..count)
        .map(|index| GrowthPoint {
            work: index as f64,
            bytes: bytes(index as f64),
        })
        .collect()
}

/// Whole bytes of noise, up to `most`, the same at each call.
fn noise(work: f64, most: f64) -> f64 {
    (fastrand::Rng::with_seed(work as u64).f64() * most).round()
}

fn plain(points: &[GrowthPoint]) -> Growth {
    judge(points, &LeakOptions::default())
}

#[test]
fn what_stands_still_is_flat_with_the_limit_of_its_resolution() {
    let check = |bytes: f64, resolution: f64| {
        let growth = plain(&series(201, |_| bytes));
        assert_eq!(growth.class, GrowthClass::Flat, "{growth:?}");
        let limit = growth.detection_limit.expect("flat states a limit");
        // One step over the run would be seen, and is what the limit comes from.
        assert!(
            (resolution / 200.0..8.0 * resolution / 200.0).contains(&limit),
            "{limit} of {resolution}"
        );
    };
    check(12_345.0, 1.0);
    check(4096.0 * 100.0, 4096.0);
    check(0.0, 4096.0);
}

#[test]
fn foul_series_are_doubted() {
    let check = |points: &[GrowthPoint], expected: Doubt| {
        let growth = plain(points);
        assert_eq!(growth.class, GrowthClass::Inconclusive);
        assert_eq!(growth.reasons, [expected]);
        assert_eq!(growth.slope, None);
        assert_eq!(growth.detection_limit, None);
    };
    check(&[], Doubt::NoPoints);
    let mut foul = series(50, |work| work);
    foul[7].bytes = f64::NAN;
    foul[9].work = f64::INFINITY;
    check(&foul, Doubt::NotFinite { count: 2 });
    let mut unsorted = series(50, |work| work);
    unsorted[7].work = 3.0;
    check(&unsorted, Doubt::WorkNotIncreasing { count: 1 });
    let short = Doubt::TooShort {
        points: 5,
        needed: 120,
    };
    check(&series(5, |work| work), short);
}

#[test]
fn a_straight_leak_needs_points() {
    let growth = plain(&series(119, |work| 64.0 * work));
    assert_eq!(
        growth.reasons,
        [Doubt::TooShort {
            points: 119,
            needed: 120
        }]
    );
    assert_eq!(growth.more_points, Some(1));
    let growth = plain(&series(120, |work| 64.0 * work));
    assert_eq!(growth.class, GrowthClass::Growing);
    assert_eq!(growth.slope.map(|slope| slope.value), Some(64.0));
}

#[test]
fn the_observer_is_subtracted() {
    let observer = |work: f64| 40.0 * work + noise(work, 100.0);
    let control = series(300, |work| observer(work + 1000.0));
    let options = LeakOptions {
        control: Some(control),
        ..LeakOptions::default()
    };
    let subject = series(300, observer);
    assert_eq!(plain(&subject).class, GrowthClass::Growing);
    let growth = judge(&subject, &options);
    assert_eq!(growth.class, GrowthClass::Flat, "{growth:?}");
    let control = growth.control_slope.expect("a control was given");
    assert!(control.low <= 40.0 && 40.0 <= control.high, "{control:?}");

    let growth = judge(&series(300, |work| observer(work) + 9.0 * work), &options);
    assert_eq!(growth.class, GrowthClass::Growing, "{growth:?}");
    let slope = growth.slope.expect("growing has a slope");
    assert!(slope.low <= 9.0 && 9.0 <= slope.high, "{slope:?}");

    let options = LeakOptions {
        control: Some(series(3, |_| 0.0)),
        ..LeakOptions::default()
    };
    assert_eq!(judge(&subject, &options).reasons, [Doubt::ControlUnusable]);
}

#[test]
fn growth_that_does_not_matter_passes() {
    let subject = series(300, |work| 5.0 * work + noise(work, 50.0));
    let check = |bound: f64, class: GrowthClass, below: Option<f64>| {
        let options = LeakOptions {
            ignore_below: Some(bound),
            ..LeakOptions::default()
        };
        let growth = judge(&subject, &options);
        assert_eq!(growth.class, class, "{growth:?}");
        assert_eq!(growth.certainly_below, below);
    };
    check(10.0, GrowthClass::Flat, Some(10.0));
    check(5.0, GrowthClass::Growing, None);
    check(1.0, GrowthClass::Growing, None);
}

#[test]
fn a_budget_gets_the_work_that_reaches_it() {
    let options = LeakOptions {
        budget: Some(Bytes(100_000)),
        ..LeakOptions::default()
    };
    let growth = judge(
        &series(300, |work| 100.0 * work + noise(work, 50.0)),
        &options,
    );
    let at = growth.budget_at.expect("it grows");
    assert!(at.low <= at.value && at.value <= at.high);
    assert!((990.0..1010.0).contains(&at.value), "{at:?}");
    assert_eq!(judge(&series(300, |_| 7.0), &options).budget_at, None);
    // Reached already: at the last point.
    let growth = judge(&series(2000, |work| 100.0 * work), &options);
    assert_eq!(growth.budget_at.map(|at| at.value), Some(1999.0));
}

#[test]
fn end_averages_are_beside_the_verdict() {
    let growth = plain(&series(200, |work| work));
    let ends = growth.end_averages.expect("the series has points");
    assert_eq!(ends.points, 10);
    assert_eq!(ends.early_bytes, 4.5);
    assert_eq!(ends.difference_bytes, 190.0);
    let ends = plain(&series(3, |work| work)).end_averages;
    assert_eq!(ends.map(|ends| ends.points), Some(1));
}

#[test]
fn warm_up_is_cut_off_and_a_late_leak_reported() {
    let growth = plain(&series(300, |work| {
        noise(work, 100.0) + if work < 40.0 { 0.0 } else { 9000.0 }
    }));
    assert_eq!(growth.class, GrowthClass::Flat, "{growth:?}");
    assert!((35..=45).contains(&growth.warm_up), "{growth:?}");

    let growth = plain(&series(400, |work| {
        noise(work, 100.0) + 50.0 * (work - 150.0).max(0.0)
    }));
    assert_eq!(growth.class, GrowthClass::Growing, "{growth:?}");
    let slope = growth.slope.expect("growing has a slope");
    assert!(slope.low <= 50.0 && 50.0 <= slope.high, "{slope:?}");
}

#[test]
fn long_series_are_judged_in_time_that_grows_with_them() {
    // No absolute time: 32 times the points may take at most 300 times as long, where quadratic steps
    // would take 1024 times.
    let time = |count: usize, height: f64| {
        let tooth = |work: f64| height * (work % 200.0);
        let points = series(count, |work| 3.0 * work + tooth(work) + noise(work, 900.0));
        (0..3)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(plain(&points).class, GrowthClass::Growing);
                start.elapsed()
            })
            .min()
            .unwrap_or(Duration::MAX)
    };
    for height in [0.0, 100.0] {
        let (short, long) = (time(3_125, height), time(100_000, height));
        println!("3,125 points {short:?}, 100,000 points {long:?}");
        assert!(long < short * 300, "{short:?} {long:?}");
    }
}

#[test]
fn a_verdict_survives_json() {
    let teeth = series(400, |work| 5.0 * work + 1000.0 * (work % 40.0));
    for points in [teeth, series(5, |work| work), Vec::new()] {
        let growth = plain(&points);
        let json = serde_json::to_string(&growth).expect("all figures are finite");
        let again: Growth = serde_json::from_str(&json).expect("it was written so");
        // serde_json may read a figure off by its last digit; the rest is the same.
        assert_eq!(growth.class, again.class);
        assert_eq!(growth.reasons, again.reasons);
        assert_eq!(growth.teeth.is_some(), again.teeth.is_some());
        assert_eq!(growth.floors.len(), again.floors.len());
    }
}

/// Any bits: not-a-numbers, infinities, subnormal and huge figures.
fn any_figure() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        -1e18..1e18,
        (0..20i32).prop_map(f64::from),
    ]
}

/// A course of whole bytes: a leak, teeth and noise, each perhaps absent.
fn any_course() -> impl Strategy<Value = Vec<GrowthPoint>> {
    (
        1..300_usize,
        0..50_u32,
        1..60_u32,
        0..4000_u32,
        any::<u64>(),
    )
        .prop_map(|(count, slope, period, height, seed)| {
            let mut random = fastrand::Rng::with_seed(seed);
            let most = random.f64() * 5000.0;
            (0..count)
                .map(|index| GrowthPoint {
                    work: index as f64,
                    bytes: f64::from(slope) * index as f64
                        + f64::from(index as u32 % period * height / period)
                        + (most * random.f64()).round(),
                })
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_floats_are_judged(
        points in prop::collection::vec((any_figure(), any_figure()), 0..150),
        sorted: bool,
    ) {
        let mut points: Vec<GrowthPoint> = points
            .into_iter()
            .map(|(work, bytes)| GrowthPoint { work, bytes })
            .collect();
        if sorted {
            points.retain(|point| point.work.is_finite() && point.bytes.is_finite());
            points.sort_by(|a, b| a.work.total_cmp(&b.work));
            points.dedup_by(|a, b| a.work == b.work);
        }
        let growth = plain(&points);
        let doubtful = growth.class == GrowthClass::Inconclusive;
        prop_assert_eq!(doubtful, !growth.reasons.is_empty());
        if let Some(slope) = growth.slope {
            prop_assert!(slope.low <= slope.value && slope.value <= slope.high);
            prop_assert!(slope.low.is_finite() && slope.high.is_finite());
        }
        prop_assert!(growth.detection_limit.is_none_or(|limit| limit.is_finite() && limit >= 0.0));
        // The same series gives the same verdict.
        prop_assert_eq!(growth, plain(&points));
    }

    #[test]
    fn a_constant_changes_nothing(points in any_course(), constant in 1..1_000_000_u32) {
        let mut moved = points.clone();
        for point in &mut moved {
            // Whole pages, so that what stands still keeps its resolution.
            point.bytes += f64::from(constant) * 4096.0;
        }
        let (growth, moved) = (plain(&points), plain(&moved));
        prop_assert_eq!(growth.class, moved.class);
        prop_assert_eq!(growth.slope, moved.slope);
        prop_assert_eq!(growth.reasons, moved.reasons);
        prop_assert_eq!(growth.detection_limit, moved.detection_limit);
    }

    #[test]
    fn slopes_scale_with_bytes_and_work(points in any_course(), power in 1..12_i32) {
        let factor = 2_f64.powi(power);
        let mut larger = points.clone();
        for point in &mut larger {
            point.bytes *= factor;
            point.work *= 4.0;
        }
        let (growth, larger) = (plain(&points), plain(&larger));
        prop_assert_eq!(growth.class, larger.class);
        if let (Some(slope), Some(larger)) = (growth.slope, larger.slope) {
            let expected = slope.value * factor / 4.0;
            prop_assert!((larger.value - expected).abs() <= 1e-9 * expected.abs());
        }
    }
}
