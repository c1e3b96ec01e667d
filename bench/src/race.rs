//! Contestants that take turns: one round warms up, then every round measures each of them once.
//!
//! The main types are [`Contestant`] and [`Measured`]. Memory cost: two numbers a turn.

use std::fmt;

use crate::cost::Cost;
use crate::spread::Spread;

/// What one turn cost, and what parts of it did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) total: Cost,
    pub(crate) parts: Vec<(&'static str, Cost)>,
}

impl From<Cost> for Turn {
    fn from(total: Cost) -> Turn {
        Turn {
            total,
            parts: Vec::new(),
        }
    }
}

type Act<'a> = Box<dyn FnMut() -> anyhow::Result<Turn> + 'a>;

/// Someone who can take a turn, or why not.
pub(crate) struct Contestant<'a> {
    pub(crate) name: String,
    act: Result<Act<'a>, String>,
}

impl fmt::Debug for Contestant<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(
        name: impl Into<String>,
        act: impl FnMut() -> anyhow::Result<Turn> + 'a,
    ) -> Contestant<'a> {
        Contestant {
            name: name.into(),
            act: Ok(Box::new(act)),
        }
    }

    /// One whose program this machine does not have: `skipped: …`.
    pub(crate) fn skipped(name: impl Into<String>, reason: impl Into<String>) -> Contestant<'a> {
        Contestant {
            name: name.into(),
            act: Err(reason.into()),
        }
    }
}

/// The figures of one contestant, or of a part of its turns, round by round.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// Whether it is a part of the one above it.
    pub(crate) part: bool,
    pub(crate) figures: Result<Figures, String>,
}

/// Milliseconds, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) wall: Vec<f64>,
    pub(crate) cpu: Vec<f64>,
}

impl Figures {
    fn add(&mut self, cost: Cost) {
        self.wall.push(cost.wall.as_secs_f64() * 1e3);
        self.cpu.push(cost.cpu.as_secs_f64() * 1e3);
    }
}

/// Which time a ratio compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Wall,
    Cpu,
}

impl Measured {
    pub(crate) fn clock(&self, clock: Clock) -> &[f64] {
        match (&self.figures, clock) {
            (Ok(figures), Clock::Wall) => &figures.wall,
            (Ok(figures), Clock::Cpu) => &figures.cpu,
            (Err(_), _) => &[],
        }
    }

    /// How many times as long as `ours` this took, round by round.
    pub(crate) fn times(&self, ours: &Measured, clock: Clock) -> Option<Spread> {
        Spread::of_ratios(self.clock(clock), ours.clock(clock))
    }
}

/// Lets everyone take `rounds` turns, after one that does not count. Who fails is out, and said so.
pub(crate) fn race(mut contestants: Vec<Contestant<'_>>, rounds: usize) -> Vec<Measured> {
    let mut totals: Vec<Figures> = vec![Figures::default(); contestants.len()];
    let mut parts: Vec<Vec<(&'static str, Figures)>> = vec![Vec::new(); contestants.len()];
    for round in 0..=rounds {
        for (index, contestant) in contestants.iter_mut().enumerate() {
            let Ok(act) = &mut contestant.act else {
                continue;
            };
            match act() {
                Err(error) => contestant.act = Err(format!("failed: {error:#}")),
                Ok(_) if round == 0 => {}
                Ok(turn) => {
                    totals[index].add(turn.total);
                    add_parts(&mut parts[index], &turn.parts);
                }
            }
        }
    }
    let mut measured = Vec::new();
    for ((contestant, total), parts) in contestants.into_iter().zip(totals).zip(parts) {
        measured.push(Measured {
            name: contestant.name,
            part: false,
            figures: contestant.act.map(|_| total),
        });
        measured.extend(parts.into_iter().map(|(name, figures)| Measured {
            name: name.to_owned(),
            part: true,
            figures: Ok(figures),
        }));
    }
    measured
}

fn add_parts(known: &mut Vec<(&'static str, Figures)>, parts: &[(&'static str, Cost)]) {
    for (name, cost) in parts {
        match known.iter_mut().find(|(known, _)| known == name) {
            Some((_, figures)) => figures.add(*cost),
            None => {
                let mut figures = Figures::default();
                figures.add(*cost);
                known.push((name, figures));
            }
        }
    }
}

/// The one called `name`.
pub(crate) fn find<'a>(measured: &'a [Measured], name: &str) -> Option<&'a Measured> {
    measured.iter().find(|one| one.name == name)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    #[test]
    fn everyone_takes_turns_and_the_first_round_does_not_count() {
        let order = RefCell::new(String::new());
        let turn = |name: char| {
            order.borrow_mut().push(name);
            Ok(Turn::from(Cost {
                wall: Duration::from_millis(2),
                cpu: Duration::from_millis(1),
            }))
        };
        let measured = race(
            vec![
                Contestant::new("a", || turn('a')),
                Contestant::skipped("b", "skipped: b is not installed"),
                Contestant::new("c", || turn('c')),
                Contestant::new("d", || anyhow::bail!("broken")),
            ],
            3,
        );
        assert_eq!(*order.borrow(), "acacacac");
        assert_eq!(measured[0].clock(Clock::Wall), [2.0, 2.0, 2.0]);
        assert_eq!(measured[2].clock(Clock::Cpu), [1.0, 1.0, 1.0]);
        assert!(measured[1].figures.is_err());
        assert_eq!(
            measured[3].figures.as_ref().err().map(String::as_str),
            Some("failed: broken")
        );
    }
}
