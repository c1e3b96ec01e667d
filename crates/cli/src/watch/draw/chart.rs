//! The chart: what RSS was made of over time, as stacked bands, with RSS itself between full
//! readings as dots.
//!
//! A band is told by its letter, which the table repeats; colour only adds to that. With colour a
//! row of cells is split in eighths; without, whole cells are filled with the letters.

use std::time::Duration;

use plimsoll_model::Bytes;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::super::component_id::ComponentId;
use super::super::history::Point;
use super::super::state::State;
use super::ink::{BANDS_MAX, Ink};
use super::text::{clip, columns, shorten, span};

/// Lower parts of a cell, in eighths.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Columns of the amounts at the left: "0.98 GiB" and the axis.
const AXIS_WIDTH: u16 = 10;

/// From this width on, the bands' names stand beside the chart.
const LEGEND_FROM: u16 = 100;
const LEGEND_WIDTH: u16 = 30;

/// The components that have a band, largest first.
#[derive(Debug)]
pub(super) struct Bands {
    ids: Vec<ComponentId>,
    names: Vec<String>,
}

impl Bands {
    pub(super) fn of(state: &State) -> Bands {
        let largest = state.history.largest(BANDS_MAX);
        Bands {
            ids: largest.iter().map(|(id, _)| *id).collect(),
            names: largest
                .iter()
                .map(|(_, known)| match known.name.as_str() {
                    "" => known.kind.name().to_owned(),
                    name => name.to_owned(),
                })
                .collect(),
        }
    }

    pub(super) fn index(&self, id: ComponentId) -> Option<usize> {
        self.ids.iter().position(|band| *band == id)
    }
}

/// The letter of a band; what has no band of its own is "others".
pub(super) const fn letter(band: Option<usize>) -> char {
    match band {
        Some(band) => (b'A' + band as u8) as char,
        None => '·',
    }
}

pub(super) fn chart(state: &State, bands: &Bands, ink: Ink, area: Rect, buf: &mut Buffer) {
    let legend = if area.width >= LEGEND_FROM {
        LEGEND_WIDTH
    } else {
        0
    };
    let plot = Rect {
        x: area.x + AXIS_WIDTH,
        width: area.width.saturating_sub(AXIS_WIDTH + legend),
        height: area.height.saturating_sub(1),
        ..area
    };
    let known = state.history.points().next().is_some() || !state.history.samples().is_empty();
    if plot.height == 0 || plot.width == 0 || !known {
        return;
    }
    let scale = Scale::of(state, plot);
    axes(&scale, plot, buf);
    let tops = stack(state, bands, &scale, ink, plot, buf);
    dots(state, &scale, &tops, plot, buf);
    if legend > 0 {
        let beside = Rect {
            x: plot.right() + 2,
            width: legend - 2,
            ..area
        };
        names(state, bands, ink, beside, buf);
    }
}

/// Where times and amounts are on the screen.
#[derive(Debug)]
struct Scale {
    from: Duration,
    to: Duration,
    most: Bytes,
    columns: u16,
    /// Eighths of a row.
    steps: u64,
}

impl Scale {
    fn of(state: &State, plot: Rect) -> Scale {
        let points = state
            .history
            .points()
            .map(|point| (point.at, point.resident));
        let samples = state
            .history
            .samples()
            .iter()
            .map(|sample| (sample.at, sample.rss));
        let mut from = Duration::MAX;
        let mut most = Bytes::ZERO;
        for (at, resident) in points.chain(samples) {
            from = from.min(at);
            most = most.max(resident);
        }
        let to = state.now.max(from.min(state.now) + Duration::from_secs(1));
        Scale {
            from: from.min(state.now),
            to,
            most: rounded_up(most),
            columns: plot.width,
            steps: u64::from(plot.height) * 8,
        }
    }

    fn column(&self, at: Duration) -> u16 {
        let length = (self.to - self.from).as_secs_f64();
        let since = at.saturating_sub(self.from).as_secs_f64();
        let column = since / length * f64::from(self.columns);
        (column as u16).min(self.columns - 1)
    }

    /// Height in eighths of a row, rounded.
    fn steps(&self, bytes: Bytes) -> u64 {
        (bytes.ratio_of(self.most) * self.steps as f64).round() as u64
    }
}

/// The next amount with two leading binary digits or three: 4, 5, 6 or 7 times a power of two,
/// which prints short.
fn rounded_up(most: Bytes) -> Bytes {
    let shift = most.0.max(4).ilog2() - 2;
    let whole = most.0.max(1).div_ceil(1 << shift);
    Bytes(whole.max(4).saturating_mul(1 << shift))
}

fn axes(scale: &Scale, plot: Rect, buf: &mut Buffer) {
    let left = plot.x - AXIS_WIDTH;
    let label = |bytes: Bytes| format!("{bytes:>8} ");
    for y in plot.y..plot.bottom() {
        let half = plot.height >= 6 && y == plot.y + plot.height / 2;
        let tick = if y == plot.y || half { "┤" } else { "│" };
        buf.set_string(plot.x - 1, y, tick, Ink::dim());
        if y == plot.y {
            buf.set_string(left, y, label(scale.most), Ink::dim());
        } else if half {
            let rows = u64::from(plot.bottom() - y);
            let amount = scale.most.scaled(rows, u64::from(plot.height));
            buf.set_string(left, y, label(amount), Ink::dim());
        }
    }
    buf.set_string(left, plot.bottom(), format!("{:>8} ", 0), Ink::dim());
    let line = format!("└{}", "─".repeat(usize::from(plot.width)));
    buf.set_string(plot.x - 1, plot.bottom(), line, Ink::dim());
    buf.set_string(
        plot.x + 1,
        plot.bottom(),
        format!(" -{} ", span(scale.to - scale.from)),
        Ink::dim(),
    );
    buf.set_string(
        plot.right().saturating_sub(6),
        plot.bottom(),
        " now ",
        Ink::dim(),
    );
}

/// A boundary between two bands of one column: all below `top` and above the one before is
/// `band`'s.
#[derive(Clone, Copy, Debug)]
struct Layer {
    band: Option<usize>,
    top: u64,
}

/// Draws the bands; returns the height of each column, 0 where nothing is known.
fn stack(
    state: &State,
    bands: &Bands,
    scale: &Scale,
    ink: Ink,
    plot: Rect,
    buf: &mut Buffer,
) -> Vec<u64> {
    let mut shown: Vec<Option<&Point>> = vec![None; usize::from(plot.width)];
    for point in state.history.points() {
        let slot = &mut shown[usize::from(scale.column(point.at))];
        // The highest of a column, so that no peak is lost.
        if slot.is_none_or(|before| before.resident <= point.resident) {
            *slot = Some(point);
        }
    }
    // The last column is now; a reading holds until the next one.
    if let (Some(last), Some(newest)) = (shown.last_mut(), state.history.points().last()) {
        last.get_or_insert(newest);
    }
    let mut tops = Vec::with_capacity(shown.len());
    let mut before: Option<&Point> = None;
    for (x, point) in (plot.x..).zip(&shown) {
        before = point.or(before);
        let layers = before.map_or_else(Vec::new, |point| layers(point, bands, scale));
        column(&layers, ink, x, plot, buf);
        tops.push(layers.last().map_or(0, |layer| layer.top));
    }
    if ink.color {
        letters(state, bands, scale, ink, plot, buf);
    }
    tops
}

fn layers(point: &Point, bands: &Bands, scale: &Scale) -> Vec<Layer> {
    let mut below = Bytes::ZERO;
    let mut layers = Vec::with_capacity(bands.ids.len() + 1);
    for (index, band) in bands.ids.iter().enumerate() {
        if let Some((_, bytes)) = point.parts.iter().find(|(id, _)| id == band) {
            below += *bytes;
            layers.push(Layer {
                band: Some(index),
                top: scale.steps(below),
            });
        }
    }
    layers.push(Layer {
        band: None,
        top: scale.steps(point.resident.max(below)),
    });
    layers
}

fn column(layers: &[Layer], ink: Ink, x: u16, plot: Rect, buf: &mut Buffer) {
    for row in 0..plot.height {
        let low = u64::from(row) * 8;
        let cell = &mut buf[(x, plot.bottom() - 1 - row)];
        // The band at the given height, counted in eighths.
        let at = |height: u64| layers.iter().find(|layer| layer.top > height);
        if !ink.color {
            if let Some(layer) = at(low + 3) {
                cell.set_char(letter(layer.band));
            }
            continue;
        }
        let Some(lower) = at(low) else { continue };
        let filled = (lower.top - low).min(8);
        let upper = if filled < 8 { at(low + 7) } else { None };
        let ground = upper.map_or(Color::Reset, |layer| ink.band_color(layer.band));
        cell.set_symbol(EIGHTHS[filled as usize]);
        cell.set_style(Style::new().fg(ink.band_color(lower.band)).bg(ground));
    }
}

/// Writes each band's letter into the cell that it fills most now, if that is half or more.
fn letters(state: &State, bands: &Bands, scale: &Scale, ink: Ink, plot: Rect, buf: &mut Buffer) {
    let Some(point) = state.history.points().last() else {
        return;
    };
    let mut below = 0;
    for layer in layers(point, bands, scale) {
        let (from, to) = (below, layer.top);
        below = layer.top;
        // The whole cells' middle one, else the cell around the band's own middle.
        let row = match (from.div_ceil(8), to / 8) {
            (first, end) if first < end => (first + end - 1) / 2,
            _ => (from + to) / 16,
        };
        let filled = to.min(8 * row + 8).saturating_sub(from.max(8 * row));
        let row = u16::try_from(row).unwrap_or(u16::MAX);
        if filled < 4 || row >= plot.height {
            continue;
        }
        let position = (plot.right().saturating_sub(2), plot.bottom() - 1 - row);
        let style = ink
            .band(layer.band)
            .bg(Color::Reset)
            .add_modifier(Modifier::REVERSED);
        buf[position].set_char(letter(layer.band)).set_style(style);
    }
}

/// Dots where the quick readings show RSS off the top of the bands by a cell or more.
fn dots(state: &State, scale: &Scale, tops: &[u64], plot: Rect, buf: &mut Buffer) {
    let mut most: Vec<Option<Bytes>> = vec![None; usize::from(plot.width)];
    for sample in state.history.samples() {
        let slot = &mut most[usize::from(scale.column(sample.at))];
        *slot = Some(slot.map_or(sample.rss, |before| before.max(sample.rss)));
    }
    for ((x, rss), top) in (plot.x..).zip(&most).zip(tops) {
        let Some(rss) = rss else { continue };
        let height = scale.steps(*rss);
        if height.abs_diff(*top) < 8 {
            continue;
        }
        let row = u16::try_from(height.saturating_sub(1) / 8)
            .unwrap_or(0)
            .min(plot.height - 1);
        let cell = &mut buf[(x, plot.bottom() - 1 - row)];
        cell.set_symbol("•");
        cell.set_style(Style::reset().add_modifier(Modifier::BOLD));
    }
}

fn names(state: &State, bands: &Bands, ink: Ink, area: Rect, buf: &mut Buffer) {
    let Some(point) = state.history.points().last() else {
        return;
    };
    let width = usize::from(area.width);
    let mut others = point.resident;
    let mut lines = Vec::new();
    for (index, (id, name)) in bands.ids.iter().zip(&bands.names).enumerate() {
        let held = point
            .parts
            .iter()
            .find(|(part, _)| part == id)
            .map(|(_, bytes)| *bytes);
        others = others.saturating_sub(held.unwrap_or_default());
        lines.push((Some(index), name.as_str(), held.unwrap_or_default()));
    }
    lines.push((None, "others", others));
    // From the top band to the lowest, as they lie in the chart.
    for (y, (band, name, held)) in (area.y..area.bottom()).zip(lines.into_iter().rev()) {
        let amount = format!("{held:>8}");
        let name = shorten(name, width.saturating_sub(columns(&amount) + 4));
        buf.set_string(area.x, y, format!("{} ", letter(band)), ink.band(band));
        buf.set_string(area.x + 2, y, clip(&name, width), Style::new());
        let x = area.right().saturating_sub(columns(&amount) as u16);
        buf.set_string(x, y, amount, Style::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_short_amount_above_the_most() {
        let check = |most: Bytes, expected: &str| {
            let found = rounded_up(most);
            assert!(found >= most);
            assert_eq!(found.to_string(), expected);
        };
        check(Bytes::ZERO, "4 B");
        check(Bytes(4), "4 B");
        check(Bytes::mib(100), "112 MiB");
        check(Bytes::mib(512), "512 MiB");
        check(Bytes::mib(513), "640 MiB");
        check(Bytes::gib(3), "3.00 GiB");
        check(Bytes(u64::MAX), "16.0 EiB");
    }
}
