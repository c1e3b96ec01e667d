//! Faults of the destination, by a real FTP server with hooks: no file is lost, truncated or wrongly deleted,
//! and the run says what is left.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::process::Stdio;

use serde_json::{Value, json};
use servers::{Servers, files};

/// What happens once or twice and passes costs no file: it is sent again from the source.
#[test]
fn what_passes_is_tried_again() {
    let Some(mut servers) = Servers::start("passes") else {
        return;
    };
    let text = |version: usize| format!("{version:04}").repeat(40_000);
    let faults: [(Value, &[&str]); 8] = [
        (json!({"reset_times": 2}), &[]),
        (json!({"stor_451_times": 2}), &[]),
        (json!({"stor_452_times": 2}), &[]),
        (json!({"stor_421_times": 2}), &[]),
        (json!({"drop_times": 2}), &[]),
        (json!({"stor_short_times": 2}), &[]),
        (json!({"rename_lost": true}), &[]),
        (json!({"stall_times": 1}), &["--dest-timeout=1"]),
    ];
    for (version, (fault, flags)) in faults.into_iter().enumerate() {
        servers.put("a", &text(version));
        servers.faults(fault.clone());
        let run = servers.run(flags);
        assert_eq!(run.code, Some(0), "{fault}: {}", run.text);
        run.expect(0, &["synced=1, failed=0"]);
        assert_eq!(servers.files(), files(&[("a", &text(version))]), "{fault}");
        let (left, stored) = (servers.faults_left(), servers.count("stor"));
        // That of 451 is counted by the files that were stored.
        let has_happened = left.is_empty() || (left == ["stor_451_times"] && stored == 3);
        assert!(has_happened, "{fault}: {left:?}, {stored} stored");
    }
    servers.delete("a");
    servers.put("b", "b");
    servers.faults(json!({"dele_450_times": 3}));
    servers.run(&[]).expect(0, &["deleted=1, failed=0"]);
    assert_eq!(servers.files(), files(&[("b", "b")]));
}

/// What does not pass leaves the old file as it was, and nothing of the new one.
#[test]
fn what_does_not_pass_leaves_the_old_file() {
    let Some(mut servers) = Servers::start("stays") else {
        return;
    };
    servers.put("a", "old");
    servers.run(&[]).expect(0, &["synced=1"]);
    let old = servers.files();
    let long = "0123456789".repeat(50_000);
    let faults: [(Value, &str); 8] = [
        (
            json!({"stor_451_times": 9}),
            "the destination refuses with FTP 451",
        ),
        (
            json!({"stor_452_times": 9}),
            "the destination refuses with FTP 452",
        ),
        (
            json!({"stor_421_times": 9}),
            "the destination refuses with FTP 421",
        ),
        (
            json!({"stor_short_times": 9}),
            "the destination has another length than was sent",
        ),
        (
            json!({"quota": 100_000}),
            "the destination refuses with FTP 552",
        ),
        (
            json!({"rename_refused": "all"}),
            "the destination refuses with FTP 550",
        ),
        // The old file steps aside, and has to come back.
        (
            json!({"rename_refused": "new"}),
            "the destination refuses with FTP 550",
        ),
        (
            json!({"rename_refused": "all", "rename_over_refused": true}),
            "the destination refuses with FTP 550",
        ),
    ];
    for (n, (fault, told)) in faults.into_iter().enumerate() {
        // Another version each time, so that it does not wait.
        servers.put("a", &format!("{long}{n}"));
        servers.faults(fault.clone());
        let run = servers.run(&["--dest-max-retries=2"]);
        assert_eq!(run.code, Some(2), "{fault}: {}", run.text);
        assert!(
            run.text.contains(&format!("\"a\": {told}")),
            "{fault}: {}",
            run.text
        );
        assert_eq!(servers.whole_files(), old, "{fault}");
        if !fault.to_string().contains("421") {
            assert_eq!(servers.files(), old, "{fault}: something is left");
        }
    }
    servers.put("a", "new");
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["synced=1"]);
    assert_eq!(servers.files(), files(&[("a", "new")]));
}

/// A full destination: what is gone from the source is deleted all the same, and so makes room.
#[test]
fn a_full_destination_is_made_room_at() {
    let Some(mut servers) = Servers::start("full") else {
        return;
    };
    servers.put("large", "x");
    servers.run(&[]).expect(0, &["synced=1"]);
    servers.delete("large");
    for n in 0..120 {
        servers.put(&format!("{n:03}"), "new");
    }
    servers.faults(json!({"quota": 1}));
    let run = servers.run(&["--dest-max-retries=1"]);
    run.expect(
        1,
        &[
            "100 files failed one after the other",
            "deleted=1, failed=0",
        ],
    );
    assert!(servers.files().is_empty(), "{:?}", servers.files());
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["synced=120, failed=0"]);
    assert_eq!(servers.files().len(), 120);
}

/// A server that does not know SIZE.
#[test]
fn a_server_without_sizes_is_served() {
    let Some(mut servers) = Servers::start("no-size") else {
        return;
    };
    servers.faults(json!({"no_size": true}));
    servers.put("a", "a");
    servers.put("b ", "b");
    servers.put("keep", "keep");
    servers.run(&[]).expect(0, &["synced=3, failed=0"]);
    servers.delete("a");
    servers.delete("b ");
    fs::remove_file(servers.root.join("base/a")).unwrap();
    servers.run(&[]).expect(0, &["deleted=2, failed=0"]);
    // B12 without sizes: by the reply alone.
    servers.put("denied", "x");
    servers.run(&[]).expect(0, &["synced=1"]);
    servers.delete("denied");
    servers.faults(json!({"no_size": true, "deny_delete": true}));
    servers
        .run(&["--dest-max-retries=1"])
        .expect(2, &["deleted=0, failed=1"]);
    assert_eq!(servers.files(), files(&[("denied", "x"), ("keep", "keep")]));
}

/// B14: whoever reads the destination sees whole files only, also while one is sent slowly.
#[test]
fn readers_never_see_a_part() {
    let Some(mut servers) = Servers::start("b14") else {
        return;
    };
    let text = |version: usize| format!("{version:04}").repeat(50_000);
    servers.put("a", &text(0));
    servers.run(&[]).expect(0, &["synced=1"]);
    let mut seen = BTreeSet::new();
    let mut parts = 0;
    for version in 1..4 {
        servers.put("a", &text(version));
        servers.faults(json!({"get_pause": 0.1}));
        let mut child = servers
            .command("run")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            let mut found = String::new();
            // Opened by its name, as a reader of the server would: it is there at any time.
            let mut file = fs::File::open(servers.root.join("base/a")).unwrap();
            file.read_to_string(&mut found).unwrap();
            assert!(
                [text(version - 1), text(version)].contains(&found),
                "half a file"
            );
            seen.insert(found[..4].to_owned());
            parts += usize::from(servers.files().len() > 1);
        }
        assert!(child.wait().unwrap().success());
        assert_eq!(servers.files(), files(&[("a", &text(version))]));
    }
    assert!(parts > 10, "no upload was looked at while it went on");
    assert!(seen.len() >= 3, "{seen:?}");
}

/// B8: a destination that hangs up, and workers that end, close everything once: the run ends in order.
#[test]
fn connections_that_end_twice_end_once() {
    let Some(mut servers) = Servers::start("b8") else {
        return;
    };
    for n in 0..8 {
        servers.put(&format!("{n}"), "x");
    }
    // After every file the server closes what the program will close again at its end.
    servers.faults(json!({"stor_421_times": 7}));
    let run = servers.run(&["--dest-workers=2", "--dest-max-retries=9"]);
    run.expect(0, &["synced=8, failed=0"]);
    assert!(!run.text.contains("panicked"), "{}", run.text);
    assert!(servers.count("login") >= 8, "nothing hung up");
    servers.delete("0");
    servers.run(&[]).expect(0, &["deleted=1"]);
    assert_eq!(servers.files().len(), 7);
}
