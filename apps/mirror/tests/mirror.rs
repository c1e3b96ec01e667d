//! The program between a real S3 and a real FTP server: what it promises, and the faults of the original
//! (B1, B2, …), each of which lost, truncated or deleted files there.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use serde_json::json;
use servers::certificate::certificate;
use servers::{Servers, files};

#[test]
fn both_sides_end_equal_and_only_changes_are_transferred() {
    let Some(mut servers) = Servers::start("equal") else {
        return;
    };
    servers.faults(json!({"page": 2}));
    servers.put("root.txt", "root");
    servers.put("a/one.txt", "one");
    servers.put("a/b/ä ö+%20&.txt", "odd");
    servers.put("a/empty", "");
    servers.put("a/marker/", "");
    let expected = files(&[
        ("root.txt", "root"),
        ("a/one.txt", "one"),
        ("a/b/ä ö+%20&.txt", "odd"),
        ("a/empty", ""),
    ]);
    let plan = servers.command("plan").output().unwrap();
    let text = String::from_utf8(plan.stdout).unwrap();
    assert!(
        text.contains("(dry-run) would upload 4 files of 10 bytes, and delete 0"),
        "{text}"
    );
    assert!(servers.files().is_empty());
    servers
        .run(&["--dry-run"])
        .expect(2, &["would upload 4 files"]);

    servers.run(&[]).expect(
        0,
        &[
            "ProcessSource: total=5, new=4,",
            "1 folder markers",
            "SyncNewFiles: scanned=4, NEW_files=4, synced=4, failed=0, waiting=0, total_size=10",
            "Synchronization run completed successfully",
        ],
    );
    assert_eq!(servers.files(), expected);
    // Three pages and one more look after each; nothing is transferred again.
    servers.faults(json!({"page": 2}));
    let again = servers.run(&[]);
    again.expect(0, &["TEMP_DELETED→SYNCED=4, TEMP_DELETED→NEW=0"]);
    assert_eq!((servers.count("list"), servers.count("get")), (3, 0));

    // Changed, new, gone.
    servers.put("a/one.txt", "changed");
    servers.put("z", "new");
    servers.delete("root.txt");
    servers.run(&[]).expect(
        0,
        &[
            "TEMP_DELETED→NEW=1",
            "TEMP_DELETED→DELETED_ON_S3=1",
            "deleted=1, failed=0",
        ],
    );
    let mut expected = expected;
    expected.remove("root.txt");
    expected.extend(files(&[("a/one.txt", "changed"), ("z", "new")]));
    assert_eq!(servers.files(), expected);
    servers
        .state(&["status"])
        .expect(0, &["SYNCED=4, NEW=0, ERROR=0, DELETED_IN_SOURCE=0"]);
    servers
        .state(&["check"])
        .expect(0, &["the state is whole: 4 keys"]);
    servers.state(&["compact"]).expect(0, &["4 entries in"]);
    servers
        .state(&["explain", "z"])
        .expect(0, &["SYNCED", "source: 3 bytes"]);
    servers
        .state(&["explain", "../z"])
        .expect(2, &["never mirrored: a part that is . or .."]);
    servers.run(&[]).expect(0, &["TEMP_DELETED→SYNCED=4"]);
    assert_eq!(servers.files(), expected);
}

/// B1: a failed upload is tried again, in the next run. B16: it is no success.
#[test]
fn a_failed_upload_is_an_error_until_it_works() {
    let Some(mut servers) = Servers::start("b1") else {
        return;
    };
    servers.put("a", "one");
    servers.put("b", "two");
    servers.faults(json!({"get_503_times": 6}));
    let run = servers.run(&["--dest-workers=1", "--dest-max-retries=3"]);
    run.expect(2, &["the source failed", "failed=2", "completed in part"]);
    servers.state(&["status"]).expect(2, &["ERROR=2"]);
    servers
        .state(&["explain", "a"])
        .expect(2, &["failed 1 times in a row", "the source failed"]);
    let line = r#"{"key":"b","status":"ERROR","size_bytes":3,"modified_seconds":1"#;
    let reason = r#""attempts":1,"reason":"the source failed"}"#;
    servers.state(&["export"]).expect(0, &[line, reason]);
    servers.run(&[]).expect(0, &["NEW(updated)=2", "synced=2"]);
    assert_eq!(servers.files(), files(&[("a", "one"), ("b", "two")]));
}

/// B2: after a 451 the file is sent again from the source, whole.
#[test]
fn a_retry_sends_the_whole_file_again() {
    let Some(mut servers) = Servers::start("b2") else {
        return;
    };
    let long = "0123456789".repeat(50_000);
    for key in ["1", "2", "3"] {
        servers.put(key, &long);
    }
    servers.faults(json!({"stor_451_times": 1}));
    servers.run(&[]).expect(0, &["synced=3, failed=0"]);
    assert_eq!(servers.count("stor"), 6);
    assert_eq!(
        servers.files(),
        files(&[("1", &long), ("2", &long), ("3", &long)])
    );

    // A connection that breaks off in the middle of a file.
    servers.put("2", &long.replace('0', "x"));
    servers.faults(json!({"drop_times": 1}));
    servers.run(&[]).expect(0, &["synced=1, failed=0"]);
    assert!(servers.faults_left().is_empty(), "nothing broke off");
    let changed = long.replace('0', "x");
    assert_eq!(
        servers.files(),
        files(&[("1", &long), ("2", &changed), ("3", &long)])
    );

    // A source that breaks off.
    servers.put("3", &changed);
    servers.faults(json!({"get_cut_times": 1}));
    servers.run(&[]).expect(0, &["synced=1, failed=0"]);
    assert_eq!(
        servers.files(),
        files(&[("1", &long), ("2", &changed), ("3", &changed)])
    );
}

/// B3: a listing that ends with an error is none: nothing is deleted, and the run has failed.
#[test]
fn a_listing_that_breaks_off_deletes_nothing() {
    let Some(mut servers) = Servers::start("b3") else {
        return;
    };
    let servers_flags = ["--source-max-retries=2", "--allow-mass-delete"];
    for key in ["a", "b", "c", "d"] {
        servers.put(key, key);
    }
    servers.run(&[]).expect(0, &[]);
    let expected = servers.files();
    for key in ["c", "d"] {
        servers.delete(key);
    }
    let manifest = || std::fs::read(servers.folder.path("state/MANIFEST")).unwrap();
    let before = manifest();
    servers.faults(json!({"page": 1, "list_503_after": 1}));
    servers
        .run(&servers_flags)
        .expect(1, &["status 503 SlowDown"]);
    servers.faults(json!({"list_cut": true}));
    servers
        .run(&servers_flags)
        .expect(1, &["list s3://bucket/"]);
    let manifest = || std::fs::read(servers.folder.path("state/MANIFEST")).unwrap();
    assert_eq!(manifest(), before, "a scan that fails changes nothing");
    assert_eq!(servers.files(), expected);
    // One that only stumbles is whole.
    servers.faults(json!({"list_503_times": 1}));
    servers.run(&servers_flags).expect(0, &["deleted=2"]);
    assert_eq!(servers.files(), files(&[("a", "a"), ("b", "b")]));
}

/// B5: no key leads out of the base path, becomes another key's file, or ends a command of FTP. (moto takes no
/// `..`, CR or LF in keys: tests/s3_servers.rs has them.)
#[test]
fn keys_that_lead_elsewhere_are_refused_and_counted() {
    let Some(mut servers) = Servers::start("b5") else {
        return;
    };
    servers.put("x/dbl.txt", "single");
    servers.put("x//dbl.txt", "double");
    servers.put("x/\tDELE dbl.txt", "command");
    servers.put("x/.mirror-part-0", "ours");
    servers.run(&[]).expect(
        2,
        &[
            "1 keys are not mirrored: an empty part in the path",
            "1 keys are not mirrored: a control character",
            "1 keys are not mirrored: a part that begins with .mirror-part-",
            "refused_keys=3",
        ],
    );
    assert_eq!(servers.files(), files(&[("x/dbl.txt", "single")]));
}

/// B6: FTPS works, and a server that is not trusted is not spoken to.
#[test]
fn ftps_is_spoken_to_servers_that_are_trusted() {
    let Some(certificate) = certificate() else {
        return;
    };
    let Some(mut servers) = Servers::start_with("b6", Some(&certificate)) else {
        return;
    };
    let long = "0123456789".repeat(50_000);
    servers.put("a/secret", &long);
    servers.run(&[]).expect(1, &["open the destination"]);
    servers
        .run(&["--ftp-use-tls", "--dest-max-retries=1"])
        .expect(1, &["certificate"]);
    assert!(servers.files().is_empty());
    let trusted = format!("--ca-file={}", certificate.display());
    servers
        .run(&["--ftp-use-tls=true", &trusted])
        .expect(0, &["synced=1"]);
    assert_eq!(servers.files(), files(&[("a/secret", &long)]));
}

/// B9: an empty bucket, or one that lost most of its files, deletes nothing by itself; and when the
/// listing is right again, nothing is uploaded again.
#[test]
fn mass_deletions_are_withheld() {
    let Some(mut servers) = Servers::start("b9") else {
        return;
    };
    for n in 0..30 {
        servers.put(&format!("{n:02}"), "x");
    }
    servers.run(&[]).expect(0, &["synced=30"]);
    let expected = servers.files();
    servers.faults(json!({"empty": true}));
    servers
        .run(&[])
        .expect(2, &["30 deletions withheld: the bucket is empty"]);
    assert_eq!(servers.files(), expected);
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["DELETED_ON_S3→SYNCED=30"]);
    assert_eq!(servers.count("get"), 0);
    for n in 0..20 {
        servers.delete(&format!("{n:02}"));
    }
    servers.run(&[]).expect(
        2,
        &["20 deletions withheld: 10 are allowed of 30 files known"],
    );
    assert_eq!(servers.files(), expected);
    servers.run(&["--max-delete=20"]).expect(0, &["deleted=20"]);
    assert_eq!(servers.files().len(), 10);
    servers.faults(json!({"empty": true}));
    servers
        .run(&["--allow-mass-delete"])
        .expect(0, &["deleted=10"]);
    assert!(servers.files().is_empty());
}

/// A source that lists out of order is served, but deletes nothing; one that lists a key twice is not.
#[test]
fn a_listing_out_of_order_is_sorted_and_deletes_nothing() {
    let Some(mut servers) = Servers::start("unordered") else {
        return;
    };
    for key in ["a", "b", "c", "d", "e"] {
        servers.put(key, key);
    }
    servers.faults(json!({"list_reversed": "once", "page": 3}));
    servers.run(&[]).expect(
        0,
        &[
            "keys do not rise",
            "ProcessSource: total=5, new=5",
            "synced=5",
        ],
    );
    let expected = servers.files();
    assert_eq!(expected.len(), 5);
    servers.delete("a");
    servers.run(&[]).expect(
        2,
        &["1 deletions withheld: the source does not list in order"],
    );
    assert_eq!(servers.files(), expected);
    servers.faults(json!({"list_reversed": "twice"}));
    servers
        .run(&["--allow-mass-delete"])
        .expect(1, &["lists 1 keys more than once"]);
    assert_eq!(servers.files(), expected);
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["deleted=1"]);
}

/// B13: a time-out is of a pause, not of a whole file; and a pause that is too long is one.
#[test]
fn time_outs_are_of_pauses() {
    let Some(mut servers) = Servers::start("b13") else {
        return;
    };
    let long = "0123456789".repeat(100);
    servers.put("a", &long);
    // Five pauses are more than the time-out together.
    servers.faults(json!({"get_pause": 0.8}));
    let flags = ["--source-timeout=3", "--dest-max-retries=1"];
    servers.run(&flags).expect(0, &["synced=1"]);
    servers.put("a", "changed");
    servers.faults(json!({"get_pause": 6}));
    servers
        .run(&flags)
        .expect(2, &["\"a\": the source failed", "failed=1"]);
    assert_eq!(servers.files().get("a"), Some(&long));
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["synced=1"]);
    assert_eq!(servers.files(), files(&[("a", "changed")]));
}

/// B12: "550 Permission denied" is no deletion.
#[test]
fn a_refused_deletion_is_no_deletion() {
    let Some(mut servers) = Servers::start("b12") else {
        return;
    };
    servers.put("a", "a");
    servers.put("b", "b");
    servers.put("keep", "keep");
    servers.run(&[]).expect(0, &[]);
    servers.delete("a");
    servers.delete("b");
    std::fs::remove_file(servers.folder.path("ftp/base/b")).unwrap();
    servers.faults(json!({"deny_delete": true}));
    let run = servers.run(&["--dest-max-retries=1"]);
    run.expect(
        2,
        &[
            "\"a\": the destination refuses with FTP 550",
            "deleted=0, failed=2",
        ],
    );
    servers.faults(json!({}));
    // One is there, the other is gone already: both end as deleted.
    servers.run(&[]).expect(0, &["deleted=2, failed=0"]);
    assert_eq!(servers.files(), files(&[("keep", "keep")]));
}

/// Other bytes than were listed are not put in place; a server that renames over nothing is served too.
#[test]
fn what_arrives_otherwise_is_not_put_in_place() {
    let Some(mut servers) = Servers::start("other") else {
        return;
    };
    servers.put("a", "right");
    servers.run(&[]).expect(0, &[]);
    servers.put("a", "newer");
    servers.faults(json!({"get_other": true}));
    let run = servers.run(&["--dest-max-retries=2"]);
    run.expect(2, &["other bytes arrived than were listed", "failed=1"]);
    assert_eq!(servers.files(), files(&[("a", "right")]));
    servers.faults(json!({"rename_over_refused": true}));
    servers.run(&[]).expect(0, &["synced=1"]);
    assert_eq!(servers.files(), files(&[("a", "newer")]));
}

/// A signal ends a run between two files: nothing is an error for it, and the next run goes on.
#[test]
fn a_signal_ends_a_run_early() {
    let Some(mut servers) = Servers::start("signal") else {
        return;
    };
    for n in 0..40 {
        servers.put(&format!("{n:02}"), "x");
    }
    let child = servers
        .command("run")
        .args(["--source-max-rps=8", "--dest-workers=2"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let whole = |servers: &Servers| {
        let files = servers.files();
        files
            .keys()
            .filter(|name| !name.contains(".mirror-part-"))
            .count()
    };
    while whole(&servers) == 0 {
        std::thread::yield_now();
    }
    // SAFETY: a signal to a child that was not waited for yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("was ended by a signal: failed=0"), "{text}");
    let before = whole(&servers);
    assert!(before < 40, "{before}");
    servers.state(&["status"]).expect(2, &["ERROR=0"]);
    let run = servers.run(&["--log-level=debug"]);
    run.expect(
        0,
        &["completed successfully", &format!("synced={}", 40 - before)],
    );
    assert_eq!(servers.files().len(), 40);
    // What the whole program held, with its code, connections and buffers of five workers.
    let peak = run
        .text
        .split("AFTER_UPLOAD")
        .nth(1)
        .unwrap()
        .split("RssPeak=")
        .nth(1)
        .unwrap();
    let peak: u64 = peak.split("KiB").next().unwrap().parse().unwrap();
    println!("peak RSS {peak} KiB");
    assert!(peak <= 32 << 10, "{peak} KiB");
}

#[test]
fn bad_settings_are_told_and_change_nothing() {
    let Some(servers) = Servers::start("settings") else {
        return;
    };
    servers.state(&["status"]).expect(1, &["no state in"]);
    servers
        .run(&["--s3-bucket=a/b"])
        // The last of a flag counts, as in the original.
        .expect(1, &["is no name of a bucket"]);
    servers
        .run(&["--source-max-rps=-1"])
        .expect(1, &["invalid value"]);
    // B7: a variable counts where no flag is given, and only there.
    let with_variable = |more: &[&str]| {
        let mut command = servers.command("run");
        command.env("SOURCE_MAX_RPS", "x").args(more);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(with_variable(&[]).contains("invalid value 'x' for '--source-max-rps"));
    assert_eq!(with_variable(&["--source-max-rps=0"]), "");
    let servers = servers.with(&["--dest-max-retries=1"]);
    let mut wrong = servers.command("run");
    wrong.env("FTP_PASSWORD", "wrong");
    assert_eq!(
        wrong.output().unwrap().status.code(),
        Some(0),
        "nothing was to be done"
    );
    let other = servers
        .command("run")
        .arg("--s3-prefix=other/")
        .output()
        .unwrap();
    let text = String::from_utf8(other.stderr).unwrap();
    assert!(text.contains("give another folder for it"), "{text}");
}
