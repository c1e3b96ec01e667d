//! `plimsoll leak` on real programs whose growth is known: a leak is found with its true bytes, and
//! nothing that stands still or comes back is called one.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll_end_to_end::{Scratch, experiment, number, skip, subject, text};
use plimsoll_subjects::Program;

/// Cycles of each program: enough for a verdict, in a second or two.
const CYCLES: &str = "300";
/// `cycles` grows by this in each cycle.
const STEP: f64 = 65_536.0;
/// Programs that may stay open: whatever wanders has no level that could be told from so few cycles.
const INCONCLUSIVE_MAX: usize = 3;

/// What is true of a program.
#[derive(Clone, Copy, Debug)]
enum Truth {
    /// It grows by so many bytes in each cycle: from and to.
    Grows(f64, f64),
    /// It stands still, or comes back, or stops.
    Stays,
    /// It grows, but by ever larger steps ever farther apart: only FLAT and BOUNDED are wrong.
    Steps,
}

struct Row {
    name: String,
    truth: Truth,
    command: Vec<String>,
    flags: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Right,
    Wrong,
    Inconclusive,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Judged::Right => "right",
            Judged::Wrong => "WRONG",
            Judged::Inconclusive => "inconclusive",
        })
    }
}

fn judged(truth: Truth, class: &str, growth: f64) -> Judged {
    match (truth, class) {
        (_, "inconclusive") => Judged::Inconclusive,
        (Truth::Grows(low, high), "growing") if (low..=high).contains(&growth) => Judged::Right,
        (Truth::Stays, "flat" | "bounded") | (Truth::Steps, "growing") => Judged::Right,
        _ => Judged::Wrong,
    }
}

/// As `cycles` documents its shapes.
fn own_rows() -> Vec<Row> {
    let exactly = Truth::Grows(0.97 * STEP, 1.03 * STEP);
    // 65 blocks of 1000 bytes are chunks of 1008, and 24 bytes each in the table of them.
    let in_blocks = Truth::Grows(0.95 * 67_080.0, 1.05 * 67_080.0);
    // A child has pages of its own beside what it holds, as a thread has a stack.
    let and_more = Truth::Grows(STEP, 1.6 * STEP);
    let rows = [
        ("flat", Truth::Stays),
        ("warm_up", Truth::Stays),
        ("cache", Truth::Stays),
        ("teeth", Truth::Stays),
        ("file", Truth::Stays),
        ("wander", Truth::Stays),
        ("fragments", Truth::Stays),
        ("leak", exactly),
        ("noisy_leak", exactly),
        ("teeth_leak", Truth::Grows(0.9 * STEP, 1.1 * STEP)),
        ("late_leak", exactly),
        ("shared_leak", exactly),
        ("blocks_leak", in_blocks),
        ("child_leak", and_more),
        ("thread_leak", and_more),
        ("doubling", Truth::Steps),
    ];
    let command = |shape: &str| {
        let words = [&subject("cycles"), "--count", "{i}", "--shape", shape];
        words.map(str::to_owned).to_vec()
    };
    rows.map(|(shape, truth)| Row {
        name: shape.to_owned(),
        truth,
        command: command(shape),
        flags: &[],
    })
    .into()
}

/// Those of other runtimes, which grow by a page now and then for reasons of their own: growth under
/// a quarter of a page in each cycle is no leak of theirs.
fn foreign_rows(program: Program, language: &str, shapes: &[(&str, Truth)]) -> Vec<Row> {
    let command = match program.command() {
        Ok(command) => command,
        Err(skipped) => {
            skip(&format!("leaks in {language}"), skipped);
            return Vec::new();
        }
    };
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    let row = |(shape, truth): &(&str, Truth)| Row {
        name: format!("{language} {shape}"),
        truth: *truth,
        command: [
            &words[..],
            &["--count", "{i}", "--shape", shape].map(str::to_owned),
        ]
        .concat(),
        flags: &["--ignore-below", "1KiB"],
    };
    shapes.iter().map(row).collect()
}

fn rows() -> Vec<Row> {
    let python = [
        // An object of 20000 bytes with its head, in a block of malloc.
        ("list_leak", Truth::Grows(19_500.0, 21_000.0)),
        // 100 keys, and as many bytearrays of 100 bytes, in a table that grows by steps.
        ("dict_leak", Truth::Grows(20_000.0, 42_000.0)),
        ("lru", Truth::Stays),
        ("cursors", Truth::Stays),
        ("generators", Truth::Stays),
        ("garbage", Truth::Stays),
    ];
    let node = [
        // The collector gives back what it needs for itself in between.
        ("buffer_leak", Truth::Grows(0.85 * STEP, 1.25 * STEP)),
        ("churn", Truth::Stays),
    ];
    let mut rows = own_rows();
    rows.extend(foreign_rows(Program::PythonCycles, "python", &python));
    rows.extend(foreign_rows(Program::NodeCycles, "node", &node));
    rows
}

/// A line of the table, and how it is.
fn run(row: &Row) -> (String, Judged) {
    let folder = Scratch::new("leak-truth");
    let flags = [&["--iterations", CYCLES], row.flags].concat();
    let call = experiment("leak", &flags, &row.command)
        .in_folder(folder.path())
        .call();
    let json: serde_json::Value = serde_json::from_str(&call.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {call:?}", row.name));
    let class = text(&json, "/own/class");
    let code = match class {
        "growing" => 1,
        "inconclusive" => 3,
        _ => 0,
    };
    assert_eq!(call.code, Some(code), "{}: {class}", row.name);
    let growth = json.pointer("/own/slope_bytes_per_unit/value");
    let growth = growth.and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let judged = judged(row.truth, class, growth);
    assert!(
        number(&json, "/own/points") >= 299.0,
        "{}: {json:#}",
        row.name
    );
    let doubts = json["own"]["doubts"].as_array().unwrap().iter();
    let doubts: Vec<&str> = doubts.map(|doubt| text(doubt, "/kind")).collect();
    let line = format!(
        "{:<20} {:<13} {growth:>9.0}  {judged:<13} {:?} {}",
        row.name,
        class,
        row.truth,
        doubts.join(" ")
    );
    (line, judged)
}

#[test]
fn leaks_are_found_and_nothing_else_is() {
    let rows = rows();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (line, judged) = run(row);
                    results.lock().unwrap().push((line, judged));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let mut lines: Vec<&str> = results.iter().map(|(line, _)| line.as_str()).collect();
    lines.sort_unstable();
    let table = lines.join("\n");
    eprintln!("program              class         bytes/cycle  verdict       truth\n{table}");
    let count = |of: Judged| results.iter().filter(|(_, judged)| *judged == of).count();
    let [right, wrong, inconclusive] =
        [Judged::Right, Judged::Wrong, Judged::Inconclusive].map(count);
    // Past the test harness, which hides what a test that passes prints.
    writeln!(
        std::io::stderr(),
        "leak truth table: {} programs, {right} right, {wrong} wrong, {inconclusive} inconclusive",
        rows.len()
    )
    .unwrap();
    assert_eq!(wrong, 0, "\n{table}");
    assert!(inconclusive <= INCONCLUSIVE_MAX, "\n{table}");
    assert!(rows.len() >= 16);
}
