//! A line of block characters: how bytes went over time, as wide as the page allows.

use std::time::Duration;

use plimsoll_model::Bytes;

/// Eighths of a cell. Nothing is a space, so that "0" and "a little" differ.
pub(super) const BLOCKS: [char; 9] = [
    ' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
    '\u{2588}',
];

/// Draws `points` (in time order) over `length` in `width` cells, full height at `top`. A cell
/// shows the highest point within it; a cell without a point repeats the one before, since a
/// level holds until it is next read. Before the first point cells are blank.
pub(super) fn time_line(
    points: &[(Duration, Bytes)],
    length: Duration,
    top: Bytes,
    width: usize,
) -> String {
    let mut cells: Vec<Option<Bytes>> = vec![None; width];
    for (at, bytes) in points {
        if let Some(cell) = cells.get_mut(cell_of(*at, length, width)) {
            *cell = Some(cell.map_or(*bytes, |highest| highest.max(*bytes)));
        }
    }
    let mut last = None;
    cells
        .into_iter()
        .map(|cell| {
            last = cell.or(last);
            last.map_or(' ', |bytes| block(bytes, top))
        })
        .collect()
}

/// The cell that holds the time `at`; the end of the run is in the last one.
pub(super) fn cell_of(at: Duration, length: Duration, width: usize) -> usize {
    if length.is_zero() {
        return 0;
    }
    let cell = at.as_secs_f64() / length.as_secs_f64() * width as f64;
    (cell as usize).min(width.saturating_sub(1))
}

fn block(bytes: Bytes, top: Bytes) -> char {
    if bytes.is_zero() {
        return BLOCKS[0];
    }
    let eighths = (bytes.ratio_of(top) * 8.0).round() as usize;
    BLOCKS[eighths.clamp(1, 8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(points: &[(u64, u64)], length: u64, expected: &str) {
        let points: Vec<(Duration, Bytes)> = points
            .iter()
            .map(|(at, bytes)| (Duration::from_secs(*at), Bytes(*bytes)))
            .collect();
        let top = points
            .iter()
            .map(|(_, bytes)| *bytes)
            .max()
            .unwrap_or_default();
        let line = time_line(&points, Duration::from_secs(length), top, 8);
        assert_eq!(line, expected);
    }

    #[test]
    fn draws_levels() {
        check(&[], 8, "        ");
        check(
            &[(0, 8), (4, 4), (6, 0)],
            8,
            "\u{2588}\u{2588}\u{2588}\u{2588}\u{2584}\u{2584}  ",
        );
        check(&[(4, 1), (8, 8)], 8, "    \u{2581}\u{2581}\u{2581}\u{2588}");
        check(
            &[(0, 5)],
            0,
            "\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}",
        );
    }

    #[test]
    fn a_cell_keeps_its_highest_point() {
        check(
            &[(0, 1), (1, 8), (2, 1)],
            80,
            "\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}",
        );
    }
}
