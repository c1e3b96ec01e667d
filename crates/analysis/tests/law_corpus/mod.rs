//! Peaks of programs whose law is known: every law, with and without an intercept, over two and
//! three decades, with 0, 1 and 5 % of noise, five runs a size, rounded to pages.

use fastrand::Rng;
use plimsoll_model::{LawClass, SizedPeak};

const MIB: f64 = 1024.0 * 1024.0;
const REPEATS: usize = 5;

/// A law that a program can follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Truth {
    pub(crate) name: &'static str,
    pub(crate) class: LawClass,
    /// 0 for those that are no power.
    pub(crate) exponent: f64,
}

pub(crate) const TRUTHS: [Truth; 12] = [
    truth("constant", LawClass::Constant, 0.0),
    truth("log n", LawClass::Logarithmic, 0.0),
    truth("n^0.5", LawClass::Power, 0.5),
    truth("n^0.7", LawClass::Power, 0.7),
    truth("n", LawClass::Linear, 1.0),
    truth("n log n", LawClass::Linearithmic, 0.0),
    truth("n^1.3", LawClass::Power, 1.3),
    truth("n^1.5", LawClass::Power, 1.5),
    truth("n^2", LawClass::Quadratic, 2.0),
    truth("n^2.5", LawClass::Power, 2.5),
    truth("n^3", LawClass::Power, 3.0),
    truth("doubling steps", LawClass::Staircase, 0.0),
];

const fn truth(name: &'static str, class: LawClass, exponent: f64) -> Truth {
    Truth {
        name,
        class,
        exponent,
    }
}

impl Truth {
    fn shape(&self, n: f64) -> f64 {
        match self.class {
            LawClass::Constant => 0.0,
            LawClass::Logarithmic => n.ln(),
            LawClass::Linear => n,
            LawClass::Linearithmic => n * n.ln(),
            LawClass::Quadratic => n * n,
            LawClass::Power => n.powf(self.exponent),
            LawClass::Staircase => n.log2().ceil().exp2(),
        }
    }
}

/// What a program needs for no items, beside what the items need at the largest size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Intercept {
    None,
    /// The items need 1 to 20 times as much.
    Small,
    /// The items need 1/10 to 1 times as much: most sizes hardly differ.
    Large,
}

pub(crate) const INTERCEPTS: [Intercept; 3] = [Intercept::None, Intercept::Small, Intercept::Large];

/// One measured program.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) truth: Truth,
    pub(crate) intercept: Intercept,
    pub(crate) decades: u32,
    pub(crate) noise: f64,
    pub(crate) points: Vec<SizedPeak>,
}

pub(crate) const NOISES: [f64; 3] = [0.0, 0.01, 0.05];

/// The whole corpus, `copies` programs of each kind. The same seed gives the same corpus.
pub(crate) fn corpus(copies: usize, seed: u64) -> Vec<Case> {
    let mut rng = Rng::with_seed(seed);
    let mut cases = Vec::new();
    for noise in NOISES {
        for decades in [2, 3] {
            for intercept in INTERCEPTS {
                for truth in TRUTHS {
                    for _ in 0..copies {
                        cases.push(case(&mut rng, truth, intercept, decades, noise));
                    }
                }
            }
        }
    }
    cases
}

/// Four sizes a decade from 100 on, each moved by up to 10 % so that they miss no step.
fn case(rng: &mut Rng, truth: Truth, intercept: Intercept, decades: u32, noise: f64) -> Case {
    let n_max = 100.0 * 10_f64.powi(decades as i32);
    // What the program needs for no items, and what the items add up to at the largest size.
    let (base, rise) = match intercept {
        Intercept::None if truth.class != LawClass::Constant => {
            (0.0, 64.0 * MIB * 20_f64.powf(rng.f64()))
        }
        Intercept::None | Intercept::Small => (64.0 * MIB, 64.0 * MIB * 20_f64.powf(rng.f64())),
        Intercept::Large => (256.0 * MIB, 25.6 * MIB * 10_f64.powf(rng.f64())),
    };
    let mut points = Vec::new();
    for k in 0..=4 * decades {
        let jitter = 0.9 + 0.2 * rng.f64();
        let n = (100.0 * 10_f64.powf(f64::from(k) / 4.0) * jitter).round();
        let share = if truth.class == LawClass::Constant {
            0.0
        } else {
            truth.shape(n) / truth.shape(n_max)
        };
        for _ in 0..REPEATS {
            let bytes = (base + rise * share) * (1.0 + noise * normal(rng));
            let bytes = (bytes.max(0.0) / 4096.0).ceil() * 4096.0;
            points.push(SizedPeak { n, bytes });
        }
    }
    Case {
        truth,
        intercept,
        decades,
        noise,
        points,
    }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}
