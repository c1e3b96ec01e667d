//! Quantities that were estimated, in words: fractions of bytes, numbers of items, factors, shares,
//! and intervals that name their unit once: "5.90 KiB (5.80 to 6.00)".

use plimsoll_model::{Bytes, Estimate};

/// A size from which on an estimate means "not reached": the analysis looks no farther.
pub(crate) const SIZE_MAX: f64 = 1e18;

/// Bytes in three digits, with a sign when below 0; fractions only below 100 B.
pub(crate) fn bytes(amount: f64) -> String {
    if !amount.is_finite() {
        return "not a number".to_owned();
    }
    let sign = if amount < 0.0 { "-" } else { "" };
    let size = amount.abs();
    if size >= 1023.5 {
        // A float to an integer saturates.
        return format!("{sign}{}", Bytes(size.round() as u64));
    }
    if size == 0.0 {
        "0 B".to_owned()
    } else if size < 0.01 {
        format!("{sign}<0.01 B")
    } else if size.fract() == 0.0 {
        format!("{sign}{size:.0} B")
    } else {
        format!("{sign}{} B", three_digits(size))
    }
}

/// A figure of bytes with its interval: "872 MiB (850 to 895)"; alone where that is a point.
pub(crate) fn estimated(estimate: &Estimate) -> String {
    if estimate.low == estimate.high {
        return bytes(estimate.value);
    }
    format!("{} ({})", bytes(estimate.value), bounds(estimate))
}

/// The interval of [`estimated`] alone, without units where they are those of the value, and in
/// as many digits as tell its ends apart.
pub(crate) fn bounds(estimate: &Estimate) -> String {
    let Estimate { value, low, high } = *estimate;
    let words = [value, low, high].map(bytes);
    match [&words[0], &words[1], &words[2]].map(|figure| figure.rsplit_once(' ')) {
        [
            Some((_, unit)),
            Some((low_number, low_unit)),
            Some((high_number, high_unit)),
        ] if unit == low_unit && unit == high_unit => {
            let scale = UNITS.iter().position(|known| *known == unit);
            match scale.filter(|_| low_number == high_number && low < high) {
                Some(power) => {
                    let scale = 1024_f64.powi(power as i32);
                    format!("{:.4} to {:.4}", low / scale, high / scale)
                }
                None => format!("{low_number} to {high_number}"),
            }
        }
        _ => format!("{} to {}", words[1], words[2]),
    }
}

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// From the least to the greatest: "216 to 218 MiB", "998 KiB to 1.02 MiB".
pub(crate) fn range(least: f64, greatest: f64) -> String {
    let (least, greatest) = (bytes(least), bytes(greatest));
    if least == greatest {
        return least;
    }
    match (least.rsplit_once(' '), greatest.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => {
            format!("{number} to {greatest}")
        }
        _ => format!("{least} to {greatest}"),
    }
}

/// A size or a count as it is, digits in groups: "100,000", "0.25".
pub(crate) fn number(n: f64) -> String {
    if !n.is_finite() {
        return "not a number".to_owned();
    }
    if n.abs() >= 1e15 {
        return format!("{n:.2e}");
    }
    if n.fract() != 0.0 {
        // What `Display` gives is the shortest text that reads back as the same number.
        return n.to_string();
    }
    let digits = format!("{:.0}", n.abs());
    let mut out = String::from(if n < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An estimated size in three digits: "50,200".
pub(crate) fn rounded(n: f64) -> String {
    if !n.is_finite() || n == 0.0 || n.abs() >= 1e15 {
        return number(n);
    }
    let places = 2 - n.abs().log10().floor() as i32;
    if places <= 0 {
        let unit = 10_f64.powi(-places);
        number((n / unit).round() * unit)
    } else {
        let unit = 10_f64.powi(places);
        number((n * unit).round() / unit)
    }
}

/// How many times: "5.0", "1.25", "50".
pub(crate) fn factor(times: f64) -> String {
    if times < 1.995 {
        format!("{times:.2}")
    } else if times < 9.95 {
        format!("{times:.1}")
    } else {
        rounded(times.round())
    }
}

/// A share of 0 to 1 as a percentage in three digits.
pub(crate) fn share(ratio: f64) -> String {
    if ratio != 0.0 && ratio.abs() < 0.000_05 {
        return "<0.01%".to_owned();
    }
    let percent = ratio * 100.0;
    format!("{}%", three_digits(percent))
}

/// A change as a percentage with its sign: "-14.2%".
pub(crate) fn relative(change: f64) -> String {
    let sign = if change < 0.0 { "-" } else { "+" };
    // What is not all of it never rounds to that.
    if (0.9995..1.0).contains(&change.abs()) {
        return format!("{sign}{:.3}%", (change.abs() * 1e5).floor() / 1e3);
    }
    format!("{sign}{}", share(change.abs()))
}

/// A weight of 0 to 1; what is not nothing is never "0.00", what is not all never "1.00".
pub(crate) fn weight(weight: f64) -> String {
    if weight > 0.0 && weight < 0.005 {
        "<0.01".to_owned()
    } else if (0.995..1.0).contains(&weight) {
        ">0.99".to_owned()
    } else {
        format!("{weight:.2}")
    }
}

fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_bytes() {
        let check = |amount: f64, expected: &str| assert_eq!(bytes(amount), expected);
        check(0.0, "0 B");
        check(0.001, "<0.01 B");
        check(3.75, "3.75 B");
        check(12.0, "12 B");
        check(37.44, "37.4 B");
        check(1023.9, "1.00 KiB");
        check(5.9 * 1024.0, "5.90 KiB");
        check(-2.5 * 1048576.0, "-2.50 MiB");
        check(f64::NAN, "not a number");
    }

    #[test]
    fn intervals_name_their_unit_once() {
        let check = |value, low, high, expected: &str| {
            assert_eq!(estimated(&Estimate { value, low, high }), expected);
        };
        const KIB: f64 = 1024.0;
        check(5.9 * KIB, 5.8 * KIB, 6.0 * KIB, "5.90 KiB (5.80 to 6.00)");
        check(
            990.0 * KIB,
            900.0 * KIB,
            1100.0 * KIB,
            "990 KiB (900 KiB to 1.07 MiB)",
        );
        check(0.0, 0.0, 0.0, "0 B");
        check(
            2.5 * KIB,
            2.499 * KIB,
            2.501 * KIB,
            "2.50 KiB (2.4990 to 2.5010)",
        );
        assert_eq!(range(2.0 * KIB, 3.0 * KIB), "2.00 to 3.00 KiB");
        assert_eq!(range(2.0 * KIB, 2.0 * KIB), "2.00 KiB");
        assert_eq!(range(2.0, 3.0 * KIB), "2 B to 3.00 KiB");
    }

    #[test]
    fn numbers_and_shares() {
        let check = |found: String, expected: &str| assert_eq!(found, expected);
        check(number(100.0), "100");
        check(number(100_000.0), "100,000");
        check(number(-1_234_567.0), "-1,234,567");
        check(number(0.25), "0.25");
        check(number(SIZE_MAX), "1.00e18");
        check(rounded(50_213.7), "50,200");
        check(rounded(0.123_456), "0.123");
        check(rounded(12.34), "12.3");
        check(factor(5.0), "5.0");
        check(factor(1.02), "1.02");
        check(factor(50.0), "50");
        check(share(0.0031), "0.31%");
        check(share(0.00001), "<0.01%");
        check(relative(-0.142), "-14.2%");
        check(relative(0.05), "+5.00%");
        check(relative(-0.99965), "-99.965%");
        check(relative(-1.0), "-100%");
        check(weight(0.004), "<0.01");
        check(weight(0.997), ">0.99");
        check(weight(1.0), "1.00");
    }
}
