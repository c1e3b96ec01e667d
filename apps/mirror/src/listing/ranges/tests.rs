//! Ranges that are driven by hand: every page that may be asked for is, before any comes back, and they
//! come back in another order. What is wrong with a source is wrong each time it is asked.

use std::collections::BTreeSet;

use super::super::testing::{Keys, Scripted, Wrong, keys};
use super::super::{Ask, Lister};
use super::*;

/// What came out, and why it is not to be deleted by.
#[derive(Debug, PartialEq, Eq)]
struct Out {
    keys: Keys,
    doubt: Option<String>,
    requests: u64,
}

/// Has all work done that there is, the last that was asked for first.
fn drive(mut ranges: Ranges, lister: &Scripted, splits: &[&str]) -> Out {
    let mut splits = splits.iter().map(|split| split.as_bytes().to_vec());
    let mut out = Keys::new();
    loop {
        let mut jobs = Vec::new();
        loop {
            match ranges.next() {
                Next::List(job) => jobs.push(job),
                Next::Hint => match splits.next() {
                    Some(split) => ranges.has_hints &= ranges.split(split),
                    None => ranges.has_hints = false,
                },
                Next::Wait | Next::Ended => break,
            }
        }
        let had_jobs = !jobs.is_empty();
        while let Some(mut job) = jobs.pop() {
            let after = (!job.after.is_empty()).then_some(&job.after[..]);
            let ask = Ask {
                start_after: after.filter(|_| job.sequence.token.is_none()),
                token: job.sequence.token.as_deref(),
                ..Ask::default()
            };
            lister.list(&ask, &mut job.page).unwrap();
            let mut sequence = job.sequence.clone();
            let ends = sequence.check(&job.page, b"", after).unwrap();
            ranges.take(job.id, job.page, sequence, ends);
        }
        loop {
            match ranges.give() {
                Give::Page(used) => {
                    let page = &used.page;
                    let places = std::iter::successors(page.next(used.from), |at| page.next(*at));
                    for place in places.take(used.count) {
                        let last = out.last().cloned();
                        let key = page.key(place).to_vec();
                        assert!(last.is_none_or(|last| last < key), "{out:?} {key:?}");
                        out.insert(key);
                    }
                    ranges.used_up(used.page);
                }
                Give::Ask(key) => ranges.judge(&key, true),
                Give::Wait => break,
                Give::Ended => {
                    return Out {
                        keys: out,
                        doubt: ranges.doubt.take(),
                        requests: ranges.figures.requests,
                    };
                }
            }
        }
        assert!(
            had_jobs || !matches!(ranges.next(), Next::Wait),
            "nothing goes on: {ranges:?}"
        );
    }
}

fn ranges(pages: usize) -> Ranges {
    let window = Window {
        pages,
        bytes: 16 << 20,
    };
    Ranges::new("", Vec::new(), KeyRange::default(), window, true, true)
}

const ALL: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Each range leaves out the first key behind its start: all of them are seen by the range before.
#[test]
fn a_source_that_skips_at_every_start_is_found_out() {
    for page in [2, 3, 1000] {
        let mut lister = Scripted::with(keys(&ALL), |_, _, _| Wrong::SkipsOne);
        lister.page = page;
        let out = drive(ranges(8), &lister, &["b", "d", "f"]);
        let doubt = out.doubt.expect("a key is missing");
        assert!(doubt.contains("has \"c\", and leaves it out"), "{doubt}");
        assert_eq!(out.keys, keys(&["a", "b", "d", "f", "h"]), "{page}");
    }
}

/// What a source leaves out once is there when the range is listed again.
#[test]
fn a_start_that_failed_once_is_listed_again() {
    let mut left = 2;
    let mut lister = Scripted::with(keys(&ALL), move |_, ask, _| {
        if ask.start_after.is_some() && left > 0 {
            left -= 1;
            return Wrong::SkipsOne;
        }
        Wrong::Nothing
    });
    lister.page = 3;
    let out = drive(ranges(8), &lister, &["b", "d", "f"]);
    assert_eq!((out.keys, out.doubt), (keys(&ALL), None));
}

/// "Not truncated" while later ranges have keys: asked once more, and twice is a doubt.
#[test]
fn an_end_in_the_middle_is_asked_for_again() {
    for (times, has_doubt) in [(1, false), (2, true)] {
        let mut left = times;
        let mut lister = Scripted::with(keys(&ALL), move |_, ask, _| {
            let after = ask.start_after.unwrap_or_default();
            if ask.token.is_none() && after >= &b"b"[..] && after < &b"d"[..] && left > 0 {
                left -= 1;
                return Wrong::EndsEarly;
            }
            Wrong::Nothing
        });
        lister.page = 4;
        let out = drive(ranges(8), &lister, &["b", "f"]);
        assert_eq!(out.doubt.is_some(), has_doubt, "{out:?}");
        if !has_doubt {
            assert_eq!(out.keys, keys(&ALL));
        }
    }
}

/// A window of one page goes on, whatever is planned; and a window is never exceeded by more than a page.
#[test]
fn the_front_always_goes_on() {
    for pages in 1..6 {
        let mut lister = Scripted::new(keys(&ALL));
        lister.page = 1;
        let splits: BTreeSet<&str> = ALL.into_iter().collect();
        let splits: Vec<&str> = splits.into_iter().collect();
        let out = drive(ranges(pages), &lister, &splits);
        assert_eq!((out.keys, out.doubt), (keys(&ALL), None), "{pages}");
    }
}

/// A page that reaches behind ranges nobody began stands for them.
#[test]
fn ranges_that_a_page_covers_are_not_asked_for() {
    let set: Keys = (0..10_000)
        .map(|n| format!("{n:05}").into_bytes())
        .collect();
    let splits: Vec<String> = (0..1000).map(|n| format!("{:05}", n * 10)).collect();
    let splits: Vec<&str> = splits.iter().map(String::as_str).collect();
    let out = drive(ranges(1), &Scripted::new(set.clone()), &splits);
    assert_eq!((out.keys, out.doubt), (set, None));
    assert!(out.requests <= 12, "{} for 10 pages", out.requests);
}
