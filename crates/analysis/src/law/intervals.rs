//! Intervals of everything that a law says, by resampling: each law that was kept is taken for
//! true in turn, runs are drawn about it, the law is fitted anew, and the union over the laws is
//! reported.

use plimsoll_model::{Estimate, LawClass, Prediction};

use super::LawOptions;
use super::candidate::{Candidate, fit_class};
use super::sizes::{SIZE_MAX, Sizes};
use crate::quantile;
use crate::resample::{Resampler, percentile_interval};

/// More resamples do not change the first two digits of an interval.
const RESAMPLES_MAX: usize = 10_000;

/// Halvings of the search for the size that reaches a budget: 1e18 to 1e-6 of an item.
const BUDGET_STEPS: usize = 80;

#[derive(Debug)]
pub(super) struct Intervals {
    pub(super) intercept: Estimate,
    pub(super) marginal: Estimate,
    pub(super) exponent: Option<Estimate>,
    pub(super) predictions: Vec<Prediction>,
    pub(super) budget_at: Option<Estimate>,
}

/// Intervals over `kept` (best first, not empty). O(b · l · s) for b resamples, l laws and s sizes.
pub(super) fn estimate(sizes: &Sizes, kept: &[Candidate], options: &LawOptions) -> Intervals {
    let worlds: Vec<World> = kept
        .iter()
        .map(|c| World::draw(sizes, c, options))
        .collect();
    let union = |of: &dyn Fn(&World) -> Estimate| {
        let mut all = worlds.iter().map(of);
        let first = all.next().unwrap_or_default();
        all.fold(first, widened)
    };
    let mut marginal = union(&|w| w.interval(&w.candidate, |c| c.marginal()));
    if kept.iter().any(|c| c.class() == LawClass::Constant)
        && let Some(line) = fit_class(sizes, LawClass::Linear)
    {
        // What grows less than the noise may still grow: its most is that of a line.
        let world = World::draw(sizes, &line, options);
        marginal = widened(marginal, world.interval(&line, |c| c.marginal()));
        marginal.low = 0.0;
    }
    let predictions = options
        .predict_at
        .iter()
        .filter(|n| n.is_finite() && **n > 0.0 && **n <= SIZE_MAX)
        .map(|&n| Prediction {
            n,
            bytes: union(&|w| w.prediction(n)),
            extrapolation: n / sizes.n_max(),
        })
        .collect();
    let budget_at = options.budget.and_then(|budget| {
        let budget = budget.0 as f64;
        let at = union(&|w| w.interval(&w.candidate, |c| size_reaching(c, budget)));
        (at.low < SIZE_MAX).then_some(at)
    });
    Intervals {
        intercept: union(&|w| w.interval(&w.candidate, |c| c.intercept)),
        marginal,
        exponent: exponent(sizes, options),
        predictions,
        budget_at,
    }
}

fn exponent(sizes: &Sizes, options: &LawOptions) -> Option<Estimate> {
    let power = fit_class(sizes, LawClass::Power)?;
    let world = World::draw(sizes, &power, options);
    Some(world.interval(&power, |c| c.shape.exponent))
}

fn widened(estimate: Estimate, other: Estimate) -> Estimate {
    Estimate {
        value: estimate.value,
        low: estimate.low.min(other.low),
        high: estimate.high.max(other.high),
    }
}

/// What would have been fitted had other runs been drawn from one law.
struct World {
    candidate: Candidate,
    refitted: Vec<Candidate>,
    /// One further run of each resample, in standard deviations of a run.
    further: Vec<f64>,
    /// Standard deviation of one run that takes so many bytes, from `Sizes`, times this.
    spread: f64,
    sizes: Sizes,
    confidence: f64,
}

impl World {
    fn draw(sizes: &Sizes, candidate: &Candidate, options: &LawOptions) -> World {
        let residuals: Vec<f64> = sizes
            .points()
            .iter()
            .map(|&(i, bytes)| {
                let fitted = candidate.at(sizes.n[i]);
                (bytes - fitted) / sizes.run_sd(fitted)
            })
            .collect();
        let free = |count: usize| count.saturating_sub(candidate.parameters()).max(1) as f64;
        let squares: f64 = residuals.iter().map(|r| r * r).sum();
        let run_variance = (squares / free(residuals.len())).max(sizes.variance_min);
        let misfit = candidate.squares / free(sizes.len());
        let mean_variance = misfit.max(sizes.variance_min);
        // The spread is itself estimated: percentiles of resamples are widened as Student's t is
        // (Hesterberg 2015: the percentile bootstrap is too narrow for few figures).
        let freedom = if misfit <= sizes.variance_min {
            free(sizes.len()) + sizes.freedom as f64
        } else {
            free(sizes.len())
        };
        let tail = quantile::upper_tail(options.confidence);
        let widening = quantile::student(tail, freedom) / quantile::normal(tail);
        let mut resampler = Resampler::new(&residuals, options.seed);
        let count = options.resamples.min(RESAMPLES_MAX);
        let mut refitted = Vec::with_capacity(count);
        let mut further = Vec::with_capacity(count);
        for _ in 0..count {
            let means = (0..sizes.len())
                .map(|i| {
                    let fitted = candidate.at(sizes.n[i]);
                    let sd = sizes.sd[i] * mean_variance.sqrt() * widening;
                    (fitted + sd * resampler.draw_mean(sizes.runs[i])).max(0.0)
                })
                .collect();
            refitted.push(candidate.refit(&sizes.with_means(means)));
            further.push(resampler.draw() * widening);
        }
        World {
            candidate: *candidate,
            refitted,
            further,
            spread: run_variance.sqrt(),
            sizes: sizes.with_means(sizes.mean.clone()),
            confidence: options.confidence,
        }
    }

    fn interval(&self, candidate: &Candidate, of: impl Fn(&Candidate) -> f64) -> Estimate {
        let draws: Vec<f64> = self.refitted.iter().map(&of).collect();
        percentile_interval(of(candidate), &draws, self.confidence)
    }

    /// The interval of one run of size `n`.
    fn prediction(&self, n: f64) -> Estimate {
        let draws: Vec<f64> = self
            .refitted
            .iter()
            .zip(&self.further)
            .map(|(law, further)| {
                let bytes = law.at(n);
                (bytes + further * self.spread * self.sizes.run_sd(bytes)).max(0.0)
            })
            .collect();
        percentile_interval(self.candidate.at(n), &draws, self.confidence)
    }
}

/// The least size at which the law reaches `bytes`: 0 if it starts above, 1e18 if it stays below.
fn size_reaching(law: &Candidate, bytes: f64) -> f64 {
    if law.intercept >= bytes {
        return 0.0;
    }
    if law.rise <= 0.0 || law.at(SIZE_MAX) < bytes {
        return SIZE_MAX;
    }
    let (mut low, mut high) = (-30.0_f64, SIZE_MAX.ln());
    for _ in 0..BUDGET_STEPS {
        let middle = f64::midpoint(low, high);
        if law.at(middle.exp()) >= bytes {
            high = middle;
        } else {
            low = middle;
        }
    }
    high.exp()
}
