//! What `plimsoll scale` found: peaks at each size, the laws that they follow, claims tested.

use serde::{Deserialize, Serialize};

use crate::{Bytes, Gap, Law, LawUndetermined, Measure, TargetCheck, Trial};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleReport {
    /// With its placeholders: `{n}`.
    pub command: Vec<String>,
    pub axes: Vec<Axis>,
    /// Trials asked for in each cell.
    pub repeat: usize,
    /// Of the order of the trials and of resampling.
    pub seed: u64,
    pub confidence: f64,
    pub budget: Option<Bytes>,
    /// One for each combination of sizes, in the order of the axes.
    pub cells: Vec<Cell>,
    pub laws: Vec<AxisLaw>,
    pub targets: Vec<TargetResult>,
    pub gaps: Vec<Gap>,
}

/// A size that was varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    pub name: String,
    pub values: Vec<f64>,
}

/// A value of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    pub axis: String,
    pub value: f64,
}

/// The trials at one combination of sizes. Trials that failed are not among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub sizes: Vec<Size>,
    pub trials: Vec<Trial>,
    pub failed: usize,
}

/// The law of one measure along one axis, the other axes held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisLaw {
    pub axis: String,
    /// The values of the other axes.
    pub held: Vec<Size>,
    pub measure: Measure,
    /// Absent when no law can be stated; then `undetermined` says why.
    pub law: Option<Law>,
    pub undetermined: Option<LawUndetermined>,
}

/// A claim, tested at its size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetResult {
    pub sizes: Vec<Size>,
    pub check: TargetCheck,
}
