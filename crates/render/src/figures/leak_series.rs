//! The series of a leak report as its renderers need it: how far it goes, where the warm-up ends,
//! and the line that the verdict puts through it. Pure arithmetic.

use plimsoll_model::{Estimate, Growth, LeakReport, MemoryPoint};

use crate::words::work::WorkUnit;

pub(crate) struct LeakSeries<'a> {
    pub(crate) unit: WorkUnit<'a>,
    pub(crate) points: &'a [MemoryPoint],
    own: &'a Growth,
}

/// A line through the steady part, and the steepest and flattest one that the interval allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SlopeLine {
    /// Work at which the three lines cross, and the bytes there.
    pub(crate) middle: (f64, f64),
    /// Bytes for a unit of work, as they were measured: the control arm is in them.
    pub(crate) slope: Estimate,
    /// Where the steady part begins and ends.
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl<'a> LeakSeries<'a> {
    pub(crate) fn of(report: &'a LeakReport) -> LeakSeries<'a> {
        LeakSeries {
            unit: WorkUnit(&report.unit),
            points: &report.series,
            own: &report.own.growth,
        }
    }

    /// Work at the first and the last point.
    pub(crate) fn ends(&self) -> Option<(f64, f64)> {
        Some((self.points.first()?.work, self.points.last()?.work))
    }

    /// Work from one point to the next, on average.
    fn step(&self) -> f64 {
        match self.ends() {
            Some((from, to)) if self.points.len() > 1 => {
                (to - from) / (self.points.len() - 1) as f64
            }
            _ => 1.0,
        }
    }

    /// Work that was done in all. A first point at one step is the end of the first unit.
    pub(crate) fn work_done(&self) -> f64 {
        let (from, to) = self.ends().unwrap_or_default();
        if from <= self.step() * 1.5 {
            to
        } else {
            to - from
        }
    }

    /// Work that `points` more points are.
    pub(crate) fn work_of(&self, points: usize) -> f64 {
        let work = points as f64 * self.step();
        // Whole units: nobody runs a part of a cycle.
        work.ceil().max(1.0)
    }

    /// Work at the first point after the warm-up of the program's own memory; `None` without one.
    pub(crate) fn warm_up_end(&self) -> Option<f64> {
        let steady = self.points.get(self.own.warm_up)?;
        (self.own.warm_up > 0).then_some(steady.work)
    }

    /// How much work the warm-up was.
    pub(crate) fn warm_up_work(&self) -> Option<f64> {
        Some(self.warm_up_end()? - self.ends()?.0)
    }

    /// The line through the floors, or through the steady points where there are no teeth.
    pub(crate) fn slope_line(&self) -> Option<SlopeLine> {
        let mut slope = self.own.slope?;
        if let Some(control) = self.own.control_slope {
            slope.value += control.value;
            slope.low += control.value;
            slope.high += control.value;
        }
        let steady = self.points.get(self.own.warm_up..)?;
        let (from, to) = (steady.first()?.work, steady.last()?.work);
        let points: Vec<(f64, f64)> = if self.own.floors.is_empty() {
            let own = |point: &MemoryPoint| (point.work, point.parts.own().0 as f64);
            steady.iter().map(own).collect()
        } else {
            self.own
                .floors
                .iter()
                .map(|floor| (floor.work, floor.bytes))
                .collect()
        };
        let middle = points.iter().map(|(work, _)| work).sum::<f64>() / points.len() as f64;
        let mut levels: Vec<f64> = points
            .iter()
            .map(|(work, bytes)| bytes - slope.value * (work - middle))
            .collect();
        levels.sort_by(f64::total_cmp);
        let level = levels[levels.len() / 2];
        let figures = [middle, level, slope.value, slope.low, slope.high];
        figures
            .iter()
            .all(|figure| figure.is_finite())
            .then_some(SlopeLine {
                middle: (middle, level),
                slope,
                from,
                to,
            })
    }
}

impl SlopeLine {
    /// Bytes at `work` on the line of this slope, one of those in [`SlopeLine::slope`].
    pub(crate) fn at(&self, work: f64, slope: f64) -> f64 {
        self.middle.1 + slope * (work - self.middle.0)
    }
}
