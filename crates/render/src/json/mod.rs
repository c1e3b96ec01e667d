//! JSON for machines: explicit output structures, apart from the model's own serde form, so that
//! the model can change without breaking readers.
//!
//! Every key is always there; `null` is a reading that is missing or does not apply. Sizes are
//! integers of bytes, times are seconds, growth is bytes per unit of work, and the keys say so.
//! docs/reference/json.md documents every key; a test compares the two.

mod breakdown;
mod check;
mod compare;
mod conditions;
mod estimate;
mod fit;
mod law;
mod leak;
mod parts;
mod process_table;
mod published;
mod recording;
mod scale;
mod stage;
mod trial;

use std::io::{self, Write};

use plimsoll_model::{
    Breakdown, CapFit, CheckReport, CompareReport, LeakReport, ProcessTable, Recorded, ScaleReport,
};
use serde::Serialize;

pub(crate) use breakdown::BreakdownJson;

/// Raised when a key is removed, renamed or changes its meaning; not when one is added.
pub(crate) const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<T> {
    schema_version: u32,
    kind: &'static str,
    #[serde(flatten)]
    content: T,
}

pub(crate) fn breakdown(breakdown: &Breakdown, w: &mut dyn Write) -> io::Result<()> {
    document("breakdown", BreakdownJson::of(breakdown), w)
}

pub(crate) fn process_table(table: &ProcessTable, w: &mut dyn Write) -> io::Result<()> {
    document(
        "process_table",
        process_table::ProcessTableJson::of(table),
        w,
    )
}

pub(crate) fn recorded(recorded: &Recorded, w: &mut dyn Write) -> io::Result<()> {
    document("recording", recording::RecordingJson::of(recorded), w)
}

pub(crate) fn fit(fit: &CapFit, w: &mut dyn Write) -> io::Result<()> {
    document("fit", fit::FitJson::of(fit), w)
}

pub(crate) fn scale(report: &ScaleReport, w: &mut dyn Write) -> io::Result<()> {
    document("scale", scale::ScaleJson::of(report), w)
}

pub(crate) fn compare(report: &CompareReport, w: &mut dyn Write) -> io::Result<()> {
    document("compare", compare::CompareJson::of(report), w)
}

pub(crate) fn leak(report: &LeakReport, w: &mut dyn Write) -> io::Result<()> {
    document("leak", leak::LeakJson::of(report), w)
}

pub(crate) fn check(report: &CheckReport, w: &mut dyn Write) -> io::Result<()> {
    document("check", check::CheckJson::of(report), w)
}

fn document(kind: &'static str, content: impl Serialize, w: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        kind,
        content,
    };
    serde_json::to_writer_pretty(&mut *w, &document)?;
    w.write_all(b"\n")
}
