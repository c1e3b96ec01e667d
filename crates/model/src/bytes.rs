//! Quantities of memory. `Bytes` prints itself in IEC units, never "MB" for 2^20.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

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
    use super::*;

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
