//! `plimsoll record`: attaches to a process, is stopped at any time in any way, and loses nothing
//! but the last second.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime};

use plimsoll_end_to_end::{MIB, Plimsoll, Scratch, program, skip, until};
use plimsoll_subjects::Subject;
use serde_json::Value;

fn record(pid: u32, recording: &str, flags: &[&str]) -> Plimsoll {
    let pid = pid.to_string();
    let arguments = ["record", "--pid", &pid, "--recording", recording];
    Plimsoll::new(arguments.iter().chain(flags))
}

/// The report of a recording that may still be written; `Null` while it has nothing to show.
fn look(recording: &str) -> Value {
    let call = Plimsoll::new(["report", "--format", "json", recording]).call();
    if call.code == Some(0) {
        call.json()
    } else {
        Value::Null
    }
}

fn has_samples(recording: &str) -> bool {
    look(recording)["samples"]
        .as_array()
        .is_some_and(|samples| !samples.is_empty())
}

#[test]
fn stopped_by_a_signal() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let folder = Scratch::new("record-stopped");
        let recording = folder.file("it.plimsoll");
        let subject = Subject::start("steady_anonymous", &["--mib", "8"]);
        let running = record(
            subject.pid,
            &recording,
            &["--interval", "10ms", "--format", "json"],
        )
        .start();
        until("samples are recorded", || has_samples(&recording));
        running.signal(signal);
        let call = running.end();
        let printed = call.json();
        assert_eq!(printed["complete"], true);
        assert_eq!(printed["exit_code"], Value::Null, "the subject lives on");
        assert_eq!(printed["root_pid"], subject.pid);
        let peak = printed["peak"]["rss_bytes"].as_u64().unwrap();
        assert!((8 * MIB..12 * MIB).contains(&peak), "{peak}");
        assert_eq!(look(&recording), printed);
        assert!(subject.finish().success(), "the subject was not touched");
    }
}

#[test]
fn ends_with_the_subject() {
    let folder = Scratch::new("record-ends");
    let recording = folder.file("it.plimsoll");
    let subject = Subject::start("steady_anonymous", &["--mib", "4"]);
    let running = record(subject.pid, &recording, &["--interval", "10ms"]).start();
    until("samples are recorded", || has_samples(&recording));
    assert!(subject.finish().success());
    let call = running.end();
    let text = call.ok();
    assert!(text.contains("Peak"), "{text}");
    let report = look(&recording);
    assert_eq!(report["complete"], true);
    assert!(
        report["processes"][0]["ended_seconds"].is_number(),
        "{}",
        report["processes"]
    );
}

#[test]
fn stops_after_a_stated_time() {
    let folder = Scratch::new("record-duration");
    let recording = folder.file("it.plimsoll");
    let subject = Subject::start("locked", &[]);
    let flags = ["--duration", "300ms", "--interval", "50ms"];
    let _ = record(subject.pid, &recording, &flags).call().ok();
    let report = look(&recording);
    assert_eq!(report["complete"], true);
    let length = report["length_seconds"].as_f64().unwrap();
    assert!(length >= 0.3, "{length}");
}

/// SIGKILL at any moment: what was seen more than a second before is there, and the file is whole.
#[test]
fn a_killed_recorder_loses_at_most_the_last_second() {
    let folder = Scratch::new("record-killed");
    let recording = folder.file("it.plimsoll");
    let mut subject = Subject::start("saw_tooth", &["--step-mib", "2", "--steps", "4"]);
    let running = record(subject.pid, &recording, &["--interval", "10ms"]).start();
    until("two seconds are recorded", || {
        subject.tell("");
        look(&recording)["length_seconds"].as_f64() >= Some(2.0)
    });
    running.signal(libc::SIGKILL);
    let killed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(running.end().signal, Some(libc::SIGKILL));
    let report = look(&recording);
    assert_eq!(report["complete"], false);
    let started = Duration::from_secs_f64(report["started_at_unix_seconds"].as_f64().unwrap());
    let length = Duration::from_secs_f64(report["length_seconds"].as_f64().unwrap());
    let lost = killed.saturating_sub(started + length);
    assert!(
        lost <= Duration::from_secs(1),
        "{lost:?} of {length:?} are lost"
    );
    let text = Plimsoll::new(["report", &recording]).call().ok();
    let said = text.contains("incomplete") || text.contains("cut off");
    assert!(said, "{text}");
    let check = sqlite(&recording, "PRAGMA integrity_check");
    assert!(check.is_none_or(|answer| answer.trim() == "ok"));
    assert!(subject.finish().success());
}

/// What a client's program says to `query`; `None`, said aloud, without the program.
fn sqlite(recording: &str, query: &str) -> Option<String> {
    if program(&["sqlite3"]).is_none() {
        skip(
            "the tables as any client sees them",
            "sqlite3 is not installed",
        );
        return None;
    }
    let output = Command::new("sqlite3")
        .args(["-readonly", recording, query])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{query}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Columns by table as docs/reference/recording.md has them: backquoted words of the first column
/// of each table, or of the text where a section has no table.
fn documented() -> BTreeMap<String, Vec<String>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/recording.md"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let mut tables = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap();
        let Some(table) = title
            .strip_prefix('`')
            .and_then(|title| title.strip_suffix('`'))
        else {
            continue;
        };
        let rows: Vec<&str> = body
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let cells: String = if rows.is_empty() || table == "plimsoll" {
            // "Facts …, one a row: `key`, `value`." and "…: `id`, `name`, …".
            let list = body.split_once(':').map_or(body, |(_, list)| list);
            let list = list.split("\n\n").next().unwrap();
            list.to_owned()
        } else {
            rows.iter()
                .map(|row| row.split('|').nth(1).unwrap())
                .collect()
        };
        let quoted = cells.split('`').skip(1).step_by(2).map(str::to_owned);
        let columns: Vec<String> = quoted
            .filter(|word| !word.is_empty() && !tables.contains_key(word.as_str()))
            .collect();
        tables.insert(table.to_owned(), columns);
    }
    tables
}

#[test]
fn the_documented_tables_are_there() {
    let folder = Scratch::new("tables");
    let recording = folder.file("it.plimsoll");
    let arguments = ["run", "--recording", &recording, "--", "sleep", "0.2"];
    assert_eq!(Plimsoll::new(arguments).call().code, Some(0));
    let tables = documented();
    let expected = [
        "breakdown",
        "component",
        "component_usage",
        "event",
        "gap",
        "owner",
        "plimsoll",
        "pressure",
        "process",
        "sample",
        "stage",
    ];
    assert_eq!(tables.keys().collect::<Vec<_>>(), expected);
    for (table, columns) in &tables {
        let query = format!("SELECT group_concat(name) FROM pragma_table_info('{table}')");
        let Some(found) = sqlite(&recording, &query) else {
            return;
        };
        let mut found: Vec<&str> = found.trim().split(',').collect();
        let mut columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        found.sort_unstable();
        columns.sort_unstable();
        assert_eq!(found, columns, "{table}");
    }
    // The examples of the page answer.
    let peak =
        "SELECT at_us / 1e6, sum(rss_bytes) FROM sample GROUP BY at_us ORDER BY 2 DESC LIMIT 1";
    let peak = sqlite(&recording, peak).unwrap();
    let told = look(&recording)["peak"]["rss_bytes"].to_string();
    assert!(peak.trim().ends_with(&format!("|{told}")), "{peak} {told}");
    let parts =
        "SELECT sum(resident_bytes) FROM component WHERE parent IS NULL AND breakdown_id = 1";
    let whole = "SELECT resident_bytes FROM breakdown WHERE id = 1";
    assert_eq!(sqlite(&recording, parts), sqlite(&recording, whole));
}

#[test]
fn a_damaged_recording_gets_one_clear_error() {
    let folder = Scratch::new("damaged");
    let recording = folder.file("it.plimsoll");
    let arguments = [
        "run",
        "--interval",
        "5ms",
        "--recording",
        &recording,
        "--",
        "sleep",
        "0.3",
    ];
    assert_eq!(Plimsoll::new(arguments).call().code, Some(0));
    let bytes = std::fs::read(&recording).unwrap();
    let refused = |name: &str, bytes: &[u8], words: &[&str]| {
        let path = folder.file(name);
        std::fs::write(&path, bytes).unwrap();
        Plimsoll::new(["report", &path]).call().refused(words);
    };
    refused(
        "truncated.plimsoll",
        &bytes[..bytes.len() / 2],
        &["truncated.plimsoll"],
    );
    refused("header.plimsoll", &bytes[..100], &["header.plimsoll"]);
    // The user version is at byte 60 of a SQLite file, big-endian (sqlite.org/fileformat2.html).
    let mut newer = bytes.clone();
    newer[60..64].copy_from_slice(&1000_u32.to_be_bytes());
    refused(
        "newer.plimsoll",
        &newer,
        &["newer.plimsoll", "1000", "newer"],
    );
    // The application id is at byte 68: another program's database.
    let mut foreign = bytes.clone();
    foreign[68..72].copy_from_slice(&[0; 4]);
    refused(
        "foreign.plimsoll",
        &foreign,
        &["foreign.plimsoll", "not a plimsoll recording"],
    );
    let mut torn = bytes;
    for byte in &mut torn[8192..12288] {
        *byte = 0xa5;
    }
    refused("torn.plimsoll", &torn, &["torn.plimsoll"]);
}
