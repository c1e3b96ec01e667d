//! A run that was killed in a transaction leaves a journal beside its copy. No later run may take it
//! for its own: SQLite would roll another copy's pages into the new one.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use plimsoll_tutorial::{generate, open};

const PROGRAMS: [&str; 6] = [
    env!("CARGO_BIN_EXE_gallery_0_wasteful"),
    env!("CARGO_BIN_EXE_gallery_1_measured"),
    env!("CARGO_BIN_EXE_gallery_2_ids"),
    env!("CARGO_BIN_EXE_gallery_3_batches"),
    env!("CARGO_BIN_EXE_gallery_4_lazy"),
    env!("CARGO_BIN_EXE_gallery_5_budget"),
];

/// The journal that a kill in the middle of a large transaction leaves, when another has changed the same
/// pages before it: it has these as they were between the two.
fn hot_journal(folder: &Path) -> Vec<u8> {
    let store = folder.join("torn.db");
    fs::copy(folder.join("gallery.db"), &store).unwrap();
    let mut connection = open(&store).unwrap();
    // Pages that do not fit are written before the end, and the journal before them.
    connection.pragma_update(None, "cache_size", 10).unwrap();
    let shorten = "UPDATE images SET tags = substr(tags, 1, 9), caption = ''";
    connection.execute(shorten, []).unwrap();
    let transaction = connection.transaction().unwrap();
    let clear = "UPDATE images SET tags = '' WHERE id % 2 = 0";
    transaction.execute(clear, []).unwrap();
    let journal = fs::read(folder.join("torn.db-journal")).unwrap();
    transaction.rollback().unwrap();
    journal
}

#[test]
fn the_journal_of_a_killed_run_is_not_taken_for_the_own() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial-leftover");
    generate(&folder, 3_000).unwrap();
    let journal = hot_journal(&folder);
    let mut checksums = Vec::new();
    let mut run = |program: &str| {
        let mut command = Command::new(program);
        let output = command.arg(&folder).arg("quiet.txt").output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        checksums.push(said.lines().last().unwrap().to_owned());
    };
    run(PROGRAMS[0]);
    for program in PROGRAMS {
        fs::write(folder.join("published.db-journal"), &journal).unwrap();
        run(program);
    }
    checksums.dedup();
    assert_eq!(checksums.len(), 1, "{checksums:?}");
    fs::remove_dir_all(&folder).unwrap();
}
