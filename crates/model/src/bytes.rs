//! Quantities of memory. `Bytes` prints itself in IEC units, never "MB" for 2^20.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes.
///
/// `Display` prints three significant digits in IEC units ("1.50 GiB", "677 MiB", "12 B");
/// format width and alignment are honoured.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    pub const ZERO: Bytes = Bytes(0);

    #[must_use]
    pub const fn kib(n: u64) -> Bytes {
        Bytes(n * 1024)
    }

    #[must_use]
    pub const fn mib(n: u64) -> Bytes {
        Bytes(n * 1024 * 1024)
    }

    #[must_use]
    pub const fn gib(n: u64) -> Bytes {
        Bytes(n * 1024 * 1024 * 1024)
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }

    /// This as a share of `whole`, 0 when `whole` is 0.
    #[must_use]
    pub fn ratio_of(self, whole: Bytes) -> f64 {
        if whole.is_zero() {
            0.0
        } else {
            self.0 as f64 / whole.0 as f64
        }
    }

    /// `self × numerator / denominator`, rounded down, without overflow; 0 when `denominator` is 0.
    #[must_use]
    pub fn scaled(self, numerator: u64, denominator: u64) -> Bytes {
        if denominator == 0 {
            return Bytes::ZERO;
        }
        let scaled = u128::from(self.0) * u128::from(numerator) / u128::from(denominator);
        Bytes(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        // 999.5 would round to "1000", four digits: go up one unit instead.
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = if value < 9.995 {
            2
        } else {
            usize::from(value < 99.95)
        };
        f.pad(&format!("{value:.digits$} {}", UNITS[unit]))
    }
}

/// A size as a user writes it: `512MiB`, `1.5 GiB`, `64M` (the same as `64MiB`), `4096` (bytes).
///
/// K, M, G and T stand for 1024 and its powers, as they do for other tools that set limits. "MB" is
/// refused: it means 10^6 to some and 2^20 to others. A part of a byte is cut off.
impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Bytes, ParseBytesError> {
        let error = |reason| ParseBytesError {
            given: text.to_owned(),
            reason,
        };
        let trimmed = text.trim();
        if trimmed.starts_with('-') {
            return Err(error(ParseBytesReason::Negative));
        }
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor: u128 = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" | "mb" | "gb" | "tb" => return Err(error(ParseBytesReason::Ambiguous)),
            _ => return Err(error(ParseBytesReason::Form)),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) if factor > 1 && !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(error(ParseBytesReason::Form)),
            None => (number, ""),
        };
        if whole.is_empty() || fraction.contains('.') {
            return Err(error(ParseBytesReason::Form));
        }
        // Digits only, so all that can be wrong is their number.
        let whole: u64 = whole
            .parse()
            .map_err(|_| error(ParseBytesReason::TooLarge))?;
        // The 18th digit behind the point of a TiB is less than a byte.
        let fraction = &fraction[..fraction.len().min(18)];
        let part = fraction
            .bytes()
            .fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'))
            * factor
            / 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        let bytes = u64::try_from(u128::from(whole) * factor + part)
            .map_err(|_| error(ParseBytesReason::TooLarge))?;
        if bytes == 0 {
            return Err(error(ParseBytesReason::Zero));
        }
        Ok(Bytes(bytes))
    }
}

/// What is wrong with a size that a user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseBytesError {
    given: String,
    reason: ParseBytesReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParseBytesReason {
    Form,
    Negative,
    Zero,
    TooLarge,
    Ambiguous,
}

impl fmt::Display for ParseBytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = &self.given;
        match self.reason {
            ParseBytesReason::Form => write!(
                f,
                "{given:?} is no size: give a number with its unit, like 512MiB, 1.5GiB or 64M, or \
                 whole bytes without one"
            ),
            ParseBytesReason::Negative => write!(f, "{given:?} is negative: a size is above 0"),
            ParseBytesReason::Zero => {
                write!(f, "{given:?} is less than a byte: a size is above 0")
            }
            ParseBytesReason::TooLarge => {
                write!(
                    f,
                    "{given:?} is too large: the largest size is below 16777216TiB"
                )
            }
            ParseBytesReason::Ambiguous => write!(
                f,
                "{given:?} can mean powers of 1000 or of 1024: write KiB, MiB, GiB or TiB"
            ),
        }
    }
}

impl std::error::Error for ParseBytesError {}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0 + other.0)
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        self.0 += other.0;
    }
}

impl Sub for Bytes {
    type Output = Bytes;
    fn sub(self, other: Bytes) -> Bytes {
        Bytes(self.0 - other.0)
    }
}

impl SubAssign for Bytes {
    fn sub_assign(&mut self, other: Bytes) {
        self.0 -= other.0;
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(iter: I) -> Bytes {
        iter.fold(Bytes::ZERO, Add::add)
    }
}

/// The size of a page as the system states it; never assumed to be 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageSize(pub u64);

impl PageSize {
    #[must_use]
    pub const fn pages(self, count: u64) -> Bytes {
        Bytes(count * self.0)
    }

    #[must_use]
    pub const fn round_down(self, address: u64) -> u64 {
        address & !(self.0 - 1)
    }

    #[must_use]
    pub const fn round_up(self, address: u64) -> u64 {
        self.round_down(address.saturating_add(self.0 - 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_exactly() {
        let check = |text: &str, expected: Bytes| {
            assert_eq!(text.parse::<Bytes>(), Ok(expected), "{text}");
        };
        check("4096", Bytes(4096));
        check("1", Bytes(1));
        check("7B", Bytes(7));
        check("512MiB", Bytes::mib(512));
        check("512 MiB", Bytes::mib(512));
        check(" 512mib\n", Bytes::mib(512));
        check("64M", Bytes::mib(64));
        check("64m", Bytes::mib(64));
        check("8k", Bytes::kib(8));
        check("1.5GiB", Bytes::mib(1536));
        check("0.1KiB", Bytes(102));
        check("2T", Bytes::gib(2048));
        check("0.50000000000000000000000000000MiB", Bytes::kib(512));
        check("18446744073709551615", Bytes(u64::MAX));
        check("16777215.999TiB", Bytes(18_446_744_072_610_039_988));
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        let check = |text: &str, reason: &str| {
            let message = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
        };
        for text in [
            "", "MiB", "NaN", "inf", "1e6", "1.5", "1.MiB", ".5MiB", "1.2.3MiB", "1,5GiB", "+5M",
            "5 M iB", "0x10", "12XiB", "½GiB", "5MiB/s", ".", "..M",
        ] {
            check(text, "no size");
        }
        check("-1", "negative");
        check("-0.5GiB", "negative");
        check("0", "above 0");
        check("0.0001KiB", "above 0");
        check("0MiB", "above 0");
        check("512MB", "write KiB, MiB");
        check("18446744073709551616", "too large");
        check("16777216TiB", "too large");
        check("99999999999999999999999999TiB", "too large");
    }

    proptest! {
        #[test]
        fn reading_a_size_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Bytes>();
        }

        #[test]
        fn numbers_with_any_unit_never_panic(
            whole in "[0-9]{0,24}", fraction in "(\\.[0-9]{0,40})?", unit in "( ?[kmgtKMGT](iB)?)?",
        ) {
            if let Ok(bytes) = format!("{whole}{fraction}{unit}").parse::<Bytes>() {
                prop_assert!(bytes > Bytes::ZERO);
            }
        }

        #[test]
        fn whole_bytes_come_back(bytes in 1..=u64::MAX) {
            prop_assert_eq!(bytes.to_string().parse(), Ok(Bytes(bytes)));
        }

        #[test]
        fn whole_mebibytes_come_back(count in 1..1_u64 << 44) {
            prop_assert_eq!(format!("{count}MiB").parse(), Ok(Bytes::mib(count)));
        }
    }

    #[test]
    fn display_keeps_three_digits() {
        let check = |bytes: u64, expected: &str| assert_eq!(Bytes(bytes).to_string(), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.00 KiB");
        check(1536, "1.50 KiB");
        check(10 * 1024, "10.0 KiB");
        check(677 << 20, "677 MiB");
        check(1000 << 20, "0.98 GiB");
        check(1023 << 20, "1.00 GiB");
        check(4_100 << 20, "4.00 GiB");
        check(u64::MAX, "16.0 EiB");
    }

    #[test]
    fn display_honours_width() {
        assert_eq!(format!("{:>10}", Bytes::mib(1)), "  1.00 MiB");
    }

    #[test]
    fn scaled_does_not_overflow() {
        assert_eq!(Bytes(u64::MAX).scaled(1, 2), Bytes(u64::MAX / 2));
        assert_eq!(Bytes(5).scaled(1, 0), Bytes::ZERO);
    }
}
