//! The check report as a page: the summary and a table of rules.

use std::io::{self, Write};

use plimsoll_model::{CheckReport, CheckResult};

use super::data::PageData;
use super::page::{Head, Page};
use super::table::{Cell, Column};
use crate::words::check::{SELF_TEST, summary, verdict_words};
use crate::words::time::span;

pub(crate) fn check(report: &CheckReport, w: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::start(
        w,
        &Head {
            title: "Check report",
            facts: &[format!("rules of {}", report.file)],
            command: &[],
            verdict: &[summary(report)],
        },
    )?;
    if report.self_test {
        page.paragraph("note", SELF_TEST)?;
    }
    let columns = [
        Column::Prose("check"),
        Column::Prose("rule"),
        Column::Words("verdict"),
        Column::Prose("found"),
        Column::Figures("took"),
    ];
    let row = |result: &CheckResult| {
        vec![
            Cell::text(&result.check),
            Cell::text(&result.rule),
            Cell::text(verdict_words(result.verdict)),
            Cell::text(&result.found),
            Cell::valued(result.length.as_secs_f64(), span(result.length)),
        ]
    };
    page.raw("<section>\n")?;
    page.table(&columns, report.results.iter().map(row))?;
    page.raw("</section>\n")?;
    page.finish(&PageData::empty())
}
