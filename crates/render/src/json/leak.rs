//! The leak report as JSON: the verdict, each judgement with its evidence, the whole series.

use plimsoll_model::{
    Doubt, Drive, EndAverages, Estimate, Growth, GrowthPoint, LeakReport, MeasuredGrowth,
    MemoryPoint, Teeth,
};
use serde::Serialize;

use super::estimate::EstimateJson;
use super::parts::{GapJson, RssPartsJson};
use crate::names;
use crate::words::leak::{doubt, notes, verdict};
use crate::words::work::WorkUnit;

#[derive(Serialize)]
pub(super) struct LeakJson<'a> {
    subject: &'a str,
    drive: &'static str,
    unit: &'a str,
    started_at_unix_seconds: f64,
    length_seconds: f64,
    confidence: f64,
    budget_bytes: Option<u64>,
    verdict: String,
    notes: Vec<String>,
    own: MeasuredGrowthJson<'a>,
    measures: Vec<MeasuredGrowthJson<'a>>,
    owners: Vec<MeasuredGrowthJson<'a>>,
    series: Vec<MemoryPointJson>,
    gaps: Vec<GapJson<'a>>,
}

#[derive(Serialize)]
struct MeasuredGrowthJson<'a> {
    name: &'a str,
    points: usize,
    class: &'static str,
    slope_bytes_per_unit: Option<EstimateJson>,
    detection_limit_bytes_per_unit: Option<f64>,
    certainly_below_bytes_per_unit: Option<f64>,
    control_slope_bytes_per_unit: Option<EstimateJson>,
    halves: Option<HalvesJson>,
    warm_up_points: usize,
    teeth: Option<TeethJson>,
    floors: Vec<FloorJson>,
    end_averages: Option<EndAveragesJson>,
    doubts: Vec<DoubtJson>,
    more_points: Option<usize>,
    budget_at_units: Option<EstimateJson>,
}

#[derive(Serialize)]
struct HalvesJson {
    first_bytes_per_unit: EstimateJson,
    second_bytes_per_unit: EstimateJson,
}

#[derive(Serialize)]
struct TeethJson {
    period_units: f64,
    amplitude_bytes: i64,
    count: usize,
}

#[derive(Serialize)]
struct FloorJson {
    work_units: f64,
    level_bytes: i64,
}

#[derive(Serialize)]
struct EndAveragesJson {
    points: usize,
    early_bytes: i64,
    late_bytes: i64,
    difference_bytes: i64,
}

/// Figures that a doubt does not have are `null`.
#[derive(Default, Serialize)]
struct DoubtJson {
    kind: &'static str,
    text: String,
    count: Option<usize>,
    needed: Option<usize>,
    next_at_units: Option<f64>,
    slope_bytes_per_unit: Option<f64>,
    detection_limit_bytes_per_unit: Option<f64>,
}

#[derive(Serialize)]
struct MemoryPointJson {
    work_units: f64,
    at_seconds: f64,
    #[serde(flatten)]
    parts: RssPartsJson,
}

impl<'a> LeakJson<'a> {
    pub(super) fn of(report: &'a LeakReport) -> LeakJson<'a> {
        let unit = WorkUnit(&report.unit);
        let all = |measured: &'a [MeasuredGrowth]| {
            let json = |one| MeasuredGrowthJson::of(one, unit);
            measured.iter().map(json).collect()
        };
        LeakJson {
            subject: &report.subject,
            drive: match report.drive {
                Drive::Marks => "marks",
                Drive::Log => "log",
                Drive::Actions => "actions",
                Drive::Time => "time",
            },
            unit: &report.unit,
            started_at_unix_seconds: report.started_at.as_secs_f64(),
            length_seconds: report.length.as_secs_f64(),
            confidence: report.confidence,
            budget_bytes: report.budget.map(|bytes| bytes.0),
            verdict: verdict(report),
            notes: notes(report),
            own: MeasuredGrowthJson::of(&report.own, unit),
            measures: all(&report.measures),
            owners: all(&report.owners),
            series: report.series.iter().map(MemoryPointJson::of).collect(),
            gaps: GapJson::all(&report.gaps),
        }
    }
}

impl<'a> MeasuredGrowthJson<'a> {
    fn of(measured: &'a MeasuredGrowth, unit: WorkUnit<'_>) -> MeasuredGrowthJson<'a> {
        let growth = &measured.growth;
        let doubts = growth.reasons.iter();
        MeasuredGrowthJson {
            name: &measured.name,
            points: measured.points,
            class: names::growth_class(growth.class),
            slope_bytes_per_unit: growth.slope.and_then(finite),
            detection_limit_bytes_per_unit: growth.detection_limit,
            certainly_below_bytes_per_unit: growth.certainly_below,
            control_slope_bytes_per_unit: growth.control_slope.and_then(finite),
            halves: growth.halves.and_then(HalvesJson::of),
            warm_up_points: growth.warm_up,
            teeth: growth.teeth.map(TeethJson::of),
            floors: growth.floors.iter().map(FloorJson::of).collect(),
            end_averages: growth.end_averages.map(EndAveragesJson::of),
            doubts: doubts
                .map(|doubt| DoubtJson::of(doubt, growth, unit))
                .collect(),
            more_points: growth.more_points,
            budget_at_units: growth.budget_at.and_then(finite),
        }
    }
}

/// None where a figure is not a number.
fn finite(estimate: Estimate) -> Option<EstimateJson> {
    let Estimate { value, low, high } = estimate;
    let all = value.is_finite() && low.is_finite() && high.is_finite();
    all.then(|| EstimateJson::of(estimate))
}

impl HalvesJson {
    fn of([first, second]: [Estimate; 2]) -> Option<HalvesJson> {
        Some(HalvesJson {
            first_bytes_per_unit: finite(first)?,
            second_bytes_per_unit: finite(second)?,
        })
    }
}

/// Keys that end in `_bytes` are whole numbers.
fn whole(bytes: f64) -> i64 {
    bytes.round() as i64
}

impl TeethJson {
    fn of(teeth: Teeth) -> TeethJson {
        TeethJson {
            period_units: teeth.period,
            amplitude_bytes: whole(teeth.amplitude_bytes),
            count: teeth.count,
        }
    }
}

impl FloorJson {
    fn of(floor: &GrowthPoint) -> FloorJson {
        FloorJson {
            work_units: floor.work,
            level_bytes: whole(floor.bytes),
        }
    }
}

impl EndAveragesJson {
    fn of(averages: EndAverages) -> EndAveragesJson {
        EndAveragesJson {
            points: averages.points,
            early_bytes: whole(averages.early_bytes),
            late_bytes: whole(averages.late_bytes),
            difference_bytes: whole(averages.difference_bytes),
        }
    }
}

impl DoubtJson {
    fn of(reason: &Doubt, growth: &Growth, unit: WorkUnit<'_>) -> DoubtJson {
        let mut json = DoubtJson {
            text: doubt(reason, growth, unit),
            ..DoubtJson::default()
        };
        json.kind = match *reason {
            Doubt::NoPoints => "no_points",
            Doubt::NotFinite { count } => {
                json.count = Some(count);
                "not_finite"
            }
            Doubt::WorkNotIncreasing { count } => {
                json.count = Some(count);
                "work_not_increasing"
            }
            Doubt::TooShort { points, needed } => {
                (json.count, json.needed) = (Some(points), Some(needed));
                "too_short"
            }
            Doubt::WarmUpNotOver { steady_points } => {
                json.count = Some(steady_points);
                "warm_up_not_over"
            }
            Doubt::Staircase { steps, next_at } => {
                (json.count, json.next_at_units) = (Some(steps), Some(next_at));
                "staircase"
            }
            Doubt::TeethTooFew { seen, needed } => {
                (json.count, json.needed) = (Some(seen), Some(needed));
                "teeth_too_few"
            }
            Doubt::HalvesDisagree => "halves_disagree",
            Doubt::GrowthTooWeak {
                slope,
                detection_limit,
            } => {
                json.slope_bytes_per_unit = Some(slope);
                json.detection_limit_bytes_per_unit = Some(detection_limit);
                "growth_too_weak"
            }
            Doubt::RandomWalk => "random_walk",
            Doubt::WithinEarlierRange => "within_earlier_range",
            Doubt::ControlUnusable => "control_unusable",
        };
        json
    }
}

impl MemoryPointJson {
    fn of(point: &MemoryPoint) -> MemoryPointJson {
        MemoryPointJson {
            work_units: point.work,
            at_seconds: point.at.as_secs_f64(),
            parts: RssPartsJson::of(&point.parts),
        }
    }
}
