//! Known faults: for each rule one that it must not let pass.

use std::ffi::OsString;
use std::fmt;

use anyhow::Context;
use plimsoll_model::{Bytes, LawClass};

use super::baseline::Baseline;
use super::file::CheckRules;

/// What is injected above a limit, so that the limit is certainly passed.
const ABOVE: Bytes = Bytes::mib(16);
/// At the largest size, what is injected by the wrong law: far above what the program itself needs
/// would be better, but must fit on any machine.
const LARGEST: Bytes = Bytes::mib(512);
/// A leak for each unit of work: a few pages, so that the judge needs no luck.
const LEAK: Bytes = Bytes::kib(64);
/// More than this is not injected: it could take the machine down.
const HOLD_MAX: Bytes = Bytes::gib(8);

/// A fault of known size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// So much more, from start to end.
    Hold(Bytes),
    /// So much more for each unit of work.
    Leak(Bytes),
    /// So much more for each item.
    PerItem(Bytes),
    /// Growth by this power of the size, to [`LARGEST`] at the largest.
    Power { exponent: i32, n_max: u64 },
}

impl Fault {
    /// The command with the fault around it.
    pub(crate) fn around(
        &self,
        words: Vec<OsString>,
        n: Option<u64>,
    ) -> anyhow::Result<Vec<OsString>> {
        let own = std::env::current_exe().context("find this program")?;
        let n = n.unwrap_or(0);
        let (flag, bytes) = match self {
            Fault::Hold(bytes) => ("--hold", *bytes),
            Fault::Leak(bytes) => ("--each", *bytes),
            Fault::PerItem(bytes) => ("--hold", Bytes(bytes.0.saturating_mul(n))),
            Fault::Power { exponent, n_max } => {
                let share = (n as f64 / *n_max as f64).powi(*exponent);
                ("--hold", Bytes((LARGEST.0 as f64 * share) as u64 + 1))
            }
        };
        let mut wrapped: Vec<OsString> = vec![
            own.into(),
            "ballast".into(),
            flag.into(),
            bytes.0.max(1).to_string().into(),
            "--".into(),
        ];
        wrapped.extend(words);
        Ok(wrapped)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Hold(bytes) => write!(f, "{bytes} more"),
            Fault::Leak(bytes) => write!(f, "a leak of {bytes} for each unit of work"),
            Fault::PerItem(bytes) => write!(f, "{bytes} more for each item"),
            Fault::Power { exponent, .. } => write!(f, "growth by n^{exponent}"),
        }
    }
}

/// A fault, or the rule that none can be made for, and why.
type Made = Result<Fault, (String, String)>;

/// Each rule of a check alone, with its fault.
pub(crate) fn single_rules(check: &CheckRules, baseline: &Baseline) -> Vec<(CheckRules, Made)> {
    let bare = CheckRules {
        peak: None,
        own_peak: None,
        pss_peak: None,
        end: None,
        stages: Default::default(),
        scale: None,
        leak: None,
        regression: None,
        ..check.clone()
    };
    let mut singles = limit_singles(check, &bare);
    singles.extend(regression_single(check, &bare, baseline));
    singles.extend(scale_singles(check, &bare));
    singles.extend(leak_single(check, &bare));
    singles
}

/// The limits on single runs: so much is held that each is certainly passed.
fn limit_singles(check: &CheckRules, bare: &CheckRules) -> Vec<(CheckRules, Made)> {
    let mut singles = Vec::new();
    let mut limit = |name: &str, limit: Bytes, keep: &dyn Fn(&mut CheckRules)| {
        let mut single = bare.clone();
        keep(&mut single);
        singles.push((single, hold(name.to_owned(), limit + ABOVE)));
    };
    if let Some(bytes) = check.peak {
        limit("peak RSS", bytes, &|single| single.peak = Some(bytes));
    }
    if let Some(bytes) = check.own_peak {
        limit("peak of own memory", bytes, &|single| {
            single.own_peak = Some(bytes);
        });
    }
    if let Some(bytes) = check.pss_peak {
        limit("peak PSS", bytes, &|single| single.pss_peak = Some(bytes));
    }
    if let Some(bytes) = check.end {
        limit("RSS at the end", bytes, &|single| single.end = Some(bytes));
    }
    for (label, stage) in &check.stages {
        limit(&format!("peak in stage {label}"), stage.0, &|single| {
            single.stages = [(label.clone(), *stage)].into();
        });
    }
    singles
}

fn regression_single(
    check: &CheckRules,
    bare: &CheckRules,
    baseline: &Baseline,
) -> Option<(CheckRules, Made)> {
    let rule = check.regression.clone()?;
    let name = "regression".to_owned();
    let made = match baseline.history(&check.name).last() {
        Some(last) => {
            // Twice the tolerance, and what no noise hides.
            let more = last.rss_peak_median_bytes * 2.0 * rule.tolerance;
            hold(name, Bytes(more as u64) + ABOVE)
        }
        None => Err((
            name,
            "there is no baseline yet; make one with --update-baseline".to_owned(),
        )),
    };
    let mut single = bare.clone();
    single.regression = Some(rule);
    Some((single, made))
}

fn leak_single(check: &CheckRules, bare: &CheckRules) -> Option<(CheckRules, Made)> {
    let rule = check.leak.clone()?;
    let ignored = rule.ignore_below.unwrap_or_default();
    let each = LEAK.max(Bytes(ignored.0.saturating_mul(4)));
    let whole = Bytes(each.0.saturating_mul(rule.iterations.into()));
    let made = hold("leak".to_owned(), whole).map(|_| Fault::Leak(each));
    let mut single = bare.clone();
    single.leak = Some(rule);
    Some((single, made))
}

fn scale_singles(check: &CheckRules, bare: &CheckRules) -> Vec<(CheckRules, Made)> {
    let Some(rule) = &check.scale else {
        return Vec::new();
    };
    let n_max = rule.n.iter().copied().max().unwrap_or(1);
    let mut singles = Vec::new();
    if let Some(most) = rule.at_most {
        let exponent = match most.0 {
            LawClass::Constant | LawClass::Logarithmic => 1,
            LawClass::Quadratic | LawClass::Power => 4,
            // Not the next law: the program's own growth is in the sum, and must not hide it.
            _ => 3,
        };
        let mut single = bare.clone();
        single.scale = Some(super::file::ScaleRule {
            per_item: None,
            ..rule.clone()
        });
        singles.push((single, Ok(Fault::Power { exponent, n_max })));
    }
    if let Some(per_item) = rule.per_item {
        let mut single = bare.clone();
        single.scale = Some(super::file::ScaleRule {
            at_most: None,
            ..rule.clone()
        });
        let each = Bytes(per_item.0.saturating_mul(2));
        let whole = Bytes(each.0.saturating_mul(n_max));
        let made = hold("per item".to_owned(), whole).map(|_| Fault::PerItem(each));
        singles.push((single, made));
    }
    singles
}

fn hold(rule: String, bytes: Bytes) -> Made {
    if bytes > HOLD_MAX {
        let found = format!("the fault would have to hold {bytes}, which is not tried");
        return Err((rule, found));
    }
    Ok(Fault::Hold(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_goes_around_the_command() {
        let check = |fault: Fault, n, expected: &str| {
            let words = fault.around(vec!["x".into(), "y".into()], n).unwrap();
            let words: Vec<_> = words[1..]
                .iter()
                .map(|word| word.to_string_lossy())
                .collect();
            assert_eq!(words.join(" "), expected);
        };
        check(Fault::Hold(Bytes(7)), None, "ballast --hold 7 -- x y");
        check(Fault::Leak(Bytes(8)), None, "ballast --each 8 -- x y");
        check(
            Fault::PerItem(Bytes(3)),
            Some(5),
            "ballast --hold 15 -- x y",
        );
        let square = Fault::Power {
            exponent: 2,
            n_max: 10,
        };
        let expected = format!("ballast --hold {} -- x y", LARGEST.0 / 4 + 1);
        check(square, Some(5), &expected);
    }

    #[test]
    fn a_leak_that_would_fill_the_machine_is_not_tried() {
        let check = |rule: &str, expected: Option<Fault>| {
            let text = format!("[[check]]\nname = \"a\"\ncommand = [\"x\"]\nleak = {{ {rule} }}");
            let rules = super::super::file::parse(&text).unwrap();
            let baseline = Baseline::read("no-such-baseline".as_ref()).unwrap();
            let singles = single_rules(&rules.checks[0], &baseline);
            let [(_, made)] = &singles[..] else {
                panic!("{singles:?}");
            };
            assert_eq!(made.clone().ok(), expected, "{rule}: {made:?}");
        };
        check("iterations = 400", Some(Fault::Leak(LEAK)));
        let larger = Fault::Leak(Bytes::mib(4));
        check("iterations = 400, ignore_below = \"1 MiB\"", Some(larger));
        check("iterations = 400, ignore_below = \"1 GiB\"", None);
        check("iterations = 1000000", None);
    }
}
