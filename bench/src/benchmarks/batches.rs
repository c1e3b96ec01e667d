//! A store whose every row is changed: by a walk in batches, beside one long read transaction that
//! collects all of it and then writes while it is still open. Each in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use plimsoll::batches::heed::types::Bytes;
use plimsoll::batches::heed::{CommitOrAbort, Database, Env, EnvOpenOptions};
use plimsoll::batches::rusqlite::Connection;
use plimsoll::batches::rusqlite::types::Value;
use plimsoll::batches::{BatchLimits, LmdbStore, SqliteStore, walk};

use crate::benchmarks::Plan;
use crate::command;
use crate::race::{Clock, Contestant, race};
use crate::report::Report;
use crate::spread::{Spread, short};
use crate::table::Table;
use crate::targets::in_mib;

const ROWS: u64 = 200_000;
const BODY: usize = 200;
const LIMITS: BatchLimits = BatchLimits {
    items: 2_000,
    bytes: 1 << 20,
};
const ACT: &str = "--act-batches";

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("plimsoll-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = measure(plan, report, &folder);
    fs::remove_dir_all(&folder)?;
    result
}

fn measure(plan: &Plan, report: &mut Report, folder: &Path) -> anyhow::Result<()> {
    const ACTS: [(&str, &str); 4] = [
        ("SQLite, walk", "sqlite-walk"),
        ("SQLite, one transaction", "sqlite-long"),
        ("LMDB, walk", "lmdb-walk"),
        ("LMDB, one transaction", "lmdb-long"),
    ];
    let contestants = ACTS.iter().map(|(name, act)| {
        Contestant::new(*name, move || {
            fill(folder, act)?;
            Ok(command::run(&mut command_of(act, folder)?)?.cost.into())
        })
    });
    let measured = race(contestants.collect(), plan.rounds);
    let title =
        format!("batches: {ROWS} rows of {BODY} bytes changed, each in a process of its own");
    let columns = [
        "",
        "wall ms",
        "of the walk",
        "peak RSS MiB",
        "files grew by MiB",
    ];
    let mut table = Table::new(title, &columns);
    for (index, (name, act)) in ACTS.iter().enumerate() {
        let ours = &measured[index / 2 * 2];
        let text = |spread: Option<Spread>| spread.map_or("-".to_owned(), |one| one.text());
        let before = fill(folder, act)?;
        let peak = command::peak_rss(&command_of(act, folder)?)?;
        let grown = stored(folder)?.saturating_sub(before);
        table.row(vec![
            (*name).to_owned(),
            text(Spread::of(measured[index].clock(Clock::Wall))),
            text(measured[index].times(ours, Clock::Wall)),
            short(in_mib(peak)),
            short(in_mib(grown)),
        ]);
    }
    table.note(
        "SQLite's log is kept when the process ends, so that its length is seen. Of LMDB, RSS counts the \
         pages of the file too.",
    );
    report.table(table);
    Ok(())
}

fn command_of(act: &str, folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([ACT, act]).arg(folder);
    Ok(command)
}

fn stored(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// A store as new; returns what it takes.
fn fill(folder: &Path, act: &str) -> anyhow::Result<u64> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    if act.starts_with("sqlite") {
        let mut connection = open_sqlite(folder)?;
        connection.execute_batch("CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB)")?;
        let rows = connection.transaction()?;
        for id in 0..ROWS as i64 {
            let mut insert = rows.prepare_cached("INSERT INTO files VALUES (?1, zeroblob(?2))")?;
            insert.execute((id, BODY as i64))?;
        }
        rows.commit()?;
    } else {
        let env = open_lmdb(folder)?;
        let database = database_of(&env)?;
        let mut rows = env.write_txn()?;
        for id in 0..ROWS {
            database.put(&mut rows, &id.to_be_bytes(), &[0; BODY])?;
        }
        rows.commit()?;
    }
    stored(folder)
}

fn open_sqlite(folder: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(folder.join("files.db"))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "off")?;
    Ok(connection)
}

fn open_lmdb(folder: &Path) -> anyhow::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(4 << 30);
    // SAFETY: the folder is this benchmark's own; nobody changes the file but LMDB.
    Ok(unsafe { options.open(folder) }?)
}

fn database_of(env: &Env) -> anyhow::Result<Database<'_, Bytes, Bytes>> {
    let transaction = env.write_txn()?;
    let opened = env.create_databases_and_commit(transaction, |opener, transaction| {
        let database = opener.create_database::<Bytes, Bytes>(transaction, None)?;
        Ok::<_, plimsoll::batches::heed::Error>(CommitOrAbort::<_, ()>::Commit(database))
    })?;
    Ok(opened.unwrap_commit())
}

/// Does what this process was started for, if it was.
pub(crate) fn answer_act() -> Option<anyhow::Result<()>> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ACT {
        return None;
    }
    let act = arguments.next()?.into_string().ok()?;
    let folder = PathBuf::from(arguments.next()?);
    Some(perform(&act, &folder))
}

fn perform(act: &str, folder: &Path) -> anyhow::Result<()> {
    match act {
        "sqlite-walk" => {
            let mut store = SqliteStore::new(open_sqlite(folder)?, "files", "id", &["body"])?;
            walk(&mut store, LIMITS, |store, batch| {
                let rows = store.transaction()?;
                for (key, values) in batch.into_entries() {
                    let mut update =
                        rows.prepare_cached("UPDATE files SET body = ?2 WHERE id = ?1")?;
                    update.execute((key, changed(&values[0])))?;
                }
                rows.commit()?;
                Ok::<_, Failure>(())
            })?;
            // Leaves without closing: the log stays as long as it got.
            std::mem::forget(store);
        }
        "sqlite-long" => {
            let (reader, mut writer) = (open_sqlite(folder)?, open_sqlite(folder)?);
            let mut all = Vec::new();
            let mut statement = reader.prepare("SELECT id, body FROM files ORDER BY id")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                all.push((row.get::<_, i64>(0)?, row.get::<_, Value>(1)?));
                if all.len() as u64 == ROWS {
                    break;
                }
            }
            for part in all.chunks(LIMITS.items) {
                let rows = writer.transaction()?;
                for (key, value) in part {
                    let mut update =
                        rows.prepare_cached("UPDATE files SET body = ?2 WHERE id = ?1")?;
                    update.execute((key, changed(value)))?;
                }
                rows.commit()?;
            }
            std::mem::forget(writer);
            drop(rows);
            drop(statement);
            std::mem::forget(reader);
        }
        "lmdb-walk" => {
            let env = open_lmdb(folder)?;
            let mut store = LmdbStore::new(&env, database_of(&env)?);
            walk(&mut store, LIMITS, |store, batch| {
                let mut rows = store.env().write_txn()?;
                for (key, value) in batch.into_entries() {
                    store.database().put(&mut rows, &key, &inverted(&value))?;
                }
                rows.commit()
            })?;
        }
        "lmdb-long" => {
            let env = open_lmdb(folder)?;
            let database = database_of(&env)?;
            let long = env.read_txn()?;
            let mut all = Vec::new();
            for entry in database.iter(&long)? {
                let (key, value) = entry?;
                all.push((key.to_vec(), value.to_vec()));
            }
            for part in all.chunks(LIMITS.items) {
                let mut rows = env.write_txn()?;
                for (key, value) in part {
                    database.put(&mut rows, key, &inverted(value))?;
                }
                rows.commit()?;
            }
        }
        _ => bail!("nobody does {act}"),
    }
    Ok(())
}

fn changed(value: &Value) -> Value {
    match value {
        Value::Blob(bytes) => Value::Blob(inverted(bytes)),
        other => other.clone(),
    }
}

fn inverted(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}
