//! How the board is: how much there is of what, and what holds the memory, live.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use super::links;
use super::shell::Shell;
use crate::memory::Memory;
use crate::stats::Stats;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::Viewer;

#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    shell: Shell,
    stats: Vec<(&'static str, String)>,
    categories: Vec<(&'static str, String, String)>,
    groups: Vec<Group>,
    rss_peak: String,
}

/// The table of memory alone, for a script to put in place of the old one.
#[derive(Template)]
#[template(path = "memory.html")]
struct MemoryTable {
    groups: Vec<Group>,
    rss_peak: String,
}

struct Group {
    name: &'static str,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    bytes: String,
    /// Of what is resident, in parts of a thousand.
    share: u64,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    shell: Shell,
) -> Result<Html<String>, Failure> {
    let (stats, memory) = app
        .read(|board| {
            let catalog = board.catalog();
            Ok((Stats::of(&catalog), Memory::read(&catalog)?))
        })
        .await?;
    let of_categories = stats.categories.iter();
    super::html(&SystemPage {
        shell: shell.at("/system"),
        categories: of_categories
            .map(|one| {
                (
                    one.category,
                    links::grouped(one.tags),
                    links::grouped(one.pairs),
                )
            })
            .collect(),
        stats: vec![
            ("Images", links::grouped(stats.images as u64)),
            ("Tags", links::grouped(stats.tags as u64)),
            ("Tags of images", links::grouped(stats.pairs)),
            (
                "Tags without images",
                links::grouped(stats.tags_without_images),
            ),
        ],
        rss_peak: iec(memory.rss_peak_bytes),
        groups: groups(&memory),
    })
}

pub(super) async fn memory(
    State(app): State<Arc<App>>,
    _: Viewer,
) -> Result<Html<String>, Failure> {
    let memory = app.read(|board| Memory::read(&board.catalog())).await?;
    super::html(&MemoryTable {
        rss_peak: iec(memory.rss_peak_bytes),
        groups: groups(&memory),
    })
}

fn groups(memory: &Memory) -> Vec<Group> {
    let rss = memory.rss_bytes.max(1);
    let line = |name: &str, bytes: u64| Line {
        name: name.to_owned(),
        bytes: iec(bytes),
        share: (bytes.saturating_mul(1000) / rss).min(1000),
    };
    let mut catalog: Vec<Line> = Vec::new();
    for component in &memory.components {
        catalog.push(line(&component.name, component.bytes));
    }
    catalog.push(line(
        "SQLite: page caches, statements, schema",
        memory.sqlite_bytes,
    ));
    let ledger = memory.ledger.iter();
    let mut groups = vec![
        Group {
            name: "Resident (RSS), by the kernel",
            lines: vec![
                line("all", memory.rss_bytes),
                line("of it anonymous", memory.anonymous_bytes),
                line("of it of files", memory.file_bytes),
            ],
        },
        Group {
            name: "What holds it",
            lines: catalog,
        },
    ];
    if !memory.ledger.is_empty() {
        groups.push(Group {
            name: "Live in the allocator, by the ledger",
            lines: ledger.map(|tag| line(&tag.name, tag.bytes)).collect(),
        });
    }
    groups
}

/// Bytes with a unit of 1,024.
fn iec(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < units.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::iec;

    #[test]
    fn bytes_have_units_of_1024() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 << 10, "1.5 MiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(iec(bytes), text);
        }
    }
}
