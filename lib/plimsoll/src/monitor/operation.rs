//! The peak of an operation, child processes included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::process::{ProcessFigures, StatusFile, read_children, reset_peak};

/// How the peak of the process itself was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeakMethod {
    /// The kernel's high-water mark over just this operation.
    Exact,
    /// The highest of the samples: at least this.
    Sampled,
}

/// What one operation needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationReport {
    /// As it was begun.
    pub name: Arc<str>,
    /// From begin to end.
    pub took: Duration,
    /// RSS when it began.
    pub start_bytes: u64,
    /// RSS when it ended: above the start is what it keeps, or what the allocator keeps.
    pub end_bytes: u64,
    /// Highest RSS of this process meanwhile, all threads.
    pub peak_own_bytes: u64,
    /// How `peak_own_bytes` was found.
    pub peak_method: PeakMethod,
    /// Highest sum of the RSS of all descendants, of the samples; `None` where the kernel does not
    /// list them. Pages that they share count in each.
    pub peak_children_bytes: Option<u64>,
    /// Highest sum of both at one time: at least this. Never more than the two peaks together.
    pub peak_bytes: u64,
    /// Most descendants seen at one time.
    pub children_max: usize,
    /// How often was looked.
    pub samples: u64,
}

/// Operations of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationFigures {
    /// Operations that ended.
    pub count: u64,
    /// Highest `peak_bytes` of all.
    pub peak_bytes: u64,
    /// `peak_bytes` of the last.
    pub peak_bytes_last: u64,
    /// How long they took together.
    pub took_total: Duration,
}

/// Names that are told apart; further ones are summed up as "other". A name is to be a kind of
/// work, not a file or a user: each becomes a time series where the figures go.
const NAMES_MAX: usize = 256;
const OTHER: &str = "other";

struct Active {
    number: u64,
    name: Arc<str>,
    started: Instant,
    start: ProcessFigures,
    exact: bool,
    peak_own: u64,
    peak_children: Option<u64>,
    peak: u64,
    children_max: usize,
    samples: u64,
}

/// Operations under way, and those that ended by name. Overlapping ones count what all do meanwhile.
#[derive(Default)]
pub(super) struct Operations {
    active: Vec<Active>,
    number_next: u64,
    pub(super) ended: BTreeMap<Arc<str>, OperationFigures>,
}

impl Operations {
    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    pub(super) fn begin(&mut self, name: Arc<str>, status: &StatusFile) -> u64 {
        // The reset below would lose the peak of those under way.
        self.sample(status);
        let exact = reset_peak(status);
        let start = status.read().unwrap_or_default();
        let number = self.number_next;
        self.number_next += 1;
        self.active.push(Active {
            number,
            name,
            started: Instant::now(),
            start,
            exact,
            peak_own: start.rss_bytes,
            peak_children: None,
            peak: start.rss_bytes,
            children_max: 0,
            samples: 0,
        });
        number
    }

    /// One look at the process and its descendants, for all under way.
    pub(super) fn sample(&mut self, status: &StatusFile) {
        if self.active.is_empty() {
            return;
        }
        let Ok(own) = status.read() else { return };
        let children = read_children();
        for active in &mut self.active {
            active.samples += 1;
            // Since the last reset, which was after this one began.
            let seen = if active.exact {
                own.rss_peak_bytes
            } else {
                own.rss_bytes
            };
            active.peak_own = active.peak_own.max(seen);
            let beside = children.map_or(0, |children| children.rss_bytes);
            if let Some(children) = children {
                let peak = active.peak_children.unwrap_or_default();
                active.peak_children = Some(peak.max(children.rss_bytes));
                active.children_max = active.children_max.max(children.count);
            }
            active.peak = active.peak.max(own.rss_bytes.saturating_add(beside));
        }
    }

    pub(super) fn end(&mut self, number: u64, status: &StatusFile) -> Option<OperationReport> {
        self.sample(status);
        let at = self
            .active
            .iter()
            .position(|active| active.number == number)?;
        let mut active = self.active.swap_remove(at);
        let end = status.read().unwrap_or_default();
        // A mark that could not be reset is still this operation's if it rose meanwhile.
        if end.rss_peak_bytes > active.start.rss_peak_bytes {
            active.exact = true;
            active.peak_own = active.peak_own.max(end.rss_peak_bytes);
        }
        let report = OperationReport {
            name: active.name,
            took: active.started.elapsed(),
            start_bytes: active.start.rss_bytes,
            end_bytes: end.rss_bytes,
            peak_own_bytes: active.peak_own,
            peak_method: if active.exact {
                PeakMethod::Exact
            } else {
                PeakMethod::Sampled
            },
            peak_children_bytes: active.peak_children,
            peak_bytes: active.peak.max(active.peak_own),
            children_max: active.children_max,
            samples: active.samples,
        };
        self.count(&report);
        Some(report)
    }

    fn count(&mut self, report: &OperationReport) {
        let known = self.ended.contains_key(&report.name);
        let name = if known || self.ended.len() < NAMES_MAX {
            report.name.clone()
        } else {
            Arc::from(OTHER)
        };
        let figures = self.ended.entry(name).or_default();
        figures.count += 1;
        figures.peak_bytes = figures.peak_bytes.max(report.peak_bytes);
        figures.peak_bytes_last = report.peak_bytes;
        figures.took_total += report.took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let status = StatusFile::open().unwrap();
        let mut operations = Operations::default();
        for name in 0..NAMES_MAX + 10 {
            let number = operations.begin(name.to_string().into(), &status);
            assert!(operations.end(number, &status).is_some());
        }
        assert!(operations.is_idle());
        assert_eq!(operations.ended.len(), NAMES_MAX + 1);
        assert_eq!(operations.ended[OTHER].count, 10);
    }
}
