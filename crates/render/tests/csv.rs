//! CSV as spreadsheets read it: snapshots, a reader of RFC 4180 that gets every field back, and
//! rows that sum to the totals.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_render::{
    Format, TextOptions, render_breakdown, render_process_table, render_recorded,
};

fn breakdown_csv(breakdown: &plimsoll_model::Breakdown) -> String {
    let mut out = Vec::new();
    render_breakdown(breakdown, Format::Csv, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn table_csv(table: &plimsoll_model::ProcessTable) -> String {
    let mut out = Vec::new();
    render_process_table(table, Format::Csv, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn recorded_csv(recorded: &plimsoll_model::Recorded) -> String {
    let mut out = Vec::new();
    render_recorded(recorded, Format::Csv, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_service() {
    insta::assert_snapshot!(breakdown_csv(&fixture::service()));
}

#[test]
fn processes() {
    insta::assert_snapshot!(table_csv(&fixture::process_table()));
}

#[test]
fn a_run() {
    let mut recorded = fixture::recorded();
    recorded.samples.truncate(3);
    insta::assert_snapshot!(recorded_csv(&recorded));
}

#[test]
fn a_run_in_stages() {
    let mut recorded = fixture::staged_recorded();
    recorded
        .samples
        .retain(|sample| sample.at.as_secs() % 50 < 3);
    insta::assert_snapshot!(recorded_csv(&recorded));
}

/// Records of RFC 4180: quoted fields, doubled quotes, CRLF line ends.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let record = records.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                record.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'), "a bare return");
                records.push(vec![String::new()]);
            }
            c => record.last_mut().unwrap().push(c),
        }
    }
    let last = records.pop().unwrap();
    assert_eq!(last, [""], "the last line has its end");
    records
}

#[test]
fn leaves_sum_to_the_total() {
    let breakdown = fixture::service();
    let records = records(&breakdown_csv(&breakdown));
    let column = records[0].iter().position(|name| name == "resident_bytes");
    let column = column.unwrap();
    let sum: u64 = records[1..]
        .iter()
        .map(|record| record[column].parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum, breakdown.totals.usage.resident.0);
}

#[test]
fn hostile_names_are_one_harmless_field() {
    for text in [
        breakdown_csv(&fixture::hostile_breakdown()),
        table_csv(&fixture::hostile_table()),
        recorded_csv(&fixture::hostile_recorded()),
    ] {
        let records = records(&text);
        for record in &records {
            assert_eq!(record.len(), records[0].len());
            for field in record {
                assert!(
                    !field.starts_with(['=', '+', '-', '@', '\t', '\r']),
                    "{field}"
                );
                assert!(!field.chars().any(char::is_control), "{field}");
            }
        }
    }
    let first = records(&table_csv(&fixture::hostile_table()));
    assert!(first[3][0].starts_with("'=HYPERLINK"));
}
