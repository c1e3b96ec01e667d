//! The leak judge against the published corpus: a table of its right and wrong verdicts.

use std::collections::BTreeMap;

use plimsoll_analysis::corpus::{FAMILIES, Family, Outcome, Specimen, Truth, corpus};
use plimsoll_analysis::leak::{LeakOptions, judge};
use plimsoll_model::{Growth, GrowthClass};

/// The corpus that the documentation prints.
const PUBLISHED: u64 = 1;

/// Seeds that the method was not tuned on.
const HELD_OUT: [u64; 5] = [1009, 2003, 3001, 4001, 5003];

#[derive(Default)]
struct Table {
    rows: BTreeMap<Family, BTreeMap<Outcome, usize>>,
    /// Verdicts `Growing`: true, false.
    growing: (usize, usize),
    series: usize,
    not_leaks: usize,
    /// Leaks of at least three times the stated limit: found, all.
    certain: (usize, usize),
    /// Leaks of 120 points or more: found, all.
    leaks: (usize, usize),
    /// Leaks of 120 points or more for which no limit is stated.
    without_limit: usize,
    /// Slopes called growing whose interval holds the truth.
    covered: usize,
    /// Level noise of at least 200 points: inconclusive, all.
    noise: (usize, usize),
}

impl Table {
    fn of(seeds: &[u64]) -> Self {
        let mut table = Table::default();
        for &seed in seeds {
            for specimen in corpus(seed) {
                let growth = judge(&specimen.points, &LeakOptions::default());
                table.add(&specimen, &growth);
            }
        }
        table
    }

    fn add(&mut self, specimen: &Specimen, growth: &Growth) {
        let outcome = specimen.outcome(growth);
        let growing = growth.class == GrowthClass::Growing;
        self.series += 1;
        *self
            .rows
            .entry(specimen.family)
            .or_default()
            .entry(outcome)
            .or_default() += 1;
        if outcome == Outcome::Wrong {
            println!(
                "{outcome:?}: {:?} seed {} of {} points, {:?}: {:?} slope {:?} limit {:?} warm-up {} {:?} {:?}",
                specimen.family,
                specimen.seed,
                specimen.points.len(),
                specimen.truth,
                growth.class,
                growth.slope,
                growth.detection_limit,
                growth.warm_up,
                growth.teeth,
                growth.reasons,
            );
        }
        match specimen.truth {
            Truth::Leak(slope) => {
                self.growing.0 += usize::from(growing);
                if specimen.must_be_found(growth) {
                    self.certain.1 += 1;
                    self.certain.0 += usize::from(growing);
                }
                if specimen.points.len() >= 120 {
                    self.leaks.1 += 1;
                    self.leaks.0 += usize::from(growing);
                    self.without_limit += usize::from(growth.detection_limit.is_none());
                }
                let covers = growth
                    .slope
                    .is_some_and(|s| s.low <= slope && slope <= s.high);
                self.covered += usize::from(growing && covers);
            }
            // Either answer is right; it counts for neither.
            Truth::Steps => {}
            _ => {
                self.not_leaks += 1;
                self.growing.1 += usize::from(growing);
            }
        }
        let is_noise = matches!(specimen.family, Family::Noise | Family::CorrelatedNoise);
        if is_noise && specimen.points.len() >= 200 {
            self.noise.1 += 1;
            self.noise.0 += usize::from(growth.class == GrowthClass::Inconclusive);
        }
    }

    /// What keeps a judge honest that never answers, or never states a limit.
    fn assert_it_answers(&self) {
        let (found, leaks) = self.leaks;
        assert!(found * 10 >= leaks * 6, "{found} of {leaks} leaks");
        assert!(self.without_limit * 8 <= leaks, "{}", self.without_limit);
        assert!(self.noise.0 * 10 <= self.noise.1, "{:?}", self.noise);
        for family in FAMILIES {
            let row = &self.rows[&family];
            let all: usize = row.values().sum();
            let without = row.get(&Outcome::Inconclusive).copied().unwrap_or(0);
            assert!(without * 4 <= all * 3, "{family:?}: {without} of {all}");
        }
    }

    fn print(&self, title: &str) {
        println!("{title}: {} series", self.series);
        println!("family           right  wrong  inconclusive  below limit");
        for (family, row) in &self.rows {
            let count = |outcome| row.get(&outcome).copied().unwrap_or(0);
            println!(
                "{:16} {:5}  {:5}  {:12}  {:11}",
                format!("{family:?}"),
                count(Outcome::Right),
                count(Outcome::Wrong),
                count(Outcome::Inconclusive),
                count(Outcome::BelowLimit),
            );
        }
        let percent = |(part, whole): (usize, usize)| 100.0 * part as f64 / whole.max(1) as f64;
        println!(
            "precision of Growing {:.1} % ({} true, {} false; {:.2} % of {} that do not leak)",
            percent((self.growing.0, self.growing.0 + self.growing.1)),
            self.growing.0,
            self.growing.1,
            percent((self.growing.1, self.not_leaks)),
            self.not_leaks,
        );
        println!(
            "recall: {:.1} % of {} leaks of 3 limits or more; {:.1} % of all {} leaks of 120 points or more, of which {} get no limit",
            percent(self.certain),
            self.certain.1,
            percent(self.leaks),
            self.leaks.1,
            self.without_limit,
        );
        println!(
            "intervals of found leaks that hold the truth {:.1} %; noise of 200 points or more inconclusive {:.1} % of {}",
            percent((self.covered, self.growing.0)),
            percent(self.noise),
            self.noise.1,
        );
    }
}

#[test]
fn the_published_corpus_has_no_wrong_verdict() {
    let table = Table::of(&[PUBLISHED]);
    table.print("published corpus");
    assert!(table.series >= 300 && table.rows.len() >= 10);
    assert_eq!(
        table.growing.1, 0,
        "something that does not leak is called growing"
    );
    assert_eq!(
        table.certain.0, table.certain.1,
        "a leak of three limits is missed"
    );
    table.assert_it_answers();
}

#[test]
fn seeds_that_were_not_tuned_on_agree() {
    let table = Table::of(&HELD_OUT);
    table.print("held-out corpora");
    assert!(table.growing.1 * 100 <= table.not_leaks);
    assert!(table.certain.0 * 100 >= table.certain.1 * 95);
    table.assert_it_answers();
}
