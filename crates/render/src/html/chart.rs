//! Charts as SVG in the page itself: there without scripts, in print and in both themes (colours
//! come from the page's style). Scales, ticks and marks; what is drawn is up to the caller.

use std::fmt::Write as _;

use crate::markup::escaped;
use crate::words::amount::bytes;
use crate::words::number::number;

/// Units of the drawing; the page stretches it to its width.
pub(super) const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// Ticks of one axis at most.
const TICKS_MAX: f64 = 7.0;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaling {
    Linear,
    Logarithmic,
}

/// From a figure to a place; `None` is no axis: nothing to span, or a logarithm of 0.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    scaling: Scaling,
}

impl Axis {
    fn of(values: &[f64], scaling: Scaling) -> Option<Axis> {
        let shown =
            |value: &&f64| value.is_finite() && (scaling == Scaling::Linear || **value > 0.0);
        let values: Vec<f64> = values.iter().filter(shown).copied().collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let low = if scaling == Scaling::Linear {
            0.0
        } else {
            least
        };
        (least.is_finite() && high > low).then_some(Axis { low, high, scaling })
    }

    fn share(&self, value: f64) -> f64 {
        match self.scaling {
            Scaling::Linear => (value - self.low) / (self.high - self.low),
            Scaling::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    fn at(&self, share: f64) -> f64 {
        match self.scaling {
            Scaling::Linear => self.low + share * (self.high - self.low),
            Scaling::Logarithmic => self.low * (self.high / self.low).powf(share),
        }
    }

    /// Round figures: multiples of a step, or powers of `base`.
    fn ticks(&self, base: f64) -> Vec<f64> {
        match self.scaling {
            Scaling::Linear => {
                let steps = (-60..70).flat_map(|power| {
                    let unit = base.powi(power);
                    let parts: &[f64] = if base == 10.0 {
                        &[1.0, 2.0, 5.0]
                    } else {
                        &[1.0]
                    };
                    parts.iter().map(move |part| part * unit)
                });
                let span = self.high - self.low;
                let Some(step) = steps.into_iter().find(|step| span / step <= TICKS_MAX) else {
                    return Vec::new();
                };
                (0..=TICKS_MAX as usize)
                    .map(|place| place as f64 * step)
                    .filter(|value| *value <= self.high)
                    .collect()
            }
            Scaling::Logarithmic => {
                let (first, last) = (self.low.log(base).ceil(), self.high.log(base).floor());
                let stride = ((last - first) / TICKS_MAX).floor() + 1.0;
                (0..=TICKS_MAX as usize)
                    .map(|place| first + place as f64 * stride)
                    .filter(|power| *power <= last)
                    .map(|power| base.powf(power))
                    .collect()
            }
        }
    }
}

/// Bytes by size, drawn mark by mark.
pub(super) struct Chart {
    x: Axis,
    y: Axis,
    svg: String,
}

impl Chart {
    /// Spans `sizes` and `amounts`; `None` where they span nothing.
    pub(super) fn of(sizes: &[f64], amounts: &[f64], scaling: Scaling) -> Option<Chart> {
        Some(Chart {
            x: Axis::of(sizes, scaling)?,
            y: Axis::of(amounts, scaling)?,
            svg: String::new(),
        })
    }

    fn x(&self, n: f64) -> f64 {
        LEFT + self.x.share(n) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, bytes: f64) -> f64 {
        let share = self.y.share(bytes).clamp(0.0, 1.05);
        TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM)
    }

    /// `count` sizes, evenly spread over the axis from `low` to `high`.
    pub(super) fn sizes_between(&self, low: f64, high: f64, count: usize) -> Vec<f64> {
        let (from, to) = (self.x.share(low).max(0.0), self.x.share(high).min(1.0));
        (0..=count)
            .map(|place| self.x.at(from + (to - from) * place as f64 / count as f64))
            .collect()
    }

    pub(super) fn highest_size(&self) -> f64 {
        self.x.high
    }

    fn draw(&mut self, mark: std::fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = self.svg.write_fmt(mark);
        self.svg.push('\n');
    }

    /// Lines and figures of both axes; `title` names the lower one.
    pub(super) fn axes(&mut self, title: &str) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in self.y.ticks(2.0) {
            let y = self.y(tick);
            self.draw(format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                escaped(&bytes(tick))
            ));
        }
        for tick in self.x.ticks(10.0) {
            let x = self.x(tick);
            self.draw(format_args!(
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 5.0,
                bottom + 18.0,
                escaped(&number(tick))
            ));
        }
        self.draw(format_args!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LEFT.midpoint(right),
            HEIGHT - 8.0,
            escaped(title)
        ));
    }

    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.path(points);
        self.draw(format_args!(
            "<polyline class=\"{class}\" points=\"{path}\"/>"
        ));
    }

    /// The area between two lines over the same sizes: size, low, high.
    pub(super) fn band(&mut self, points: &[(f64, f64, f64)]) {
        if points.is_empty() {
            return;
        }
        let mut edge: Vec<(f64, f64)> = points.iter().map(|point| (point.0, point.2)).collect();
        edge.extend(points.iter().rev().map(|point| (point.0, point.1)));
        let path = self.path(&edge);
        self.draw(format_args!("<polygon class=\"band\" points=\"{path}\"/>"));
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let points: Vec<String> = points
            .iter()
            .filter(|(n, bytes)| n.is_finite() && bytes.is_finite())
            .map(|(n, bytes)| format!("{:.1},{:.1}", self.x(*n), self.y(*bytes)))
            .collect();
        points.join(" ")
    }

    pub(super) fn point(&mut self, class: &str, n: f64, amount: f64, words: &str) {
        let (x, y) = (self.x(n), self.y(amount));
        if x.is_finite() && y.is_finite() {
            self.draw(format_args!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}</title>\
                 </circle>",
                escaped(words)
            ));
        }
    }

    pub(super) fn whisker(&mut self, n: f64, low: f64, high: f64) {
        let (x, top, bottom) = (self.x(n), self.y(high), self.y(low));
        if [x, top, bottom].iter().all(|place| place.is_finite()) {
            self.draw(format_args!(
                "<line class=\"whisker\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" \
                 y2=\"{bottom:.1}\"/>"
            ));
        }
    }

    /// A level across the chart, if it is within.
    pub(super) fn level(&mut self, amount: f64, words: &str) {
        let y = self.y(amount);
        if amount > self.y.high || !y.is_finite() || y > HEIGHT - BOTTOM {
            return;
        }
        let right = WIDTH - RIGHT;
        self.draw(format_args!(
            "<line class=\"peak\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT + 6.0,
            y - 5.0,
            escaped(words)
        ));
    }

    pub(super) fn finish(self, class: &str, words: &str) -> String {
        drawing(class, HEIGHT, words, &self.svg)
    }
}

/// An SVG element that says in words what it shows.
pub(super) fn drawing(class: &str, height: f64, words: &str, marks: &str) -> String {
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{}\">\n{marks}</svg>\n",
        escaped(words)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let check = |low: f64, high: f64, scaling, base, expected: &[f64]| {
            let axis = Axis { low, high, scaling };
            let found = axis.ticks(base);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-9 || found == expected);
            }
        };
        check(
            0.0,
            1000.0,
            Scaling::Linear,
            10.0,
            &[0.0, 200.0, 400.0, 600.0, 800.0, 1000.0],
        );
        check(
            0.0,
            900.0,
            Scaling::Linear,
            2.0,
            &[0.0, 256.0, 512.0, 768.0],
        );
        check(
            100.0,
            20_000.0,
            Scaling::Logarithmic,
            10.0,
            &[100.0, 1000.0, 10_000.0],
        );
    }

    #[test]
    fn nothing_to_span_is_no_chart() {
        assert!(Chart::of(&[1.0], &[1.0], Scaling::Logarithmic).is_none());
        assert!(Chart::of(&[], &[], Scaling::Linear).is_none());
        assert!(Chart::of(&[0.0], &[0.0], Scaling::Linear).is_none());
        assert!(Chart::of(&[1.0, 10.0], &[0.0, 0.0], Scaling::Logarithmic).is_none());
        assert!(Chart::of(&[1.0, 10.0], &[5.0, 6.0], Scaling::Logarithmic).is_some());
    }
}
