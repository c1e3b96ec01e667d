//! A regular expression that finds lines of a subject's output, as arguments give it.

use std::str::FromStr;
use std::sync::Arc;

use plimsoll_runner::LineMatcher;
use regex_lite::Regex;

#[derive(Clone, Debug)]
pub(crate) struct LinePattern(Regex);

impl FromStr for LinePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<LinePattern, String> {
        if text.is_empty() {
            return Err("an empty expression matches every line".to_owned());
        }
        Regex::new(text)
            .map(LinePattern)
            .map_err(|error| error.to_string())
    }
}

impl LinePattern {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The label in a line: the first group that took part, or all that matched.
    pub(crate) fn label(&self, line: &str) -> Option<String> {
        let found = self.0.captures(line)?;
        let group = found.iter().skip(1).flatten().next();
        let label = group.or_else(|| found.get(0))?;
        Some(label.as_str().trim().to_owned())
    }

    pub(crate) fn matcher(&self) -> LineMatcher {
        let pattern = self.clone();
        Arc::new(move |line| pattern.label(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_the_first_group_or_the_match() {
        let check = |pattern: &str, line: &str, expected: Option<&str>| {
            let pattern: LinePattern = pattern.parse().unwrap();
            assert_eq!(pattern.label(line).as_deref(), expected, "{line}");
        };
        check("phase: (.*)", "12:00 phase: scan ", Some("scan"));
        check("phase: .*", "12:00 phase: scan", Some("phase: scan"));
        check("(?:load|save)(d)?", "saved", Some("d"));
        check("begin (a)|end (b)", "end b", Some("b"));
        check("phase", "nothing", None);
        check(
            "^MEMSTATS (\\w+)",
            "MEMSTATS after_scan rss=1",
            Some("after_scan"),
        );
    }

    #[test]
    fn a_bad_expression_says_so() {
        assert!("(".parse::<LinePattern>().is_err());
        assert!("".parse::<LinePattern>().is_err());
    }
}
