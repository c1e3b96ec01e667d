//! Which laws the data cannot be told from: AICc over the distinct sizes.
//!
//! The likelihood is that of size means whose variance is the one that repeats show, or a larger
//! one if the law misses the means by more: `N ln v + squares / v` with `v = max(v_min,
//! squares / N)`. Repeats thus sharpen the judgement, but many repeats of one size are never taken
//! for many sizes, and a law that misfits a little is not condemned for repeats that are equal.

use plimsoll_model::LawClass;

use super::candidate::{Candidate, EXPONENTS_GIVEN, fit_class, fit_given_power};
use super::shape::LOADS;
use super::sizes::Sizes;

/// AICc by which all other laws must be worse for one to be named: an evidence ratio of e² ≈ 7.4
/// (Burnham & Anderson 2002, 2.6: "considerably less support" from 4 on).
pub(super) const DELTA_NAMED: f64 = 4.0;

/// A candidate and what speaks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) candidate: Candidate,
    pub(super) aicc: f64,
    pub(super) bic: f64,
    /// What `aicc` has too much if the law is to be excluded, not named.
    choice: f64,
}

/// Every class that can be fitted, best first; the power law twice, with its exponent sought and
/// with the best of the given ones.
///
/// A constant is left out where the repeats alone show a rise: of few sizes AICc holds against a law
/// each parameter more than it can gain, and would take "none of them fits" for "none is needed".
pub(super) fn score_all(sizes: &Sizes) -> Vec<Scored> {
    let rises = sizes.rises();
    let mut scored: Vec<Scored> = LawClass::ALL
        .iter()
        .filter(|class| !(rises && **class == LawClass::Constant))
        .filter_map(|&class| fit_class(sizes, class))
        .chain(fit_given_power(sizes))
        .map(|candidate| score(sizes, candidate))
        .collect();
    scored.sort_by(|a, b| a.aicc.total_cmp(&b.aicc));
    scored
}

pub(super) fn score(sizes: &Sizes, candidate: Candidate) -> Scored {
    let count = sizes.len() as f64;
    let variance = (candidate.squares / count).max(sizes.variance_min);
    let deviance = count * variance.ln() + candidate.squares / variance;
    // The spread is a parameter too.
    let k = candidate.parameters() as f64 + 1.0;
    // With as many parameters as sizes the correction is not defined; the strictest one is taken.
    let room = (count - k - 1.0).max(1.0);
    // The best of several is one choice among so many equally likely ones: that counts against
    // naming it, and not for excluding it.
    let variants = match candidate.class() {
        LawClass::Staircase => LOADS.len(),
        LawClass::Power if !candidate.sought => EXPONENTS_GIVEN.len(),
        _ => 1,
    };
    let choice = 2.0 * (variants as f64).ln();
    Scored {
        candidate,
        aicc: deviance + 2.0 * k + 2.0 * k * (k + 1.0) / room + choice,
        bic: deviance + k * count.ln() + choice,
        choice,
    }
}

/// Akaike weights in the order of `scored`.
pub(super) fn weights(scored: &[Scored]) -> Vec<f64> {
    let best = scored.first().map_or(0.0, |s| s.aicc);
    let raw: Vec<f64> = scored
        .iter()
        .map(|s| ((best - s.aicc) / 2.0).exp())
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|w| w / sum).collect()
}

/// The laws that cannot be told apart, best first and each class once, out of `scored` (best
/// first). A named law must be better by [`DELTA_NAMED`] even than the best of several variants,
/// whose choice is held against it only where it would be named itself.
///
/// Where one law contains another, the larger one must be better to be kept at all: a constant is
/// every law without a rise, and a power law whose exponent is sought comes as near as one likes to
/// each simple law. Powers of given exponents contain none and are kept as any other: what cannot
/// be told from n^1.5 is not called n².
pub(super) fn inseparable(scored: &[Scored]) -> Vec<Scored> {
    let Some(best) = scored.first() else {
        return Vec::new();
    };
    if best.candidate.class() == LawClass::Constant {
        return vec![*best];
    }
    let mut kept: Vec<Scored> = Vec::new();
    let near = |s: &&Scored| s.aicc - s.choice - best.aicc < DELTA_NAMED;
    for law in scored.iter().filter(near) {
        let contained = law.candidate.sought
            && kept
                .iter()
                .any(|k| k.candidate.class() != LawClass::Staircase);
        let known = kept
            .iter()
            .any(|k| k.candidate.class() == law.candidate.class());
        if !contained && !known {
            kept.push(*law);
        }
    }
    kept
}

/// The best of each class.
pub(super) fn once_each(scored: &[Scored]) -> Vec<Scored> {
    let mut once: Vec<Scored> = Vec::new();
    for law in scored {
        if once
            .iter()
            .all(|o| o.candidate.class() != law.candidate.class())
        {
            once.push(*law);
        }
    }
    once
}

/// Sizes tried in the search for one that separates: ten a decade over three decades.
const SEPARATING_STEPS: i32 = 30;

/// The least size above the largest which, run as often as the others, would tell the two laws
/// apart whichever is true; none up to 1000 times the largest.
pub(super) fn separating_size(sizes: &Sizes, a: &Candidate, b: &Candidate) -> Option<f64> {
    (1..=SEPARATING_STEPS)
        .map(|k| sizes.n_max() * 10_f64.powf(f64::from(k) / 10.0))
        .find(|&n| {
            told_apart(sizes, n, a, b) >= DELTA_NAMED && told_apart(sizes, n, b, a) >= DELTA_NAMED
        })
}

/// AICc by which `other` would be worse if `truth` held and size `n` were run too.
fn told_apart(sizes: &Sizes, n: f64, truth: &Candidate, other: &Candidate) -> f64 {
    let means = sizes.n.iter().map(|&n| truth.at(n)).collect();
    let mut imagined = sizes.with_means(means);
    imagined.push(n, truth.at(n));
    let count = imagined.len() as f64;
    // What noise leaves of squares even where the law is the true one.
    let variance = (truth.squares / sizes.len() as f64).max(sizes.variance_min);
    let of_truth = noisy(score(&imagined, *truth).candidate, variance * count, 0.0);
    let refitted = other.refit(&imagined);
    let of_other = noisy(refitted, variance * count, refitted.squares);
    score(&imagined, of_other).aicc - score(&imagined, of_truth).aicc
}

fn noisy(candidate: Candidate, noise: f64, misfit: f64) -> Candidate {
    Candidate {
        squares: noise + misfit,
        ..candidate
    }
}
