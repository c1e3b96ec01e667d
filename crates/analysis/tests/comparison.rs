//! What may be claimed about a change, a series of changes and a history.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_analysis::comparison::{
    Arm, ComparisonOptions, DriftOptions, Pairing, compare, drift, receipt,
};
use plimsoll_model::{Bytes, Claim, DriftDoubt, IntervalMethod, Unsettled, Verdict};
use proptest::prelude::*;

const MIB: f64 = 1024.0 * 1024.0;
const PAGE: f64 = 4096.0;

fn options(pairing: Pairing) -> ComparisonOptions {
    ComparisonOptions {
        pairing,
        ..ComparisonOptions::default()
    }
}

#[test]
fn a_clear_saving_is_claimed_with_its_interval() {
    let base = [100.0, 101.0, 99.0, 100.5, 99.5].map(|v| v * MIB);
    let changed = [80.0, 80.5, 79.5, 80.2, 79.8].map(|v| v * MIB);
    let found = compare(&base, &changed, &options(Pairing::Independent));
    assert_eq!(found.claim, Claim::Saved);
    let (difference, ratio) = (found.difference.unwrap(), found.ratio.unwrap());
    assert!((difference.value / MIB + 20.0).abs() < 1e-9);
    assert!(difference.high < -18.9 * MIB && difference.low > -21.1 * MIB);
    assert!((ratio.value - 0.8).abs() < 1e-9 && ratio.high < 0.81);
    assert_eq!((found.needed, found.reason), (None, None));
}

#[test]
fn a_difference_within_the_noise_says_how_many_repeats_it_needs() {
    let base = [100.0, 104.0, 96.0, 102.0, 98.0].map(|v| v * MIB);
    let changed = [98.0, 103.0, 95.0, 100.0, 97.0].map(|v| v * MIB);
    let found = compare(&base, &changed, &options(Pairing::Independent));
    assert_eq!(found.claim, Claim::Indistinguishable);
    assert_eq!(found.reason, Some(Unsettled::WithinNoise));
    assert!(found.needed.unwrap() > 50, "{found:?}");
    // What disturbed a round disturbed both arms: in pairs the same figures are settled.
    let found = compare(&base, &changed, &options(Pairing::Rounds));
    assert_eq!(
        (found.claim, found.method),
        (Claim::Saved, IntervalMethod::Paired)
    );
}

#[test]
fn equal_repeats_still_have_the_noise_of_rounding() {
    let check = |pages: f64, expected: Claim| {
        let base = [100.0 * PAGE; 5];
        let changed = [(100.0 + pages) * PAGE; 5];
        for pairing in [Pairing::Independent, Pairing::Rounds] {
            let found = compare(&base, &changed, &options(pairing));
            assert_eq!(found.claim, expected, "{found:?}");
            assert!(found.noise.unwrap() >= PAGE);
        }
    };
    check(0.0, Claim::Indistinguishable);
    check(1.0, Claim::Indistinguishable);
    check(-2.0, Claim::Saved);
    check(2.0, Claim::Grew);
}

#[test]
fn too_few_or_broken_repeats_claim_nothing() {
    let check = |base: &[f64], changed: &[f64], expected: Unsettled| {
        let found = compare(base, changed, &ComparisonOptions::default());
        assert_eq!(found.claim, Claim::Indistinguishable);
        assert_eq!(found.reason, Some(expected));
        assert_eq!((found.difference, found.noise), (None, None));
    };
    check(
        &[],
        &[1.0],
        Unsettled::TooFewRepeats {
            base: 0,
            changed: 1,
        },
    );
    check(
        &[9e9],
        &[1.0, 2.0],
        Unsettled::TooFewRepeats {
            base: 1,
            changed: 2,
        },
    );
    check(&[1.0, f64::NAN], &[1.0, 2.0], Unsettled::InvalidValue);
    check(&[1.0, 2.0], &[1.0, f64::INFINITY], Unsettled::InvalidValue);
}

#[test]
fn rounds_that_do_not_match_are_taken_as_independent() {
    let found = compare(
        &[MIB; 4],
        &[2.0 * MIB, 2.1 * MIB, 1.9 * MIB],
        &options(Pairing::Rounds),
    );
    assert_eq!(found.method, IntervalMethod::Welch);
    assert_eq!(found.claim, Claim::Grew);
}

#[test]
fn a_receipt_keeps_the_order_and_compares_with_both() {
    let arm = |name: &str, mib: [f64; 4]| Arm {
        name: name.to_owned(),
        values: mib.map(|v| v * MIB).to_vec(),
    };
    let arms = [
        arm("before", [500.0, 502.0, 498.0, 501.0]),
        arm("lazy import", [400.0, 401.0, 399.0, 400.0]),
        arm("tidy loop", [400.2, 400.8, 399.1, 400.3]),
        arm("streaming", [250.0, 251.0, 249.0, 250.0]),
    ];
    let receipt = receipt(&arms, &ComparisonOptions::default());
    let names: Vec<&str> = receipt.steps.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["before", "lazy import", "tidy loop", "streaming"]);
    let claims: Vec<Option<Claim>> = receipt
        .steps
        .iter()
        .map(|s| s.to_previous.map(|d| d.claim))
        .collect();
    assert_eq!(
        claims,
        [
            None,
            Some(Claim::Saved),
            Some(Claim::Indistinguishable),
            Some(Claim::Saved)
        ]
    );
    let last = receipt.steps.last().unwrap();
    let total = last.to_first.unwrap().difference.unwrap();
    assert!((total.value / MIB + 250.25).abs() < 1e-9);
    assert!((last.percent.unwrap() - 49.975).abs() < 0.01);
}

#[test]
fn a_receipt_of_broken_arms_has_gaps() {
    let arm = |values: &[f64]| Arm {
        name: String::new(),
        values: values.to_vec(),
    };
    let arms = [arm(&[]), arm(&[5e6]), arm(&[5e6, f64::NAN])];
    let receipt = receipt(&arms, &ComparisonOptions::default());
    assert!(
        receipt
            .steps
            .iter()
            .all(|s| s.value.is_none() && s.percent.is_none())
    );
}

/// A history of `commits`, each `growth` above the last, with ± `noise` alternating unevenly.
fn history(commits: usize, growth: f64, noise: f64) -> Vec<f64> {
    (0..commits)
        .map(|k| {
            let sway = [0.3, -1.0, 0.8, -0.4, 1.0, -0.7][k % 6];
            100.0 * MIB * growth.powi(k as i32) * (1.0 + noise * sway)
        })
        .collect()
}

#[test]
fn growth_of_three_percent_a_commit_does_not_pass_at_five() {
    let options = DriftOptions::default();
    let check = |history: &[f64], expected: Verdict| {
        let found = drift(history, &options);
        assert_eq!(found.verdict, expected, "{found:?}");
        found
    };
    check(&history(12, 1.0, 0.002), Verdict::Holds);
    let creeping = check(&history(6, 1.03, 0.002), Verdict::Fails);
    // The last step alone would have passed.
    assert!(creeping.last_step.unwrap().high < 1.05);
    assert!((creeping.per_commit.unwrap() - 1.03).abs() < 0.005);
    check(&history(12, 1.0, 0.05), Verdict::Inconclusive);
    let mut jump = history(8, 1.0, 0.002);
    jump[7] *= 1.2;
    assert_eq!(check(&jump, Verdict::Fails).largest_step.unwrap().0, 7);
    // Saved first, lost again at once: the oldest baseline alone would not see it.
    let mut regained = history(8, 1.0, 0.002);
    regained[6] *= 0.8;
    check(&regained, Verdict::Fails);
}

#[test]
fn a_history_that_says_nothing_is_inconclusive() {
    let check = |history: &[f64], expected: DriftDoubt| {
        let found = drift(history, &DriftOptions::default());
        assert_eq!(
            (found.verdict, found.reason),
            (Verdict::Inconclusive, Some(expected))
        );
    };
    check(&[], DriftDoubt::TooShort);
    check(&[MIB], DriftDoubt::TooShort);
    check(&[MIB, 0.0], DriftDoubt::InvalidValue);
    check(&[MIB, f64::NAN], DriftDoubt::InvalidValue);
    check(&[MIB, 2.0 * MIB], DriftDoubt::NoiseUnknown);
    let known = DriftOptions {
        noise: Some(0.01),
        ..DriftOptions::default()
    };
    assert_eq!(drift(&[MIB, 2.0 * MIB], &known).verdict, Verdict::Fails);
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-6 * scale.abs().max(1e-300)
}

fn repeats() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(1.0..1e12f64, 2..12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn any_figures_are_survived(
        base in prop::collection::vec(any::<f64>(), 0..12),
        changed in prop::collection::vec(any::<f64>(), 0..12),
        confidence in any::<f64>(),
        tolerance in any::<f64>(),
        noise in prop::option::of(any::<f64>()),
        resolution in any::<u64>(),
    ) {
        for pairing in [Pairing::Independent, Pairing::Rounds] {
            let options = ComparisonOptions { confidence, pairing, resolution: Bytes(resolution) };
            let _ = compare(&base, &changed, &options);
            let arm = |values: &Vec<f64>| Arm { name: String::new(), values: values.clone() };
            let _ = receipt(&[arm(&base), arm(&changed)], &options);
        }
        let options = DriftOptions { tolerance, confidence, noise, resolution: Bytes(resolution) };
        let _ = drift(&base, &options);
        let _ = plimsoll_analysis::law::check_target(&base, Bytes(resolution), confidence);
    }

    #[test]
    fn the_interval_holds_the_value_and_the_claim_follows_it(
        base in repeats(),
        changed in repeats(),
    ) {
        let found = compare(&base, &changed, &ComparisonOptions::default());
        let difference = found.difference.unwrap();
        prop_assert!(difference.low <= difference.value && difference.value <= difference.high);
        let expected = if difference.high < 0.0 {
            Claim::Saved
        } else if difference.low > 0.0 {
            Claim::Grew
        } else {
            Claim::Indistinguishable
        };
        prop_assert_eq!(found.claim, expected);
        prop_assert!(found.detectable.unwrap() >= found.noise.unwrap());
    }

    #[test]
    fn swapped_arms_mirror_the_difference(base in repeats(), changed in repeats()) {
        for pairing in [Pairing::Independent, Pairing::Rounds] {
            let there = compare(&base, &changed, &options(pairing));
            let back = compare(&changed, &base, &options(pairing));
            let (a, b) = (there.difference.unwrap(), back.difference.unwrap());
            let scale = a.high - a.low;
            prop_assert!(near(a.value, -b.value, scale) && near(a.low, -b.high, scale));
            prop_assert_eq!(there.needed, back.needed);
            if let (Some(a), Some(b)) = (there.ratio, back.ratio) {
                prop_assert!(near(a.value, 1.0 / b.value, a.value));
                prop_assert!(near(a.low, 1.0 / b.high, a.value), "{:?} {:?}", a, b);
            }
        }
    }

    #[test]
    fn other_units_change_only_the_unit(
        base in repeats(),
        changed in repeats(),
        scale in 1u64..1_000_000,
    ) {
        let options = ComparisonOptions { resolution: Bytes(512), ..ComparisonOptions::default() };
        let in_scale = ComparisonOptions { resolution: Bytes(512 * scale), ..options };
        let scaled = |values: &[f64]| values.iter().map(|v| v * scale as f64).collect::<Vec<_>>();
        let a = compare(&base, &changed, &options);
        let b = compare(&scaled(&base), &scaled(&changed), &in_scale);
        prop_assert_eq!(a.claim, b.claim);
        let (noise, other) = (a.noise.unwrap() * scale as f64, b.noise.unwrap());
        prop_assert!(near(noise, other, noise));
        prop_assert_eq!(a.ratio.is_some(), b.ratio.is_some());
    }
}
