//! A recording as CSV: its samples and its stages.

use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{Recorded, RssParts, Stage};

use super::fields::{optional, parts_fields, seconds, text, write_header, write_row};

/// One row per sample, then one per stage, told apart by `record`. A stage's row has the figures of
/// all processes at its end, and its peak; it has no pid, so that rows of processes still sum.
pub(crate) fn recorded(recorded: &Recorded, w: &mut dyn Write) -> io::Result<()> {
    write_header(
        w,
        &[
            "time_seconds",
            "pid",
            "start_time_ticks",
            "rss_bytes",
            "anon_bytes",
            "file_bytes",
            "shmem_bytes",
            "swap_bytes",
            "record",
            "stage",
            "stage_number",
            "stage_start_seconds",
            "peak_rss_bytes",
            "peak_rss_at_most_bytes",
        ],
    )?;
    for sample in &recorded.samples {
        let stage = stage_at(&recorded.stages, sample.at);
        let mut parts = RssParts::default();
        parts.add(sample);
        let mut fields = vec![
            seconds(sample.at),
            sample.process.pid.to_string(),
            sample.process.start_time.to_string(),
        ];
        fields.extend(parts_fields(&parts));
        fields.extend([
            "sample".to_owned(),
            stage.map_or_else(String::new, |(_, stage)| text(&stage.label)),
            optional(stage.map(|(number, _)| number)),
            optional(stage.map(|(_, stage)| seconds(stage.start))),
            String::new(),
            String::new(),
        ]);
        write_row(w, &fields)?;
    }
    for (number, stage) in recorded.stages.iter().enumerate() {
        stage_row(number, stage, w)?;
    }
    Ok(())
}

fn stage_row(number: usize, stage: &Stage, w: &mut dyn Write) -> io::Result<()> {
    let mut fields = vec![seconds(stage.end), String::new(), String::new()];
    fields.extend(parts_fields(&stage.at_end));
    fields.extend([
        "stage".to_owned(),
        text(&stage.label),
        number.to_string(),
        seconds(stage.start),
        stage.peak.0.to_string(),
        optional(stage.peak_at_most.map(|bytes| bytes.0)),
    ]);
    write_row(w, &fields)
}

/// The stage that a time is in, and its number from 0.
fn stage_at(stages: &[Stage], at: Duration) -> Option<(usize, &Stage)> {
    let number = stages
        .partition_point(|stage| stage.start <= at)
        .checked_sub(1)?;
    let stage = &stages[number];
    (at <= stage.end).then_some((number, stage))
}
