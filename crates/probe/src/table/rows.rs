//! Rows of one process each become rows of the wanted grouping, largest first. Pure.

use std::collections::HashMap;

use plimsoll_model::{Bytes, ProcessRow};

use super::Grouping;
use crate::cgroup::container_of;

/// What the processes are called together that no container and no unit holds.
const OUTSIDE: &str = "outside containers and services";

pub(crate) fn group(rows: Vec<ProcessRow>, grouping: Grouping) -> Vec<ProcessRow> {
    let labelled = rows.into_iter().map(|mut row| {
        row.label = match grouping {
            Grouping::Process | Grouping::Application => row.process.application(),
            Grouping::Container => row
                .process
                .cgroup
                .as_deref()
                .and_then(container_of)
                .unwrap_or_else(|| OUTSIDE.to_owned()),
        };
        row
    });
    let mut rows = match grouping {
        Grouping::Process => labelled.collect(),
        Grouping::Application | Grouping::Container => join_labels(labelled),
    };
    rows.sort_by(|a, b| {
        size(b)
            .cmp(&size(a))
            .then(b.resident.cmp(&a.resident))
            .then(a.process.id.cmp(&b.process.id))
    });
    rows
}

/// PSS, RSS where that is unknown.
fn size(row: &ProcessRow) -> Bytes {
    row.proportional.unwrap_or(row.resident)
}

/// Processes whose PSS is not known are rows of their own: added to the others, the sum of those
/// that are known would pass for the whole.
const UNKNOWN: &str = " (PSS unknown)";

fn join_labels(rows: impl Iterator<Item = ProcessRow>) -> Vec<ProcessRow> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for mut row in rows {
        if row.proportional.is_none() {
            row.label.push_str(UNKNOWN);
        }
        match places.get(&row.label) {
            Some(place) => groups[*place].add(row),
            None => {
                places.insert(row.label.clone(), groups.len());
                groups.push(Group::of(row));
            }
        }
    }
    groups.into_iter().map(|group| group.sum).collect()
}

/// Rows of one label, summed up.
struct Group {
    sum: ProcessRow,
    largest: Bytes,
}

impl Group {
    fn of(row: ProcessRow) -> Group {
        Group {
            largest: size(&row),
            sum: row,
        }
    }

    fn add(&mut self, row: ProcessRow) {
        let largest = size(&row);
        let sum = &mut self.sum;
        sum.processes += row.processes;
        sum.resident += row.resident;
        sum.proportional = add_known(sum.proportional, row.proportional);
        sum.private = add_known(sum.private, row.private);
        sum.swap = add_known(sum.swap, row.swap);
        sum.reclaim += row.reclaim;
        if largest > self.largest {
            self.largest = largest;
            sum.process = row.process;
        }
    }
}

fn add_known(a: Option<Bytes>, b: Option<Bytes>) -> Option<Bytes> {
    Some(a? + b?)
}
