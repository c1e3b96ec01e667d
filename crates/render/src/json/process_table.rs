//! The process table as JSON.

use plimsoll_model::{ProcessRow, ProcessTable};
use serde::Serialize;

use super::parts::{CostJson, GapJson, ProcessJson, ReclaimJson, SystemJson};

#[derive(Serialize)]
pub(super) struct ProcessTableJson<'a> {
    rows: Vec<ProcessRowJson<'a>>,
    without_memory: u32,
    system: SystemJson,
    gaps: Vec<GapJson<'a>>,
    cost: CostJson,
}

#[derive(Serialize)]
struct ProcessRowJson<'a> {
    label: &'a str,
    processes: u32,
    process: ProcessJson<'a>,
    resident_bytes: u64,
    proportional_bytes: Option<u64>,
    private_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    /// Its zeroes would be readings when PSS is unknown; so it is `null` then.
    reclaim: Option<ReclaimJson>,
}

impl<'a> ProcessTableJson<'a> {
    pub(super) fn of(table: &'a ProcessTable) -> ProcessTableJson<'a> {
        ProcessTableJson {
            rows: table.rows.iter().map(ProcessRowJson::of).collect(),
            without_memory: table.without_memory,
            system: SystemJson::of(&table.system),
            gaps: GapJson::all(&table.gaps),
            cost: CostJson::of(&table.cost),
        }
    }
}

impl<'a> ProcessRowJson<'a> {
    fn of(row: &'a ProcessRow) -> ProcessRowJson<'a> {
        ProcessRowJson {
            label: &row.label,
            processes: row.processes,
            process: ProcessJson::of(&row.process),
            resident_bytes: row.resident.0,
            proportional_bytes: row.proportional.map(|bytes| bytes.0),
            private_bytes: row.private.map(|bytes| bytes.0),
            swap_bytes: row.swap.map(|bytes| bytes.0),
            reclaim: row.proportional.map(|_| ReclaimJson::of(&row.reclaim)),
        }
    }
}
