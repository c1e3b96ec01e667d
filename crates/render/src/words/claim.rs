//! What is said of a claim, in plain sentences that all formats share: a limit that was tested, a
//! difference between two states of a program.

use plimsoll_model::{
    Claim, Difference, Estimate, TargetCheck, TargetDoubt, TargetResult, Unsettled, Verdict,
};

use crate::words::amount::bytes;
use crate::words::interval::{ends, estimated};
use crate::words::law::size_words;
use crate::words::number::{confidence as confidence_words, count, number, relative};

/// "holds: n = 1,000 stays below 500 MiB (…)".
pub(crate) fn target(target: &TargetResult, confidence: f64) -> String {
    let check = &target.check;
    let sizes = size_words(&target.sizes);
    let runs = count(check.runs as u64, "run", "runs");
    let worst = bytes(check.worst);
    let upper = check.upper.map(|upper| {
        format!(
            "the next stays below {} with {} confidence",
            bytes(upper),
            confidence_words(confidence)
        )
    });
    let verdict = check.verdict.name();
    let limit = check.limit;
    match check.verdict {
        Verdict::Holds => format!(
            "{verdict}: {sizes} stays below {limit}: the highest of {runs} was {worst}; {}",
            upper.unwrap_or_else(|| "the spread is not known".to_owned())
        ),
        Verdict::Fails => format!(
            "{verdict}: {sizes} does not stay below {limit}: {} of {runs} were not below, the \
             highest was {worst}{}",
            check.runs_over,
            mean_words(check)
        ),
        Verdict::Inconclusive => format!(
            "{verdict}: {sizes} below {limit}: {}; {} of {runs} not below, the highest {worst}{}{}",
            target_doubt(check.reason),
            check.runs_over,
            mean_words(check),
            settles(check)
        ),
    }
}

fn mean_words(check: &TargetCheck) -> String {
    check.mean.map_or_else(String::new, |mean| {
        format!(", the mean {}", estimated(&mean))
    })
}

const fn target_doubt(reason: Option<TargetDoubt>) -> &'static str {
    match reason {
        Some(TargetDoubt::TooFewRuns) => "fewer than two runs tell nothing about the spread",
        Some(TargetDoubt::InvalidPeak) => "a peak is not a number of bytes",
        Some(TargetDoubt::LimitWithinSpread) => "the limit lies within the spread of the runs",
        None => "no reason was given",
    }
}

fn settles(check: &TargetCheck) -> String {
    match (check.more_runs, check.reason) {
        (Some(more), _) => format!(
            "; about {} would settle it",
            count(more as u64, "more run", "more runs")
        ),
        (None, Some(TargetDoubt::LimitWithinSpread)) => {
            "; no number of runs up to 1,000 would settle it".to_owned()
        }
        (None, _) => String::new(),
    }
}

/// What was repeated, for sentences about how many of it would do.
#[derive(Clone, Copy)]
pub(crate) enum Repeats {
    Rounds(usize),
    /// Arms that are recordings, however many each has.
    Recordings,
}

impl Repeats {
    fn these(self) -> String {
        match self {
            Repeats::Rounds(rounds) => count(rounds as u64, "round", "rounds"),
            Repeats::Recordings => "these recordings".to_owned(),
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Repeats::Rounds(_) => "rounds",
            Repeats::Recordings => "recordings of each",
        }
    }
}

/// What a difference comes to. Only what is beyond the noise is a claim.
pub(crate) enum Told {
    /// "▼ 12.3 MiB (-14.2%) [11.9 to 12.7 MiB]".
    Change(String),
    /// Why nothing is claimed, in words.
    Nothing(String),
}

impl Told {
    pub(crate) fn of(difference: &Difference, repeats: Repeats) -> Told {
        match difference.claim {
            Claim::Saved | Claim::Grew => match change(difference) {
                Some(change) => Told::Change(change),
                None => Told::Nothing("the difference was not estimated".to_owned()),
            },
            Claim::Indistinguishable => Told::Nothing(unsettled(difference, repeats)),
        }
    }

    pub(crate) fn words(self) -> String {
        match self {
            Told::Change(words) | Told::Nothing(words) => words,
        }
    }
}

/// The size of the change with its direction, percentage and interval.
fn change(difference: &Difference) -> Option<String> {
    let estimate = difference.difference?;
    let size = magnitude(difference)?;
    let arrow = if estimate.value < 0.0 { '▼' } else { '▲' };
    let percent = percent(difference).map_or_else(String::new, |percent| format!(" ({percent})"));
    Some(format!(
        "{arrow} {}{percent} [{}]",
        bytes(size.value),
        ends(&size)
    ))
}

/// The change in short, for a narrow column: "▼ 12.3 MiB", "within noise".
pub(crate) fn change_short(difference: &Difference) -> String {
    match (difference.claim, difference.difference, difference.reason) {
        (Claim::Saved | Claim::Grew, Some(estimate), _) => {
            let arrow = if estimate.value < 0.0 { '▼' } else { '▲' };
            format!("{arrow} {}", bytes(estimate.value.abs()))
        }
        (Claim::Indistinguishable, Some(_), None | Some(Unsettled::WithinNoise)) => {
            "within noise".to_owned()
        }
        _ => "not told".to_owned(),
    }
}

/// "-14.2%"; `None` where there is no ratio.
pub(crate) fn percent(difference: &Difference) -> Option<String> {
    difference.ratio.map(|ratio| relative(ratio.value - 1.0))
}

/// The estimate turned to the side of its direction, so that a saving is a positive figure.
pub(crate) fn magnitude(difference: &Difference) -> Option<Estimate> {
    let mut estimate = difference.difference?;
    if estimate.value < 0.0 {
        estimate = Estimate {
            value: -estimate.value,
            low: -estimate.high,
            high: -estimate.low,
        };
    }
    Some(estimate)
}

fn unsettled(difference: &Difference, repeats: Repeats) -> String {
    match difference.reason {
        Some(Unsettled::TooFewRepeats { base, changed }) => format!(
            "nothing is claimed: {} before and {changed} after, and two of each are the least \
             that tell noise",
            count(base as u64, "trial", "trials")
        ),
        Some(Unsettled::InvalidValue) => {
            "nothing is claimed: a value is not a finite number".to_owned()
        }
        Some(Unsettled::WithinNoise) | None => {
            let these = repeats.these();
            match difference.noise {
                Some(noise) => format!(
                    "no difference that {these} can tell (noise {}{})",
                    bytes(noise),
                    needed(difference, repeats)
                ),
                None => format!("no difference that {these} can tell"),
            }
        }
    }
}

fn needed(difference: &Difference, repeats: Repeats) -> String {
    let seen = difference.difference.map_or(0.0, |seen| seen.value.abs());
    match difference.needed {
        Some(needed) => format!(
            "; about {} {} would tell one as large as was seen, {}",
            number(needed as f64),
            repeats.unit(),
            bytes(seen)
        ),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_model::{Bytes, IntervalMethod};

    const MIB: f64 = 1024.0 * 1024.0;

    fn difference(claim: Claim, value: f64, half: f64) -> Difference {
        Difference {
            claim,
            difference: Some(Estimate {
                value: value * MIB,
                low: (value - half) * MIB,
                high: (value + half) * MIB,
            }),
            ratio: None,
            noise: Some(half * MIB),
            detectable: None,
            needed: Some(40),
            method: IntervalMethod::Paired,
            reason: None,
        }
    }

    #[test]
    fn differences() {
        let check = |difference: &Difference, expected: &str| {
            let told = Told::of(difference, Repeats::Rounds(10));
            assert_eq!(told.words(), expected);
        };
        let mut saved = difference(Claim::Saved, -12.3, 0.4);
        check(&saved, "▼ 12.3 MiB [11.9 to 12.7 MiB]");
        saved.ratio = Some(Estimate {
            value: 0.858,
            low: 0.85,
            high: 0.86,
        });
        check(&saved, "▼ 12.3 MiB (-14.2%) [11.9 to 12.7 MiB]");
        check(
            &difference(Claim::Grew, 2.0, 0.5),
            "▲ 2.00 MiB [1.50 to 2.50 MiB]",
        );
        let mut open = difference(Claim::Indistinguishable, -0.3, 0.8);
        open.reason = Some(Unsettled::WithinNoise);
        check(
            &open,
            "no difference that 10 rounds can tell (noise 819 KiB; about 40 rounds would tell one \
             as large as was seen, 307 KiB)",
        );
        open.reason = Some(Unsettled::TooFewRepeats {
            base: 1,
            changed: 3,
        });
        check(
            &open,
            "nothing is claimed: 1 trial before and 3 after, and two of each are the least that \
             tell noise",
        );
        open.reason = Some(Unsettled::InvalidValue);
        check(&open, "nothing is claimed: a value is not a finite number");
    }

    #[test]
    fn targets_with_every_doubt() {
        let check = |reason, more_runs, expected: &str| {
            let result = TargetResult {
                sizes: Vec::new(),
                check: TargetCheck {
                    verdict: Verdict::Inconclusive,
                    limit: Bytes::mib(500),
                    runs: 3,
                    runs_over: 1,
                    worst: 502.0 * MIB,
                    mean: None,
                    upper: None,
                    share_over_max: 0.8,
                    more_runs,
                    reason: Some(reason),
                },
            };
            let words = target(&result, 0.95);
            assert!(words.contains(expected), "{words}");
        };
        check(TargetDoubt::TooFewRuns, Some(1), "about 1 more run would");
        check(TargetDoubt::InvalidPeak, None, "not a number of bytes");
        check(TargetDoubt::LimitWithinSpread, None, "up to 1,000 would");
    }
}
