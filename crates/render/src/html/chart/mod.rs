//! Charts as SVG in the page itself: there without scripts, in print and in both themes
//! (colours come from the page's style). Lines differ in more than colour.
//!
//! Memory: the markup, bounded by [`STRETCHES_MAX`] for each line.

mod axis;

use std::fmt::Write as _;

use crate::markup::escaped;
use crate::printable::{fit, printable};

pub(super) use axis::{Axis, Scaling};

/// Units of the drawing. The style lets it be as wide in pixels, so that its text has the size of
/// other small text.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// Beyond the ends of the axes: a line on one of them is drawn in its whole width.
const EDGE: f64 = 2.0;

/// A line is thinned to the lowest and the highest point of so many stretches, which is more than a
/// screen can tell apart; no tooth is lost.
const STRETCHES_MAX: usize = 600;

/// Columns of the name of an axis.
const TITLE_COLUMNS: usize = 80;

/// Drawn mark by mark; what is drawn is up to the caller.
pub(super) struct Chart<'a> {
    x: Axis<'a>,
    y: Axis<'a>,
    /// Cut off where they leave the chart.
    lines: String,
    /// Whole also on its edge.
    marks: String,
}

impl<'a> Chart<'a> {
    pub(super) fn new(x: Axis<'a>, y: Axis<'a>) -> Chart<'a> {
        Chart {
            x,
            y,
            lines: String::new(),
            marks: String::new(),
        }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, bytes: f64) -> f64 {
        TOP + (1.0 - self.y.share(bytes)) * (HEIGHT - TOP - BOTTOM)
    }

    /// Figures from `low` to `high`, evenly spread over the lower axis, for a curve.
    pub(super) fn along(&self, low: f64, high: f64, count: usize) -> Vec<f64> {
        self.x.between(low, high, count)
    }

    pub(super) fn highest_x(&self) -> f64 {
        self.x.high()
    }

    /// Shades the whole height from one figure of the lower axis to another.
    pub(super) fn shade(&mut self, class: &str, from: f64, to: f64) {
        let (left, right) = (self.x(from), self.x(to));
        self.lines.push_str(&format!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" \
             height=\"{:.1}\"/>\n",
            (right - left).max(0.0),
            HEIGHT - TOP - BOTTOM
        ));
    }

    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.path(&thinned(points));
        self.lines.push_str(&format!(
            "<polyline class=\"{class}\" points=\"{path}\"/>\n"
        ));
    }

    pub(super) fn area(&mut self, class: &str, edge: &[(f64, f64)]) {
        let path = self.path(edge);
        self.lines
            .push_str(&format!("<polygon class=\"{class}\" points=\"{path}\"/>\n"));
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let places = points.iter().map(|(x, y)| (self.x(*x), self.y(*y)));
        let sound = places.filter(|(x, y)| x.is_finite() && y.is_finite());
        let words: Vec<String> = sound.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        words.join(" ")
    }

    pub(super) fn dots(&mut self, class: &str, points: &[(f64, f64)]) {
        for point in thinned(points) {
            self.dot(class, point, "");
        }
    }

    /// `words` show where a pointer rests on it.
    pub(super) fn dot(&mut self, class: &str, point: (f64, f64), words: &str) {
        let (x, y) = (self.x(point.0), self.y(point.1));
        if x.is_finite() && y.is_finite() {
            self.marks.push_str(&format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\">{}</circle>\n",
                titled(words)
            ));
        }
    }

    pub(super) fn whisker(&mut self, at: f64, low: f64, high: f64) {
        let (x, top, bottom) = (self.x(at), self.y(high), self.y(low));
        if [x, top, bottom].iter().all(|place| place.is_finite()) {
            self.marks.push_str(&format!(
                "<line class=\"whisker\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" \
                 y2=\"{bottom:.1}\"/>\n"
            ));
        }
    }

    /// A level across the chart, if it is within.
    pub(super) fn level(&mut self, amount: f64, words: &str) {
        if !(0.0..=1.0).contains(&self.y.share(amount)) {
            return;
        }
        let (y, right) = (self.y(amount), WIDTH - RIGHT);
        self.marks.push_str(&format!(
            "<line class=\"peak\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            LEFT + 6.0,
            y - 5.0,
            escaped(words)
        ));
    }

    /// A line over the whole height, its words after it.
    pub(super) fn upright(&mut self, at: f64, words: &str) {
        self.upright_with(at, words, "start", 6.0);
    }

    /// [`Chart::upright`] with its words before it.
    pub(super) fn upright_before(&mut self, at: f64, words: &str) {
        self.upright_with(at, words, "end", -6.0);
    }

    fn upright_with(&mut self, at: f64, words: &str, anchor: &str, away: f64) {
        let (x, bottom) = (self.x(at), HEIGHT - BOTTOM);
        self.marks.push_str(&format!(
            "<line class=\"upright\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            x + away,
            TOP + 10.0,
            escaped(words)
        ));
    }

    /// A cross above the lower axis.
    pub(super) fn cross(&mut self, class: &str, at: f64, words: &str) {
        let (x, y) = (self.x(at) - 4.0, HEIGHT - BOTTOM - 12.0);
        self.marks.push_str(&format!(
            "<path class=\"{class}\" d=\"M{x:.1} {y:.1}l8 8m0 -8l-8 8\">{}</path>\n",
            titled(words)
        ));
    }

    /// The markup; `words` say what it shows for who cannot see it.
    pub(super) fn finish(self, class: &str, words: &str) -> String {
        let mut out = format!(
            "<svg class=\"chart {class}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\">\n",
            escaped(words)
        );
        self.axes(&mut out);
        let (left, top) = (LEFT - EDGE, TOP - EDGE);
        let (width, height) = (WIDTH - RIGHT + EDGE - left, HEIGHT - BOTTOM + EDGE - top);
        // A svg inside cuts off what leaves it.
        out.push_str(&format!(
            "<svg x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"{left} {top} {width} {height}\">\n{}</svg>\n{}</svg>\n",
            self.lines, self.marks
        ));
        out
    }

    /// Lines and figures of both axes.
    fn axes(&self, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in self.y.ticks() {
            let y = self.y(tick);
            // Writing to a String can't fail.
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                escaped(&self.y.words(tick))
            );
        }
        for tick in self.x.ticks() {
            let (x, words) = (self.x(tick), self.x.words(tick));
            let _ = writeln!(
                out,
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{}\">{}</text>",
                bottom + 5.0,
                bottom + 18.0,
                if x > right - 12.0 { "end" } else { "middle" },
                escaped(&words)
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LEFT.midpoint(right),
            HEIGHT - 8.0,
            escaped(&fit(&printable(&self.x.title()), TITLE_COLUMNS))
        );
    }
}

fn titled(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!("<title>{}</title>", escaped(words))
    }
}

/// The lowest and the highest point of each stretch, in order.
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
}
