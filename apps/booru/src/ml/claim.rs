//! Who works off the queue of a board: one process at a time, by a lock that ends with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::store::{Access, Store, StoreOptions};

/// Of the advisory lock in the database of a shared board: "booru" and "jobs", as two numbers.
const KEYS: &str = "1651470194, 1785685619";

/// For the connection that holds it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The right to work off the queue, until it is dropped.
#[derive(Debug)]
pub struct Claim(Lock);

#[derive(Debug)]
enum Lock {
    /// On a file beside the database.
    File(File),
    /// Of a connection of its own to the server.
    Server(Store),
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Said, as a child that another thread is about to start has the file too until it executes its program.
        // A lock that can't be given back goes with the process.
        if let Lock::File(lock) = &self.0 {
            let _ = lock.unlock();
        }
    }
}

impl Claim {
    /// `None` where another process has it.
    ///
    /// # Errors
    /// A folder that can't be written; what the server says.
    pub fn take(store: &Store) -> Result<Option<Claim>> {
        match store.file() {
            Some(database) => of_file(database),
            None => of_server(store),
        }
    }

    /// Whether it still holds: that of a server ends with its connection.
    ///
    /// # Errors
    /// What the server says.
    pub fn holds(&self) -> Result<bool> {
        let Lock::Server(store) = &self.0 else {
            return Ok(true);
        };
        let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()";
        let held = store.query_row("look at the claim of the queue", sql, &[], |row| {
            row.integer(0)
        })?;
        Ok(held.flatten().is_some_and(|held| held > 0))
    }
}

fn of_file(database: &Path) -> Result<Option<Claim>> {
    let mut path = database.as_os_str().to_owned();
    path.push(".jobs.lock");
    let path = Path::new(&path);
    let claiming = || format!("claim the queue of work by {}", path.display());
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    let lock = options.open(path).with_context(claiming)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(Claim(Lock::File(lock)))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(claiming),
    }
}

fn of_server(store: &Store) -> Result<Option<Claim>> {
    let own = store.open_again(StoreOptions {
        access: Access::ReadOnly,
        cache_bytes: 0,
        patience: PATIENCE,
    })?;
    let sql = format!("SELECT CASE WHEN pg_try_advisory_lock({KEYS}) THEN 1 ELSE 0 END");
    let taken = own.query_row("claim the queue of work", &sql, &[], |row| row.integer(0))?;
    Ok((taken.flatten() == Some(1)).then_some(Claim(Lock::Server(own))))
}
