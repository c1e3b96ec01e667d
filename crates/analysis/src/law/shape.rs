//! The shapes `f(n)` of the laws, each scaled to 1 at the largest tested size so that sums of
//! squares keep their digits whatever the sizes.

use plimsoll_model::LawClass;

/// Loads of doubling containers: a power of two not less than `n · load`. Vectors and strings fill
/// their capacity (1); Rust's hashbrown up to 7/8, Java's `HashMap` 3/4, `CPython`'s dict 2/3.
pub(super) const LOADS: [f64; 4] = [1.0, 8.0 / 7.0, 4.0 / 3.0, 3.0 / 2.0];

/// Capacity over size of a doubling container, averaged over the phase of a doubling (on the
/// logarithm of the size): the integral of 2^u over 0..1.
const CAPACITY_MEAN: f64 = std::f64::consts::LOG2_E;

/// One shape, scaled. 40 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) class: LawClass,
    /// Of the power law.
    pub(super) exponent: f64,
    /// Of the staircase.
    pub(super) load: f64,
    n_max: f64,
    scale: f64,
}

impl Shape {
    pub(super) fn new(class: LawClass, n_max: f64) -> Shape {
        Shape::with(class, 1.0, 1.0, n_max)
    }

    pub(super) fn power(exponent: f64, n_max: f64) -> Shape {
        Shape::with(LawClass::Power, exponent, 1.0, n_max)
    }

    pub(super) fn staircase(load: f64, n_max: f64) -> Shape {
        Shape::with(LawClass::Staircase, 1.0, load, n_max)
    }

    fn with(class: LawClass, exponent: f64, load: f64, n_max: f64) -> Shape {
        let mut shape = Shape {
            class,
            exponent,
            load,
            n_max,
            scale: 1.0,
        };
        let top = shape.raw(n_max);
        shape.scale = if top > 0.0 { top } else { 1.0 };
        shape
    }

    /// True if the shape grows from 0 or above over all tested sizes: a logarithm of sizes below
    /// one item does not.
    pub(super) fn fits_sizes(class: LawClass, n_min: f64) -> bool {
        n_min >= 1.0 || !matches!(class, LawClass::Logarithmic | LawClass::Linearithmic)
    }

    fn raw(&self, n: f64) -> f64 {
        match self.class {
            LawClass::Constant => 0.0,
            LawClass::Logarithmic => n.ln(),
            LawClass::Linear => n / self.n_max,
            LawClass::Linearithmic => n / self.n_max * n.ln(),
            LawClass::Quadratic => (n / self.n_max).powi(2),
            LawClass::Power => (n / self.n_max).powf(self.exponent),
            LawClass::Staircase => capacity(n * self.load) / self.n_max,
        }
    }

    /// `f(n) / f(n_max)`.
    pub(super) fn at(&self, n: f64) -> f64 {
        self.raw(n) / self.scale
    }

    /// The derivative of [`Shape::at`] at `n_max`; of a staircase the mean over a doubling.
    pub(super) fn slope_at_max(&self) -> f64 {
        let n = self.n_max;
        let raw = match self.class {
            LawClass::Constant => 0.0,
            LawClass::Logarithmic => 1.0 / n,
            LawClass::Linear => 1.0 / n,
            LawClass::Linearithmic => (n.ln() + 1.0) / n,
            LawClass::Quadratic => 2.0 / n,
            LawClass::Power => self.exponent / n,
            LawClass::Staircase => CAPACITY_MEAN * self.load / n,
        };
        raw / self.scale
    }

    /// What one unit of the scaled shape is in units of `f(n)` itself.
    pub(super) fn unit(&self) -> f64 {
        let scaled_by = match self.class {
            LawClass::Constant | LawClass::Logarithmic => 1.0,
            LawClass::Linear | LawClass::Linearithmic | LawClass::Staircase => self.n_max,
            LawClass::Quadratic => self.n_max.powi(2),
            LawClass::Power => self.n_max.powf(self.exponent),
        };
        self.scale * scaled_by
    }
}

/// The least power of two that is not below `n`.
fn capacity(n: f64) -> f64 {
    // A load such as 8/7 must not push 7 · 8/7 over 8 by a rounding error.
    (n.log2() - 1e-9).ceil().exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_powers_of_two() {
        let check = |n: f64, expected: f64| assert_eq!(capacity(n), expected);
        check(1.0, 1.0);
        check(1000.0, 1024.0);
        check(1024.0, 1024.0);
        check(1025.0, 2048.0);
        check(7.0 * (8.0 / 7.0), 8.0);
    }

    #[test]
    fn shapes_are_one_at_the_largest_size() {
        for class in LawClass::ALL {
            if class != LawClass::Constant {
                let shape = Shape::new(class, 12_345.0);
                assert!((shape.at(12_345.0) - 1.0).abs() < 1e-12, "{class}");
                assert!(shape.slope_at_max() > 0.0);
            }
        }
    }
}
