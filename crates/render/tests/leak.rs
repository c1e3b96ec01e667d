//! The leak report in every format: snapshots of each class and each doubt, and what holds of any
//! names: no line wider than asked, no control characters, CSV and XML that can be read back.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_model::{Doubt, GrowthClass, LeakReport};
use plimsoll_render::{Format, TextOptions, render_leak};
use proptest::prelude::*;

fn rendered(report: &LeakReport, format: Format, options: &TextOptions) -> String {
    let mut out = Vec::new();
    render_leak(report, format, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text(report: &LeakReport) -> String {
    rendered(report, Format::Text, &TextOptions::plain(80))
}

#[test]
fn growing() {
    insta::assert_snapshot!(text(&fixture::growing()));
}

#[test]
fn growing_at_120_columns_with_two_owners() {
    let options = TextOptions {
        top: Some(2),
        ..TextOptions::plain(120)
    };
    insta::assert_snapshot!(rendered(&fixture::growing(), Format::Text, &options));
}

#[test]
fn growing_floors() {
    insta::assert_snapshot!(text(&fixture::growing_floors()));
}

#[test]
fn fragmented_and_over_the_budget() {
    insta::assert_snapshot!(text(&fixture::fragmented()));
}

#[test]
fn bounded() {
    insta::assert_snapshot!(text(&fixture::bounded()));
}

#[test]
fn filled_while_files_are_read() {
    insta::assert_snapshot!(text(&fixture::filled()));
}

#[test]
fn flat() {
    insta::assert_snapshot!(text(&fixture::flat_series()));
}

#[test]
fn shrinking_over_time() {
    insta::assert_snapshot!(text(&fixture::shrinking()));
}

#[test]
fn under_the_bound() {
    insta::assert_snapshot!(text(&fixture::under_the_bound()));
}

/// The verdict of each: the paragraph before the first empty line.
#[test]
fn doubts() {
    let verdicts: Vec<String> = fixture::doubtful()
        .iter()
        .map(|(name, report)| {
            let text = text(report);
            let verdict = text.split("\n\n").next().unwrap();
            format!("{name}\n{verdict}\n")
        })
        .collect();
    insta::assert_snapshot!(verdicts.join("\n"));
}

#[test]
fn nothing_was_measured() {
    let (_, report) = fixture::doubtful().remove(0);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn json_of_growing() {
    let mut report = fixture::growing();
    report.series.truncate(2);
    report.owners.truncate(1);
    report.measures.truncate(1);
    insta::assert_snapshot!(rendered(&report, Format::Json, &TextOptions::plain(80)));
}

#[test]
fn csv_of_bounded() {
    let mut report = fixture::bounded();
    report.series.truncate(3);
    report.owners = fixture::growing().owners;
    report.owners.truncate(2);
    report.measures[1].growth = fixture::doubtful().remove(9).1.own.growth;
    insta::assert_snapshot!(rendered(&report, Format::Csv, &TextOptions::plain(80)));
}

/// The page without style, data and script, its figures thinned for the reader of the snapshot.
#[test]
fn page_of_growing_floors() {
    let mut report = fixture::growing_floors();
    report.owners = fixture::growing().owners;
    let page = page(&report);
    let mut start = page.find("<body>").unwrap();
    let end = page.find("<script").unwrap();
    let mut short = String::new();
    while let Some(place) = page[start..end].find("<polyline") {
        let (from, to) = (
            start + place,
            start + place + page[start + place..].find('\n').unwrap(),
        );
        short.push_str(&page[start..from]);
        let line = &page[from..to];
        short.push_str(&line[..line.len().min(100)]);
        start = to;
    }
    short.push_str(&page[start..end]);
    insta::assert_snapshot!(short);
}

fn page(report: &LeakReport) -> String {
    rendered(report, Format::Html, &TextOptions::plain(80))
}

#[test]
fn a_constant_course_is_said_and_not_drawn() {
    let mut report = fixture::growing();
    let level = report.series[0].parts;
    for point in &mut report.series {
        point.parts = level;
    }
    let said = format!("constant at {}", level.own());
    let text = text(&report);
    assert!(text.contains(&format!("own memory: {said}")), "{text}");
    assert!(
        !text.contains("apart") && !text.contains("by hand"),
        "{text}"
    );
    let page = page(&report);
    assert!(page.replace("&nbsp;", " ").contains(&said));
    assert_eq!(page.matches("<svg class=\"chart").count(), 1);
}

#[test]
fn owners_that_none_could_be_judged_are_one_line() {
    let mut report = fixture::growing();
    let all = report.measures.iter_mut().chain(&mut report.owners);
    for measured in all.filter(|measured| measured.points == 44) {
        measured.points = 12;
        measured.growth.class = GrowthClass::Inconclusive;
        measured.growth.slope = None;
        measured.growth.reasons = vec![Doubt::TooShort {
            points: 10,
            needed: 40,
        }];
    }
    let said = "12 full readings are too few to judge owners and allocators (40 are needed)";
    let whole = text(&report);
    assert!(whole.contains(said), "{whole}");
    assert!(
        !whole.contains("INCONCLUSIVE") && !whole.contains("glibc heap"),
        "{whole}"
    );
    assert!(page(&report).contains(said));
    // One that could be judged brings the list back.
    report.owners[0].growth.reasons.clear();
    assert!(text(&report).contains("glibc heap"));
}

#[test]
fn charts_of_a_page_are_whole_and_need_no_script() {
    let check = |report: &LeakReport, charts: usize| {
        let page = page(report);
        let mut found = 0;
        let mut rest = page.as_str();
        while let Some(start) = rest.find("<svg class=\"chart ") {
            let end = start + rest[start..].find("</svg>\n</div>").unwrap() + "</svg>".len();
            let chart = roxmltree::Document::parse(&rest[start..end]).unwrap();
            let label = chart.root_element().attribute("aria-label").unwrap();
            assert!(!label.is_empty());
            for node in chart.descendants() {
                for attribute in node.attributes() {
                    assert!(!attribute.value().contains("NaN"), "{attribute:?}");
                    assert!(!attribute.value().contains("inf"), "{attribute:?}");
                }
            }
            found += 1;
            rest = &rest[end..];
        }
        assert_eq!(found, charts);
        assert_eq!(page.matches("<script").count(), 2);
    };
    for report in fixture::full_leak_reports() {
        check(&report, if report.series.is_empty() { 0 } else { 2 });
    }
    check(&fixture::hostile_leak(), 2);
    let mut one_point = fixture::growing();
    one_point.series.truncate(1);
    check(&one_point, 0);
}

#[test]
fn a_page_asks_nothing_of_any_network() {
    let page = page(&fixture::growing());
    assert!(page.contains("default-src 'none'"));
    for reference in ["src=", "href=", "url(", "@import", "fetch("] {
        assert!(!page.contains(reference), "{reference}");
    }
}

#[test]
fn hostile_names_stay_text() {
    let page = page(&fixture::hostile_leak());
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("<img").count(), 0);
    for width in [80, 100, 200] {
        let text = rendered(
            &fixture::hostile_leak(),
            Format::Text,
            &TextOptions::plain(width),
        );
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        assert!(!text.contains('\u{202e}') && !text.contains('\u{200b}'));
    }
}

#[test]
fn no_line_is_wider_than_asked() {
    let mut reports = fixture::full_leak_reports();
    reports.push(fixture::hostile_leak());
    for report in reports {
        for width in [80, 97, 140] {
            let text = rendered(&report, Format::Text, &TextOptions::plain(width));
            assert!(fixture::widest(&text) <= usize::from(width), "{text}");
        }
    }
}

#[test]
fn the_class_is_the_first_word() {
    for report in fixture::full_leak_reports() {
        let word = match report.own.growth.class {
            GrowthClass::Growing => "GROWING: ",
            GrowthClass::Bounded => "BOUNDED: ",
            GrowthClass::Flat => "FLAT: ",
            GrowthClass::Inconclusive => "INCONCLUSIVE: ",
        };
        assert!(text(&report).starts_with(word));
    }
}

/// An allocator that tells of a small part of the growth does not explain it.
#[test]
fn what_explains_little_of_the_growth_is_not_named() {
    let mut report = fixture::growing();
    assert!(text(&report).contains("What grows is live memory"));
    report.measures[2].growth.slope = Some(plimsoll_model::Estimate {
        value: 64.0,
        low: 63.0,
        high: 65.0,
    });
    assert!(!text(&report).contains("What grows"));
}

fn short_report() -> LeakReport {
    let mut report = fixture::growing();
    report.series.truncate(20);
    report.own.growth.warm_up = 4;
    report
}

proptest! {
    /// No figures, however odd, make a renderer panic, and none that memory can have a line too wide.
    #[test]
    fn any_figures_can_be_told(
        figures in prop_oneof![
            prop::collection::vec(prop::num::f64::ANY, 8),
            prop::collection::vec(-1e15..1e15, 8),
            prop::collection::vec(-1e3..1e3, 8),
        ],
        warm_up in 0usize..40,
        more in proptest::option::of(any::<usize>()),
        class in 0usize..4,
    ) {
        let mut report = short_report();
        let own = &mut report.own.growth;
        let estimate = plimsoll_model::Estimate {
            value: figures[0],
            low: figures[1],
            high: figures[2],
        };
        own.slope = Some(estimate);
        own.budget_at = Some(estimate);
        own.detection_limit = Some(figures[3]);
        own.warm_up = warm_up;
        own.more_points = more;
        own.floors = vec![plimsoll_model::GrowthPoint { work: figures[4], bytes: figures[5] }];
        own.class = [
            GrowthClass::Growing,
            GrowthClass::Bounded,
            GrowthClass::Flat,
            GrowthClass::Inconclusive,
        ][class];
        report.series[0].work = figures[6];
        report.series[19].work = figures[7];
        for format in [Format::Json, Format::Csv, Format::Html] {
            rendered(&report, format, &TextOptions::plain(80));
        }
        let text = text(&report);
        let possible = figures.iter().all(|figure| figure.abs() <= 1e15);
        prop_assert!(!possible || fixture::widest(&text) <= 80, "{}", text);
    }

    #[test]
    fn csv_survives_any_name(name in "\\PC{0,20}|[=+@,\"'\r\n\t -]{0,12}|.{0,20}") {
        let report = fixture::named(short_report(), &name);
        let csv = rendered(&report, Format::Csv, &TextOptions::plain(80));
        let records = fixture::csv_records(&csv);
        prop_assert_eq!(records.len(), 1 + 1 + 4 + 7 + 20);
        for record in &records {
            prop_assert_eq!(record.len(), records[0].len());
            for field in record {
                let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
                prop_assert!(!formula || field.parse::<f64>().is_ok(), "{}", field);
                prop_assert!(!field.chars().any(char::is_control), "{}", field);
            }
        }
    }

    #[test]
    fn text_survives_any_name(name in "\\PC{0,60}|.{0,60}") {
        let report = fixture::named(short_report(), &name);
        let text = rendered(&report, Format::Text, &TextOptions::plain(80));
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    }
}
