//! A chart of lines over work as plain SVG: it needs no script, prints, and takes its colours from
//! the page's style. Lines differ in more than colour.
//!
//! Memory: the markup, bounded by [`STRETCHES_MAX`] for each line.

use std::fmt::Write as _;

use crate::markup::escaped;
use crate::words::amount::bytes;
use crate::words::work::WorkUnit;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

/// A line is thinned to the lowest and the highest point of so many stretches, which is more than a
/// screen can tell apart; no tooth is lost.
const STRETCHES_MAX: usize = 600;

/// Grid lines of an axis, about.
const STEPS: f64 = 5.0;

pub(super) struct Plot<'a> {
    unit: WorkUnit<'a>,
    work: (f64, f64),
    bytes: (f64, f64),
    inside: String,
}

impl<'a> Plot<'a> {
    /// Spans `work` and `bytes`, each from the lowest to the highest; `None` if there is no width.
    pub(super) fn new(unit: WorkUnit<'a>, work: (f64, f64), bytes: (f64, f64)) -> Option<Plot<'a>> {
        let sound = |(from, to): (f64, f64)| from.is_finite() && to.is_finite();
        if !sound(work) || !sound(bytes) || work.1 <= work.0 {
            return None;
        }
        // Air above and below; a level series gets some, too.
        let air = ((bytes.1 - bytes.0) * 0.06).max(512.0);
        let bytes = ((bytes.0 - air).max(0.0), bytes.1 + air);
        Some(Plot {
            unit,
            work,
            bytes,
            inside: String::new(),
        })
    }

    fn x(&self, work: f64) -> f64 {
        (work - self.work.0) / (self.work.1 - self.work.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, bytes: f64) -> f64 {
        (1.0 - (bytes - self.bytes.0) / (self.bytes.1 - self.bytes.0)) * (HEIGHT - TOP - BOTTOM)
    }

    fn place(&self, (work, bytes): (f64, f64)) -> String {
        format!("{:.1},{:.1}", self.x(work), self.y(bytes))
    }

    /// Shades the whole height between two amounts of work.
    pub(super) fn shade(&mut self, class: &str, from: f64, to: f64) {
        let (left, right) = (self.x(from), self.x(to));
        self.add(&format!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"0\" width=\"{:.1}\" height=\"{:.1}\"/>",
            (right - left).max(0.0),
            HEIGHT - TOP - BOTTOM
        ));
    }

    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let places: Vec<String> = thinned(points)
            .into_iter()
            .map(|point| self.place(point))
            .collect();
        self.add(&format!(
            "<polyline class=\"{class}\" points=\"{}\"/>",
            places.join(" ")
        ));
    }

    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)]) {
        let places: Vec<String> = points.iter().map(|point| self.place(*point)).collect();
        self.add(&format!(
            "<polygon class=\"{class}\" points=\"{}\"/>",
            places.join(" ")
        ));
    }

    pub(super) fn dots(&mut self, class: &str, points: &[(f64, f64)]) {
        for (work, bytes) in thinned(points) {
            let (x, y) = (self.x(work), self.y(bytes));
            self.add(&format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"
            ));
        }
    }

    fn add(&mut self, markup: &str) {
        self.inside.push_str(markup);
        self.inside.push('\n');
    }

    /// The markup, described by `label` for who cannot see it.
    pub(super) fn finish(self, label: &str) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(label)
        );
        self.bytes_axis(&mut out);
        self.work_axis(&mut out);
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        // A svg inside cuts off what leaves it.
        out.push_str(&format!(
            "<svg x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\">\n{}</svg>\n\
             </svg>\n",
            self.inside
        ));
        out
    }

    fn bytes_axis(&self, out: &mut String) {
        let (low, high) = self.bytes;
        // Powers of two, so that the figures are round in IEC units.
        let step = ((high - low) / STEPS).log2().ceil().exp2();
        for amount in grid(low, high, step) {
            let y = TOP + self.y(amount);
            // Writing to a String can't fail.
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                bytes(amount)
            );
        }
    }

    fn work_axis(&self, out: &mut String) {
        let (from, to) = self.work;
        for work in grid(
            from,
            to,
            round_step((to - from) / STEPS, self.unit.is_time()),
        ) {
            let x = (LEFT + self.x(work)).min(WIDTH - RIGHT - 16.0);
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - 8.0,
                self.unit.figure(work)
            );
        }
        let name = if self.unit.is_time() {
            "time".to_owned()
        } else {
            self.unit.plural()
        };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            HEIGHT - 8.0,
            escaped(&shortened(&name))
        );
    }
}

/// The name of a unit where the axis has little room.
fn shortened(name: &str) -> String {
    crate::printable::fit(&crate::printable::printable(name), 10).into_owned()
}

/// Multiples of `step` from `low` to `high`.
fn grid(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil() as i64;
    let last = (high / step * (1.0 + 1e-9)).floor() as i64;
    // Steps are a share of the span, so there are few; the bound is for figures near f64::MAX.
    (first..=last)
        .take(4 * STEPS as usize)
        .map(move |number| number as f64 * step)
}

/// The next round number from `about` up: 1, 2 or 5 of a power of ten; of times minutes and hours.
fn round_step(about: f64, is_time: bool) -> f64 {
    const TIMES: [f64; 12] = [
        15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0,
    ];
    if is_time && about > 10.0 {
        let found = TIMES.into_iter().find(|step| *step >= about);
        return found.unwrap_or_else(|| (about / 86_400.0).ceil() * 86_400.0);
    }
    let power = 10f64.powf(about.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= about);
    factor.unwrap_or(10.0) * power
}

/// The lowest and the highest point of each stretch, in order of work.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * STRETCHES_MAX {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(STRETCHES_MAX);
    let mut kept = Vec::with_capacity(2 * STRETCHES_MAX + 2);
    for part in points.chunks(stretch) {
        let by_bytes = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = (part.iter().min_by(by_bytes), part.iter().max_by(by_bytes));
        if let (Some(low), Some(high)) = ends {
            let (first, second) = if low.0 <= high.0 {
                (low, high)
            } else {
                (high, low)
            };
            kept.push(*first);
            if first.0 < second.0 {
                kept.push(*second);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_every_tooth() {
        let points: Vec<(f64, f64)> = (0..100_000)
            .map(|n| (f64::from(n), f64::from(n % 1000)))
            .collect();
        let kept = thinned(&points);
        assert!(kept.len() <= 2 * STRETCHES_MAX);
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(kept.iter().filter(|point| point.1 == 999.0).count(), 100);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(round_step(43.0, false), 50.0);
        assert_eq!(round_step(0.3, false), 0.5);
        assert_eq!(round_step(43.0, true), 60.0);
        assert_eq!(round_step(200_000.0, true), 259_200.0);
        assert_eq!(grid(1.0, 10.0, 5.0).collect::<Vec<_>>(), [5.0, 10.0]);
    }
}
