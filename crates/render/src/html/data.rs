//! The JSON block that the page's script draws from. Private to the two of them: keys are short
//! because a recording repeats them for every component of every breakdown.
//!
//! Memory: the whole block once, bounded by [`BREAKDOWNS_MAX`] and [`POINTS_MAX`].

use std::io;

use plimsoll_model::{
    Breakdown, Bytes, Component, Kind, Package, ProcessRow, ProcessTable, Reclaim, ReclaimClass,
    Recorded,
};
use serde::Serialize;

use super::page::class_name;
use crate::figures::run::Run;
use crate::printable::printable;
use crate::words::amount::mark;
use crate::words::component::{cache_words, sharing_words, used_words};

/// Breakdowns in one page. A breakdown of a large process is some 40 KB here, and a page of a few
/// megabytes still opens at once on a phone.
const BREAKDOWNS_MAX: usize = 120;

/// Stages drawn in the chart: more would be lines without a space between them.
const STAGES_MAX: usize = 400;

/// Points of the outline: more than a screen has columns.
const POINTS_MAX: usize = 2000;

#[derive(Serialize)]
pub(super) struct PageData {
    /// Seconds that the time axis spans; 0 for a single breakdown.
    length: f64,
    breakdowns: Vec<BreakdownData>,
    /// The one shown first.
    pick: usize,
    /// By which figures tiles can be sized, as places in [`ComponentData::u`]; the first is the
    /// one to begin with.
    measures: &'static [usize],
    /// What all components together are called.
    all: &'static str,
    /// Total RSS over time: seconds, bytes.
    outline: Vec<(f64, u64)>,
    peak: Option<(f64, u64)>,
    events: Vec<(f64, String)>,
    /// Start, end, label and highest RSS of each stage.
    stages: Vec<(f64, f64, String, u64)>,
}

#[derive(Serialize)]
struct BreakdownData {
    at: f64,
    components: Vec<ComponentData>,
}

#[derive(Serialize)]
struct ComponentData {
    /// Name.
    n: String,
    /// Kind.
    k: &'static str,
    /// Resident, distinct, proportional, private, dirty, swap.
    u: [u64; 6],
    /// How good PSS is: "", "~" or "<=".
    m: &'static str,
    /// Class of most of it, then bytes of must stay, swap only, after write-back, droppable.
    c: &'static str,
    r: [u64; 4],
    /// Notes.
    w: String,
    /// Parts.
    p: Vec<ComponentData>,
}

impl PageData {
    pub(super) fn empty() -> PageData {
        PageData {
            length: 0.0,
            breakdowns: Vec::new(),
            pick: 0,
            measures: &[0, 1, 2, 3],
            all: "all owners",
            outline: Vec::new(),
            peak: None,
            events: Vec::new(),
            stages: Vec::new(),
        }
    }

    /// Rows whose PSS is not known are left out: tiles of them would be wrong in every size.
    pub(super) fn of_table(table: &ProcessTable) -> PageData {
        let rows = table.rows.iter().filter_map(ComponentData::of_row);
        PageData {
            breakdowns: vec![BreakdownData {
                at: 0.0,
                components: rows.collect(),
            }],
            measures: &[2, 3, 0],
            all: "all processes",
            ..PageData::empty()
        }
    }

    pub(super) fn of_breakdown(breakdown: &Breakdown) -> PageData {
        PageData {
            breakdowns: vec![BreakdownData::of(0.0, breakdown)],
            ..PageData::empty()
        }
    }

    pub(super) fn of_run(run: &Run<'_>) -> PageData {
        let recorded = run.recorded;
        let peak_index = run.witness.as_ref().map_or(0, |witness| witness.index);
        let kept = thinned(recorded.breakdowns.len(), peak_index);
        PageData {
            length: recorded.meta.length.as_secs_f64(),
            pick: kept.iter().position(|i| *i == peak_index).unwrap_or(0),
            breakdowns: kept
                .into_iter()
                .map(|index| &recorded.breakdowns[index])
                .map(|timed| BreakdownData::of(timed.at.as_secs_f64(), &timed.breakdown))
                .collect(),
            outline: outline(run),
            peak: run.peak.map(|peak| (peak.at.as_secs_f64(), peak.rss.0)),
            measures: &[0, 1, 2, 3],
            all: "all owners",
            events: recorded
                .events
                .iter()
                .map(|event| {
                    let text = printable(&event.text).into_owned();
                    (event.at.as_secs_f64(), text)
                })
                .collect(),
            stages: stages(recorded),
        }
    }

    /// Says how the chart came about, and what the page leaves to the recording.
    pub(super) fn thinning_note(&self, recorded: &Recorded) -> String {
        let all = recorded.breakdowns.len();
        let shown = self.breakdowns.len();
        let left = if shown < all {
            format!("; {shown} of {all} are in this page, the recording has all")
        } else {
            String::new()
        };
        let stages = match recorded.stages.len() {
            0 => "",
            1..=STAGES_MAX => {
                " Upright lines are where stages begin, bars across them their peaks."
            }
            _ => " There are too many stages to draw.",
        };
        format!(
            "Areas are breakdowns, read at the ticks below the chart, with straight lines between \
             them{left}. The outline is the RSS of all processes together from quick samples, \
             shared pages once in each.{stages}"
        )
    }

    /// As the content of a script element: no `<` is left that could end it.
    pub(super) fn embedded(&self) -> io::Result<String> {
        let json = serde_json::to_string(self)?;
        let mut safe = String::with_capacity(json.len());
        for c in json.chars() {
            match c {
                // All of these stand only inside JSON strings, where an escape means the same.
                '<' => safe.push_str("\\u003c"),
                '>' => safe.push_str("\\u003e"),
                '&' => safe.push_str("\\u0026"),
                c => safe.push(c),
            }
        }
        Ok(safe)
    }
}

impl BreakdownData {
    fn of(at: f64, breakdown: &Breakdown) -> BreakdownData {
        let mut components: Vec<ComponentData> =
            breakdown.components.iter().map(ComponentData::of).collect();
        if let Some(nothing) = nothing_unattributed(breakdown) {
            components.push(ComponentData::of(&nothing));
        }
        BreakdownData { at, components }
    }
}

impl ComponentData {
    fn of(component: &Component) -> ComponentData {
        let usage = &component.usage;
        ComponentData {
            n: printable(&component.name).into_owned(),
            k: component.kind.name(),
            u: [
                usage.resident,
                usage.distinct,
                usage.proportional,
                usage.private,
                usage.dirty,
                usage.swap,
            ]
            .map(|bytes| bytes.0),
            m: mark(component.proportional_exactness),
            c: class_name(class_of(component)),
            r: reclaim_bytes(&component.reclaim),
            w: notes(component),
            p: component.parts.iter().map(ComponentData::of).collect(),
        }
    }

    fn of_row(row: &ProcessRow) -> Option<ComponentData> {
        let proportional = row.proportional?;
        // Distinct pages, dirty and swap are not in `measures` of a table, and so never shown.
        let figures = [
            row.resident,
            Bytes::ZERO,
            proportional,
            row.private?,
            Bytes::ZERO,
            Bytes::ZERO,
        ];
        Some(ComponentData {
            n: printable(&row.label).into_owned(),
            k: "process",
            u: figures.map(|bytes| bytes.0),
            m: "",
            c: class_name(row.reclaim.class()),
            r: reclaim_bytes(&row.reclaim),
            w: if row.processes > 1 {
                format!(
                    "{} processes, the largest pid {}",
                    row.processes, row.process.id
                )
            } else {
                format!("pid {}", row.process.id)
            },
            p: Vec::new(),
        })
    }
}

/// In the order of the script's names for them.
fn reclaim_bytes(reclaim: &Reclaim) -> [u64; 4] {
    [
        reclaim.must_stay,
        reclaim.swap_only,
        reclaim.after_writeback,
        reclaim.droppable,
    ]
    .map(|bytes| bytes.0)
}

/// The row that says so when nothing is unattributed: it is always there, also at 0.
pub(super) fn nothing_unattributed(breakdown: &Breakdown) -> Option<Component> {
    let mut kinds = breakdown.components.iter().map(|component| component.kind);
    let missing = kinds.all(|kind| kind != Kind::Unattributed);
    missing.then(|| Component::new("unattributed", Kind::Unattributed))
}

pub(super) fn class_of(component: &Component) -> ReclaimClass {
    component.reclaim.class()
}

/// What is known beside the bytes: detail, what is in use, the file's cache, package, evidence.
pub(super) fn notes(component: &Component) -> String {
    let mut notes = Vec::new();
    if !component.detail.is_empty() {
        notes.push(printable(&component.detail).into_owned());
    }
    notes.extend(used_words(component));
    notes.extend(cache_words(component));
    notes.extend(sharing_words(component));
    // Packages are components themselves: then the name says it already.
    let named = |package: &&Package| !component.name.contains(&package.name);
    if let Some(package) = component.package.as_ref().filter(named) {
        let manager = package.manager.name();
        notes.push(format!("{manager} {}", printable(&package.to_string())));
    }
    if !component.evidence.is_empty() {
        notes.push(format!("told by {}", printable(&component.evidence)));
    }
    notes.join("; ")
}

/// At most [`BREAKDOWNS_MAX`] places of `count`, evenly spread, the first, the last and `always`
/// among them.
fn thinned(count: usize, always: usize) -> Vec<usize> {
    if count <= BREAKDOWNS_MAX {
        return (0..count).collect();
    }
    let steps = BREAKDOWNS_MAX - 2;
    let mut kept: Vec<usize> = (0..=steps).map(|step| step * (count - 1) / steps).collect();
    if let Err(place) = kept.binary_search(&always) {
        kept.insert(place, always);
    }
    kept
}

/// All stages, or none when they are too many to be told apart.
fn stages(recorded: &Recorded) -> Vec<(f64, f64, String, u64)> {
    if recorded.stages.len() > STAGES_MAX {
        return Vec::new();
    }
    recorded
        .stages
        .iter()
        .map(|stage| {
            (
                stage.start.as_secs_f64(),
                stage.end.as_secs_f64(),
                printable(&stage.label).into_owned(),
                stage.peak.0,
            )
        })
        .collect()
}

/// Total RSS over time, thinned to the highest point of each stretch so that no peak is lost.
fn outline(run: &Run<'_>) -> Vec<(f64, u64)> {
    let stretch = run.totals.len().div_ceil(POINTS_MAX).max(1);
    run.totals
        .chunks(stretch)
        .filter_map(|points| points.iter().max_by_key(|point| point.rss))
        .map(|point| (point.at.as_secs_f64(), point.rss.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_first_last_and_peak() {
        assert_eq!(thinned(3, 1), [0, 1, 2]);
        let kept = thinned(10_000, 4321);
        assert!(kept.len() <= BREAKDOWNS_MAX);
        assert_eq!((kept[0], kept[kept.len() - 1]), (0, 9999));
        assert!(kept.contains(&4321));
        assert!(kept.is_sorted());
    }
}
