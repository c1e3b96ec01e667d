//! What holds the memory of this process: each part of the catalog by its own account, SQLite by its own,
//! the ledger's count of all that came through the allocator, and the kernel's count of it all.

use std::fs;

use anyhow::{Context, Result};
use plimsoll::ledger;
use serde::Serialize;

use crate::catalog::Catalog;
use crate::similarity::SimilarityStatus;
use crate::store::sqlite;

/// All figures in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    pub components: Vec<Component>,
    /// Of the components, those that grow with tags and who has them.
    pub tags_bytes: u64,
    /// What SQLite has from malloc: page cache, statements, schema.
    pub sqlite_bytes: u64,
    /// Live bytes by tag of the ledger, if it is installed; SQLite's are not in it.
    pub ledger: Vec<Component>,
    /// Resident, by the kernel, and of it anonymous and of files.
    pub rss_bytes: u64,
    pub anonymous_bytes: u64,
    pub file_bytes: u64,
    /// The highest it ever was.
    pub rss_peak_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Component {
    pub name: String,
    pub bytes: u64,
}

impl Memory {
    /// # Errors
    /// Where `/proc/self/status` can't be read.
    pub fn read(catalog: &Catalog) -> Result<Memory> {
        let parts = catalog.components();
        let of_tags = parts.iter().filter(|part| part.is_of_tags);
        let tags_bytes = of_tags.map(|part| part.bytes as u64).sum();
        let components = parts.iter().map(|part| Component {
            name: part.name.to_owned(),
            bytes: part.bytes as u64,
        });
        let components = components.collect();
        let tagged = ledger::is_installed()
            .then(ledger::snapshot)
            .unwrap_or_default();
        let ledger = tagged.into_iter().map(|tag| Component {
            name: tag.name.to_owned(),
            bytes: tag.live_bytes,
        });
        let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
        let figure = |name: &str| kib(&status, name).map(|kib| kib << 10);
        Ok(Memory {
            components,
            tags_bytes,
            sqlite_bytes: sqlite::memory_used(),
            ledger: ledger.collect(),
            rss_bytes: figure("VmRSS:")?,
            anonymous_bytes: figure("RssAnon:")?,
            file_bytes: figure("RssFile:")?,
            rss_peak_bytes: figure("VmHWM:")?,
        })
    }
}

impl Memory {
    /// Puts in what similarity holds now.
    pub fn add_similarity(&mut self, status: &SimilarityStatus) {
        let vectors = status
            .semantic
            .as_ref()
            .map_or(0, |semantic| semantic.held_bytes);
        let parts = [
            ("similarity: vectors", vectors),
            ("similarity: weights of tags", status.tags_held_bytes),
        ];
        self.components.extend(parts.map(|(name, bytes)| Component {
            name: name.to_owned(),
            bytes,
        }));
    }
}

/// The highest that the RSS of this process ever was.
///
/// # Errors
/// Where `/proc/self/status` can't be read.
pub fn rss_peak_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    Ok(kib(&status, "VmHWM:")? << 10)
}

fn kib(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let number =
        number.with_context(|| format!("read /proc/self/status: it has no line {name}"))?;
    number
        .parse()
        .with_context(|| format!("read {name} of /proc/self/status"))
}
