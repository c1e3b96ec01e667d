//! Median, least and greatest of repeated figures.

/// Repeats of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without any figure.
    pub(crate) fn of(figures: &[f64]) -> Option<Spread> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Spread { median, min, max })
    }

    /// Of `theirs[i] / ours[i]`, round by round: what disturbs a round disturbs both.
    pub(crate) fn of_ratios(theirs: &[f64], ours: &[f64]) -> Option<Spread> {
        let ratios: Vec<f64> = theirs
            .iter()
            .zip(ours)
            .filter(|(_, ours)| **ours > 0.0)
            .map(|(theirs, ours)| theirs / ours)
            .collect();
        Spread::of(&ratios)
    }

    /// `12.3 (11.9–14.0)`, with as many digits as say something.
    pub(crate) fn text(&self) -> String {
        format!(
            "{} ({}–{})",
            short(self.median),
            short(self.min),
            short(self.max)
        )
    }
}

/// Three digits that count.
pub(crate) fn short(figure: f64) -> String {
    let decimals = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.01 || size == 0.0 => 3,
        _ => 4,
    };
    format!("{figure:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_none() {
        let check = |figures: &[f64], expected: Option<(f64, f64, f64)>| {
            let found = Spread::of(figures).map(|spread| (spread.median, spread.min, spread.max));
            assert_eq!(found, expected, "{figures:?}");
        };
        check(&[], None);
        check(&[2.0], Some((2.0, 2.0, 2.0)));
        check(&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0)));
        check(&[4.0, 1.0, 2.0, 8.0], Some((3.0, 1.0, 8.0)));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratios = Spread::of_ratios(&[10.0, 40.0, 30.0], &[5.0, 10.0, 10.0]).expect("three");
        assert_eq!((ratios.median, ratios.min, ratios.max), (3.0, 2.0, 4.0));
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn figures_keep_three_digits() {
        let check = |figure, expected: &str| assert_eq!(short(figure), expected);
        check(1234.5, "1234");
        check(12.34, "12.3");
        check(1.234, "1.23");
        check(0.1234, "0.123");
        check(0.00123, "0.0012");
        check(0.0, "0.000");
    }
}
