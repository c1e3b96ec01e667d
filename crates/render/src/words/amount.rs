//! Amounts of memory in words: "5.90 KiB", "+12 B", "~1.20 GiB".
//!
//! Exact bytes print themselves ([`plimsoll_model::Bytes`]); what was estimated is a fraction, may
//! be negative, and prints here by the same rule: three digits, in the unit that leaves a whole part.

use plimsoll_model::{Breakdown, Bytes, Exactness};

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// From here on a figure is written as a power of ten: no machine has so much, but a slope that was
/// put through two points next to each other may say so.
const POWERS_FROM: f64 = 1e12;

/// Of bytes that are no whole number, the least that is written as it is.
const LEAST: f64 = 0.005;

/// "20.3 KiB", "-12.5 B", "0 B"; what is not nothing never is "0 B".
pub(crate) fn bytes(amount: f64) -> String {
    write(amount, false)
}

/// "+20.3 KiB".
pub(crate) fn signed_bytes(amount: f64) -> String {
    write(amount, true)
}

pub(super) fn write(amount: f64, signed: bool) -> String {
    if !amount.is_finite() {
        return "not a number".to_owned();
    }
    if amount != 0.0 && amount.abs() < LEAST {
        let sign = if amount < 0.0 { ">-" } else { "<" };
        return format!("{sign}0.01 B");
    }
    let scale = Scale::of(amount);
    format!("{} {}", scale.figure(amount, 0, signed), scale.name())
}

/// A unit, and how many digits after the point make three in it.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    unit: usize,
    digits: usize,
}

impl Scale {
    pub(super) fn of(amount: f64) -> Scale {
        let mut value = amount.abs();
        let mut unit = 0;
        if value >= 1023.5 {
            (value, unit) = (value / 1024.0, 1);
        } else if value.fract() == 0.0 {
            return Scale { unit, digits: 0 };
        }
        // 999.5 would round to "1000", four digits: go up one unit instead.
        while unit > 0 && value >= 999.5 && unit + 1 < UNITS.len() {
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

    pub(super) fn name(self) -> &'static str {
        UNITS[self.unit]
    }

    /// Without the unit, with `more` digits; what rounds to nothing is "0".
    pub(super) fn figure(self, amount: f64, more: usize, signed: bool) -> String {
        let value = self.in_unit(amount);
        let words = if value.abs() >= POWERS_FROM {
            format!("{value:.2e}")
        } else {
            format!("{value:.digits$}", digits = self.digits + more)
        };
        if words.bytes().all(|c| matches!(c, b'-' | b'0' | b'.')) {
            "0".to_owned()
        } else if signed && amount > 0.0 {
            format!("+{words}")
        } else {
            words
        }
    }

    /// Whether an amount can be read in this unit: it neither vanishes nor has five digits.
    pub(super) fn suits(self, amount: f64) -> bool {
        let vanishes = amount != 0.0 && self.figure(amount, 0, false) == "0";
        let last = self.unit + 1 == UNITS.len();
        amount.is_finite() && !vanishes && (last || self.in_unit(amount).abs() < 9_999.5)
    }

    fn in_unit(self, amount: f64) -> f64 {
        amount / 1024_f64.powi(self.unit as i32)
    }
}

/// Bytes with the mark of how good they are.
pub(crate) fn marked(bytes: Bytes, exactness: Exactness) -> String {
    format!("{}{bytes}", mark(exactness))
}

pub(crate) const fn mark(exactness: Exactness) -> &'static str {
    match exactness {
        Exactness::Exact => "",
        Exactness::Estimated => "~",
        Exactness::AtMost => "<=",
    }
}

/// How good `totals.rss_peak` is: processes have their peaks at different times, so that of a tree
/// the sum is an upper bound.
pub(crate) fn peak_exactness(breakdown: &Breakdown) -> Exactness {
    if breakdown.processes.len() > 1 {
        Exactness::AtMost
    } else {
        Exactness::Exact
    }
}

/// From one figure to another, with its sign; "0 B" when equal.
pub(crate) fn change(from: Bytes, to: Bytes) -> String {
    if to > from {
        format!("+{}", to - from)
    } else if to < from {
        format!("-{}", from - to)
    } else {
        Bytes::ZERO.to_string()
    }
}

/// A change with its sign.
pub(crate) fn signed(change: i64) -> String {
    let bytes = Bytes(change.unsigned_abs());
    match change {
        0 => bytes.to_string(),
        1.. => format!("+{bytes}"),
        _ => format!("-{bytes}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_were_estimated() {
        let check = |amount: f64, expected: &str| assert_eq!(bytes(amount), expected);
        check(0.0, "0 B");
        check(0.001, "<0.01 B");
        check(-0.001, ">-0.01 B");
        check(0.42, "0.42 B");
        check(12.0, "12 B");
        check(37.44, "37.4 B");
        check(-12.3, "-12.3 B");
        check(1023.0, "1023 B");
        check(1023.9, "1.00 KiB");
        check(5.9 * 1024.0, "5.90 KiB");
        check(-1000.0 * 1024.0, "-0.98 MiB");
        check(1e285, "8.67e266 EiB");
        check(f64::NAN, "not a number");
        assert_eq!(signed_bytes(7.1 * 1024.0), "+7.10 KiB");
        assert_eq!(signed_bytes(-12.0), "-12 B");
        assert_eq!(signed_bytes(0.0), "0 B");
    }

    #[test]
    fn estimates_print_as_exact_bytes_do() {
        for exact in [0, 1, 999, 1023, 1024, 10_235, 1_048_575, 5_905_580_032] {
            assert_eq!(bytes(exact as f64), Bytes(exact).to_string());
        }
    }

    #[test]
    fn changes() {
        assert_eq!(change(Bytes::mib(1), Bytes::mib(3)), "+2.00 MiB");
        assert_eq!(change(Bytes::mib(3), Bytes::mib(1)), "-2.00 MiB");
        assert_eq!(change(Bytes::mib(3), Bytes::mib(3)), "0 B");
        assert_eq!(signed(-(3 << 20)), "-3.00 MiB");
        assert_eq!(signed(1024), "+1.00 KiB");
        assert_eq!(signed(0), "0 B");
    }
}
