//! Walks over a real SQLite file that others write to meanwhile: `--features sqlite`.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use plimsoll::ErrorKind;
use plimsoll::batches::rusqlite::{Connection, types::Value};
use plimsoll::batches::{BatchLimits, SqliteKey, SqliteStore, walk, walk_after};

const ROWS: i64 = 20_000;
const LIMITS: BatchLimits = BatchLimits {
    items: 500,
    bytes: 256 << 10,
};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("plimsoll-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .pragma_update(None, "journal_mode", "wal")
        .unwrap();
    connection
        .pragma_update(None, "synchronous", "off")
        .unwrap();
    connection
}

fn filled(path: &Path) -> Connection {
    let mut connection = open(path);
    connection
        .execute_batch("CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT, body BLOB)")
        .unwrap();
    let rows = connection.transaction().unwrap();
    for id in 0..ROWS {
        rows.execute(
            "INSERT INTO files VALUES (?1, ?2, zeroblob(100))",
            (id, format!("file {id:06}")),
        )
        .unwrap();
    }
    rows.commit().unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    connection
}

/// What a writer does between two batches: 500 rows anew.
fn write_some(writer: &Connection, round: i64) {
    let from = round * 500 % ROWS;
    writer
        .execute(
            "UPDATE files SET body = randomblob(100) WHERE id >= ?1 AND id < ?1 + 500",
            [from],
        )
        .unwrap();
}

#[test]
fn the_log_grows_under_one_long_transaction_and_not_under_a_walk() {
    let folder = Folder::new("wal");
    let path = folder.0.join("files.db");
    let reader = filled(&path);
    let writer = open(&path);
    let wal = folder.0.join("files.db-wal");
    let wal_bytes = || std::fs::metadata(&wal).unwrap().len();

    let mut store = SqliteStore::new(reader, "files", "id", &["name", "body"]).unwrap();
    let (mut round, mut walk_max) = (0, 0);
    // Four walks, so that the writer passes every row more than once.
    for _ in 0..4 {
        walk(&mut store, LIMITS, |_, _| {
            write_some(&writer, round);
            round += 1;
            walk_max = wal_bytes().max(walk_max);
            Ok::<_, Infallible>(())
        })
        .unwrap();
    }

    let reader = store.into_connection();
    writer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let mut long_max = 0;
    let mut statement = reader.prepare("SELECT id FROM files ORDER BY id").unwrap();
    let mut rows = statement.query([]).unwrap();
    rows.next().unwrap();
    for round in 0..round {
        write_some(&writer, round);
        long_max = wal_bytes().max(long_max);
    }
    println!(
        "log at most {walk_max} bytes under walks, {long_max} under one transaction, {round} writes"
    );
    // SQLite starts over at 1000 pages; a transaction that outlives that keeps it from doing so.
    assert!(walk_max < 6 << 20, "{walk_max} bytes");
    assert!(long_max > 2 * walk_max, "{long_max} against {walk_max}");
}

#[test]
fn rows_and_resume_key_are_written_together() {
    let folder = Folder::new("resume");
    let path = folder.0.join("files.db");
    let connection = filled(&path);
    connection
        .execute_batch(
            "CREATE TABLE place (after INTEGER); CREATE TABLE done (id INTEGER PRIMARY KEY)",
        )
        .unwrap();
    let mut store = SqliteStore::new(connection, "files", "id", &["name"]).unwrap();
    // Every third batch "crashes" after its writes and before its commit.
    let mut number = 0;
    loop {
        let after = store
            .connection()
            .query_row("SELECT max(after) FROM place", [], |row| {
                row.get::<_, Option<i64>>(0)
            })
            .unwrap();
        let after = after.map(SqliteKey::Integer);
        let result = walk_after(&mut store, after, LIMITS, |store, batch| {
            number += 1;
            let key = batch.resume_key().cloned();
            let rows = store.transaction()?;
            for (key, values) in batch.into_entries() {
                assert!(matches!(&values[..], [Value::Text(_)]));
                // Fails for a row that is done already.
                rows.execute("INSERT INTO done VALUES (?1)", [&key])?;
            }
            rows.execute("INSERT INTO place VALUES (?1)", [key])?;
            if number % 3 == 0 {
                return Err(Box::<dyn std::error::Error + Send + Sync>::from("crash"));
            }
            rows.commit()?;
            Ok(())
        });
        match result {
            Ok(_) => break,
            Err(error) => assert!(error.to_string().ends_with("crash"), "{error}"),
        }
    }
    let done: i64 = store
        .connection()
        .query_row("SELECT count(*) FROM done", [], |row| row.get(0))
        .unwrap();
    assert_eq!(done, ROWS);
}

#[test]
fn a_concurrent_writer_does_not_disturb() {
    let folder = Folder::new("writer");
    let path = folder.0.join("files.db");
    let mut store = SqliteStore::new(filled(&path), "files", "id", &["name"]).unwrap();
    store
        .connection()
        .busy_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    let writer_path = path.clone();
    let writer = std::thread::spawn(move || {
        let writer = open(&writer_path);
        writer
            .busy_timeout(std::time::Duration::from_secs(60))
            .unwrap();
        for round in 0..200_i64 {
            // Even rows stay; odd ones go; new ones come at the end.
            let odd = round * 50 * 2 % ROWS + 1;
            writer
                .execute("DELETE FROM files WHERE id = ?1", [odd])
                .unwrap();
            writer
                .execute("INSERT INTO files VALUES (?1, 'new', NULL)", [ROWS + round])
                .unwrap();
        }
    });
    let mut seen = Vec::new();
    walk(&mut store, LIMITS, |_, batch| {
        seen.extend(batch.into_entries().into_iter().map(|(key, _)| key));
        Ok::<_, Infallible>(())
    })
    .unwrap();
    writer.join().unwrap();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    for id in (0..ROWS).step_by(2) {
        assert!(
            seen.binary_search(&SqliteKey::Integer(id)).is_ok(),
            "{id} is missed"
        );
    }
}

#[test]
fn keys_of_all_types_come_in_order() {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE \"a `table`\" (k UNIQUE, v);
             INSERT INTO \"a `table`\" VALUES (x'00', 1), ('b', 2), (7, 3), ('B', 4), (-1, 5), (NULL, 6)",
        )
        .unwrap();
    let mut store = SqliteStore::new(connection, "a `table`", "k", &["v"]).unwrap();
    let limits = BatchLimits {
        items: 1,
        bytes: 1 << 10,
    };
    let mut seen = Vec::new();
    walk(&mut store, limits, |_, batch| {
        seen.extend(batch.into_entries());
        Ok::<_, Infallible>(())
    })
    .unwrap();
    let values: Vec<_> = seen.iter().map(|(_, values)| values[0].clone()).collect();
    assert_eq!(values, [5, 3, 4, 2, 1].map(Value::Integer));
}

#[test]
fn what_cannot_be_walked_is_refused() {
    let check = |table: &str, key: &str, column: &str, kind, part: &str| {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE plain (k, v); CREATE TABLE pair (k, v, PRIMARY KEY (k, v));
                 CREATE INDEX loose ON plain (k); CREATE UNIQUE INDEX part ON plain (k) WHERE v = 1;
                 CREATE TABLE good (k TEXT PRIMARY KEY, v)",
            )
            .unwrap();
        let error = SqliteStore::new(connection, table, key, &[column]).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    check("plain", "k", "v", ErrorKind::Invalid, "unique index");
    check("pair", "k", "v", ErrorKind::Invalid, "unique index");
    check("nowhere", "k", "v", ErrorKind::Invalid, "unique index");
    check("good", "k", "w", ErrorKind::Failed, "no such column");
}

#[test]
fn numbers_with_fractions_and_other_orders_are_told() {
    let check = |sql: &str, part: &str| {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        let mut store = SqliteStore::new(connection, "t", "k", &[]).unwrap();
        let error = walk(&mut store, LIMITS, |_, _| Ok::<_, Infallible>(())).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    check(
        "CREATE TABLE t (k UNIQUE); INSERT INTO t VALUES (1.5)",
        "the number 1.5",
    );
    check(
        "CREATE TABLE t (k TEXT UNIQUE COLLATE NOCASE); INSERT INTO t VALUES ('a'), ('B')",
        "do not rise",
    );
}
