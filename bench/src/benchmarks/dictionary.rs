//! Bytes a string and look-ups of the library's dictionary, beside what programs take instead: a hash
//! map one way, one with a table for the other way, the interner `lasso`, and the map `fst`.
//!
//! Bytes are what glibc's malloc has given, its own headers included. Times are processor time.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::Context;
use fst::{IntoStreamer, Streamer};
use lasso::{Key, Rodeo, Spur};
use plimsoll::dictionary::{Dictionary, TermId};
use serde_json::json;

use crate::benchmarks::Plan;
use crate::benchmarks::tags::{Random, hashes, tags};
use crate::cost::Cost;
use crate::race::{Clock, Contestant, Measured, Turn, race};
use crate::report::{Bar, Limit, Report};
use crate::spread::{Spread, short};
use crate::table::Table;

const STRINGS: usize = 100_000;
const PREFIXES: usize = 2_000;
const PREFIX_LIMIT: usize = 10;
const SHARE_MAX: f64 = 1.5;

const OURS: &str = "plimsoll Dictionary";

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    for (what, strings) in [("tags", tags(STRINGS)), ("hashes", hashes(STRINGS))] {
        measure(plan, report, what, &strings)?;
    }
    Ok(())
}

/// Bytes that malloc has given and not got back, with its headers.
pub(super) fn malloc_bytes() -> usize {
    // SAFETY: the call takes nothing and only reads malloc's own figures, under its locks.
    let figures = unsafe { libc::mallinfo2() };
    figures.uordblks + figures.hblkhd
}

/// Someone who keeps strings.
trait Keeper {
    fn find(&self, text: &str) -> Option<u32>;
    /// The length of the string of an id; `None` where that way is not kept.
    fn term_len(&self, id: u32) -> Option<usize>;
    /// How many of the first strings with a prefix there are; `None` where they have no order.
    fn prefix(&self, prefix: &str) -> Option<usize>;
}

struct Own(Dictionary, std::cell::RefCell<String>);

impl Keeper for Own {
    fn find(&self, text: &str) -> Option<u32> {
        self.0.id(text).map(TermId::get)
    }

    fn term_len(&self, id: u32) -> Option<usize> {
        let mut text = self.1.borrow_mut();
        let known = self.0.read_term(TermId::new(id), &mut text);
        known.then_some(text.len())
    }

    fn prefix(&self, prefix: &str) -> Option<usize> {
        Some(self.0.prefix(prefix, PREFIX_LIMIT).len())
    }
}

struct OneWay(HashMap<String, u32>);

impl Keeper for OneWay {
    fn find(&self, text: &str) -> Option<u32> {
        self.0.get(text).copied()
    }

    fn term_len(&self, _: u32) -> Option<usize> {
        None
    }

    fn prefix(&self, _: &str) -> Option<usize> {
        None
    }
}

struct BothWays(HashMap<Arc<str>, u32>, Vec<Arc<str>>);

impl Keeper for BothWays {
    fn find(&self, text: &str) -> Option<u32> {
        self.0.get(text).copied()
    }

    fn term_len(&self, id: u32) -> Option<usize> {
        self.1.get(id as usize).map(|text| text.len())
    }

    fn prefix(&self, _: &str) -> Option<usize> {
        None
    }
}

impl Keeper for Rodeo {
    fn find(&self, text: &str) -> Option<u32> {
        self.get(text).map(|key| key.into_usize() as u32)
    }

    fn term_len(&self, id: u32) -> Option<usize> {
        let key = Spur::try_from_usize(id as usize)?;
        self.try_resolve(&key).map(str::len)
    }

    fn prefix(&self, _: &str) -> Option<usize> {
        None
    }
}

struct Automaton(fst::Map<Vec<u8>>);

impl Keeper for Automaton {
    fn find(&self, text: &str) -> Option<u32> {
        self.0.get(text).map(|id| id as u32)
    }

    fn term_len(&self, _: u32) -> Option<usize> {
        None
    }

    fn prefix(&self, prefix: &str) -> Option<usize> {
        let mut stream = self.0.range().ge(prefix).into_stream();
        let mut found = Vec::new();
        while found.len() < PREFIX_LIMIT {
            match stream.next() {
                Some((text, id)) if text.starts_with(prefix.as_bytes()) => {
                    found.push((id, String::from_utf8_lossy(text).into_owned()));
                }
                _ => break,
            }
        }
        Some(found.len())
    }
}

fn own(strings: &[String]) -> anyhow::Result<Dictionary> {
    let dictionary = Dictionary::new();
    for text in strings {
        dictionary.insert(text)?;
    }
    Ok(dictionary)
}

type Make = fn(&[String]) -> anyhow::Result<Box<dyn Keeper>>;

/// All take the strings one by one as they come; `fst` must have them sorted first.
const MAKERS: &[(&str, Make)] = &[
    (OURS, |strings| {
        let dictionary = own(strings)?;
        dictionary.rebuild();
        Ok(Box::new(Own(dictionary, String::new().into())))
    }),
    ("  before its last rebuild", |strings| {
        Ok(Box::new(Own(own(strings)?, String::new().into())))
    }),
    ("HashMap<String, u32>", |strings| {
        let mut map = HashMap::new();
        for text in strings {
            let next = map.len() as u32;
            map.entry(text.clone()).or_insert(next);
        }
        Ok(Box::new(OneWay(map)))
    }),
    ("HashMap<Arc<str>, u32> + Vec<Arc<str>>", |strings| {
        let (mut map, mut terms) = (HashMap::new(), Vec::new());
        for text in strings {
            let text: Arc<str> = text.as_str().into();
            terms.push(Arc::clone(&text));
            map.insert(text, map.len() as u32);
        }
        Ok(Box::new(BothWays(map, terms)))
    }),
    ("lasso Rodeo", |strings| {
        let mut rodeo = Rodeo::default();
        for text in strings {
            rodeo.get_or_intern(text);
        }
        Ok(Box::new(rodeo))
    }),
    ("fst Map", |strings| {
        let mut sorted: Vec<(&String, u64)> = strings.iter().zip(0..).collect();
        sorted.sort();
        Ok(Box::new(Automaton(fst::Map::from_iter(sorted)?)))
    }),
];

/// What is asked, in no order.
struct Questions {
    hits: Vec<String>,
    misses: Vec<String>,
    ids: Vec<u32>,
    prefixes: Vec<String>,
}

impl Questions {
    fn of(strings: &[String]) -> Questions {
        let mut random = Random(5);
        let mut any = || &strings[random.below(strings.len())];
        let hits: Vec<String> = (0..STRINGS).map(|_| any().clone()).collect();
        // Nearly there, which is the hardest miss.
        let misses = (0..STRINGS).map(|_| format!("{}~", any())).collect();
        let prefixes = (0..PREFIXES).map(|_| any()[..3].to_owned()).collect();
        let ids = (0..STRINGS)
            .map(|_| random.below(strings.len()) as u32)
            .collect();
        Questions {
            hits,
            misses,
            ids,
            prefixes,
        }
    }
}

type Named = (&'static str, Box<dyn Keeper>);

/// Everyone with the strings, and the bytes that each took.
fn keep(strings: &[String]) -> anyhow::Result<(Vec<Named>, Vec<usize>)> {
    let (mut keepers, mut bytes) = (Vec::new(), Vec::new());
    for (name, make) in MAKERS {
        // A first one leaves malloc's caches as the second one finds them.
        drop(make(strings)?);
        let before = malloc_bytes();
        let keeper = make(strings).with_context(|| format!("failed to build {name}"))?;
        bytes.push(malloc_bytes() - before);
        keepers.push((*name, keeper));
    }
    Ok((keepers, bytes))
}

fn measure(plan: &Plan, report: &mut Report, what: &str, strings: &[String]) -> anyhow::Result<()> {
    let text_bytes: usize = strings.iter().map(String::len).sum();
    let (keepers, bytes) = keep(strings)?;
    let questions = Questions::of(strings);
    let builds = MAKERS.iter().map(|(name, make)| {
        Contestant::new(*name, move || {
            let (built, cost) = Cost::of(|| make(strings));
            built.map(|_| Turn::from(cost))
        })
    });
    let builds = race(builds.collect(), plan.rounds);
    let hits = ask(plan, &keepers, &questions.hits, |keeper, text| {
        keeper.find(text).map(|id| id as usize)
    });
    let misses = ask(plan, &keepers, &questions.misses, |keeper, text| {
        Some(usize::from(keeper.find(text).is_none()))
    });
    let terms = ask(plan, &keepers, &questions.ids, |keeper, id| {
        keeper.term_len(*id)
    });
    let prefixes = ask(plan, &keepers, &questions.prefixes, |keeper, prefix| {
        keeper.prefix(prefix)
    });
    let mut table = Table::new(
        format!(
            "dictionary: {STRINGS} {what}, {} bytes each",
            short(text_bytes as f64 / strings.len() as f64)
        ),
        &[
            "keeper",
            "bytes a string",
            "of the text",
            "build ms",
            "hit ns",
            "miss ns",
            "id->string ns",
            "prefix ns",
        ],
    );
    for (index, (name, _)) in keepers.iter().enumerate() {
        let each = bytes[index] as f64 / strings.len() as f64;
        let share = bytes[index] as f64 / text_bytes as f64;
        let cell = |all: &[Measured], asked: usize| cell(&all[index], &all[0], asked);
        table.row(vec![
            (*name).to_owned(),
            short(each),
            short(share),
            cell(&builds, 0),
            cell(&hits, STRINGS),
            cell(&misses, STRINGS),
            cell(&terms, STRINGS),
            cell(&prefixes, PREFIXES),
        ]);
        table.raw(json!({ "name": name, "bytes": bytes[index], "text_bytes": text_bytes }));
    }
    table.note(
        "Bytes with malloc's headers. Processor time, in brackets x how many times ours. prefix: the \
         first 10 strings with their text. -: it cannot.",
    );
    report.table(table);
    report.bar(Bar {
        what: format!("bytes a byte of {STRINGS} {what}"),
        limit: Limit::Below(SHARE_MAX),
        unit: "",
        found: Spread::of(&[bytes[0] as f64 / text_bytes as f64]),
    });
    Ok(())
}

/// Lets all answer the same questions in turns. Who answers none cannot.
fn ask<Q>(
    plan: &Plan,
    keepers: &[Named],
    questions: &[Q],
    answer: fn(&dyn Keeper, &Q) -> Option<usize>,
) -> Vec<Measured> {
    let contestants = keepers.iter().map(|(name, keeper)| {
        if answer(keeper.as_ref(), &questions[0]).is_none() {
            return Contestant::skipped(*name, "-");
        }
        Contestant::new(*name, move || {
            let (sum, cost) = Cost::of(|| {
                let answers = questions.iter().map(|one| answer(keeper.as_ref(), one));
                answers.flatten().sum::<usize>()
            });
            black_box(sum);
            Ok(Turn::from(cost))
        })
    });
    race(contestants.collect(), plan.rounds)
}

/// Median nanoseconds a question, or milliseconds of all where none are counted.
pub(super) fn cell(one: &Measured, ours: &Measured, asked: usize) -> String {
    let Some(cpu) = Spread::of(one.clock(Clock::Cpu)) else {
        return "-".to_owned();
    };
    let figure = match asked {
        0 => cpu.median,
        asked => cpu.median * 1e6 / asked as f64,
    };
    let times = one.times(ours, Clock::Cpu);
    let times = times.map_or("-".to_owned(), |times| short(times.median));
    format!("{} (x{times})", short(figure))
}
