//! Faults by a script: rules, each of which has something go wrong with some of the requests.
//!
//! ```json
//! [{"on": "list", "from": 3, "times": 2, "status": 503},
//!  {"on": "get", "key": "a/b", "drop": true},
//!  {"on": "list", "times": 0, "probability": 0.01, "seed": 7, "cut": true, "delay_milliseconds": 5}]
//! ```

use std::time::Duration;

use serde::Deserialize;

use crate::listing::Wrong;
use crate::noise::mix;

/// Kinds of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    #[default]
    Any,
    List,
    Get,
    Head,
}

/// What goes wrong with which requests. A rule counts the requests that it is meant for from when the
/// script was given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    pub on: Operation,
    /// Only objects of this key.
    pub key: Option<String>,
    /// The first request that it goes wrong with, from 1.
    pub from: u64,
    /// How many it goes wrong with; 0 is all that follow.
    pub times: u64,
    /// With which part of those.
    pub probability: f64,
    /// What chance follows from.
    pub seed: u64,

    /// Answered with this status.
    pub status: Option<u16>,
    /// Answered later.
    pub delay_milliseconds: u64,
    /// The connection ends in the middle of the body, whose whole length was told.
    pub drop: bool,
    /// The body ends in the middle, and that is told as its length: XML that is no more whole, an
    /// object that is too short.
    pub cut: bool,
    /// A byte of an object is another.
    pub damage: bool,
    /// An object is another by now: `If-Match` fails.
    pub changed: bool,
    /// The token of a page leads to the same page.
    pub same_token: bool,
    /// A listing begins at its beginning all the same.
    pub ignore_start_after: bool,
    /// Two neighbours in the middle of a page are swapped.
    pub unordered: bool,
    /// An object in the middle of a page is told twice.
    pub duplicate: bool,
    /// `KeyCount` is one too many.
    pub wrong_count: bool,
    /// A page without objects, and none after it.
    pub empty: bool,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule {
            on: Operation::Any,
            key: None,
            from: 1,
            times: 1,
            probability: 1.0,
            seed: 1,
            status: None,
            delay_milliseconds: 0,
            drop: false,
            cut: false,
            damage: false,
            changed: false,
            same_token: false,
            ignore_start_after: false,
            unordered: false,
            duplicate: false,
            wrong_count: false,
            empty: false,
        }
    }
}

impl Rule {
    /// Whether it holds for its request with this number, counted from 1.
    fn holds(&self, number: u64) -> bool {
        let is_within = number >= self.from && (self.times == 0 || number - self.from < self.times);
        // 53 bits, as a double holds.
        let chance = (mix(self.seed, number) >> 11) as f64 / (1_u64 << 53) as f64;
        is_within && chance < self.probability
    }
}

/// The rules, and how many requests each was meant for.
#[derive(Debug, Default)]
pub struct Script {
    rules: Vec<(Rule, u64)>,
}

/// What goes wrong with one request.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    pub status: Option<u16>,
    pub delay: Duration,
    pub drop: bool,
    pub damage: bool,
    pub changed: bool,
    pub page: Wrong,
    /// How many rules hold.
    pub rules: u64,
}

impl Script {
    /// # Errors
    /// Text that is no script.
    pub fn parse(json: &[u8]) -> Result<Script, serde_json::Error> {
        let rules: Vec<Rule> = serde_json::from_slice(json)?;
        let rules = rules.into_iter().map(|rule| (rule, 0)).collect();
        Ok(Script { rules })
    }

    /// Counts a request, and says what goes wrong with it.
    pub fn orders(&mut self, operation: Operation, key: &[u8]) -> Orders {
        let mut orders = Orders::default();
        for (rule, count) in &mut self.rules {
            let is_meant = matches!(rule.on, Operation::Any) || rule.on == operation;
            if !is_meant || rule.key.as_ref().is_some_and(|one| one.as_bytes() != key) {
                continue;
            }
            *count += 1;
            if rule.holds(*count) {
                orders.add(rule);
            }
        }
        orders
    }
}

impl Orders {
    fn add(&mut self, rule: &Rule) {
        self.status = self.status.or(rule.status);
        self.delay += Duration::from_millis(rule.delay_milliseconds);
        self.drop |= rule.drop;
        self.damage |= rule.damage;
        self.changed |= rule.changed;
        self.page.is_cut |= rule.cut;
        self.page.has_same_token |= rule.same_token;
        self.page.ignores_start_after |= rule.ignore_start_after;
        self.page.is_unordered |= rule.unordered;
        self.page.has_duplicate |= rule.duplicate;
        self.page.has_wrong_count |= rule.wrong_count;
        self.page.is_empty |= rule.empty;
        self.rules += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_for_their_requests() {
        let json = br#"[{"on": "list", "from": 2, "times": 2, "status": 503},
            {"key": "a", "times": 0, "drop": true},
            {"on": "get", "times": 0, "probability": 0.25, "cut": true}]"#;
        let mut script = Script::parse(json).unwrap();
        let listed: Vec<_> = (0..4)
            .map(|_| script.orders(Operation::List, b"").status)
            .collect();
        assert_eq!(listed, [None, Some(503), Some(503), None]);
        assert!(script.orders(Operation::Head, b"a").drop);
        let cut = (0..4000).filter(|_| script.orders(Operation::Get, b"b").page.is_cut);
        let count = cut.count();
        assert!((900..1100).contains(&count), "{count} of 4000");
        assert!(Script::parse(br#"[{"onn": "list"}]"#).is_err());
        assert!(Script::parse(b"{}").is_err());
    }
}
