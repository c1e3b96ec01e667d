//! CSV for spreadsheets and data frames (RFC 4180): one header, CRLF line ends, fields quoted
//! where needed. Sizes are integers of bytes, times decimal seconds, an unknown figure is empty.
//!
//! Names are foreign text: control characters are escaped, and a name that a spreadsheet would
//! run as a formula gets a leading apostrophe, which spreadsheets take as "this is text".

mod check;
mod compare;
mod leak;
mod scale;

use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{
    Breakdown, Bytes, Component, Exactness, ProcessTable, Reclaim, Recorded, Stage, Usage,
};

use crate::printable::printable;

pub(crate) use check::check;
pub(crate) use compare::compare;
pub(crate) use leak::leak;
pub(crate) use scale::scale;

/// Between the names of a path. Not a slash: names are often paths of files themselves.
const PATH_SEPARATOR: &str = " > ";

/// One row per leaf: rows sum to the totals without double counting.
pub(crate) fn breakdown(breakdown: &Breakdown, w: &mut dyn Write) -> io::Result<()> {
    write_row(
        w,
        &[
            "path",
            "name",
            "kind",
            "resident_bytes",
            "distinct_bytes",
            "proportional_bytes",
            "private_bytes",
            "dirty_bytes",
            "swap_bytes",
            "hugetlb_bytes",
            "must_stay_bytes",
            "swap_only_bytes",
            "droppable_bytes",
            "after_writeback_bytes",
            "exactness",
            "mappings",
            "processes",
            "processes_complete",
            "package",
            "evidence",
            "detail",
        ]
        .map(str::to_owned),
    )?;
    for component in &breakdown.components {
        leaves(component, "", w)?;
    }
    Ok(())
}

fn leaves(component: &Component, above: &str, w: &mut dyn Write) -> io::Result<()> {
    let path = if above.is_empty() {
        component.name.clone()
    } else {
        format!("{above}{PATH_SEPARATOR}{}", component.name)
    };
    for part in &component.parts {
        leaves(part, &path, w)?;
    }
    if !component.parts.is_empty() {
        return Ok(());
    }
    let mut fields = vec![
        text(&path),
        text(&component.name),
        component.kind.name().to_owned(),
    ];
    fields.extend(usage_fields(&component.usage));
    fields.extend(reclaim_fields(&component.reclaim));
    fields.extend([
        match component.proportional_exactness {
            Exactness::Exact => "exact",
            Exactness::Estimated => "estimated",
            Exactness::AtMost => "at_most",
        }
        .to_owned(),
        component.sharing.mappings.to_string(),
        optional(component.sharing.processes.map(|processes| processes.count)),
        optional(
            component
                .sharing
                .processes
                .map(|processes| processes.complete),
        ),
        component
            .package
            .as_ref()
            .map_or_else(String::new, |package| text(&package.to_string())),
        text(&component.evidence),
        text(&component.detail),
    ]);
    write_row(w, &fields)
}

/// One row per line of the table.
pub(crate) fn process_table(table: &ProcessTable, w: &mut dyn Write) -> io::Result<()> {
    write_row(
        w,
        &[
            "label",
            "pid",
            "name",
            "processes",
            "proportional_bytes",
            "private_bytes",
            "resident_bytes",
            "swap_bytes",
            "must_stay_bytes",
            "swap_only_bytes",
            "droppable_bytes",
            "after_writeback_bytes",
        ]
        .map(str::to_owned),
    )?;
    for row in &table.rows {
        let mut fields = vec![
            text(&row.label),
            row.process.id.pid.to_string(),
            text(&row.process.name),
            row.processes.to_string(),
            optional(row.proportional.map(|bytes| bytes.0)),
            optional(row.private.map(|bytes| bytes.0)),
            row.resident.0.to_string(),
            optional(row.swap.map(|bytes| bytes.0)),
        ];
        fields.extend(if row.proportional.is_some() {
            reclaim_fields(&row.reclaim)
        } else {
            Default::default()
        });
        write_row(w, &fields)?;
    }
    Ok(())
}

/// One row per sample, then one per stage, told apart by `record`. A stage's row has the figures of
/// all processes at its end, and its peak; it has no pid, so that rows of processes still sum.
pub(crate) fn recorded(recorded: &Recorded, w: &mut dyn Write) -> io::Result<()> {
    write_row(
        w,
        &[
            "time_seconds",
            "pid",
            "start_time_ticks",
            "rss_bytes",
            "anon_bytes",
            "file_bytes",
            "shmem_bytes",
            "swap_bytes",
            "record",
            "stage",
            "stage_number",
            "stage_start_seconds",
            "peak_rss_bytes",
            "peak_rss_at_most_bytes",
        ]
        .map(str::to_owned),
    )?;
    for sample in &recorded.samples {
        let stage = stage_at(&recorded.stages, sample.at);
        let label = stage.map_or_else(String::new, |(_, stage)| text(&stage.label));
        write_row(
            w,
            &[
                seconds(sample.at),
                sample.process.pid.to_string(),
                sample.process.start_time.to_string(),
                sample.rss.0.to_string(),
                sample.anon.0.to_string(),
                sample.file.0.to_string(),
                sample.shmem.0.to_string(),
                sample.swap.0.to_string(),
                "sample".to_owned(),
                label,
                optional(stage.map(|(number, _)| number)),
                optional(stage.map(|(_, stage)| seconds(stage.start))),
                String::new(),
                String::new(),
            ],
        )?;
    }
    for (number, stage) in recorded.stages.iter().enumerate() {
        stage_row(number, stage, w)?;
    }
    Ok(())
}

fn stage_row(number: usize, stage: &Stage, w: &mut dyn Write) -> io::Result<()> {
    let end = &stage.at_end;
    write_row(
        w,
        &[
            seconds(stage.end),
            String::new(),
            String::new(),
            end.rss.0.to_string(),
            end.anon.0.to_string(),
            end.file.0.to_string(),
            end.shmem.0.to_string(),
            end.swap.0.to_string(),
            "stage".to_owned(),
            text(&stage.label),
            number.to_string(),
            seconds(stage.start),
            stage.peak.0.to_string(),
            optional(stage.peak_at_most.map(|bytes| bytes.0)),
        ],
    )
}

/// The stage that a time is in, and its number from 0.
fn stage_at(stages: &[Stage], at: Duration) -> Option<(usize, &Stage)> {
    let number = stages
        .partition_point(|stage| stage.start <= at)
        .checked_sub(1)?;
    let stage = &stages[number];
    (at <= stage.end).then_some((number, stage))
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

fn usage_fields(usage: &Usage) -> [String; 7] {
    [
        usage.resident,
        usage.distinct,
        usage.proportional,
        usage.private,
        usage.dirty,
        usage.swap,
        usage.hugetlb,
    ]
    .map(|Bytes(bytes)| bytes.to_string())
}

fn reclaim_fields(reclaim: &Reclaim) -> [String; 4] {
    [
        reclaim.must_stay,
        reclaim.swap_only,
        reclaim.droppable,
        reclaim.after_writeback,
    ]
    .map(|Bytes(bytes)| bytes.to_string())
}

fn optional(figure: Option<impl ToString>) -> String {
    figure.map_or_else(String::new, |figure| figure.to_string())
}

/// Foreign text as a field that is safe in a terminal and in a spreadsheet.
fn text(raw: &str) -> String {
    let safe = printable(raw);
    // OWASP's list of formula starts; tab and return are escaped already.
    if safe.starts_with(['=', '+', '-', '@']) {
        format!("'{safe}")
    } else {
        safe.into_owned()
    }
}

fn write_row(w: &mut dyn Write, fields: &[String]) -> io::Result<()> {
    for (number, field) in fields.iter().enumerate() {
        if number > 0 {
            w.write_all(b",")?;
        }
        // Spaces at the ends are data, but some readers trim them unless quoted.
        if field.contains([',', '"', '\n', '\r']) || field.trim() != field {
            write!(w, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            w.write_all(field.as_bytes())?;
        }
    }
    w.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_defuses_fields() {
        let check = |raw: &str, expected: &str| {
            let mut out = Vec::new();
            write_row(&mut out, &[text(raw)]).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\r\n"));
        };
        check("plain", "plain");
        check("a,b", "\"a,b\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0");
        check("+1", "'+1");
        check("-1", "'-1");
        check("@sum(a1)", "'@sum(a1)");
        check("\t=1", "\\t=1");
        check("line\nbreak", "line\\nbreak");
        check(" padded ", "\" padded \"");
    }
}
