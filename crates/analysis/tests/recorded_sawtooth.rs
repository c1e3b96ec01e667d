//! The recorded series of a CPython program whose traced bytes are teeth of 101 cycles: bounded,
//! though a trend test calls every tooth a leak and end averages call it anything.

use plimsoll_analysis::leak::{LeakOptions, judge};
use plimsoll_model::{Doubt, GrowthClass, GrowthPoint};

fn recorded() -> Vec<GrowthPoint> {
    let text = include_str!("fixtures/leak_sawtooth_series.json");
    let json: serde_json::Value = serde_json::from_str(text).expect("the fixture is JSON");
    json["hist"]
        .as_array()
        .expect("hist is a list")
        .iter()
        .enumerate()
        .map(|(cycle, bytes)| GrowthPoint {
            work: cycle as f64,
            bytes: bytes.as_f64().expect("hist holds numbers"),
        })
        .collect()
}

fn leaking(slope: f64) -> Vec<GrowthPoint> {
    let mut series = recorded();
    for point in &mut series {
        point.bytes += slope * point.work;
    }
    series
}

#[test]
fn teeth_on_a_level_floor_are_bounded() {
    let growth = judge(&recorded(), &LeakOptions::default());
    assert_eq!(growth.class, GrowthClass::Bounded, "{growth:?}");
    let teeth = growth.teeth.expect("the series has teeth");
    assert_eq!(teeth.count, 2);
    assert_eq!(teeth.period, 101.0);
    assert!((17_000.0..18_000.0).contains(&teeth.amplitude_bytes));
    assert_eq!(growth.floors.len(), 2);
    assert!(growth.detection_limit.is_some());
}

#[test]
fn twenty_bytes_a_cycle_under_the_teeth_are_growing() {
    let growth = judge(&leaking(20.0), &LeakOptions::default());
    assert_eq!(growth.class, GrowthClass::Growing, "{growth:?}");
    let slope = growth.slope.expect("growing has a slope");
    assert!(slope.low <= 20.0 && 20.0 <= slope.high, "{slope:?}");
    assert!(slope.excludes_zero());
}

#[test]
fn no_window_is_called_growing() {
    let series = recorded();
    for length in 20..220 {
        for window in series.windows(length) {
            let growth = judge(window, &LeakOptions::default());
            assert_ne!(
                growth.class,
                GrowthClass::Growing,
                "{length} points from {}: {growth:?}",
                window[0].work
            );
        }
    }
}

#[test]
fn a_window_of_fifty_says_what_it_lacks() {
    for window in recorded().windows(50) {
        let growth = judge(window, &LeakOptions::default());
        assert_eq!(growth.class, GrowthClass::Inconclusive, "{growth:?}");
        assert!(
            matches!(
                growth.reasons[..],
                [
                    Doubt::TooShort { .. }
                        | Doubt::TeethTooFew { .. }
                        | Doubt::WarmUpNotOver { .. }
                ]
            ),
            "{growth:?}"
        );
        assert!(growth.more_points.is_some_and(|points| points > 0));
    }
}
