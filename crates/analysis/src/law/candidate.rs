//! One law fitted to the size means: least squares with both coefficients at least 0, weighted by
//! the variance of each mean.

use plimsoll_model::LawClass;

use super::shape::{LOADS, Shape};
use super::sizes::Sizes;

/// Exponents that are sought. Below, a power is a logarithm or a constant; above, no program that
/// ends was ever measured over a range of sizes.
const EXPONENT_MIN: f64 = 0.05;
const EXPONENT_MAX: f64 = 4.0;

/// √n, n³ and what else lies between and beyond the simple laws.
pub(super) const EXPONENTS_GIVEN: [f64; 6] = [0.5, 0.75, 1.25, 1.5, 2.5, 3.0];

/// Steps of the search over all exponents: the sum of squares has one valley a few tenths wide.
const EXPONENT_STEPS: usize = 40;

/// Halvings by the golden section: from a step of 0.1 to 1e-6.
const GOLDEN_STEPS: usize = 24;

/// A third coefficient needs this many sizes for its AICc to be finite.
pub(super) const POWER_SIZES_MIN: usize = 6;

/// A fitted law: `intercept + rise · shape(n)`. 64 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) shape: Shape,
    pub(super) intercept: f64,
    /// Bytes by which the law rises up to the largest size.
    pub(super) rise: f64,
    /// Weighted sum of squares of the residuals of the means, in units of their variance.
    pub(super) squares: f64,
    /// True if the exponent of a power law was sought, not given.
    pub(super) sought: bool,
}

impl Candidate {
    pub(super) fn class(&self) -> LawClass {
        self.shape.class
    }

    pub(super) fn at(&self, n: f64) -> f64 {
        if self.rise == 0.0 {
            return self.intercept;
        }
        self.intercept + self.rise * self.shape.at(n)
    }

    /// Coefficients that were fitted.
    pub(super) fn parameters(&self) -> usize {
        match self.class() {
            LawClass::Constant => 1,
            LawClass::Power if self.sought => 3,
            _ => 2,
        }
    }

    /// Bytes per item at the largest size.
    pub(super) fn marginal(&self) -> f64 {
        self.rise * self.shape.slope_at_max()
    }

    /// Fits the same shape anew: of a power law with the exponent sought near the old one, of a
    /// staircase with the same load. O(s) for s sizes.
    pub(super) fn refit(&self, sizes: &Sizes) -> Candidate {
        match self.class() {
            LawClass::Power if self.sought => fit_power_near(sizes, self.shape.exponent, 0.5),
            _ => fit_shape(sizes, self.shape),
        }
    }
}

/// The best fit of a class; none if it does not suit the sizes, or is no better than a constant.
/// O(s) for s sizes.
pub(super) fn fit_class(sizes: &Sizes, class: LawClass) -> Option<Candidate> {
    let n_max = sizes.n_max();
    if !Shape::fits_sizes(class, sizes.n_min()) {
        return None;
    }
    let candidate = match class {
        LawClass::Power if sizes.len() < POWER_SIZES_MIN => return None,
        LawClass::Power => fit_power(sizes),
        LawClass::Staircase => LOADS
            .iter()
            .map(|&load| fit_shape(sizes, Shape::staircase(load, n_max)))
            .min_by(|a, b| a.squares.total_cmp(&b.squares))?,
        _ => fit_shape(sizes, Shape::new(class, n_max)),
    };
    (class == LawClass::Constant || candidate.rise > 0.0).then_some(candidate)
}

/// The best power law of those with a given exponent: it has no more coefficients than a simple law
/// and stands beside them as one.
pub(super) fn fit_given_power(sizes: &Sizes) -> Option<Candidate> {
    EXPONENTS_GIVEN
        .iter()
        .map(|&exponent| fit_shape(sizes, Shape::power(exponent, sizes.n_max())))
        .min_by(|a, b| a.squares.total_cmp(&b.squares))
        .filter(|c| c.rise > 0.0)
}

/// Both coefficients at least 0: the free solution if it is that, else the better of the two with
/// one coefficient 0 (for two coefficients this is all that Lawson & Hanson's method does).
fn fit_shape(sizes: &Sizes, shape: Shape) -> Candidate {
    let mut sums = Sums::default();
    for i in 0..sizes.len() {
        let weight = sizes.sd[i].powi(-2);
        sums.add(weight, shape.at(sizes.n[i]), sizes.mean[i]);
    }
    let (intercept, rise) = sums.solve(shape.class);
    let mut candidate = Candidate {
        shape,
        intercept,
        rise,
        squares: 0.0,
        sought: false,
    };
    candidate.squares = squares(sizes, &candidate);
    candidate
}

fn squares(sizes: &Sizes, candidate: &Candidate) -> f64 {
    (0..sizes.len())
        .map(|i| ((sizes.mean[i] - candidate.at(sizes.n[i])) / sizes.sd[i]).powi(2))
        .sum()
}

#[derive(Default)]
struct Sums {
    w: f64,
    wf: f64,
    wff: f64,
    wy: f64,
    wfy: f64,
}

impl Sums {
    fn add(&mut self, w: f64, f: f64, y: f64) {
        self.w += w;
        self.wf += w * f;
        self.wff += w * f * f;
        self.wy += w * y;
        self.wfy += w * f * y;
    }

    fn solve(&self, class: LawClass) -> (f64, f64) {
        let constant = (self.wy / self.w, 0.0);
        if class == LawClass::Constant || self.wff <= 0.0 {
            return constant;
        }
        let mean_f = self.wf / self.w;
        let spread = self.wff - self.wf * mean_f;
        // Below this the shape is level over the sizes but for rounding errors.
        if spread <= 1e-12 * self.wff {
            return constant;
        }
        let rise = (self.wfy - mean_f * self.wy) / spread;
        let intercept = self.wy / self.w - rise * mean_f;
        if rise <= 0.0 {
            constant
        } else if intercept < 0.0 {
            (0.0, self.wfy / self.wff)
        } else {
            (intercept, rise)
        }
    }
}

fn fit_power(sizes: &Sizes) -> Candidate {
    let step = (EXPONENT_MAX - EXPONENT_MIN) / EXPONENT_STEPS as f64;
    let best = (0..=EXPONENT_STEPS)
        .map(|k| EXPONENT_MIN + step * k as f64)
        .map(|exponent| fit_shape(sizes, Shape::power(exponent, sizes.n_max())))
        .min_by(|a, b| a.squares.total_cmp(&b.squares));
    let start = best.map_or(1.0, |b| b.shape.exponent);
    fit_power_near(sizes, start, step)
}

/// Golden section (Kiefer 1953) within `reach` of an exponent.
fn fit_power_near(sizes: &Sizes, exponent: f64, reach: f64) -> Candidate {
    const RATIO: f64 = 0.618_033_988_749_894_8;
    let fit = |exponent| fit_shape(sizes, Shape::power(exponent, sizes.n_max()));
    let mut low = (exponent - reach).max(EXPONENT_MIN);
    let mut high = (exponent + reach).min(EXPONENT_MAX);
    let mut left = fit(high - RATIO * (high - low));
    let mut right = fit(low + RATIO * (high - low));
    for _ in 0..GOLDEN_STEPS {
        if left.squares <= right.squares {
            high = right.shape.exponent;
            right = left;
            left = fit(high - RATIO * (high - low));
        } else {
            low = left.shape.exponent;
            left = right;
            right = fit(low + RATIO * (high - low));
        }
    }
    let best = if left.squares <= right.squares {
        left
    } else {
        right
    };
    Candidate {
        sought: true,
        ..best
    }
}
