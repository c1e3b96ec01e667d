//! The texts that leave: both formats are well-formed whatever the names are, and carry the figures.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::collections::HashSet;

use plimsoll::budget::{Budget, Policy};
use plimsoll::lazy::{Lazy, LazyOptions};
use plimsoll::ledger::{Ledger, Tag};
use plimsoll::monitor::MonitorOptions;

const NASTY: &str = "a\"b\\c\nd\u{1}é{}";

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

/// Two of one name are one series.
static FIRST: Tag = Tag::new(NASTY);
static SECOND: Tag = Tag::new(NASTY);
const TAGGED: usize = 5000;

/// Reads one JSON value, RFC 8259, and returns what follows.
fn json(text: &str) -> Result<&str, String> {
    let text = text.trim_start();
    match text.chars().next() {
        Some('{') => list(&text[1..], '}', true),
        Some('[') => list(&text[1..], ']', false),
        Some('"') => string(text),
        Some('-' | '0'..='9') => {
            let end = text.find(|c: char| !"+-.eE0123456789".contains(c));
            let (number, rest) = text.split_at(end.unwrap_or(text.len()));
            number.parse::<f64>().map_err(|error| error.to_string())?;
            Ok(rest)
        }
        _ => ["true", "false", "null"]
            .iter()
            .find_map(|word| text.strip_prefix(word))
            .ok_or_else(|| format!("no value: {text}")),
    }
}

/// The rest of an object (with keys) or an array.
fn list(text: &str, end: char, keys: bool) -> Result<&str, String> {
    let mut rest = text.trim_start();
    if let Some(rest) = rest.strip_prefix(end) {
        return Ok(rest);
    }
    loop {
        if keys {
            let after = string(rest.trim_start())?.trim_start();
            rest = after.strip_prefix(':').ok_or("no colon")?;
        }
        rest = json(rest)?.trim_start();
        if let Some(rest) = rest.strip_prefix(end) {
            return Ok(rest);
        }
        rest = rest.strip_prefix(',').ok_or("no comma")?;
    }
}

fn string(text: &str) -> Result<&str, String> {
    let mut chars = text.char_indices();
    if chars.next().map(|(_, c)| c) != Some('"') {
        return Err("no string".to_owned());
    }
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok(&text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'u')) => {
                    for _ in 0..4 {
                        let (_, digit) = chars.next().ok_or("short escape")?;
                        digit.to_digit(16).ok_or("no hex digit")?;
                    }
                }
                Some((_, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {}
                _ => return Err("bad escape".to_owned()),
            },
            char if char < ' ' => return Err("control character".to_owned()),
            _ => {}
        }
    }
    Err("no end of string".to_owned())
}

fn texts() -> (String, String) {
    let budget = Budget::new(1000, Policy::Greedy);
    let index = budget.consumer(NASTY);
    let reservation = index.reserve(600).unwrap();
    assert!(index.reserve(500).is_err());
    let lazy = Lazy::new(&budget, NASTY, LazyOptions::default(), |_| {
        Ok::<_, std::io::Error>(())
    });
    let monitor = MonitorOptions::default()
        .budget(NASTY, &budget)
        .lazy(&lazy)
        .start()
        .unwrap();
    let ((), _) = monitor.operation(NASTY, || ());
    let held = [&FIRST, &SECOND].map(|tag| tag.run(|| vec![1_u8; TAGGED]));
    let metrics = monitor.metrics();
    drop((reservation, held));
    (metrics.prometheus(), metrics.otlp_json(NASTY))
}

#[test]
fn prometheus_text_is_well_formed() {
    let (text, _) = texts();
    let mut families = HashSet::new();
    let mut series = HashSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(families.insert(name), "{name} twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = name;
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next(), Some(family), "{line}");
            value.parse::<f64>().unwrap();
            assert!(series.insert(name), "{name} twice");
        }
    }
    let label = "a\\\"b\\\\c\\nd\u{1}é{}";
    let line = format!(
        "plimsoll_budget_consumer_held_bytes{{budget=\"{label}\",consumer=\"{label}\"}} 600\n"
    );
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("plimsoll_process_rss_bytes "));
    let live = format!("plimsoll_tag_live_bytes{{tag=\"{label}\"}} ");
    let live = text
        .lines()
        .find_map(|line| line.strip_prefix(&live))
        .unwrap();
    // Another test of this process may hold its own at the same moment.
    let live: usize = live.parse().unwrap();
    assert!(live >= 2 * TAGGED && live.is_multiple_of(TAGGED), "{live}");
    assert!(text.contains("plimsoll_tag_live_bytes{tag=\"untagged\"} "));
    assert!(text.contains(&format!(
        "plimsoll_operation_total{{operation=\"{label}\"}} 1\n"
    )));
}

#[test]
fn otlp_is_json_of_the_protocol() {
    let (_, text) = texts();
    assert_eq!(json(&text), Ok(""), "{text}");
    assert!(text.starts_with(
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\""
    ));
    assert!(text.contains("\"name\":\"plimsoll.budget.held\",\"description\":"));
    assert!(text.contains("\"asInt\":\"600\""));
    assert!(
        text.contains("\"unit\":\"By\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true")
    );
    assert!(text.contains("a\\\"b\\\\c\\u000ad\\u0001é{}"));
}

/// Two series of one name and labels are refused by who reads them, so such names are refused first.
#[test]
fn names_that_no_metric_could_tell_apart_are_refused() {
    let budget = Budget::new(1000, Policy::Greedy);
    let lazy = || {
        Lazy::new(&budget, "model", LazyOptions::default(), |_| {
            Ok::<_, std::io::Error>(())
        })
    };
    let budgets = MonitorOptions::default()
        .budget("main", &budget)
        .budget("main", &budget);
    let lazies = MonitorOptions::default().lazy(&lazy()).lazy(&lazy());
    for (options, name) in [(budgets, "\"main\""), (lazies, "\"model\"")] {
        let error = options.start().unwrap_err();
        assert_eq!(error.kind(), plimsoll::ErrorKind::Invalid);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn the_reader_of_these_tests_refuses() {
    let check = |text: &str| assert_ne!(json(text), Ok(""), "{text}");
    [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "\"\u{1}\"",
        "\"\\x\"",
        "01x",
        "[1 2]",
    ]
    .into_iter()
    .for_each(check);
    assert_eq!(
        json(" {\"a\":[1,-2.5e3,{\"b\":null}],\"c\":\"\\u00e9\"}"),
        Ok("")
    );
}
