//! Memory pressure of the machine while a subject runs: read once a second, since the start.

use std::time::Duration;

use plimsoll_model::PressureSample;
use plimsoll_probe::{Pressure, read_system_pressure};

/// The kernel brings its own averages up to date every 2 s; totals move in between.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct PressureReader {
    /// `None` where the kernel has no PSI.
    before: Option<Pressure>,
    next: Duration,
}

impl PressureReader {
    pub(crate) fn start() -> PressureReader {
        PressureReader {
            before: read_system_pressure(),
            next: INTERVAL,
        }
    }

    /// A sample if one is due.
    pub(crate) fn read_if_due(&mut self, now: Duration) -> Option<PressureSample> {
        if now < self.next {
            return None;
        }
        self.next = now + INTERVAL;
        self.read(now)
    }

    pub(crate) fn read(&self, now: Duration) -> Option<PressureSample> {
        let before = self.before?;
        let pressure = read_system_pressure()?;
        Some(PressureSample {
            at: now,
            some: pressure.some.total.saturating_sub(before.some.total),
            full: pressure.full.total.saturating_sub(before.full.total),
        })
    }
}
