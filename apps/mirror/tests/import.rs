//! A cache of yomins-sync, written by bbolt, becomes a state: what is taken, what is told, what is refused.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use folder::Folder;
use servers::{Run, Servers, files};

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(format!("bbolt-{name}.db"))
}

/// Imports without servers, which it does not need.
fn import(cache: &Path, state: &Path, more: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
    command
        .arg("import-bbolt")
        .arg(cache)
        .arg("--state")
        .arg(state)
        .args(["--s3-endpoint=http://127.0.0.1:1", "--s3-bucket=bucket"])
        .args(["--s3-access-key=key", "--ftp-host=localhost"])
        .args(["--ftp-username=user", "--ftp-base-path=/base"])
        .env("S3_SECRET_ACCESS_KEY", "unseen-secret")
        .args(more);
    Run::of(command.output().unwrap())
}

fn look(verb: &[&str], state: &Path) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
    command.args(verb).arg("--state").arg(state);
    Run::of(command.output().unwrap())
}

#[test]
fn every_status_becomes_what_is_known() {
    let folder = Folder::new("statuses");
    let state = folder.path("state");
    let cache = folder.path("cache.db");
    fs::copy(fixture("statuses"), &cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o400)).unwrap();
    let before = fs::read(&cache).unwrap();
    let planned = import(&cache, &state, &["--dry-run"]);
    planned.expect(2, &["read=15, SYNCED=5", "(dry-run) the state would be"]);
    assert!(!state.exists(), "a dry run makes nothing");

    import(&cache, &state, &[]).expect(
        2,
        &[
            "ImportCache: read=15, SYNCED=5, NEW=1, ERROR=1, DELETED_ON_S3=1, damaged=4, left_out=3",
            "\"b/json\": a damaged record: EOF while parsing",
            "\"b/size\": a damaged record: invalid value: integer `-1`",
            "\"b/status\": a damaged record: no status is 7",
            "1 keys are not mirrored: an empty part in the path; what the destination has of them stays",
            "1 keys are not mirrored: a part that is . or ..",
            "1 keys are buckets in the bucket",
            "4 records are damaged: those files are uploaded again",
            "2 files were NEW or ERROR",
            "5 files are taken for synced because the cache says so",
            "the state is SYNCED=5, NEW=2, ERROR=0, DELETED_IN_SOURCE=5",
        ],
    );
    assert_eq!(fs::read(&cache).unwrap(), before, "the cache is only read");
    look(&["check"], &state).expect(0, &["the state is whole: 12 keys"]);
    look(&["status"], &state).expect(
        2,
        &["never listed", "destination: ftp://localhost:21/base/"],
    );
    let synced = r#"{"key":"a/synced","status":"SYNCED","size_bytes":1002,"modified_seconds":1700000002,"etag":"#;
    let parts = r#""etag":"0123456789abcdef0123456789abcdef-3""#;
    look(&["export"], &state).expect(0, &[synced, parts, r#"{"key":"a/new","status":"NEW""#]);
    let unclear = "destination: not known";
    look(&["explain", "a/error"], &state).expect(2, &["NEW", unclear]);
    look(&["explain", "a/deleted"], &state).expect(2, &["DELETED_IN_SOURCE", unclear]);
    // Of a damaged record nothing is made up.
    look(&["explain", "b/json"], &state).expect(2, &["source: not in the last listing", unclear]);
    look(&["explain", "../escape"], &state).expect(2, &["not known"]);

    let distrusted = folder.path("distrusted");
    import(&cache, &distrusted, &["--distrust"]).expect(
        2,
        &["the state is SYNCED=0, NEW=7, ERROR=0, DELETED_IN_SOURCE=5"],
    );
    look(&["explain", "a/synced"], &distrusted).expect(2, &["NEW", unclear]);

    let prefixed = folder.path("prefixed");
    import(&cache, &prefixed, &["--s3-prefix=b/"]).expect(
        2,
        &[
            "10 keys do not begin with --s3-prefix b/",
            "DELETED_IN_SOURCE=3",
        ],
    );
    let other = folder.path("other");
    import(&cache, &other, &["--cache-bucket=another"]).expect(0, &["the state is SYNCED=1"]);
}

#[test]
fn what_can_not_be_imported_is_told() {
    let folder = Folder::new("refusals");
    let state = folder.path("state");
    let text = folder.path("text");
    fs::write(&text, "no database").unwrap();
    import(&text, &state, &[]).expect(1, &["it is no bbolt database"]);
    import(&folder.path("none"), &state, &[]).expect(1, &["open the cache", "No such file"]);
    import(folder.root(), &state, &[]).expect(1, &["it is no file"]);
    let whole = fs::read(fixture("many")).unwrap();
    let cut = folder.path("cut");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    import(&cut, &state, &[]).expect(1, &["it is cut off: it has 16384 bytes"]);
    import(&fixture("many"), &state, &["--cache-bucket=none"])
        .expect(1, &["it has no bucket \"none\", but \"files\""]);

    // As bbolt locks it, the original's way to keep others out.
    let held = folder.path("held");
    fs::write(&held, &whole).unwrap();
    let lock = File::open(&held).unwrap();
    lock.lock().unwrap();
    import(&held, &state, &[]).expect(1, &["another program has it open; end yomins-sync first"]);
    drop(lock);

    // None of these left a state behind.
    look(&["status"], &state).expect(1, &["no state in"]);
    import(&held, &state, &[]).expect(0, &["the state is SYNCED=25"]);
    let manifest = fs::read(state.join("MANIFEST")).unwrap();
    import(&held, &state, &[]).expect(1, &["there is one", "nothing is written over it"]);
    assert_eq!(fs::read(state.join("MANIFEST")).unwrap(), manifest);
    fs::remove_file(state.join("MANIFEST")).unwrap();
    import(&held, &state, &[]).expect(1, &["a part of one", "nothing is written over it"]);
}

/// The cache of the fixture is of a bucket in which each file has its name as its text.
fn site(name: &str) -> Option<Servers> {
    let mut servers = Servers::start(name)?;
    for key in ["failed", "lied", "new", "same", "seen"] {
        servers.put(key, key);
    }
    servers.put("changed", "CHANGED");
    let base = servers.root.join("base");
    fs::create_dir(&base).unwrap();
    for (file, text) in [
        ("changed", "changed"),
        ("deleted", "deleted"),
        ("failed", "fai"),
        ("gone", "gone"),
        // What the original left and took for synced: B2.
        ("lied", ""),
        ("same", "same"),
        ("seen", "seen"),
        ("of-others", "of others"),
    ] {
        fs::write(base.join(file), text).unwrap();
    }
    Some(servers)
}

fn imported(servers: &Servers, more: &[&str]) -> Run {
    let mut command = servers.command("import-bbolt");
    command.arg(fixture("site")).args(more);
    Run::of(command.output().unwrap())
}

#[test]
fn a_run_after_an_import_transfers_only_what_differs() {
    let Some(mut servers) = site("import-run") else {
        return;
    };
    imported(&servers, &[]).expect(
        0,
        &["ImportCache: read=8, SYNCED=5, NEW=1, ERROR=1, DELETED_ON_S3=1, damaged=0, left_out=0"],
    );
    servers
        .run(&[])
        .expect(0, &["NEW_files=3, synced=3", "deleted=2"]);
    assert_eq!(servers.count("get"), 3, "changed, failed and new");
    let expected = [
        ("changed", "CHANGED"),
        ("failed", "failed"),
        // The cache lied, and was believed.
        ("lied", ""),
        ("new", "new"),
        ("of-others", "of others"),
        ("same", "same"),
        ("seen", "seen"),
    ];
    assert_eq!(servers.files(), files(&expected));
    servers.run(&[]).expect(0, &["TEMP_DELETED→SYNCED=6"]);
    assert_eq!(servers.count("get"), 3);
}

#[test]
fn a_distrusted_import_with_adoption_repairs_what_the_cache_lied_about() {
    let Some(mut servers) = site("import-distrust") else {
        return;
    };
    imported(&servers, &["--distrust"]).expect(0, &["the state is SYNCED=0, NEW=7"]);
    // The fixture's files are older at the source than those that were written just now.
    servers.run(&["--adopt=size"]).expect(
        0,
        &[
            "adopted=3: the destination has files of their lengths",
            "deleted=2",
        ],
    );
    assert_eq!(servers.count("get"), 3, "failed, lied and new");
    let found = servers.files();
    assert_eq!(found["lied"], "lied");
    assert_eq!(found["failed"], "failed");
    // The same length: what adoption can't see, where the source's time is no later.
    assert_eq!(found["changed"], "changed");
    servers.run(&[]).expect(0, &["TEMP_DELETED→SYNCED=6"]);
}

/// Without adoption, all that is distrusted is uploaded.
#[test]
fn a_distrusted_import_uploads_all() {
    let Some(mut servers) = site("import-all") else {
        return;
    };
    imported(&servers, &["--distrust"]).expect(0, &[]);
    servers.run(&[]).expect(0, &["NEW_files=6, synced=6"]);
    assert_eq!(servers.count("get"), 6);
    assert_eq!(servers.files()["changed"], "CHANGED");
    assert_eq!(servers.files()["lied"], "lied");
}
