//! What schema version 2 added: stages, pressure and the cap. Nothing of it in older files.
//!
//! Memory: at most [`super::ROWS_LIMIT`] stages and [`PRESSURE_LIMIT`] pressure samples.

use std::collections::HashMap;
use std::time::Duration;

use plimsoll_model::{
    Bytes, CapMechanism, CapRecord, Gap, PressureSample, RssParts, Stage, StageSource,
};
use rusqlite::Row;
use rusqlite::types::Value;

use super::{Reader, micros};
use crate::RecordingError;
use crate::components::{bytes, bytes_or_none, word};
use crate::schema::{VERSION_WITH_STAGES, Word};

/// More points than a chart has columns. They are running totals, so that those left out between
/// two that are kept hide none of the time waited.
const PRESSURE_LIMIT: u64 = 4000;

impl Reader<'_> {
    pub(super) fn has_stages(&self) -> bool {
        self.version >= VERSION_WITH_STAGES
    }

    pub(super) fn read_stages(&self, gaps: &mut Vec<Gap>) -> Result<Vec<Stage>, RecordingError> {
        let mut stages = Vec::new();
        if self.has_stages() {
            let query = "SELECT label, source, start_us, end_us, peak_bytes, peak_at_most_bytes,
                                start_rss_bytes, start_anon_bytes, start_file_bytes,
                                start_shmem_bytes, start_swap_bytes, end_rss_bytes,
                                end_anon_bytes, end_file_bytes, end_shmem_bytes, end_swap_bytes
                         FROM stage ORDER BY rowid";
            self.each_bounded(query, "stages", gaps, |row| {
                stages.push(stage_of(row)?);
                Ok(())
            })?;
        }
        Ok(stages)
    }

    /// Evenly thinned, the last one kept: it has the totals.
    pub(super) fn read_pressure(&self) -> Result<Vec<PressureSample>, RecordingError> {
        let mut samples = Vec::new();
        if self.has_stages() {
            let mut rows = 0;
            self.each("SELECT count(*) FROM pressure", |row| {
                rows = row.get::<_, u64>(0)?;
                Ok(())
            })?;
            let step = rows.div_ceil(PRESSURE_LIMIT).max(1);
            let mut row_number = 0;
            self.each(
                "SELECT at_us, some_us, full_us FROM pressure ORDER BY rowid",
                |row| {
                    row_number += 1;
                    if row_number % step == 0 || row_number == rows {
                        samples.push(PressureSample {
                            at: micros(row, 0)?,
                            some: micros(row, 1)?,
                            full: micros(row, 2)?,
                        });
                    }
                    Ok(())
                },
            )?;
        }
        Ok(samples)
    }

    pub(super) fn cap_of(
        &self,
        facts: &HashMap<String, Value>,
    ) -> Result<Option<CapRecord>, RecordingError> {
        let mechanism = match facts.get("cap_mechanism") {
            None => return Ok(None),
            Some(Value::Text(word)) => CapMechanism::from_word(word),
            Some(_) => None,
        };
        let mechanism =
            mechanism.ok_or_else(|| self.damaged("cap_mechanism is no known mechanism"))?;
        let count = |key: &str| match facts.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => u64::try_from(*value)
                .map(Some)
                .map_err(|_| self.damaged(format!("{key} is negative"))),
            Some(_) => Err(self.damaged(format!("{key} is not a number"))),
        };
        let limit =
            count("cap_limit_bytes")?.ok_or_else(|| self.damaged("a cap without its limit"))?;
        let refused = match facts.get("cap_refused") {
            Some(Value::Text(json)) => serde_json::from_str(json)
                .map_err(|error| self.damaged(format!("cap_refused: {error}")))?,
            _ => Vec::new(),
        };
        Ok(Some(CapRecord {
            mechanism,
            limit: Bytes(limit),
            charge_peak: count("cap_charge_peak_bytes")?.map(Bytes),
            limit_hits: count("cap_limit_hits")?,
            oom_kills: count("cap_oom_kills")?,
            refused,
        }))
    }

    /// The latest time in the tables of this version.
    pub(super) fn last_stage_instant(&self) -> Result<Duration, RecordingError> {
        let mut last = Duration::ZERO;
        if self.has_stages() {
            for query in [
                "SELECT end_us FROM stage ORDER BY rowid DESC LIMIT 1",
                "SELECT at_us FROM pressure ORDER BY rowid DESC LIMIT 1",
            ] {
                self.each(query, |row| {
                    last = last.max(micros(row, 0)?);
                    Ok(())
                })?;
            }
        }
        Ok(last)
    }
}

fn stage_of(row: &Row<'_>) -> Result<Stage, rusqlite::Error> {
    Ok(Stage {
        label: row.get(0)?,
        source: word::<StageSource>(row, 1)?,
        start: micros(row, 2)?,
        end: micros(row, 3)?,
        at_start: parts_of(row, 6)?,
        at_end: parts_of(row, 11)?,
        peak: bytes(row, 4)?,
        peak_at_most: bytes_or_none(row, 5)?,
    })
}

/// From five columns.
fn parts_of(row: &Row<'_>, first: usize) -> Result<RssParts, rusqlite::Error> {
    Ok(RssParts {
        rss: bytes(row, first)?,
        anon: bytes(row, first + 1)?,
        file: bytes(row, first + 2)?,
        shmem: bytes(row, first + 3)?,
        swap: bytes(row, first + 4)?,
    })
}
