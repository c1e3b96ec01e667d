//! Scale reports in text, CSV and HTML: snapshots, a sentence for every law and doubt, and the
//! promises that hold for any name.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_model::{Estimate, LawClass, LawUndetermined, ScaleReport};
use plimsoll_render::{Format, TextOptions, render_scale};

fn rendered(report: &ScaleReport, format: Format, width: u16) -> String {
    let mut out = Vec::new();
    render_scale(report, format, &TextOptions::plain(width), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text(report: &ScaleReport) -> String {
    rendered(report, Format::Text, 80)
}

/// The sentences above the first table.
fn verdict(report: &ScaleReport) -> String {
    let text = rendered(report, Format::Text, 1000);
    text.split("\n\n").nth(1).unwrap().to_owned()
}

#[test]
fn a_linear_law_at_80_columns() {
    insta::assert_snapshot!(text(&fixture::morphometrics()));
}

#[test]
fn a_linear_law_at_120_columns() {
    insta::assert_snapshot!(rendered(&fixture::morphometrics(), Format::Text, 120));
}

#[test]
fn two_axes_at_80_columns() {
    insta::assert_snapshot!(text(&fixture::grid()));
}

#[test]
fn a_set_of_laws_with_every_doubt() {
    let report = fixture::undecided(
        &[LawClass::Linear, LawClass::Linearithmic],
        Some(1_600_000.0),
    );
    insta::assert_snapshot!(text(&report));
}

#[test]
fn sizes_stand_in_their_order() {
    let mut report = fixture::morphometrics();
    let wanted = text(&report);
    report.cells.reverse();
    report.cells.swap(1, 3);
    assert_eq!(text(&report), wanted);
}

#[test]
fn a_constant_law_has_no_exponent_and_is_not_the_steepest() {
    let mut report = fixture::morphometrics();
    let steep = plimsoll_model::Estimate {
        value: 3.0,
        low: 2.9,
        high: 3.1,
    };
    for law in report.laws.iter_mut().filter_map(|law| law.law.as_mut()) {
        if law.classes == [LawClass::Constant] {
            law.exponent = Some(steep);
        }
    }
    for page in [text(&report), rendered(&report, Format::Html, 80)] {
        assert!(!page.contains("3.00"), "{page}");
        assert!(
            page.contains("the steepest of all: exponent 1.98"),
            "{page}"
        );
    }
    // Exponents that cannot be told from each other have no steepest.
    for law in report.laws.iter_mut().filter_map(|law| law.law.as_mut()) {
        law.exponent = law.exponent.map(|_| steep);
    }
    assert!(!text(&report).contains("steepest"));
}

#[test]
fn no_law() {
    let reason = LawUndetermined::TooFewSizes {
        distinct: 3,
        needed: 4,
    };
    insta::assert_snapshot!(text(&fixture::too_few(reason)));
}

#[test]
fn every_law_has_its_sentence() {
    let all = LawClass::ALL.map(|class| verdict(&fixture::growth_of(class)));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn sets_and_missing_laws_have_their_sentences() {
    use LawClass::{Constant, Linear, Linearithmic, Logarithmic, Staircase};
    let mut all = vec![
        verdict(&fixture::undecided(
            &[Linear, Linearithmic],
            Some(1_600_000.0),
        )),
        verdict(&fixture::undecided(&[Constant, Logarithmic], None)),
        verdict(&fixture::undecided(
            &[Linear, Linearithmic, Staircase],
            Some(23_456.0),
        )),
    ];
    for reason in [
        LawUndetermined::NoPoints,
        LawUndetermined::TooFewSizes {
            distinct: 1,
            needed: 4,
        },
        LawUndetermined::InvalidSize { point: 2 },
        LawUndetermined::InvalidBytes { point: 0 },
        LawUndetermined::NoneFits,
    ] {
        all.push(verdict(&fixture::too_few(reason)));
    }
    let mut unsought = fixture::morphometrics();
    unsought.laws.clear();
    all.push(verdict(&unsought));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_budget_that_a_law_may_never_reach_is_told_as_that() {
    let mut report = fixture::morphometrics();
    let check = |report: &ScaleReport, expected: &str| {
        let found = verdict(report);
        assert!(found.contains(expected), "{found}");
    };
    check(
        &report,
        "500 MiB is reached at n = 50,200 (49,400 to 51,100)",
    );
    check(&report, "2.5 times beyond what was run");
    report.laws[0].law.as_mut().unwrap().budget_at = Some(Estimate {
        value: 50_213.0,
        low: 49_377.0,
        high: 1e18,
    });
    check(&report, "at the earliest 49,400, or never");
    report.laws[0].law.as_mut().unwrap().budget_at = None;
    check(&report, "500 MiB is not reached by this growth");
}

#[test]
fn nothing_measured_is_said() {
    let mut report = fixture::morphometrics();
    report.cells.clear();
    report.laws.clear();
    report.targets.clear();
    for format in Format::ALL {
        assert!(!rendered(&report, format, 80).is_empty());
    }
    for cell in &mut report.cells {
        cell.failed = cell.trials.len();
        cell.trials.clear();
    }
    let text = text(&report);
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn rows_of_trials() {
    let mut report = fixture::full_scale();
    report.cells.truncate(2);
    insta::assert_snapshot!(rendered(&report, Format::Csv, 80));
}

#[test]
fn columns_are_documented() {
    let text = rendered(&fixture::morphometrics(), Format::Csv, 80);
    fixture::check_columns("scale", text.lines().next().unwrap(), &["n"]);
}

#[test]
fn a_page() {
    insta::assert_snapshot!(fixed_part(&rendered(
        &fixture::morphometrics(),
        Format::Html,
        80
    )));
}

/// The page without style, data and script.
fn fixed_part(page: &str) -> &str {
    let start = page.find("<body>").expect("a page has a body");
    let end = page.find("<script").expect("a page has its data");
    &page[start..end]
}

#[test]
fn hostile_names_reach_no_reader() {
    for name in fixture::HOSTILE {
        let report = fixture::hostile_scale(name);
        for width in [80, 99, 133] {
            fixture::check_text(&rendered(&report, Format::Text, width), width);
        }
        fixture::check_page(&rendered(&report, Format::Html, 80));
        fixture::check_csv(&rendered(&report, Format::Csv, 80));
    }
    for report in [fixture::grid(), fixture::full_scale()] {
        fixture::check_text(&text(&report), 80);
    }
}
