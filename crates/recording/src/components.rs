//! The component trees of a breakdown, rebuilt from their rows.
//!
//! Rows come in the order of the report, each part after its parent, so one stack is enough.

use std::path::Path;

use plimsoll_model::{
    Bytes, CacheState, Component, Exactness, Kind, Package, PackageManager, ProcessCount, Reclaim,
    Sharing, Usage, Used,
};
use rusqlite::{Connection, Row};

use crate::RecordingError;
use crate::schema::{COMPONENT_DEPTH_LIMIT, Word};

const SELECT: &str = "SELECT component_usage.position, component_usage.parent, owner.name,
    owner.kind, owner.evidence, owner.used_method, owner.package_manager, owner.package_name,
    owner.package_version, resident_bytes, distinct_bytes, proportional_bytes, private_bytes,
    dirty_bytes, swap_bytes, hugetlb_bytes, must_stay_bytes, swap_only_bytes, droppable_bytes,
    after_writeback_bytes, mappings, sharing_processes, sharing_complete, shared_bytes,
    proportional_exactness, detail, live_bytes, held_free_bytes, file_size_bytes, cached_bytes,
    cached_dirty_bytes, writeback_bytes, evicted_bytes, recently_evicted_bytes
    FROM component_usage LEFT JOIN owner ON owner.id = component_usage.owner_id
    WHERE breakdown_id = ?1 ORDER BY position";

/// The components of one breakdown, in the order of the report.
pub(crate) fn read_components(
    connection: &Connection,
    path: &Path,
    breakdown: i64,
) -> Result<Vec<Component>, RecordingError> {
    let failed = |error: rusqlite::Error| RecordingError::from_read(path, &error);
    let mut statement = connection.prepare_cached(SELECT).map_err(failed)?;
    let mut rows = statement.query([breakdown]).map_err(failed)?;
    let mut trees = Trees::default();
    while let Some(row) = rows.next().map_err(failed)? {
        let position: i64 = row.get(0).map_err(failed)?;
        let parent: Option<i64> = row.get(1).map_err(failed)?;
        let component = component_of(row).map_err(failed)?;
        trees
            .push(position, parent, component)
            .map_err(|detail| RecordingError::damaged(path, detail))?;
    }
    Ok(trees.finish())
}

/// Components that are not whole yet: each on the stack is a part of the one below it.
#[derive(Default)]
struct Trees {
    open: Vec<(i64, Component)>,
    done: Vec<Component>,
}

impl Trees {
    fn push(
        &mut self,
        position: i64,
        parent: Option<i64>,
        component: Component,
    ) -> Result<(), &'static str> {
        while self.open.last().map(|(open, _)| *open) != parent {
            if self.open.is_empty() {
                return Err("a component is a part of one that is not there");
            }
            self.close_last();
        }
        if self.open.len() >= COMPONENT_DEPTH_LIMIT {
            return Err("components are nested too deep");
        }
        self.open.push((position, component));
        Ok(())
    }

    fn finish(mut self) -> Vec<Component> {
        while !self.open.is_empty() {
            self.close_last();
        }
        self.done
    }

    fn close_last(&mut self) {
        if let Some((_, component)) = self.open.pop() {
            match self.open.last_mut() {
                Some((_, parent)) => parent.parts.push(component),
                None => self.done.push(component),
            }
        }
    }
}

fn component_of(row: &Row<'_>) -> Result<Component, rusqlite::Error> {
    let live = bytes_or_none(row, 26)?;
    let held_free = bytes_or_none(row, 27)?;
    let used = match (live, held_free) {
        (Some(live), Some(held_free)) => Some(Used {
            live,
            held_free,
            method: row.get(5)?,
        }),
        _ => None,
    };
    let cache = match bytes_or_none(row, 29)? {
        Some(cached) => Some(CacheState {
            cached,
            dirty: bytes_or_none(row, 30)?,
            writeback: bytes_or_none(row, 31)?,
            evicted: bytes_or_none(row, 32)?,
            recently_evicted: bytes_or_none(row, 33)?,
        }),
        None => None,
    };
    Ok(Component {
        name: row.get(2)?,
        kind: word::<Kind>(row, 3)?,
        evidence: row.get(4)?,
        usage: Usage {
            resident: bytes(row, 9)?,
            distinct: bytes(row, 10)?,
            proportional: bytes(row, 11)?,
            private: bytes(row, 12)?,
            dirty: bytes(row, 13)?,
            swap: bytes(row, 14)?,
            hugetlb: bytes(row, 15)?,
        },
        reclaim: Reclaim {
            must_stay: bytes(row, 16)?,
            swap_only: bytes(row, 17)?,
            droppable: bytes(row, 18)?,
            after_writeback: bytes(row, 19)?,
        },
        sharing: Sharing {
            mappings: row.get(20)?,
            processes: processes_of(row)?,
            shared: bytes(row, 23)?,
        },
        proportional_exactness: word::<Exactness>(row, 24)?,
        detail: row.get(25)?,
        used,
        cache,
        file_size: bytes_or_none(row, 28)?,
        package: package_of(row)?,
        parts: Vec::new(),
    })
}

fn processes_of(row: &Row<'_>) -> Result<Option<ProcessCount>, rusqlite::Error> {
    let count: Option<u32> = row.get(21)?;
    let complete: Option<bool> = row.get(22)?;
    Ok(count.map(|count| ProcessCount {
        count,
        complete: complete == Some(true),
    }))
}

fn package_of(row: &Row<'_>) -> Result<Option<Package>, rusqlite::Error> {
    let manager: String = row.get(6)?;
    if manager.is_empty() {
        return Ok(None);
    }
    Ok(Some(Package {
        manager: word::<PackageManager>(row, 6)?,
        name: row.get(7)?,
        version: row.get(8)?,
    }))
}

/// A size; negative ones are refused by the conversion to u64.
pub(crate) fn bytes(row: &Row<'_>, column: usize) -> Result<Bytes, rusqlite::Error> {
    row.get::<_, u64>(column).map(Bytes)
}

pub(crate) fn bytes_or_none(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<Bytes>, rusqlite::Error> {
    row.get::<_, Option<u64>>(column)
        .map(|bytes| bytes.map(Bytes))
}

/// An enum by its word; a word that this schema does not have is damage.
pub(crate) fn word<W: Word>(row: &Row<'_>, column: usize) -> Result<W, rusqlite::Error> {
    let text: String = row.get(column)?;
    W::from_word(&text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            format!("unknown word {text:?}").into(),
        )
    })
}
