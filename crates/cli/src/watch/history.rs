//! What the chart draws: the composition of RSS over time, and RSS itself more often.
//!
//! Pure. Bounded: when a series is full, each pair of neighbours becomes the larger of the two,
//! and from then on twice as many readings go into one point. So a watch of any length keeps its
//! peaks, at a resolution that halves as it gets longer. Memory: at most
//! [`POINTS_MAX`] × [`PARTS_MAX`] × 16 bytes, about 200 KiB.

use std::collections::HashMap;
use std::time::Duration;

use plimsoll_model::{Breakdown, Bytes, Component, Kind};

use super::component_id::ComponentId;

/// Points of the composition: twice the columns of a wide terminal.
const POINTS_MAX: usize = 512;

/// Quick samples of RSS: ten a second for three minutes before the first halving.
const SAMPLES_MAX: usize = 2048;

/// Components kept of each point, largest first; the chart shows fewer.
const PARTS_MAX: usize = 24;

/// What can be compared by how much it holds.
trait Held {
    fn resident(&self) -> Bytes;
}

/// The composition at one time.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) at: Duration,
    pub(super) resident: Bytes,
    /// The largest components; what is missing to `resident` are the others.
    pub(super) parts: Vec<(ComponentId, Bytes)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) rss: Bytes,
}

impl Held for Point {
    fn resident(&self) -> Bytes {
        self.resident
    }
}

impl Held for Sample {
    fn resident(&self) -> Bytes {
        self.rss
    }
}

/// A series of at most `limit` items that halves its resolution when it is full.
#[derive(Debug)]
struct Thinned<T> {
    items: Vec<T>,
    limit: usize,
    /// Readings that make one item.
    stride: usize,
    /// Readings in the last item.
    filled: usize,
}

impl<T: Held> Thinned<T> {
    fn new(limit: usize) -> Thinned<T> {
        Thinned {
            items: Vec::new(),
            limit,
            stride: 1,
            filled: 0,
        }
    }

    fn push(&mut self, item: T) {
        if let Some(last) = self.items.last_mut()
            && self.filled < self.stride
        {
            self.filled += 1;
            if item.resident() >= last.resident() {
                *last = item;
            }
            return;
        }
        if self.items.len() == self.limit {
            self.halve();
        }
        self.items.push(item);
        self.filled = 1;
    }

    fn halve(&mut self) {
        let mut kept: Vec<T> = Vec::with_capacity(self.limit);
        for (index, item) in self.items.drain(..).enumerate() {
            match kept.last_mut() {
                Some(last) if index % 2 == 1 => {
                    if item.resident() >= last.resident() {
                        *last = item;
                    }
                }
                _ => kept.push(item),
            }
        }
        self.items = kept;
        self.stride *= 2;
    }
}

/// A component that has been in the chart, with the most it ever held.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) kind: Kind,
    peak: Bytes,
}

#[derive(Debug)]
pub(super) struct History {
    points: Thinned<Point>,
    samples: Thinned<Sample>,
    known: HashMap<ComponentId, Known>,
    newest: Option<Point>,
}

impl Default for History {
    fn default() -> History {
        History {
            points: Thinned::new(POINTS_MAX),
            samples: Thinned::new(SAMPLES_MAX),
            known: HashMap::new(),
            newest: None,
        }
    }
}

impl History {
    pub(super) fn push(&mut self, at: Duration, breakdown: &Breakdown) {
        let mut largest: Vec<&Component> = breakdown.components.iter().collect();
        largest.sort_by_key(|component| std::cmp::Reverse(component.usage.resident));
        largest.truncate(PARTS_MAX);
        let mut parts = Vec::with_capacity(largest.len());
        for component in largest {
            let id = ComponentId::top(component);
            let resident = component.usage.resident;
            parts.push((id, resident));
            let known = self.known.entry(id).or_insert_with(|| Known {
                name: component.name.clone(),
                kind: component.kind,
                peak: Bytes::ZERO,
            });
            known.peak = known.peak.max(resident);
        }
        let point = Point {
            at,
            resident: breakdown.totals.usage.resident,
            parts,
        };
        self.newest = Some(point.clone());
        self.points.push(point);
        self.forget_unused();
    }

    pub(super) fn push_sample(&mut self, at: Duration, rss: Bytes) {
        self.samples.push(Sample { at, rss });
    }

    /// In time order; the newest reading is always the last one.
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        let last = self.points.items.last().map(|point| point.at);
        let newest = self
            .newest
            .iter()
            .filter(move |point| Some(point.at) != last);
        self.points.items.iter().chain(newest)
    }

    pub(super) fn samples(&self) -> &[Sample] {
        &self.samples.items
    }

    /// The components that held most at any time, the largest first.
    pub(super) fn largest(&self, count: usize) -> Vec<(ComponentId, &Known)> {
        let mut all: Vec<(ComponentId, &Known)> =
            self.known.iter().map(|(id, known)| (*id, known)).collect();
        // The identity decides between equals, so that the order is the same each time.
        all.sort_by_key(|(id, known)| (std::cmp::Reverse(known.peak), *id));
        all.truncate(count);
        all
    }

    /// Names of components that are in no point any more go, so that a subject which maps ever
    /// new files does not fill our memory.
    fn forget_unused(&mut self) {
        if self.known.len() <= POINTS_MAX {
            return;
        }
        let mut peaks: HashMap<ComponentId, Bytes> = HashMap::new();
        for (id, bytes) in self.points.items.iter().flat_map(|point| &point.parts) {
            let peak = peaks.entry(*id).or_default();
            *peak = (*peak).max(*bytes);
        }
        let mut order: Vec<(Bytes, ComponentId)> =
            peaks.iter().map(|(id, peak)| (*peak, *id)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        order.truncate(POINTS_MAX / 2);
        let keep: HashMap<ComponentId, Bytes> =
            order.into_iter().map(|(peak, id)| (id, peak)).collect();
        self.known.retain(|id, _| keep.contains_key(id));
    }
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;

    #[test]
    fn a_long_series_stays_bounded_and_keeps_its_peak() {
        let mut series = Thinned::new(8);
        for second in 0..10_000u64 {
            let rss = if second == 3333 { 5000 } else { second % 7 };
            series.push(Sample {
                at: Duration::from_secs(second),
                rss: Bytes(rss),
            });
            assert!(series.items.len() <= 8);
            assert!(series.items.is_sorted_by_key(|sample| sample.at));
        }
        assert!(series.items.iter().any(|sample| sample.rss == Bytes(5000)));
        // Evenly spread, not crowded at the end.
        let gaps: Vec<u64> = series
            .items
            .windows(2)
            .map(|pair| (pair[1].at - pair[0].at).as_secs())
            .collect();
        let longest = gaps.iter().max().copied().unwrap_or(0);
        assert!(longest <= 3 * series.stride as u64, "{gaps:?}");
    }

    #[test]
    fn the_newest_point_is_always_there() {
        let mut history = History::default();
        for second in 0..2000u64 {
            let resident = Bytes::mib(if second == 100 { 900 } else { 10 });
            let breakdown = made::breakdown(vec![made::heap("heap", resident)]);
            history.push(Duration::from_secs(second), &breakdown);
            let last = history.points().last().map(|point| point.at);
            assert_eq!(last, Some(Duration::from_secs(second)));
        }
        assert!(
            history
                .points()
                .any(|point| point.resident == Bytes::mib(900))
        );
    }

    #[test]
    fn names_of_passing_components_are_forgotten() {
        let mut history = History::default();
        for second in 0..5000u64 {
            let passing = made::heap(&format!("tmp{second}"), Bytes::mib(1));
            let breakdown = made::breakdown(vec![made::heap("heap", Bytes::mib(9)), passing]);
            history.push(Duration::from_secs(second), &breakdown);
            assert!(history.known.len() <= POINTS_MAX + PARTS_MAX);
        }
        assert_eq!(history.largest(1)[0].1.name, "heap");
    }
}
