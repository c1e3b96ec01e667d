//! The 95 % intervals of a comparison hold the true difference in 95 ± 2 % of simulated
//! experiments, nothing is claimed where nothing changed, and what is called detectable is detected.
//! `cargo test -p plimsoll-analysis --test comparison_coverage -- --nocapture` prints the tables.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use fastrand::Rng;
use plimsoll_analysis::comparison::{ComparisonOptions, Pairing, compare};
use plimsoll_model::{Claim, Estimate};

const EXPERIMENTS: usize = 2_000;
const PAGE: f64 = 4096.0;
const LEVEL: f64 = 40_000.0 * PAGE;

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// How single runs scatter about the mean, which stays what it is.
#[derive(Clone, Copy, Debug)]
enum Noise {
    /// Standard deviation as a share of the level.
    Normal(f64),
    /// Of the logarithm; the whole value is log-normal.
    LogNormal(f64),
    /// Standard deviation in pages; values are rounded to pages.
    Quantised(f64),
}

impl Noise {
    fn draw(self, rng: &mut Rng, level: f64) -> f64 {
        match self {
            Noise::Normal(share) => level * (1.0 + share * normal(rng)),
            Noise::LogNormal(sigma) => level * (sigma * normal(rng) - sigma * sigma / 2.0).exp(),
            Noise::Quantised(pages) => (level / PAGE + pages * normal(rng)).round() * PAGE,
        }
    }
}

const NOISES: [Noise; 5] = [
    Noise::Normal(0.01),
    Noise::LogNormal(0.1),
    Noise::LogNormal(0.5),
    Noise::Quantised(0.75),
    Noise::Quantised(3.0),
];

/// The mean of this is 1.6 times its median: here Student's t holds up to 98 %.
const WILD: Noise = Noise::LogNormal(1.0);

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    difference: f64,
    ratio: f64,
    claimed: f64,
    detectable: f64,
}

fn holds(estimate: &Estimate, truth: f64) -> f64 {
    f64::from(u8::from(estimate.low <= truth && truth <= estimate.high))
}

/// One experiment design; in rounds each round shifts both arms by the same normal.
#[derive(Clone, Copy, Debug)]
struct Design {
    base: Noise,
    changed: Noise,
    repeats: usize,
    pairing: Pairing,
}

/// Percentages over many experiments in which the mean goes from [`LEVEL`] to `changed_level`.
fn simulate(design: Design, changed_level: f64) -> Rates {
    let Design { pairing, .. } = design;
    let options = ComparisonOptions {
        pairing,
        ..ComparisonOptions::default()
    };
    let mut rng = Rng::with_seed(design.repeats as u64 * 1009 + changed_level as u64);
    let mut rates = Rates::default();
    for _ in 0..EXPERIMENTS {
        // Levels lie anywhere between two pages.
        let offset = PAGE * rng.f64();
        let (mut base, mut changed) = (Vec::new(), Vec::new());
        for _ in 0..design.repeats {
            let round = match pairing {
                Pairing::Rounds => 0.02 * LEVEL * normal(&mut rng),
                Pairing::Independent => 0.0,
            };
            base.push(design.base.draw(&mut rng, LEVEL + offset) + round);
            changed.push(design.changed.draw(&mut rng, changed_level + offset) + round);
        }
        let found = compare(&base, &changed, &options);
        rates.difference += holds(&found.difference.unwrap(), changed_level - LEVEL);
        let ratio = (changed_level + offset) / (LEVEL + offset);
        rates.ratio += found.ratio.map_or(1.0, |r| holds(&r, ratio));
        rates.claimed += f64::from(u8::from(found.claim != Claim::Indistinguishable));
        rates.detectable += found.detectable.unwrap();
    }
    let share = |sum: f64| sum / EXPERIMENTS as f64;
    Rates {
        difference: 100.0 * share(rates.difference),
        ratio: 100.0 * share(rates.ratio),
        claimed: 100.0 * share(rates.claimed),
        detectable: share(rates.detectable),
    }
}

fn print_rates(design: Design) -> (Rates, Rates) {
    let (shifted, same) = (simulate(design, 0.97 * LEVEL), simulate(design, LEVEL));
    println!(
        "{:<12} {:<16} {:<16} {:>2} repeats: {:.1} % ({:.1} %), {:.1} %",
        format!("{:?}", design.pairing),
        format!("{:?}", design.base),
        format!("{:?}", design.changed),
        design.repeats,
        shifted.difference,
        shifted.ratio,
        same.claimed
    );
    (shifted, same)
}

#[test]
fn intervals_hold_the_difference_as_often_as_they_say() {
    println!("coverage of 95 % intervals: difference (ratio), and claims where nothing changed");
    for pairing in [Pairing::Independent, Pairing::Rounds] {
        for noise in NOISES {
            for repeats in [5, 8, 12] {
                let (shifted, same) = print_rates(Design {
                    base: noise,
                    changed: noise,
                    repeats,
                    pairing,
                });
                for coverage in [shifted.difference, shifted.ratio, 100.0 - same.claimed] {
                    assert!((93.0..=97.0).contains(&coverage), "{noise:?} {coverage}");
                }
                // 5 % and twice the standard error of so many experiments.
                assert!(same.claimed <= 6.0, "{noise:?} {}", same.claimed);
            }
        }
    }
}

#[test]
fn where_student_falls_short_it_is_known_by_how_much() {
    for repeats in [5, 8, 12] {
        let (wild, _) = print_rates(Design {
            base: WILD,
            changed: WILD,
            repeats,
            pairing: Pairing::Independent,
        });
        assert!((93.0..=99.0).contains(&wild.difference));
        // Where the change takes a long tail away the skews no longer cancel.
        let (tamed, _) = print_rates(Design {
            base: Noise::LogNormal(0.5),
            changed: Noise::Normal(0.01),
            repeats,
            pairing: Pairing::Independent,
        });
        assert!((88.0..=97.0).contains(&tamed.difference));
    }
}

#[test]
fn what_is_called_detectable_is_told_in_four_of_five_tries() {
    for pairing in [Pairing::Independent, Pairing::Rounds] {
        for repeats in [5, 8, 12] {
            let design = Design {
                base: Noise::Normal(0.01),
                changed: Noise::Normal(0.01),
                repeats,
                pairing,
            };
            let detectable = simulate(design, LEVEL).detectable;
            let told = simulate(design, LEVEL - detectable).claimed;
            let half = simulate(design, LEVEL - detectable / 2.0).claimed;
            println!(
                "{pairing:?} {repeats} repeats: {:.2} % of the level is told in {told:.0} %, half \
                 of it in {half:.0} %",
                100.0 * detectable / LEVEL
            );
            assert!((74.0..=88.0).contains(&told), "{told}");
        }
    }
}
