//! `plimsoll compare`: what a change saved, what it cost, and what no difference may be claimed of.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{
    Call, MIB, Plimsoll, Scratch, between, gap, marked_when_ready, number, subject, text,
};
use serde_json::Value;

fn compare_in(folder: &Scratch, format: &str, words: &[&str]) -> Call {
    let given = ["compare", "--format", format];
    let words = given.iter().chain(words);
    Plimsoll::new(words).in_folder(folder.path()).call()
}

fn compare(words: &[&str]) -> Call {
    compare_in(&Scratch::new("compare"), "json", words)
}

/// Two arms of `sized` that hold so many MiB.
fn arms<'a>(sized: &'a str, first: &'a str, second: &'a str) -> Vec<&'a str> {
    let arm = |name, mib| ["--name", name, "--", sized, "--base-mib", mib];
    let mut words = vec!["--repeat", "4"];
    words.extend(arm("first", first));
    words.extend(arm("second", second));
    words
}

/// The receipt of a measure, if it could be read.
fn receipt<'a>(json: &'a Value, kind: &str) -> Option<&'a Value> {
    let receipts = json["receipts"].as_array().unwrap();
    receipts
        .iter()
        .find(|receipt| receipt["measure"]["kind"] == kind)
}

/// What the last arm is said to have done to a measure against the first.
fn change<'a>(json: &'a Value, kind: &str) -> &'a Value {
    let receipt = receipt(json, kind).unwrap_or_else(|| panic!("no {kind} in {json:#}"));
    &receipt["steps"].as_array().unwrap().last().unwrap()["to_first"]
}

fn check(json: &Value, kind: &str, claim: &str, mib: f64) {
    let change = change(json, kind);
    assert_eq!(change["claim"], claim, "{kind}: {change:#}");
    let bytes = mib * MIB as f64;
    let room = 0.03 * bytes.abs() + 256.0 * 1024.0;
    between(
        change,
        "/difference/value_bytes",
        bytes - room,
        bytes + room,
    );
}

#[test]
fn saved_and_grew_mirror_each_other() {
    let sized = subject("sized");
    let saved = compare(&arms(&sized, "64", "32")).verdict(0);
    let grew = compare(&arms(&sized, "32", "64")).verdict(0);
    for kind in ["rss_peak", "own_peak"] {
        check(&saved, kind, "saved", -32.0);
        check(&grew, kind, "grew", 32.0);
    }
    assert_eq!(number(&saved, "/rounds"), 4.0);
    let verdict = text(&saved, "/verdict");
    assert!(verdict.contains("falls from first to second"), "{verdict}");
    let verdict = text(&grew, "/verdict");
    assert!(verdict.contains("grows from first to second"), "{verdict}");
    // Stages are compared one by one: the load is what differs, the start is not.
    let stages: Vec<&Value> = saved["receipts"].as_array().unwrap().iter().collect();
    let stage = |name: &str| {
        let stage = stages
            .iter()
            .find(|receipt| receipt["measure"]["name"] == name);
        &stage.unwrap()["steps"][1]["to_first"]["claim"]
    };
    assert_eq!(stage("load"), "saved");
    assert_ne!(stage("(start)"), "grew");
    assert_eq!(change(&saved, "rss_peak")["method"], "paired");
}

#[test]
fn the_same_command_twice_claims_nothing() {
    let sized = subject("sized");
    // Of the usual intervals one in twenty misses the truth, which a test run every day would meet.
    let sure = ["--confidence", "0.999"];
    let sure = [&sure[..], &arms(&sized, "16", "16")].concat();
    let json = compare(&sure).verdict(0);
    let change = change(&json, "rss_peak");
    assert_eq!(change["claim"], "indistinguishable", "{change:#}");
    assert!(number(change, "/detectable_bytes") > 0.0);
}

/// Connections that map one file: RSS counts its pages for each of them, PSS once.
#[test]
fn a_saving_of_rss_that_is_none_of_memory() {
    let program = subject("mapped_file_connections");
    let script = |connections: u32| {
        marked_when_ready(&format!("{program} --mib 64 --connections {connections}"))
    };
    let (twelve, two) = (script(12), script(2));
    let words = [
        "--repeat", "3", "--name", "twelve", "--", "sh", "-c", &twelve,
    ];
    let words = [&words[..], &["--name", "two", "--", "sh", "-c", &two]].concat();
    let json = compare(&words).verdict(0);
    let rss = change(&json, "rss_peak");
    assert_eq!(rss["claim"], "saved");
    let connections = 64.0 * MIB as f64;
    between(
        rss,
        "/difference/value_bytes",
        -11.0 * connections,
        -9.0 * connections,
    );
    // Twelve threads have stacks of their own: some KiB, and not hundreds of MiB.
    let pss = change(&json, "pss_peak");
    if pss["claim"] == "saved" {
        between(pss, "/difference/value_bytes", -2.0 * MIB as f64, 0.0);
        let notes = json["notes"].to_string();
        assert!(notes.contains("PSS"), "{notes}");
    }
}

#[test]
fn arms_of_one_command_in_different_environments() {
    let sized = subject("sized");
    let script = format!("exec {sized} --base-mib $HELD");
    let words = [
        "--repeat", "3", "--name", "much", "--env", "HELD=48", "--name", "little", "--env",
        "HELD=16", "--", "sh", "-c", &script,
    ];
    let json = compare(&words).verdict(0);
    check(&json, "own_peak", "saved", -32.0);
    assert_eq!(json["arms"][0]["environment"][0], "HELD=48");
    assert_eq!(json["arms"][0]["command"], json["arms"][1]["command"]);
}

/// A second phase that uses what a first one left behind would be flattered by running in the same
/// process: every trial is a process of its own, and the order turns round.
#[test]
fn every_trial_is_a_fresh_process() {
    let folder = Scratch::new("compare-fresh");
    let script = "echo $ARM $$ >> log; echo warm > cache-of-$$; [ $(ls cache-of-$$ | wc -l) = 1 ]";
    let words = [
        "--repeat", "4", "--name", "a", "--env", "ARM=a", "--name", "b", "--env", "ARM=b", "--",
        "sh", "-c", script,
    ];
    let call = compare_in(&folder, "json", &words);
    assert_eq!(
        call.verdict(0)["arms"][1]["trials"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<(&str, &str)> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let mut pids: Vec<&str> = lines.iter().map(|(_, pid)| *pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 8, "{log}");
    let order: String = lines.iter().map(|(arm, _)| *arm).collect();
    assert_eq!(order.len(), 8);
    for round in order.as_bytes().chunks(2) {
        assert!(matches!(round, b"ab" | b"ba"), "{order}");
    }
    assert!(
        order.contains("aa") || order.contains("bb"),
        "the order turns: {order}"
    );
}

#[test]
fn what_one_item_more_costs_in_each_arm() {
    let sized = subject("sized");
    let arm = |name, bytes| ["--name", name, "--", &sized, "--n", "{n}", "--bytes", bytes];
    let sizes = ["--repeat", "3", "--vary", "n=2000,8000,20000"];
    let words = [&sizes[..], &arm("wide", "1024"), &arm("narrow", "512")].concat();
    let json = compare(&words).verdict(0);
    let change = change(&json, "marginal");
    assert_eq!(change["claim"], "saved");
    between(
        change,
        "/difference/value_bytes",
        -1.05 * 512.0,
        -0.95 * 512.0,
    );
    let steps = &receipt(&json, "marginal").unwrap()["steps"];
    between(&steps[0], "/mean/value_bytes", 0.97 * 1024.0, 1.03 * 1024.0);
    between(&steps[1], "/mean/value_bytes", 0.97 * 512.0, 1.03 * 512.0);
    let fixed = [
        "--vary", "n=1,2", "--name", "a", "--", "true", "--name", "b", "--", "true",
    ];
    compare(&fixed).refused(&["{n}"]);
}

#[test]
fn recordings_made_at_other_times() {
    let sized = subject("sized");
    let folder = Scratch::new("compare-recordings");
    let mut words = Vec::new();
    for (arm, mib) in [("before", "48"), ("after", "16")] {
        words.extend(["--name".to_owned(), arm.to_owned()]);
        for round in 0..3 {
            let file = folder.file(&format!("{arm}-{round}.plimsoll"));
            let run = [
                "run",
                "--interval",
                "10ms",
                "-o",
                &file,
                "--",
                &sized,
                "--base-mib",
                mib,
            ];
            let call = Plimsoll::new(run).in_folder(folder.path()).call();
            assert_eq!(call.code, Some(0), "{call:?}");
            words.extend(["--recording".to_owned(), file]);
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let json = compare_in(&folder, "json", &words).verdict(0);
    check(&json, "rss_peak", "saved", -32.0);
    assert_eq!(json["rounds"], Value::Null);
    assert_eq!(change(&json, "rss_peak")["method"], "welch");
    let mixed = [&words[..8], &["--name", "run", "--", "true"]].concat();
    compare_in(&folder, "json", &mixed).refused(&["recordings", "commands"]);
    let missing = ["--name", "a", "--recording", "none.plimsoll", "--name", "b"];
    let missing = [&missing[..], &["--recording", words[3]]].concat();
    compare_in(&folder, "json", &missing).refused(&["none.plimsoll"]);
}

#[test]
fn an_arm_that_fails() {
    let sized = subject("sized");
    let failing = ["--name", "bad", "--", &sized, "--n", "9", "--fail-at", "1"];
    let good = ["--name", "good", "--", &sized];
    let words = [&["--repeat", "2"][..], &good, &failing].concat();
    compare(&words).refused(&[
        "no round succeeded",
        "bad",
        "exit code 7",
        "too many for me",
    ]);
    // One that fails now and then: its rounds are left out, and said to be.
    let folder = Scratch::new("compare-failing");
    let script =
        format!("echo >> log; [ $(wc -l < log) -ne 2 ] || exit 9; exec {sized} --base-mib 4");
    let sometimes = ["--name", "sometimes", "--", "sh", "-c", &script];
    let words = [&["--repeat", "4"][..], &good, &sometimes].concat();
    let json = compare_in(&folder, "json", &words).verdict(0);
    assert_eq!(number(&json, "/rounds"), 3.0);
    assert_eq!(number(&json, "/arms/1/failed"), 1.0);
    assert!(gap(&json, "trials of sometimes").contains("1 failed: exit code 9"));
    assert!(gap(&json, "rounds").contains("every arm succeeded"));
}

#[test]
fn arms_that_make_no_comparison_are_refused() {
    compare(&["--name", "a", "--", "true"]).refused(&["one arm"]);
    compare(&["--", "true"]).refused(&["--name"]);
    compare(&["--name", "a", "--", "true", "--name", "a", "--", "true"]).refused(&["two arms"]);
    compare(&["--name", "a", "--env", "X", "--", "true"]).refused(&["KEY=VALUE"]);
    compare(&["--repeat", "1", "--name", "a", "--name", "b", "--", "true"]).refused(&["--repeat"]);
    let absent = ["--name", "a", "--name", "b", "--", "/nonexistent/program"];
    compare(&absent).refused(&["/nonexistent/program"]);
}

#[test]
fn the_receipt_as_csv() {
    let sized = subject("sized");
    let folder = Scratch::new("compare-csv");
    let csv = compare_in(&folder, "csv", &arms(&sized, "32", "16")).ok();
    let mut lines = csv.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| {
        let place = columns.iter().position(|column| *column == name);
        place.unwrap_or_else(|| panic!("no column {name} in {columns:?}"))
    };
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let row = |step: &str| {
        let found = rows
            .iter()
            .find(|row| row[place("measure")] == "rss_peak" && row[place("step")] == step);
        found.unwrap_or_else(|| panic!("no row {step} in {csv}"))
    };
    assert_eq!(row("0")[place("arm")], "first");
    assert_eq!(row("0")[place("to_first_claim")], "");
    assert_eq!(row("1")[place("arm")], "second");
    assert_eq!(row("1")[place("trials")], "4");
    assert_eq!(row("1")[place("failed")], "0");
    assert_eq!(row("1")[place("to_first_claim")], "saved");
    assert_eq!(row("1")[place("to_previous_claim")], "saved");
    let figure = |column: &str| -> f64 { row("1")[place(column)].parse().unwrap() };
    let (low, high) = (figure("to_first_low_bytes"), figure("to_first_high_bytes"));
    let difference = figure("to_first_difference_bytes");
    assert!(low <= difference && difference <= high && high < 0.0);
    let percent = figure("percent_of_first");
    assert!((40.0..65.0).contains(&percent), "{percent}");
}
