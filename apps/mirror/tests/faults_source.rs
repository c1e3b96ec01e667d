//! Faults of the source, by a real S3 server: whatever it sends, both sides end equal or the run says what is
//! left, and nothing is deleted on a listing that is not whole.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use servers::{Run, Servers, files, ftpd};

/// Listings that end with a failure, and what is told of them.
#[test]
fn a_listing_with_a_fault_changes_nothing() {
    let Some(mut servers) = Servers::start("listing") else {
        return;
    };
    for key in ["a", "b", "c", "d"] {
        servers.put(key, key);
    }
    servers.run(&[]).expect(0, &["synced=4"]);
    let expected = servers.files();
    servers.delete("a");
    servers.put("e", "e");
    let manifest = std::fs::read(servers.folder.path("state/MANIFEST")).unwrap();
    let faults: [(Value, &str); 7] = [
        (json!({"list_500_times": 9}), "status 500 InternalError"),
        (json!({"list_503_times": 9}), "status 503 SlowDown"),
        (json!({"list_cut": true}), "list s3://bucket/"),
        (json!({"list_short": true}), "list s3://bucket/"),
        (json!({"list_loop": true}), "the listing can't be trusted"),
        (
            json!({"list_loop": true, "page": 1}),
            "the listing can't be trusted",
        ),
        (json!({"list_reversed": "twice"}), "more than once"),
    ];
    for (fault, told) in faults {
        servers.faults(fault.clone());
        let flags = ["--source-max-retries=2", "--allow-mass-delete"];
        let run = servers.run(&flags);
        assert_eq!(run.code, Some(1), "{fault}: {}", run.text);
        assert!(run.text.contains(told), "{fault}: {}", run.text);
        assert_eq!(servers.files(), expected, "{fault}");
        let now = std::fs::read(servers.folder.path("state/MANIFEST")).unwrap();
        assert_eq!(now, manifest, "{fault}");
    }
    // What passes by itself is tried again.
    for fault in [json!({"list_500_times": 2}), json!({"list_503_times": 2})] {
        servers.faults(fault);
        let mut plan = servers.command("plan");
        let plan = Run::of(plan.output().unwrap());
        plan.expect(2, &["would upload 1 files of 1 bytes, and delete 1"]);
    }
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["synced=1", "deleted=1"]);
    let keys: Vec<String> = servers.files().into_keys().collect();
    assert_eq!(keys, ["b", "c", "d", "e"]);
}

/// B15: a GET that fails is tried again; what arrives is the whole object or nothing.
#[test]
fn an_object_that_does_not_arrive_whole_is_got_again() {
    let Some(mut servers) = Servers::start("b15") else {
        return;
    };
    let text = |version: usize| format!("{version:04}").repeat(40_000);
    let faults = [
        "get_500_times",
        "get_503_times",
        "get_cut_times",
        "get_short_times",
        "get_small_length_times",
    ];
    for (version, fault) in faults.into_iter().enumerate() {
        servers.put("a", &text(version));
        servers.faults(json!({fault: 2}));
        let run = servers.run(&[]);
        run.expect(0, &["synced=1, failed=0"]);
        assert_eq!(servers.files(), files(&[("a", &text(version))]), "{fault}");
        assert_eq!(servers.count("get"), 3, "{fault}");
        // More often than it is tried: the old file stays, and the next run has the new one.
        servers.put("a", "newer");
        servers.faults(json!({fault: 9}));
        let run = servers.run(&["--dest-max-retries=2"]);
        run.expect(2, &["failed=1", "\"a\": "]);
        assert_eq!(servers.files(), files(&[("a", &text(version))]), "{fault}");
        servers.faults(json!({}));
        servers.run(&[]).expect(0, &["synced=1"]);
        assert_eq!(servers.files(), files(&[("a", "newer")]), "{fault}");
    }
}

/// The object is another one when it is asked for, or gone, or becomes another one while it is sent.
#[test]
fn an_object_that_changes_under_way_is_not_stored_under_its_old_hash() {
    let Some(mut servers) = Servers::start("changing") else {
        return;
    };
    servers.put("a", "old");
    servers.put("keep", "keep");
    servers.run(&[]).expect(0, &["synced=2"]);
    let old = files(&[("a", "old"), ("keep", "keep")]);

    servers.put("a", "listed");
    servers.faults(json!({"get_hook": {"put": "a", "text": "changed before it was got"}}));
    let run = servers.run(&[]);
    run.expect(
        2,
        &["\"a\": it was changed since it was listed", "failed=1"],
    );
    assert_eq!(servers.count("get"), 1, "asking again would not help");
    assert_eq!(servers.files(), old);
    servers.run(&[]).expect(0, &["synced=1"]);
    let text = "changed before it was got";
    assert_eq!(servers.files(), files(&[("a", text), ("keep", "keep")]));

    // While it is sent: the one that was listed arrives, and the next run sends the other.
    let long = "0123456789".repeat(1000);
    servers.put("a", &long);
    servers.faults(json!({"get_pause": 0.05, "get_during": {"put": "a", "text": "during"}}));
    servers.run(&[]).expect(0, &["synced=1"]);
    assert_eq!(servers.files(), files(&[("a", &long), ("keep", "keep")]));
    servers.faults(json!({}));
    servers
        .run(&[])
        .expect(0, &["TEMP_DELETED→NEW=1", "synced=1"]);
    assert_eq!(servers.files(), files(&[("a", "during"), ("keep", "keep")]));

    // Gone: nothing is uploaded, and the next listing says that it is to be deleted.
    servers.put("a", "again");
    servers.faults(json!({"get_hook": {"delete": "a"}}));
    let run = servers.run(&[]);
    run.expect(2, &["\"a\": the source has it no more", "failed=1"]);
    assert_eq!(servers.files(), files(&[("a", "during"), ("keep", "keep")]));
    servers.run(&[]).expect(0, &["deleted=1"]);
    assert_eq!(servers.files(), files(&[("keep", "keep")]));
}

/// An object that the source refuses is asked for once, and is an error of its own.
#[test]
fn a_refused_object_is_not_asked_for_again_and_again() {
    let Some(mut servers) = Servers::start("refused") else {
        return;
    };
    servers.put("a", "a");
    servers.faults(json!({"get_403": true}));
    let run = servers.run(&[]);
    run.expect(
        2,
        &["\"a\": the source refuses with HTTP 403", "AccessDenied"],
    );
    assert_eq!(servers.count("get"), 1);
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["synced=1"]);
}

/// B10: an object that failed and is gone from the source then is no error for ever.
#[test]
fn an_error_whose_object_is_gone_ends() {
    let Some(mut servers) = Servers::start("b10") else {
        return;
    };
    servers.put("a", "a");
    servers.put("keep", "keep");
    servers.faults(json!({"get_403": true}));
    servers.run(&[]).expect(2, &["failed=2"]);
    servers.delete("a");
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["completed successfully"]);
    servers
        .state(&["status"])
        .expect(0, &["SYNCED=1, NEW=0, ERROR=0, DELETED_IN_SOURCE=0"]);
    assert_eq!(servers.files(), files(&[("keep", "keep")]));
}

/// A clock of either side that is hours off: S3 refuses the time of such a request, and says its own.
#[test]
fn a_clock_that_is_wrong_stops_nothing() {
    let Some(mut servers) = Servers::start("clock") else {
        return;
    };
    let mut expected = BTreeMap::new();
    for (round, ahead) in [7200, -7200, 90_000].into_iter().enumerate() {
        let key = format!("{round}");
        servers.put(&key, &key);
        expected.insert(key.clone(), key);
        servers.faults(json!({"clock_ahead": ahead}));
        servers.run(&[]).expect(0, &["synced=1"]);
        assert_eq!(servers.files(), expected, "{ahead} s");
    }
}

/// The clock of this machine jumps by years between runs, by libfaketime: nothing is taken for new, what failed
/// does not wait for ever, and requests are signed with the time of the server.
#[test]
fn a_clock_that_jumps_between_runs_loses_nothing() {
    let Some(mut servers) = Servers::start("jump") else {
        return;
    };
    let library = format!(
        "usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    let library = ftpd::unpacked().join(library);
    let run_at = |servers: &Servers, offset: &str, more: &[&str]| {
        let mut command = servers.command("run");
        command.env("LD_PRELOAD", &library).env("FAKETIME", offset);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Run::of(command.args(more).output().unwrap())
    };
    let shown = Command::new("date")
        .env("LD_PRELOAD", &library)
        .env("FAKETIME", "-20y")
        .arg("+%Y")
        .output();
    let is_faked =
        shown.is_ok_and(|shown| shown.stdout.starts_with(b"20") && shown.stderr.is_empty());
    if !library.exists() || !is_faked {
        println!(
            "SKIPPED: no libfaketime; tests/servers/fetch.sh target/mirror-servers fetches it"
        );
        return;
    }
    servers.put("a", "a");
    servers.put("b", "b");
    servers.faults(json!({"clock_ahead": 0, "get_403": true}));
    // Ten years ahead two fail.
    let run = run_at(&servers, "+10y", &[]);
    run.expect(2, &["failed=2", " [info] "]);
    let year: u32 = run.text[..4].parse().unwrap();
    assert!(year >= 2030, "the clock was not faked: {}", run.text);
    servers.faults(json!({"clock_ahead": 0}));
    // Now, which is long before they failed, they are tried again.
    servers.run(&[]).expect(0, &["synced=2, failed=0"]);
    // Ten years back and ahead there is nothing to do.
    for offset in ["-10y", "+10y"] {
        let run = run_at(&servers, offset, &[]);
        run.expect(0, &["TEMP_DELETED→SYNCED=2, TEMP_DELETED→NEW=0"]);
    }
    assert_eq!(servers.files(), files(&[("a", "a"), ("b", "b")]));
}
