//! What the stages of a run took and gave back: how much of what was gained was freed again, which
//! owners hold the rest, what changed inside each stage, and what stages that repeat have in common.
//!
//! Pure arithmetic over [`Recorded`]; text, JSON and HTML tell it from here. Memory: a change for
//! each component of two breakdowns at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use plimsoll_model::{Bytes, Component, Recorded, RssParts, Stage, StageSource, TimedBreakdown};

use crate::figures::run::comparable_rss;

/// A breakdown stands for the border between two stages when RSS was so near to what it was there:
/// a subject that is not stopped by its mark goes on while it is read.
const BORDER_PERCENT: u64 = 5;
/// Less than this is not told apart in a small process.
const BORDER_BYTES: Bytes = Bytes::mib(1);

/// What was gained after the first mark, and what of it is left at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freed<'a> {
    /// The stage that the first mark began.
    pub(crate) first: &'a Stage,
    /// The stage that reached the highest RSS.
    pub(crate) highest: &'a Stage,
    /// RSS when the first stage began.
    pub(crate) base: Bytes,
    /// Highest RSS of all stages from then on.
    pub(crate) max: Bytes,
    /// RSS at the end of the last one.
    pub(crate) last: Bytes,
}

impl<'a> Freed<'a> {
    /// `None` when no stage that a mark began has ended.
    pub(crate) fn of(stages: &'a [Stage]) -> Option<Freed<'a>> {
        let marked = || stages.iter().filter(|stage| is_marked(stage));
        let (first, last) = (marked().next()?, marked().next_back()?);
        // The first of equal ones: that is when the level was reached.
        let highest = marked().reduce(|highest, stage| {
            if top_of(stage) > top_of(highest) {
                stage
            } else {
                highest
            }
        })?;
        Some(Freed {
            first,
            highest,
            base: first.at_start.rss,
            max: top_of(highest),
            last: last.at_end.rss,
        })
    }

    pub(crate) fn gained(&self) -> Bytes {
        self.max.saturating_sub(self.base)
    }

    /// What was freed of it again; more than was gained when the end is below the base.
    pub(crate) fn freed(&self) -> Bytes {
        self.max.saturating_sub(self.last)
    }

    /// What is left of it.
    pub(crate) fn remains(&self) -> Bytes {
        self.last.saturating_sub(self.base)
    }

    /// 1 - (last - base) / (max - base); `None` when nothing was gained.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let gained = self.gained();
        (!gained.is_zero()).then(|| self.freed().0 as f64 / gained.0 as f64)
    }

    /// Whether the highest RSS may have been higher: then at least this share was freed.
    pub(crate) fn is_at_least(&self) -> bool {
        self.highest.peak_at_most.is_some()
    }
}

/// Between two breakdowns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference<'a> {
    pub(crate) from: &'a TimedBreakdown,
    pub(crate) to: &'a TimedBreakdown,
    /// The largest change first, in either direction; what did not change is left out.
    pub(crate) components: Vec<ComponentChange<'a>>,
}

/// All components of one name, then and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ComponentChange<'a> {
    pub(crate) name: &'a str,
    pub(crate) from: Bytes,
    pub(crate) to: Bytes,
    /// Of a growth: what its allocator or runtime holds though the program freed it. `None` where
    /// its structures do not tell.
    pub(crate) held: Option<Bytes>,
    /// Of a growth: what the kernel can drop at any time.
    pub(crate) droppable: Bytes,
}

impl ComponentChange<'_> {
    pub(crate) fn change(&self) -> i64 {
        signed_difference(self.from, self.to)
    }
}

/// How many stages have the same label, and what they did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated<'a> {
    pub(crate) label: &'a str,
    pub(crate) count: usize,
    pub(crate) change_median: i64,
    pub(crate) change_total: i64,
    pub(crate) peak_max: Bytes,
}

/// Of anonymous memory, shared memory and swap.
pub(crate) fn own_change(stage: &Stage) -> i64 {
    let own = |parts: &RssParts| parts.own();
    signed_difference(own(&stage.at_start), own(&stage.at_end))
}

/// What changed inside a stage, when breakdowns at both of its ends were taken.
pub(crate) fn stage_difference(recorded: &Recorded, index: usize) -> Option<Difference<'_>> {
    let stage = recorded.stages.get(index)?;
    let from = at_start(recorded, stage)?;
    let to = match recorded.stages.get(index + 1) {
        Some(next) => at_start(recorded, next)?,
        None => at_end(recorded, stage)?,
    };
    (to.at > from.at).then(|| difference(from, to))
}

/// Which owners hold what is left at the end: from the breakdown nearest to the first mark to the
/// last one, if that was taken after the last stage had begun, or saw the RSS that there is at the
/// end: short stages that follow each other fast are not all read.
pub(crate) fn remainder(recorded: &Recorded) -> Option<Difference<'_>> {
    let mut marked = recorded.stages.iter().filter(|stage| is_marked(stage));
    let first = marked.next()?;
    let last = marked.next_back().unwrap_or(first);
    let breakdowns = &recorded.breakdowns;
    let from = breakdowns
        .iter()
        .min_by_key(|timed| timed.at.abs_diff(first.start))?;
    let to = breakdowns.iter().rfind(|to| to.at <= last.end)?;
    let tells_the_end = to.at >= last.start || is_near(to, last.at_end.rss);
    (tells_the_end && to.at > from.at).then(|| difference(from, to))
}

/// Labels of more than one stage, in the order of their first one.
pub(crate) fn repeated(stages: &[Stage]) -> Vec<Repeated<'_>> {
    let mut groups: Vec<(&str, Vec<&Stage>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for stage in stages {
        let place = *places.entry(&stage.label).or_insert_with(|| {
            groups.push((&stage.label, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(stage);
    }
    groups.retain(|(_, group)| group.len() > 1);
    groups
        .into_iter()
        .map(|(label, group)| {
            let mut changes: Vec<i64> = group.iter().map(|stage| stage.change()).collect();
            Repeated {
                label,
                count: group.len(),
                change_total: changes.iter().fold(0, |sum, one| sum.saturating_add(*one)),
                change_median: median(&mut changes),
                peak_max: group
                    .iter()
                    .map(|stage| stage.peak)
                    .max()
                    .unwrap_or_default(),
            }
        })
        .collect()
}

/// Places of the stages that get a row each, at most `limit` (and one more, where that leaves none
/// out): labels that stand for one stage only before those that repeat, in time order.
pub(crate) fn chosen(stages: &[Stage], limit: Option<usize>) -> Vec<usize> {
    let limit = match limit {
        Some(limit) if stages.len() > limit + 1 => limit,
        _ => return (0..stages.len()).collect(),
    };
    let repeat: BTreeSet<&str> = repeated(stages).iter().map(|group| group.label).collect();
    let mut places: Vec<usize> = (0..stages.len()).collect();
    places.sort_by_key(|place| repeat.contains(stages[*place].label.as_str()));
    places.truncate(limit);
    places.sort_unstable();
    places
}

/// The middle one; of an even number, the mean of the two in the middle.
fn median(figures: &mut [i64]) -> i64 {
    figures.sort_unstable();
    let half = figures.len() / 2;
    match figures.len() {
        0 => 0,
        length if length % 2 == 1 => figures[half],
        _ => figures[half - 1].midpoint(figures[half]),
    }
}

fn is_marked(stage: &Stage) -> bool {
    stage.source != StageSource::Start
}

fn top_of(stage: &Stage) -> Bytes {
    stage.peak.max(stage.at_end.rss)
}

/// The breakdown taken as the stage began.
fn at_start<'a>(recorded: &'a Recorded, stage: &Stage) -> Option<&'a TimedBreakdown> {
    let breakdowns = &recorded.breakdowns;
    let place = breakdowns.partition_point(|timed| timed.at < stage.start);
    let timed = breakdowns.get(place)?;
    let late = timed.at.saturating_sub(stage.start);
    (late <= tolerance(recorded, stage) && is_near(timed, stage.at_start.rss)).then_some(timed)
}

/// The breakdown taken as the stage ended, where no other begins.
fn at_end<'a>(recorded: &'a Recorded, stage: &Stage) -> Option<&'a TimedBreakdown> {
    let breakdowns = &recorded.breakdowns;
    let place = breakdowns.partition_point(|timed| timed.at <= stage.end);
    let timed = breakdowns.get(place.checked_sub(1)?)?;
    let early = stage.end.saturating_sub(timed.at);
    (early <= tolerance(recorded, stage) && is_near(timed, stage.at_end.rss)).then_some(timed)
}

/// From the border of a stage, in time: as far as a sample may be, and not far into the stage.
fn tolerance(recorded: &Recorded, stage: &Stage) -> Duration {
    let length = stage.end.saturating_sub(stage.start);
    recorded.meta.interval.min(length / 4)
}

fn is_near(timed: &TimedBreakdown, rss: Bytes) -> bool {
    let off = comparable_rss(&timed.breakdown).0.abs_diff(rss.0);
    off <= rss.scaled(BORDER_PERCENT, 100).max(BORDER_BYTES).0
}

#[derive(Clone, Copy, Default)]
struct Amount {
    resident: Bytes,
    droppable: Bytes,
    held: Option<Bytes>,
}

impl Amount {
    fn add(&mut self, component: &Component) {
        self.resident += component.usage.resident;
        self.droppable += component.reclaim.droppable;
        if let Some(used) = &component.used {
            *self.held.get_or_insert_default() += used.held_free;
        }
    }
}

fn difference<'a>(from: &'a TimedBreakdown, to: &'a TimedBreakdown) -> Difference<'a> {
    let mut amounts: BTreeMap<&str, [Amount; 2]> = BTreeMap::new();
    for (side, timed) in [from, to].into_iter().enumerate() {
        for component in &timed.breakdown.components {
            amounts.entry(&component.name).or_default()[side].add(component);
        }
    }
    let mut components: Vec<ComponentChange<'_>> = amounts
        .into_iter()
        .filter(|(_, [from, to])| from.resident != to.resident)
        .map(|(name, [from, to])| {
            let grown = to.resident.saturating_sub(from.resident);
            let part = |from: Bytes, to: Bytes| to.saturating_sub(from).min(grown);
            ComponentChange {
                name,
                from: from.resident,
                to: to.resident,
                held: to
                    .held
                    .map(|held| part(from.held.unwrap_or_default(), held)),
                droppable: part(from.droppable, to.droppable),
            }
        })
        .collect();
    components.sort_by_key(|component| Reverse(component.change().unsigned_abs()));
    Difference {
        from,
        to,
        components,
    }
}

fn signed_difference(from: Bytes, to: Bytes) -> i64 {
    to.0.cast_signed().saturating_sub(from.0.cast_signed())
}

#[cfg(test)]
mod tests;
