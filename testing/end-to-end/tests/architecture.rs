//! The arrows between crates are those of ARCHITECTURE.md and no others.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate of the workspace with the workspace crates it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("plimsoll-model", &[]),
    ("plimsoll-anatomy", &["plimsoll-model"]),
    ("plimsoll-analysis", &["plimsoll-model"]),
    ("plimsoll-probe", &["plimsoll-model"]),
    ("plimsoll-provenance", &["plimsoll-model"]),
    ("plimsoll-recording", &["plimsoll-model"]),
    ("plimsoll-render", &["plimsoll-model"]),
    ("plimsoll-runner", &["plimsoll-model", "plimsoll-probe"]),
    (
        "plimsoll-cli",
        &[
            "plimsoll-model",
            "plimsoll-anatomy",
            "plimsoll-analysis",
            "plimsoll-probe",
            "plimsoll-provenance",
            "plimsoll-recording",
            "plimsoll-render",
            "plimsoll-runner",
        ],
    ),
    ("plimsoll", &[]),
    // Programs use the library alone, as anybody's do.
    (
        "plimsoll-booru",
        &[
            "plimsoll",
            "plimsoll-booru-picture",
            "plimsoll-booru-worker-protocol",
        ],
    ),
    ("plimsoll-booru-picture", &["plimsoll"]),
    ("plimsoll-mirror", &["plimsoll"]),
    // The board links this, and no model runtime behind it.
    ("plimsoll-booru-worker-protocol", &[]),
    (
        "plimsoll-booru-tagger",
        &[
            "plimsoll",
            "plimsoll-booru-picture",
            "plimsoll-booru-worker-protocol",
        ],
    ),
    ("plimsoll-subjects", &["plimsoll"]),
    ("plimsoll-subjects-jemalloc", &["plimsoll-subjects"]),
    ("plimsoll-tutorial", &["plimsoll"]),
    ("plimsoll-ledger-allocators", &["plimsoll"]),
    ("plimsoll-s3-simulator", &[]),
    ("plimsoll-end-to-end", &["plimsoll-subjects"]),
];

/// Crates that open no file, read no clock and start no process: what they may use besides
/// workspace crates is pure too.
const PURE: &[(&str, &[&str])] = &[
    ("plimsoll-model", &["serde"]),
    ("plimsoll-anatomy", &["crc32fast"]),
    ("plimsoll-analysis", &["fastrand", "statrs"]),
    ("plimsoll-render", &["serde", "serde_json"]),
];

#[derive(Debug)]
struct Arrows {
    /// Normal and build dependencies by crate.
    shipped: BTreeMap<String, BTreeSet<String>>,
    /// Dependencies of tests alone.
    tests: BTreeMap<String, BTreeSet<String>>,
}

fn read_arrows() -> Arrows {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, so it can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut arrows = Arrows {
        shipped: BTreeMap::new(),
        tests: BTreeMap::new(),
    };
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap().to_owned();
        arrows.shipped.entry(name.clone()).or_default();
        for dependency in package["dependencies"].as_array().unwrap() {
            let room = if dependency["kind"] == "dev" {
                &mut arrows.tests
            } else {
                &mut arrows.shipped
            };
            let on = dependency["name"].as_str().unwrap().to_owned();
            room.entry(name.clone()).or_default().insert(on);
        }
    }
    arrows
}

/// Arrows that `allowed` does not name.
fn forbidden(
    arrows: &BTreeMap<String, BTreeSet<String>>,
    allowed: &[(&str, &[&str])],
    counts: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for (from, tos) in arrows {
        let row = allowed
            .iter()
            .find(|(name, _)| name == from)
            .map(|(_, to)| *to);
        for to in tos.iter().filter(|to| counts(to)) {
            if !row.is_some_and(|row| row.contains(&to.as_str())) {
                found.push(format!("{from} -> {to}"));
            }
        }
    }
    found
}

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let arrows = read_arrows();
    let ours = |name: &str| name.starts_with("plimsoll");
    assert_eq!(
        forbidden(&arrows.shipped, ALLOWED, ours),
        Vec::<String>::new()
    );
    let unknown: Vec<_> = arrows
        .shipped
        .keys()
        .filter(|name| !ALLOWED.iter().any(|(known, _)| known == name))
        .collect();
    assert!(
        unknown.is_empty(),
        "crates without a row in ALLOWED: {unknown:?}"
    );
    // Tests may start subjects and the simulated S3, and nothing that ships may depend on a test crate.
    let for_tests = ["plimsoll-subjects", "plimsoll-s3-simulator"];
    for (from, tos) in &arrows.tests {
        for to in tos.iter().filter(|to| ours(to)) {
            let row = ALLOWED
                .iter()
                .find(|(name, _)| name == from)
                .map_or(&[][..], |(_, to)| *to);
            assert!(
                for_tests.contains(&to.as_str()) || row.contains(&to.as_str()),
                "{from} -> {to} in tests"
            );
        }
    }
}

#[test]
fn pure_crates_use_pure_libraries() {
    let arrows = read_arrows();
    for (name, allowed) in PURE {
        for to in &arrows.shipped[*name] {
            assert!(
                to.starts_with("plimsoll") || allowed.contains(&to.as_str()),
                "{name} is pure and must not use {to}"
            );
        }
    }
}

#[test]
fn a_forbidden_arrow_is_found() {
    let arrows = BTreeMap::from([(
        "plimsoll-model".to_owned(),
        BTreeSet::from(["plimsoll-probe".to_owned(), "serde".to_owned()]),
    )]);
    let found = forbidden(&arrows, ALLOWED, |name| name.starts_with("plimsoll"));
    assert_eq!(found, ["plimsoll-model -> plimsoll-probe"]);
}
