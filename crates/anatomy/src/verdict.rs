//! The answer on top, in one to three plain sentences.

use plimsoll_model::{Bytes, Component, Exactness, Kind, Scope, Totals};

/// A part is worth a name in the verdict from this share of RSS on.
const NOTABLE: f64 = 0.1;

/// Below this share of RSS a class of pages is left out of the sentence.
const MENTIONED: f64 = 0.01;

pub(crate) fn verdict(
    scope: Scope,
    processes: usize,
    totals: &Totals,
    components: &[Component],
) -> String {
    let mut sentences = vec![summary(scope, processes, totals, components)];
    sentences.extend(repeated(scope, components));
    sentences.extend(held_free(totals, components));
    sentences.extend(unattributed(totals, components));
    sentences.join(" ")
}

fn summary(scope: Scope, processes: usize, totals: &Totals, components: &[Component]) -> String {
    let resident = totals.usage.resident;
    let about = if totals.resident_exactness == Exactness::Exact {
        ""
    } else {
        "about "
    };
    let whole = match scope {
        Scope::Process => format!("{about}{resident} resident"),
        Scope::Tree => {
            let noun = if processes == 1 {
                "process"
            } else {
                "processes"
            };
            format!(
                "{about}{resident} resident in {processes} {noun}, each shared page counted once"
            )
        }
    };
    let mut clauses = Vec::new();
    let own = totals.reclaim.must_stay + totals.reclaim.swap_only;
    if !own.is_zero() {
        let class = match (
            totals.reclaim.must_stay.is_zero(),
            totals.reclaim.swap_only.is_zero(),
        ) {
            (false, true) => "must stay in RAM",
            (true, false) => "can only go to swap",
            _ => "must stay or go to swap",
        };
        let largest = largest(components, |c| c.reclaim.must_stay + c.reclaim.swap_only);
        let mostly = largest.map_or_else(String::new, |(name, bytes)| {
            format!(", most of it {name} ({bytes})")
        });
        clauses.push(format!("{own} is the program's own and {class}{mostly}"));
    }
    let dirty = totals.reclaim.after_writeback;
    if dirty.ratio_of(resident) >= MENTIONED {
        clauses.push(format!(
            "{dirty} is file data that must be written back before it can go"
        ));
    }
    let droppable = totals.reclaim.droppable;
    if droppable.ratio_of(resident) >= MENTIONED {
        clauses.push(format!(
            "{droppable} is {}, which the kernel can drop at any time",
            droppable_name(droppable, components)
        ));
    }
    if clauses.is_empty() {
        format!("{whole}.")
    } else {
        format!("{whole}: {}.", joined(&clauses))
    }
}

fn joined(clauses: &[String]) -> String {
    match clauses {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    }
}

/// The component that holds most of `bytes`, when that is at least half of all of them.
fn largest(components: &[Component], bytes: fn(&Component) -> Bytes) -> Option<(String, Bytes)> {
    let total: Bytes = components.iter().map(bytes).sum();
    let most = components
        .iter()
        .filter(|component| component.kind != Kind::Unattributed)
        .max_by_key(|component| bytes(component))?;
    (bytes(most).ratio_of(total) >= 0.5).then(|| (short_name(most), bytes(most)))
}

fn short_name(component: &Component) -> String {
    match component.kind {
        Kind::File | Kind::Shared => component
            .name
            .rsplit('/')
            .next()
            .unwrap_or(&component.name)
            .to_owned(),
        _ => component.name.clone(),
    }
}

fn droppable_name(droppable: Bytes, components: &[Component]) -> String {
    let of_kind = |kind: Kind| -> Bytes {
        components
            .iter()
            .filter(|c| c.kind == kind)
            .map(|c| c.reclaim.droppable)
            .sum()
    };
    if let Some((name, bytes)) = largest(components, |component| component.reclaim.droppable)
        && components
            .iter()
            .any(|c| c.kind == Kind::File && short_name(c) == name)
    {
        return if bytes == droppable || bytes.ratio_of(droppable) > 0.95 {
            format!("the cached part of {name}")
        } else {
            format!("file cache (the cached part of {name} alone {bytes})")
        };
    }
    let files = of_kind(Kind::Code) + of_kind(Kind::File);
    if files.ratio_of(droppable) < 0.5 {
        "memory that the program has given up (MADV_FREE)".to_owned()
    } else if files.ratio_of(droppable) < 0.95 {
        "clean file cache and memory that the program has given up (MADV_FREE)".to_owned()
    } else if of_kind(Kind::Code).ratio_of(droppable) >= 0.5 {
        "clean program and library code".to_owned()
    } else {
        "clean file cache".to_owned()
    }
}

/// RSS counts a file page once per mapping: say so when it matters.
fn repeated(scope: Scope, components: &[Component]) -> Option<String> {
    let worst = components
        .iter()
        .filter(|_| scope == Scope::Process)
        .max_by_key(|component| {
            component
                .usage
                .resident
                .saturating_sub(component.usage.distinct)
        })?;
    let usage = worst.usage;
    let extra = usage.resident.saturating_sub(usage.distinct);
    let resident: Bytes = components
        .iter()
        .map(|component| component.usage.resident)
        .sum();
    (extra.ratio_of(resident) >= NOTABLE).then(|| {
        format!(
            "RSS counts the pages of {} once per mapping: {} is {} of distinct pages in {} mappings.",
            short_name(worst),
            usage.resident,
            usage.distinct,
            worst.sharing.mappings
        )
    })
}

fn held_free(totals: &Totals, components: &[Component]) -> Option<String> {
    let (component, free) = components
        .iter()
        .filter_map(|component| Some((component, component.used.as_ref()?.held_free)))
        .max_by_key(|(_, free)| *free)?;
    (free.ratio_of(totals.usage.resident) >= NOTABLE).then(|| {
        format!(
            "{free} of {} is freed by the program but held for reuse.",
            component.name
        )
    })
}

fn unattributed(totals: &Totals, components: &[Component]) -> Option<String> {
    let bytes: Bytes = components
        .iter()
        .filter(|component| component.kind == Kind::Unattributed)
        .map(|component| component.usage.resident)
        .sum();
    let share = bytes.ratio_of(totals.usage.resident);
    (share >= 0.02).then(|| format!("No rule owns {bytes} ({:.0}%).", share * 100.0))
}
