//! How memory grows with the size of the input: the law is named only where the data can tell it
//! from every other one, else it is a set of laws and the size at which they would part.

mod at_most;
mod candidate;
mod doubts;
mod intervals;
mod select;
mod shape;
mod sizes;
mod target;

use plimsoll_model::{
    Bytes, Fit, Law, LawClass, LawUndetermined, RunnerUp, SizedPeak, TestedRange,
};

pub use at_most::grows_at_most;
use candidate::Candidate;
use select::Scored;
use sizes::Sizes;
pub use target::check_target;

/// What is asked of the runs.
#[derive(Clone, Debug, PartialEq)]
pub struct LawOptions {
    /// Of all intervals; 0.5 to 0.999.
    pub confidence: f64,
    /// The same seed gives the same intervals on every machine.
    pub seed: u64,
    /// The size at which this is reached is asked for.
    pub budget: Option<Bytes>,
    /// Sizes at which a run is to be predicted; those that are no sizes are left out.
    pub predict_at: Vec<f64>,
    /// The peaks are rounded to this: a page for what the kernel counts, one byte for what an
    /// allocator counts.
    pub resolution: Bytes,
    /// Resamples behind each interval, at most 10 000.
    pub resamples: usize,
}

impl Default for LawOptions {
    fn default() -> LawOptions {
        LawOptions {
            confidence: 0.95,
            seed: 0,
            budget: None,
            predict_at: Vec::new(),
            resolution: Bytes(4096),
            resamples: 400,
        }
    }
}

/// Finds the law of growth in the peaks of processes, one point a process.
///
/// O(r log r + b · s) for r runs, s distinct sizes and b resamples; a dozen sizes take a few
/// milliseconds.
///
/// # Errors
/// Says what is missing or wrong where no law can be stated; see [`LawUndetermined`].
pub fn fit(points: &[SizedPeak], options: &LawOptions) -> Result<Law, LawUndetermined> {
    let sizes = Sizes::group(points, options.resolution.0 as f64)?;
    let scored = select::score_all(&sizes);
    if scored.is_empty() {
        return Err(LawUndetermined::NoneFits);
    }
    let kept = select::inseparable(&scored);
    let scored = select::once_each(&scored);
    let candidates: Vec<Candidate> = kept.iter().map(|k| k.candidate).collect();
    let intervals = intervals::estimate(&sizes, &candidates, options);
    let classes: Vec<LawClass> = candidates.iter().map(Candidate::class).collect();
    let separable_at = match candidates.as_slice() {
        [best, second, ..] => select::separating_size(&sizes, best, second),
        _ => None,
    };
    let doubts = doubts::collect(
        &sizes,
        &scored,
        &kept,
        &intervals.predictions,
        options.confidence,
    );
    Ok(Law {
        runner_up: runner_up(&scored, &classes),
        classes,
        separable_at,
        intercept: intervals.intercept,
        marginal: intervals.marginal,
        exponent: intervals.exponent,
        tested: TestedRange {
            n_min: sizes.n_min(),
            n_max: sizes.n_max(),
            sizes: sizes.len(),
            runs: sizes.runs_total(),
        },
        fits: table(&sizes, &scored),
        predictions: intervals.predictions,
        budget_at: intervals.budget_at,
        doubts,
        noise: candidates.first().map_or(0.0, |best| noise(&sizes, best)),
    })
}

fn runner_up(scored: &[Scored], classes: &[LawClass]) -> Option<RunnerUp> {
    scored
        .iter()
        .zip(select::weights(scored))
        .map(|(s, weight)| RunnerUp {
            class: s.candidate.class(),
            weight,
        })
        .find(|r| !classes.contains(&r.class))
}

fn table(sizes: &Sizes, scored: &[Scored]) -> Vec<Fit> {
    let best = scored.first().map_or(0.0, |s| s.aicc);
    scored
        .iter()
        .zip(select::weights(scored))
        .map(|(s, weight)| {
            let law = &s.candidate;
            let class = law.class();
            Fit {
                class,
                intercept: law.intercept,
                coefficient: law.rise / law.shape.unit(),
                exponent: (class == LawClass::Power).then_some(law.shape.exponent),
                load: (class == LawClass::Staircase).then_some(law.shape.load),
                aicc: s.aicc,
                delta: s.aicc - best,
                weight,
                bic: s.bic,
                residual: doubts::relative_residual(sizes, law),
                held_out_error: doubts::hold_out(sizes, class).map(|h| h.relative_error),
            }
        })
        .collect()
}

/// Relative standard deviation of single runs about the law.
fn noise(sizes: &Sizes, law: &Candidate) -> f64 {
    let squares: f64 = sizes
        .points()
        .iter()
        .map(|&(i, bytes)| {
            let fitted = law.at(sizes.n[i]);
            ((bytes - fitted) / fitted.max(1.0)).powi(2)
        })
        .sum();
    let freedom = sizes.runs_total().saturating_sub(law.parameters()).max(1);
    (squares / freedom as f64).sqrt()
}
