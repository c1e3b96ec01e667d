//! HTML: one file that works offline, on paper, on a phone and without scripts.
//!
//! The verdict and the tables are plain markup; a small script (assets/page.js) adds the treemap,
//! the chart over time and sorting, from a JSON block in the page ([`data`]). The page asks
//! nothing of any network: its content security policy forbids it.

mod chart;
mod check;
mod data;
mod fit;
mod leak;
mod page;
mod published;
mod receipt;
mod scale;
mod stages;
mod table;
mod tables;

use std::io::{self, Write};

use plimsoll_model::{Breakdown, Bytes, ProcessTable, Recorded, Scope};

use crate::figures::run::{Run, facts};
use crate::markup::escaped;
use crate::words::amount::{marked, peak_exactness};
use crate::words::conditions::{before_the_kill, cap_words, pressure_words};
use crate::words::number::{count, percent};
use crate::words::subject::scope_words;
use crate::words::time::{date, span};
use data::PageData;
use page::{Head, Page};

pub(crate) use check::check;
pub(crate) use fit::fit;
pub(crate) use leak::leak;
pub(crate) use receipt::receipt;
pub(crate) use scale::scale;

/// Rows that the first sentence about a process table names.
const LARGEST_NAMED: usize = 3;

pub(crate) fn breakdown(breakdown: &Breakdown, w: &mut dyn Write) -> io::Result<()> {
    let process = &breakdown.process;
    let scope = scope_words(breakdown);
    let mut page = Page::start(
        w,
        &Head {
            title: &process.application(),
            facts: &[scope, date(breakdown.taken_at)],
            command: &process.command,
            verdict: std::slice::from_ref(&breakdown.verdict),
        },
    )?;
    composition(&mut page, breakdown)?;
    page.raw("<section id=\"picked\"><h2>Who owns it</h2>\n")?;
    page.treemap_place()?;
    tables::components(&mut page, breakdown)?;
    page.raw("</section>\n")?;
    published::published(&mut page, &breakdown.published)?;
    page.system(&breakdown.system)?;
    if let Some(cgroup) = &breakdown.cgroup {
        page.cgroup(cgroup)?;
    }
    page.gaps(&breakdown.gaps)?;
    page.cost(&breakdown.cost)?;
    page.finish(&PageData::of_breakdown(breakdown))
}

pub(crate) fn process_table(table: &ProcessTable, w: &mut dyn Write) -> io::Result<()> {
    let owned: Bytes = table.rows.iter().filter_map(|row| row.proportional).sum();
    let known = table.rows.iter().filter(|row| row.proportional.is_some());
    let processes: u32 = known.map(|row| row.processes).sum();
    let largest: Vec<String> = table
        .rows
        .iter()
        .filter_map(|row| Some(format!("{} {}", row.proportional?, row.label)))
        .take(LARGEST_NAMED)
        .collect();
    let verdict = format!(
        "{owned} really owned (PSS) by {}; the largest: {}.",
        count(processes.into(), "process", "processes"),
        largest.join(", ")
    );
    let mut page = Page::start(
        w,
        &Head {
            title: "Processes",
            facts: &[],
            command: &[],
            verdict: &[verdict],
        },
    )?;
    page.raw("<section>\n")?;
    page.treemap_place()?;
    tables::processes(&mut page, table)?;
    page.raw("</section>\n")?;
    page.system(&table.system)?;
    page.gaps(&table.gaps)?;
    page.cost(&table.cost)?;
    page.finish(&PageData::of_table(table))
}

pub(crate) fn recorded(recorded: &Recorded, w: &mut dyn Write) -> io::Result<()> {
    let run = Run::of(recorded);
    let data = PageData::of_run(&run);
    let meta = &recorded.meta;
    let root = recorded.processes.iter().find(|p| p.id == meta.root);
    let command = if meta.command.is_empty() {
        root.map_or(&[][..], |root| &root.command)
    } else {
        &meta.command
    };
    let title = run.witness.as_ref().map_or_else(
        || root.map_or_else(|| "Recording".to_owned(), |root| root.name.clone()),
        |witness| witness.timed.breakdown.process.application(),
    );
    let mut page = Page::start(
        w,
        &Head {
            title: &title,
            facts: &facts(meta),
            command,
            verdict: &[run.verdict()],
        },
    )?;
    if let Some(note) = run.kernel_peak_note() {
        page.paragraph("note", &note)?;
    }
    for words in [
        cap_words(recorded),
        before_the_kill(recorded),
        pressure_words(recorded),
    ]
    .iter()
    .flatten()
    {
        page.paragraph("condition", words)?;
    }
    page.raw("<section><h2>Over time</h2>\n<div id=\"chart\"></div>\n")?;
    page.paragraph("note", &data.thinning_note(recorded))?;
    page.raw("</section>\n")?;
    stages::stages(&mut page, recorded)?;
    if let Some(witness) = &run.witness {
        page.raw(&format!(
            "<section id=\"picked\"><h2>Who owned it at <span id=\"picked-time\">{}</span></h2>\n",
            escaped(&span(witness.timed.at))
        ))?;
        page.treemap_place()?;
        tables::components(&mut page, &witness.timed.breakdown)?;
        page.raw("</section>\n")?;
        published::published(&mut page, &witness.timed.breakdown.published)?;
    }
    tables::moments(&mut page, &run)?;
    tables::process_records(&mut page, recorded)?;
    tables::events(&mut page, recorded)?;
    page.gaps(&run.gaps())?;
    page.paragraph("cost", &run.cost_note())?;
    page.finish(&data)
}

/// The totals as figures, and what of them the kernel can take back as a bar.
fn composition(page: &mut Page<'_>, breakdown: &Breakdown) -> io::Result<()> {
    let totals = &breakdown.totals;
    let usage = &totals.usage;
    let mut figures = vec![
        (
            match breakdown.scope {
                Scope::Process => "RSS",
                Scope::Tree => "Distinct RSS",
            },
            marked(usage.resident, totals.resident_exactness),
            "resident: pages in RAM now, shared ones counted fully",
        ),
        (
            "PSS",
            marked(usage.proportional, totals.proportional_exactness),
            "shared pages divided among their users",
        ),
        (
            "USS",
            usage.private.to_string(),
            "private: what exit would free",
        ),
        (
            "Dirty",
            usage.dirty.to_string(),
            "modified since it was read",
        ),
        ("Swap", usage.swap.to_string(), "moved out of RAM"),
        (
            "Peak RSS",
            marked(totals.rss_peak, peak_exactness(breakdown)),
            "the kernel's high-water mark",
        ),
    ];
    if usage.distinct < usage.resident {
        figures.insert(
            1,
            (
                "Distinct",
                usage.distinct.to_string(),
                "pages mapped several times counted once",
            ),
        );
    }
    if !usage.hugetlb.is_zero() {
        figures.push(("Hugetlb", usage.hugetlb.to_string(), "beside RSS"));
    }
    page.figures(&figures)?;
    page.reclaim_bar(&totals.reclaim, |bytes| {
        percent(bytes, totals.reclaim.total())
    })
}
