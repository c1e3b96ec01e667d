//! The check report as CSV: one row for each rule.

use std::io::{self, Write};

use plimsoll_model::CheckReport;

use super::fields::{seconds, text, write_header, write_row};

pub(crate) fn check(report: &CheckReport, w: &mut dyn Write) -> io::Result<()> {
    let titles = [
        "file",
        "self_test",
        "check",
        "rule",
        "verdict",
        "found",
        "length_seconds",
    ];
    write_header(w, &titles)?;
    for result in &report.results {
        write_row(
            w,
            &[
                text(&report.file),
                report.self_test.to_string(),
                text(&result.check),
                text(&result.rule),
                result.verdict.name().to_owned(),
                text(&result.found),
                seconds(result.length),
            ],
        )?;
    }
    Ok(())
}
