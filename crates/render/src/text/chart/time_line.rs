//! A line of block characters: how bytes went over time, as wide as the page allows.

use std::time::Duration;

use plimsoll_model::Bytes;

use super::{BLOCKS, cell, held};

/// Draws `points` (in time order) over `length` in `width` cells, full height at `top`. A cell
/// shows the highest point within it; a cell without a point repeats the one before, since a
/// level holds until it is next read. Before the first point cells are blank.
pub(in crate::text) fn time_line(
    points: &[(Duration, Bytes)],
    length: Duration,
    top: Bytes,
    width: usize,
) -> String {
    let mut cells: Vec<Option<Bytes>> = vec![None; width];
    for (at, bytes) in points {
        if let Some(cell) = cells.get_mut(time_mark(*at, length, width)) {
            *cell = Some(cell.map_or(*bytes, |highest| highest.max(*bytes)));
        }
    }
    held(&mut cells, |level| level);
    let block = |cell: Option<Bytes>| cell.map_or(BLOCKS[0], |bytes| block(bytes, top));
    cells.into_iter().map(block).collect()
}

/// The cell that holds the time `at`; the end of the run is in the last one.
pub(in crate::text) fn time_mark(at: Duration, length: Duration, width: usize) -> usize {
    if length.is_zero() {
        return 0;
    }
    cell(at.as_secs_f64() / length.as_secs_f64(), width)
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
