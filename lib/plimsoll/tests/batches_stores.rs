//! Walks over real files of redb and LMDB that others write to meanwhile: `--features redb,lmdb`.
//! Each test that judges a file's length writes nothing but what it says.

#![cfg(all(feature = "redb", feature = "lmdb"))]
#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use folder::Folder;
use plimsoll::ErrorKind;
use plimsoll::batches::heed::types::Bytes;
use plimsoll::batches::heed::{CommitOrAbort, Database, DatabaseFlags, Env, EnvOpenOptions};
use plimsoll::batches::redb::{self, ReadableDatabase, TableDefinition};
use plimsoll::batches::{BatchLimits, LmdbStore, RedbKey, RedbStore, walk, walk_after};

const ROWS: u64 = 20_000;
const LIMITS: BatchLimits = BatchLimits {
    items: 500,
    bytes: 256 << 10,
};
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("files");

fn lmdb(folder: &Path) -> Env {
    // SAFETY: the folder is this test's own; nobody changes the file but LMDB.
    unsafe { EnvOpenOptions::new().map_size(256 << 20).open(folder) }.unwrap()
}

fn database_of(env: &Env, flags: DatabaseFlags) -> Database<'_, Bytes, Bytes> {
    let transaction = env.write_txn().unwrap();
    env.create_databases_and_commit(transaction, |opener, transaction| {
        let mut options = opener.database_options().types::<Bytes, Bytes>();
        let database = options.flags(flags).create(transaction)?;
        Ok::<_, plimsoll::batches::heed::Error>(CommitOrAbort::<_, ()>::Commit(database))
    })
    .unwrap()
    .unwrap_commit()
}

/// Rows `from..to` anew, with a body that tells the round.
fn write_lmdb(
    env: &Env,
    database: Database<'_, Bytes, Bytes>,
    rows: std::ops::Range<u64>,
    round: u8,
) {
    let mut transaction = env.write_txn().unwrap();
    for id in rows {
        database
            .put(&mut transaction, &id.to_be_bytes(), &[round; 100])
            .unwrap();
    }
    transaction.commit().unwrap();
}

fn write_redb(database: &redb::Database, rows: std::ops::Range<u64>, round: u8) {
    let mut transaction = database.begin_write().unwrap();
    // Nothing is judged here that a crash could undo.
    transaction
        .set_durability(redb::Durability::Immediate)
        .unwrap();
    let mut table = transaction.open_table(TABLE).unwrap();
    for id in rows {
        table.insert(id, &[round; 100][..]).unwrap();
    }
    drop(table);
    transaction.commit().unwrap();
}

/// The 500 rows that the `round`th write changes.
fn rows_of(round: u64) -> std::ops::Range<u64> {
    let from = round * 500 % ROWS;
    from..from + 500
}

#[test]
fn lmdb_grows_under_one_long_transaction_and_not_under_a_walk() {
    let folder = Folder::new("lmdb-growth");
    let env = lmdb(folder.root());
    let database = database_of(&env, DatabaseFlags::empty());
    write_lmdb(&env, database, 0..ROWS, 0);
    let length = || fs::metadata(folder.path("data.mdb")).unwrap().len();
    let filled = length();

    let mut store = LmdbStore::new(&env, database);
    let mut round = 0;
    for _ in 0..4 {
        walk(&mut store, LIMITS, |store, _| {
            write_lmdb(store.env(), store.database(), rows_of(round), 1);
            round += 1;
            Ok::<_, Infallible>(())
        })
        .unwrap();
    }
    let walked = length() - filled;
    let before = length();
    let long = env.read_txn().unwrap();
    assert!(database.first(&long).unwrap().is_some());
    for round in 0..round {
        write_lmdb(&env, database, rows_of(round), 2);
    }
    let long_grown = length() - before;
    println!("{filled} bytes; walks add {walked}, one transaction {long_grown}, {round} writes");
    assert!(walked < filled / 4, "{walked} of {filled}");
    assert!(long_grown > filled, "{long_grown} of {filled}");
}

#[test]
fn redb_grows_under_one_long_transaction_and_not_under_a_walk() {
    let folder = Folder::new("redb-growth");
    let path = folder.path("files.redb");
    let database = redb::Database::create(&path).unwrap();
    write_redb(&database, 0..ROWS, 0);
    let length = || fs::metadata(&path).unwrap().len();

    let mut store = RedbStore::new(&database, TABLE);
    let (mut round, mut after_first) = (0, 0);
    for number in 0..4 {
        walk(&mut store, LIMITS, |store, _| {
            write_redb(store.database(), rows_of(round), 1);
            round += 1;
            Ok::<_, Infallible>(())
        })
        .unwrap();
        if number == 0 {
            after_first = length();
        }
    }
    // redb doubles its file when it needs more, so the first walk may do that once.
    let walked = length() - after_first;
    let before = length();
    let long = database.begin_read().unwrap();
    let table = long.open_table(TABLE).unwrap();
    for round in 0..2 * round {
        write_redb(&database, rows_of(round), 2);
    }
    let long_grown = length() - before;
    drop(table);
    println!("{before} bytes; walks add {walked}, one transaction {long_grown}");
    assert_eq!(walked, 0, "of {before}");
    assert!(long_grown >= before / 2, "{long_grown} of {before}");
}

#[test]
fn both_see_what_stays_and_go_on_after_a_key_that_is_gone() {
    let folder = Folder::new("stores-order");
    let env = lmdb(folder.root());
    let database = database_of(&env, DatabaseFlags::empty());
    write_lmdb(&env, database, 0..2000, 0);
    let tables = redb::Database::create(folder.path("files.redb")).unwrap();
    write_redb(&tables, 0..2000, 0);
    let expected: Vec<u64> = (1..2000).filter(|id| id % 500 != 0).collect();

    // Each batch ends at a multiple of 500 less one; what the next one begins with is deleted, so is
    // the resume key.
    let mut seen = Vec::new();
    let mut store = LmdbStore::new(&env, database);
    walk_after(
        &mut store,
        Some(0_u64.to_be_bytes().to_vec()),
        LIMITS,
        |store, batch| {
            let last = batch.resume_key().unwrap().clone();
            let last = u64::from_be_bytes(last.try_into().unwrap());
            let mut transaction = store.env().write_txn()?;
            for id in [last, last / 500 * 500 + 500] {
                store
                    .database()
                    .delete(&mut transaction, &id.to_be_bytes())?;
            }
            transaction.commit()?;
            for (key, value) in batch.into_entries() {
                assert_eq!(value, [0; 100]);
                seen.push(u64::from_be_bytes(key.try_into().unwrap()));
            }
            Ok::<_, plimsoll::batches::heed::Error>(())
        },
    )
    .unwrap();
    let kept = |seen: &[u64]| expected.iter().filter(|id| !seen.contains(id)).count();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(kept(&seen), 0);

    let mut seen = Vec::new();
    let mut store = RedbStore::new(&tables, TABLE);
    walk_after(
        &mut store,
        Some(RedbKey::new(&0)),
        LIMITS,
        |store, batch| {
            let last = batch.resume_key().unwrap().get();
            let transaction = store.database().begin_write()?;
            let mut table = transaction.open_table(TABLE)?;
            for id in [last, last / 500 * 500 + 500] {
                table.remove(id)?;
            }
            drop(table);
            transaction.commit()?;
            for (key, value) in batch.into_entries() {
                assert_eq!(value.get(), [0; 100]);
                seen.push(key.get());
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        },
    )
    .unwrap();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(kept(&seen), 0);
}

#[test]
fn what_cannot_be_walked_is_told() {
    let folder = Folder::new("stores-refused");
    let env = lmdb(folder.root());
    let database = database_of(&env, DatabaseFlags::DUP_SORT);
    let mut transaction = env.write_txn().unwrap();
    for value in [b"1", b"2", b"3"] {
        database.put(&mut transaction, b"key", value).unwrap();
    }
    transaction.commit().unwrap();
    // Whether the border of a batch falls between the values or not.
    for items in [1, 2, 10] {
        let limits = BatchLimits { items, ..LIMITS };
        let mut store = LmdbStore::new(&env, database);
        let error = walk(&mut store, limits, |_, _| Ok::<_, Infallible>(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.to_string().contains("several values"), "{error}");
    }
    let tables = redb::Database::create(folder.path("files.redb")).unwrap();
    let mut store = RedbStore::new(&tables, TABLE);
    let error = walk(&mut store, LIMITS, |_, _| Ok::<_, Infallible>(())).unwrap_err();
    assert!(error.to_string().contains("files"), "{error}");
    write_redb(&tables, 0..3, 0);
    let small = BatchLimits {
        items: 10,
        bytes: 100,
    };
    let error = walk(&mut store, small, |_, _| Ok::<_, Infallible>(())).unwrap_err();
    assert!(error.to_string().contains("alone takes"), "{error}");
}

fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    let kib = line.trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() << 10
}

/// Bytes that a walk over 48 MiB adds to anonymous memory and to mapped file pages, in this process:
/// started alone.
#[test]
#[ignore = "run in a process of its own by the test below"]
fn child_that_walks() {
    let folder = std::env::var_os("PLIMSOLL_FOLDER").unwrap();
    let folder = Path::new(&folder);
    let is_lmdb = std::env::var_os("PLIMSOLL_LMDB").is_some();
    let (mut anon_max, mut file_max) = (0, 0);
    let mut note = || {
        anon_max = status("RssAnon:").max(anon_max);
        file_max = status("RssFile:").max(file_max);
    };
    let (anon, file) = (status("RssAnon:"), status("RssFile:"));
    let walked = if is_lmdb {
        let env = lmdb(folder);
        let database = database_of(&env, DatabaseFlags::empty());
        let mut store = LmdbStore::new(&env, database);
        walk(&mut store, LIMITS, |_, _| {
            note();
            Ok::<_, Infallible>(())
        })
    } else {
        let path = folder.join("files.redb");
        let builder = &mut redb::Builder::new();
        let database = builder.set_cache_size(2 << 20).open(path).unwrap();
        let mut store = RedbStore::new(&database, TABLE);
        walk(&mut store, LIMITS, |_, _| {
            note();
            Ok::<_, Infallible>(())
        })
    };
    println!("walked {}", walked.unwrap().items);
    println!("anon {}", anon_max - anon);
    println!("file {}", file_max - file);
}

#[test]
fn a_walk_holds_a_batch_and_what_the_store_holds() {
    const MANY: u64 = 400_000;
    const MIB: u64 = 1 << 20;
    let folder = Folder::new("stores-memory");
    let tables = redb::Database::create(folder.path("files.redb")).unwrap();
    write_redb(&tables, 0..MANY, 0);
    drop(tables);
    let env = lmdb(folder.root());
    let database = database_of(&env, DatabaseFlags::empty());
    write_lmdb(&env, database, 0..MANY, 0);
    for name in ["lmdb", "redb"] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_that_walks", "--ignored", "--nocapture"]);
        command.env("PLIMSOLL_FOLDER", folder.root());
        if name == "lmdb" {
            command.env("PLIMSOLL_LMDB", "1");
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let figure = |key: &str| {
            let line = text.lines().find_map(|line| line.split_once(key)).unwrap();
            line.1.trim().parse::<u64>().unwrap()
        };
        assert_eq!(figure("walked "), MANY);
        let (anon, file) = (figure("anon "), figure("file "));
        println!("{name}: anonymous memory rises by {anon} bytes, file pages by {file}");
        // A batch of 256 KiB and its places, redb's cache of 2 MiB, what malloc keeps.
        assert!(anon < 6 * MIB, "{name}: {anon} bytes");
        if name == "lmdb" {
            // The file's pages stay mapped: they count in RSS and are no memory of the program's.
            assert!(file > 24 * MIB, "{file} bytes");
        }
    }
}
