//! The check report as a page: the summary and a table of rules.

use std::io::{self, Write};

use plimsoll_model::CheckReport;

use super::data::PageData;
use super::page::{Head, Page};
use crate::markup::escaped;
use crate::words::check::{SELF_TEST, summary, verdict_words};
use crate::words::time::span;

pub(crate) fn check(report: &CheckReport, w: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::start(
        w,
        &Head {
            title: "Check report",
            facts: &[format!("rules of {}", report.file)],
            command: &[],
            verdict: &summary(report),
        },
    )?;
    if report.self_test {
        page.paragraph("note", SELF_TEST)?;
    }
    page.raw(
        "<section><div class=\"scroll\"><table class=\"sortable\">\n<thead><tr><th>check<th>rule\
         <th>verdict<th>found<th class=\"n\">took</tr></thead>\n<tbody>\n",
    )?;
    for result in &report.results {
        page.raw(&format!(
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td><td>{}</td>\
             <td class=\"text\">{}</td><td class=\"n\" data-v=\"{:.3}\">{}</td></tr>\n",
            escaped(&result.check),
            escaped(&result.rule),
            verdict_words(result.verdict),
            escaped(&result.found),
            result.length.as_secs_f64(),
            escaped(&span(result.length)),
        ))?;
    }
    page.raw("</tbody></table></div></section>\n")?;
    page.finish(&PageData::empty())
}
