//! Comparisons in text, CSV and HTML: snapshots, what must be said beside the figures, and the
//! promises that hold for any name.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_model::{CompareReport, Unsettled};
use plimsoll_render::{Format, TextOptions, render_compare};

fn rendered(report: &CompareReport, format: Format, width: u16) -> String {
    let mut out = Vec::new();
    render_compare(report, format, &TextOptions::plain(width), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text(report: &CompareReport) -> String {
    rendered(report, Format::Text, 80)
}

#[test]
fn steps_that_add_up_at_80_columns() {
    insta::assert_snapshot!(text(&fixture::added_up()));
}

#[test]
fn steps_that_add_up_at_120_columns() {
    insta::assert_snapshot!(rendered(&fixture::added_up(), Format::Text, 120));
}

#[test]
fn rss_that_is_no_memory() {
    insta::assert_snapshot!(text(&fixture::fewer_threads(146.2, 0.6)));
}

#[test]
fn arms_that_are_recordings() {
    insta::assert_snapshot!(text(&fixture::recordings()));
}

#[test]
fn one_trial_each() {
    let reason = Unsettled::TooFewRepeats {
        base: 1,
        changed: 1,
    };
    insta::assert_snapshot!(text(&fixture::unsettled(reason)));
}

#[test]
fn of_hundreds_of_stages_those_that_changed_are_listed() {
    let before = text(&fixture::added_up()).lines().count();
    let found = text(&fixture::many_stages(300));
    assert!(
        found.contains("300 stages without a change beyond the noise"),
        "{found}"
    );
    assert!(!found.contains("batch 7"), "{found}");
    let line = |start: &str| found.lines().position(|line| line.starts_with(start));
    assert!(line("load ").unwrap() < line("index ").unwrap(), "{found}");
    assert!(found.lines().count() < before + 10, "{found}");
    let page = rendered(&fixture::many_stages(300), Format::Html, 80);
    assert!(page.contains("300 stages without a change beyond the noise"));
    let rows = rendered(&fixture::many_stages(300), Format::Csv, 80);
    assert!(rows.contains("batch 299"), "the data are whole: {rows}");
}

#[test]
fn a_fall_of_rss_that_is_none_of_pss_is_called_out() {
    let check = |pss: f64, noise: f64, expected: &str| {
        let report = fixture::fewer_threads(pss, noise);
        let found = rendered(&report, Format::Text, 1000);
        assert!(found.contains(expected), "{found}");
    };
    check(
        146.2,
        0.6,
        "RSS fell by 261 MiB but PSS by 2.80 MiB: what went away was the same pages counted \
         again, not memory",
    );
    check(148.8, 0.6, "but PSS by nothing beyond the noise of 614 KiB");
    check(152.0, 0.6, "but PSS grew by 3.00 MiB");
    check(69.0, 0.6, "most of what went away was the same pages");
    check(100.0, 200.0, "no fall of PSS can be told");
    let memory = rendered(&fixture::fewer_threads(10.0, 0.6), Format::Text, 1000);
    assert!(!memory.contains("counted again"), "{memory}");
}

#[test]
fn values_that_are_none_are_told() {
    let found = text(&fixture::unsettled(Unsettled::InvalidValue));
    assert!(found.contains("not a finite number"), "{found}");
    let mut empty = fixture::added_up();
    empty.receipts.clear();
    empty.owners.clear();
    assert!(text(&empty).contains("nothing was compared"));
    let mut alone = fixture::added_up();
    alone.receipts.truncate(1);
    alone.receipts[0].receipt.steps.truncate(1);
    assert!(text(&alone).contains("nothing to compare it with"));
    for report in [empty, alone] {
        for format in Format::ALL {
            assert!(!rendered(&report, format, 80).is_empty());
        }
    }
}

#[test]
fn rows_of_arms_and_measures() {
    insta::assert_snapshot!(rendered(
        &fixture::fewer_threads(146.2, 0.6),
        Format::Csv,
        80
    ));
}

#[test]
fn columns_are_documented() {
    let text = rendered(&fixture::added_up(), Format::Csv, 80);
    fixture::check_columns("compare", text.lines().next().unwrap(), &[]);
}

#[test]
fn a_page() {
    let page = rendered(&fixture::added_up(), Format::Html, 80);
    let start = page.find("<body>").expect("a page has a body");
    let end = page.find("<script").expect("a page has its data");
    insta::assert_snapshot!(&page[start..end]);
}

#[test]
fn hostile_names_reach_no_reader() {
    let report = fixture::hostile_comparison();
    for width in [80, 99, 133] {
        fixture::check_text(&rendered(&report, Format::Text, width), width);
    }
    fixture::check_page(&rendered(&report, Format::Html, 80));
    fixture::check_csv(&rendered(&report, Format::Csv, 80));
}
