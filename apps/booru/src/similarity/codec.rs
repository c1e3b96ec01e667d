//! Vectors in fewer bytes, and how far an inner product with one can be from the true one.
//!
//! A vector `x` is kept as `x' = scale · codes` with the length of its error, `‖x - x'‖`, rounded up. For
//! a query `q`, which is rounded to `q'` itself where codes are whole numbers,
//!
//! ```text
//! |⟨q,x⟩ - ⟨q',x'⟩| = |⟨q, x - x'⟩ + ⟨q - q', x'⟩| ≤ ‖q‖·‖x - x'‖ + ‖q - q'‖·‖x'‖
//! ```
//!
//! by Cauchy and Schwarz: no assumption on the data is made. Where codes are floats, `q' = q` and the
//! rounding of the sum takes the second place: n products summed in `f32` in any order are off by at most
//! `γ‖q‖‖x'‖`, `γ = nu/(1 - nu)`, `u = 2⁻²⁴` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
//! What `f64` rounds is added to both.

use std::fmt;

use half::f16;
use serde::{Deserialize, Serialize};

use super::kernel::{dot_f16, dot_f32, dot_i8};

/// Numbers a vector may have. Of `i8` and a query of at least 10 bits, sums of so many fit an `i32`.
pub const DIMENSIONS_MAX: usize = 16_384;

/// How numbers of vectors are kept in the file that is searched. Answers are the same with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// 4 bytes a number, as they are.
    F32,
    /// 2 bytes.
    F16,
    /// 1 byte, and a scale for each vector.
    #[default]
    Int8,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::F32, Kind::F16, Kind::Int8];

    /// Bytes of a number.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Kind::F32 => 4,
            Kind::F16 => 2,
            Kind::Int8 => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Kind::F32 => "f32",
            Kind::F16 => "f16",
            Kind::Int8 => "int8",
        })
    }
}

/// What goes with the codes of a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scaled {
    pub(super) scale: f32,
    /// No less than `‖x - x'‖`.
    pub(super) error: f32,
    /// No less than `‖x'‖`.
    pub(super) norm: f32,
}

/// Puts the codes of a vector of finite numbers behind `codes`.
pub(super) fn encode(kind: Kind, vector: &[f32], codes: &mut Vec<u8>) -> Scaled {
    let largest = vector
        .iter()
        .fold(0.0_f32, |most, number| most.max(number.abs()));
    let scale = match kind {
        Kind::F32 => 1.0,
        // The largest number becomes 1: none is beyond what an f16 can be.
        Kind::F16 => largest,
        Kind::Int8 => largest / 127.0,
    };
    // Of nothing, or of numbers too small to divide by.
    let scale = if scale.is_normal() { scale } else { 0.0 };
    let mut sums = (0.0_f64, 0.0_f64);
    for number in vector {
        let ratio = if scale == 0.0 { 0.0 } else { number / scale };
        let code = match kind {
            Kind::F32 => {
                codes.extend(number.to_le_bytes());
                *number
            }
            Kind::F16 => {
                let half = f16::from_f32(ratio);
                codes.extend(half.to_le_bytes());
                half.to_f32()
            }
            Kind::Int8 => {
                let code = ratio.round().clamp(-127.0, 127.0) as i8;
                codes.push(code.cast_unsigned());
                f32::from(code)
            }
        };
        let kept = f64::from(scale) * f64::from(code);
        sums.0 += (f64::from(*number) - kept).powi(2);
        sums.1 += kept.powi(2);
    }
    Scaled {
        scale,
        error: rounded_up(sums.0.sqrt()),
        norm: rounded_up(sums.1.sqrt()),
    }
}

/// The `f32` above what `f64` has summed, its own rounding included.
fn rounded_up(length: f64) -> f32 {
    match length {
        0.0 => 0.0,
        length => ((length * (1.0 + 1e-9)) as f32).next_up(),
    }
}

/// A query, ready to be compared with codes of one kind.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    kind: Kind,
    numbers: Vec<f32>,
    /// `q'`, where codes are whole numbers, and its scale.
    codes: Vec<i16>,
    scale: f64,
    /// Factors of the bound: of the error and of the length of a vector.
    norm: f64,
    per_length: f64,
    /// Of either, for what `f64` rounds.
    slack: f64,
}

/// Between which two numbers a score lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) lower: f64,
    pub(super) upper: f64,
}

impl Probe {
    /// Of a query of finite numbers, at most [`DIMENSIONS_MAX`].
    pub(super) fn new(kind: Kind, query: &[f32]) -> Probe {
        let dimensions = query.len() as f64;
        let squares = query.iter().map(|number| f64::from(*number).powi(2));
        let norm = squares.sum::<f64>().sqrt() * (1.0 + 1e-9);
        let mut probe = Probe {
            kind,
            numbers: query.to_vec(),
            codes: Vec::new(),
            scale: 1.0,
            norm,
            per_length: 0.0,
            slack: (dimensions + 8.0) * f64::EPSILON * norm,
        };
        match kind {
            Kind::Int8 => probe.round_query(),
            Kind::F32 | Kind::F16 => {
                let nu = (dimensions + 2.0) * f64::from(f32::EPSILON) / 2.0;
                probe.per_length = nu / (1.0 - nu) * norm;
            }
        }
        probe
    }

    fn round_query(&mut self) {
        // 127 times this, summed over all numbers, is no more than an i32 holds.
        let dimensions = self.numbers.len().max(1) as i32;
        let most = (i32::MAX / 127 / dimensions).min(i32::from(i16::MAX));
        let largest = self
            .numbers
            .iter()
            .fold(0.0_f32, |most, number| most.max(number.abs()));
        self.scale = f64::from(largest) / f64::from(most);
        let mut error = 0.0_f64;
        for number in &self.numbers {
            let ratio = match self.scale {
                0.0 => 0.0,
                scale => f64::from(*number) / scale,
            };
            let code = ratio.round().clamp(-f64::from(most), f64::from(most));
            error += (f64::from(*number) - code * self.scale).powi(2);
            self.codes.push(code as i16);
        }
        self.per_length = error.sqrt() * (1.0 + 1e-9) + f64::from(largest) * 1e-15;
    }

    pub(super) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// What the codes alone say of a score.
    pub(super) fn estimate(&self, scaled: Scaled, codes: &[u8]) -> f64 {
        let product = match self.kind {
            Kind::F32 => f64::from(dot_f32(codes, &self.numbers)),
            Kind::F16 => f64::from(dot_f16(codes, &self.numbers)),
            Kind::Int8 => f64::from(dot_i8(codes, &self.codes)) * self.scale,
        };
        product * f64::from(scaled.scale)
    }

    /// Between what the score lies; anywhere, where numbers are too large to tell.
    pub(super) fn bounds(&self, scaled: Scaled, codes: &[u8]) -> Bounds {
        let estimate = self.estimate(scaled, codes);
        let (error, length) = (f64::from(scaled.error), f64::from(scaled.norm));
        let off = self.norm * error
            + self.per_length * length
            + self.slack * (error + length)
            // Products below what a float can be.
            + f64::from(f32::MIN_POSITIVE) * f64::from(scaled.scale);
        if (estimate.abs() + off).is_finite() {
            return Bounds {
                lower: estimate - off,
                upper: estimate + off,
            };
        }
        Bounds {
            lower: f64::NEG_INFINITY,
            upper: f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kernel::dot_exact;
    use super::*;

    fn bytes_of(vector: &[f32]) -> Vec<u8> {
        vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    /// Numbers of all sizes, so that scales and rounding are put to the test.
    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => -1.0_f32..1.0,
            2 => Just(0.0_f32),
            1 => -1e6_f32..1e6,
            1 => any::<f32>().prop_filter("finite", |number| number.is_finite()),
        ]
    }

    fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (0_usize..80).prop_flat_map(|len| {
            let vector = || prop::collection::vec(number(), len);
            (vector(), vector())
        })
    }

    proptest! {
        #[test]
        fn a_score_is_within_its_bounds((query, vector) in pair()) {
            let exact = dot_exact(&bytes_of(&vector), &query);
            for kind in Kind::ALL {
                let mut codes = Vec::new();
                let scaled = encode(kind, &vector, &mut codes);
                prop_assert_eq!(codes.len(), vector.len() * kind.bytes());
                let bounds = Probe::new(kind, &query).bounds(scaled, &codes);
                prop_assert!(
                    bounds.lower <= exact && exact <= bounds.upper,
                    "{kind}: {exact} in {bounds:?}"
                );
            }
        }
    }

    #[test]
    fn bounds_of_unit_vectors_are_narrow() {
        let unit = |phase: f32| {
            let vector: Vec<f32> = (0..1024).map(|at| (at as f32 * phase).sin()).collect();
            let length = vector
                .iter()
                .map(|number| number * number)
                .sum::<f32>()
                .sqrt();
            vector
                .iter()
                .map(|number| number / length)
                .collect::<Vec<f32>>()
        };
        let width = |kind| {
            let mut codes = Vec::new();
            let scaled = encode(kind, &unit(0.7), &mut codes);
            let bounds = Probe::new(kind, &unit(0.9)).bounds(scaled, &codes);
            bounds.upper - bounds.lower
        };
        assert!(width(Kind::Int8) < 0.02, "{}", width(Kind::Int8));
        assert!(width(Kind::F16) < 0.002, "{}", width(Kind::F16));
        assert!(width(Kind::F32) < 0.0005, "{}", width(Kind::F32));
    }

    #[test]
    fn sums_of_the_longest_vectors_do_not_overflow() {
        let most = vec![1.0_f32; DIMENSIONS_MAX];
        let mut codes = Vec::new();
        let scaled = encode(Kind::Int8, &most, &mut codes);
        let bounds = Probe::new(Kind::Int8, &most).bounds(scaled, &codes);
        let exact = DIMENSIONS_MAX as f64;
        assert!(bounds.lower <= exact && exact <= bounds.upper, "{bounds:?}");
    }
}
