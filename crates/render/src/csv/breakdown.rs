//! A breakdown as CSV: one row for each leaf of the tree of components.

use std::io::{self, Write};

use plimsoll_model::{Breakdown, Component};

use super::fields::{optional, reclaim_fields, text, usage_fields, write_header, write_row};
use crate::names;

/// Between the names of a path. Not a slash: names are often paths of files themselves.
const PATH_SEPARATOR: &str = " > ";

/// One row per leaf: rows sum to the totals without double counting.
pub(crate) fn breakdown(breakdown: &Breakdown, w: &mut dyn Write) -> io::Result<()> {
    write_header(
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
        ],
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
        names::exactness(component.proportional_exactness).to_owned(),
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
