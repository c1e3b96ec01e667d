//! The table's rows: components sorted, filtered and opened. Pure.

use std::cmp::Ordering;
use std::collections::HashSet;

use plimsoll_model::{Breakdown, Bytes, Component, Kind};

use super::changes::{Change, Changes};
use super::component_id::ComponentId;

/// What the rows are ordered by; largest first but for names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Resident,
    Private,
    /// By how much it moved since the baseline, in either direction.
    Change,
    /// By how much it moved in the last minute.
    Recent,
    Name,
}

impl Sort {
    pub(super) fn next(self) -> Sort {
        match self {
            Sort::Resident => Sort::Private,
            Sort::Private => Sort::Change,
            Sort::Change => Sort::Recent,
            Sort::Recent => Sort::Name,
            Sort::Name => Sort::Resident,
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) id: ComponentId,
    pub(super) depth: usize,
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// `None`: it was there before and is gone.
    pub(super) component: Option<&'a Component>,
    pub(super) since_baseline: Option<Change>,
    pub(super) recent: Option<Change>,
    pub(super) opened: bool,
}

impl Row<'_> {
    pub(super) fn has_parts(&self) -> bool {
        self.component
            .is_some_and(|component| !component.parts.is_empty())
    }

    fn resident(&self) -> Bytes {
        self.component
            .map_or(Bytes::ZERO, |component| component.usage.resident)
    }

    fn private(&self) -> Bytes {
        self.component
            .map_or(Bytes::ZERO, |component| component.usage.private)
    }
}

/// How the rows are to be made.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    /// In lower case; empty shows all.
    pub(super) filter: &'a str,
    pub(super) opened: &'a HashSet<ComponentId>,
    pub(super) changes: &'a Changes,
}

/// All rows that the table can show, in its order.
pub(super) fn rows<'a>(breakdown: &'a Breakdown, view: &View<'a>) -> Vec<Row<'a>> {
    let mut outermost: Vec<Row<'a>> = breakdown
        .components
        .iter()
        .map(|component| view.row(ComponentId::top(component), 0, component))
        .collect();
    outermost.extend(view.changes.gone().into_iter().map(|(id, kind, name)| Row {
        id,
        depth: 0,
        name,
        kind,
        component: None,
        since_baseline: view.changes.since_baseline(id),
        recent: view.changes.recent(id),
        opened: false,
    }));
    let mut rows = Vec::new();
    view.lay_out(outermost, false, &mut rows);
    rows
}

impl<'a> View<'a> {
    fn row(&self, id: ComponentId, depth: usize, component: &'a Component) -> Row<'a> {
        Row {
            id,
            depth,
            name: &component.name,
            kind: component.kind,
            component: Some(component),
            since_baseline: self.changes.since_baseline(id),
            recent: self.changes.recent(id),
            opened: self.opened.contains(&id),
        }
    }

    /// `passed`: the filter has let something above through, so all below it is shown.
    fn lay_out(&self, mut siblings: Vec<Row<'a>>, passed: bool, rows: &mut Vec<Row<'a>>) {
        siblings.sort_by(|a, b| self.compare(a, b));
        for mut row in siblings {
            let itself = passed || self.lets_through(row.name, row.kind, row.component);
            let parts = row.component.map_or(&[][..], |component| &component.parts);
            let inside = !itself && parts.iter().any(|part| self.lets_any_through(part));
            if !itself && !inside {
                continue;
            }
            // A component that is shown only for its parts is open, else nobody would see why.
            row.opened |= inside;
            let (id, depth, opened) = (row.id, row.depth, row.opened);
            rows.push(row);
            if opened {
                let parts = parts
                    .iter()
                    .map(|part| self.row(id.part(part), depth + 1, part));
                self.lay_out(parts.collect(), itself, rows);
            }
        }
    }

    fn lets_any_through(&self, component: &Component) -> bool {
        self.lets_through(&component.name, component.kind, Some(component))
            || component
                .parts
                .iter()
                .any(|part| self.lets_any_through(part))
    }

    fn lets_through(&self, name: &str, kind: Kind, component: Option<&Component>) -> bool {
        let holds = |text: &str| text.to_lowercase().contains(self.filter);
        let package = component.and_then(|component| component.package.as_ref());
        self.filter.is_empty()
            || holds(name)
            || holds(kind.name())
            || package.is_some_and(|package| holds(&package.name))
    }

    fn compare(&self, a: &Row<'_>, b: &Row<'_>) -> Ordering {
        let size = |change: Option<Change>| change.map_or(Bytes::ZERO, Change::size);
        let by_name = || a.name.to_lowercase().cmp(&b.name.to_lowercase());
        let order = match self.sort {
            Sort::Resident => b.resident().cmp(&a.resident()),
            Sort::Private => b.private().cmp(&a.private()),
            Sort::Change => size(b.since_baseline).cmp(&size(a.since_baseline)),
            Sort::Recent => size(b.recent).cmp(&size(a.recent)),
            Sort::Name => by_name(),
        };
        let order = if self.reversed {
            order.reverse()
        } else {
            order
        };
        order
            .then_with(|| b.resident().cmp(&a.resident()))
            .then_with(by_name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::made;
    use super::*;

    fn names(view: &View<'_>, breakdown: &Breakdown) -> Vec<String> {
        rows(breakdown, view)
            .iter()
            .map(|row| format!("{}{}", " ".repeat(row.depth), row.name))
            .collect()
    }

    fn breakdown() -> Breakdown {
        let mut heap = made::group(
            "heap",
            Kind::Heap,
            vec![
                made::heap("main", Bytes::mib(3)),
                made::heap("arenas", Bytes::mib(5)),
            ],
        );
        heap.usage.private = Bytes::mib(80);
        made::breakdown(vec![
            made::file("cache.db", Bytes::mib(100)),
            heap,
            made::file("Weights.bin", Bytes::mib(1)),
        ])
    }

    #[test]
    fn rows_are_sorted_filtered_and_opened() {
        let breakdown = breakdown();
        let changes = Changes::default();
        let heap: HashSet<ComponentId> = [ComponentId::top(&breakdown.components[1])].into();
        let none = HashSet::new();
        let check = |sort, reversed, filter: &str, opened: &HashSet<_>, expected: &[&str]| {
            let view = View {
                sort,
                reversed,
                filter,
                opened,
                changes: &changes,
            };
            assert_eq!(names(&view, &breakdown), expected);
        };
        check(
            Sort::Resident,
            false,
            "",
            &none,
            &["cache.db", "heap", "Weights.bin"],
        );
        check(
            Sort::Resident,
            true,
            "",
            &none,
            &["Weights.bin", "heap", "cache.db"],
        );
        check(
            Sort::Private,
            false,
            "",
            &none,
            &["heap", "cache.db", "Weights.bin"],
        );
        check(
            Sort::Name,
            false,
            "",
            &none,
            &["cache.db", "heap", "Weights.bin"],
        );
        let opened = ["cache.db", "heap", " arenas", " main", "Weights.bin"];
        check(Sort::Resident, false, "", &heap, &opened);
        check(Sort::Resident, false, "weight", &none, &["Weights.bin"]);
        check(Sort::Resident, false, "arena", &none, &["heap", " arenas"]);
        check(Sort::Resident, false, "heap", &none, &["heap"]);
        check(
            Sort::Resident,
            false,
            "file",
            &none,
            &["cache.db", "Weights.bin"],
        );
        check(Sort::Resident, false, "no such", &none, &[]);
    }

    #[test]
    fn the_biggest_movers_come_first_and_what_is_gone_is_one() {
        let before = made::breakdown(vec![
            made::heap("heap", Bytes::mib(50)),
            made::heap("steady", Bytes::mib(400)),
            made::heap("gone", Bytes::mib(90)),
        ]);
        let after = made::breakdown(vec![
            made::heap("steady", Bytes::mib(400)),
            made::heap("heap", Bytes::mib(80)),
        ]);
        let mut changes = Changes::default();
        changes.push(Duration::ZERO, &before);
        changes.push(Duration::from_secs(9), &after);
        let opened = HashSet::new();
        for sort in [Sort::Change, Sort::Recent] {
            let view = View {
                sort,
                reversed: false,
                filter: "",
                opened: &opened,
                changes: &changes,
            };
            assert_eq!(names(&view, &after), ["gone", "heap", "steady"]);
            assert!(rows(&after, &view)[0].component.is_none());
        }
    }
}
