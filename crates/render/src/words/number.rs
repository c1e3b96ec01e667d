//! Numbers, counts and shares in words: "24,100", "1 process", "93%", "-14.2%".

use plimsoll_model::Bytes;

/// From here on, and below here, a number is written as a power of ten.
const POWERS_FROM: f64 = 1e15;
const POWERS_BELOW: f64 = 1e-4;

/// A size or a count as it is, digits in groups: "100,000", "0.25".
pub(crate) fn number(n: f64) -> String {
    if !n.is_finite() {
        return "not a number".to_owned();
    }
    if n.abs() >= POWERS_FROM || (n != 0.0 && n.abs() < POWERS_BELOW) {
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
    if !n.is_finite() || n == 0.0 || n.abs() >= POWERS_FROM {
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

/// "1 process", "12 processes": `plural` is the whole word.
pub(crate) fn count(number: u64, one: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { plural })
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

/// A part of a whole as a whole percentage; what is not nothing is never "0%", what is not all
/// never "100%".
pub(crate) fn percent(part: Bytes, whole: Bytes) -> String {
    if part.is_zero() {
        return "0%".to_owned();
    }
    let ratio = part.ratio_of(whole) * 100.0;
    if ratio < 0.5 {
        "<1%".to_owned()
    } else if part < whole && ratio > 99.0 {
        ">99%".to_owned()
    } else {
        format!("{ratio:.0}%")
    }
}

/// A share of 0 to 1 as a percentage in three digits.
pub(crate) fn share(ratio: f64) -> String {
    if ratio != 0.0 && ratio.abs() < 0.000_05 {
        return "<0.01%".to_owned();
    }
    let percent = ratio * 100.0;
    let digits = match percent.abs() {
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    format!("{percent:.digits$}%")
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

/// Of intervals: "95%", "99.9%".
pub(crate) fn confidence(share: f64) -> String {
    format!("{}%", number((share * 1e5).round() / 1e3))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |found: String, expected: &str| assert_eq!(found, expected);
        check(number(100.0), "100");
        check(number(100_000.0), "100,000");
        check(number(-1_234_567.0), "-1,234,567");
        check(number(0.25), "0.25");
        check(number(1e18), "1.00e18");
        check(number(7.0099e-79), "7.01e-79");
        check(rounded(50_213.7), "50,200");
        check(rounded(0.123_456), "0.123");
        check(rounded(12.34), "12.3");
        check(factor(5.0), "5.0");
        check(factor(1.02), "1.02");
        check(factor(50.0), "50");
    }

    #[test]
    fn shares() {
        let check = |found: String, expected: &str| assert_eq!(found, expected);
        check(share(0.0031), "0.31%");
        check(share(0.00001), "<0.01%");
        check(relative(-0.142), "-14.2%");
        check(relative(0.05), "+5.00%");
        check(relative(-0.99965), "-99.965%");
        check(relative(-1.0), "-100%");
        check(confidence(0.95), "95%");
        check(confidence(0.999), "99.9%");
        check(weight(0.004), "<0.01");
        check(weight(0.997), ">0.99");
        check(weight(1.0), "1.00");
    }

    #[test]
    fn percentages_never_round_to_none_or_all() {
        let check = |part, whole, expected: &str| {
            assert_eq!(percent(Bytes(part), Bytes(whole)), expected);
        };
        check(0, 0, "0%");
        check(0, 100, "0%");
        check(1, 1000, "<1%");
        check(934, 1000, "93%");
        check(999, 1000, ">99%");
        check(1000, 1000, "100%");
    }
}
