//! The rules file, `plimsoll.toml`: read whole and checked before anything runs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use plimsoll_model::{Bytes, LawClass};
use serde::{Deserialize, Deserializer};

/// A file of rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// Trials for each check that says no other number.
    #[serde(default = "repeat_default")]
    pub(crate) repeat: u16,
    /// Beside the rules file: what earlier commits measured.
    #[serde(default = "baseline_default")]
    pub(crate) baseline: String,
    #[serde(rename = "check")]
    pub(crate) checks: Vec<CheckRules>,
}

/// The rules for one command. All limits are upper limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckRules {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) repeat: Option<u16>,
    /// What `{n}` stands for where sizes are not varied.
    pub(crate) n: Option<u64>,
    /// Peak RSS.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) peak: Option<Bytes>,
    /// Peak of the memory that no file backs.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) own_peak: Option<Bytes>,
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) pss_peak: Option<Bytes>,
    /// RSS before the end.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) end: Option<Bytes>,
    /// Peak RSS inside a stage.
    #[serde(default)]
    pub(crate) stages: BTreeMap<String, Limit>,
    pub(crate) scale: Option<ScaleRule>,
    pub(crate) leak: Option<LeakRule>,
    pub(crate) regression: Option<RegressionRule>,
}

/// How memory may grow with `{n}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleRule {
    pub(crate) n: Vec<u64>,
    /// The law: constant, log, linear, "n log n" or quadratic.
    pub(crate) at_most: Option<GrowthLimit>,
    /// What one item more may cost.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) per_item: Option<Bytes>,
}

/// No leak over so many units of work.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeakRule {
    pub(crate) iterations: u32,
    /// Growth certainly under this for each unit is none.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) ignore_below: Option<Bytes>,
    /// Lines that are units of work, for a command that makes no marks.
    pub(crate) work_from_log: Option<String>,
}

/// No growth against the committed baseline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegressionRule {
    /// As "5%": over the oldest baseline, and over the last.
    #[serde(deserialize_with = "percent")]
    pub(crate) tolerance: f64,
}

/// Bytes as a value of a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(pub(crate) Bytes);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_limit(&text)
            .map(Limit)
            .map_err(serde::de::Error::custom)
    }
}

/// A class of growth, in the words of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrowthLimit(pub(crate) LawClass);

impl<'de> Deserialize<'de> for GrowthLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GrowthLimit, D::Error> {
        let text = String::deserialize(deserializer)?;
        let class = match text.as_str() {
            "constant" => LawClass::Constant,
            "log" | "log n" => LawClass::Logarithmic,
            "linear" | "n" => LawClass::Linear,
            "n log n" => LawClass::Linearithmic,
            "quadratic" | "n^2" => LawClass::Quadratic,
            _ => {
                return Err(serde::de::Error::custom(format!(
                    "{text:?} is no law; give constant, log, linear, n log n or quadratic"
                )));
            }
        };
        Ok(GrowthLimit(class))
    }
}

/// "200 MiB", also as "< 200 MiB" and "<= 200 MiB".
fn parse_limit(text: &str) -> Result<Bytes, String> {
    let text = text.trim().trim_start_matches('<').trim_start_matches('=');
    let limit: Bytes = text
        .trim()
        .parse()
        .map_err(|error| format!("{text:?}: {error}"))?;
    Ok(limit)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    Limit::deserialize(deserializer).map(|limit| Some(limit.0))
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text
        .trim()
        .strip_suffix('%')
        .and_then(|n| n.trim().parse::<f64>().ok());
    match number {
        Some(percent) if percent.is_finite() && percent > 0.0 => Ok(percent / 100.0),
        _ => Err(serde::de::Error::custom(format!(
            "{text:?} is no tolerance; give a share above 0, like \"5%\""
        ))),
    }
}

fn repeat_default() -> u16 {
    5
}

fn baseline_default() -> String {
    "plimsoll-baseline.json".to_owned()
}

/// Reads and checks a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Rules> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("check: can't read {}", path.display()))?;
    parse(&text).with_context(|| format!("check: {}", path.display()))
}

pub(super) fn parse(text: &str) -> anyhow::Result<Rules> {
    let rules: Rules = toml::from_str(text)?;
    if rules.checks.is_empty() {
        bail!("it has no [[check]]");
    }
    for (index, check) in rules.checks.iter().enumerate() {
        if rules.checks[..index]
            .iter()
            .any(|other| other.name == check.name)
        {
            bail!("two checks are called {:?}", check.name);
        }
        validate(check).with_context(|| format!("check {:?}", check.name))?;
    }
    Ok(rules)
}

fn validate(check: &CheckRules) -> anyhow::Result<()> {
    if check.command.is_empty() {
        bail!("command is empty; give the program and its arguments as a list");
    }
    if check.repeat.is_some_and(|repeat| repeat < 2) {
        bail!("repeat: one trial tells nothing of the spread; give 2 or more");
    }
    let takes_n = check.command.iter().any(|word| word.contains("{n}"));
    if takes_n && check.n.is_none() && needs_one_size(check) {
        bail!("the command has {{n}}; say what it stands for: n = 1000");
    }
    if check.n == Some(0) {
        bail!("n = 0: give a size from 1 up");
    }
    if let Some(scale) = &check.scale {
        if !takes_n {
            bail!("scale: the command has no {{n}}, so a size would go nowhere");
        }
        if scale.n.contains(&0) {
            bail!("scale: n = 0: give sizes from 1 up");
        }
        if scale.at_most.is_none() && scale.per_item.is_none() {
            bail!("scale: give at_most, per_item or both");
        }
    }
    if check.leak.as_ref().is_some_and(|leak| leak.iterations == 0) {
        bail!("leak: iterations = 0: give the units of work, 200 or more");
    }
    let any = needs_one_size(check) || check.scale.is_some() || check.leak.is_some();
    if !any {
        bail!(
            "it has no rule: give peak, own_peak, pss_peak, end, stages, scale, leak or regression"
        );
    }
    Ok(())
}

/// Whether there are rules about runs at one size.
pub(crate) fn needs_one_size(check: &CheckRules) -> bool {
    check.peak.is_some()
        || check.own_peak.is_some()
        || check.pss_peak.is_some()
        || check.end.is_some()
        || !check.stages.is_empty()
        || check.regression.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_with_every_rule() {
        let rules = parse(
            r#"
            repeat = 7
            [[check]]
            name = "import"
            command = ["./import", "{n}"]
            environment = { LANG = "C" }
            n = 1000
            peak = "200 MiB"
            own_peak = "< 150MiB"
            pss_peak = "<= 190 MiB"
            end = "100 MiB"
            stages = { load = "50 MiB" }
            scale = { n = [100, 1000, 10000, 100000], at_most = "linear", per_item = "6 KiB" }
            leak = { iterations = 400, ignore_below = "100" }
            regression = { tolerance = "5%" }
            "#,
        )
        .unwrap();
        assert_eq!(
            (rules.repeat, rules.baseline.as_str()),
            (7, "plimsoll-baseline.json")
        );
        let check = &rules.checks[0];
        assert_eq!(check.peak, Some(Bytes::mib(200)));
        assert_eq!(check.own_peak, Some(Bytes::mib(150)));
        assert_eq!(check.stages["load"].0, Bytes::mib(50));
        assert_eq!(check.leak.as_ref().unwrap().ignore_below, Some(Bytes(100)));
        assert!((check.regression.as_ref().unwrap().tolerance - 0.05).abs() < 1e-12);
    }

    #[test]
    fn bad_rules_say_what_is_wrong() {
        let check = |rules: &str, expected: &str| {
            let text = format!("[[check]]\nname = \"a\"\n{rules}\n");
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains(expected), "{rules}: {error}");
        };
        check("command = [\"x\"]", "no rule");
        check("command = []\npeak = \"1 MiB\"", "command is empty");
        check("command = [\"x\"]\npeak = \"-5 MiB\"", "-5");
        check("command = [\"x\"]\npeak = \"NaN\"", "NaN");
        check("command = [\"x\"]\npeak = \"0\"", "0");
        check("command = [\"x\"]\npeek = \"1 MiB\"", "peek");
        check("command = [\"x\"]\npeak = \"1 MiB\"\nrepeat = 1", "repeat");
        check("command = [\"x\", \"{n}\"]\npeak = \"1 MiB\"", "{n}");
        check(
            "command = [\"x\", \"{n}\"]\nn = 0\npeak = \"1 MiB\"",
            "n = 0",
        );
        check(
            "command = [\"x\"]\nscale = { n = [1, 2], at_most = \"linear\" }",
            "no {n}",
        );
        check(
            "command = [\"x\", \"{n}\"]\nscale = { n = [1, 2] }",
            "at_most",
        );
        check(
            "command = [\"x\", \"{n}\"]\nscale = { n = [1], at_most = \"cubic\" }",
            "no law",
        );
        check("command = [\"x\"]\nleak = { iterations = 0 }", "iterations");
        check(
            "command = [\"x\"]\nregression = { tolerance = \"5\" }",
            "tolerance",
        );
        check(
            "command = [\"x\"]\nregression = { tolerance = \"-5%\" }",
            "tolerance",
        );
        let twice = "[[check]]\nname=\"a\"\ncommand=[\"x\"]\npeak=\"1MiB\"\n".repeat(2);
        assert!(
            parse(&twice)
                .unwrap_err()
                .to_string()
                .contains("two checks")
        );
        assert!(
            parse("check = []")
                .unwrap_err()
                .to_string()
                .contains("no [[check]]")
        );
    }

    /// What stands in such files, and what does not.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            "\"\\PC{0,12}\"",
            "\"[<= ]{0,3}-?[0-9.]{0,6} ?[kKMGT]?(i?B)?%?\"",
            "-?[0-9]{1,20}",
            "-?[0-9]{1,4}\\.[0-9]{1,4}",
            "\\[(-?[0-9]{1,5}, ?){0,4}\\]",
            "\\[\"x\", \"\\{n\\}\"\\]",
            "\\{ (n|at_most|per_item|iterations|tolerance|load) = (\"linear\"|5|\"5%\"|\\[1, 2\\]) \\}",
            Just("nan".to_owned()),
            Just("true".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_rules_panic(
            lines in proptest::collection::vec(
                ("(repeat|n|peak|own_peak|pss_peak|end|stages|scale|leak|regression|peek)", value()),
                0..5,
            ),
        ) {
            let lines = lines.iter().map(|(key, value)| format!("{key} = {value}\n"));
            let head = "[[check]]\nname = \"a\"\ncommand = [\"x\", \"{n}\"]\n";
            let text = format!("{head}{}", lines.collect::<String>());
            if let Ok(rules) = parse(&text) {
                let check = &rules.checks[0];
                prop_assert!(check.peak.is_none_or(|limit| limit > Bytes::ZERO));
                prop_assert!(check.n != Some(0));
                let tolerance = check.regression.as_ref().map(|rule| rule.tolerance);
                prop_assert!(tolerance.is_none_or(|share| share > 0.0 && share.is_finite()));
            }
        }
    }
}
