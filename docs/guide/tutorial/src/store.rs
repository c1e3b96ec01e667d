//! The store of images: a table `images(id, name, caption, tags)`, its tags one text with blanks
//! between them, and a table `implications(tag, implied)`.

use std::io::ErrorKind;
use std::path::Path;

use rusqlite::Connection;

use crate::{Hit, Outcome};

/// Opens a store.
///
/// # Errors
/// What SQLite says.
pub fn open(path: &Path) -> Outcome<Connection> {
    let connection =
        Connection::open(path).map_err(|error| format!("open {}: {error}", path.display()))?;
    // A published copy that a power cut spoils is made again: nothing is worth a wait for the disk.
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

/// Removes what a run that was killed left beside a store: the journal of its transaction, which SQLite
/// would roll back into the new copy.
///
/// # Errors
/// Where it is there and can't be removed.
pub fn remove_journal(store: &Path) -> Outcome {
    let mut journal = store.as_os_str().to_owned();
    journal.push("-journal");
    match std::fs::remove_file(&journal) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("remove {}: {error}", journal.display()).into())
        }
        _ => Ok(()),
    }
}

/// Which tags bring which other tag with them. Some hundred.
///
/// # Errors
/// What SQLite says.
pub fn implications(connection: &Connection) -> Outcome<Vec<(String, String)>> {
    let mut statement = connection.prepare("SELECT tag, implied FROM implications ORDER BY tag")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is told of an image that was found. One look-up.
///
/// # Errors
/// What SQLite says.
pub fn read_hit(connection: &Connection, id: u32) -> Outcome<Hit> {
    let mut statement =
        connection.prepare_cached("SELECT name, caption FROM images WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| {
        Ok(Hit {
            id,
            name: row.get(0)?,
            caption: row.get(1)?,
        })
    })?)
}
