//! What a leak report says, in plain sentences that every format shares.
//!
//! Names and units in them are foreign: who prints a sentence escapes it for its own format.

use plimsoll_model::{
    Doubt, Drive, Estimate, Growth, GrowthClass, LeakReport, MeasuredGrowth, MemoryPoint,
};

use crate::figures::leak_series::LeakSeries;
use crate::words::amount::{bytes, signed_bytes};
use crate::words::interval::{between, estimated, estimated_per};
use crate::words::number::{confidence, count};
use crate::words::time::{date, span};
use crate::words::work::WorkUnit;

/// The class as a reader sees it.
pub(crate) const fn class_words(class: GrowthClass) -> &'static str {
    match class {
        GrowthClass::Growing => "GROWING",
        GrowthClass::Bounded => "BOUNDED",
        GrowthClass::Flat => "FLAT",
        GrowthClass::Inconclusive => "INCONCLUSIVE",
    }
}

/// The answer in one sentence.
pub(crate) fn verdict(report: &LeakReport) -> String {
    let series = LeakSeries::of(report);
    let own = &report.own.growth;
    let answer = match own.class {
        GrowthClass::Growing => growing(report, &series),
        GrowthClass::Bounded => with_limit(bounded(own, &series), own, &series),
        GrowthClass::Flat => with_limit(flat(own, &series), own, &series),
        GrowthClass::Inconclusive => inconclusive(report, &series),
    };
    format!("{}: {answer}.", class_words(own.class))
}

fn growing(report: &LeakReport, series: &LeakSeries<'_>) -> String {
    let (own, unit) = (&report.own.growth, series.unit);
    let what = match own.teeth {
        Some(teeth) => format!(
            "the program's own memory goes up and down by {} every {}, and the floor grows",
            bytes(teeth.amplitude_bytes),
            unit.about(teeth.period)
        ),
        None => "the program's own memory grows".to_owned(),
    };
    let mut words = match &own.slope {
        Some(slope) => format!("{what} by {}", estimated_per(slope, &unit.per())),
        None => what,
    };
    if let Some(end) = series.warm_up_work() {
        words.push_str(&format!(" after {} of warm-up", unit.count(end)));
    }
    if let (Some(budget), Some(at)) = (report.budget, &own.budget_at) {
        let now = series.ends().map_or(0.0, |(_, to)| to);
        words.push_str(&if at.value <= now {
            format!("; {budget} are reached already")
        } else {
            format!("; {budget} are reached after about {}", unit.estimate(at))
        });
    }
    words
}

fn bounded(own: &Growth, series: &LeakSeries<'_>) -> String {
    let unit = series.unit;
    let movement = match (own.teeth, series.warm_up_work()) {
        (Some(teeth), _) => format!(
            "it goes up and down by {} every {}",
            bytes(teeth.amplitude_bytes),
            unit.about(teeth.period)
        ),
        (None, Some(end)) => format!("it rose in the first {} and stopped", unit.count(end)),
        (None, None) => "it moves and comes back".to_owned(),
    };
    if own.certainly_below.is_some() {
        return format!("{movement}; {}", under_the_bound(own, unit));
    }
    let of = if own.teeth.is_some() {
        "growth of the floor"
    } else {
        "growth"
    };
    let and = if own.teeth.is_some() {
        " and the floor stays"
    } else {
        ""
    };
    match &own.slope {
        Some(slope) => format!("{movement}{and}: {of} is {} {}", between(slope), unit.per()),
        None => format!("{movement}{and}"),
    }
}

fn flat(own: &Growth, series: &LeakSeries<'_>) -> String {
    let unit = series.unit;
    if own.certainly_below.is_some() {
        return under_the_bound(own, unit);
    }
    let after = series.warm_up_work().map_or_else(String::new, |work| {
        format!(" after {} of warm-up", unit.count(work))
    });
    match own.slope.filter(|slope| slope.high < 0.0) {
        Some(slope) => format!(
            "no growth{after}: it shrinks, by {}",
            estimated_per(&mirrored(slope), &unit.per())
        ),
        None => format!("no growth{after}"),
    }
}

fn mirrored(slope: Estimate) -> Estimate {
    Estimate {
        value: -slope.value,
        low: -slope.high,
        high: -slope.low,
    }
}

fn under_the_bound(own: &Growth, unit: WorkUnit<'_>) -> String {
    let bound = own.certainly_below.map_or_else(String::new, bytes);
    let growth = match own.slope {
        Some(slope) if slope.low > 0.0 => {
            format!("it grows by {}", estimated_per(&slope, &unit.per()))
        }
        Some(slope) => format!("growth is {} {}", between(&slope), unit.per()),
        None => "growth".to_owned(),
    };
    format!(
        "{growth}, certainly below the {bound} {} that may be ignored",
        unit.per()
    )
}

/// What the run could have seen: without it "no growth" says nothing.
fn with_limit(mut words: String, own: &Growth, series: &LeakSeries<'_>) -> String {
    let asked = own.certainly_below.is_some();
    if let Some(limit) = own.detection_limit.filter(|_| !asked) {
        words.push_str(&format!(
            "; a leak of {} {} or more would have been seen in {}{}",
            bytes(limit),
            series.unit.per(),
            if series.unit.is_time() { "" } else { "these " },
            series.unit.count(series.work_done())
        ));
    }
    words
}

fn inconclusive(report: &LeakReport, series: &LeakSeries<'_>) -> String {
    let own = &report.own.growth;
    let mut pieces: Vec<String> = own
        .reasons
        .iter()
        .map(|reason| doubt(reason, own, series.unit))
        .collect();
    if pieces.is_empty() {
        pieces.push("no reason was given".to_owned());
    }
    if let Some(points) = own.more_points.filter(|points| *points > 0) {
        let more = series.work_of(points);
        pieces.push(format!(
            "run about {} more{}",
            series.unit.about(more),
            option_words(report.drive, series.work_done() + more)
        ));
    }
    pieces.join("; ")
}

/// The option of `plimsoll leak` that makes a run so long.
fn option_words(drive: Drive, work: f64) -> String {
    match drive {
        Drive::Actions | Drive::Marks | Drive::Log => {
            format!(" (--iterations {:.0})", work.ceil())
        }
        Drive::Time => format!(" (--duration {:.0}s)", work.ceil()),
    }
}

/// All doubts about a series, as clauses; nothing where there are none.
pub(crate) fn doubts(growth: &Growth, unit: WorkUnit<'_>) -> String {
    let reasons = growth.reasons.iter();
    let doubts: Vec<String> = reasons.map(|reason| doubt(reason, growth, unit)).collect();
    doubts.join("; ")
}

/// Why a series is inconclusive, as a clause.
pub(crate) fn doubt(doubt: &Doubt, growth: &Growth, unit: WorkUnit<'_>) -> String {
    match doubt {
        Doubt::NoPoints => "nothing was measured".to_owned(),
        Doubt::NotFinite { count: 0 } => {
            "the work between points is next to nothing, so that no slope can be reckoned"
                .to_owned()
        }
        Doubt::NotFinite { count } => format!(
            "{} not finite or larger than any memory",
            count_of(*count, "point is", "points are")
        ),
        Doubt::WorkNotIncreasing { count } => format!(
            "{} no more work done than the one before (unsorted or double)",
            count_of(*count, "point has", "points have")
        ),
        Doubt::TooShort { points, needed } => format!(
            "{} too few to tell a leak from a part of one tooth ({needed} are needed)",
            count_of(*points, "steady point is", "steady points are")
        ),
        Doubt::WarmUpNotOver { steady_points } => warm_up_not_over(*steady_points),
        Doubt::Staircase { steps, next_at } => format!(
            "it rises in {}, each larger and later than the one before, as a container does that \
             doubles its capacity; the next step is due after {}",
            count(*steps as u64, "step", "steps"),
            unit.about(*next_at)
        ),
        Doubt::TeethTooFew { seen, needed } => format!(
            "{} too few to tell whether the floor under them rises ({needed} are needed)",
            count_of(*seen, "release is", "releases are")
        ),
        Doubt::HalvesDisagree => halves_disagree(growth, unit),
        Doubt::GrowthTooWeak {
            slope,
            detection_limit,
        } => format!(
            "it seems to grow by {} {}, which this run cannot tell from chance (it could tell {} \
             or more)",
            bytes(*slope),
            unit.per(),
            bytes(*detection_limit)
        ),
        Doubt::RandomWalk => {
            "it wanders without returning, so that there is no level it could be said to keep"
                .to_owned()
        }
        Doubt::WithinEarlierRange => {
            "the last part rises, but only where memory has been before".to_owned()
        }
        Doubt::ControlUnusable => {
            "the control arm gives no slope that could be subtracted".to_owned()
        }
    }
}

fn count_of(number: usize, one: &str, plural: &str) -> String {
    count(number as u64, one, plural)
}

fn warm_up_not_over(steady_points: usize) -> String {
    let steady = match steady_points {
        0 => String::new(),
        points => format!(
            " (the last {} without a change of course)",
            count(points as u64, "point is", "points are")
        ),
    };
    format!(
        "warm-up may not be over{steady}: memory rises ever slower or has not stopped for long \
         enough, and a cache that fills looks the same"
    )
}

fn halves_disagree(growth: &Growth, unit: WorkUnit<'_>) -> String {
    let halves = growth.halves.map_or_else(String::new, |[first, second]| {
        format!(
            " ({}, then {} {})",
            signed_bytes(first.value),
            signed_bytes(second.value),
            unit.per()
        )
    });
    format!("it rises over the whole run, but not alike in its two halves{halves}")
}

/// What must be said beside the verdict: what was subtracted, and what it is that grows.
pub(crate) fn notes(report: &LeakReport) -> Vec<String> {
    let unit = WorkUnit(&report.unit);
    let control = report.own.growth.control_slope.map(|slope| {
        format!(
            "The control arm, the same without the work, grew by {}; that is subtracted.",
            estimated_per(&slope, &unit.per())
        )
    });
    control.into_iter().chain(what_grows(report)).collect()
}

/// What allocators say explains the growth from this share of it on: what they do not look into,
/// a mapping or an allocator that tells nothing, may be the rest.
const EXPLAINING_SHARE: f64 = 0.5;

/// Whose growth it is, where the measures together tell more than each alone.
fn what_grows(report: &LeakReport) -> Option<String> {
    let own = &report.own.growth;
    let of = |name: &str| {
        let measure = report.measures.iter().find(|measure| measure.name == name);
        measure.map(|measure| &measure.growth)
    };
    let stays = |growth: &Growth| matches!(growth.class, GrowthClass::Flat | GrowthClass::Bounded);
    let grows = |growth: &Growth| growth.class == GrowthClass::Growing;
    let explains = |growth: &Growth| match (growth.slope, own.slope) {
        (Some(part), Some(whole)) => part.value >= EXPLAINING_SHARE * whole.value,
        _ => false,
    };
    let (live, held) = (of(MeasuredGrowth::LIVE), of(MeasuredGrowth::HELD));
    let words = if grows(own) && live.is_some_and(|live| grows(live) && explains(live)) {
        "What grows is live memory: it is allocated and not freed."
    } else if grows(own)
        && live.is_some_and(stays)
        && held.is_some_and(|held| grows(held) && explains(held))
    {
        "What grows is held by the allocator after it was freed: fragmentation, not live memory."
    } else if stays(own) && of(MeasuredGrowth::FILES).is_some_and(grows) {
        "What grows is the cache of mapped files, which the kernel drops when it needs room; the \
         program's own memory does not grow."
    } else {
        return None;
    };
    Some(words.to_owned())
}

/// Of measures and owners that full readings tell, where those were too few for any of them: a list
/// of them would tell nothing.
pub(crate) fn too_few_readings(report: &LeakReport) -> Option<String> {
    let needed = |measured: &MeasuredGrowth| {
        measured
            .growth
            .reasons
            .iter()
            .find_map(|doubt| match doubt {
                Doubt::TooShort { needed, .. } => Some(*needed),
                _ => None,
            })
    };
    let allocators = report.measures.iter().filter(|it| is_allocators(it));
    let all: Vec<&MeasuredGrowth> = report.owners.iter().chain(allocators).collect();
    let readings = all.iter().map(|it| it.points).max()?;
    let needed: Option<Vec<usize>> = all.into_iter().map(needed).collect();
    let are = count_of(readings, "full reading is", "full readings are");
    let needed = needed?.into_iter().max()?;
    Some(format!(
        "{are} too few to judge owners and allocators ({needed} are needed)"
    ))
}

/// Whether a measure comes from the allocators' own structures, which only full readings look into.
pub(crate) fn is_allocators(measured: &MeasuredGrowth) -> bool {
    measured.name == MeasuredGrowth::LIVE || measured.name == MeasuredGrowth::HELD
}

/// "constant at 136 KiB", of a course in which there is nothing to see.
pub(crate) fn constant(series: &LeakSeries<'_>) -> Option<String> {
    let own = |point: &MemoryPoint| point.parts.own();
    let level = own(series.points.first()?);
    let constant = series.points.iter().all(|point| own(point) == level);
    constant.then(|| format!("constant at {level}"))
}

/// The comparison that people make by hand, and what it is worth; nothing where nothing moved.
pub(crate) fn by_hand(report: &LeakReport) -> Option<String> {
    let averages = report.own.growth.end_averages?;
    if constant(&LeakSeries::of(report)).is_some() {
        return None;
    }
    let points = count(averages.points as u64, "point", "points");
    Some(format!(
        "As one would by hand: the mean of the first {points} is {}, that of the last is {}, the \
         difference {}. This is evidence of nothing: warm-up and releases move it either way.",
        bytes(averages.early_bytes),
        bytes(averages.late_bytes),
        signed_bytes(averages.difference_bytes)
    ))
}

/// How the verdict was come to, piece by piece.
pub(crate) fn method(report: &LeakReport) -> Vec<String> {
    let (own, series) = (&report.own.growth, LeakSeries::of(report));
    let unit = series.unit;
    let mut pieces = vec![match series.warm_up_work() {
        Some(end) => format!(
            "warm-up: {} ({}) left out",
            unit.count(end),
            count(own.warm_up as u64, "point", "points")
        ),
        None => "no warm-up left out".to_owned(),
    }];
    pieces.push(own.teeth.map_or_else(
        || "no teeth".to_owned(),
        |teeth| {
            format!(
                "teeth: {} of {}, one every {}",
                count(teeth.count as u64, "release", "releases"),
                bytes(teeth.amplitude_bytes),
                unit.about(teeth.period)
            )
        },
    ));
    if let Some([first, second]) = &own.halves {
        pieces.push(format!("first half {}", estimated(first)));
        pieces.push(format!(
            "second half {}",
            estimated_per(second, &unit.per())
        ));
    }
    pieces.push(format!("{} intervals", confidence(report.confidence)));
    pieces
}

/// When, how long, how much and by what.
pub(crate) fn facts(report: &LeakReport) -> Vec<String> {
    let series = LeakSeries::of(report);
    let unit = series.unit;
    let done = if unit.is_time() {
        "watched over time".to_owned()
    } else {
        format!(
            "{} {}",
            unit.count(series.work_done()),
            drive_words(report.drive)
        )
    };
    vec![
        date(report.started_at),
        done,
        format!("in {}", span(report.length)),
        count(report.series.len() as u64, "point", "points"),
    ]
}

const fn drive_words(drive: Drive) -> &'static str {
    match drive {
        Drive::Marks => "told by marks of the command",
        Drive::Log => "told by lines of its output",
        Drive::Actions => "done to the running process",
        Drive::Time => "of time",
    }
}
