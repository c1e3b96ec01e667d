//! What a program that links the library says of itself is found from outside, and a page that only
//! looks like that does no harm.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{MIB, Plimsoll, Report, Scratch, gap, subject};
use plimsoll_subjects::Subject;
use serde_json::Value;

fn published(json: &Value) -> &Value {
    let all = json["published"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{}", json["gaps"]);
    &all[0]
}

fn gap_of(report: &Report) -> &str {
    gap(&report.json, "figures that the program publishes")
}

fn tag<'a>(published: &'a Value, name: &str) -> &'a Value {
    let tags = published["tags"].as_array().unwrap();
    tags.iter().find(|tag| tag["name"] == name).unwrap()
}

#[test]
fn inspect_shows_the_programs_own_names_inside_its_heap() {
    let subject = Subject::start("beacon", &["--mib", "24"]);
    let (report, _) = Report::of_quiet(subject.pid);
    let said = published(&report.json);
    let thumbnails = tag(said, "thumbnails");
    assert_eq!(thumbnails["live_bytes"], subject.number("live_bytes"));
    assert_eq!(thumbnails["live_blocks"], subject.number("live_blocks"));
    assert!(thumbnails["live_bytes"].as_u64().unwrap() >= 24 * MIB);
    // What is said stays beside the sums: the heap is as large as it was read, and holds more than
    // what is live.
    let heap = said["heap_bytes"].as_u64().unwrap();
    let live = said["total"]["live_bytes"].as_u64().unwrap();
    assert_eq!(said["beyond_live_bytes"], heap - live);
    assert!(heap - live < MIB, "{}", report.outline());
    let paths: Vec<&str> = said["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["import", "import/batch"]);
    let budget = &said["budgets"][0];
    assert_eq!(budget["limit_bytes"], subject.number("limit_bytes"));
    assert_eq!(budget["consumers"][0]["name"], "covers");
    assert_eq!(
        budget["consumers"][0]["held_bytes"],
        subject.number("held_bytes")
    );
    assert!(said["age_seconds"].as_f64().unwrap() < 60.0);

    let pid = subject.pid.to_string();
    let shown = Plimsoll::new(["inspect", &pid]).call().ok();
    for words in [
        "by its",
        "thumbnails",
        "stage import/batch",
        "covers",
        "all tags",
    ] {
        let words = words.replace("by its", "says of its own memory");
        assert!(shown.contains(&words), "{words}: {shown}");
    }
}

#[test]
fn a_run_shows_them_at_its_peak() {
    let beacon = subject("beacon");
    let folder = Scratch::new("beacon");
    let tool = [
        "run",
        "--quiet",
        "--format",
        "json",
        "--report",
        "peak.json",
        "--",
    ];
    let command = [beacon.as_str(), "--mib", "24", "--seconds", "2"];
    let run = Plimsoll::new(tool.into_iter().chain(command)).in_folder(folder.path());
    let _ = run.call().ok();
    let written = std::fs::read(folder.path().join("peak.json")).unwrap();
    let json: Value = serde_json::from_slice(&written).unwrap();
    let peak = json["peak"]["composition"]["breakdown_index"]
        .as_u64()
        .unwrap() as usize;
    let said = published(&json["breakdowns"][peak]["breakdown"]);
    assert!(tag(said, "thumbnails")["live_bytes"].as_u64().unwrap() >= 24 * MIB);
}

/// A child of fork has no account of its own, and is not given its parent's.
#[test]
fn a_tree_has_one_account_for_each_process_that_publishes() {
    let subject = Subject::start("beacon", &["--mib", "4", "--child"]);
    let child = subject.number("child") as u32;
    let of_child = Report::of(child);
    assert_eq!(of_child.json["published"], serde_json::json!([]));
    let of_tree = Report::with(subject.pid, &["--tree"]);
    assert_eq!(published(&of_tree.json)["pid"], u64::from(subject.pid));
}

/// The page is written without pause while it is read: each reading is whole, or says that it was not.
#[test]
fn a_reading_is_never_torn() {
    let subject = Subject::start("beacon", &["--mib", "4", "--hammer"]);
    const READINGS: u32 = 20;
    let mut whole = 0;
    for _ in 0..READINGS {
        let report = Report::of(subject.pid);
        let all = report.json["published"].as_array().unwrap();
        match all.first() {
            Some(said) => {
                assert_eq!(
                    tag(said, "thumbnails")["live_bytes"],
                    subject.number("live_bytes")
                );
                assert_eq!(
                    said["budgets"][0]["held_bytes"],
                    subject.number("held_bytes")
                );
                whole += 1;
            }
            None => {
                gap_of(&report);
            }
        }
    }
    assert!(
        whole >= READINGS / 2,
        "{whole} of {READINGS} readings were whole"
    );
}

#[test]
fn a_forged_page_does_no_harm() {
    let check = |with: &str, expected: Option<&str>| {
        let subject = Subject::start("forged_beacon", &["--with", with]);
        let (report, kernel) = Report::of_quiet(subject.pid);
        kernel.assert_is(report.resident(), with);
        match expected {
            Some(words) => {
                let detail = gap_of(&report);
                assert!(detail.contains(words), "{with}: {detail}");
                assert_eq!(report.json["published"], serde_json::json!([]), "{with}");
            }
            None => assert_eq!(published(&report.json)["beyond_live_bytes"], Value::Null),
        }
        let pid = subject.pid.to_string();
        for format in ["text", "html", "csv"] {
            let shown = Plimsoll::new(["inspect", "--format", format, &pid])
                .call()
                .ok();
            assert!(!shown.contains('\x1b'), "{with} {format}");
            // In text it is printable, in a page it must not end the script.
            let ends_script = format == "html" && shown.contains("[2J</script>");
            assert!(!ends_script, "{with} {format}");
        }
    };
    check("zero", Some("never written"));
    check("noise", Some("something else"));
    check("version", Some("version 9"));
    check("lengths", Some("do not fit"));
    check("lies", None);
}
