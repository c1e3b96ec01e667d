//! Tables as Markdown has them, and figures as they are put into cells.

use std::time::Duration;

/// Prints a table; columns are as wide as they need to be.
pub(crate) fn print(title: &str, columns: &[&str], rows: &[Vec<String>]) {
    let head: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    let width = |at: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &[String]| {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(at, cell)| match at {
                0 => format!("{cell:<0$}", width(at)),
                _ => format!("{cell:>0$}", width(at)),
            })
            .collect();
        println!("| {} |", cells.join(" | "));
    };
    println!("\n{title}\n");
    line(&head);
    let rule: Vec<String> = (0..columns.len())
        .map(|at| match at {
            0 => "-".repeat(width(at)),
            _ => format!("{}:", "-".repeat(width(at).saturating_sub(1))),
        })
        .collect();
    line(&rule);
    for row in rows {
        line(row);
    }
}

/// The middle one, or the mean of both.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len(), sorted.len() % 2) {
        (0, _) => f64::NAN,
        (_, 1) => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// `median (least–greatest)`, or the one that there is.
pub(crate) fn spread(figures: &[f64], show: impl Fn(f64) -> String) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = show(median(figures));
    match (show(least), show(most)) {
        (least, most) if least == most => middle,
        (least, most) => format!("{middle} ({least}–{most})"),
    }
}

pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// Three digits.
pub(crate) fn short(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        large if large >= 99.95 => format!("{large:.0}"),
        middle if middle >= 9.995 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(spread(&[3.0, 1.0, 2.0], short), "2.00 (1.00–3.00)");
        assert_eq!(spread(&[2.0], short), "2.00");
        assert_eq!(short(0.0), "0");
        assert_eq!(
            (&*short(1234.6), &*short(12.34), &*short(0.126)),
            ("1235", "12.3", "0.13")
        );
        assert_eq!(median(&[4.0, 1.0]), 2.5);
    }
}
