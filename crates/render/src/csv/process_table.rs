//! All processes as CSV.

use std::io::{self, Write};

use plimsoll_model::ProcessTable;

use super::fields::{optional, reclaim_fields, text, write_header, write_row};

/// One row per line of the table.
pub(crate) fn process_table(table: &ProcessTable, w: &mut dyn Write) -> io::Result<()> {
    write_header(
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
        ],
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
