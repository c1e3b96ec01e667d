//! Amounts of work in words: "1,234 cycles", "3 min 4 s", "24,100 cycles (23,600 to 24,700)".

use std::time::Duration;

use plimsoll_model::Estimate;

use super::number::{number, rounded};
use super::time::span;

/// From here on no part of a unit is of interest.
const WHOLE_FROM: f64 = 9.95;

/// What work is counted in. The word is foreign and is escaped by who prints it.
#[derive(Clone, Copy)]
pub(crate) struct WorkUnit<'a>(pub(crate) &'a str);

impl WorkUnit<'_> {
    pub(crate) fn is_time(self) -> bool {
        self.0 == "second"
    }

    /// "per cycle".
    pub(crate) fn per(self) -> String {
        format!("per {}", self.0)
    }

    /// "cycles".
    pub(crate) fn plural(self) -> String {
        let word = self.0;
        let stem = word
            .strip_suffix('y')
            .filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
        match stem {
            Some(stem) => format!("{stem}ies"),
            None if word.ends_with(['s', 'x']) || word.ends_with("ch") => format!("{word}es"),
            None => format!("{word}s"),
        }
    }

    /// "1 cycle", "1,234 cycles", "3 min 4 s".
    pub(crate) fn count(self, work: f64) -> String {
        self.words(work, self.figure(work))
    }

    /// [`WorkUnit::count`] of an estimate: "24,100 cycles".
    pub(crate) fn about(self, work: f64) -> String {
        self.words(work, self.about_figure(work))
    }

    /// "about 24,100 cycles (23,600 to 24,700)".
    pub(crate) fn estimate(self, estimate: &Estimate) -> String {
        format!(
            "{} ({} to {})",
            self.about(estimate.value),
            self.about_figure(estimate.low),
            self.about_figure(estimate.high)
        )
    }

    /// Without the word, but for times.
    pub(crate) fn figure(self, work: f64) -> String {
        if self.is_time() {
            return time(work);
        }
        if work.fract() == 0.0 {
            number(work)
        } else {
            self.about_figure(work)
        }
    }

    fn about_figure(self, work: f64) -> String {
        if self.is_time() {
            return time(work);
        }
        if !work.is_finite() || work <= 0.0 {
            return if work > 0.0 {
                "no end".to_owned()
            } else {
                "0".to_owned()
            };
        }
        rounded(if work < WHOLE_FROM {
            work
        } else {
            work.round()
        })
    }

    fn words(self, work: f64, figure: String) -> String {
        if self.is_time() {
            figure
        } else if work == 1.0 {
            format!("{figure} {}", self.0)
        } else {
            format!("{figure} {}", self.plural())
        }
    }
}

fn time(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or_else(|_| "no end".to_owned(), span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work() {
        let cycles = WorkUnit("cycle");
        let check = |work: f64, exact: &str, about: &str| {
            assert_eq!(cycles.count(work), exact);
            assert_eq!(cycles.about(work), about);
        };
        check(1.0, "1 cycle", "1 cycle");
        check(12.0, "12 cycles", "12 cycles");
        check(1234.0, "1,234 cycles", "1,230 cycles");
        check(24_123_456.0, "24,123,456 cycles", "24,100,000 cycles");
        check(100.6, "101 cycles", "101 cycles");
        check(0.25, "0.25 cycles", "0.25 cycles");
        assert_eq!(WorkUnit("query").plural(), "queries");
        assert_eq!(WorkUnit("batch").plural(), "batches");
        assert_eq!(WorkUnit("second").count(184.0), "3 min 4 s");
        assert_eq!(
            cycles.estimate(&Estimate {
                value: 24_100.0,
                low: 23_600.0,
                high: f64::INFINITY,
            }),
            "24,100 cycles (23,600 to no end)"
        );
    }
}
