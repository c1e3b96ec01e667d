//! The check report in every format, JUnit XML among them, which a parser of XML reads back.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_model::{CheckReport, Verdict};
use plimsoll_render::{CheckFormat, Format, TextOptions, printable, render_check};
use proptest::prelude::*;
use roxmltree::{Document, Node};

fn rendered(report: &CheckReport, format: CheckFormat) -> String {
    let mut out = Vec::new();
    render_check(report, format, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text(report: &CheckReport) -> String {
    rendered(report, CheckFormat::Shared(Format::Text))
}

#[test]
fn some_rules_fail() {
    insta::assert_snapshot!(text(&fixture::check_report()));
}

#[test]
fn all_rules_hold_in_a_self_test() {
    insta::assert_snapshot!(text(&fixture::holding_check()));
}

#[test]
fn there_are_no_rules() {
    insta::assert_snapshot!(text(&fixture::empty_check()));
}

#[test]
fn json() {
    let report = fixture::check_report();
    insta::assert_snapshot!(rendered(&report, CheckFormat::Shared(Format::Json)));
}

#[test]
fn csv() {
    let report = fixture::check_report();
    insta::assert_snapshot!(rendered(&report, CheckFormat::Shared(Format::Csv)));
}

#[test]
fn junit() {
    insta::assert_snapshot!(rendered(&fixture::check_report(), CheckFormat::Junit));
}

#[test]
fn page() {
    let page = rendered(&fixture::check_report(), CheckFormat::Shared(Format::Html));
    let (start, end) = (page.find("<body>").unwrap(), page.find("<script").unwrap());
    insta::assert_snapshot!(&page[start..end]);
}

/// The shape that readers of JUnit expect, and every verdict where they look for it.
fn check_junit(report: &CheckReport) {
    let xml = rendered(report, CheckFormat::Junit);
    let document = Document::parse(&xml).unwrap();
    let suite = document.root_element();
    assert_eq!(suite.tag_name().name(), "testsuite");
    let number = |name: &str| suite.attribute(name).unwrap().parse::<usize>().unwrap();
    let of = |verdict| {
        let results = report.results.iter();
        results.filter(|result| result.verdict == verdict).count()
    };
    assert_eq!(number("tests"), report.results.len());
    assert_eq!(number("failures"), of(Verdict::Fails));
    assert_eq!(number("skipped"), of(Verdict::Inconclusive));
    assert_eq!(number("errors"), 0);
    assert!(suite.attribute("time").unwrap().parse::<f64>().is_ok());
    let cases: Vec<Node<'_, '_>> = suite.children().filter(Node::is_element).collect();
    assert_eq!(cases.len(), report.results.len());
    for (case, result) in cases.into_iter().zip(&report.results) {
        assert_eq!(case.tag_name().name(), "testcase");
        assert_eq!(case.attribute("name").unwrap(), printable(&result.rule));
        assert_eq!(
            case.attribute("classname").unwrap(),
            printable(&result.check)
        );
        let said = case.children().find(Node::is_element).unwrap();
        let expected = match result.verdict {
            Verdict::Holds => "system-out",
            Verdict::Fails => "failure",
            Verdict::Inconclusive => "skipped",
        };
        assert_eq!(said.tag_name().name(), expected);
        let found = said
            .attribute("message")
            .or(said.text())
            .unwrap_or_default();
        assert!(found.ends_with(&*printable(&result.found)), "{found}");
    }
}

#[test]
fn junit_has_the_shape_that_build_servers_read() {
    check_junit(&fixture::check_report());
    check_junit(&fixture::holding_check());
    check_junit(&fixture::empty_check());
    check_junit(&fixture::hostile_check());
}

#[test]
fn hostile_names_stay_text() {
    let page = rendered(&fixture::hostile_check(), CheckFormat::Shared(Format::Html));
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("<img").count(), 0);
    let text = text(&fixture::hostile_check());
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    for report in [fixture::hostile_check(), fixture::check_report()] {
        let text = self::text(&report);
        assert!(fixture::widest(&text) <= 80, "{text}");
    }
}

proptest! {
    #[test]
    fn xml_survives_any_name(name in "\\PC{0,30}|[<>&'\"\\]\r\n\t!\\[-]{0,12}|.{0,30}") {
        check_junit(&fixture::named_check(&[&name]));
    }

    #[test]
    fn csv_survives_any_name(name in "\\PC{0,30}|[=+@,\"'\r\n\t -]{0,12}|.{0,30}") {
        let report = fixture::named_check(&[&name]);
        let csv = rendered(&report, CheckFormat::Shared(Format::Csv));
        let records = fixture::csv_records(&csv);
        prop_assert_eq!(records.len(), 4);
        for record in &records {
            prop_assert_eq!(record.len(), 7);
            for field in record {
                prop_assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r']), "{}", field);
                prop_assert!(!field.chars().any(char::is_control), "{}", field);
            }
        }
    }
}
