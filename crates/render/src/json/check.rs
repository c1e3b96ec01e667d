//! The check report as JSON.

use plimsoll_model::{CheckReport, CheckResult};
use serde::Serialize;

use crate::words::check::summary;

#[derive(Serialize)]
pub(super) struct CheckJson<'a> {
    file: &'a str,
    self_test: bool,
    verdict: &'static str,
    summary: String,
    results: Vec<CheckResultJson<'a>>,
}

#[derive(Serialize)]
struct CheckResultJson<'a> {
    check: &'a str,
    rule: &'a str,
    verdict: &'static str,
    found: &'a str,
    length_seconds: f64,
}

impl<'a> CheckJson<'a> {
    pub(super) fn of(report: &'a CheckReport) -> CheckJson<'a> {
        CheckJson {
            file: &report.file,
            self_test: report.self_test,
            verdict: report.verdict().name(),
            summary: summary(report),
            results: report.results.iter().map(CheckResultJson::of).collect(),
        }
    }
}

impl<'a> CheckResultJson<'a> {
    fn of(result: &'a CheckResult) -> CheckResultJson<'a> {
        CheckResultJson {
            check: &result.check,
            rule: &result.rule,
            verdict: result.verdict.name(),
            found: &result.found,
            length_seconds: result.length.as_secs_f64(),
        }
    }
}
