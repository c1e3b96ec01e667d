//! CSV as spreadsheets read it: snapshots, a reader of RFC 4180 that gets every field back, and
//! rows that sum to the totals.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_render::{
    CheckFormat, Format, TextOptions, render_breakdown, render_check, render_leak,
    render_process_table, render_recorded,
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

#[test]
fn leaves_sum_to_the_total() {
    let breakdown = fixture::service();
    let records = fixture::csv_records(&breakdown_csv(&breakdown));
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
        let records = fixture::csv_records(&text);
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
    let first = fixture::csv_records(&table_csv(&fixture::hostile_table()));
    assert!(first[3][0].starts_with("'=HYPERLINK"));
}

/// The tables of docs/reference/csv.md name the columns that are written, in their order.
#[test]
fn columns_are_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/csv.md");
    let page = std::fs::read_to_string(path).unwrap();
    let check = |section: &str, csv: &[u8]| {
        let (_, text) = page.split_once(&format!("\n## {section}\n")).unwrap();
        let text = text.split("\n## ").next().unwrap();
        let (_, table) = text.split_once("| column |").unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
        let written = String::from_utf8(csv.to_vec()).unwrap();
        assert_eq!(fixture::csv_records(&written)[0], documented);
    };
    let options = TextOptions::plain(80);
    let mut leak = Vec::new();
    render_leak(&fixture::growing(), Format::Csv, &options, &mut leak).unwrap();
    check("leak", &leak);
    let mut rules = Vec::new();
    let format = CheckFormat::Shared(Format::Csv);
    render_check(&fixture::check_report(), format, &options, &mut rules).unwrap();
    check("check", &rules);
}
