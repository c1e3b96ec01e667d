//! A claim about one size ("100 000 items take less than 500 MiB") tested by runs of that size, not
//! by extrapolation.

use plimsoll_model::{Bytes, Estimate, TargetCheck, TargetDoubt, Verdict};

use crate::quantile;

/// Sums of squares below this spread are rounding: the kernel counts pages of 4096 bytes.
const RESOLUTION: f64 = 4096.0;

/// Nobody runs a program oftener than this to settle one claim.
const RUNS_MAX: usize = 1000;

/// Tests whether runs stay below `limit`, with one-sided `confidence` (0.5 to 0.999).
///
/// *Holds*: every run was below, and so is the bound below which the next run falls with that
/// confidence: mean + t · s · √(1 + 1/r), the greater of that of the bytes and that of their
/// logarithms, for peaks are skewed. *Fails*: the mean lies above the limit by more than its
/// interval. Else *inconclusive*. Deterministic; O(r).
#[must_use]
pub fn check_target(peaks: &[f64], limit: Bytes, confidence: f64) -> TargetCheck {
    let confidence = quantile::bounded_confidence(confidence);
    let bytes = limit.0 as f64;
    let runs_over = peaks.iter().filter(|p| **p >= bytes).count();
    let mut check = TargetCheck {
        verdict: Verdict::Inconclusive,
        limit,
        runs: peaks.len(),
        runs_over,
        worst: peaks.iter().copied().fold(0.0, f64::max),
        mean: None,
        upper: None,
        share_over_max: share_over_max(peaks.len(), runs_over, confidence),
        more_runs: None,
        reason: None,
    };
    if peaks.iter().any(|p| !(p.is_finite() && *p >= 0.0)) {
        check.reason = Some(TargetDoubt::InvalidPeak);
        return check;
    }
    if peaks.len() < 2 {
        check.reason = Some(TargetDoubt::TooFewRuns);
        check.more_runs = Some(3 - peaks.len());
        return check;
    }
    let spread = Spread::of(peaks);
    check.mean = Some(spread.mean_interval(confidence));
    check.upper = Some(spread.next_run_below(confidence, peaks.len()));
    check.verdict = spread.verdict(bytes, runs_over, confidence, peaks.len());
    if check.verdict == Verdict::Inconclusive {
        check.reason = Some(TargetDoubt::LimitWithinSpread);
        check.more_runs = (peaks.len() + 1..=RUNS_MAX)
            .find(|&r| spread.verdict(bytes, runs_over, confidence, r) != Verdict::Inconclusive)
            .map(|r| r - peaks.len());
    }
    check
}

struct Spread {
    runs: usize,
    mean: f64,
    sd: f64,
    /// Of the logarithms; absent where a peak is 0.
    logarithmic: Option<(f64, f64)>,
}

impl Spread {
    fn of(peaks: &[f64]) -> Spread {
        let mean = quantile::mean(peaks);
        // Rounding to pages leaves this much even where all runs are equal.
        let rounding = RESOLUTION / 12_f64.sqrt();
        let logarithmic = (peaks.iter().all(|p| *p > 0.0)).then(|| {
            let logarithms: Vec<f64> = peaks.iter().map(|p| p.ln()).collect();
            (
                quantile::mean(&logarithms),
                quantile::variance(&logarithms).sqrt(),
            )
        });
        Spread {
            runs: peaks.len(),
            mean,
            sd: quantile::variance(peaks).sqrt().max(rounding),
            logarithmic,
        }
    }

    fn mean_interval(&self, confidence: f64) -> Estimate {
        let t = quantile::student(quantile::upper_tail(confidence), self.runs as f64 - 1.0);
        let half = t * self.sd / (self.runs as f64).sqrt();
        Estimate {
            value: self.mean,
            low: self.mean - half,
            high: self.mean + half,
        }
    }

    /// As if there were `runs` of them with this mean and spread.
    fn next_run_below(&self, confidence: f64, runs: usize) -> f64 {
        let runs = runs as f64;
        let reach = quantile::student(confidence, runs - 1.0) * (1.0 + 1.0 / runs).sqrt();
        let plain = self.mean + reach * self.sd;
        match self.logarithmic {
            Some((mean, sd)) => plain.max((mean + reach * sd).exp()),
            None => plain,
        }
    }

    fn verdict(&self, limit: f64, over: usize, confidence: f64, runs: usize) -> Verdict {
        let t = quantile::student(confidence, runs as f64 - 1.0);
        if over == 0 && self.next_run_below(confidence, runs) < limit {
            Verdict::Holds
        } else if self.mean - t * self.sd / (runs as f64).sqrt() > limit {
            Verdict::Fails
        } else {
            Verdict::Inconclusive
        }
    }
}

/// One-sided upper bound of a share of which `over` of `runs` were seen (Clopper & Pearson 1934).
fn share_over_max(runs: usize, over: usize, confidence: f64) -> f64 {
    if over >= runs {
        return 1.0;
    }
    // The bound p is where seeing so few has probability 1 - confidence; that falls with p.
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..50 {
        let p = f64::midpoint(low, high);
        if statrs::function::beta::beta_reg((over + 1) as f64, (runs - over) as f64, p) < confidence
        {
            low = p;
        } else {
            high = p;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    fn check(peaks_mib: &[f64], expected: Verdict) -> TargetCheck {
        let peaks: Vec<f64> = peaks_mib.iter().map(|p| p * MIB).collect();
        let check = check_target(&peaks, Bytes::mib(500), 0.95);
        assert_eq!(check.verdict, expected, "{check:?}");
        check
    }

    #[test]
    fn a_claim_far_from_its_limit_is_settled_by_three_runs() {
        check(&[400.0, 402.0, 399.0], Verdict::Holds);
        check(&[872.0, 878.0, 875.0], Verdict::Fails);
        check(&[872.0, 872.0], Verdict::Fails);
    }

    #[test]
    fn a_claim_near_its_limit_says_how_many_runs_it_needs() {
        let near = check(&[494.0, 488.0, 496.0], Verdict::Inconclusive);
        assert!(near.more_runs.is_some(), "{near:?}");
        let astride = check(&[480.0, 520.0, 499.0], Verdict::Inconclusive);
        assert_eq!(astride.runs_over, 1);
        assert_eq!(astride.more_runs, None);
    }

    #[test]
    fn too_little_is_said_to_be_too_little() {
        assert_eq!(
            check(&[872.0], Verdict::Inconclusive).reason,
            Some(TargetDoubt::TooFewRuns)
        );
        assert_eq!(check(&[], Verdict::Inconclusive).more_runs, Some(3));
        assert_eq!(
            check(&[f64::NAN, 1.0], Verdict::Inconclusive).reason,
            Some(TargetDoubt::InvalidPeak)
        );
    }

    #[test]
    fn counting_alone_says_little_of_few_runs() {
        assert!((share_over_max(3, 0, 0.95) - 0.6316).abs() < 1e-3);
        assert!((share_over_max(59, 0, 0.95) - 0.0495).abs() < 1e-3);
        assert_eq!(share_over_max(2, 2, 0.95), 1.0);
    }
}
