//! Charts in characters, as wide as the page allows: levels over time, the course over work, runs
//! by size.

mod course;
mod scatter;
mod time_line;

use crate::printable::columns;

pub(super) use course::Course;
pub(super) use scatter::scatter;
pub(super) use time_line::{time_line, time_mark};

/// Eighths of a cell. Nothing is a space, so that "0" and "a little" differ.
const BLOCKS: [char; 9] = [
    ' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
    '\u{2588}',
];

/// The cell of `width` that holds a share of the axis; its end is in the last one.
fn cell(share: f64, width: usize) -> usize {
    // A float to an integer saturates.
    ((share * width as f64) as usize).min(width.saturating_sub(1))
}

/// Fills cells without a figure: a level holds until it is next read. Before the first there is
/// none.
fn held<T: Copy>(cells: &mut [Option<T>], level: impl Fn(T) -> T) {
    let mut last = None;
    for cell in cells {
        *cell = cell.or(last);
        last = cell.map(&level);
    }
}

/// Words under both ends of an axis and its middle; those of the middle go where there is no room.
fn under(left: &str, middle: &str, right: &str, width: usize) -> String {
    let room = width.saturating_sub(columns(left) + columns(right));
    let middle = if columns(middle) + 2 > room {
        ""
    } else {
        middle
    };
    let gaps = room - columns(middle).min(room);
    let (first, second) = (" ".repeat(gaps / 2), " ".repeat(gaps - gaps / 2));
    format!("{left}{first}{middle}{second}{right}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_cells() {
        let check = |share: f64, expected: usize| assert_eq!(cell(share, 8), expected);
        check(-0.1, 0);
        check(0.0, 0);
        check(0.5, 4);
        check(1.0, 7);
        check(f64::NAN, 0);
    }

    #[test]
    fn words_stand_under_their_axis() {
        assert_eq!(under("1", "n", "100", 11), "1   n   100");
        assert_eq!(under("1", "a long name", "100", 11), "1       100");
        assert_eq!(under("1", "", "100", 2), "1100");
    }
}
