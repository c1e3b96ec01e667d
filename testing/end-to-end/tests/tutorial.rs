//! The tutorial of docs/guide: each of its commands is run on a quarter of the data, and must save what
//! the text says it saves: the sign, and about the ratio. No figure of the text is repeated here.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::path::Path;
use std::process::{Command, Output};

use plimsoll_end_to_end::{Call, Plimsoll, Scratch, subject};
use serde_json::Value;

/// A quarter of what the text makes: the images alone are several times the rest of a process.
const IMAGES: &str = "10000";

const PROGRAMS: [&str; 6] = [
    "gallery_0_wasteful",
    "gallery_1_measured",
    "gallery_2_ids",
    "gallery_3_batches",
    "gallery_4_lazy",
    "gallery_5_budget",
];

/// What is said of the peak of a step's own memory against that of the step before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    low: f64,
    high: f64,
}

const fn ratio(low: f64, high: f64) -> Ratio {
    Ratio { low, high }
}

/// The ledger costs some percent at most.
const MEASURED: Ratio = ratio(0.995, 1.05);
const IDS: Ratio = ratio(0.55, 0.8);
const BATCHES: Ratio = ratio(0.3, 0.55);
/// Lazy, and the model is used: nothing.
const USED: Ratio = ratio(0.98, 1.02);
/// Lazy, and it is not. Where the images are a quarter, what is left weighs more than in the text.
const UNUSED: Ratio = ratio(0.1, 0.4);
const BUDGET: Ratio = ratio(0.1, 0.5);

/// Each comparison of the text: the arms, how they differ from one to the next, and how the text's
/// first line of output has to begin.
const COMPARISONS: &[(&[&str], &[Ratio], &str)] = &[
    (&["wasteful", "measured"], &[MEASURED], "peak RSS grows"),
    (&["strings", "ids"], &[IDS], "peak RSS falls"),
    (&["whole", "batches"], &[BATCHES], "peak RSS falls"),
    (
        &["eager", "lazy"],
        &[USED],
        "peak RSS from eager to lazy: no difference",
    ),
    (&["eager", "lazy"], &[UNUSED], "peak RSS falls"),
    (&["lazy", "budget"], &[BUDGET], "peak RSS falls"),
    (
        &["wasteful", "measured", "ids", "batches", "lazy", "budget"],
        &[MEASURED, IDS, BATCHES, USED, BUDGET],
        "peak RSS falls",
    ),
];

fn text() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/guide/tutorial/README.md"
    );
    std::fs::read_to_string(path).unwrap()
}

/// Each command of the text that begins so, as words, and the line that follows it.
fn commands(text: &str, beginning: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        if command.starts_with(beginning) {
            let words = command.split_whitespace().map(str::to_owned);
            let output = lines.peek().copied().unwrap_or_default();
            found.push((words.collect(), output.to_owned()));
        }
    }
    found
}

/// The words with paths in place of the programs' names.
fn resolved(words: &[String]) -> Vec<String> {
    let resolve = |word: &String| {
        if word.starts_with("gallery_") {
            subject(word)
        } else {
            word.clone()
        }
    };
    words.iter().map(resolve).collect()
}

/// A folder with the data of the tutorial in it.
fn folder(name: &str) -> Scratch {
    let folder = Scratch::new(name);
    let output = run(folder.path(), &["gallery_data", "gallery", IMAGES]);
    assert!(output.status.success(), "{output:?}");
    folder
}

fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(subject(words[0]));
    command.args(&words[1..]).current_dir(folder);
    command.output().unwrap()
}

/// All that a program prints, and does not forget to end with its checksum.
fn answers(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().last().unwrap().starts_with("checksum "));
    text
}

/// The steps of the peak of own memory: of code and files each program has what it has.
fn own_peaks(report: &Value) -> &[Value] {
    let receipts = report["receipts"].as_array().unwrap();
    let own = receipts
        .iter()
        .find(|receipt| receipt["measure"]["kind"] == "own_peak");
    own.unwrap()["steps"].as_array().unwrap()
}

fn mean(step: &Value) -> f64 {
    step["mean"]["value_bytes"].as_f64().unwrap()
}

fn check(report: &Value, names: &[&str], ratios: &[Ratio]) {
    let steps = own_peaks(report);
    assert_eq!(steps.len(), names.len());
    for ((pair, ratio), name) in steps.windows(2).zip(ratios).zip(&names[1..]) {
        let found = mean(&pair[1]) / mean(&pair[0]);
        let said = format!("{name}: {found} of the step before: {:#}", pair[1]);
        assert!((ratio.low..=ratio.high).contains(&found), "{said}");
        let claim = pair[1]["to_previous"]["claim"].as_str().unwrap();
        if ratio.high < 0.9 {
            assert_eq!(claim, "saved", "{said}");
        } else if *ratio == MEASURED {
            assert_ne!(claim, "saved", "{said}");
        }
    }
}

#[test]
fn every_comparison_saves_what_the_text_says() {
    let text = text();
    let commands = commands(&text, "plimsoll compare");
    assert_eq!(commands.len(), COMPARISONS.len(), "each is checked");
    let folder = folder("tutorial-compare");
    for ((words, output), (names, ratios, beginning)) in commands.iter().zip(COMPARISONS) {
        let arms: Vec<&String> = words
            .windows(2)
            .filter(|pair| pair[0] == "--name")
            .map(|pair| &pair[1])
            .collect();
        assert_eq!(arms, *names);
        assert!(output.starts_with(beginning), "{output:?} after {words:?}");
        let mut arguments = vec!["compare", "--quiet", "--format", "json", "--repeat", "3"];
        let words = resolved(&words[2..]);
        arguments.extend(words.iter().map(String::as_str));
        let call = Plimsoll::new(arguments).in_folder(folder.path()).call();
        check(&call.json(), names, ratios);
    }
}

#[test]
fn all_steps_give_the_same_answers() {
    let folder = folder("tutorial-answers");
    let day = answers(folder.path(), &[PROGRAMS[0], "gallery", "day.txt"]);
    let quiet = answers(folder.path(), &[PROGRAMS[0], "gallery", "quiet.txt"]);
    assert!(day.contains("similar ") && !quiet.contains("similar "));
    assert!(day.contains("found ") && day.contains("tags "));
    for program in &PROGRAMS[1..] {
        for (requests, expected) in [("day.txt", &day), ("quiet.txt", &quiet)] {
            let found = answers(folder.path(), &[program, "gallery", requests]);
            assert!(found == *expected, "{program} on {requests}");
        }
    }
    // With the model in memory and without.
    for budget in ["64", "6"] {
        let words = [PROGRAMS[5], "gallery", "day.txt", budget];
        assert!(answers(folder.path(), &words) == day, "{budget} MiB");
    }
}

/// On all of the data, made by the command of the text.
#[test]
fn the_checksums_of_the_text_are_what_is_printed() {
    let text = text();
    let checksums: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("checksum "))
        .collect();
    let images = text
        .lines()
        .find_map(|line| line.strip_prefix("gallery_data gallery "));
    let folder = Scratch::new("tutorial-checksum-text");
    let generated = run(folder.path(), &["gallery_data", "gallery", images.unwrap()]);
    assert!(generated.status.success());
    let printed = answers(folder.path(), &[PROGRAMS[3], "gallery", "day.txt"]);
    assert!(checksums.len() >= 2, "{checksums:?}");
    for checksum in checksums {
        assert_eq!(printed.lines().last(), Some(checksum));
    }
}

#[test]
fn the_checksum_is_of_what_was_published_too() {
    let folder = folder("tutorial-checksum");
    let words = [PROGRAMS[3], "gallery", "quiet.txt"];
    let before = answers(folder.path(), &words);
    // Other tags of images that no request of that day names.
    let generated = run(folder.path(), &["gallery_data", "other", "9999"]);
    assert!(generated.status.success());
    let requests = folder.path().join("gallery/quiet.txt");
    std::fs::write(&requests, "complete nothing\n").unwrap();
    let few = answers(folder.path(), &words);
    std::fs::copy(&requests, folder.path().join("other/quiet.txt")).unwrap();
    let other = answers(folder.path(), &[PROGRAMS[3], "other", "quiet.txt"]);
    let checksum = |text: &str| text.lines().last().unwrap().to_owned();
    assert_eq!(few.lines().next(), other.lines().next(), "the same answers");
    assert_ne!(checksum(&few), checksum(&other), "of other images");
    assert_ne!(checksum(&few), checksum(&before));
}

/// Step 1: what the text reads out of the tags and the stages.
#[test]
fn the_measured_program_shows_that_images_come_first() {
    let text = text();
    let commands = commands(&text, "plimsoll run -- ");
    let [(words, _)] = &commands[..] else {
        panic!("one such command: {commands:?}");
    };
    let folder = folder("tutorial-measured");
    let mut arguments = vec![
        "run".to_owned(),
        "--recording".to_owned(),
        "run.plimsoll".to_owned(),
    ];
    arguments.extend(resolved(&words[2..]));
    let call = Plimsoll::new(arguments).in_folder(folder.path()).call();
    assert_eq!(call.code, Some(0), "{}", call.stderr);
    let tag_peak = |name: &str| -> f64 {
        let lines = call.stderr.lines();
        let mut lines = lines.filter(|line| line.starts_with(name) && line.contains(" blocks"));
        let line = lines.next().unwrap_or_else(|| panic!("no tag {name}"));
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    for other in ["model", "copy", "changes", "index", "answers"] {
        assert!(
            tag_peak(other) < tag_peak("images"),
            "{other}: {}",
            call.stderr
        );
    }
    let report = ["report", "--format", "json", "run.plimsoll"];
    let report = Plimsoll::new(report).in_folder(folder.path()).call().json();
    let stages = report["stages"].as_array().unwrap();
    let labels: Vec<&str> = stages
        .iter()
        .map(|stage| stage["label"].as_str().unwrap())
        .collect();
    let parts = ["model", "copy", "images", "changes", "index", "answers"];
    assert_eq!(labels[1..], parts);
}

/// The call of the text under its cap, in a folder of the tutorial.
fn under_cap(folder: &Scratch, program: &str) -> Call {
    let text = text();
    let commands = commands(&text, "plimsoll run --limit");
    let with = |word: &String| word == program;
    let found = commands.iter().find(|(words, _)| words.iter().any(with));
    let (words, _) = found.unwrap_or_else(|| panic!("no run of {program} in the text"));
    Plimsoll::new(resolved(&words[1..]))
        .in_folder(folder.path())
        .call()
}

#[test]
fn under_the_cap_the_first_dies_and_the_last_does_not() {
    let folder = folder("tutorial-cap");
    let wasteful = under_cap(&folder, PROGRAMS[0]);
    // Killed by a cgroup; where there is none, an allocation fails and the program aborts.
    assert_ne!(wasteful.code, Some(0), "{wasteful:?}");
    assert!(!wasteful.stdout.contains("checksum"), "{wasteful:?}");
    let expected = answers(folder.path(), &[PROGRAMS[0], "gallery", "day.txt"]);
    let bounded = under_cap(&folder, PROGRAMS[5]);
    assert_eq!(bounded.code, Some(0), "{}", bounded.stderr);
    assert!(bounded.stdout == expected, "the same answers");
}

#[test]
fn too_small_a_budget_is_an_error_that_names_holders() {
    let text = text();
    let commands = commands(&text, "gallery_5_budget");
    let [(words, output)] = &commands[..] else {
        panic!("one such command: {commands:?}");
    };
    let folder = folder("tutorial-budget");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = run(folder.path(), &words);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    for part in [
        "Error: ",
        "reserve ",
        "\"index\"",
        "\"batch\"",
        "raise the limit",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
        assert!(output.contains(part), "{part:?} in {output}");
    }
}

#[test]
fn the_code_of_the_text_is_that_of_the_programs() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/tutorial/src");
    let mut source = std::fs::read_to_string(sources.join("measure.rs")).unwrap();
    for program in PROGRAMS {
        let path = sources.join("bin").join(format!("{program}.rs"));
        source += &std::fs::read_to_string(path).unwrap();
    }
    let text = text();
    let blocks = text.split("```rust\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 5, "only {} blocks were found", blocks.len());
    for part in blocks.iter().flat_map(|block| block.split("…\n")) {
        assert!(source.contains(part), "no program has {part}");
    }
}
