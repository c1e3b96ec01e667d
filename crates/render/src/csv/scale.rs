//! A scale report as CSV: one row a trial, the sizes of each axis in front. Trials that failed have
//! no figures and are in no row.

use std::io::{self, Write};

use plimsoll_model::{Cell, ScaleReport, Seen, Trial};

use super::fields::{optional, seconds, text, write_row};

pub(crate) fn scale(report: &ScaleReport, w: &mut dyn Write) -> io::Result<()> {
    let mut titles: Vec<String> = report.axes.iter().map(|axis| text(&axis.name)).collect();
    titles.extend(
        [
            "trial",
            "rss_peak_bytes",
            "own_peak_bytes",
            "pss_peak_bytes",
            "pss_peak_share",
            "rss_end_bytes",
            "own_end_bytes",
            "pss_end_bytes",
            "pss_end_share",
            "length_seconds",
            "cpu_seconds",
            "major_faults",
            "exit_code",
            "cap_bytes",
            "oom_kills",
        ]
        .map(str::to_owned),
    );
    write_row(w, &titles)?;
    for cell in &report.cells {
        for (place, trial) in cell.trials.iter().enumerate() {
            write_row(w, &trial_row(report, cell, place + 1, trial))?;
        }
    }
    Ok(())
}

fn trial_row(report: &ScaleReport, cell: &Cell, place: usize, trial: &Trial) -> Vec<String> {
    let mut fields: Vec<String> = report
        .axes
        .iter()
        .map(|axis| {
            let size = cell.sizes.iter().find(|size| size.axis == axis.name);
            optional(size.map(|size| size.value))
        })
        .collect();
    fields.extend([
        place.to_string(),
        trial.rss_peak.0.to_string(),
        trial.own_peak.0.to_string(),
    ]);
    fields.extend(seen(trial.pss_peak));
    fields.extend([
        trial.at_end.rss.0.to_string(),
        trial.at_end.own().0.to_string(),
    ]);
    fields.extend(seen(trial.pss_end));
    fields.extend([
        seconds(trial.length),
        seconds(trial.cpu),
        trial.major_faults.to_string(),
        optional(trial.exit_code),
        optional(trial.cap.as_ref().map(|cap| cap.limit.0)),
        optional(trial.cap.as_ref().and_then(|cap| cap.oom_kills)),
    ]);
    fields
}

/// Bytes, and which share of what they stand for was seen.
fn seen(seen: Option<Seen>) -> [String; 2] {
    [
        optional(seen.map(|seen| seen.bytes.0)),
        optional(seen.map(|seen| format!("{:.4}", seen.share))),
    ]
}
