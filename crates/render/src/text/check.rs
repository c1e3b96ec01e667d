//! The check report as text: the summary, then rule by rule what was asked and what was found.

use std::io::{self, Write};

use plimsoll_model::{CheckReport, CheckResult, Verdict};

use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use crate::options::TextOptions;
use crate::printable::{fit, printable};
use crate::words::check::{SELF_TEST, summary, verdict_words};
use crate::words::time::span;

/// A rule that is longer is shortened in its column and written out below it.
const RULE_COLUMNS: usize = 36;

pub(crate) fn check(
    report: &CheckReport,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(w, options);
    page.paragraph(Tone::Bold, "", &summary(report))?;
    if report.self_test {
        page.paragraph(Tone::Plain, "", SELF_TEST)?;
    }
    page.paragraph(Tone::Plain, "", &format!("rules of {}", report.file))?;
    if report.results.is_empty() {
        return Ok(());
    }
    page.blank()?;
    let mut table = Table::new(vec![
        ("verdict", Align::Left),
        ("check", Align::Name),
        ("rule", Align::Left),
        ("took", Align::Right),
    ]);
    for result in &report.results {
        table.push(result_row(result));
    }
    table.write(&mut page)
}

fn result_row(result: &CheckResult) -> Row {
    let rule = printable(&result.rule);
    let shown = fit(&rule, RULE_COLUMNS);
    let mut row = Row::new(vec![
        verdict_words(result.verdict).to_owned(),
        printable(&result.check).into_owned(),
        shown.clone().into_owned(),
        span(result.length),
    ]);
    if result.verdict == Verdict::Fails {
        row.tone = Tone::Bold;
    }
    if shown != rule {
        row.notes.push(rule.clone().into_owned());
    }
    if !result.found.is_empty() {
        row.notes.push(result.found.clone());
    }
    row
}
