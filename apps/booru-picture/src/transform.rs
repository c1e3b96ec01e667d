//! The cosine transform (type II, not normalised) of 32 or 64 numbers, bit for bit as `scipy.fftpack.dct`
//! computes it on x86-64.
//!
//! Bits of a hash say which coefficients are above the median. Where a picture is flat, or as much dark as
//! bright, many coefficients are zero in theory, and a sum of cosines gives ±1e-13 for them: whole hashes of
//! noise. SciPy's transform (Martin Reinecke's pocketfft) cancels exactly there, because equal
//! numbers meet in its butterflies, so the same butterflies are done here: a real FFT backwards, by
//! factors of four (and a two), in the same order of operations.

use std::f64::consts::{PI, SQRT_2};

/// A plan for one length.
pub(crate) struct Cosine {
    length: usize,
    factors: Vec<Factor>,
    /// cos(π (k + 1) / 2n).
    turns: Vec<f64>,
}

struct Factor {
    radix: usize,
    twiddles: Vec<f64>,
}

impl Cosine {
    /// `length` is a power of two from 4.
    pub(crate) fn new(length: usize) -> Cosine {
        let mut radixes = Vec::new();
        let mut rest = length;
        while rest.is_multiple_of(4) {
            radixes.push(4);
            rest /= 4;
        }
        if rest == 2 {
            radixes.push(2);
            let last = radixes.len() - 1;
            radixes.swap(0, last);
        }
        let circle = Circle::new(length);
        let mut done = 1;
        let factors = radixes.iter().map(|&radix| {
            let inner = length / (done * radix);
            let mut twiddles = vec![0.0; (radix - 1) * (inner - 1)];
            for j in 1..radix {
                for i in 1..=(inner - 1) / 2 {
                    let (cos, sin) = circle.at(j * done * i);
                    let place = (j - 1) * (inner - 1) + 2 * i - 2;
                    (twiddles[place], twiddles[place + 1]) = (cos, sin);
                }
            }
            done *= radix;
            Factor { radix, twiddles }
        });
        let factors = factors.collect();
        let quarter = Circle::new(4 * length);
        Cosine {
            length,
            factors,
            turns: (1..=length).map(|place| quarter.at(place).0).collect(),
        }
    }

    /// In place; O(n log n), and n numbers of scratch.
    pub(crate) fn transform(&self, values: &mut [f64]) {
        let length = self.length;
        debug_assert_eq!(values.len(), length);
        values[0] *= 2.0;
        values[length - 1] *= 2.0;
        for place in (1..length - 1).step_by(2) {
            let before = values[place + 1];
            values[place + 1] -= values[place];
            values[place] += before;
        }
        self.real_fft(values);
        for low in 1..length / 2 {
            let high = length - low;
            let (near, far) = (self.turns[low - 1], self.turns[high - 1]);
            let sum = near * values[high] + far * values[low];
            let difference = near * values[low] - far * values[high];
            values[low] = 0.5 * (sum + difference);
            values[high] = 0.5 * (sum - difference);
        }
        values[length / 2] *= self.turns[length / 2 - 1];
    }

    fn real_fft(&self, values: &mut [f64]) {
        let mut scratch = vec![0.0; self.length];
        let (mut from, mut to): (&mut [f64], &mut [f64]) = (values, &mut scratch);
        let mut outer = 1;
        for factor in &self.factors {
            let inner = self.length / (factor.radix * outer);
            match factor.radix {
                4 => by_four(inner, outer, from, to, &factor.twiddles),
                _ => by_two(inner, outer, from, to, &factor.twiddles),
            }
            outer *= factor.radix;
            std::mem::swap(&mut from, &mut to);
        }
        // `from` has the result; after an odd number of factors that is the scratch.
        if self.factors.len() % 2 == 1 {
            to.copy_from_slice(from);
        }
    }
}

/// pocketfft's `radb4`.
fn by_four(inner: usize, outer: usize, from: &[f64], to: &mut [f64], twiddles: &[f64]) {
    let source = |a: usize, b: usize, c: usize| from[a + inner * (b + 4 * c)];
    let place = |a: usize, b: usize, c: usize| a + inner * (b + outer * c);
    let end = inner - 1;
    for k in 0..outer {
        let (tr2, tr1) = both(source(0, 0, k), source(end, 3, k));
        let tr3 = 2.0 * source(end, 1, k);
        let tr4 = 2.0 * source(0, 2, k);
        (to[place(0, k, 0)], to[place(0, k, 2)]) = both(tr2, tr3);
        (to[place(0, k, 3)], to[place(0, k, 1)]) = both(tr1, tr4);
    }
    if inner.is_multiple_of(2) {
        for k in 0..outer {
            let (ti1, ti2) = both(source(0, 3, k), source(0, 1, k));
            let (tr2, tr1) = both(source(end, 0, k), source(end, 2, k));
            to[place(end, k, 0)] = tr2 + tr2;
            to[place(end, k, 1)] = SQRT_2 * (tr1 - ti1);
            to[place(end, k, 2)] = ti2 + ti2;
            to[place(end, k, 3)] = -SQRT_2 * (tr1 + ti1);
        }
    }
    for k in 0..outer {
        for i in (2..inner).step_by(2) {
            let ic = inner - i;
            let (tr2, tr1) = both(source(i - 1, 0, k), source(ic - 1, 3, k));
            let (ti1, ti2) = both(source(i, 0, k), source(ic, 3, k));
            let (tr4, ti3) = both(source(i, 2, k), source(ic, 1, k));
            let (tr3, ti4) = both(source(i - 1, 2, k), source(ic - 1, 1, k));
            let (cr1, cr3) = both(tr2, tr3);
            let (ci1, ci3) = both(ti2, ti3);
            let (cr4, cr2) = both(tr1, tr4);
            let (ci2, ci4) = both(ti1, ti4);
            (to[place(i - 1, k, 0)], to[place(i, k, 0)]) = (cr1, ci1);
            for (part, value) in [(1, (ci2, cr2)), (2, (ci3, cr3)), (3, (ci4, cr4))] {
                let at = i - 2 + (part - 1) * (inner - 1);
                let turned = turn((twiddles[at], twiddles[at + 1]), value);
                (to[place(i, k, part)], to[place(i - 1, k, part)]) = turned;
            }
        }
    }
}

/// pocketfft's `radb2`.
fn by_two(inner: usize, outer: usize, from: &[f64], to: &mut [f64], twiddles: &[f64]) {
    let source = |a: usize, b: usize, c: usize| from[a + inner * (b + 2 * c)];
    let place = |a: usize, b: usize, c: usize| a + inner * (b + outer * c);
    let end = inner - 1;
    for k in 0..outer {
        (to[place(0, k, 0)], to[place(0, k, 1)]) = both(source(0, 0, k), source(end, 1, k));
    }
    if inner.is_multiple_of(2) {
        for k in 0..outer {
            to[place(end, k, 0)] = 2.0 * source(end, 0, k);
            to[place(end, k, 1)] = -2.0 * source(0, 1, k);
        }
    }
    for k in 0..outer {
        for i in (2..inner).step_by(2) {
            let ic = inner - i;
            let (cr1, tr2) = both(source(i - 1, 0, k), source(ic - 1, 1, k));
            let (ti2, ci1) = both(source(i, 0, k), source(ic, 1, k));
            (to[place(i - 1, k, 0)], to[place(i, k, 0)]) = (cr1, ci1);
            let turned = turn((twiddles[i - 2], twiddles[i - 1]), (ti2, tr2));
            (to[place(i, k, 1)], to[place(i - 1, k, 1)]) = turned;
        }
    }
}

fn both(a: f64, b: f64) -> (f64, f64) {
    (a + b, a - b)
}

/// pocketfft's `MULPM`.
fn turn(by: (f64, f64), value: (f64, f64)) -> (f64, f64) {
    (
        by.0 * value.0 + by.1 * value.1,
        by.0 * value.1 - by.1 * value.0,
    )
}

/// Cosine and sine of whole fractions of a circle, as pocketfft makes them: each the product of one of two
/// short tables, whose entries are of the first eighth of the circle.
struct Circle {
    length: usize,
    shift: u32,
    fine: Vec<(f64, f64)>,
    coarse: Vec<(f64, f64)>,
}

impl Circle {
    fn new(length: usize) -> Circle {
        let places = (length + 2) / 2;
        let mut shift = 1;
        while (1_usize << shift) * (1 << shift) < places {
            shift += 1;
        }
        let step = 1 << shift;
        let exact = |place: usize| match place {
            0 => (1.0, 0.0),
            _ => exact(place, length),
        };
        Circle {
            length,
            shift,
            fine: (0..step).map(exact).collect(),
            coarse: (0..places.div_ceil(step))
                .map(|place| exact(place * step))
                .collect(),
        }
    }

    fn at(&self, place: usize) -> (f64, f64) {
        let is_first_half = 2 * place <= self.length;
        let place = match is_first_half {
            true => place,
            false => self.length - place,
        };
        let fine = self.fine[place & ((1 << self.shift) - 1)];
        let coarse = self.coarse[place >> self.shift];
        let sin = fine.0 * coarse.1 + fine.1 * coarse.0;
        let cos = fine.0 * coarse.0 - fine.1 * coarse.1;
        (cos, if is_first_half { sin } else { -sin })
    }
}

/// By the octant of `place` of `length`, of which the first half of the circle is asked for.
fn exact(place: usize, length: usize) -> (f64, f64) {
    let angle = 0.25 * PI / length as f64;
    let of = |eighths: usize| {
        let (sin, cos) = (eighths as f64 * angle).sin_cos();
        (cos, sin)
    };
    let eighths = 8 * place;
    let swap = |(cos, sin): (f64, f64)| (sin, cos);
    let mirror = |(cos, sin): (f64, f64)| (-cos, sin);
    if eighths < length {
        of(eighths)
    } else if eighths < 2 * length {
        swap(of(2 * length - eighths))
    } else if eighths < 3 * length {
        mirror(swap(of(eighths - 2 * length)))
    } else {
        mirror(of(4 * length - eighths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_cosine_transform() {
        for length in [8, 32, 64] {
            let values: Vec<f64> = (0..length).map(|n| f64::from((n * n) % 251)).collect();
            let mut fast = values.clone();
            Cosine::new(length as usize).transform(&mut fast);
            for (k, fast) in fast.iter().enumerate() {
                let angle = |n: usize| PI * k as f64 * (2 * n + 1) as f64 / f64::from(2 * length);
                let terms = values.iter().enumerate();
                let slow: f64 = terms.map(|(n, value)| 2.0 * value * angle(n).cos()).sum();
                assert!(
                    (fast - slow).abs() < 1e-8,
                    "{length} {k}: {fast}, not {slow}"
                );
            }
        }
    }
}
