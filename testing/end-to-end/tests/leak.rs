//! `plimsoll leak`: all ways to drive a subject, what an interruption or an early end keeps, and exit
//! codes. Which programs are told to leak is in leak_truth.rs.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{
    Call, MIB, Plimsoll, Scratch, between, child_of, experiment, gap, number, rss, subject, text,
    until,
};
use plimsoll_subjects::Subject;

/// 64 KiB, what each cycle or action below leaks.
const STEP: f64 = 65_536.0;

fn leak(flags: &[&str], command: &[&str]) -> Call {
    let folder = Scratch::new("leak");
    let call = experiment("leak", flags, command);
    call.in_folder(folder.path()).call()
}

/// A server that grows by 64 KiB on each line, and the shell command that sends it one.
fn server() -> (Subject, String) {
    let subject = Subject::start("grower", &["--step-kib", "64"]);
    // Its input is a pipe: anybody who may write to it is a client.
    let request = format!("echo > /proc/{}/fd/0", subject.pid);
    (subject, request)
}

#[test]
fn requests_to_a_server_that_leaks() {
    let (server, request) = server();
    let pid = server.pid.to_string();
    let flags = [
        "--each",
        &request,
        "--control",
        "true",
        "-p",
        &pid,
        "--settle",
        "1ms",
    ];
    let more = [
        "--iterations",
        "150",
        "--unit",
        "request",
        "--budget",
        "100MiB",
    ];
    let json = leak(&[&flags[..], &more].concat(), &[]).verdict(1);
    assert_eq!(text(&json, "/drive"), "actions");
    assert_eq!(text(&json, "/unit"), "request");
    assert_eq!(text(&json, "/own/class"), "growing");
    between(
        &json,
        "/own/slope_bytes_per_unit/value",
        0.97 * STEP,
        1.03 * STEP,
    );
    between(
        &json,
        "/own/control_slope_bytes_per_unit/value",
        -500.0,
        500.0,
    );
    // 100 MiB less what it is at the start, in steps of 64 KiB.
    between(&json, "/own/budget_at_units/value", 1500.0, 1640.0);
    assert!(text(&json, "/verdict").contains("per request"));
    assert!(server.finish().success());
}

/// What the control arm does by itself is no leak of the work.
#[test]
fn what_the_control_arm_grows_by_is_taken_off() {
    let (server, request) = server();
    let pid = server.pid.to_string();
    let flags = [
        "--each",
        &request,
        "--control",
        &request,
        "-p",
        &pid,
        "--settle",
        "1ms",
    ];
    let json = leak(&[&flags[..], &["--iterations", "150"]].concat(), &[]);
    assert_ne!(json.code, Some(1), "{json:?}");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    between(
        &json,
        "/own/control_slope_bytes_per_unit/value",
        0.97 * STEP,
        1.03 * STEP,
    );
    between(
        &json,
        "/own/slope_bytes_per_unit/value",
        -0.05 * STEP,
        0.05 * STEP,
    );
}

#[test]
fn actions_that_fail() {
    let (server, request) = server();
    let pid = server.pid.to_string();
    let each = "echo no such item >&2; exit 4";
    let call = leak(&["--each", each, "-p", &pid], &[]);
    call.refused(&["action 1 failed", "no such item", "4"]);
    let call = leak(&["--each", &request, "--control", each, "-p", &pid], &[]);
    call.refused(&["control", "no such item"]);
    // Later ones end the work: what was seen until then is judged.
    let each = format!("{request}; [ {{i}} -lt 30 ] || {{ echo worn out >&2; exit 1; }}");
    let call = leak(&["--each", &each, "-p", &pid, "--settle", "1ms"], &[]);
    let json = call.verdict(3);
    assert_eq!(number(&json, "/own/points"), 29.0);
    let told = gap(&json, "the action");
    assert!(
        told.contains("action 30 failed") && told.contains("worn out"),
        "{told}"
    );
    assert!(
        !json["gaps"].to_string().contains("interrupted"),
        "{json:#}"
    );
}

#[test]
fn a_process_that_ends_half_way() {
    let (mut server, request) = server();
    let pid = server.pid.to_string();
    let each = format!("if [ {{i}} -lt 140 ]; then {request}; else kill -KILL {pid}; fi");
    let flags = [
        "--each",
        &each,
        "-p",
        &pid,
        "--settle",
        "20ms",
        "--iterations",
        "400",
    ];
    let json = leak(&flags, &[]).verdict(1);
    assert!(!server.wait().success());
    between(&json, "/own/points", 139.0, 140.0);
    between(
        &json,
        "/own/slope_bytes_per_unit/value",
        0.97 * STEP,
        1.03 * STEP,
    );
    assert!(gap(&json, "the process").contains("it ended in cycle"));
    // One that ends by itself with an error.
    let script = format!(
        "{} --count 150 --shape leak; echo broken >&2; exit 7",
        subject("cycles")
    );
    let json = leak(&["--iterations", "400"], &["sh", "-c", &script]).verdict(1);
    let told = gap(&json, "the command");
    assert!(
        told.contains("exit code 7") && told.contains("broken"),
        "{told}"
    );
    assert_eq!(number(&json, "/own/points"), 150.0);
}

/// A second is a unit of work; so short a look settles nothing about growth.
#[test]
fn a_running_process_over_time() {
    let still = Subject::start("steady_anonymous", &["--mib", "16"]);
    let flags = ["-p", &still.pid.to_string(), "--duration", "3s"];
    let json = leak(&flags, &[]).verdict(0);
    assert_eq!(text(&json, "/drive"), "time");
    assert_eq!(text(&json, "/unit"), "second");
    assert_eq!(text(&json, "/own/class"), "flat");
    between(&json, "/own/points", 10.0, 31.0);
    leak(&["-p", "4194305"], &[]).refused(&["4194305"]);
}

#[test]
fn lines_of_output_are_units_of_work() {
    let cycles = subject("cycles");
    let command = [&cycles, "--count", "{i}", "--shape", "leak", "--lines"];
    let flags = ["--work-from-log", r"^cycle (\d+)", "--iterations", "3000"];
    // The command does not wait for its lines to be read, so that some are read together; it leaves room for most.
    let paced = [&command[..], &["--pause-us", "500"]].concat();
    let json = leak(&flags, &paced).verdict(1);
    assert_eq!(text(&json, "/drive"), "log");
    assert_eq!(text(&json, "/unit"), "unit");
    between(
        &json,
        "/own/slope_bytes_per_unit/value",
        0.9 * STEP,
        1.1 * STEP,
    );
    let last = json["series"].as_array().unwrap().last().unwrap();
    between(last, "/work_units", 1500.0, 3000.0);
    let flags = ["--work-from-log", "no such line", "--iterations", "20"];
    leak(&flags, &command).refused(&["no unit of work was seen", "no line"]);
}

#[test]
fn as_many_units_as_it_takes_to_tell() {
    let cycles = subject("cycles");
    let command = [
        &cycles,
        "--count",
        "{i}",
        "--shape",
        "leak",
        "--step-kib",
        "16",
    ];
    let json = leak(&["--budget", "64MiB"], &command).verdict(1);
    assert_eq!(number(&json, "/own/points"), 200.0);
    between(&json, "/own/budget_at_units/value", 3900.0, 4096.0);
    // What does not listen is not asked again and again.
    let deaf = [&cycles, "--count", "30", "--shape", "leak"];
    let json = leak(&[], &deaf).verdict(3);
    assert_eq!(number(&json, "/own/points"), 30.0);
    assert_eq!(json["own"]["doubts"][0]["kind"], "too_short");
}

#[test]
fn an_interruption_keeps_what_was_seen() {
    let cycles = subject("cycles");
    let command = [&cycles, "--count", "{i}", "--shape", "leak"];
    let folder = Scratch::new("leak-interrupted");
    let running = experiment("leak", &["--iterations", "100000"], &command)
        .in_folder(folder.path())
        .start();
    until("200 cycles were done", || {
        child_of(running.pid(), "cycles").is_some_and(|pid| rss(pid) > 16 * MIB)
    });
    running.signal(libc::SIGINT);
    let json = running.end().verdict(1);
    assert_eq!(text(&json, "/own/class"), "growing");
    assert!(gap(&json, "the rest of the work").contains("interrupted after"));
    // Before anything was seen nothing is claimed.
    let running = experiment("leak", &[], &["sleep", "1000"]).start();
    until("it runs", || child_of(running.pid(), "sleep").is_some());
    running.signal(libc::SIGINT);
    let json = running.end().verdict(3);
    assert_eq!(json["own"]["doubts"][0]["kind"], "no_points");
}

#[test]
fn what_cannot_be_judged_is_refused() {
    leak(&[], &["true"]).refused(&["no unit of work was seen", "plimsoll mark"]);
    let failing = ["sh", "-c", "echo out of luck >&2; exit 5"];
    leak(&[], &failing).refused(&["exit code 5", "out of luck"]);
    leak(&[], &["/nonexistent/program"]).refused(&["/nonexistent/program"]);
    leak(&["--iterations", "0"], &["true"]).refused(&["--iterations"]);
    leak(&["--budget=-5MiB"], &["true"]).refused(&["--budget", "negative"]);
    leak(&["--ignore-below", "NaN"], &["true"]).refused(&["--ignore-below"]);
    leak(&["--confidence", "2"], &["true"]).refused(&["0.999"]);
    leak(&["--each", "true"], &[]).refused(&["--pid"]);
    leak(&["--work-from-log", "("], &["true"]).refused(&["--work-from-log"]);
    Plimsoll::new(["leak"]).call().refused(&["--pid"]);
}
