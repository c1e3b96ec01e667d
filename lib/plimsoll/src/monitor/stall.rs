//! Memory pressure (PSI): the share of time in which tasks waited for memory, and a trigger that
//! wakes the monitor when it rises. Linux 4.20 with CONFIG_PSI, triggers since 5.2.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Where stall figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StallSource {
    /// The process's own cgroup (version 2).
    Cgroup,
    /// The whole machine: others' waiting counts too.
    Machine,
    /// No PSI here: unknown, which is not the same as no pressure.
    Absent,
}

/// Time that tasks waited, since boot or since the group was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StallTotals {
    pub(super) some: Duration,
    pub(super) full: Duration,
}

/// Share of time, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stall {
    /// At least one task waited.
    pub some_ratio: f64,
    /// All tasks that were not idle waited at once.
    pub full_ratio: f64,
}

/// Parses `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`.
pub(super) fn parse_totals(text: &[u8]) -> Option<StallTotals> {
    let total = |name: &[u8]| {
        let line = text
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(name))?;
        let field = line
            .split(|byte| *byte == b' ')
            .find_map(|field| field.strip_prefix(b"total="))?;
        crate::cgroup::parse_number(field).map(Duration::from_micros)
    };
    Some(StallTotals {
        some: total(b"some ")?,
        full: total(b"full ")?,
    })
}

/// Turns totals into shares. Pure; times are since any fixed instant.
#[derive(Default)]
pub(super) struct StallMeter {
    base: Option<(Duration, StallTotals)>,
    last: Option<Stall>,
}

/// Shorter spans are not judged by themselves: one wait of 10 ms would be half of 20.
const SPAN_MIN: Duration = Duration::from_millis(500);

impl StallMeter {
    /// The share since the last reading, or over half a second where that is longer ago; `None` for
    /// the first reading.
    pub(super) fn step(&mut self, now: Duration, totals: StallTotals) -> Option<Stall> {
        let Some((then, base)) = self.base else {
            self.base = Some((now, totals));
            return None;
        };
        let span = now.saturating_sub(then).max(SPAN_MIN).as_secs_f64();
        let share =
            |new: Duration, old: Duration| (new.saturating_sub(old).as_secs_f64() / span).min(1.0);
        let stall = Stall {
            some_ratio: share(totals.some, base.some),
            full_ratio: share(totals.full, base.full),
        };
        if now.saturating_sub(then) >= SPAN_MIN {
            self.base = Some((now, totals));
            self.last = Some(stall);
            return self.last;
        }
        // An early look, after a trigger: it can only raise what the last whole span said.
        let last = self.last.unwrap_or_default();
        Some(Stall {
            some_ratio: stall.some_ratio.max(last.some_ratio),
            full_ratio: stall.full_ratio.max(last.full_ratio),
        })
    }
}

/// The pressure files, kept open.
pub(super) struct StallFiles {
    file: Option<File>,
    trigger: Option<File>,
    pub(super) source: StallSource,
}

impl StallFiles {
    /// Opens the group's file, else the machine's, and sets a trigger where the kernel lets us.
    pub(super) fn open(group: Option<&Path>) -> StallFiles {
        let group = group.map(|directory| directory.join("memory.pressure"));
        let machine = Path::new("/proc/pressure/memory");
        let candidates = [
            (group.as_deref(), StallSource::Cgroup),
            (Some(machine), StallSource::Machine),
        ];
        for (path, source) in candidates {
            let Some(path) = path else { continue };
            let Ok(file) = File::open(path) else { continue };
            // A kernel booted with psi=0 has the file and refuses to read it.
            if read_totals(&file).is_none() {
                continue;
            }
            return StallFiles {
                file: Some(file),
                trigger: set_trigger(path),
                source,
            };
        }
        StallFiles {
            file: None,
            trigger: None,
            source: StallSource::Absent,
        }
    }

    pub(super) fn read(&self) -> Option<StallTotals> {
        read_totals(self.file.as_ref()?)
    }

    /// What to poll for POLLPRI; -1, which poll skips, without a trigger.
    pub(super) fn trigger_fd(&self) -> RawFd {
        self.trigger.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    pub(super) fn has_trigger(&self) -> bool {
        self.trigger.is_some()
    }

    /// Falls back to polling: the trigger's group is gone.
    pub(super) fn drop_trigger(&mut self) {
        self.trigger = None;
    }
}

fn read_totals(file: &File) -> Option<StallTotals> {
    let mut buffer = [0; 512];
    let length = file.read_at(&mut buffer, 0).ok()?;
    parse_totals(&buffer[..length])
}

/// Asks to be woken when tasks waited for 100 ms of 2 s. Without CAP_SYS_RESOURCE the window must be
/// a multiple of 2 s (kernel 6.5 and later; before, triggers needed the right), else EINVAL.
fn set_trigger(path: &Path) -> Option<File> {
    let mut file = File::options().read(true).write(true).open(path).ok()?;
    // The kernel wants the text in one write, ended by a zero byte.
    file.write_all(b"some 100000 2000000\0").ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn totals(some: u64, full: u64) -> StallTotals {
        StallTotals {
            some: Duration::from_millis(some),
            full: Duration::from_millis(full),
        }
    }

    #[test]
    fn pressure_texts() {
        let text = b"some avg10=1.00 avg60=0.00 avg300=0.00 total=2000\n\
                     full avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n";
        assert_eq!(parse_totals(text), Some(totals(2, 1)));
        assert_eq!(parse_totals(b"some avg10=1.00 total=2000\n"), None);
        assert_eq!(parse_totals(b""), None);
    }

    #[test]
    fn shares_of_time() {
        let mut meter = StallMeter::default();
        let mut check = |millis, totals, expected: Option<(f64, f64)>| {
            let stall = meter.step(Duration::from_millis(millis), totals);
            assert_eq!(
                stall.map(|s| (s.some_ratio, s.full_ratio)),
                expected,
                "{millis}"
            );
        };
        check(0, totals(1000, 500), None);
        check(1000, totals(1100, 500), Some((0.1, 0.0)));
        // 20 ms later 10 more: of half a second, and never less than the last whole span.
        check(1020, totals(1110, 510), Some((0.1, 0.02)));
        check(1040, totals(1200, 510), Some((0.2, 0.02)));
        check(2000, totals(1200, 510), Some((0.1, 0.01)));
        check(3000, totals(1200, 510), Some((0.0, 0.0)));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(some |full |total=|[0-9]{1,22}| |\n|\\PC){0,40}") {
            let _ = parse_totals(text.as_bytes());
        }

        #[test]
        fn shares_are_shares(readings in proptest::collection::vec((0..5000_u64, 0..9000_u64), 0..30)) {
            let mut meter = StallMeter::default();
            let mut now = 0;
            for (span, some) in readings {
                now += span;
                if let Some(stall) = meter.step(Duration::from_millis(now), totals(some, some / 2)) {
                    prop_assert!((0.0..=1.0).contains(&stall.some_ratio));
                    prop_assert!((0.0..=1.0).contains(&stall.full_ratio));
                }
            }
        }
    }
}
