//! Peaks of programs whose law is known: every law, with and without an intercept, over two and
//! three decades, with 0, 1 and 5 % of noise, five runs a size, rounded to pages.

use fastrand::Rng;
use plimsoll_model::{LawClass, SizedPeak};

const MIB: f64 = 1024.0 * 1024.0;
const REPEATS: usize = 5;

/// A law that a program can follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    pub name: &'static str,
    pub class: LawClass,
    /// 0 for those that are no power.
    pub exponent: f64,
}

pub const TRUTHS: [Truth; 9] = [
    truth("constant", LawClass::Constant, 0.0),
    truth("log n", LawClass::Logarithmic, 0.0),
    truth("n^0.5", LawClass::Power, 0.5),
    truth("n", LawClass::Linear, 1.0),
    truth("n log n", LawClass::Linearithmic, 0.0),
    truth("n^1.5", LawClass::Power, 1.5),
    truth("n^2", LawClass::Quadratic, 2.0),
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

/// One measured program.
#[derive(Clone, Debug)]
pub struct Case {
    pub truth: Truth,
    pub has_intercept: bool,
    pub decades: u32,
    pub noise: f64,
    pub points: Vec<SizedPeak>,
}

pub const NOISES: [f64; 3] = [0.0, 0.01, 0.05];

/// The whole corpus, `copies` programs of each kind. The same seed gives the same corpus.
pub fn corpus(copies: usize, seed: u64) -> Vec<Case> {
    let mut rng = Rng::with_seed(seed);
    let mut cases = Vec::new();
    for noise in NOISES {
        for decades in [2, 3] {
            for has_intercept in [false, true] {
                for truth in TRUTHS {
                    for _ in 0..copies {
                        cases.push(case(&mut rng, truth, has_intercept, decades, noise));
                    }
                }
            }
        }
    }
    cases
}

/// Four sizes a decade from 100 on, each moved by up to 10 % so that they miss no step.
fn case(rng: &mut Rng, truth: Truth, has_intercept: bool, decades: u32, noise: f64) -> Case {
    let n_max = 100.0 * 10_f64.powi(decades as i32);
    // The input's share at the largest size is 1 to 20 times the intercept's.
    let intercept = if has_intercept || truth.class == LawClass::Constant {
        64.0 * MIB
    } else {
        0.0
    };
    let rise = 64.0 * MIB * 20_f64.powf(rng.f64());
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
            let bytes = (intercept + rise * share) * (1.0 + noise * normal(rng));
            let bytes = (bytes.max(0.0) / 4096.0).ceil() * 4096.0;
            points.push(SizedPeak { n, bytes });
        }
    }
    Case {
        truth,
        has_intercept,
        decades,
        noise,
        points,
    }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}
