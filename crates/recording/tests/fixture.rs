//! A recording of every schema version that was ever written must still be read.
//!
//! `fixtures/version-N.plimsoll` was made by `write_small` of this crate's tests, that of the newest
//! version with `PLIMSOLL_MAKE_FIXTURE=1`. It is made once and then never anew: a new version of the
//! schema gets a new fixture beside it.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its own functions"
)]

mod made;

use std::path::{Path, PathBuf};

use made::{Folder, breakdown, cap, meta, pressure, sample, stage, write_small};
use plimsoll_model::{Bytes, Recorded, Stage};
use plimsoll_recording::read_recorded;

fn fixture(version: u32) -> PathBuf {
    let name = format!("fixtures/version-{version}.plimsoll");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn version_1_is_read() {
    let recorded = read_recorded(&fixture(1), 100).unwrap();
    check_what_all_versions_have(&recorded);
    assert!(recorded.stages.is_empty() && recorded.pressure.is_empty());
    assert_eq!(recorded.cap, None);
}

#[test]
fn version_2_is_read() {
    let fixture = fixture(2);
    if !fixture.exists() {
        // Only when the fixture of a new version is made.
        assert!(
            std::env::var_os("PLIMSOLL_MAKE_FIXTURE").is_some(),
            "no {}",
            fixture.display()
        );
        write_small(&fixture);
    }
    let recorded = read_recorded(&fixture, 100).unwrap();
    check_what_all_versions_have(&recorded);
    assert_eq!(
        recorded.stages,
        [
            stage(Stage::BEGINNING, 0, 95, None),
            stage("scan\n\"a\"", 95, 2_400_000, Some(Bytes(21_000))),
        ]
    );
    assert_eq!(
        recorded.pressure,
        [pressure(1_000_000), pressure(2_000_000)]
    );
    assert_eq!(recorded.cap, Some(cap()));
}

fn check_what_all_versions_have(recorded: &Recorded) {
    assert_eq!(recorded.meta, meta());
    assert_eq!(recorded.processes.len(), 2);
    assert_eq!(
        recorded.samples,
        [sample(0, 41, 10_000), sample(100_000, 42, 20_000)]
    );
    assert_eq!(recorded.breakdowns[0].breakdown, breakdown(9000));
    assert_eq!(recorded.breakdowns[1].breakdown, breakdown(9001));
    assert_eq!((recorded.events.len(), recorded.gaps.len()), (1, 1));
}

/// The tables in the documentation are the ones in the file.
#[test]
fn every_table_and_column_is_in_the_reference() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/recording.md");
    let text = std::fs::read_to_string(reference).unwrap();
    let folder = Folder::new();
    write_small(&folder.file());
    let database = rusqlite::Connection::open(folder.file()).unwrap();
    let mut columns = database
        .prepare(
            "SELECT schema.name, column.name FROM sqlite_schema AS schema,
                    pragma_table_info(schema.name) AS column
             WHERE schema.type IN ('table', 'view')",
        )
        .unwrap();
    let names: Vec<(String, String)> = columns
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(names.len() > 60, "{}", names.len());
    for (table, column) in names {
        let section = text
            .split("\n## ")
            .find(|section| section.starts_with(&format!("`{table}`")))
            .unwrap_or_else(|| panic!("no section for {table}"));
        assert!(
            section.contains(&format!("`{column}`")),
            "{table}.{column} is not explained"
        );
    }
}
