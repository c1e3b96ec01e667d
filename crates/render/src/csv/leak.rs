//! The leak report as CSV: one table whose first column, `row`, says what each row is.
//!
//! - `verdict`: the judgement on the program's own memory, with the verdict as a sentence in `text`;
//! - `measure` and `owner`: the same judgement on each of them, with its doubts in `text`;
//! - `floor`: a level after a release, in `own_bytes`;
//! - `point`: the series.
//!
//! `select row = 'point'` gives back the series. Growth is in bytes for one unit of work.

use std::io::{self, Write};

use plimsoll_model::{Estimate, GrowthPoint, LeakReport, MeasuredGrowth, MemoryPoint};

use super::fields::{optional, parts_fields, seconds, text, write_header, write_row};
use crate::names;
use crate::words::leak::{doubts, verdict};
use crate::words::work::WorkUnit;

const TITLES: [&str; 18] = [
    "row",
    "name",
    "class",
    "slope_bytes_per_unit",
    "slope_low_bytes_per_unit",
    "slope_high_bytes_per_unit",
    "detection_limit_bytes_per_unit",
    "warm_up_points",
    "points",
    "work_units",
    "time_seconds",
    "own_bytes",
    "rss_bytes",
    "anon_bytes",
    "file_bytes",
    "shmem_bytes",
    "swap_bytes",
    "text",
];

/// Fields of a point, which a judgement leaves empty, and the other way round.
const JUDGED: usize = 7;
const READ: usize = 8;

pub(crate) fn leak(report: &LeakReport, w: &mut dyn Write) -> io::Result<()> {
    write_header(w, &TITLES)?;
    write_row(w, &judged("verdict", &report.own, &verdict(report)))?;
    let unit = WorkUnit(&report.unit);
    let measures = report.measures.iter().map(|measure| ("measure", measure));
    let owners = report.owners.iter().map(|owner| ("owner", owner));
    for (row, measured) in measures.chain(owners) {
        write_row(w, &judged(row, measured, &doubts(&measured.growth, unit)))?;
    }
    for floor in &report.own.growth.floors {
        write_row(w, &floor_row(floor))?;
    }
    for point in &report.series {
        write_row(w, &point_row(point))?;
    }
    Ok(())
}

fn judged(row: &str, measured: &MeasuredGrowth, words: &str) -> Vec<String> {
    let growth = &measured.growth;
    let slope = |end: fn(&Estimate) -> f64| optional(growth.slope.as_ref().map(end));
    let mut fields = vec![
        row.to_owned(),
        text(&measured.name),
        names::growth_class(growth.class).to_owned(),
        slope(|slope| slope.value),
        slope(|slope| slope.low),
        slope(|slope| slope.high),
        optional(growth.detection_limit),
        growth.warm_up.to_string(),
        measured.points.to_string(),
    ];
    fields.extend(vec![String::new(); READ]);
    fields.push(text(words));
    fields
}

fn floor_row(floor: &GrowthPoint) -> Vec<String> {
    read(
        "floor",
        floor.work,
        ["", &format!("{:.0}", floor.bytes), "", "", "", "", ""].map(str::to_owned),
    )
}

fn point_row(point: &MemoryPoint) -> Vec<String> {
    let [rss, anon, file, shmem, swap] = parts_fields(&point.parts);
    let own = point.parts.own().0.to_string();
    let at = seconds(point.at);
    read("point", point.work, [at, own, rss, anon, file, shmem, swap])
}

fn read(row: &str, work: f64, figures: [String; READ - 1]) -> Vec<String> {
    let mut fields = vec![row.to_owned(), String::new()];
    fields.extend(vec![String::new(); JUDGED]);
    fields.push(work.to_string());
    fields.extend(figures);
    fields.push(String::new());
    fields
}
