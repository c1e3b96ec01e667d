//! What `fit` found as CSV: one row a run, those without a cap first.

use std::io::{self, Write};

use plimsoll_model::CapFit;

use super::fields::{optional, seconds, write_header, write_row};
use crate::words::fit::outcome;

pub(crate) fn fit(fit: &CapFit, w: &mut dyn Write) -> io::Result<()> {
    let titles = [
        "cap_bytes",
        "outcome",
        "length_seconds",
        "cpu_seconds",
        "major_faults",
        "charge_peak_bytes",
        "rss_peak_bytes",
        "limit_hits",
    ];
    write_header(w, &titles)?;
    for run in fit.baseline.iter().chain(&fit.runs) {
        write_row(
            w,
            &[
                optional(run.cap.map(|cap| cap.0)),
                outcome(run.failure),
                seconds(run.length),
                seconds(run.cpu),
                run.major_faults.to_string(),
                optional(run.charge_peak.map(|peak| peak.0)),
                run.rss_peak.0.to_string(),
                optional(run.limit_hits),
            ],
        )?;
    }
    Ok(())
}
