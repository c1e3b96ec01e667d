//! Files that the destination has already are taken for synced, when that is asked for: which, and which not.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use serde_json::json;
use servers::{Servers, files};

/// Puts a file below the base, so many seconds older than now.
fn leave(servers: &Servers, key: &str, text: &str, age_seconds: u64) {
    let path = servers.root.join("base").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let time = SystemTime::now() - Duration::from_secs(age_seconds);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

/// Three files in the source; of another length, absent and equal at the destination.
fn site(name: &str) -> Option<Servers> {
    let mut servers = Servers::start(name)?;
    for key in ["a/absent", "a/equal", "a/longer"] {
        servers.put(key, key);
    }
    leave(&servers, "a/equal", "A/EQUAL", 0);
    leave(&servers, "a/longer", "a/longer and longer", 0);
    Some(servers)
}

#[test]
fn files_of_the_same_length_are_adopted_and_others_uploaded() {
    let Some(mut servers) = site("adopt") else {
        return;
    };
    servers.run(&["--adopt=size"]).expect(
        0,
        &[
            "NEW_files=3, synced=2, failed=0, waiting=0, total_size=16",
            "AdoptFiles: adopted=1: the destination has files of their lengths; their bytes were not compared",
            "completed successfully",
        ],
    );
    assert_eq!(servers.count("get"), 2);
    let expected = [
        ("a/absent", "a/absent"),
        // What it does not prove.
        ("a/equal", "A/EQUAL"),
        ("a/longer", "a/longer"),
    ];
    assert_eq!(servers.files(), files(&expected));
    servers.state(&["status"]).expect(0, &["SYNCED=3, NEW=0"]);
    servers.run(&[]).expect(0, &["TEMP_DELETED→SYNCED=3"]);
    assert_eq!(servers.count("get"), 2);
}

#[test]
fn nothing_is_adopted_unless_it_is_asked_for() {
    let Some(mut servers) = site("adopt-off") else {
        return;
    };
    let run = servers.run(&[]);
    run.expect(0, &["NEW_files=3, synced=3"]);
    assert!(!run.text.contains("AdoptFiles"), "{}", run.text);
    assert_eq!(servers.count("get"), 3);
    assert_eq!(servers.files()["a/equal"], "a/equal");
}

#[test]
fn a_file_that_is_older_than_the_source_s_is_not_adopted() {
    let Some(mut servers) = site("adopt-older") else {
        return;
    };
    leave(&servers, "a/equal", "A/EQUAL", 3600);
    servers
        .run(&["--adopt=size"])
        .expect(0, &["synced=3", "adopted=0"]);
    assert_eq!(servers.count("get"), 3);
    assert_eq!(servers.files()["a/equal"], "a/equal");
}

#[test]
fn without_times_lengths_decide_and_without_lengths_nothing_is_adopted() {
    let Some(mut servers) = site("adopt-no-times") else {
        return;
    };
    leave(&servers, "a/equal", "A/EQUAL", 3600);
    servers.faults(json!({"no_times": true}));
    servers
        .run(&["--adopt=size"])
        .expect(0, &["synced=2", "adopted=1"]);

    let Some(mut servers) = site("adopt-no-size") else {
        return;
    };
    servers.faults(json!({"no_size": true}));
    servers
        .run(&["--adopt=size"])
        .expect(0, &["synced=3", "adopted=0"]);
    assert_eq!(servers.count("get"), 3);
    assert_eq!(servers.files()["a/equal"], "a/equal");
}

/// The old version may well have the length of the new one: here it is known to be another.
#[test]
fn a_changed_file_is_never_adopted() {
    let Some(mut servers) = site("adopt-changed") else {
        return;
    };
    servers.run(&[]).expect(0, &["synced=3"]);
    servers.put("a/equal", "a/EQUAL");
    servers.faults(json!({"no_times": true}));
    servers
        .run(&["--adopt=size"])
        .expect(0, &["TEMP_DELETED→NEW=1", "synced=1", "adopted=0"]);
    assert_eq!(servers.files()["a/equal"], "a/EQUAL");
}

/// A connection that breaks off at a question is no answer to it.
#[test]
fn a_server_that_hangs_up_is_asked_again() {
    let Some(mut servers) = site("adopt-hang-up") else {
        return;
    };
    servers.faults(json!({"size_421_times": 2}));
    servers
        .run(&["--adopt=size", "--dest-workers=1"])
        .expect(0, &["synced=2", "adopted=1"]);
    assert!(servers.count("login") >= 3);
}
