//! What the README tells the reader to type is there: every verb and every flag.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::Plimsoll;

const PAGES: [&str; 2] = ["README.md", "docs"];

/// Pages of the workspace that readers type from.
fn pages() -> Vec<(String, String)> {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut left: Vec<_> = PAGES.iter().map(|page| workspace.join(page)).collect();
    let mut pages = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push((
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            ));
        }
    }
    pages
}

/// The arguments of every call of the tool in a page: `$ plimsoll …` lines of console blocks, and
/// backquoted `plimsoll …` in the text.
fn calls(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut in_console = false;
    let mut in_block = false;
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_block = !in_block;
            in_console = in_block && matches!(language, "console" | "sh");
        } else if in_console {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            found.extend(arguments(line));
        } else if !in_block {
            found.extend(line.split('`').skip(1).step_by(2).filter_map(arguments));
        }
    }
    found
}

/// What a shell would pass to the tool, up to the first pipe, redirection or `--`.
fn arguments(line: &str) -> Option<Vec<String>> {
    let line = line.trim().strip_prefix("sudo ").unwrap_or(line.trim());
    // `cargo run --release -- …` is the tool at the root alone: in bench/ it is the benchmarks.
    let rest = line.strip_prefix("plimsoll ")?;
    let words = rest.split_whitespace();
    let words = words.take_while(|word| !matches!(*word, "|" | ">" | "--" | "#" | "&&" | ";"));
    Some(
        words
            .map(|word| word.trim_matches('\'').to_owned())
            .collect(),
    )
}

#[test]
fn what_readers_are_told_to_type_exists() {
    let mut checked = 0;
    for (path, text) in pages() {
        for call in calls(&text) {
            let Some(verb) = call.first().filter(|verb| !verb.starts_with('-')) else {
                continue;
            };
            let help = Plimsoll::new([verb, "--help"]).call();
            assert_eq!(help.code, Some(0), "{path}: no verb {verb}: {call:?}");
            for flag in call.iter().filter(|word| word.starts_with('-')) {
                let flag = flag.split('=').next().unwrap();
                let known = help
                    .stdout
                    .split(|c: char| c.is_whitespace() || c == ',' || c == '=');
                let known = known.into_iter().any(|word| word == flag);
                assert!(known, "{path}: plimsoll {verb} has no {flag}: {call:?}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 8, "only {checked} calls were found");
}

#[test]
fn the_first_screen_of_the_readme_runs_the_tool() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let run = "$ cargo run --release -- ";
    let first = text
        .lines()
        .take(40)
        .find_map(|line| line.strip_prefix(run));
    let call = first.expect("the README begins with a command that runs the tool");
    let verb = call.split_whitespace().next().unwrap();
    assert_eq!(
        Plimsoll::new([verb, "--help"]).call().code,
        Some(0),
        "{call}"
    );
    assert!(
        text.contains("$ cargo test --workspace"),
        "and one that runs all tests"
    );
}

#[test]
fn every_verb_has_help_with_its_flags_units() {
    let help = Plimsoll::new(["--help"]).call().ok();
    for verb in [
        "inspect",
        "ps",
        "run",
        "record",
        "watch",
        "report",
        "leak",
        "scale",
        "compare",
        "check",
        "mark",
        "facilities",
    ] {
        assert!(help.contains(verb), "{verb}: {help}");
        let own = Plimsoll::new([verb, "--help"]).call().ok();
        assert!(own.contains("Usage: plimsoll"), "{verb}: {own}");
    }
    assert!(help.contains("Exit codes"), "{help}");
    assert!(
        Plimsoll::new(["--version"])
            .call()
            .ok()
            .starts_with("plimsoll ")
    );
}

#[test]
fn calls_are_found_in_a_page() {
    let page = "Use `plimsoll ps` or:\n```console\n$ plimsoll inspect --tree 1 | less\n```\n";
    assert_eq!(calls(page), [vec!["ps"], vec!["inspect", "--tree", "1"]]);
}
