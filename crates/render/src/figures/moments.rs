//! Before, at the peak, at the end: three breakdowns of a run side by side, component by
//! component. The arithmetic of that table; text and HTML lay it out.

use std::cmp::Reverse;

use plimsoll_model::{Bytes, Component, TimedBreakdown};

use crate::figures::run::Run;

pub(crate) struct Moments<'a> {
    before: Option<&'a TimedBreakdown>,
    peak: &'a TimedBreakdown,
    end: Option<&'a TimedBreakdown>,
    peak_title: &'static str,
}

impl<'a> Moments<'a> {
    /// `None` when no breakdown was taken.
    pub(crate) fn of(run: &Run<'a>) -> Option<Moments<'a>> {
        Some(Moments {
            before: run.before(),
            peak: run.witness.as_ref()?.timed,
            end: run.end(),
            peak_title: if run.tells_the_peak() {
                "at peak"
            } else {
                "near peak"
            },
        })
    }

    pub(crate) fn titled(&self) -> impl Iterator<Item = (&'static str, &'a TimedBreakdown)> {
        let before = self.before.map(|timed| ("before", timed));
        let end = self.end.map(|timed| ("end", timed));
        before
            .into_iter()
            .chain([(self.peak_title, self.peak)])
            .chain(end)
    }

    /// Between which two moments the change is; `None` when there is one only.
    pub(crate) fn change_title(&self) -> Option<&'static str> {
        match (self.before, self.end) {
            (Some(_), Some(_)) => Some("before to end"),
            (Some(_), None) => Some("before to peak"),
            (None, Some(_)) => Some("peak to end"),
            (None, None) => None,
        }
    }

    /// Resident bytes of the wanted components, moment by moment.
    pub(crate) fn figures(&self, wanted: impl Fn(&Component) -> bool) -> Vec<Bytes> {
        self.titled()
            .map(|(_, timed)| resident(timed, &wanted))
            .collect()
    }

    /// Every component of any moment, the largest at the peak first.
    pub(crate) fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for (_, timed) in self.titled() {
            for component in &timed.breakdown.components {
                if !names.contains(&component.name.as_str()) {
                    names.push(&component.name);
                }
            }
        }
        names.sort_by_cached_key(|name| {
            let at_peak = resident(self.peak, |component| component.name == *name);
            let anywhere = self.figures(|component| component.name == *name);
            Reverse((at_peak, anywhere.into_iter().max()))
        });
        names
    }
}

/// Resident bytes of the wanted components of one breakdown.
pub(crate) fn resident(timed: &TimedBreakdown, wanted: impl Fn(&Component) -> bool) -> Bytes {
    timed
        .breakdown
        .components
        .iter()
        .filter(|component| wanted(component))
        .map(|component| component.usage.resident)
        .sum()
}
