//! What is wrong with the question gets one clear error and exit code 2, and nothing on standard
//! output.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{Plimsoll, Scratch, skip};
use plimsoll_subjects::Subject;

/// Asks, and expects a refusal whose error has all of `words`.
fn check(arguments: &[&str], words: &[&str]) {
    let folder = Scratch::new("bad-input");
    Plimsoll::new(arguments)
        .in_folder(folder.path())
        .call()
        .refused(words);
    let left: Vec<_> = folder.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}");
}

#[test]
fn a_process_that_is_not_there() {
    // Above the largest pid_max that Linux allows.
    check(&["inspect", "4194305"], &["4194305"]);
    check(&["record", "--pid", "4194305"], &["4194305"]);
    check(
        &["inspect", "99999999999999999999"],
        &["99999999999999999999"],
    );
    check(
        &["inspect", "no-such-process"],
        &["no-such-process", "plimsoll ps"],
    );
    check(&["inspect", ""], &[]);
    check(&["inspect", "0"], &["0"]);
    check(&["inspect", "--", "-1"], &["-1"]);
}

#[test]
fn a_name_that_fits_several() {
    let subjects = [(); 2].map(|()| Subject::start("locked", &[]));
    let pids = subjects.each_ref().map(|subject| subject.pid.to_string());
    check(&["inspect", "locked"], &["locked", &pids[0], &pids[1]]);
}

#[test]
fn a_name_that_fits_one() {
    // A name that no other process has: that of a link. A copy may still be open for writing in a
    // child that another test is just starting, and can't be executed then.
    let folder = Scratch::new("named");
    let name = format!("only-{}", std::process::id());
    let program = folder.file(&name);
    std::fs::hard_link(Subject::executable("locked"), &program).unwrap();
    let subject = Subject::start_command(&name, std::process::Command::new(&program));
    let report = Plimsoll::new(["inspect", "--format", "json", &name]).call();
    assert_eq!(report.json()["subject"]["pid"], subject.pid);
}

#[test]
fn a_zombie() {
    let subject = Subject::start("zombie_parent", &[]);
    let zombie = subject.number("zombie").to_string();
    check(&["inspect", &zombie], &[&zombie, "zombie"]);
    check(&["record", "--pid", &zombie], &[&zombie, "zombie"]);
}

#[test]
fn a_kernel_thread() {
    let stat = std::fs::read_to_string("/proc/2/stat").unwrap_or_default();
    if !stat.contains("(kthreadd)") {
        return skip("a kernel thread", "kthreadd is not visible here");
    }
    check(&["inspect", "2"], &["kthreadd", "kernel thread"]);
}

#[test]
fn flags_that_are_wrong() {
    check(&["inspect", "--no-such-flag", "1"], &["--no-such-flag"]);
    check(&["no-such-verb"], &["no-such-verb"]);
    check(&["inspect", "--format", "yaml", "1"], &["yaml"]);
    check(&["run", "--interval", "0", "--", "true"], &["--interval"]);
    check(&["run", "--interval", "0ms", "--", "true"], &["--interval"]);
    check(
        &["run", "--interval", "soon", "--", "true"],
        &["--interval"],
    );
    check(
        &["record", "--interval", "0", "--pid", "1"],
        &["--interval"],
    );
    check(&["watch", "--interval", "0", "1"], &["--interval"]);
    check(&["run"], &["CMD"]);
    check(&["run", "--"], &["CMD"]);
    check(&["inspect"], &["PID"]);
    check(&["record"], &["--pid"]);
    check(&["report"], &["RECORDING"]);
}

#[test]
fn watch_without_a_terminal() {
    let subject = Subject::start("locked", &[]);
    check(&["watch", &subject.pid.to_string()], &["terminal"]);
    check(&["watch", "4194305"], &[]);
    check(&["watch"], &["PID"]);
}

#[test]
fn a_file_that_is_no_recording() {
    let folder = Scratch::new("no-recording");
    let missing = folder.file("missing.plimsoll");
    check(&["report", &missing], &["missing.plimsoll", "No such file"]);
    check(&["report", folder.path().to_str().unwrap()], &["directory"]);
    let foreign = folder.file("notes.txt");
    std::fs::write(&foreign, "dear diary, today\n".repeat(1000)).unwrap();
    check(&["report", &foreign], &["notes.txt", "not a recording"]);
    let empty = folder.file("empty.plimsoll");
    std::fs::write(&empty, "").unwrap();
    check(&["report", &empty], &["empty.plimsoll"]);
    // A cause is said once.
    let said = Plimsoll::new(["report", &missing]).call().stderr;
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}
