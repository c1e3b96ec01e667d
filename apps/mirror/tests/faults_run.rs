//! Faults of the run itself and of its state: signals, a full disk, a lock, damage.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use servers::{Run, Servers, files};

fn signal(child: &Child) {
    // SAFETY: a signal to a child that was not waited for yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
}

/// Runs until a line of the log has `mark`, or `is_there` says so, and ends it by a signal there.
fn end_at(servers: &Servers, flags: &[&str], at: At) -> Run {
    let mut child = servers
        .command("run")
        .arg("--log-level=debug")
        .args(flags)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    match at {
        At::Line(mark) => {
            while !text.contains(mark) {
                assert_ne!(
                    out.read_line(&mut text).unwrap(),
                    0,
                    "no {mark:?} in {text}"
                );
            }
        }
        At::Files(is_there) => {
            while !is_there(servers) {
                assert!(child.try_wait().unwrap().is_none(), "it ended before");
                std::thread::yield_now();
            }
        }
    }
    signal(&child);
    out.read_to_string(&mut text).unwrap();
    let code = child.wait().unwrap().code();
    Run { code, text }
}

enum At<'a> {
    Line(&'a str),
    Files(&'a dyn Fn(&Servers) -> bool),
}

/// B1, B16: a signal in any phase ends the run with code 2; what was only not done yet is no error, and the
/// next run does it.
#[test]
fn a_signal_in_any_phase_leaves_no_error() {
    let Some(mut servers) = Servers::start("signals") else {
        return;
    };
    for n in 0..30 {
        servers.put(&format!("{n:02}"), "x");
    }
    let says_no_error = |servers: &Servers, run: &Run, left: &str| {
        run.expect(2, &["was ended by a signal: failed=0"]);
        let status = servers.state(&["status"]);
        status.expect(2, &["ERROR=0", left]);
    };
    // The scan: pages come slowly.
    servers.faults(json!({"page": 5, "list_pause": 0.1}));
    let run = end_at(&servers, &[], At::Line("START_SCAN"));
    says_no_error(&servers, &run, "never listed");
    assert!(servers.files().is_empty());
    // Between scan and upload.
    servers.faults(json!({"get_wait": 0.1}));
    let run = end_at(&servers, &[], At::Line("AFTER_PUBLISH"));
    says_no_error(&servers, &run, "SYNCED=");
    // The upload, in the middle of files.
    servers.faults(json!({"get_pause": 0.05}));
    let some = |servers: &Servers| !servers.whole_files().is_empty();
    // What is broken off at its only try has failed for no reason of its own.
    let flags = ["--dest-workers=2", "--dest-max-retries=1"];
    let run = end_at(&servers, &flags, At::Files(&some));
    says_no_error(&servers, &run, "DELETED_IN_SOURCE=0");
    let uploaded = servers.whole_files().len();
    assert!((1..30).contains(&uploaded), "{uploaded}");
    assert_eq!(servers.files().len(), uploaded, "a part is left");
    // While a server refuses, and the program waits to try again.
    servers.faults(json!({"get_503_times": 1000}));
    let run = end_at(
        &servers,
        &["--dest-max-retries=1000"],
        At::Line("AFTER_PUBLISH"),
    );
    says_no_error(&servers, &run, "DELETED_IN_SOURCE=0");
    servers.faults(json!({}));
    servers
        .run(&[])
        .expect(0, &[&format!("synced={}", 30 - uploaded)]);
    assert_eq!(servers.files().len(), 30);
    // The deletion.
    for n in 0..25 {
        servers.delete(&format!("{n:02}"));
    }
    servers.faults(json!({"dele_wait": 0.05}));
    let flags = [
        "--max-delete=100",
        "--dest-workers=1",
        "--dest-max-retries=1",
    ];
    let fewer = |servers: &Servers| servers.files().len() < 30;
    let run = end_at(&servers, &flags, At::Files(&fewer));
    says_no_error(&servers, &run, "NEW=0");
    let left = servers.files().len();
    assert!((6..30).contains(&left), "{left}");
    servers.faults(json!({}));
    let run = servers.run(&["--max-delete=100"]);
    run.expect(0, &[&format!("deleted={}, failed=0", left - 5)]);
    assert_eq!(servers.files().len(), 5);
}

/// A second signal ends a run at once that waits for a server, and costs no more than a crash.
#[test]
fn a_second_signal_ends_a_run_that_hangs() {
    let Some(mut servers) = Servers::start("second") else {
        return;
    };
    servers.put("a", "a");
    servers.faults(json!({"get_wait": 20}));
    let mut child = servers
        .command("run")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while servers.count("waiting") == 0 {
        std::thread::yield_now();
    }
    // The first is noted before the second can count as one.
    while child.try_wait().unwrap().is_none() {
        signal(&child);
        std::thread::yield_now();
    }
    assert_eq!(servers.count("waiting"), 1, "it waited for the server");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    servers.faults(json!({}));
    servers.run(&[]).expect(0, &["synced=1"]);
    assert_eq!(servers.files(), files(&[("a", "a")]));
}

/// A disk that is full at any point of a run: nothing is lost, and a run with room does the rest.
#[test]
fn a_full_disk_of_the_state_loses_nothing() {
    let Some(mut servers) = Servers::start("disk") else {
        return;
    };
    let mut failed = 0;
    for (round, room) in (0..16).map(|n| (n, n % 8 * 4096)) {
        for n in 0..60 {
            let name = format!("{:02}-{}", (round * 7 + n) % 90, "long".repeat(40));
            servers.put(&name, &format!("{round}-{n}"));
        }
        servers.delete(&format!("{:02}-{}", round * 7, "long".repeat(40)));
        let before = servers.whole_files();
        let run = run_in_room(&servers, room);
        if run.code != Some(0) {
            failed += 1;
            println!(
                "room for {room} bytes: {}",
                run.text.lines().last().unwrap()
            );
            assert_eq!(run.code, Some(1), "{}", run.text);
            assert!(
                run.text.contains("No space left") || run.text.contains("File too large"),
                "{}",
                run.text
            );
        }
        // Nothing is deleted before it is known durably that it may be.
        let after = servers.whole_files();
        assert!(
            after.len() + 1 >= before.len(),
            "{} of {}",
            after.len(),
            before.len()
        );
        servers.run(&[]).expect(0, &["completed successfully"]);
        servers.state(&["check"]).expect(0, &["the state is whole"]);
        let expected = round * 7;
        assert!(
            !servers
                .files()
                .contains_key(&format!("{expected:02}-{}", "long".repeat(40)))
        );
    }
    println!("{failed} of 16 runs had no room");
    assert!(
        (3..16).contains(&failed),
        "the disk was never full, or always: {failed}"
    );
}

/// A run whose state is on a disk with so many bytes left. A file system of its own where one can be mounted;
/// else a limit of the size of files, said aloud.
fn run_in_room(servers: &Servers, room: usize) -> Run {
    let state = servers.folder.path("state");
    let kept = servers.folder.path("kept");
    fs::create_dir_all(&state).unwrap();
    fs::create_dir_all(&kept).unwrap();
    let used: u64 = fs::read_dir(&state)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .metadata()
                .unwrap()
                .len()
                .next_multiple_of(4096)
        })
        .sum();
    // The state goes onto a small file system, and what that holds at the end comes back.
    const SCRIPT: &str = r#"
        kept=$0 state=$1 size=$2 room=$3
        shift 3
        mount -t tmpfs -o size=$size,mode=0700 none $room || exit 99
        cp -a $state/. $room && mount --bind $room $state || exit 99
        "$@"
        code=$?
        cp -a $room/. $kept || exit 99
        exit $code"#;
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    let mut probe = namespace();
    probe.args(["mount", "-t", "tmpfs", "none", "/tmp"]);
    if probe.output().is_ok_and(|output| output.status.success()) {
        let size = used as usize + room.next_multiple_of(4096);
        let place = servers.folder.path("room");
        fs::create_dir_all(&place).unwrap();
        let mut command = namespace();
        command
            .args(["bash", "-c", SCRIPT])
            .args([&kept, &state])
            .arg(size.to_string())
            .arg(&place)
            .arg(env!("CARGO_BIN_EXE_mirror"));
        let output = servers.command_of(command, "run").output().unwrap();
        let run = Run::of(output);
        assert_ne!(run.code, Some(99), "{}", run.text);
        fs::remove_dir_all(&state).unwrap();
        fs::rename(&kept, &state).unwrap();
        return run;
    }
    println!("no mount namespace: files are limited in size instead of a full disk");
    // The files of the state are smaller than its blocks.
    run_with_files_below(servers, room as u64 / 8, &[])
}

/// A run in which no file may have more bytes.
fn run_with_files_below(servers: &Servers, bytes: u64, flags: &[&str]) -> Run {
    let mut command = servers.command("run");
    command.args(flags);
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: both calls only set numbers of the child, and are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            Ok(())
        });
    }
    Run::of(command.output().unwrap())
}

/// A journal that can't be written any more, after uploads that it does not know of: the run ends, and what was
/// uploaded is not forgotten; it is deleted when the source has it no more.
#[test]
fn a_journal_that_can_not_be_written_ends_the_run() {
    let Some(mut servers) = Servers::start("journal") else {
        return;
    };
    // The same value for all makes the delta small, and failures make the journal large.
    for n in 0..200 {
        servers.put(&format!("{n:03}"), "x");
    }
    servers.faults(json!({"get_503_times": 60}));
    let run = run_with_files_below(&servers, 850, &["--dest-max-retries=1"]);
    run.expect(1, &["write the journal", "File too large"]);
    let uploaded = servers.whole_files().len();
    assert!(uploaded > 30, "{uploaded}");
    for n in 0..30 {
        servers.delete(&format!("{n:03}"));
    }
    let run = servers.run(&["--max-delete=30"]);
    run.expect(0, &["deleted=30, failed=0"]);
    assert_eq!(servers.files().len(), 170);
}

/// Two runs at once: the second one says who is running, and changes nothing.
#[test]
fn a_lock_that_is_held_is_told() {
    let Some(mut servers) = Servers::start("lock") else {
        return;
    };
    servers.put("a", "a");
    servers.faults(json!({"get_wait": 1}));
    let first = servers
        .command("run")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while servers.count("login") == 0 {
        std::thread::yield_now();
    }
    let told = format!("process {} is running on this state", first.id());
    servers.run(&[]).expect(1, &[&told]);
    let mut first = first;
    assert!(first.wait().unwrap().success());
    servers.run(&[]).expect(0, &["completed successfully"]);
    assert_eq!(servers.files(), files(&[("a", "a")]));
}

/// What spoils a file, by its name and its bytes.
type Spoil<'a> = &'a dyn Fn(&str, &mut Vec<u8>);

/// Any file of the state that is damaged, cut off, foreign or missing is told by its name; nothing is uploaded
/// or deleted then.
#[test]
fn a_damaged_state_is_told_and_touches_nothing() {
    let Some(mut servers) = Servers::start("damage") else {
        return;
    };
    for n in 0..20 {
        servers.put(&format!("{n:02}"), "x");
    }
    servers.run(&[]).expect(0, &["synced=20"]);
    servers.delete("00");
    servers.put("new", "x");
    let expected = servers.files();
    let state = servers.folder.path("state");
    let copy = servers.folder.path("copy");
    let copy_of = |from: &std::path::Path, to: &std::path::Path| {
        let _ = fs::remove_dir_all(to);
        let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(done.unwrap().success());
    };
    copy_of(&state, &copy);
    let names: Vec<String> = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // The copy is read by a repair alone.
        .filter(|name| !matches!(&**name, "lock" | "MANIFEST.copy"))
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    // Of a journal, the last frame may be what a crash left: the first one has others behind it.
    let flip = |name: &str, bytes: &mut Vec<u8>| {
        let at = match name {
            "MANIFEST" => 0,
            journal if journal.starts_with("journal") => 36,
            _ => bytes.len() / 2,
        };
        bytes[at] ^= 0x10;
    };
    let foreign = |_: &str, bytes: &mut Vec<u8>| *bytes = b"#!/bin/sh\nexit 1\n".repeat(10);
    let damage: [(&str, Spoil); 4] = [
        ("with a bit changed", &flip),
        ("cut off in its head", &|_, bytes| bytes.truncate(10)),
        ("empty", &|_, bytes| bytes.clear()),
        ("foreign", &foreign),
    ];
    for name in &names {
        for (what, spoil) in &damage {
            let mut bytes = fs::read(state.join(name)).unwrap();
            spoil(name, &mut bytes);
            fs::write(state.join(name), bytes).unwrap();
            let run = servers.run(&[]);
            assert_eq!(run.code, Some(1), "{name} {what}: {}", run.text);
            assert!(
                run.text.contains(name.as_str()),
                "{name} {what}: {}",
                run.text
            );
            assert_eq!(servers.files(), expected, "{name} {what}");
            copy_of(&copy, &state);
        }
        if name != "MANIFEST" {
            fs::remove_file(state.join(name)).unwrap();
            let run = servers.run(&[]);
            assert_eq!(run.code, Some(1), "{name} is missing: {}", run.text);
            assert!(run.text.contains(name.as_str()), "{}", run.text);
            copy_of(&copy, &state);
        }
    }
    servers.run(&[]).expect(0, &["synced=1", "deleted=1"]);
}
