//! The pages of the real command on real processes, opened in a real headless browser.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::process::Command;

use plimsoll_end_to_end::{MIB, Plimsoll, Scratch, program, skip};
use plimsoll_subjects::Subject;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The document of `page` after its scripts have run; `None`, said aloud, without a browser.
fn open(name: &str, page: &str) -> Option<String> {
    check_offline(name, page);
    let Some(browser) = program(&BROWSERS) else {
        skip(name, format!("none of {BROWSERS:?} is installed"));
        return None;
    };
    let folder = Scratch::new("browser");
    let file = folder.file("page.html");
    std::fs::write(&file, page).unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            // A container's root has no sandbox to enter; the page is ours.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", folder.file("profile")))
        .arg(format!("file://{file}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    for fault in ["Uncaught", "Refused to", "CONSOLE:ERROR"] {
        assert!(!said.contains(fault), "{name}: {said}");
    }
    let document = String::from_utf8(output.stdout).unwrap();
    assert!(document.contains("</html>"), "{name}: {document:?}: {said}");
    Some(document)
}

/// Nothing in the page points outside of it.
fn check_offline(name: &str, page: &str) {
    for attribute in [
        "src=\"",
        "href=\"",
        "url(",
        "@import",
        "fetch(",
        "XMLHttpRequest",
    ] {
        for (at, _) in page.match_indices(attribute) {
            let target =
                &page[at + attribute.len()..][..page.len().min(at + 60) - at - attribute.len()];
            let outside = target.starts_with("http") || target.starts_with("//");
            assert!(
                !outside && !attribute.ends_with('('),
                "{name}: {attribute}{target}"
            );
        }
    }
}

/// Text between the first `start` after `from` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let begin = text.find(start)? + start.len();
    let length = text[begin..].find(end)?;
    Some(&text[begin..begin + length])
}

/// "1.50 MiB" as bytes, with the room of its last digit.
fn parse_bytes(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap_or_else(|| panic!("{text:?}"));
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("{text:?}"));
    let units = ["B", "KiB", "MiB", "GiB"];
    let power = units
        .iter()
        .position(|known| *known == unit)
        .unwrap_or_else(|| panic!("{text:?}"));
    number * 1024_f64.powi(i32::try_from(power).unwrap())
}

/// The first figures of the top rows of the owners' table, and that of its last line.
fn owners(document: &str) -> (Vec<f64>, f64) {
    let table = between(document, "<table id=\"components\"", "</table>").expect("owners");
    let (rows, foot) = table.split_once("<tfoot>").expect("a sum");
    let figure = |row: &str| parse_bytes(between(row, "<td class=\"n\">", "</td>").unwrap());
    let top = rows.split("<tr").filter(|row| row.contains("--depth:0"));
    (top.map(figure).collect(), figure(foot))
}

fn check_owners(name: &str, document: &str) -> f64 {
    let (rows, sum) = owners(document);
    assert!(rows.len() > 3, "{name}: {rows:?}");
    let added: f64 = rows.iter().sum();
    // Each figure is rounded to three digits.
    assert!(
        (added - sum).abs() <= sum * 0.006,
        "{name}: {added} of {sum}"
    );
    let tiles = document.matches("class=\"tile").count();
    assert!(tiles >= 3, "{name}: {tiles} tiles");
    sum
}

#[test]
fn inspect() {
    let subject = Subject::start(
        "memfd",
        &["--mib", "16", "--name", "<img src=x onerror=alert(1)>"],
    );
    let pid = subject.pid.to_string();
    let page = Plimsoll::new(["inspect", "--format", "html", &pid])
        .call()
        .ok();
    let Some(document) = open("inspect", &page) else {
        return;
    };
    let sum = check_owners("inspect", &document);
    assert!(sum >= (16 * MIB) as f64 && sum < (24 * MIB) as f64, "{sum}");
    assert!(!document.contains("<img"), "a name became markup");
    assert!(document.contains("&lt;img src=x"), "the name is shown");
}

#[test]
fn ps() {
    let subject = Subject::start("locked", &[]);
    let page = Plimsoll::new(["ps", "--format", "html"]).call().ok();
    let Some(document) = open("ps", &page) else {
        return;
    };
    assert!(
        document.contains(&format!(">{}<", subject.pid)),
        "the subject is listed"
    );
    assert!(document.matches("class=\"tile").count() >= 2);
    let table = between(&document, "<table class=\"sortable\"", "</table>").unwrap();
    let (rows, foot) = table.split_once("<tfoot>").unwrap();
    let figure = |row: &str| -> Option<i64> { between(row, "data-v=\"", "\"")?.parse().ok() };
    let body = rows
        .split("<tr")
        .filter(|row| row.contains("scope=\"row\""));
    let sum: i64 = body.filter_map(figure).filter(|bytes| *bytes > 0).sum();
    assert_eq!(Some(sum), figure(foot));
}

#[test]
fn report() {
    let folder = Scratch::new("report-page");
    let recording = folder.file("it.plimsoll");
    let grower = Subject::executable("grower");
    let grower = grower.to_str().unwrap();
    let arguments = [
        "run",
        "--interval",
        "10ms",
        "--recording",
        &recording,
        "--",
        grower,
    ];
    let mut running = Plimsoll::new(arguments).start();
    assert!(running.line().starts_with("ready"));
    let look = || Plimsoll::new(["report", "--format", "json", &recording]).call();
    for step in ["8192", "16384"] {
        running.send(step);
        let _ = running.line();
        let least = step.parse::<u64>().unwrap() * 1024;
        plimsoll_end_to_end::until("a breakdown of it is recorded", || {
            let call = look();
            call.code == Some(0)
                && call.json()["peak"]["composition"]["rss_bytes"].as_u64() >= Some(least)
        });
    }
    running.close_input();
    assert_eq!(running.end().code, Some(0));
    let page = Plimsoll::new(["report", "--format", "html", &recording])
        .call()
        .ok();
    let Some(document) = open("report", &page) else {
        return;
    };
    check_owners("report", &document);
    let chart = between(&document, "<svg", "</svg>").expect("a chart over time");
    assert!(
        chart.matches("<polygon").count() >= 2,
        "areas by owner: {chart}"
    );
    assert!(
        document.contains("type=\"range\""),
        "a slider to pick a time"
    );
}
