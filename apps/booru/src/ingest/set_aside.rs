//! Files that could not be taken in, with the reason: they stay where they are, and are not tried again until
//! they change.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::digest::Stamp;
use crate::store::Store;

/// A file that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    pub path: String,
    pub reason: String,
    /// When, UTC.
    pub at: String,
}

/// Ours; the original takes no notice of it.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS booru_set_aside (path TEXT PRIMARY KEY, \
                     reason TEXT NOT NULL, bytes BIGINT NOT NULL, changed BIGINT NOT NULL, at TEXT NOT NULL)";

/// Makes the table, before an ingest looks at the first file.
///
/// # Errors
/// What the database says.
pub(super) fn prepare(store: &Store) -> Result<()> {
    store.write(|| {
        store.execute("make the table of files set aside", TABLE, &[])?;
        Ok(())
    })
}

/// Whether a file was set aside as it is now.
///
/// # Errors
/// What the database says.
pub(super) fn is_known(store: &Store, path: &Path, stamp: &Stamp) -> Result<bool> {
    let sql = "SELECT bytes, changed FROM booru_set_aside WHERE path = ?1";
    let path = path.to_string_lossy();
    let known = store.query_row(
        "look for a file set aside",
        sql,
        &[(&*path).into()],
        |row| Ok((row.integer(0)?, row.integer(1)?)),
    )?;
    Ok(known == Some((i64::try_from(stamp.bytes).ok(), Some(stamp.changed))))
}

/// Why a file is set aside, if it is as it was then. `path` is one without links.
///
/// # Errors
/// What the database says.
pub fn reason_of(store: &Store, path: &Path) -> Result<Option<String>> {
    let Ok(stamp) = Stamp::of(path) else {
        return Ok(None);
    };
    if !store.schema.has_table("booru_set_aside") || !is_known(store, path, &stamp)? {
        return Ok(None);
    }
    let sql = "SELECT reason FROM booru_set_aside WHERE path = ?1";
    let path = path.to_string_lossy();
    let what = "read why a file is set aside";
    let reason = store.query_row(what, sql, &[(&*path).into()], |row| row.text(0))?;
    Ok(reason.flatten())
}

/// Writes down that a file can't be taken in.
///
/// # Errors
/// What the database says.
pub(super) fn set_aside(
    store: &Store,
    path: &Path,
    stamp: &Stamp,
    reason: &str,
    at: &str,
) -> Result<()> {
    store.write(|| {
        let path = path.to_string_lossy();
        let bytes = i64::try_from(stamp.bytes).unwrap_or(i64::MAX);
        let sql = "INSERT INTO booru_set_aside (path, reason, bytes, changed, at) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (path) DO UPDATE SET reason = excluded.reason, bytes = excluded.bytes, \
                   changed = excluded.changed, at = excluded.at";
        let values = [
            (&*path).into(),
            reason.into(),
            bytes.into(),
            stamp.changed.into(),
            at.into(),
        ];
        store.execute("set a file aside", sql, &values)?;
        Ok(())
    })
}

/// Forgets that a file was set aside.
///
/// # Errors
/// What the database says.
pub(super) fn forget(store: &Store, path: &Path) -> Result<()> {
    let path = path.to_string_lossy();
    let sql = "DELETE FROM booru_set_aside WHERE path = ?1";
    store.execute("forget a file set aside", sql, &[(&*path).into()])?;
    Ok(())
}

/// Calls `act` for each file that is set aside and still there, by path.
///
/// # Errors
/// What the database says, and `act`.
pub fn each_set_aside(store: &Store, mut act: impl FnMut(SetAside) -> Result<()>) -> Result<()> {
    if !store.schema.has_table("booru_set_aside") {
        return Ok(());
    }
    let sql = "SELECT path, reason, at FROM booru_set_aside ORDER BY path";
    store.each_row("list files set aside", sql, &[], |row| {
        let text = |column| row.text(column).map(Option::unwrap_or_default);
        let one = SetAside {
            path: text(0)?,
            reason: text(1)?,
            at: text(2)?,
        };
        match Path::new(&one.path).exists() {
            true => act(one),
            false => Ok(()),
        }
    })
}
