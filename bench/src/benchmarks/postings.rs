//! Bytes and queries of the library's postings, beside one `RoaringBitmap` a term.
//!
//! Bytes are what glibc's malloc has given, its own headers included. Times are processor time.

use std::hint::black_box;

use plimsoll::dictionary::TermId;
use plimsoll::postings::{PostingsIndex, Query};
use roaring::RoaringBitmap;
use serde_json::json;

use crate::benchmarks::Plan;
use crate::benchmarks::dictionary::{cell, malloc_bytes};
use crate::benchmarks::tags::Images;
use crate::cost::Cost;
use crate::race::{Contestant, Measured, Turn, race};
use crate::report::{Bar, Limit, Report};
use crate::spread::{Spread, short};
use crate::table::Table;

const IMAGES: usize = 200_000;
const TAGS: usize = 120_000;
const EACH: usize = 48;
const MIB_MAX: f64 = 24.0;
const MIB: f64 = (1 << 20) as f64;
/// Of each query in a turn, so that a turn is long enough to be measured.
const REPEATS: usize = 20;

/// Name, terms that are required, one that is excluded, terms of which any will do.
type Asked = (
    &'static str,
    &'static [u32],
    Option<u32>,
    std::ops::Range<u32>,
);

const QUERIES: &[Asked] = &[
    ("two frequent tags", &[0, 1], None, 0..0),
    ("five frequent tags", &[0, 1, 2, 3, 4], None, 0..0),
    ("frequent, not frequent", &[0], Some(1), 0..0),
    ("frequent and middling", &[0, 1_000], None, 0..0),
    ("frequent and rare", &[0, 50_000], None, 0..0),
    ("any of 20 middling", &[], None, 500..520),
    ("frequent, any of 1,000 rare", &[0], None, 10_000..11_000),
];

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let before = malloc_bytes();
    let mut own = PostingsIndex::new();
    let (_, own_build) = Cost::of(|| {
        for (image, terms) in (0..).zip(Images::new(IMAGES, TAGS, EACH)) {
            own.insert_document(image, terms.into_iter().map(TermId::new));
        }
    });
    let own_bytes = malloc_bytes() - before;
    let before = malloc_bytes();
    let mut peer = vec![RoaringBitmap::new(); TAGS];
    let (_, peer_build) = Cost::of(|| {
        for (image, terms) in (0..).zip(Images::new(IMAGES, TAGS, EACH)) {
            for term in terms {
                peer[term as usize].insert(image);
            }
        }
    });
    let peer_bytes = malloc_bytes() - before;
    let (_, making) = Cost::of(|| {
        Images::new(IMAGES, TAGS, EACH)
            .map(|t| t.len())
            .sum::<usize>()
    });
    let mut table = Table::new(
        format!("postings: {IMAGES} images of {EACH} tags out of {TAGS}"),
        &["", "plimsoll PostingsIndex", "roaring, one a tag"],
    );
    let pairs = (IMAGES * EACH) as f64;
    for (what, figure) in [
        (
            "MiB, with malloc's headers",
            [own_bytes, peer_bytes].map(|b| b as f64 / MIB),
        ),
        (
            "bytes a pair",
            [own_bytes, peer_bytes].map(|b| b as f64 / pairs),
        ),
        (
            "build s, once",
            [own_build, peer_build].map(|c| c.cpu.saturating_sub(making.cpu).as_secs_f64()),
        ),
    ] {
        table.row(vec![what.to_owned(), short(figure[0]), short(figure[1])]);
    }
    for query in QUERIES {
        let (found, measured) = ask(plan, &own, &peer, query)?;
        let micros = |one: &Measured| cell(one, &measured[0], REPEATS * 1_000);
        table.row(vec![
            format!("{}: {found} found, us", query.0),
            micros(&measured[0]),
            micros(&measured[1]),
        ]);
        table.raw(json!({ "query": query.0, "found": found }));
    }
    table.note(
        "Microseconds of processor time to count what answers, in brackets x how many times ours. \
         roaring makes a set of all steps but the last.",
    );
    report.table(table);
    report.bar(Bar {
        what: format!("postings of {IMAGES} images of {EACH} tags"),
        limit: Limit::Below(MIB_MAX),
        unit: "MiB",
        found: Spread::of(&[own.size_bytes() as f64 / MIB]),
    });
    Ok(())
}

fn ask(
    plan: &Plan,
    own: &PostingsIndex,
    peer: &[RoaringBitmap],
    asked: &Asked,
) -> anyhow::Result<(u64, Vec<Measured>)> {
    let query = own_query(asked);
    let found = own.count(&query)?;
    anyhow::ensure!(found == count_peer(peer, asked), "{} differs", asked.0);
    let contestants = vec![
        Contestant::new(
            "plimsoll",
            repeated(|| own.count(&query).unwrap_or_default()),
        ),
        Contestant::new("roaring", repeated(|| count_peer(peer, asked))),
    ];
    Ok((found, race(contestants, plan.rounds)))
}

fn repeated(count: impl Fn() -> u64) -> impl FnMut() -> anyhow::Result<Turn> {
    move || {
        let (sum, cost) = Cost::of(|| (0..REPEATS).map(|_| count()).sum::<u64>());
        black_box(sum);
        Ok(Turn::from(cost))
    }
}

fn own_query((_, required, excluded, any): &Asked) -> Query {
    let term = |term: u32| Query::Term(TermId::new(term));
    let mut parts: Vec<Query> = required.iter().map(|number| term(*number)).collect();
    parts.extend(excluded.map(|number| term(number).negated()));
    if !any.is_empty() {
        parts.push(Query::Any(any.clone().map(term).collect()));
    }
    Query::All(parts)
}

/// As its users do it: the smallest set first, the last step only counted.
fn count_peer(peer: &[RoaringBitmap], (_, required, excluded, any): &Asked) -> u64 {
    let mut sets: Vec<&RoaringBitmap> = required.iter().map(|n| &peer[*n as usize]).collect();
    let mut union = RoaringBitmap::new();
    if !any.is_empty() {
        union = roaring::MultiOps::union(any.clone().map(|n| &peer[n as usize]));
        sets.push(&union);
    }
    sets.sort_by_key(|set| set.len());
    let exclude = excluded.map(|number| &peer[number as usize]);
    match (sets.as_slice(), exclude) {
        ([one], Some(excluded)) => one.difference_len(excluded),
        ([one], None) => one.len(),
        ([first, middle @ .., last], None) => {
            let both = middle
                .iter()
                .fold(None, |both: Option<RoaringBitmap>, set| {
                    Some(both.map_or_else(|| *first & *set, |both| both & *set))
                });
            both.as_ref().unwrap_or(first).intersection_len(last)
        }
        _ => union.len(),
    }
}
