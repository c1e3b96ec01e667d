//! The check report as JUnit XML, which build servers read: one suite, a test case for each rule.
//!
//! A rule that fails is a failure, one that is inconclusive is skipped: neither may pass for a rule
//! that holds. The shape is that of the Apache Ant task; readers agree on no schema beyond it.

use std::io::{self, Write};

use plimsoll_model::{CheckReport, CheckResult, Verdict};

use crate::markup::escaped;

pub(crate) fn check(report: &CheckReport, w: &mut dyn Write) -> io::Result<()> {
    let of = |verdict| {
        let results = report.results.iter();
        results.filter(|result| result.verdict == verdict).count()
    };
    let seconds: f64 = report
        .results
        .iter()
        .map(|result| result.length.as_secs_f64())
        .sum();
    let kind = if report.self_test {
        "plimsoll check self-test"
    } else {
        "plimsoll check"
    };
    writeln!(
        w,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"{kind}: {}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" \
         time=\"{seconds:.3}\">",
        escaped(&report.file),
        report.results.len(),
        of(Verdict::Fails),
        of(Verdict::Inconclusive),
    )?;
    for result in &report.results {
        case(result, w)?;
    }
    w.write_all(b"</testsuite>\n")
}

fn case(result: &CheckResult, w: &mut dyn Write) -> io::Result<()> {
    let (rule, found) = (escaped(&result.rule), escaped(&result.found));
    writeln!(
        w,
        "  <testcase classname=\"{}\" name=\"{rule}\" time=\"{:.3}\">",
        escaped(&result.check),
        result.length.as_secs_f64()
    )?;
    match result.verdict {
        Verdict::Holds => writeln!(w, "    <system-out>{found}</system-out>")?,
        Verdict::Fails => writeln!(
            w,
            "    <failure type=\"fails\" message=\"{found}\">{rule}: {found}</failure>"
        )?,
        Verdict::Inconclusive => {
            writeln!(w, "    <skipped message=\"inconclusive: {found}\"/>")?;
        }
    }
    writeln!(w, "  </testcase>")
}
