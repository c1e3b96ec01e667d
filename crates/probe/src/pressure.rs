//! Memory pressure (PSI): the share of time in which tasks waited for memory.
//!
//! Main type: [`Pressure`], of the machine or of one cgroup. Linux 4.20 with CONFIG_PSI; absent
//! is `None`, which is not the same as no pressure.

use std::path::Path;
use std::time::Duration;

use crate::maps::decimal;

/// One PSI file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks that were not idle waited at once.
    pub full: Stall,
}

/// Share of time that tasks waited, over three windows, and the time in all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// 0 to 1, over the last 10 seconds.
    pub last_10_seconds: f64,
    pub last_60_seconds: f64,
    pub last_300_seconds: f64,
    /// Since boot, or since the group was made.
    pub total: Duration,
}

/// Memory pressure of the machine; `None` without PSI or permission.
#[must_use]
pub fn read_system_pressure() -> Option<Pressure> {
    parse_pressure(&std::fs::read("/proc/pressure/memory").ok()?)
}

/// Memory pressure of the cgroup whose directory is `directory` (version 2 only).
#[must_use]
pub fn read_cgroup_pressure(directory: &Path) -> Option<Pressure> {
    parse_pressure(&std::fs::read(directory.join("memory.pressure")).ok()?)
}

/// Parses the two lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`.
pub(crate) fn parse_pressure(text: &[u8]) -> Option<Pressure> {
    let mut some = None;
    let mut full = None;
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(fields) = line.strip_prefix(b"some ") {
            some = Some(parse_stall(fields)?);
        } else if let Some(fields) = line.strip_prefix(b"full ") {
            full = Some(parse_stall(fields)?);
        }
    }
    Some(Pressure {
        some: some?,
        full: full?,
    })
}

fn parse_stall(fields: &[u8]) -> Option<Stall> {
    let field = |key: &[u8]| {
        fields
            .split(|byte| *byte == b' ')
            .find_map(|field| field.strip_prefix(key)?.strip_prefix(b"="))
    };
    let ratio = |key| parse_percent(field(key)?);
    Some(Stall {
        last_10_seconds: ratio(b"avg10")?,
        last_60_seconds: ratio(b"avg60")?,
        last_300_seconds: ratio(b"avg300")?,
        total: Duration::from_micros(decimal(field(b"total")?)?),
    })
}

/// "12.34" as 0.1234; the kernel prints two decimals.
fn parse_percent(text: &[u8]) -> Option<f64> {
    let percent: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_lines() {
        let pressure = parse_pressure(
            b"some avg10=12.50 avg60=3.00 avg300=0.25 total=1500000\n\
              full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        )
        .unwrap();
        assert_eq!(pressure.some.last_10_seconds, 0.125);
        assert_eq!(pressure.some.last_60_seconds, 0.03);
        assert_eq!(pressure.some.last_300_seconds, 0.0025);
        assert_eq!(pressure.some.total, Duration::from_millis(1500));
        assert_eq!(pressure.full.total, Duration::from_micros(7));
    }

    #[test]
    fn what_is_not_psi_is_none() {
        let check = |text: &str| assert_eq!(parse_pressure(text.as_bytes()), None, "{text:?}");
        check("");
        check("full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
        check("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
        check("some avg10=0.00 avg60=0.00 avg300=0.00\n");
        check("some avg10=NaN avg60=0.00 avg300=0.00 total=0\n");
        check("some avg10=-1.0 avg60=0.00 avg300=0.00 total=0\n");
    }

    #[test]
    fn a_group_without_the_file_has_none() {
        assert_eq!(read_cgroup_pressure(Path::new("/proc/self/fdinfo")), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(some|full|avg10=|total=|[0-9.]| |\n|\\PC){0,60}") {
            let _ = parse_pressure(text.as_bytes());
        }

        #[test]
        fn round_trip(percent in 0_u32..=10_000, total in 0_u64..1 << 50) {
            let line = format!(
                "avg10={0}.{1:02} avg60=0.00 avg300=100.00 total={total}",
                percent / 100,
                percent % 100,
            );
            let pressure = parse_pressure(format!("some {line}\nfull {line}\n").as_bytes()).unwrap();
            prop_assert!((pressure.some.last_10_seconds - f64::from(percent) / 10_000.0).abs() < 1e-9);
            prop_assert_eq!(pressure.full.total.as_micros(), u128::from(total));
        }
    }
}
