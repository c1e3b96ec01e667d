//! Files that are not, or no longer, what they should be: each gets one clear error, none panics.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its own functions"
)]

mod made;

use std::path::Path;
use std::time::Duration;

use made::{Folder, breakdown, meta, process, sample, write_small};
use plimsoll_recording::{RecordingError, RecordingWriter, read_recorded};
use rusqlite::Connection;

fn error_of(path: &Path) -> String {
    read_recorded(path, 100).unwrap_err().to_string()
}

#[test]
fn foreign_files_are_told_apart() {
    let folder = Folder::new();
    let check = |content: &[u8], expected: &str| {
        std::fs::write(folder.file(), content).unwrap();
        let error = error_of(&folder.file());
        assert!(error.contains(expected), "{error}");
    };
    check(b"", "not a SQLite file");
    check(b"SQLite", "not a SQLite file");
    check(&[b'x'; 5000], "not a SQLite file");
    check(b"SQLite format 3\0", "not a");
    assert!(error_of(&folder.path().join("absent")).contains("No such file"));
    assert!(error_of(folder.path()).contains("directory"));
}

#[test]
fn other_databases_and_newer_recordings_are_told_apart() {
    let folder = Folder::new();
    let other = folder.path().join("other.db");
    let database = Connection::open(&other).unwrap();
    database
        .execute_batch("CREATE TABLE plimsoll (key, value)")
        .unwrap();
    drop(database);
    assert!(matches!(
        read_recorded(&other, 10),
        Err(RecordingError::NotRecording { .. })
    ));

    write_small(&folder.file());
    let check = |change: &str, expected: &str| {
        let changed = folder.path().join("changed");
        std::fs::copy(folder.file(), &changed).unwrap();
        let database = Connection::open(&changed).unwrap();
        database.pragma_update(None, "foreign_keys", false).unwrap();
        database.execute_batch(change).unwrap();
        drop(database);
        let error = error_of(&changed);
        assert!(error.contains(expected), "{change}: {error}");
    };
    check("PRAGMA user_version = 3", "schema version is 3");
    check("PRAGMA user_version = 0", "damaged (schema version 0)");
    check("DROP TABLE event", "no such table: event");
    check(
        "DELETE FROM plimsoll WHERE key = 'interval_us'",
        "no interval_us",
    );
    check(
        "UPDATE plimsoll SET value = 'x' WHERE key = 'started_at_us'",
        "started_at_us",
    );
    check(
        "UPDATE plimsoll SET value = -1 WHERE key = 'length_us'",
        "length_us is negative",
    );
    check("DROP TABLE stage", "no such table: stage");
    check("UPDATE stage SET source = 'cake'", "unknown word");
    check("UPDATE stage SET peak_bytes = -1", "damaged");
    check("UPDATE pressure SET some_us = 'long'", "damaged");
    check(
        "UPDATE plimsoll SET value = 'cake' WHERE key = 'cap_mechanism'",
        "cap_mechanism",
    );
    check(
        "DELETE FROM plimsoll WHERE key = 'cap_limit_bytes'",
        "a cap without its limit",
    );
    check(
        "UPDATE plimsoll SET value = '[' WHERE key = 'cap_refused'",
        "cap_refused",
    );
    check(
        "UPDATE plimsoll SET value = CAST(x'ff' AS TEXT) WHERE key = 'tool_version'",
        "damaged",
    );
    check("UPDATE owner SET kind = 'cake'", "unknown word");
    check(
        "UPDATE component_usage SET parent = 99 WHERE position = 1",
        "not there",
    );
    check(
        "UPDATE component_usage SET resident_bytes = 'many'",
        "damaged",
    );
    check("UPDATE component_usage SET resident_bytes = -5", "damaged");
    check("UPDATE component_usage SET mappings = 1 << 40", "damaged");
    check("DELETE FROM owner", "damaged");
    check("UPDATE breakdown SET rest = '{'", "breakdown 1");
    check("UPDATE process SET command = 'make'", "command line");
    check("UPDATE process SET pid = -7", "damaged");
    check(
        "UPDATE sample SET process_id = 500",
        "process that is not there",
    );
    check("UPDATE event SET kind = CAST(x'ff' AS TEXT)", "damaged");
    check(
        "DELETE FROM component_usage;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         INSERT INTO component_usage SELECT 1, i, nullif(i - 1, -1), 1, 0,0,0,0,0,0,0,0,0,0,0,0,
             NULL, NULL, 0, 'exact', '', NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL FROM n",
        "nested too deep",
    );
}

#[test]
fn truncated_files_are_errors_at_every_length() {
    let folder = Folder::new();
    write_small(&folder.file());
    let whole = std::fs::read(folder.file()).unwrap();
    let cut = folder.path().join("cut");
    for length in (0..whole.len())
        .step_by(499)
        .chain([1, 15, 16, 17, 99, 100, 101])
    {
        std::fs::write(&cut, &whole[..length]).unwrap();
        let error = read_recorded(&cut, 100).expect_err(&format!("{length} bytes were enough"));
        let told = matches!(
            error,
            RecordingError::NotSqlite { .. }
                | RecordingError::Damaged { .. }
                | RecordingError::NotRecording { .. }
        );
        assert!(told, "{length}: {error}");
    }
}

/// SQLite has no checksums: a flip inside a figure is read as another figure. What is promised is
/// no panic, an end, and one of our errors when the structure is hit.
#[test]
fn flipped_bytes_never_panic() {
    let folder = Folder::new();
    write_small(&folder.file());
    let whole = std::fs::read(folder.file()).unwrap();
    let flipped = folder.path().join("flipped");
    let mut errors = 0;
    // A fixed multiplicative walk: every position class is hit, the same ones each time.
    for round in 0..1500_usize {
        let mut content = whole.clone();
        let position = round * 40_503 % content.len();
        content[position] ^= 1 << (round % 8);
        if round % 3 == 0 {
            content[position] = 0xff;
        }
        std::fs::write(&flipped, &content).unwrap();
        if let Err(error) = read_recorded(&flipped, 1) {
            errors += 1;
            assert!(!error.to_string().is_empty());
        }
    }
    assert!(errors > 20, "only {errors} of 1500 flips were noticed");
}

/// A recorder killed inside a commit leaves its rollback journal; the reader rolls back.
#[test]
fn an_unfinished_commit_is_rolled_back() {
    let folder = Folder::new();
    let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
    writer.process_started(&process(41)).unwrap();
    writer.sample(&sample(0, 41, 4096)).unwrap();
    drop(writer);
    // A cache of one page makes SQLite write pages of an open transaction to the file.
    let database = Connection::open(folder.file()).unwrap();
    database.pragma_update(None, "cache_size", 1).unwrap();
    database.execute_batch("BEGIN").unwrap();
    for _ in 0..5000 {
        database
            .execute_batch("INSERT INTO sample VALUES (1, 1, 2, 3, 4, 5, 6)")
            .unwrap();
    }
    let killed = folder.path().join("killed");
    let journal = folder.path().join("killed-journal");
    std::fs::copy(folder.file(), &killed).unwrap();
    std::fs::copy(folder.path().join("run.plimsoll-journal"), &journal).unwrap();
    drop(database);
    let recorded = read_recorded(&killed, 10).unwrap();
    assert_eq!(recorded.samples, [sample(0, 41, 4096)]);
    assert!(!journal.exists());
}

/// A client that keeps a read transaction open must not cost samples, nor stop the sampler.
#[test]
fn rows_wait_while_a_reader_holds_the_file() {
    let folder = Folder::new();
    let mut writer = RecordingWriter::create(&folder.file(), &meta()).unwrap();
    let reader = Connection::open(folder.file()).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM sample")
        .unwrap();
    for at in 0..100 {
        writer.sample(&sample(at, 41, 4096)).unwrap();
    }
    writer
        .breakdown(Duration::from_micros(9), &breakdown(1))
        .unwrap();
    reader.execute_batch("COMMIT").unwrap();
    writer.finish(&meta()).unwrap();
    let recorded = read_recorded(&folder.file(), 1000).unwrap();
    assert_eq!(
        (recorded.samples.len(), recorded.breakdowns.len()),
        (100, 1)
    );
}
