//! What a check report says as a whole, in sentences that every format shares.

use plimsoll_model::{CheckReport, Verdict};

use crate::words::number::count;

/// The verdict as a reader sees it in a list: what fails catches the eye without colour.
pub(crate) const fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "FAILS",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// "FAILS: of 4 rules, 2 hold, 1 fails and 1 is inconclusive."
pub(crate) fn summary(report: &CheckReport) -> String {
    let of = |verdict| {
        let results = report.results.iter();
        results.filter(|result| result.verdict == verdict).count()
    };
    let (fails, unclear) = (of(Verdict::Fails), of(Verdict::Inconclusive));
    let all = report.results.len();
    let word = match report.verdict() {
        Verdict::Holds => "HOLDS",
        Verdict::Fails => "FAILS",
        Verdict::Inconclusive => "INCONCLUSIVE",
    };
    let rules = count(all as u64, "rule", "rules");
    match (all, fails, unclear) {
        (0, ..) => format!("{word}: there is no rule that could fail."),
        (1, 0, 0) => format!("{word}: the one rule holds."),
        (_, 0, 0) => format!("{word}: all {rules} hold."),
        _ => format!(
            "{word}: of {rules}, {}.",
            counts(of(Verdict::Holds), fails, unclear)
        ),
    }
}

fn counts(hold: usize, fail: usize, unclear: usize) -> String {
    let mut words = Vec::new();
    let mut add = |number: usize, one: &str, plural: &str| {
        if number > 0 {
            words.push(count(number as u64, one, plural));
        }
    };
    add(fail, "fails", "fail");
    add(unclear, "is inconclusive", "are inconclusive");
    add(hold, "holds", "hold");
    let last = words.pop().unwrap_or_default();
    if words.is_empty() {
        last
    } else {
        format!("{} and {last}", words.join(", "))
    }
}

/// Said of a self-test, where rules are meant to fail.
pub(crate) const SELF_TEST: &str =
    "Self-test: faults were injected to see the rules fail; nothing is said of the program.";
