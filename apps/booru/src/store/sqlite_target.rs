//! A file of SQLite that a board is copied into: beside its place, and put there when it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::copy::Target;
use super::database::{Database, Purpose};
use super::sqlite::Sqlite;
use super::table::{Class, Table};
use super::{Access, StoreOptions, Value};

/// Of the page cache while it is filled.
const CACHE_BYTES: u64 = 16 << 20;

pub(super) struct SqliteTarget {
    /// `None` once it is closed.
    database: Option<Sqlite>,
    place: PathBuf,
    /// Where it is filled; gone when this is dropped.
    unfinished: Unfinished,
    insert: String,
}

struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl SqliteTarget {
    pub(super) fn begin(place: &Path) -> Result<SqliteTarget> {
        if fs::symlink_metadata(place).is_ok() {
            bail!(
                "make {}: it is there already; give a place where nothing is",
                place.display()
            );
        }
        let mut name = place.as_os_str().to_owned();
        name.push(".copying");
        let path = PathBuf::from(name);
        Sqlite::create(&path).with_context(|| {
            format!(
                "make {}: if an earlier copy was killed, delete that file",
                path.display()
            )
        })?;
        let unfinished = Unfinished(path);
        let options = StoreOptions {
            access: Access::InPlace,
            cache_bytes: CACHE_BYTES,
            patience: std::time::Duration::ZERO,
        };
        let database = Sqlite::open(&unfinished.0, options)?;
        // Rows that lead nowhere are copied as they are. A kill leaves a file that nobody takes for a board.
        database.batch(
            "PRAGMA foreign_keys = OFF; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF",
        )?;
        let target = SqliteTarget {
            database: Some(database),
            place: place.to_owned(),
            unfinished,
            insert: String::new(),
        };
        target
            .sqlite()?
            .begin(&|| target.what(), Purpose::Writing)?;
        Ok(target)
    }

    fn what(&self) -> String {
        format!("fill {}", self.unfinished.0.display())
    }

    fn sqlite(&self) -> Result<&Sqlite> {
        self.database.as_ref().context("it is closed")
    }

    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64> {
        self.sqlite()?.execute(&|| self.what(), sql, values)
    }
}

impl Target for SqliteTarget {
    fn begin_table(&mut self, table: &Table, columns: &[(String, Class)]) -> Result<()> {
        let name = &table.name;
        let known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = ?1";
        let mut is_there = false;
        let sqlite = self.sqlite()?;
        sqlite.each_row(&|| self.what(), known, &[name.into()], &mut |_| {
            is_there = true;
            Ok(std::ops::ControlFlow::Break(()))
        })?;
        if !is_there {
            self.execute(&table.written, &[])?;
        }
        let is_known = |name: &String| table.columns.iter().any(|one| one.0 == *name);
        for (column, class) in columns.iter().filter(|one| !is_known(&one.0)) {
            let class = class.sqlite();
            let sql = format!("ALTER TABLE {name} ADD COLUMN \"{column}\" {class}");
            self.execute(&sql, &[])?;
        }
        let names = columns.iter().map(|(name, _)| format!("\"{name}\""));
        let places = (1..=columns.len()).map(|place| format!("?{place}"));
        self.insert = format!(
            "INSERT INTO {name} ({}) VALUES ({})",
            names.collect::<Vec<_>>().join(", "),
            places.collect::<Vec<_>>().join(", ")
        );
        Ok(())
    }

    fn put(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.execute(&self.insert, values).map(|_| ())
    }

    fn end_table(&mut self) -> Result<()> {
        Ok(())
    }

    fn database(&self) -> &dyn Database {
        match &self.database {
            Some(database) => database,
            None => unreachable!("it is read before it is closed"),
        }
    }

    fn finish(
        mut self: Box<Self>,
        indexes: &[String],
        counters: &[(String, i64)],
    ) -> Result<Vec<String>> {
        for index in indexes {
            self.execute(index, &[])?;
        }
        for (table, counter) in counters {
            let values = [table.into(), (*counter).into()];
            let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
            if self.execute(sql, &values)? == 0 {
                let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
                self.execute(sql, &values)?;
            }
        }
        let sqlite = self.sqlite()?;
        let mut nowhere = Vec::new();
        let sql = "SELECT DISTINCT lower(\"table\") FROM pragma_foreign_key_check";
        sqlite.each_row(&|| self.what(), sql, &[], &mut |row| {
            nowhere.extend(row.text(0)?);
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        sqlite.commit(&|| self.what())?;
        sqlite.batch("PRAGMA journal_mode = WAL")?;
        self.database = None;
        let path = &self.unfinished.0;
        let placing = || format!("put {} in place", self.place.display());
        File::open(path)
            .and_then(|file| file.sync_all())
            .with_context(placing)?;
        place(path, &self.place).with_context(placing)?;
        if let Some(folder) = self.place.parent() {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .with_context(placing)?;
        }
        Ok(nowhere)
    }
}

/// A link is never made over what is there; where there are none, the last look is short before.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        done => done,
    }
}
