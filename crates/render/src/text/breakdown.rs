//! `inspect` as text: the verdict, the totals, the owners, then what bounds and what is missing.

use std::io::{self, Write};

use plimsoll_model::{
    Breakdown, Bytes, Component, Exactness, Kind, Reclaim, ReclaimClass, Scope, Usage,
};

use super::cgroup;
use super::page::{Page, Tone, WIDE};
use super::published;
use super::table::{Align, Row, Table};
use crate::options::TextOptions;
use crate::printable::{fit, printable};
use crate::words::amount::{marked, peak_exactness};
use crate::words::component::{cache_words, sharing_words, used_words};
use crate::words::number::percent;
use crate::words::subject::scope_words;
use crate::words::time::date;

/// Parts of one component that get a line of their own when `top` is set: one component with
/// hundreds of libraries must not push the others off the screen.
const PARTS_TOP_MAX: usize = 6;

pub(crate) fn breakdown(
    breakdown: &Breakdown,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(w, options);
    subject(&mut page, breakdown)?;
    page.blank()?;
    page.paragraph(Tone::Bold, "", &breakdown.verdict)?;
    page.blank()?;
    totals(&mut page, breakdown)?;
    page.blank()?;
    components(&mut page, breakdown, options)?;
    published::write(&mut page, &breakdown.published, options)?;
    page.blank()?;
    page.system(&breakdown.system)?;
    if let Some(cgroup) = &breakdown.cgroup {
        cgroup::write(&mut page, cgroup)?;
    }
    page.gaps(&breakdown.gaps)?;
    page.cost(&breakdown.cost)
}

fn subject(page: &mut Page<'_>, breakdown: &Breakdown) -> io::Result<()> {
    let process = &breakdown.process;
    let scope = scope_words(breakdown);
    let head = format!(
        "{}, {scope}, {}",
        process.application(),
        date(breakdown.taken_at)
    );
    page.paragraph(Tone::Plain, "", &head)?;
    if !process.command.is_empty() {
        let command = process.command.join(" ");
        let safe = printable(&command);
        // A JVM's class path fills screens: one line says which program this is.
        page.line(Tone::Dim, &fit(&safe, page.width))?;
    }
    Ok(())
}

fn totals(page: &mut Page<'_>, breakdown: &Breakdown) -> io::Result<()> {
    let totals = &breakdown.totals;
    let usage = &totals.usage;
    let resident_title = match breakdown.scope {
        Scope::Process => "RSS",
        Scope::Tree => "distinct RSS",
    };
    let mut titles = vec![
        (resident_title, Align::Right),
        ("PSS", Align::Right),
        ("USS", Align::Right),
        ("dirty", Align::Right),
        ("swap", Align::Right),
        ("peak RSS", Align::Right),
    ];
    let mut cells = vec![
        marked(usage.resident, totals.resident_exactness),
        marked(usage.proportional, totals.proportional_exactness),
        usage.private.to_string(),
        usage.dirty.to_string(),
        usage.swap.to_string(),
        marked(totals.rss_peak, peak_exactness(breakdown)),
    ];
    if !usage.hugetlb.is_zero() {
        titles.push(("+ hugetlb", Align::Right));
        cells.push(usage.hugetlb.to_string());
    }
    let mut table = Table::new(titles);
    table.push(Row::new(cells));
    table.write(page)?;
    let mut asides = Vec::new();
    if usage.distinct < usage.resident {
        asides.push(format!(
            "{} of distinct pages: some are mapped more than once",
            usage.distinct
        ));
    }
    if breakdown.scope == Scope::Tree {
        asides.push(format!(
            "{} when each process's RSS is added up",
            totals.status_rss
        ));
    }
    if !totals.page_tables.is_zero() {
        asides.push(format!("{} of page tables beside it", totals.page_tables));
    }
    if !asides.is_empty() {
        page.pieces(Tone::Dim, 0, ",", &asides)?;
    }
    let inexact = |wanted| {
        totals.resident_exactness == wanted
            || totals.proportional_exactness == wanted
            || peak_exactness(breakdown) == wanted
            || any_exactness(&breakdown.components, wanted)
    };
    legend(
        page,
        inexact(Exactness::Estimated),
        inexact(Exactness::AtMost),
    )?;
    page.blank()?;
    page.pieces(Tone::Plain, 0, ",", &reclaim_pieces(&totals.reclaim))
}

fn any_exactness(components: &[Component], wanted: Exactness) -> bool {
    components.iter().any(|component| {
        component.proportional_exactness == wanted || any_exactness(&component.parts, wanted)
    })
}

fn legend(page: &mut Page<'_>, estimated: bool, at_most: bool) -> io::Result<()> {
    let mut words = Vec::new();
    if estimated {
        words.push("~ estimated".to_owned());
    }
    if at_most {
        words.push("<= that or less".to_owned());
    }
    if words.is_empty() {
        return Ok(());
    }
    page.pieces(Tone::Dim, 0, ",", &words)
}

pub(super) fn reclaim_pieces(reclaim: &Reclaim) -> Vec<String> {
    reclaim_classes(reclaim)
        .into_iter()
        .map(|(class, bytes)| format!("{} {bytes}", class.words()))
        .collect()
}

fn reclaim_classes(reclaim: &Reclaim) -> [(ReclaimClass, Bytes); 4] {
    [
        (ReclaimClass::MustStay, reclaim.must_stay),
        (ReclaimClass::SwapOnly, reclaim.swap_only),
        (ReclaimClass::Droppable, reclaim.droppable),
        (ReclaimClass::AfterWriteback, reclaim.after_writeback),
    ]
}

/// Which figures the component table shows, decided once for all its rows.
struct Layout {
    whole: Bytes,
    share: bool,
    dirty: bool,
    swap: bool,
    hugetlb: bool,
}

fn components(page: &mut Page<'_>, breakdown: &Breakdown, options: &TextOptions) -> io::Result<()> {
    let usage = &breakdown.totals.usage;
    let swap = !usage.swap.is_zero();
    let hugetlb = !usage.hugetlb.is_zero();
    let layout = Layout {
        whole: usage.resident,
        swap,
        hugetlb,
        // The rarer columns push out what can be told from the others.
        share: page.width >= WIDE || !(swap || hugetlb),
        dirty: page.width >= WIDE || !(swap && hugetlb),
    };
    let mut titles = vec![("component", Align::Name), ("RSS", Align::Right)];
    if layout.share {
        titles.push(("%", Align::Right));
    }
    titles.extend([("PSS", Align::Right), ("private", Align::Right)]);
    if layout.dirty {
        titles.push(("dirty", Align::Right));
    }
    if layout.swap {
        titles.push(("swap", Align::Right));
    }
    if layout.hugetlb {
        titles.push(("hugetlb", Align::Right));
    }
    titles.push(("take back", Align::Left));
    let mut table = Table::new(titles);
    let owned: Vec<&Component> = breakdown
        .components
        .iter()
        .filter(|component| component.kind != Kind::Unattributed)
        .collect();
    let unattributed: Vec<&Component> = breakdown
        .components
        .iter()
        .filter(|component| component.kind == Kind::Unattributed)
        .collect();
    level(&mut table, &layout, &owned, &[], 0, options);
    if unattributed.is_empty() {
        let nothing = Component::new("unattributed", Kind::Unattributed);
        table.push(row(&layout, &nothing, 0));
    }
    for component in unattributed {
        table.push(row(&layout, component, 0));
    }
    table.write(page)
}

/// Adds rows for `components` and, as far as asked for, their parts. `above` are the notes of the
/// component that they are parts of: not said twice.
fn level(
    table: &mut Table,
    layout: &Layout,
    components: &[&Component],
    above: &[String],
    depth: usize,
    options: &TextOptions,
) {
    let limit = match options.top {
        None => components.len(),
        Some(top) if depth == 0 => top,
        Some(top) => top.min(PARTS_TOP_MAX),
    };
    // A line that stands for one component is no shorter than the component's own.
    let shown = if components.len() <= limit + 1 {
        components.len()
    } else {
        limit
    };
    for component in &components[..shown] {
        let mut row = row(layout, component, depth);
        let notes = row.notes.clone();
        if row.notes == above {
            row.notes.clear();
        }
        table.push(row);
        if depth < options.depth && opens(component, &notes, layout, options) {
            let parts: Vec<&Component> = component.parts.iter().collect();
            level(table, layout, &parts, &notes, depth + 1, options);
        }
    }
    if shown < components.len() {
        table.push(smaller(layout, &components[shown..], depth));
    }
}

/// Whether the parts of a component are worth lines. With `top` unset they always are; else not
/// of a small component, and not a single part that adds nothing to it.
fn opens(component: &Component, notes: &[String], layout: &Layout, options: &TextOptions) -> bool {
    let small = component.usage.resident.ratio_of(layout.whole) < NOTES_RATIO_MIN;
    let same = match component.parts.as_slice() {
        [only] => {
            only.parts.is_empty()
                && (only.detail.is_empty() || self::notes(only, layout.whole) == notes)
        }
        _ => false,
    };
    options.top.is_none() || !(small || same)
}

fn row(layout: &Layout, component: &Component, depth: usize) -> Row {
    let name = printable(&component.name).into_owned();
    let mut row = figures(
        layout,
        name,
        &component.usage,
        component.proportional_exactness,
        &component.reclaim,
    );
    row.indent = depth * 2;
    row.notes = notes(component, layout.whole);
    row
}

fn smaller(layout: &Layout, components: &[&Component], depth: usize) -> Row {
    let mut usage = Usage::default();
    let mut reclaim = Reclaim::default();
    let mut exactness = Exactness::Exact;
    for component in components {
        usage += component.usage;
        reclaim += component.reclaim;
        exactness = exactness.max(component.proportional_exactness);
    }
    let word = if depth == 0 { "components" } else { "parts" };
    let name = format!("{} smaller {word}", components.len());
    let mut row = figures(layout, name, &usage, exactness, &reclaim);
    row.indent = depth * 2;
    row.tone = Tone::Dim;
    row
}

fn figures(
    layout: &Layout,
    name: String,
    usage: &Usage,
    exactness: Exactness,
    reclaim: &Reclaim,
) -> Row {
    let mut cells = vec![name, usage.resident.to_string()];
    if layout.share {
        cells.push(percent(usage.resident, layout.whole));
    }
    cells.extend([
        marked(usage.proportional, exactness),
        usage.private.to_string(),
    ]);
    if layout.dirty {
        cells.push(usage.dirty.to_string());
    }
    if layout.swap {
        cells.push(usage.swap.to_string());
    }
    if layout.hugetlb {
        cells.push(usage.hugetlb.to_string());
    }
    cells.push(if usage.resident.is_zero() {
        "-".to_owned()
    } else {
        class_word(reclaim.class()).to_owned()
    });
    Row::new(cells)
}

/// [`ReclaimClass::words`] as short as the narrow table needs them.
const fn class_word(class: ReclaimClass) -> &'static str {
    match class {
        ReclaimClass::MustStay => "must stay",
        ReclaimClass::SwapOnly => "swap only",
        ReclaimClass::AfterWriteback => "write-back",
        ReclaimClass::Droppable => "droppable",
    }
}

/// Below this share of the whole a component gets no lines that were not made for it: forty
/// libraries that say "2 processes" each would hide what matters.
const NOTES_RATIO_MIN: f64 = 0.01;

/// A second class of reclaim is named from this share of the component on.
const MINOR_CLASS_RATIO_MIN: f64 = 0.05;

fn notes(component: &Component, whole: Bytes) -> Vec<String> {
    let mut notes = Vec::new();
    if !component.detail.is_empty() {
        notes.push(printable(&component.detail).into_owned());
    }
    if component.usage.resident.ratio_of(whole) < NOTES_RATIO_MIN {
        return notes;
    }
    notes.extend(used_words(component));
    notes.extend(cache_words(component));
    notes.extend(sharing_words(component));
    // A class that holds a minority as well: the column's one word would hide it.
    let total = component.reclaim.total();
    let minor = reclaim_classes(&component.reclaim)
        .into_iter()
        .filter(|(class, bytes)| {
            *class != component.reclaim.class() && bytes.ratio_of(total) >= MINOR_CLASS_RATIO_MIN
        });
    notes.extend(minor.map(|(class, bytes)| format!("{bytes} {}", class.words())));
    notes
}
