//! A run cut into stages: by marks from inside, and by lines of output. What each stage took is its
//! own: its peak is not that of the stage before.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{Call, MIB, Plimsoll, Scratch, executable, program, skip, until};
use serde_json::Value;

/// Marks as any program can, in a few lines: takes 40 MiB, gives them back, and goes on.
const PYTHON: &str = r#"
import mmap, os, socket
marks = socket.socket(socket.AF_UNIX)
marks.connect(os.environ["PLIMSOLL_MARKS"])
def mark(label):
    marks.sendall(label.encode() + b"\n")
    assert marks.recv(3) == b"ok\n"
mark("load")
held = mmap.mmap(-1, 40 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, len(held), 4096):
    held[at] = 1
mark("free")
held.close()
mark("after")
print("done")
"#;

fn run(folder: &Scratch, flags: &[&str], command: &[&str]) -> Call {
    let given = ["run", "--recording", "run.plimsoll", "--overwrite"];
    let arguments = given.iter().chain(flags).chain(&["--"]).chain(command);
    Plimsoll::new(arguments).in_folder(folder.path()).call()
}

fn report(folder: &Scratch, format: &str) -> Call {
    Plimsoll::new(["report", "--format", format, "run.plimsoll"])
        .in_folder(folder.path())
        .call()
}

fn stages(report: &Value) -> Vec<&Value> {
    report["stages"].as_array().unwrap().iter().collect()
}

fn labels(report: &Value) -> Vec<&str> {
    let stages = stages(report);
    let labels = stages.iter().map(|stage| stage["label"].as_str().unwrap());
    labels.collect()
}

fn bytes(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn a_script_marks_its_stages() {
    let folder = Scratch::new("stages-script");
    let plimsoll = executable().to_str().unwrap();
    let script = format!(
        "'{plimsoll}' mark fetch && true\n'{plimsoll}' mark 'a <b>\"build\"' && true\nexit 5"
    );
    let call = run(&folder, &["--stage-lines"], &["sh", "-c", &script]);
    assert_eq!(call.code, Some(5), "{call:?}");
    let report_json = report(&folder, "json").json();
    assert_eq!(labels(&report_json), ["(start)", "fetch", "a <b>\"build\""]);
    let stages = stages(&report_json);
    for (before, after) in stages.iter().zip(&stages[1..]) {
        assert_eq!(before["end_seconds"], after["start_seconds"]);
        assert_eq!(before["at_end"], after["at_start"]);
    }
    assert_eq!(stages[1]["source"], "mark");
    // The shell alone: `plimsoll mark` is not counted, which is larger.
    for stage in &stages {
        assert!(bytes(&stage["at_end"]["rss_bytes"]) < 8 * MIB, "{stage}");
    }
    // A line for each stage, with its figures.
    let lines: Vec<&str> = call
        .stderr
        .lines()
        .filter(|line| line.starts_with("MEMSTATS stage="))
        .collect();
    assert_eq!(lines.len(), 3, "{}", call.stderr);
    assert!(
        lines[1].starts_with("MEMSTATS stage=fetch rss="),
        "{lines:?}"
    );
    assert!(lines[1].contains(" peak="), "{lines:?}");
    assert!(lines[2].contains(r#"stage="a <b>\"build\"" "#), "{lines:?}");
    assert!(call.stderr.contains("\nfetch "), "{}", call.stderr);
    let page = report(&folder, "html").ok();
    assert!(page.contains("a &lt;b&gt;&quot;build&quot;"));
}

#[test]
fn each_stage_has_its_own_peak() {
    let Some(python) = program(&["python3"]) else {
        skip("each_stage_has_its_own_peak", "no python3");
        return;
    };
    let folder = Scratch::new("stages-python");
    let call = run(&folder, &[], &[python.to_str().unwrap(), "-c", PYTHON]);
    assert_eq!(call.code, Some(0), "{call:?}");
    assert_eq!(call.stdout, "done\n");
    let json = report(&folder, "json").json();
    assert_eq!(labels(&json), ["(start)", "load", "free", "after"]);
    let stages = stages(&json);
    let [load, free, after] = [1, 2, 3].map(|place: usize| stages[place]);
    let base = bytes(&load["at_start"]["rss_bytes"]);
    let peak = |stage: &Value| bytes(&stage["peak_rss_bytes"]);
    assert!(peak(load) >= base + 40 * MIB, "{load}");
    assert!(load["change_bytes"].as_i64().unwrap() >= 40 << 20, "{load}");
    assert!(
        load["own_change_bytes"].as_i64().unwrap() >= 40 << 20,
        "{load}"
    );
    assert!(
        free["change_bytes"].as_i64().unwrap() <= -(40 << 20),
        "{free}"
    );
    let refused = json["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .any(|gap| gap["what"].as_str().unwrap().starts_with("peaks inside"));
    if refused {
        skip(
            "the peak of a later stage",
            "the kernel resets no peak here",
        );
    } else {
        // The kernel's mark of this process was reset: what was before is not in it.
        assert!(peak(after) < base + 20 * MIB, "{after}");
    }
    assert_eq!(load["peak_rss_at_most_bytes"], Value::Null, "{load}");
    let lifecycle = &json["lifecycle"];
    assert_eq!(lifecycle["max_stage"], "load");
    let freed = lifecycle["freed_ratio"].as_f64().unwrap();
    assert!(freed > 0.9, "{lifecycle}");
    // What was taken in "load" is told by owner, if the cost of earlier readings let both of its ends
    // be read.
    if let Some(changes) = load["composition_change"]["components"].as_array() {
        let change = changes[0]["change_bytes"].as_i64().unwrap();
        assert!(change >= 38 << 20, "{load}");
    }
    let text = report(&folder, "text").ok();
    assert!(text.contains("gained since \"load\" began"), "{text}");
}

#[test]
fn lines_of_output_begin_stages_and_pass_through() {
    let folder = Scratch::new("stages-log");
    let script = "echo 'phase: scan'; echo detail; printf 'no newline' >&2; echo >&2; \
                  echo 'phase: write' >&2; echo last; exit 3";
    let flags = ["--stage-from-log", "phase: (.*)", "--report", "report.txt"];
    let call = run(&folder, &flags, &["sh", "-c", script]);
    assert_eq!(call.code, Some(3), "{call:?}");
    assert_eq!(call.stdout, "phase: scan\ndetail\nlast\n");
    assert!(
        call.stderr.starts_with("no newline\nphase: write\n"),
        "{call:?}"
    );
    let json = report(&folder, "json").json();
    let mut found = labels(&json);
    assert_eq!(found[0], "(start)");
    // Two pipes: which line comes first is not known.
    found[1..].sort_unstable();
    assert_eq!(found, ["(start)", "scan", "write"]);
    assert!(
        stages(&json)[1..]
            .iter()
            .all(|stage| stage["source"] == "log")
    );
    assert!(!call.stderr.contains("no line of output"), "{call:?}");
    let csv = report(&folder, "csv").ok();
    assert_eq!(csv.matches(",stage,").count(), 3 + 1, "{csv}");
}

/// What a killed recorder has written are the stages that had ended.
#[test]
fn stages_survive_a_kill_of_the_recorder() {
    let folder = Scratch::new("stages-killed");
    let plimsoll = executable().to_str().unwrap();
    let script = format!("'{plimsoll}' mark a; '{plimsoll}' mark b; echo marked; exec cat");
    let arguments = [
        "run",
        "--recording",
        "run.plimsoll",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let mut running = Plimsoll::new(arguments).in_folder(folder.path()).start();
    assert_eq!(running.line(), "marked");
    until("two stages are in the file", || {
        stages(&report(&folder, "json").json()).len() == 2
    });
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().signal, Some(libc::SIGKILL));
    let json = report(&folder, "json").json();
    assert_eq!(json["complete"], false);
    assert_eq!(labels(&json), ["(start)", "a"]);
    let end = stages(&json)[1]["end_seconds"].as_f64().unwrap();
    assert!(json["length_seconds"].as_f64().unwrap() >= end);
    let text = report(&folder, "text").ok();
    assert!(text.contains("the last stage that was recorded") || text.contains("did not rise"));
}

/// A mistake in the expression must not look like a run that has no stages.
#[test]
fn an_expression_that_matches_no_line_is_told() {
    let folder = Scratch::new("stages-none");
    let flags = ["--stage-from-log", "phase \\d+"];
    let call = run(&folder, &flags, &["sh", "-c", "echo phase one"]);
    assert_eq!(call.code, Some(0), "{call:?}");
    assert_eq!(call.stdout, "phase one\n");
    let told = "no line of output matched phase \\d+: the run was not cut into stages";
    assert!(call.stderr.contains(told), "{}", call.stderr);
    let json = report(&folder, "json").json();
    assert!(stages(&json).is_empty());
    assert_eq!(json["lifecycle"], Value::Null);
    let gaps = json["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["reason"] == "absent").unwrap();
    assert_eq!(gap["detail"], told);
}

#[test]
fn what_cannot_be_cut_into_stages_is_refused() {
    let folder = Scratch::new("stages-refused");
    let outside = Plimsoll::new(["mark", "load"]).in_folder(folder.path());
    outside
        .call()
        .refused(&["load", "PLIMSOLL_MARKS", "plimsoll run"]);
    let unnamed = Plimsoll::new(["mark", " "]).in_folder(folder.path());
    unnamed.call().refused(&["name"]);
    for pattern in ["phase: (", ""] {
        let call = run(&folder, &["--stage-from-log", pattern], &["true"]);
        call.refused(&["--stage-from-log"]);
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
