//! A scale report as JSON: trials of each cell, laws, claims tested.

use plimsoll_model::{Axis, Cell, ScaleReport, Size};
use serde::Serialize;

use super::law::{AxisLawJson, TargetJson};
use super::parts::GapJson;
use super::trial::TrialJson;
use crate::figures::scale::Scale;

#[derive(Serialize)]
pub(super) struct ScaleJson<'a> {
    command: &'a [String],
    axes: Vec<AxisJson<'a>>,
    repeat: usize,
    seed: u64,
    confidence: f64,
    budget_bytes: Option<u64>,
    verdicts: Vec<String>,
    cells: Vec<CellJson<'a>>,
    laws: Vec<AxisLawJson<'a>>,
    targets: Vec<TargetJson<'a>>,
    gaps: Vec<GapJson<'a>>,
}

#[derive(Serialize)]
struct AxisJson<'a> {
    name: &'a str,
    values: &'a [f64],
}

#[derive(Serialize)]
pub(super) struct SizeJson<'a> {
    axis: &'a str,
    value: f64,
}

#[derive(Serialize)]
struct CellJson<'a> {
    sizes: Vec<SizeJson<'a>>,
    trials: Vec<TrialJson<'a>>,
    failed: usize,
}

impl<'a> ScaleJson<'a> {
    pub(super) fn of(report: &'a ScaleReport) -> ScaleJson<'a> {
        ScaleJson {
            command: &report.command,
            axes: report.axes.iter().map(AxisJson::of).collect(),
            repeat: report.repeat,
            seed: report.seed,
            confidence: report.confidence,
            budget_bytes: report.budget.map(|budget| budget.0),
            verdicts: Scale::of(report).verdicts(),
            cells: report.cells.iter().map(CellJson::of).collect(),
            laws: report
                .laws
                .iter()
                .map(|law| AxisLawJson::of(law, report.budget))
                .collect(),
            targets: report
                .targets
                .iter()
                .map(|target| TargetJson::of(target, report.confidence))
                .collect(),
            gaps: GapJson::all(&report.gaps),
        }
    }
}

impl<'a> AxisJson<'a> {
    fn of(axis: &'a Axis) -> AxisJson<'a> {
        AxisJson {
            name: &axis.name,
            values: &axis.values,
        }
    }
}

impl<'a> SizeJson<'a> {
    pub(super) fn all(sizes: &'a [Size]) -> Vec<SizeJson<'a>> {
        let size = |size: &'a Size| SizeJson {
            axis: &size.axis,
            value: size.value,
        };
        sizes.iter().map(size).collect()
    }
}

impl<'a> CellJson<'a> {
    fn of(cell: &'a Cell) -> CellJson<'a> {
        CellJson {
            sizes: SizeJson::all(&cell.sizes),
            trials: TrialJson::all(&cell.trials),
            failed: cell.failed,
        }
    }
}
