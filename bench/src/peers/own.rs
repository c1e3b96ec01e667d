//! Plimsoll as a library call in this process: the snapshot, and the attribution of its bytes.

use anyhow::Context;
use plimsoll_anatomy::{breakdown, wanted_symbols};
use plimsoll_model::ReadingCost;
use plimsoll_probe::{MethodChoice, ReadOptions, read_snapshot};

use crate::cost::Cost;
use crate::race::Turn;

/// Names of the parts of a turn.
const SNAPSHOT: &str = "snapshot";
pub(crate) const ATTRIBUTION: &str = "attribution";

/// A full breakdown, as `plimsoll inspect` makes it, without the names of packages and without
/// printing; and what it says of its own cost.
pub(crate) fn read(pid: u32, method: MethodChoice) -> anyhow::Result<(Turn, ReadingCost)> {
    let options = ReadOptions {
        method,
        wanted_symbols: wanted_symbols(),
        files: plimsoll_probe::FileDetail::Cache,
    };
    let (read, snapshot_cost) = Cost::of(|| read_snapshot(pid, &options));
    let (snapshot, target) = read.with_context(|| format!("failed to read process {pid}"))?;
    let (found, breakdown_cost) = Cost::of(|| breakdown(&snapshot, &target));
    anyhow::ensure!(
        !found.components.is_empty(),
        "nothing was found in process {pid}"
    );
    let turn = Turn {
        total: snapshot_cost.plus(breakdown_cost),
        parts: vec![(SNAPSHOT, snapshot_cost), (ATTRIBUTION, breakdown_cost)],
    };
    Ok((turn, target.cost()))
}
