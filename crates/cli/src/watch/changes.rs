//! How much each component grew or shrank: against a baseline and within the last minute.
//!
//! Pure. Memory: at most [`MARKS_MAX`] marks of 16 bytes a component plus the names of the
//! outermost ones, about 1 MiB for 500 components with their parts.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use plimsoll_model::{Breakdown, Bytes, Component, Kind};

use super::component_id::ComponentId;

/// Readings further back than this are no longer "recent".
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Marks held for the window: one a second, two to spare for the one at its far edge.
const MARKS_MAX: usize = 62;

/// Readings that come faster than this leave no mark, so that the window's marks stay bounded.
const MARK_SPACING: Duration = Duration::from_secs(1);

/// From how much to how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: Bytes,
    pub(super) to: Bytes,
}

impl Change {
    pub(super) fn size(self) -> Bytes {
        Bytes(self.to.0.abs_diff(self.from.0))
    }
}

/// What each component held at one time.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) at: Duration,
    total: Bytes,
    /// `None`: several components have this identity, so none of them can be followed.
    resident: HashMap<ComponentId, Option<Bytes>>,
    outermost: Vec<(ComponentId, Kind, String)>,
}

impl Mark {
    pub(super) fn of(at: Duration, breakdown: &Breakdown) -> Mark {
        let mut mark = Mark {
            at,
            total: breakdown.totals.usage.resident,
            resident: HashMap::new(),
            outermost: Vec::new(),
        };
        for component in &breakdown.components {
            let id = ComponentId::top(component);
            mark.outermost
                .push((id, component.kind, component.name.clone()));
            mark.take_in(id, component);
        }
        mark
    }

    fn take_in(&mut self, id: ComponentId, component: &Component) {
        self.resident
            .entry(id)
            .and_modify(|found| *found = None)
            .or_insert(Some(component.usage.resident));
        for part in &component.parts {
            self.take_in(id.part(part), part);
        }
    }

    /// What `id` held; a component that was not there held nothing, `None` if it can't be told.
    fn held(&self, id: ComponentId) -> Option<Bytes> {
        self.resident.get(&id).copied().unwrap_or(Some(Bytes::ZERO))
    }
}

/// The baseline, the marks of the last minute, and the newest reading.
#[derive(Debug, Default)]
pub(super) struct Changes {
    baseline: Option<Mark>,
    /// Oldest first; the first is the newest one that is at least [`WINDOW`] old, when there is
    /// such a one.
    recent: VecDeque<Mark>,
    newest: Option<Mark>,
}

impl Changes {
    pub(super) fn push(&mut self, at: Duration, breakdown: &Breakdown) {
        let mark = || Mark::of(at, breakdown);
        if self.baseline.is_none() {
            self.baseline = Some(mark());
        }
        let spaced = |last: &Mark| at.saturating_sub(last.at) >= MARK_SPACING;
        if self.recent.back().is_none_or(spaced) {
            self.recent.push_back(mark());
        }
        while self.recent.len() > MARKS_MAX
            || self
                .recent
                .get(1)
                .is_some_and(|next| next.at + WINDOW <= at)
        {
            self.recent.pop_front();
        }
        self.newest = Some(mark());
    }

    /// Changes are against the newest reading from now on.
    pub(super) fn mark_baseline(&mut self, at: Duration, breakdown: &Breakdown) {
        self.baseline = Some(Mark::of(at, breakdown));
    }

    pub(super) fn since_baseline(&self, id: ComponentId) -> Option<Change> {
        self.between(self.baseline.as_ref()?, id)
    }

    pub(super) fn recent(&self, id: ComponentId) -> Option<Change> {
        self.between(self.recent.front()?, id)
    }

    pub(super) fn total_since_baseline(&self) -> Option<Change> {
        Some(Change {
            from: self.baseline.as_ref()?.total,
            to: self.newest.as_ref()?.total,
        })
    }

    /// The time that [`Changes::recent`] looks back: [`WINDOW`] or what there is.
    pub(super) fn recent_span(&self) -> Duration {
        match (self.recent.front(), &self.newest) {
            (Some(first), Some(newest)) => newest.at.saturating_sub(first.at),
            _ => Duration::ZERO,
        }
    }

    /// Outermost components of the baseline or of a minute ago that are gone now.
    pub(super) fn gone(&self) -> Vec<(ComponentId, Kind, &str)> {
        let Some(newest) = &self.newest else {
            return Vec::new();
        };
        let mut gone: Vec<(ComponentId, Kind, &str)> = Vec::new();
        for mark in self.baseline.iter().chain(self.recent.front()) {
            for (id, kind, name) in &mark.outermost {
                let held = mark.held(*id).is_some_and(|bytes| !bytes.is_zero());
                let known = gone.iter().any(|(seen, ..)| seen == id);
                if held && !known && !newest.resident.contains_key(id) {
                    gone.push((*id, *kind, name));
                }
            }
        }
        gone
    }

    fn between(&self, mark: &Mark, id: ComponentId) -> Option<Change> {
        Some(Change {
            from: mark.held(id)?,
            to: self.newest.as_ref()?.held(id)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;

    fn mib(components: &[(&str, u64)]) -> Breakdown {
        made::breakdown(
            components
                .iter()
                .map(|(name, mib)| made::heap(name, Bytes::mib(*mib)))
                .collect(),
        )
    }

    fn id(name: &str) -> ComponentId {
        ComponentId::top(&made::heap(name, Bytes::ZERO))
    }

    fn change(from: u64, to: u64) -> Option<Change> {
        Some(Change {
            from: Bytes::mib(from),
            to: Bytes::mib(to),
        })
    }

    #[test]
    fn the_baseline_is_the_first_reading_until_one_is_marked() {
        let mut changes = Changes::default();
        let seconds = Duration::from_secs;
        changes.push(seconds(0), &mib(&[("a", 1)]));
        changes.push(seconds(5), &mib(&[("a", 4)]));
        assert_eq!(changes.since_baseline(id("a")), change(1, 4));
        changes.mark_baseline(seconds(5), &mib(&[("a", 4)]));
        changes.push(seconds(6), &mib(&[("a", 3), ("new", 7)]));
        assert_eq!(changes.since_baseline(id("a")), change(4, 3));
        assert_eq!(changes.since_baseline(id("new")), change(0, 7));
        assert_eq!(changes.total_since_baseline(), change(4, 10));
    }

    #[test]
    fn recent_looks_back_a_minute_and_no_further() {
        let mut changes = Changes::default();
        for second in 0..300 {
            changes.push(Duration::from_secs(second), &mib(&[("a", second)]));
            let back = second.min(60);
            assert_eq!(changes.recent(id("a")), change(second - back, second));
            assert_eq!(changes.recent_span(), Duration::from_secs(back));
        }
        assert!(changes.recent.len() <= MARKS_MAX);
    }

    #[test]
    fn fast_readings_leave_a_bounded_number_of_marks() {
        let mut changes = Changes::default();
        for tick in 0..10_000u64 {
            changes.push(Duration::from_millis(10 * tick), &mib(&[("a", tick)]));
        }
        assert!(changes.recent.len() <= MARKS_MAX);
        // The newest reading counts even when it left no mark.
        assert_eq!(
            changes.recent(id("a")).map(|change| change.to),
            Some(Bytes::mib(9999))
        );
    }

    #[test]
    fn what_is_gone_is_told() {
        let mut changes = Changes::default();
        changes.push(Duration::ZERO, &mib(&[("a", 1), ("b", 2)]));
        changes.push(Duration::from_secs(1), &mib(&[("a", 1)]));
        assert_eq!(changes.gone(), [(id("b"), Kind::Heap, "b")]);
        assert_eq!(changes.recent(id("b")), change(2, 0));
    }

    #[test]
    fn siblings_of_one_name_have_no_change() {
        let mut changes = Changes::default();
        changes.push(Duration::ZERO, &mib(&[("a", 1), ("a", 2)]));
        assert_eq!(changes.since_baseline(id("a")), None);
        assert_eq!(changes.total_since_baseline(), change(3, 3));
    }
}
