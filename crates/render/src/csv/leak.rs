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

use super::{optional, text, write_row};
use crate::words::leak::{class_name, doubts, verdict};
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
    write_row(w, &TITLES.map(str::to_owned))?;
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
        class_name(growth.class).to_owned(),
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
    let parts = &point.parts;
    let bytes = [
        parts.own(),
        parts.rss,
        parts.anon,
        parts.file,
        parts.shmem,
        parts.swap,
    ];
    let mut fields = bytes.map(|bytes| bytes.0.to_string()).into_iter();
    read(
        "point",
        point.work,
        std::array::from_fn(|place| match place {
            0 => format!("{:.3}", point.at.as_secs_f64()),
            _ => fields.next().unwrap_or_default(),
        }),
    )
}

fn read(row: &str, work: f64, figures: [String; READ - 1]) -> Vec<String> {
    let mut fields = vec![row.to_owned(), String::new()];
    fields.extend(vec![String::new(); JUDGED]);
    fields.push(work.to_string());
    fields.extend(figures);
    fields.push(String::new());
    fields
}
