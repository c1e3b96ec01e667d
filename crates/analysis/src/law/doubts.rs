//! What speaks against a law that was found: range, repeats, pattern in the residuals, the largest
//! size held out, BIC.

use plimsoll_model::{LawClass, LawDoubt, Prediction};
use statrs::function::gamma::ln_gamma;

use super::candidate::{Candidate, fit_class};
use super::select::Scored;
use super::sizes::{SIZES_MIN, Sizes};
use crate::quantile;

/// Sizes and range that are advised: below, n and n log n are seldom told apart.
const SIZES_ADVISED: usize = 7;
const RANGE_ADVISED: f64 = 100.0;

/// A pattern or a fall is doubted if chance makes it less often than this.
const PROBABILITY_DOUBTED: f64 = 0.05;

/// A law that leaves more than this unexplained describes no program.
const RESIDUAL_DOUBTED: f64 = 0.2;

/// Predictions further beyond the largest size than this are doubted.
const EXTRAPOLATION_DOUBTED: f64 = 2.0;

/// More sizes than this and the runs test is taken as normal.
const RUNS_EXACT_MAX: usize = 200;

/// All doubts about the laws kept, in a fixed order.
pub(super) fn collect(
    sizes: &Sizes,
    scored: &[Scored],
    kept: &[Scored],
    predictions: &[Prediction],
    confidence: f64,
) -> Vec<LawDoubt> {
    let Some(best) = kept.first().map(|k| k.candidate) else {
        return Vec::new();
    };
    let mut doubts = of_design(sizes);
    doubts.extend(of_bic(scored, kept));
    let probability = runs_probability(&signs(sizes, &best));
    if probability < PROBABILITY_DOUBTED {
        doubts.push(LawDoubt::ResidualPattern { probability });
    }
    if let Some(held_out) = hold_out(sizes, best.class())
        && held_out.relative_error.abs() > held_out.allowed(confidence)
    {
        doubts.push(LawDoubt::HeldOutMissed {
            relative_error: held_out.relative_error,
            allowed: held_out.allowed(confidence),
        });
    }
    let relative_change = sizes.relative_change();
    if relative_change < -4.0 * sizes.relative_sd() {
        doubts.push(LawDoubt::Falls { relative_change });
    }
    let residual = relative_residual(sizes, &best);
    if residual > RESIDUAL_DOUBTED {
        doubts.push(LawDoubt::PoorFit { residual });
    }
    doubts.extend(
        predictions
            .iter()
            .filter(|p| p.extrapolation > EXTRAPOLATION_DOUBTED)
            .map(|p| LawDoubt::Extrapolated {
                n: p.n,
                factor: p.extrapolation,
            }),
    );
    doubts
}

fn of_design(sizes: &Sizes) -> Vec<LawDoubt> {
    let mut doubts = Vec::new();
    if sizes.len() < SIZES_ADVISED {
        doubts.push(LawDoubt::FewSizes {
            sizes: sizes.len(),
            advised: SIZES_ADVISED,
        });
    }
    let factor = sizes.n_max() / sizes.n_min();
    // 1..100 in whole numbers is two decades, whatever the last digit of a jittered size.
    if factor < RANGE_ADVISED * 0.9 {
        doubts.push(LawDoubt::NarrowRange {
            factor,
            advised: RANGE_ADVISED,
        });
    }
    if sizes.freedom == 0 {
        doubts.push(LawDoubt::NoRepeats);
    }
    let phases: Vec<f64> = sizes.n.iter().map(|n| n.log2().rem_euclid(1.0)).collect();
    if phases.iter().all(|p| (p - phases[0]).abs() < 1e-6) {
        doubts.push(LawDoubt::StepsHidden);
    }
    doubts
}

fn of_bic(scored: &[Scored], kept: &[Scored]) -> Option<LawDoubt> {
    let preferred = scored.iter().min_by(|a, b| a.bic.total_cmp(&b.bic))?;
    let class = preferred.candidate.class();
    let known = kept.iter().any(|k| k.candidate.class() == class);
    // BIC of a dozen sizes asks little of a third coefficient: a power law is no contradiction.
    (!known && class != LawClass::Power).then_some(LawDoubt::BicPrefers { class })
}

/// Root mean square of the relative residuals of the means.
pub(super) fn relative_residual(sizes: &Sizes, candidate: &Candidate) -> f64 {
    let squares: f64 = (0..sizes.len())
        .map(|i| {
            let fitted = candidate.at(sizes.n[i]);
            ((sizes.mean[i] - fitted) / fitted.max(1.0)).powi(2)
        })
        .sum();
    (squares / sizes.len() as f64).sqrt()
}

fn signs(sizes: &Sizes, candidate: &Candidate) -> Vec<bool> {
    (0..sizes.len())
        .map(|i| sizes.mean[i] - candidate.at(sizes.n[i]))
        // Residuals of rounding have no sign.
        .zip(&sizes.sd)
        .filter(|(residual, sd)| residual.abs() > 1e-6 * **sd)
        .map(|(residual, _)| residual > 0.0)
        .collect()
}

/// How often chance makes as few runs of equal signs or fewer (Wald & Wolfowitz 1940); exact up
/// to 200 sizes.
fn runs_probability(signs: &[bool]) -> f64 {
    let plus = signs.iter().filter(|s| **s).count();
    let minus = signs.len() - plus;
    if plus == 0 || minus == 0 {
        return 1.0;
    }
    let runs = 1 + signs.windows(2).filter(|w| w[0] != w[1]).count();
    let (p, m) = (plus as f64, minus as f64);
    if signs.len() > RUNS_EXACT_MAX {
        let mean = 2.0 * p * m / (p + m) + 1.0;
        let variance = (mean - 1.0) * (mean - 2.0) / (p + m - 1.0);
        return quantile::normal_below((runs as f64 - mean) / variance.sqrt());
    }
    let all = ln_choose(p + m, p);
    (2..=runs)
        .map(|r| {
            let half = (r / 2) as f64;
            let ways = |a: f64, b: f64| (ln_choose(p - 1.0, a) + ln_choose(m - 1.0, b) - all).exp();
            if r % 2 == 0 {
                2.0 * ways(half - 1.0, half - 1.0)
            } else {
                ways(half, half - 1.0) + ways(half - 1.0, half)
            }
        })
        .sum()
}

fn ln_choose(n: f64, k: f64) -> f64 {
    if k < 0.0 || k > n {
        return f64::NEG_INFINITY;
    }
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// The largest size, predicted from the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldOut {
    /// Measured less predicted, over predicted.
    pub(super) relative_error: f64,
    /// Relative standard deviation of that error.
    sd: f64,
    freedom: f64,
}

impl HeldOut {
    fn allowed(&self, confidence: f64) -> f64 {
        quantile::student(quantile::upper_tail(confidence), self.freedom) * self.sd
    }
}

/// Fits a class without the largest size; none where too few sizes remain.
pub(super) fn hold_out(sizes: &Sizes, class: LawClass) -> Option<HeldOut> {
    let rest = sizes.without_largest();
    if rest.len() < SIZES_MIN {
        return None;
    }
    let candidate = fit_class(&rest, class)?;
    let last = sizes.len() - 1;
    let predicted = candidate.at(sizes.n[last]);
    if predicted <= 0.0 {
        return None;
    }
    let freedom = rest.len().saturating_sub(candidate.parameters()).max(1) as f64;
    let misfit = candidate.squares / freedom;
    let variance = misfit.max(rest.variance_min);
    // If the repeats tell the noise, so do their degrees of freedom.
    let known = if misfit <= rest.variance_min {
        rest.freedom as f64
    } else {
        0.0
    };
    let of_mean = sizes.mean_sd(predicted, sizes.runs[last]).powi(2);
    let of_law = prediction_variance(&rest, &candidate, sizes.n[last])?;
    Some(HeldOut {
        relative_error: (sizes.mean[last] - predicted) / predicted,
        sd: (variance * (of_mean + of_law)).sqrt() / predicted,
        freedom: freedom + known,
    })
}

/// Variance of the law's value at `n` by the delta method, in units of the means' variance.
fn prediction_variance(sizes: &Sizes, candidate: &Candidate, n: f64) -> Option<f64> {
    let gradient = |n: f64| -> Vec<f64> {
        let mut gradient = Vec::with_capacity(3);
        // A coefficient at its bound 0 does not vary.
        if candidate.intercept > 0.0 {
            gradient.push(1.0);
        }
        if candidate.rise > 0.0 {
            let shape = candidate.shape.at(n);
            gradient.push(shape);
            if candidate.class() == LawClass::Power {
                gradient.push(candidate.rise * shape * (n / sizes.n_max()).ln());
            }
        }
        gradient
    };
    let at = gradient(n);
    let mut information = vec![vec![0.0; at.len()]; at.len()];
    for i in 0..sizes.len() {
        let g = gradient(sizes.n[i]);
        for (row, a) in information.iter_mut().zip(&g) {
            for (cell, b) in row.iter_mut().zip(&g) {
                *cell += a * b / sizes.sd[i].powi(2);
            }
        }
    }
    let solved = solve(information, at.clone())?;
    let variance: f64 = solved.iter().zip(&at).map(|(a, b)| a * b).sum();
    (variance.is_finite() && variance >= 0.0).then_some(variance)
}

/// Solves a small symmetric positive system by elimination; none if it is singular.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    for pivot in 0..size {
        let above = matrix[pivot].clone();
        if above[pivot].is_nan() || above[pivot] <= 0.0 {
            return None;
        }
        for row in pivot + 1..size {
            let factor = matrix[row][pivot] / above[pivot];
            for (cell, above) in matrix[row].iter_mut().zip(&above) {
                *cell -= factor * above;
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|c| matrix[row][c] * right[c]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_are_unlikely() {
        let check = |signs: &str, expected: f64| {
            let signs: Vec<bool> = signs.chars().map(|c| c == '+').collect();
            assert!((runs_probability(&signs) - expected).abs() < 1e-9);
        };
        check("++++----", 2.0 / 70.0);
        check("+++----", 2.0 / 35.0);
        check("+-+-", 1.0);
        check("++++", 1.0);
    }
}
