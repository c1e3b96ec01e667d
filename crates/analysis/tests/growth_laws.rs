//! Laws found in the corpus of known laws, beside what the one-coefficient fit of google/benchmark
//! makes of the same data. `cargo test -p plimsoll-analysis --test growth_laws -- --nocapture`
//! prints the tables.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod law_corpus;

use law_corpus::{Case, INTERCEPTS, NOISES, TRUTHS, Truth, corpus};
use plimsoll_analysis::law::{LawOptions, fit};
use plimsoll_model::{LawClass, SizedPeak};

const COPIES: usize = 40;
const SEED: u64 = 20_261;

/// How often an answer was right, a set with the right law in it, or wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    alone: usize,
    in_set: usize,
    wrong: usize,
}

impl Score {
    fn add(&mut self, classes: &[LawClass], truth: &Truth) {
        if !classes.contains(&truth.class) {
            self.wrong += 1;
        } else if classes.len() == 1 {
            self.alone += 1;
        } else {
            self.in_set += 1;
        }
    }

    fn total(&self) -> f64 {
        (self.alone + self.in_set + self.wrong) as f64
    }

    fn wrong_rate(&self) -> f64 {
        self.wrong as f64 / self.total()
    }

    fn alone_rate(&self) -> f64 {
        self.alone as f64 / self.total()
    }
}

fn classify(case: &Case) -> Vec<LawClass> {
    let options = LawOptions {
        resamples: 0,
        ..LawOptions::default()
    };
    fit(&case.points, &options).unwrap().classes
}

type Answer = (Case, Vec<LawClass>);

fn score(answers: &[Answer], keep: impl Fn(&Case) -> bool) -> Score {
    let mut score = Score::default();
    for (case, classes) in answers.iter().filter(|(case, _)| keep(case)) {
        score.add(classes, &case.truth);
    }
    score
}

fn google_of(answers: &[Answer], keep: impl Fn(&Case) -> bool) -> String {
    let cases: Vec<&Case> = answers.iter().map(|a| &a.0).filter(|c| keep(c)).collect();
    google_rate(&cases).map_or("-".to_owned(), |rate| format!("{:.1}%", 100.0 * rate))
}

fn print_table(answers: &[Answer]) {
    println!("noise decades intercept law              alone in-set wrong   google");
    for noise in NOISES {
        for decades in [2, 3] {
            for intercept in INTERCEPTS {
                for truth in TRUTHS {
                    let keep = |c: &Case| {
                        (c.noise, c.decades, c.intercept) == (noise, decades, intercept)
                            && c.truth == truth
                    };
                    let s = score(answers, keep);
                    println!(
                        "{:>4.0}% {decades:>7} {:>9} {:<15} {:>6} {:>6} {:>5} {:>8}",
                        100.0 * noise,
                        format!("{intercept:?}"),
                        truth.name,
                        s.alone,
                        s.in_set,
                        s.wrong,
                        google_of(answers, keep),
                    );
                }
            }
        }
    }
}

fn print_summary(answers: &[Answer]) {
    println!("\nnoise intercept  alone in-set  wrong   google (of the laws that it offers)");
    for noise in NOISES {
        for intercept in INTERCEPTS {
            let keep = |c: &Case| c.noise == noise && c.intercept == intercept;
            let s = score(answers, keep);
            println!(
                "{:>4.0}% {:>9} {:>5.1}% {:>5.1}% {:>5.2}% {:>8}",
                100.0 * noise,
                format!("{intercept:?}"),
                100.0 * s.alone_rate(),
                100.0 * s.in_set as f64 / s.total(),
                100.0 * s.wrong_rate(),
                google_of(answers, keep),
            );
        }
    }
}

#[test]
fn the_right_law_is_named_or_in_the_set() {
    let answers: Vec<Answer> = corpus(COPIES, SEED)
        .into_iter()
        .map(|case| {
            let classes = classify(&case);
            (case, classes)
        })
        .collect();
    print_table(&answers);
    print_summary(&answers);
    assert_eq!(score(&answers, |c| c.noise == 0.0).wrong, 0);
    assert!(score(&answers, |c| c.noise == 0.01).wrong_rate() <= 0.02);
    assert!(score(&answers, |c| c.noise == 0.05).wrong_rate() <= 0.05);
    for truth in TRUTHS {
        let at_best = |c: &Case| c.noise == 0.01 && c.decades == 3 && c.truth == truth;
        let s = score(&answers, at_best);
        assert!(s.alone_rate() > 0.5, "{}: {s:?}", truth.name);
    }
}

/// How often google/benchmark's `Complexity(oAuto)` finds the law, among the laws that it offers.
fn google_rate(cases: &[&Case]) -> Option<f64> {
    let known: Vec<bool> = cases
        .iter()
        .filter_map(|c| google_name(&c.truth).map(|name| google_fit(&c.points) == name))
        .collect();
    let right = known.iter().filter(|right| **right).count();
    (!known.is_empty()).then(|| right as f64 / known.len() as f64)
}

fn google_name(truth: &Truth) -> Option<&'static str> {
    GOOGLE
        .iter()
        .map(|(name, _)| *name)
        .find(|name| *name == truth.name)
}

type Curve = fn(f64) -> f64;

const GOOGLE: [(&str, Curve); 6] = [
    ("constant", |_| 1.0),
    ("log n", f64::log2),
    ("n", |n| n),
    ("n log n", |n| n * n.log2()),
    ("n^2", |n| n * n),
    ("n^3", |n| n.powi(3)),
];

/// `MinimalLeastSq` of google/benchmark (src/complexity.cc at 00cc1813): one coefficient, no
/// intercept, the smallest root mean square over the mean; the first of equals.
fn google_fit(points: &[SizedPeak]) -> &'static str {
    let mean = points.iter().map(|p| p.bytes).sum::<f64>() / points.len() as f64;
    let rms = |curve: Curve| {
        let yf: f64 = points.iter().map(|p| p.bytes * curve(p.n)).sum();
        let ff: f64 = points.iter().map(|p| curve(p.n).powi(2)).sum();
        let squares: f64 = points
            .iter()
            .map(|p| (p.bytes - yf / ff * curve(p.n)).powi(2))
            .sum();
        (squares / points.len() as f64).sqrt() / mean
    };
    let mut best = GOOGLE[0];
    for candidate in GOOGLE {
        if rms(candidate.1) < rms(best.1) {
            best = candidate;
        }
    }
    best.0
}
