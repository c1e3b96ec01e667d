//! What `fit` found, in every format.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_model::{Bytes, CapFit, FitEnd, FitFailure};
use plimsoll_render::{Format, TextOptions, render_fit};

fn rendered(fit: &CapFit, format: Format) -> String {
    let mut out = Vec::new();
    render_fit(fit, format, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn verdict(fit: &CapFit) -> String {
    let text = rendered(fit, Format::Json);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn text_at_80_columns() {
    let text = rendered(&fixture::fit(), Format::Text);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    insta::assert_snapshot!(text);
}

#[test]
fn text_of_a_search_with_doubts() {
    let text = rendered(&fixture::full_fit(), Format::Text);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    assert!(!text.contains('\u{1b}'));
    insta::assert_snapshot!(text);
}

#[test]
fn json() {
    let mut fit = fixture::fit();
    fit.runs.truncate(2);
    fit.baseline.truncate(1);
    insta::assert_snapshot!(rendered(&fit, Format::Json));
}

#[test]
fn csv() {
    insta::assert_snapshot!(rendered(&fixture::full_fit(), Format::Csv));
}

#[test]
fn a_page() {
    let page = rendered(&fixture::fit(), Format::Html);
    let start = page.find("<body>").unwrap();
    let end = page.find("<script").unwrap();
    let fixed = &page[start..end];
    assert!(fixed.contains("data &lt;1&gt;.csv"), "names are escaped");
    assert!(!fixed.contains("NaN") && !fixed.contains("inf"));
    insta::assert_snapshot!(fixed);
}

#[test]
fn times_that_can_t_be_trusted_are_told() {
    let check = |change: &dyn Fn(&mut CapFit), expected: Option<&str>| {
        let mut fit = fixture::fit();
        change(&mut fit);
        let text = rendered(&fit, Format::Csv) + &rendered(&fit, Format::Html);
        match expected {
            Some(expected) => assert!(text.contains(expected), "{expected}"),
            None => assert!(!text.contains("times their median") && !text.contains("busier")),
        }
    };
    check(&|_| {}, None);
    let slow = |fit: &mut CapFit| fit.baseline[2].length = std::time::Duration::from_secs(6);
    check(&slow, Some("took up to 1.43 times their median"));
    let fast = |fit: &mut CapFit| {
        let timing = fit.points[5].timing.as_mut().unwrap();
        timing.length = std::time::Duration::from_secs(2);
    };
    check(&fast, Some("as little as 0.48 times"));
}

#[test]
fn the_verdict_says_no_more_than_is_known() {
    let check = |change: &dyn Fn(&mut CapFit), expected: &str| {
        let mut fit = fixture::fit();
        change(&mut fit);
        assert_eq!(verdict(&fit), expected);
        // Whatever is missing, every format can be written.
        for format in Format::ALL {
            let text = rendered(&fit, format);
            assert!(!text.contains("NaN"), "{text}");
        }
    };
    check(
        &|_| {},
        "needs 180 MiB, comfortable from 260 MiB (cgroup v1)",
    );
    check(
        &|fit| fit.comfortable = fit.minimum,
        "needs 180 MiB, comfortable from there on (cgroup v1)",
    );
    check(
        &|fit| fit.comfortable = None,
        "needs 180 MiB, slower than without a cap under every cap that was timed (cgroup v1)",
    );
    check(
        &|fit| fit.failed = None,
        "needs at most 180 MiB, the smallest cap tried, comfortable from 260 MiB (cgroup v1)",
    );
    check(
        &|fit| {
            fit.end = FitEnd::Interrupted;
            fit.failed = Some(Bytes::mib(120));
        },
        "needs between 120 MiB and 180 MiB; interrupted (cgroup v1)",
    );
    check(
        &|fit| {
            fit.end = FitEnd::Interrupted;
            (fit.failed, fit.minimum, fit.comfortable) = (None, None, None);
            fit.points.clear();
            fit.runs.clear();
        },
        "no run under a cap has ended; interrupted (cgroup v1)",
    );
    check(
        &|fit| {
            fit.end = FitEnd::TooLarge;
            fit.minimum = None;
            fit.points.truncate(1);
        },
        "needs more than 177 MiB, the largest cap tried (cgroup v1)",
    );
    check(
        &|fit| {
            fit.end = FitEnd::Flaky;
            fit.minimum = None;
        },
        "inconclusive: it fails now and then under one and the same cap; needs more than 177 MiB \
         (cgroup v1)",
    );
    check(
        &|fit| {
            fit.end = FitEnd::FlakyUncapped;
            fit.baseline[1].failure = Some(FitFailure::Exited(1));
        },
        "inconclusive: without a cap too, 1 of 3 runs failed",
    );
}
