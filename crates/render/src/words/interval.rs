//! A figure of bytes with its interval, by one rule everywhere: the figure in three digits, the
//! ends in its unit and with as many digits more as tell them apart, two at most:
//! "640 MiB (639.9 to 640.2 MiB)".

use plimsoll_model::Estimate;

use super::amount::{Scale, bytes, signed_bytes, write};

/// Digits that the ends of an interval have more than the figure, at most.
const DIGITS_MORE: usize = 2;

/// A figure that is a smaller part of its farthest end lends it no unit: of one near 0 that is bytes,
/// whatever the interval.
const UNIT_SHARE_MIN: f64 = 0.1;

/// "20.3 KiB (19.8 to 20.7 KiB)"; the figure alone where the interval is a point. With signs where
/// an end is below 0.
pub(crate) fn estimated(estimate: &Estimate) -> String {
    estimated_per(estimate, "")
}

/// A figure of bytes with its interval, and what it is for: "20.3 KiB per cycle (19.8 to 20.7 KiB)".
#[must_use]
pub fn estimated_per(estimate: &Estimate, per: &str) -> String {
    let mut words = if estimate.low < 0.0 {
        signed_bytes(estimate.value)
    } else {
        bytes(estimate.value)
    };
    if !per.is_empty() {
        words = format!("{words} {per}");
    }
    if estimate.low == estimate.high {
        words
    } else {
        format!("{words} ({})", ends(estimate))
    }
}

/// "19.8 to 20.7 KiB".
pub(crate) fn ends(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = *estimate;
    let widest = low.abs().max(high.abs());
    let unit_of = if value.abs() < widest * UNIT_SHARE_MIN {
        widest
    } else {
        value
    };
    let (low, high) = pair(low, high, Scale::of(unit_of));
    format!("{low} to {high}")
}

/// "between -12 and +14 B", of a point the figure alone.
pub(crate) fn between(estimate: &Estimate) -> String {
    let Estimate { low, high, .. } = *estimate;
    if low == high {
        return signed_bytes(low);
    }
    let (low, high) = pair(low, high, scale_of_both(low, high));
    format!("between {low} and {high}")
}

/// From the least to the greatest that was seen: "216 to 218 MiB", "2 B to 3.00 KiB"; one figure
/// where three digits do not tell them apart.
pub(crate) fn range(least: f64, greatest: f64) -> String {
    let words = bytes(greatest);
    if bytes(least) == words {
        return words;
    }
    let (least, greatest) = pair(least, greatest, scale_of_both(least, greatest));
    format!("{least} to {greatest}")
}

fn scale_of_both(low: f64, high: f64) -> Scale {
    Scale::of(low.abs().max(high.abs()))
}

/// Both in the unit of `wanted`, if it suits them, or in one that they share, with the unit behind
/// the second; else each in its own.
fn pair(low: f64, high: f64, wanted: Scale) -> (String, String) {
    let signed = low < 0.0;
    let suits = |scale: &Scale| scale.suits(low) && scale.suits(high);
    let shared = || {
        let alike = Scale::of(low).name() == Scale::of(high).name();
        alike.then(|| scale_of_both(low, high)).filter(suits)
    };
    let Some(scale) = Some(wanted).filter(suits).or_else(shared) else {
        return (write(low, signed), write(high, signed));
    };
    let figures = |more| [low, high].map(|end| scale.figure(end, more, signed));
    let apart = (0..DIGITS_MORE)
        .map(figures)
        .find(|[low, high]| low != high);
    let [low, high] = apart.unwrap_or_else(|| figures(DIGITS_MORE));
    (low, format!("{high} {}", scale.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: f64 = 1024.0;
    const MIB: f64 = 1024.0 * 1024.0;

    fn of(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low, high }
    }

    #[test]
    fn ends_have_the_unit_of_the_figure_and_few_digits_more() {
        let check = |value: f64, low: f64, high: f64, expected: &str| {
            assert_eq!(estimated(&of(value, low, high)), expected);
        };
        check(
            5.9 * KIB,
            5.8 * KIB,
            6.0 * KIB,
            "5.90 KiB (5.80 to 6.00 KiB)",
        );
        check(
            640.03 * MIB,
            639.8742 * MIB,
            640.1898 * MIB,
            "640 MiB (639.9 to 640.2 MiB)",
        );
        check(
            10.3 * MIB,
            10.258 * MIB,
            10.3405 * MIB,
            "10.3 MiB (10.26 to 10.34 MiB)",
        );
        check(
            2.5 * KIB,
            2.49999 * KIB,
            2.50001 * KIB,
            "2.50 KiB (2.5000 to 2.5000 KiB)",
        );
        check(
            990.0 * KIB,
            900.0 * KIB,
            1100.0 * KIB,
            "990 KiB (900 to 1100 KiB)",
        );
        check(600e3, 3.0, 1200e3, "586 KiB (3 B to 1.14 MiB)");
        check(1023.0, 1021.0, 1025.0, "1023 B (1021 to 1025 B)");
        check(1.0, -12.0, 14.0, "+1 B (-12 to +14 B)");
        check(-3174.0, -3379.0, -2969.0, "-3.10 KiB (-3.30 to -2.90 KiB)");
        check(1.0, -12.0 * KIB, 14.0 * KIB, "+1 B (-12.0 to +14.0 KiB)");
        check(0.0, -2150.0, 2150.0, "0 B (-2.10 to +2.10 KiB)");
        check(0.0, 0.0, 0.0, "0 B");
        assert_eq!(
            estimated_per(&of(20787.0, 20275.0, 21196.0), "per cycle"),
            "20.3 KiB per cycle (19.8 to 20.7 KiB)"
        );
    }

    #[test]
    fn between_and_from_least_to_most() {
        assert_eq!(between(&of(1.0, -12.0, 14.0)), "between -12 and +14 B");
        assert_eq!(between(&of(1.0, 0.0, 2048.0)), "between 0 and 2.00 KiB");
        assert_eq!(between(&of(0.0, 0.0, 0.0)), "0 B");
        assert_eq!(range(2.0 * KIB, 3.0 * KIB), "2.00 to 3.00 KiB");
        assert_eq!(range(2.0 * KIB, 2.001 * KIB), "2.00 KiB");
        assert_eq!(range(2.0, 3.0 * KIB), "2 B to 3.00 KiB");
    }
}
