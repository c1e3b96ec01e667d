//! Every output of every verb: text fits 80 columns, JSON has the promised keys, CSV has constant
//! columns, and a reader that has had enough is no error.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use plimsoll_end_to_end::{Plimsoll, Report, Scratch};
use plimsoll_subjects::Subject;
use serde_json::Value;

/// A recording with a few breakdowns of something with threads and odd names.
fn recording(folder: &Scratch) -> String {
    let path = folder.file("it.plimsoll");
    let subject = Subject::executable("odd_file_names");
    let subject = subject.to_str().unwrap();
    let arguments = [
        "run",
        "--interval",
        "10ms",
        "--recording",
        &path,
        "--",
        subject,
    ];
    let mut running = Plimsoll::new(arguments).in_folder(folder.path()).start();
    assert!(running.line().starts_with("ready"));
    plimsoll_end_to_end::until("a breakdown is recorded", || {
        let look = Plimsoll::new(["report", "--format", "json", &path]).call();
        look.code == Some(0) && !look.json()["breakdowns"].as_array().unwrap().is_empty()
    });
    running.close_input();
    assert_eq!(running.end().code, Some(0));
    path
}

/// The output of each verb that has one, in a format, with more flags.
fn outputs(format: &str, flags: &[&str], check: impl Fn(&str, &str)) {
    let folder = Scratch::new("outputs");
    let recording = recording(&folder);
    let subjects = [
        Subject::start("odd_file_names", &[]),
        Subject::start("named_threads", &["--threads", "30"]),
        Subject::start("mapped_file_connections", &["--mib", "4"]),
    ];
    let mut calls: Vec<Vec<String>> = subjects
        .iter()
        .map(|subject| vec!["inspect".to_owned(), subject.pid.to_string()])
        .collect();
    let tree = Subject::start(
        "forked_copy_on_write",
        &["--mib", "4", "--rewrite-mib", "1"],
    );
    calls.push(vec![
        "inspect".to_owned(),
        "--tree".to_owned(),
        tree.pid.to_string(),
    ]);
    calls.push(vec!["ps".to_owned()]);
    calls.push(vec![
        "ps".to_owned(),
        "--group".to_owned(),
        "application".to_owned(),
    ]);
    calls.push(vec!["report".to_owned(), recording]);
    for call in calls {
        let own = call.iter().map(String::as_str);
        let arguments: Vec<&str> = own
            .chain(["--format", format])
            .chain(flags.iter().copied())
            .collect();
        let called = Plimsoll::new(&arguments).call();
        assert_eq!(called.stderr, "", "{arguments:?} talks");
        check(&arguments.join(" "), &called.ok());
    }
}

#[test]
fn text_fits_its_width() {
    for (flags, width) in [
        (&[][..], 80),
        (&["--all"], 80),
        (&["--depth", "0"], 80),
        (&["--top", "3"], 80),
        (&["--width", "120", "--depth", "3"], 120),
    ] {
        outputs("text", flags, |what, text| {
            assert!(text.lines().count() > 5, "{what}: {text}");
            for line in text.lines() {
                let columns = line.chars().map(columns).sum::<usize>();
                // A word that no line can hold, such as a path, may stand alone on its line.
                let words = line.split_whitespace().count();
                assert!(
                    columns <= width || words == 1,
                    "{what}: {columns} columns: {line:?}"
                );
                assert!(!line.ends_with(' '), "{what}: {line:?}");
            }
            assert!(!text.contains('\x1b'), "{what}: colour without a terminal");
        });
    }
}

/// Wide characters take two columns: enough of East Asian Width for what the subjects are called.
fn columns(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ff60}' => 2,
        _ => 1,
    }
}

#[test]
fn colour_is_asked_for() {
    let subject = Subject::start("locked", &[]);
    let pid = subject.pid.to_string();
    let with = Plimsoll::new(["inspect", "--color", "always", &pid])
        .call()
        .ok();
    assert!(with.contains('\x1b'), "{with:?}");
    let without = Plimsoll::new(["inspect", "--color", "never", &pid])
        .call()
        .ok();
    assert!(!without.contains('\x1b'), "{without:?}");
}

#[test]
fn json_has_the_promised_keys() {
    let of_component = [
        "name",
        "kind",
        "resident_bytes",
        "proportional_bytes",
        "private_bytes",
        "dirty_bytes",
        "swap_bytes",
        "reclaim",
        "detail",
    ];
    outputs("json", &[], |what, text| {
        let json: Value = serde_json::from_str(text).unwrap();
        assert_eq!(json["schema_version"], 1, "{what}");
        assert!(json["gaps"].is_array(), "{what}");
        match json["kind"].as_str().unwrap() {
            "breakdown" => {
                let report = Report::new(json);
                for key in ["verdict", "unattributed_bytes", "cost", "system", "cgroup"] {
                    assert!(report.json.get(key).is_some(), "{what}: {key}");
                }
                for component in report.components() {
                    for key in of_component {
                        assert!(component.get(key).is_some(), "{what}: {key} in {component}");
                    }
                }
            }
            "process_table" => assert!(!json["rows"].as_array().unwrap().is_empty()),
            "recording" => {
                assert!(!json["samples"].as_array().unwrap().is_empty());
                for timed in json["breakdowns"].as_array().unwrap() {
                    let _ = Report::new(timed["breakdown"].clone());
                }
            }
            other => panic!("{what}: {other}"),
        }
    });
}

/// Records and fields of RFC 4180, or what is wrong with the text.
fn parse_csv(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match (quoted, c) {
            (true, '"') if chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            (true, '"') => quoted = false,
            (true, c) => field.push(c),
            (false, '"') if field.is_empty() => quoted = true,
            (false, '"') => return Err(format!("a quote inside of {field:?}")),
            (false, ',') => record.push(std::mem::take(&mut field)),
            (false, '\n') => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            (false, '\r') if chars.peek() == Some(&'\n') => {}
            (false, c) => field.push(c),
        }
    }
    if quoted || !field.is_empty() || !record.is_empty() {
        return Err("the last line has no end".to_owned());
    }
    Ok(records)
}

#[test]
fn csv_has_constant_columns() {
    outputs("csv", &[], |what, text| {
        let records = parse_csv(text).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(records.len() > 1, "{what}: {text}");
        let header = &records[0];
        assert!(
            header.iter().all(|name| !name.is_empty()),
            "{what}: {header:?}"
        );
        for record in &records {
            assert_eq!(record.len(), header.len(), "{what}: {record:?}");
        }
        // A number stays a number.
        for (column, name) in header
            .iter()
            .enumerate()
            .filter(|(_, name)| name.ends_with("_bytes"))
        {
            for record in &records[1..] {
                let cell = &record[column];
                assert!(
                    cell.is_empty() || cell.parse::<u64>().is_ok(),
                    "{what}: {name} {cell:?}"
                );
            }
        }
    });
}

#[test]
fn csv_and_json_agree() {
    let subject = Subject::start("odd_file_names", &[]);
    let pid = subject.pid.to_string();
    let records = parse_csv(
        &Plimsoll::new(["inspect", "--format", "csv", &pid])
            .call()
            .ok(),
    )
    .unwrap();
    let column = |name: &str| records[0].iter().position(|column| column == name).unwrap();
    let (name, resident) = (column("name"), column("resident_bytes"));
    let report = Report::of(subject.pid);
    let files = report.find(|component| component["kind"] == "file");
    assert!(files.len() >= 8, "{}", report.outline());
    for file in files {
        // Control characters are escaped, so that each row is one line.
        let own = file["name"].as_str().unwrap();
        let own = own.replace('\n', "\\n").replace('\t', "\\t");
        let found = records.iter().find(|record| record[name] == own);
        let found = found.unwrap_or_else(|| panic!("{own:?} in {records:?}"));
        assert_eq!(found[resident], file["resident_bytes"].to_string());
    }
    let leaves = records[1..]
        .iter()
        .map(|record| record[resident].parse::<u64>().unwrap());
    let sum: u64 = leaves.sum();
    let moved = sum.abs_diff(report.resident());
    assert!(moved <= 64 << 10, "{sum} of {}", report.resident());
}

#[test]
fn a_reader_that_has_had_enough() {
    let subject = Subject::start("named_threads", &["--threads", "100"]);
    let pid = subject.pid.to_string();
    for format in ["text", "json", "csv", "html"] {
        for verb in [&["inspect", pid.as_str()][..], &["ps"]] {
            let arguments: Vec<&str> = [verb, &["--format", format]].concat();
            let mut running = Plimsoll::new(arguments).start();
            running.close_output();
            let call = running.end();
            assert_eq!(call.code, Some(0), "{verb:?} {format}: {call:?}");
            assert_eq!(call.stderr, "", "{verb:?} {format}");
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let subject = Subject::start("locked", &[]);
    let pid = subject.pid.to_string();
    let call = Plimsoll::new(["inspect", &pid]).into_full_device().call();
    assert_eq!(call.code, Some(2), "{call:?}");
    assert!(call.stderr.contains("No space left"), "{call:?}");
}
