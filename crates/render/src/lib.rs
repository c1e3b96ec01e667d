//! Model values to text, JSON, CSV and HTML; checks to JUnit XML, too.
//!
//! Pure: everything is written into the `Write` that is passed in. No file, clock or environment
//! is read; what depends on the reader's terminal is in [`TextOptions`]. The only thing that can
//! fail is that writer, so results are `io::Result`.
//!
//! Inside: `figures` computes from a report what every format shows, `words` says it in sentences
//! and quantities, `names` for machines; `text`, `json`, `csv`, `html` and `junit` lay it out.
//!
//! Names of files and processes are foreign: no renderer lets a control character of theirs
//! reach the reader, and HTML, XML, CSV and the embedded JSON quote them for their own format. Who
//! prints such a name without a renderer passes it through [`printable()`].

mod csv;
mod figures;
mod html;
mod json;
mod junit;
mod markup;
mod names;
mod options;
mod printable;
mod text;
mod words;

use std::io::{self, BufWriter, Write};

use plimsoll_model::{
    Breakdown, CapFit, CheckReport, CompareReport, LeakReport, ProcessTable, Recorded, ScaleReport,
};

pub use options::{CheckFormat, Format, TextOptions, UnknownFormat};
pub use printable::printable;
pub use words::interval::estimated_per;
pub use words::published::{course_line, tags_line};
pub use words::time::span;

/// The `schema_version` of every JSON document written here.
pub const SCHEMA_VERSION: u32 = json::SCHEMA_VERSION;

/// Writes what `inspect` shows: who owns the resident bytes.
pub fn render_breakdown(
    breakdown: &Breakdown,
    format: Format,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        Format::Text => text::breakdown(breakdown, options, w),
        Format::Json => json::breakdown(breakdown, w),
        Format::Csv => csv::breakdown(breakdown, w),
        Format::Html => html::breakdown(breakdown, w),
    })
}

/// Writes what `ps` shows: all processes by the memory they really own.
pub fn render_process_table(
    table: &ProcessTable,
    format: Format,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        Format::Text => text::process_table(table, options, w),
        Format::Json => json::process_table(table, w),
        Format::Csv => csv::process_table(table, w),
        Format::Html => html::process_table(table, w),
    })
}

/// Writes the report of a run: the peak, what it was made of, and the way there.
pub fn render_recorded(
    recorded: &Recorded,
    format: Format,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        Format::Text => text::recorded(recorded, options, w),
        Format::Json => json::recorded(recorded, w),
        Format::Csv => csv::recorded(recorded, w),
        Format::Html => html::recorded(recorded, w),
    })
}

/// Writes what `fit` found: the smallest cap, and the time under the caps above it.
pub fn render_fit(
    fit: &CapFit,
    format: Format,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        Format::Text => text::fit(fit, options, w),
        Format::Json => json::fit(fit, w),
        Format::Csv => csv::fit(fit, w),
        Format::Html => html::fit(fit, w),
    })
}

/// Writes what `scale` shows: the law by which memory grows with the size of the input.
pub fn render_scale(
    report: &ScaleReport,
    format: Format,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        Format::Text => text::scale(report, options, w),
        Format::Json => json::scale(report, w),
        Format::Csv => csv::scale(report, w),
        Format::Html => html::scale(report, w),
    })
}

/// Writes what `compare` shows: what each change to a program saved, beyond the noise.
pub fn render_compare(
    report: &CompareReport,
    format: Format,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        Format::Text => text::receipt(report, options, w),
        Format::Json => json::compare(report, w),
        Format::Csv => csv::compare(report, w),
        Format::Html => html::receipt(report, w),
    })
}

/// Writes what `leak` found: whether the program's own memory grows with work, and the evidence.
pub fn render_leak(
    report: &LeakReport,
    format: Format,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        Format::Text => text::leak(report, options, w),
        Format::Json => json::leak(report, w),
        Format::Csv => csv::leak(report, w),
        Format::Html => html::leak(report, w),
    })
}

/// Writes what `check` found: each rule with its verdict.
pub fn render_check(
    report: &CheckReport,
    format: CheckFormat,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    buffered(w, |w| match format {
        CheckFormat::Shared(Format::Text) => text::check(report, options, w),
        CheckFormat::Shared(Format::Json) => json::check(report, w),
        CheckFormat::Shared(Format::Csv) => csv::check(report, w),
        CheckFormat::Shared(Format::Html) => html::check(report, w),
        CheckFormat::Junit => junit::check(report, w),
    })
}

/// The verdict of a leak report in one or two sentences.
#[must_use]
pub fn leak_verdict(report: &LeakReport) -> String {
    words::leak::verdict(report)
}

/// Renderers write in small pieces; callers may pass a bare file or pipe.
fn buffered(
    w: &mut dyn Write,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = BufWriter::new(w);
    render(&mut buffer)?;
    buffer.flush()
}
