//! `judge` of a series: any numbers give a verdict, with finite figures; a growing one has a slope
//! above 0, an open one says why; the same series gives the same verdict.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_analysis::leak::{LeakOptions, judge};
use plimsoll_model::{Bytes, GrowthClass, GrowthPoint};

/// Longer series take long and reach no other code.
const POINTS_MAX: usize = 2000;

fuzz_target!(|bytes: &[u8]| {
    let [mode, bytes @ ..] = bytes else {
        return;
    };
    let points = if mode & 1 == 0 {
        any_numbers(bytes)
    } else {
        levels(bytes)
    };
    let (series, control) = points.split_at(points.len() - points.len() / 4);
    let options = LeakOptions {
        confidence: 0.95,
        budget: (mode & 2 != 0).then_some(Bytes::mib(1)),
        ignore_below: (mode & 4 != 0).then_some(1000.0),
        control: (mode & 8 != 0).then(|| control.to_vec()),
    };
    let growth = judge(series, &options);
    assert_eq!(judge(series, &options), growth);
    let limit = growth.detection_limit.unwrap_or_default();
    assert!(limit.is_finite() && limit >= 0.0, "{growth:?}");
    for slope in growth.slope.iter().chain(growth.halves.iter().flatten()) {
        assert!(
            slope.low <= slope.value && slope.value <= slope.high,
            "{slope:?}"
        );
        assert!(slope.low.is_finite() && slope.high.is_finite(), "{slope:?}");
    }
    match growth.class {
        GrowthClass::Growing => assert!(growth.slope.is_some_and(|slope| slope.low > 0.0)),
        GrowthClass::Inconclusive => assert!(!growth.reasons.is_empty()),
        GrowthClass::Bounded | GrowthClass::Flat => assert!(growth.budget_at.is_none()),
    }
    assert_eq!(
        growth.class == GrowthClass::Inconclusive,
        !growth.reasons.is_empty()
    );
    assert!(growth.warm_up <= series.len());
});

/// Whatever a float can be.
fn any_numbers(bytes: &[u8]) -> Vec<GrowthPoint> {
    let pairs = bytes.chunks_exact(16).take(POINTS_MAX);
    let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    pairs
        .map(|pair| GrowthPoint {
            work: number(&pair[..8]),
            bytes: number(&pair[8..]),
        })
        .collect()
}

/// A level in pages that goes up and down by so many in each unit of work.
fn levels(bytes: &[u8]) -> Vec<GrowthPoint> {
    let mut level = 1000.0;
    let steps = bytes.iter().take(POINTS_MAX).enumerate();
    steps
        .map(|(index, step)| {
            level = f64::max(level + f64::from(step.cast_signed()), 0.0);
            GrowthPoint {
                work: index as f64,
                bytes: 4096.0 * level,
            }
        })
        .collect()
}
