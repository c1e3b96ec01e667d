//! What each page of docs/case-studies claims, by its own command on less data: classes, signs,
//! ratios, RSS against PSS. No figure of the pages is repeated here, but what they conclude.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use plimsoll_end_to_end::{Call, MIB, Plimsoll, Report, Scratch, skip};
use plimsoll_subjects::Subject;
use serde_json::Value;

/// The interpreter itself, not what may stand before it on the path; `None`, said aloud, without one.
fn python(test: &str) -> Option<&'static str> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let asked = ["-c", "import sqlite3, sys; print(sys.executable)"];
        let output = Command::new("python3").args(asked).output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| path.trim().to_owned())
    });
    if found.is_none() {
        skip(test, "no python3 with sqlite3");
    }
    found.as_deref()
}

/// A program of the case studies.
fn script(name: &str) -> String {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../subjects/programs");
    let path = programs.join(name).canonicalize().unwrap();
    path.to_str().unwrap().to_owned()
}

fn call(folder: &Scratch, arguments: &[&str]) -> Call {
    Plimsoll::new(arguments).in_folder(folder.path()).call()
}

/// What the program prints by itself.
fn printed(python: &str, folder: &Scratch, arguments: &[&str]) -> String {
    let mut command = Command::new(python);
    let output = command.args(arguments).current_dir(folder.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `compare` of arms, each with its environment and the words of its command.
fn compare(folder: &Scratch, flags: &[&str], arms: &[(&str, &[&str], &[&str])]) -> Value {
    let mut arguments = vec!["compare", "--quiet", "--format", "json", "--repeat", "3"];
    arguments.extend(flags);
    for (name, environment, command) in arms {
        arguments.extend(["--name", name]);
        for variable in *environment {
            arguments.extend(["--env", variable]);
        }
        arguments.push("--");
        arguments.extend(*command);
    }
    call(folder, &arguments).json()
}

/// The steps of one measure.
fn steps<'a>(report: &'a Value, kind: &str) -> Option<&'a Vec<Value>> {
    let receipts = report["receipts"].as_array().unwrap();
    let found = receipts.iter().find(|it| it["measure"]["kind"] == kind);
    found.map(|receipt| receipt["steps"].as_array().unwrap())
}

fn mean(step: &Value) -> f64 {
    step["mean"]["value_bytes"].as_f64().unwrap()
}

/// What a step saved against the one before.
fn saved(step: &Value) -> f64 {
    -step["to_previous"]["difference"]["value_bytes"]
        .as_f64()
        .unwrap()
}

/// "ids against strings: -84 %"
fn claimed_percent(output: &str) -> f64 {
    let last = output.lines().last().unwrap();
    let number = last.split_whitespace().rev().nth(1);
    number.unwrap().parse().unwrap()
}

const MIB_F: f64 = MIB as f64;

#[test]
fn image_board_savings_the_order_makes_the_result() {
    let Some(python) = python("image_board_savings_the_order_makes_the_result") else {
        return;
    };
    let folder = Scratch::new("case-order");
    let board = script("image_board.py");
    let order = |first| {
        let arguments = [&*board, "order", "--images", "2000", "--first", first];
        claimed_percent(&printed(python, &folder, &arguments))
    };
    // One process: whichever is second looks small.
    assert!(order("strings") < -40.0, "{}", order("strings"));
    assert!(order("ids") > 20.0, "{}", order("ids"));
    // A process for each: a few percent.
    let cache = |tags| [python, &*board, "cache", "--images", "2000", "--tags", tags];
    let report = compare(
        &folder,
        &[],
        &[
            ("strings", &[], &cache("strings")),
            ("ids", &[], &cache("ids")),
        ],
    );
    let steps = steps(&report, "rss_peak").unwrap();
    let change = mean(&steps[1]) / mean(&steps[0]) - 1.0;
    assert!((-0.2..0.02).contains(&change), "{report:#}");
}

#[test]
fn image_board_savings_fewer_workers_save_rss_and_no_memory() {
    let Some(python) = python("image_board_savings_fewer_workers_save_rss_and_no_memory") else {
        return;
    };
    let folder = Scratch::new("case-workers");
    let board = script("image_board.py");
    let run = [python, &*board, "board", "--images", "2000", "--stay", "1"];
    printed(python, &folder, &[&*board, "cache", "--images", "2000"]);
    let report = compare(
        &folder,
        &[],
        &[
            ("baseline", &["WORKERS=4"], &run),
            ("two workers", &["WORKERS=2"], &run),
            ("idle", &["WORKERS=2", "FRAMEWORKS=idle"], &run),
        ],
    );
    let rss = steps(&report, "rss_peak").unwrap();
    assert_eq!(rss[1]["to_previous"]["claim"], "saved", "{report:#}");
    assert!(saved(&rss[1]) > 10.0 * MIB_F, "{report:#}");
    assert!(saved(&rss[2]) > 30.0 * MIB_F, "{report:#}");
    // Half the mappings of the same pages.
    match steps(&report, "pss_peak") {
        Some(pss) => {
            // A reading may lack up to a tenth of the peak that it stands for.
            assert!(saved(&pss[1]) < 0.5 * saved(&rss[1]), "{report:#}");
            assert!(saved(&pss[2]) > 20.0 * MIB_F, "{report:#}");
            let notes = report["notes"].to_string();
            assert!(notes.contains("the same pages counted again"), "{notes}");
        }
        None => skip("PSS of the peak", "no full reading came near enough to it"),
    }
}

#[test]
fn image_board_breakdown_names_what_was_estimated() {
    let Some(python) = python("image_board_breakdown_names_what_was_estimated") else {
        return;
    };
    let mut command = Command::new(python);
    command.args([&*script("image_board.py"), "serve", "--images", "2000"]);
    let subject = Subject::start_command("case-breakdown", command);
    let report = Report::of(subject.pid);
    let components = report.json["components"].as_array().unwrap();
    let of = |name: &str| {
        let found = components
            .iter()
            .find(|it| it["name"].as_str().unwrap().contains(name));
        found.unwrap_or_else(|| panic!("no {name} in {components:#?}"))
    };
    let number = |component: &Value, key: &str| component[key].as_u64().unwrap();
    // Four mappings of one database: RSS counts it four times, and it is droppable.
    let database = of("board-2000.db");
    let resident = number(database, "resident_bytes");
    let distinct = number(database, "distinct_bytes");
    assert!(
        resident > 3 * distinct && resident < 5 * distinct,
        "{database:#}"
    );
    assert_eq!(number(database, "dirty_bytes"), 0, "{database:#}");
    // The index and the objects are the program's own; overhead of CPython's allocator is small.
    let heap = of("glibc malloc");
    assert!(number(heap, "resident_bytes") > subject.number("index_bytes"));
    assert!(number(of("CPython objects"), "resident_bytes") < number(heap, "resident_bytes"));
    let unattributed = of("unattributed");
    assert!(
        number(unattributed, "resident_bytes") < 2 * MIB,
        "{unattributed:#}"
    );
}

#[test]
fn morphometrics_grows_linearly_above_a_base_and_misses_the_target() {
    let Some(python) = python("morphometrics_grows_linearly_above_a_base_and_misses_the_target")
    else {
        return;
    };
    let folder = Scratch::new("case-scale");
    let program = script("morphometrics.py");
    let flags = "scale --quiet --format json --repeat 2 --vary n=100,300,700,1500,3000";
    let mut arguments: Vec<&str> = flags.split_whitespace().collect();
    // Four times the bytes that the objects alone would need by the devlog's measure.
    arguments.extend(["--target", "n=1500 <20MiB", "--"]);
    arguments.extend([python, &*program, "lifecycle", "--objects", "{n}"]);
    let call = call(&folder, &arguments);
    // A claim that fails is the exit code.
    assert_eq!(call.code, Some(1), "{call:?}");
    let report: Value = serde_json::from_str(&call.stdout).unwrap();
    let laws = report["laws"].as_array().unwrap();
    let rss = laws.iter().find(|law| law["measure"]["kind"] == "rss_peak");
    let law = &rss.unwrap()["law"];
    assert!(law["classes"].to_string().contains("\"linear\""), "{law:#}");
    assert!(!law["classes"].to_string().contains("quadratic"), "{law:#}");
    let base = law["intercept"]["value_bytes"].as_f64().unwrap();
    let each = law["marginal"]["value_bytes"].as_f64().unwrap();
    // An interpreter with its libraries is more than all objects of the claim.
    assert!(base > 1500.0 * each, "{law:#}");
    assert_eq!(report["targets"][0]["verdict"], "fails");
}

#[test]
fn morphometrics_does_not_leak_and_a_leak_of_2000_bytes_is_found() {
    let Some(python) = python("morphometrics_does_not_leak_and_a_leak_of_2000_bytes_is_found")
    else {
        return;
    };
    let folder = Scratch::new("case-leak");
    let program = script("morphometrics.py");
    let leak = |count: &str, keep: &str| {
        let flags = [
            "leak",
            "--quiet",
            "--format",
            "json",
            "--ignore-below",
            "600",
        ];
        let mut arguments = flags.to_vec();
        arguments.extend(["--iterations", count, "--"]);
        arguments.extend([python, &*program, "cycles", "--objects", "40"]);
        arguments.extend(["--count", "{i}", "--keep", keep]);
        let call = call(&folder, &arguments);
        let report: Value = serde_json::from_str(&call.stdout).unwrap();
        (call.code, report)
    };
    let (code, sound) = leak("200", "0");
    assert_ne!(sound["own"]["class"], "growing", "{}", sound["verdict"]);
    assert_ne!(code, Some(1));
    let (code, leaking) = leak("200", "2000");
    assert_eq!(leaking["own"]["class"], "growing", "{}", leaking["verdict"]);
    assert_eq!(code, Some(1));
    let slope = leaking["own"]["slope_bytes_per_unit"]["value"].as_f64();
    let slope = slope.unwrap();
    assert!((1500.0..3000.0).contains(&slope), "{slope}");
    // As few cycles as the devlog's: no verdict, whatever they show.
    let (code, short) = leak("50", "2000");
    assert_eq!(
        short["own"]["class"], "inconclusive",
        "{}",
        short["verdict"]
    );
    assert_eq!(code, Some(3));
}

#[test]
fn morphometrics_keeps_what_its_first_operation_took() {
    let Some(python) = python("morphometrics_keeps_what_its_first_operation_took") else {
        return;
    };
    let folder = Scratch::new("case-lifecycle");
    let program = script("morphometrics.py");
    let run = |work: &[&str]| {
        let flags = "run --quiet --no-recording --interval 20ms --format json --report run.json";
        let mut arguments: Vec<&str> = flags.split_whitespace().collect();
        arguments.extend(["--", python, &*program]);
        arguments.extend(work);
        assert_eq!(call(&folder, &arguments).code, Some(0));
        let text = std::fs::read_to_string(folder.path().join("run.json")).unwrap();
        std::fs::remove_file(folder.path().join("run.json")).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        report
    };
    let report = run(&["operations", "--times", "2"]);
    let stages = report["stages"].as_array().unwrap();
    let changes: Vec<i64> = stages
        .iter()
        .map(|stage| stage["own_change_bytes"].as_i64().unwrap())
        .collect();
    // "(start)", five operations, "at rest".
    assert_eq!(stages.len(), 7, "{stages:#?}");
    let later: i64 = changes[2..].iter().sum();
    assert!(changes[1] > 4 << 20, "{changes:?}");
    assert!(later < changes[1] / 2, "{changes:?}");
    let report = run(&["lifecycle", "--objects", "4000"]);
    let lifecycle = &report["lifecycle"];
    assert_eq!(lifecycle["max_stage"], "analyse", "{lifecycle:#}");
    let freed = lifecycle["freed_ratio"].as_f64().unwrap();
    // Something comes back, and by far not all.
    assert!((0.02..0.9).contains(&freed), "{lifecycle:#}");
}

#[test]
fn sync_database_is_droppable_and_no_stage_takes_memory_of_its_own() {
    let Some(python) = python("sync_database_is_droppable_and_no_stage_takes_memory_of_its_own")
    else {
        return;
    };
    let folder = Scratch::new("case-sync");
    let program = script("mapped_sync.py");
    printed(python, &folder, &[&*program, "--entries", "60000"]);
    let flags = r"run --quiet --no-recording --interval 20ms --stage-lines --format json
        --report run.json --stage-from-log \[MEMSTATS:(\w+)\] --";
    let mut arguments: Vec<&str> = flags.split_whitespace().collect();
    arguments.extend([python, &*program, "--entries", "60000"]);
    let run = call(&folder, &arguments);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr.contains("MEMSTATS stage=AFTER_BATCH_15 "),
        "{run:?}"
    );
    let text = std::fs::read_to_string(folder.path().join("run.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let stages = report["stages"].as_array().unwrap();
    // A line is read a moment after it was written, so what falls into which stage is not asserted.
    let scan = || stages.iter().filter(|stage| stage["source"] == "log");
    assert!(scan().count() >= 5, "{stages:#?}");
    let lifecycle = |key: &str| report["lifecycle"][key].as_u64().unwrap();
    let gained = lifecycle("max_rss_bytes") - lifecycle("base_rss_bytes");
    assert!(gained > 20 * MIB, "{stages:#?}");
    let own = scan().map(|it| it["own_change_bytes"].as_i64().unwrap());
    assert!(own.sum::<i64>().abs() < 6 << 20, "{stages:#?}");
    // Before and after: RSS shows half of what the change saved.
    let ran = |keep| [python, &*program, "--entries", "60000", "--keep", keep];
    let report = compare(
        &folder,
        &[],
        &[("all", &[], &ran("all")), ("batch", &[], &ran("batch"))],
    );
    let share = |kind| {
        let steps = steps(&report, kind).unwrap();
        mean(&steps[1]) / mean(&steps[0])
    };
    assert!(share("own_peak") < 0.5 * share("rss_peak"), "{report:#}");
}

#[test]
fn sync_database_is_named_and_can_be_dropped() {
    let Some(python) = python("sync_database_is_named_and_can_be_dropped") else {
        return;
    };
    let mut command = Command::new(python);
    command.args([&*script("mapped_sync.py"), "--entries", "40000", "--wait"]);
    // Its log.
    command.stderr(Stdio::null());
    let subject = Subject::start_command("case-mapped", command);
    let report = Report::of(subject.pid);
    let components = report.json["components"].as_array().unwrap();
    let database = components
        .iter()
        .find(|it| it["name"].as_str().unwrap().contains("cache-40000.db"))
        .unwrap();
    let resident = database["resident_bytes"].as_u64().unwrap();
    assert!(
        resident > subject.number("file_bytes") * 9 / 10,
        "{database:#}"
    );
    // It was written a moment ago: clean after its fsync where the file system keeps its word.
    let stays = database["reclaim"]["must_stay_bytes"].as_u64().unwrap();
    assert_eq!(stays, 0, "{database:#}");
}

#[test]
fn comic_tools_save_by_the_page_in_tiles_a_little_and_by_file_nothing() {
    let Some(python) = python("comic_tools_save_by_the_page_in_tiles_a_little_and_by_file_nothing")
    else {
        return;
    };
    let folder = Scratch::new("case-comic");
    let comic = script("comic_pages.py");
    let convert = |batch| {
        [
            python, &*comic, "convert", "--pages", "{n}", "--batch", batch,
        ]
    };
    let report = compare(
        &folder,
        &["--vary", "n=8,24"],
        &[("all", &[], &convert("0")), ("five", &[], &convert("5"))],
    );
    // What a page more costs: a page before, next to nothing after.
    let each = steps(&report, "marginal").unwrap();
    let page = (600 * 900 * 3) as f64;
    assert!(
        (0.8 * page..1.3 * page).contains(&mean(&each[0])),
        "{report:#}"
    );
    assert!(mean(&each[1]).abs() < 0.1 * page, "{report:#}");
    let peaks = steps(&report, "rss_peak").unwrap();
    assert!(saved(&peaks[1]) > 20.0 * MIB_F, "{report:#}");

    let enhance = |way| [python, &*comic, "enhance", "--way", way];
    let report = compare(
        &folder,
        &[],
        &[
            ("whole", &[], &enhance("whole")),
            ("tiles", &[], &enhance("tiles")),
        ],
    );
    let peaks = steps(&report, "rss_peak").unwrap();
    let left = mean(&peaks[1]) / mean(&peaks[0]);
    // Claimed: 10 to 30 % are left.
    assert!(left > 0.5, "{report:#}");

    let unpack = |way| [python, &*comic, "unpack", "--way", way];
    let report = compare(
        &folder,
        &[],
        &[("all", &[], &unpack("all")), ("each", &[], &unpack("each"))],
    );
    let peaks = steps(&report, "rss_peak").unwrap();
    let left = mean(&peaks[1]) / mean(&peaks[0]);
    assert!((0.93..1.07).contains(&left), "{report:#}");
}
