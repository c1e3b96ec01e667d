//! An axis of a chart: from a figure to its place, and the round figures that are written at it.

use crate::words::amount::bytes;
use crate::words::number::number;
use crate::words::work::WorkUnit;

/// Figures written at an axis, at most.
const TICKS_MAX: f64 = 7.0;

/// Of the span of bytes, what is left free above and below.
const AIR: f64 = 0.06;
/// Less air would make a wall of a level course.
const AIR_MIN: f64 = 512.0;

/// Steps of times in seconds: quarters of minutes and of hours, parts of a day.
const TIMES: [f64; 12] = [
    15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0,
];
const DAY: f64 = 86_400.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::html) enum Scaling {
    Linear,
    Logarithmic,
}

/// What an axis counts. Names are foreign.
#[derive(Clone, Copy)]
enum Counted<'a> {
    Bytes,
    Caps,
    Sizes(&'a str),
    Work(WorkUnit<'a>),
}

#[derive(Clone, Copy)]
pub(in crate::html) struct Axis<'a> {
    low: f64,
    high: f64,
    scaling: Scaling,
    counted: Counted<'a>,
}

impl<'a> Axis<'a> {
    /// From the lowest to the highest, with some air. `None` if a figure is not finite.
    pub(in crate::html) fn bytes_between(low: f64, high: f64) -> Option<Axis<'a>> {
        let air = ((high - low) * AIR).max(AIR_MIN);
        let low = (low - air).max(0.0);
        Axis::new(low, high + air, Scaling::Linear, Counted::Bytes)
    }

    pub(in crate::html) fn bytes(amounts: &[f64], scaling: Scaling) -> Option<Axis<'a>> {
        Axis::spanning(amounts, scaling, Counted::Bytes)
    }

    pub(in crate::html) fn caps(caps: &[f64], scaling: Scaling) -> Option<Axis<'a>> {
        Axis::spanning(caps, scaling, Counted::Caps)
    }

    pub(in crate::html) fn sizes(
        name: &'a str,
        sizes: &[f64],
        scaling: Scaling,
    ) -> Option<Axis<'a>> {
        Axis::spanning(sizes, scaling, Counted::Sizes(name))
    }

    pub(in crate::html) fn work(unit: WorkUnit<'a>, ends: (f64, f64)) -> Option<Axis<'a>> {
        Axis::new(ends.0, ends.1, Scaling::Linear, Counted::Work(unit))
    }

    /// From 0, or on a logarithmic axis from the least that has a place on it, to the greatest.
    fn spanning(values: &[f64], scaling: Scaling, counted: Counted<'a>) -> Option<Axis<'a>> {
        let linear = scaling == Scaling::Linear;
        let shown = |value: &f64| value.is_finite() && (linear || *value > 0.0);
        let values = || values.iter().copied().filter(shown);
        let least = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let low = if linear { 0.0 } else { least };
        Axis::new(low, high, scaling, counted).filter(|_| least.is_finite())
    }

    fn new(low: f64, high: f64, scaling: Scaling, counted: Counted<'a>) -> Option<Axis<'a>> {
        let spans = low.is_finite() && high.is_finite() && high > low;
        spans.then_some(Axis {
            low,
            high,
            scaling,
            counted,
        })
    }

    pub(in crate::html) fn high(&self) -> f64 {
        self.high
    }

    /// 0 at the lower end, 1 at the upper one.
    pub(super) fn share(&self, value: f64) -> f64 {
        match self.scaling {
            Scaling::Linear => (value - self.low) / (self.high - self.low),
            Scaling::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// `count` + 1 figures from `low` to `high`, evenly spread over the axis.
    pub(super) fn between(&self, low: f64, high: f64, count: usize) -> Vec<f64> {
        let (from, to) = (self.share(low).max(0.0), self.share(high).min(1.0));
        let at = |share: f64| match self.scaling {
            Scaling::Linear => self.low + share * (self.high - self.low),
            Scaling::Logarithmic => self.low * (self.high / self.low).powf(share),
        };
        (0..=count)
            .map(|place| at(from + (to - from) * place as f64 / count as f64))
            .collect()
    }

    pub(super) fn words(&self, value: f64) -> String {
        match self.counted {
            Counted::Bytes | Counted::Caps => bytes(value),
            Counted::Sizes(_) => number(value),
            Counted::Work(unit) => unit.figure(value),
        }
    }

    pub(super) fn title(&self) -> String {
        match self.counted {
            Counted::Bytes => String::new(),
            Counted::Caps => "cap".to_owned(),
            Counted::Sizes(name) => name.to_owned(),
            Counted::Work(unit) if unit.is_time() => "time".to_owned(),
            Counted::Work(unit) => unit.plural(),
        }
    }

    /// Powers of the base on a logarithmic axis that holds some, else multiples of a round step.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let powers = match self.scaling {
            Scaling::Linear => Vec::new(),
            Scaling::Logarithmic => self.powers(),
        };
        if powers.len() > 1 {
            return powers;
        }
        let step = self.step();
        let first = (self.low / step).ceil();
        let ticks = (0..=TICKS_MAX as usize).map(|place| (first + place as f64) * step);
        ticks.filter(|value| *value <= self.high).collect()
    }

    fn powers(&self) -> Vec<f64> {
        let base = self.base();
        let (first, last) = (self.low.log(base).ceil(), self.high.log(base).floor());
        let stride = ((last - first) / TICKS_MAX).floor() + 1.0;
        let powers = (0..=TICKS_MAX as usize).map(|place| first + place as f64 * stride);
        powers
            .filter(|power| *power <= last)
            .map(|power| base.powf(power))
            .collect()
    }

    fn base(&self) -> f64 {
        match self.counted {
            // So that the figures are round in IEC units.
            Counted::Bytes | Counted::Caps => 2.0,
            _ => 10.0,
        }
    }

    fn step(&self) -> f64 {
        let about = (self.high - self.low) / TICKS_MAX;
        let enough = |step: &f64| *step >= about;
        match self.counted {
            Counted::Work(unit) if unit.is_time() && about > TIMES[0] / 2.0 => TIMES
                .into_iter()
                .find(enough)
                .unwrap_or_else(|| (about / DAY).ceil() * DAY),
            Counted::Bytes | Counted::Caps => about.log2().ceil().exp2(),
            _ => {
                let power = 10_f64.powf(about.log10().floor());
                let steps = [1.0, 2.0, 5.0].map(|part| part * power);
                steps.into_iter().find(enough).unwrap_or(10.0 * power)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let check = |low: f64, high: f64, scaling, counted, expected: &[f64]| {
            let axis = Axis::new(low, high, scaling, counted).unwrap();
            let found = axis.ticks();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-9 || found == expected);
            }
        };
        let (linear, sizes) = (Scaling::Linear, Counted::Sizes("n"));
        let expected = [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0];
        check(0.0, 1000.0, linear, sizes, &expected);
        check(
            3.0,
            10.0,
            linear,
            sizes,
            &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0],
        );
        let expected = [0.0, 256.0, 512.0, 768.0];
        check(0.0, 900.0, linear, Counted::Bytes, &expected);
        let expected = [100.0, 1000.0, 10_000.0];
        check(100.0, 20_000.0, Scaling::Logarithmic, sizes, &expected);
        let expected = [160.0, 192.0, 224.0, 256.0, 288.0];
        check(150.0, 308.0, Scaling::Logarithmic, Counted::Caps, &expected);
        let seconds = Counted::Work(WorkUnit("second"));
        let expected = [0.0, 60.0, 120.0, 180.0, 240.0, 300.0];
        check(0.0, 300.0, linear, seconds, &expected);
        let expected = [
            0.0,
            259_200.0,
            518_400.0,
            777_600.0,
            1_036_800.0,
            1_296_000.0,
        ];
        check(0.0, 1_382_400.0, linear, seconds, &expected);
    }

    #[test]
    fn nothing_to_span_is_no_axis() {
        let (linear, logarithmic) = (Scaling::Linear, Scaling::Logarithmic);
        assert!(Axis::sizes("n", &[1.0], logarithmic).is_none());
        assert!(Axis::sizes("n", &[], linear).is_none());
        assert!(Axis::bytes(&[0.0], linear).is_none());
        assert!(Axis::bytes(&[0.0, 0.0], logarithmic).is_none());
        assert!(Axis::bytes(&[5.0, 6.0], logarithmic).is_some());
        assert!(Axis::bytes_between(5.0, 5.0).is_some());
        assert!(Axis::bytes_between(f64::INFINITY, 0.0).is_none());
    }
}
