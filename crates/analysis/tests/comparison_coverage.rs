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

const EXPERIMENTS: usize = 4_000;
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

const NOISES: [Noise; 7] = [
    Noise::Normal(0.01),
    Noise::LogNormal(0.1),
    Noise::LogNormal(0.5),
    Noise::LogNormal(1.0),
    Noise::Quantised(0.75),
    Noise::Quantised(2.0),
    Noise::Quantised(10.0),
];

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    difference: f64,
    ratio: f64,
    claimed: f64,
    claimed_wrongly: f64,
}

fn holds(estimate: &Estimate, truth: f64) -> f64 {
    f64::from(u8::from(estimate.low <= truth && truth <= estimate.high))
}

/// `changed_level` against [`LEVEL`]; in pairs each round shifts both arms by the same normal.
fn simulate(noise: Noise, repeats: usize, changed_level: f64, pairing: Pairing) -> Rates {
    let options = ComparisonOptions {
        pairing,
        ..ComparisonOptions::default()
    };
    let mut rng = Rng::with_seed(repeats as u64 * 1009);
    let mut rates = Rates::default();
    for _ in 0..EXPERIMENTS {
        // Levels lie anywhere between two pages.
        let offset = PAGE * rng.f64();
        let (mut base, mut changed) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            let round = match pairing {
                Pairing::Rounds => 0.02 * LEVEL * normal(&mut rng),
                Pairing::Independent => 0.0,
            };
            base.push(noise.draw(&mut rng, LEVEL + offset) + round);
            changed.push(noise.draw(&mut rng, changed_level + offset) + round);
        }
        let found = compare(&base, &changed, &options);
        rates.difference += holds(&found.difference.unwrap(), changed_level - LEVEL);
        let ratio = (changed_level + offset) / (LEVEL + offset);
        rates.ratio += found.ratio.map_or(1.0, |r| holds(&r, ratio));
        rates.claimed += f64::from(u8::from(found.claim != Claim::Indistinguishable));
        let wrong = match found.claim {
            Claim::Saved => changed_level >= LEVEL,
            Claim::Grew => changed_level <= LEVEL,
            Claim::Indistinguishable => false,
        };
        rates.claimed_wrongly += f64::from(u8::from(wrong));
    }
    let percent = |sum: f64| 100.0 * sum / EXPERIMENTS as f64;
    Rates {
        difference: percent(rates.difference),
        ratio: percent(rates.ratio),
        claimed: percent(rates.claimed),
        claimed_wrongly: percent(rates.claimed_wrongly),
    }
}

#[test]
fn intervals_hold_the_difference_as_often_as_they_say() {
    println!("coverage of 95 % intervals: difference (ratio), and claims where nothing changed");
    for pairing in [Pairing::Independent, Pairing::Rounds] {
        for noise in NOISES {
            for repeats in [3, 5, 8, 12] {
                let shifted = simulate(noise, repeats, 0.97 * LEVEL, pairing);
                let none = simulate(noise, repeats, LEVEL, pairing);
                println!(
                    "{:<12} {:<18} {repeats:>2} repeats: {:.1} % ({:.1} %), {:.1} %",
                    format!("{pairing:?}"),
                    format!("{noise:?}"),
                    shifted.difference,
                    shifted.ratio,
                    none.claimed_wrongly
                );
            }
        }
    }
}
