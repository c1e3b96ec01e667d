//! `plimsoll scale`: the law by which a program's memory grows, its figures, and what cannot be told.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{
    Call, MIB, Plimsoll, Scratch, between, experiment, gap, number, subject, text, until,
};
use serde_json::Value;

/// `sized` maps this beside its law, and a process of its own has about this much besides.
const BASE: f64 = 8.0 * MIB as f64;
const PROCESS: f64 = 4.0 * MIB as f64;

fn scale(flags: &[&str], command: &[&str]) -> Call {
    let folder = Scratch::new("scale");
    let call = experiment("scale", flags, command);
    call.in_folder(folder.path()).call()
}

fn sized<'a>(path: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[path, "--n", "{n}"], more].concat()
}

/// The law of peak RSS along an axis.
fn law_of<'a>(json: &'a Value, axis: &str) -> &'a Value {
    let laws = json["laws"].as_array().unwrap();
    let peak = laws
        .iter()
        .find(|law| law["axis"] == axis && law["measure"]["kind"] == "rss_peak");
    peak.unwrap_or_else(|| panic!("no law along {axis}: {json:#}"))
}

fn classes(law: &Value) -> Vec<&str> {
    let classes = law.pointer("/law/classes").and_then(Value::as_array);
    let classes = classes.unwrap_or_else(|| panic!("no law: {law:#}"));
    classes
        .iter()
        .map(|class| class.as_str().unwrap())
        .collect()
}

/// The true law is always among those that are kept; `alone` says that it must be the only one.
fn check_law(law: &str, unit: &str, sizes: &str, expected: &str, alone: bool) {
    let path = subject("sized");
    let command = sized(&path, &["--law", law, "--bytes", unit]);
    let json = scale(&["--vary", sizes, "--repeat", "2"], &command).verdict(0);
    let found = law_of(&json, "n");
    let classes = classes(found);
    assert!(classes.contains(&expected), "{law}: {found:#}");
    assert!(!alone || classes.len() == 1, "{law}: {classes:?}");
    assert_eq!(
        json["gaps"].as_array().unwrap().len(),
        0,
        "{:#}",
        json["gaps"]
    );
}

#[test]
fn laws_that_are_straight() {
    check_law("constant", "4194304", "n=100..100k:6", "constant", true);
    check_law("linear", "512", "n=1000..60000:6", "linear", false);
    check_law(
        "linearithmic",
        "40",
        "n=1000..60000:6",
        "linearithmic",
        false,
    );
}

#[test]
fn laws_that_are_bent() {
    check_law("quadratic", "2", "n=200..5000:6", "quadratic", false);
    check_law("log", "4194304", "n=2..100k:6", "logarithmic", false);
    check_law("root", "131072", "n=100..100k:6", "power", false);
}

/// A container that doubles its capacity.
#[test]
fn a_law_in_steps() {
    check_law(
        "doubling",
        "512",
        "n=1000,1500,3000,5000,9000,20000,40000,60000",
        "staircase",
        false,
    );
}

#[test]
fn what_an_item_costs_and_what_is_there_without_any() {
    let path = subject("sized");
    let command = sized(&path, &["--bytes", "1024"]);
    let flags = [
        "--vary",
        "n=2000..50000:7",
        "--repeat",
        "3",
        "--budget",
        "1GiB",
    ];
    let json = scale(&[&flags[..], &["--predict", "n=1e6"]].concat(), &command).verdict(0);
    let found = law_of(&json, "n");
    assert_eq!(classes(found)[0], "linear", "{found:#}");
    between(
        found,
        "/law/marginal/value_bytes",
        0.98 * 1024.0,
        1.02 * 1024.0,
    );
    between(found, "/law/intercept/value_bytes", BASE, BASE + PROCESS);
    between(found, "/law/exponent/low", 0.8, 1.0);
    let at_budget = (1024.0 * MIB as f64 - BASE) / 1024.0;
    between(
        found,
        "/law/budget_at/value",
        0.95 * at_budget,
        1.02 * at_budget,
    );
    let predicted = "/law/predictions/0/predicted/value_bytes";
    between(found, predicted, 0.97 * 1024e6, 1.03 * 1024e6 + BASE);
    between(found, "/law/predictions/0/extrapolation", 19.9, 20.1);
    let doubts = found["law"]["doubts"].to_string();
    assert!(doubts.contains("extrapolated"), "{doubts}");
    // Every run is told with its peak, which is that of its size.
    for cell in json["cells"].as_array().unwrap() {
        let law_bytes = 1024.0 * number(cell, "/sizes/0/value");
        assert_eq!(cell["trials"].as_array().unwrap().len(), 3);
        for trial in cell["trials"].as_array().unwrap() {
            let least = law_bytes + BASE;
            between(trial, "/rss_peak_bytes", least, least + PROCESS);
        }
    }
}

#[test]
fn two_axes() {
    let path = subject("sized");
    let command = sized(&path, &["--base-mib", "{p}", "--bytes", "512"]);
    let flags = [
        "--vary",
        "n=1000..40000:4",
        "--vary",
        "p=1,4,16,40",
        "--repeat",
        "2",
    ];
    let json = scale(&flags, &command).verdict(0);
    assert_eq!(json["cells"].as_array().unwrap().len(), 16);
    let laws = json["laws"].as_array().unwrap().iter();
    let peaks: Vec<&Value> = laws
        .filter(|law| law["measure"]["kind"] == "rss_peak")
        .collect();
    // Along each axis for each value of the other, or at one of them: never mixed.
    assert!(
        peaks
            .iter()
            .all(|law| law["held"].as_array().unwrap().len() == 1)
    );
    let along_n = law_of(&json, "n");
    between(
        along_n,
        "/law/marginal/value_bytes",
        0.95 * 512.0,
        1.05 * 512.0,
    );
    let along_p = law_of(&json, "p");
    let mib = MIB as f64;
    between(along_p, "/law/marginal/value_bytes", 0.97 * mib, 1.03 * mib);
    let one = sized(&path, &[]);
    scale(&flags, &one).refused(&["{p}"]);
}

#[test]
fn claims_are_tested_at_their_size() {
    let path = subject("sized");
    let command = sized(&path, &["--bytes", "512"]);
    let flags = ["--vary", "n=1000..20000:4", "--repeat", "3", "--target"];
    let json = scale(&[&flags[..], &["n=40000 <200MiB"]].concat(), &command).verdict(0);
    let target = &json["targets"][0];
    assert_eq!(target["verdict"], "holds");
    assert_eq!(number(target, "/runs"), 3.0);
    // 20 MiB for the items at that size, which is no size of the axis.
    between(target, "/worst_bytes", 27.0 * MIB as f64, 33.0 * MIB as f64);
    let json = scale(&[&flags[..], &["n=40000 <10MiB"]].concat(), &command).verdict(1);
    assert_eq!(json["targets"][0]["verdict"], "fails");
    assert_eq!(number(&json, "/targets/0/runs_over"), 3.0);
}

#[test]
fn too_few_sizes_state_no_law() {
    let path = subject("sized");
    for sizes in ["n=1000", "n=1000,2000,4000"] {
        let json = scale(&["--vary", sizes, "--repeat", "2"], &sized(&path, &[])).verdict(3);
        assert_eq!(law_of(&json, "n")["undetermined"], "too_few_sizes");
        assert!(
            text(&json, "/verdicts/0").contains("no law can be stated"),
            "{json:#}"
        );
    }
}

#[test]
fn what_is_no_size_is_refused() {
    let path = subject("sized");
    let check = |sizes: &str, words: &[&str]| {
        scale(&["--vary", sizes], &sized(&path, &[])).refused(words);
    };
    check("n=0", &["n=0", "whole number from 1 up"]);
    check("n=NaN", &["whole number"]);
    check("n=-5,10", &["whole number"]);
    check("n=1e300", &["whole number"]);
    check("n=10..1:4", &["from less to more"]);
    check("1000", &["NAME=SIZE"]);
    check("m=10", &["{m}", "nowhere"]);
    let flags = |more: [&'static str; 2]| [&["--vary", "n=10"][..], &more].concat();
    scale(&flags(["--target", "n=10"]), &sized(&path, &[])).refused(&["limit"]);
    scale(&flags(["--target", "m=10 <1MiB"]), &sized(&path, &[])).refused(&["no such axis"]);
    scale(&flags(["--target", "n=10 <-1MiB"]), &sized(&path, &[])).refused(&["negative"]);
    scale(&flags(["--vary", "n=20"]), &sized(&path, &[])).refused(&["given twice"]);
    scale(&flags(["--repeat", "0"]), &sized(&path, &[])).refused(&["--repeat"]);
    scale(&["--repeat", "2"], &sized(&path, &[])).refused(&["--vary"]);
    Plimsoll::new(["scale", "--vary", "n=1"])
        .call()
        .refused(&["CMD"]);
}

#[test]
fn commands_that_fail() {
    let path = subject("sized");
    let sizes = ["--vary", "n=1000..32000:6", "--repeat", "2"];
    let json = scale(
        &sizes,
        &sized(&path, &["--bytes", "512", "--fail-at", "32000"]),
    )
    .verdict(0);
    let told = gap(&json, "trials of n=32000");
    assert!(told.contains("2 failed: exit code 7"), "{told}");
    assert!(told.contains("too many for me"), "{told}");
    let found = law_of(&json, "n");
    between(found, "/law/marginal/value_bytes", 0.9 * 512.0, 1.1 * 512.0);
    between(found, "/law/tested/n_max", 15_000.0, 17_000.0);
    let failed = json["cells"][5]["failed"].as_u64();
    assert_eq!(failed, Some(2), "{:#}", json["cells"][5]);
    let all = sized(&path, &["--fail-at", "1"]);
    scale(&sizes, &all).refused(&["every trial failed", "exit code 7", "too many for me"]);
    scale(&sizes, &["/nonexistent/program", "{n}"]).refused(&["/nonexistent/program"]);
}

#[test]
fn a_report_that_cannot_be_written() {
    let path = subject("sized");
    let folder = Scratch::new("scale-full");
    let call = experiment("scale", &["--vary", "n=1,2,3,4"], &sized(&path, &[]))
        .in_folder(folder.path())
        .into_full_device()
        .call();
    assert_eq!(call.code, Some(2), "{call:?}");
    assert!(call.stderr.contains("No space left"), "{}", call.stderr);
}

#[test]
fn an_interruption_keeps_what_was_measured() {
    let path = subject("sized");
    let folder = Scratch::new("scale-interrupted");
    let script = format!(
        "echo {{n}} >> log; [ $(wc -l < log) -lt 12 ] || exec sleep 1000; exec {path} --n {{n}}"
    );
    let flags = ["--vary", "n=1000..20000:5", "--repeat", "4"];
    let running = experiment("scale", &flags, &["sh", "-c", &script])
        .in_folder(folder.path())
        .start();
    let log = folder.path().join("log");
    until("the twelfth run waits", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.lines().count() == 12)
    });
    running.signal(libc::SIGINT);
    let call = running.end();
    let json: Value = serde_json::from_str(&call.stdout).unwrap();
    assert!(matches!(call.code, Some(0 | 3)), "{call:?}");
    assert_eq!(gap(&json, "trials"), "interrupted after 11 of 20");
    let cells = json["cells"].as_array().unwrap().iter();
    let trials = cells.map(|cell| cell["trials"].as_array().unwrap().len());
    assert_eq!(trials.sum::<usize>(), 11);
}
