//! Estimated figures in words: "20.3 KiB (19.8 to 20.7)", "24,100 cycles".
//!
//! Exact bytes print themselves ([`plimsoll_model::Bytes`]); these are fractions, can be negative,
//! and share one unit with the ends of their interval.

use std::time::Duration;

use plimsoll_model::Estimate;

use crate::quantity::span;

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// From here on figures are written as powers of ten: no machine has so much, but a slope that was
/// put through two points next to each other may say so.
const POWERS_FROM: f64 = 1e12;

/// A unit, and how many digits after the point it is written with.
#[derive(Clone, Copy)]
struct Scale {
    unit: usize,
    digits: usize,
}

impl Scale {
    /// In which the largest of `figures` has three digits; bytes have fewer.
    fn of(figures: &[f64]) -> Scale {
        let mut value = figures
            .iter()
            .fold(0.0, |most: f64, next| most.max(next.abs()));
        if value < 1023.5 {
            let digits = if value < 0.995 {
                2
            } else {
                usize::from(value < 9.95)
            };
            return Scale { unit: 0, digits };
        }
        value /= 1024.0;
        let mut unit = 1;
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = if value < 9.995 {
            2
        } else {
            usize::from(value < 99.95)
        };
        Scale { unit, digits }
    }

    fn name(self) -> &'static str {
        UNITS[self.unit]
    }

    /// Without the unit; what rounds to nothing has no sign.
    fn figure(self, bytes: f64) -> String {
        let value = bytes / 1024f64.powi(self.unit as i32);
        if value.abs() >= POWERS_FROM {
            return format!("{value:.2e}");
        }
        let words = format!("{value:.digits$}", digits = self.digits);
        if words.bytes().all(|c| matches!(c, b'-' | b'0' | b'.')) {
            "0".to_owned()
        } else {
            words
        }
    }

    fn signed(self, bytes: f64) -> String {
        let words = self.figure(bytes);
        if bytes > 0.0 && words != "0" {
            format!("+{words}")
        } else {
            words
        }
    }

    /// False if a figure that is something would be printed as nothing.
    fn shows(self, figures: &[f64]) -> bool {
        let vanishes = |bytes: &f64| *bytes != 0.0 && self.figure(*bytes) == "0";
        !figures.iter().any(vanishes)
    }
}

/// "20.3 KiB", "-12 B", "0 B".
pub(crate) fn amount(bytes: f64) -> String {
    let scale = Scale::of(&[bytes]);
    format!("{} {}", scale.figure(bytes), scale.name())
}

/// "+20.3 KiB".
pub(crate) fn signed_amount(bytes: f64) -> String {
    let scale = Scale::of(&[bytes]);
    format!("{} {}", scale.signed(bytes), scale.name())
}

/// "20.3 KiB (19.8 to 20.7)"; with signs if the interval has a negative end.
pub(crate) fn estimate(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = *estimate;
    let scale = Scale::of(&[value, low, high]);
    let write = |bytes: f64| {
        if low < 0.0 {
            scale.signed(bytes)
        } else {
            scale.figure(bytes)
        }
    };
    if scale.shows(&[low, value, high]) {
        let unit = scale.name();
        format!(
            "{} {unit} ({} to {})",
            write(value),
            write(low),
            write(high)
        )
    } else {
        let write = if low < 0.0 { signed_amount } else { amount };
        format!("{} ({} to {})", write(value), write(low), write(high))
    }
}

/// "between -12 and +14 B".
pub(crate) fn between(estimate: &Estimate) -> String {
    let Estimate { low, high, .. } = *estimate;
    let scale = Scale::of(&[low, high]);
    if !scale.shows(&[low, high]) {
        return format!("between {} and {}", signed_amount(low), signed_amount(high));
    }
    let write = |bytes: f64| {
        if low < 0.0 {
            scale.signed(bytes)
        } else {
            scale.figure(bytes)
        }
    };
    format!(
        "between {} and {} {}",
        write(low),
        write(high),
        scale.name()
    )
}

/// What work is counted in. The word is foreign and is escaped by who prints it.
#[derive(Clone, Copy)]
pub(crate) struct WorkUnit<'a>(pub(crate) &'a str);

/// Figures of an estimate that mean something.
const ESTIMATE_DIGITS: i32 = 3;

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
            grouped(work, 0)
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
        let place = ESTIMATE_DIGITS - 1 - work.log10().floor() as i32;
        if place > 0 && work.fract() != 0.0 {
            // A fraction of a cycle is of interest only below a few of them.
            let digits = if work < 9.95 {
                place.min(2) as usize
            } else {
                0
            };
            return grouped(work, digits);
        }
        let step = 10f64.powi(-place.min(0));
        grouped((work / step).round() * step, 0)
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

/// "24,100".
fn grouped(value: f64, digits: usize) -> String {
    if value.abs() >= POWERS_FROM {
        return format!("{value:.2e}");
    }
    let words = format!("{value:.digits$}");
    let whole = words.split('.').next().map_or(0, str::len);
    let mut out = String::with_capacity(words.len() + 4);
    for (place, c) in words.chars().enumerate() {
        if place > 0 && place < whole && (whole - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low, high }
    }

    #[test]
    fn amounts() {
        let check = |bytes: f64, expected: &str| assert_eq!(amount(bytes), expected);
        check(0.0, "0 B");
        check(0.42, "0.42 B");
        check(-0.001, "0 B");
        check(-12.3, "-12 B");
        check(1023.4, "1023 B");
        check(20.3 * 1024.0, "20.3 KiB");
        check(-1000.0 * 1024.0, "-0.98 MiB");
        check(1e285, "8.67e266 EiB");
        check(f64::NAN, "NaN B");
        assert_eq!(signed_amount(7.1 * 1024.0), "+7.10 KiB");
        assert_eq!(signed_amount(0.0), "0 B");
    }

    #[test]
    fn intervals_share_a_unit_unless_an_end_would_vanish() {
        let check = |it: Estimate, expected: &str| assert_eq!(estimate(&it), expected);
        check(of(20787.0, 20275.0, 21196.0), "20.3 KiB (19.8 to 20.7)");
        check(of(1.0, -12.0, 14.0), "+1 B (-12 to +14)");
        check(of(-3174.0, -3379.0, -2969.0), "-3.10 KiB (-3.30 to -2.90)");
        check(of(600e3, 3.0, 1200e3), "586 KiB (3.0 B to 1.14 MiB)");
        assert_eq!(between(&of(1.0, -12.0, 14.0)), "between -12 and +14 B");
        assert_eq!(between(&of(1.0, 0.0, 2048.0)), "between 0 and 2.00 KiB");
    }

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
            cycles.estimate(&of(24_100.0, 23_600.0, f64::INFINITY)),
            "24,100 cycles (23,600 to no end)"
        );
    }
}
