//! Listings of scripted sources: what comes out is the set of keys, whatever they look like, and however
//! the source behaves, or an error.

mod any;

use std::sync::Arc;

use super::testing::{Keys, Scripted, Wrong, keys};
use super::*;

/// Splits out of a list.
struct Listed(std::vec::IntoIter<Vec<u8>>);

impl Hints for Listed {
    fn next(&mut self, _: &dyn Lister, _: u64) -> Result<Hint> {
        Ok(self.0.next().map_or(Hint::End, Hint::Split))
    }
}

fn hints(splits: &[&str]) -> Option<Box<dyn Hints>> {
    let splits: Vec<Vec<u8>> = splits
        .iter()
        .map(|split| split.as_bytes().to_vec())
        .collect();
    Some(Box::new(Listed(splits.into_iter())))
}

fn options(workers: usize) -> Options {
    Options {
        prefix: String::new(),
        range: KeyRange::default(),
        strategy: Strategy::Recursive,
        workers,
        keys_ahead: 0,
        is_from_start: false,
    }
}

/// What came out, and what it took.
#[derive(Debug)]
struct Whole {
    keys: Vec<Vec<u8>>,
    figures: Figures,
    doubt: Option<String>,
}

fn list(lister: Scripted, options: &Options, known: Option<Box<dyn Hints>>) -> Result<Whole> {
    let lister: Arc<dyn Lister> = Arc::new(lister);
    let mut listing = BucketListing::start(&lister, options, known, Box::new(|_| ()))?;
    let mut keys = Vec::new();
    while listing.advance()? {
        assert_eq!(listing.meta().size_bytes, 3 * listing.key().len() as u64);
        keys.push(listing.key().to_vec());
    }
    assert!(!listing.advance()?, "once at its end, it stays there");
    let (figures, doubt) = (listing.figures(), listing.doubt());
    assert!(
        figures.pages_most <= options.pages_ahead() + 1,
        "{figures:?}"
    );
    Ok(Whole {
        keys,
        figures,
        doubt,
    })
}

fn all(keys: &Keys) -> Vec<Vec<u8>> {
    keys.iter().cloned().collect()
}

/// A key at a split, splits that nobody has, that fall, or that are none; pages of one key.
#[test]
fn splits_decide_nothing() {
    let set = keys(&["a", "b", "b/1", "b/2", "c", "d", "e", "e/x"]);
    for splits in [
        &[][..],
        &["a"],
        &["b", "d"],
        &["a", "b", "b/1", "b/2", "c", "d", "e", "e/x"],
        &["0", "b/11", "zz"],
        &["e", "b", "", "c", "c", "f"],
    ] {
        for page in [1, 2, 3, 1000] {
            for workers in [1, 2, 7] {
                let mut lister = Scripted::new(set.clone());
                lister.page = page;
                let whole = list(lister, &options(workers), hints(splits)).unwrap();
                assert_eq!(whole.keys, all(&set), "{splits:?} {page} {workers}");
                assert_eq!(whole.doubt, None);
            }
        }
    }
}

#[test]
fn an_empty_bucket_is_empty() {
    for splits in [&[][..], &["a", "b"]] {
        let whole = list(Scripted::new(Keys::new()), &options(3), hints(splits)).unwrap();
        assert_eq!((whole.keys.len(), whole.doubt), (0, None));
    }
}

/// Only keys of the range are used, whichever keys are at its ends.
#[test]
fn a_range_of_keys_is_listed_alone() {
    let set = keys(&["a", "a\u{10ffff}x", "b", "b/1", "c", "c\0", "d", "é", "日"]);
    let bounds = [
        "", "a", "b", "b\0", "b/1", "bb", "c", "d", "e", "é", "ê", "日", "z",
    ];
    for from in bounds {
        for to in bounds.iter().map(Some).chain([None]) {
            let range = KeyRange {
                from: from.as_bytes().to_vec(),
                to: to.map(|to| to.as_bytes().to_vec()),
            };
            let expected: Vec<_> = all(&set).into_iter().filter(|key| range.has(key)).collect();
            for page in [1, 2, 1000] {
                let mut lister = Scripted::new(set.clone());
                lister.page = page;
                let options = Options {
                    range: range.clone(),
                    ..options(3)
                };
                let whole = list(lister, &options, hints(&["a", "b/1", "c"])).unwrap();
                assert_eq!(whole.keys, expected, "{range:?}");
                assert_eq!(whole.doubt, None);
                // Of a source that can't begin there.
                let mut lister = Scripted::with(set.clone(), |_, _, _| Wrong::IgnoresStart);
                lister.page = page;
                let options = Options {
                    strategy: Strategy::Flat,
                    is_from_start: true,
                    ..options
                };
                let whole = list(lister, &options, None).unwrap();
                assert_eq!(whole.keys, expected, "{range:?}");
            }
        }
    }
}

#[test]
fn a_prefix_is_listed_alone() {
    let set = keys(&["a", "b/1", "b/2", "b/3", "c"]);
    let mut lister = Scripted::new(set);
    lister.page = 1;
    let options = Options {
        prefix: "b/".to_owned(),
        ..options(3)
    };
    let whole = list(lister, &options, hints(&["a", "b/2", "c"])).unwrap();
    assert_eq!(whole.keys, all(&keys(&["b/1", "b/2", "b/3"])));
}

/// As `radosgw` with its dbstore does.
#[test]
fn a_start_that_is_ignored_ends_the_listing() {
    let set = keys(&["a", "b", "c", "d"]);
    let mut lister = Scripted::with(set, |_, _, _| Wrong::IgnoresStart);
    lister.page = 2;
    let error = list(lister, &options(2), hints(&["b"])).unwrap_err();
    assert!(error.is::<IgnoresStartAfter>(), "{error}");
}

#[test]
fn keys_that_do_not_rise_end_the_listing() {
    let set = keys(&["a", "b", "c", "d"]);
    let lister = Scripted::with(set, |_, _, _| Wrong::Reversed);
    let error = list(lister, &options(2), None).unwrap_err();
    assert!(error.is::<Unordered>(), "{error}");
}

/// A source that leaves out the first key behind `start-after`, each time: found by what the range before
/// saw there. Where it happens once, the range is listed again.
#[test]
fn keys_that_are_skipped_at_a_seam_are_found() {
    let set = keys(&["a", "b", "c", "d", "e", "f"]);
    for page in [2, 3, 1000] {
        let mut lister = Scripted::with(set.clone(), |_, _, _| Wrong::SkipsOne);
        lister.page = page;
        // Of one worker the ranges are begun one after the other, mostly by tokens: nothing is skipped.
        let whole = list(lister, &options(4), hints(&["b", "d"])).unwrap();
        let skips = whole.keys != all(&set);
        assert_eq!(whole.doubt.is_some(), skips, "{whole:?}");
        if let Some(doubt) = whole.doubt {
            assert!(doubt.contains("leaves it out"), "{doubt}");
        }

        let mut is_first = true;
        let mut lister = Scripted::with(set.clone(), move |_, ask, _| {
            let skips = ask.start_after.is_some() && std::mem::take(&mut is_first);
            if skips {
                Wrong::SkipsOne
            } else {
                Wrong::Nothing
            }
        });
        lister.page = page;
        let whole = list(lister, &options(4), hints(&["b", "d"])).unwrap();
        assert_eq!((whole.keys, whole.doubt), (all(&set), None));
    }
}

/// A page says that nothing follows, and something does: asked once more. Once it was a mistake, twice it
/// is no listing to delete by.
#[test]
fn an_end_that_is_none_is_asked_for_again() {
    let set = keys(&["a", "b", "c", "d", "e", "f"]);
    let check = |times: u32, expected: &[&str], has_doubt: bool| {
        let mut left = times;
        let mut lister = Scripted::with(set.clone(), move |_, ask, _| {
            let is_first = ask.start_after.is_none_or(|after| after < &b"b"[..]);
            if is_first && ask.token.is_none() && left > 0 {
                left -= 1;
                return Wrong::EndsEarly;
            }
            Wrong::Nothing
        });
        lister.page = 3;
        let whole = list(lister, &options(2), hints(&["c"])).unwrap();
        assert_eq!(whole.keys, all(&keys(expected)), "{times}");
        assert_eq!(whole.doubt.is_some(), has_doubt, "{whole:?}");
    };
    check(0, &["a", "b", "c", "d", "e", "f"], false);
    check(1, &["a", "b", "c", "d", "e", "f"], false);
    check(2, &["a", "b", "d", "e", "f"], true);
}

/// B3: an error of any request, those for hints included, ends the listing, whatever else is going on;
/// never is it merely short.
#[test]
fn b3_an_error_is_never_lost() {
    let name = |n: u32| format!("{:03}/{n:04}", n / 7).into_bytes();
    let set: Keys = (0..400).map(name).collect();
    let splits: Vec<String> = (0..40).map(|n| format!("{:03}/", n * 2)).collect();
    let splits: Vec<&str> = splits.iter().map(String::as_str).collect();
    let list_with = |failing: u64, strategy: Strategy| {
        let mut lister = Scripted::with(set.clone(), move |number, _, _| {
            if number == failing {
                Wrong::Fails
            } else {
                Wrong::Nothing
            }
        });
        lister.page = 20;
        let options = Options {
            strategy,
            ..options(3)
        };
        let known = (strategy == Strategy::Recursive).then(|| hints(&splits));
        list(lister, &options, known.flatten())
    };
    for strategy in [Strategy::Recursive, Strategy::ByLevel(1), Strategy::Flat] {
        let whole = list_with(0, strategy).unwrap();
        assert_eq!(whole.keys, all(&set));
        let mut failed = 0;
        for failing in 1..=whole.figures.requests {
            match list_with(failing, strategy) {
                Err(error) => {
                    assert!(error.to_string().contains("was to fail"), "{error}");
                    failed += 1;
                }
                // As many requests as before are not always needed.
                Ok(short) => assert_eq!(short.keys, all(&set)),
            }
        }
        assert!(failed > 10, "{strategy:?}: {failed}");
    }
}

/// A thread that ends by a panic is waited for no longer, and is no end of the listing.
#[test]
fn a_worker_that_panics_is_an_error() {
    let set: Keys = (0..50).map(|n| format!("{n:03}").into_bytes()).collect();
    let mut lister = Scripted::with(set, |number, _, _| {
        assert!(number != 3, "ordered by a test");
        Wrong::Nothing
    });
    lister.page = 5;
    let error = list(lister, &options(1), None).unwrap_err();
    assert!(error.to_string().contains("has panicked"), "{error}");
}

/// B4: keys above the level are listed like all others.
#[test]
fn b4_shallow_keys_are_listed() {
    let set = keys(&["a/1/x", "a/2/y", "a/top", "b", "c/1/x", "root", "z"]);
    for level in 1..4 {
        for page in [1, 3, 1000] {
            let mut lister = Scripted::new(set.clone());
            lister.page = page;
            let options = Options {
                strategy: Strategy::ByLevel(level),
                ..options(4)
            };
            assert_eq!(list(lister, &options, None).unwrap().keys, all(&set));
        }
    }
}

/// B11: any number of folders is listed to its end, within the window.
#[test]
fn b11_200_000_folders_are_listed() {
    let key = |n: u32| format!("folder-{n:06}/{:04x}", n.wrapping_mul(40_503) & 0xffff);
    let set: Keys = (0..200_000).map(|n| key(n).into_bytes()).collect();
    for strategy in [Strategy::Recursive, Strategy::ByLevel(1)] {
        let options = Options {
            strategy,
            ..options(5)
        };
        let whole = list(Scripted::new(set.clone()), &options, None).unwrap();
        println!("{strategy:?}: {:?}", whole.figures);
        assert!(whole.keys == all(&set));
        assert!(
            whole.figures.requests <= 200 + 200 / 4 + 2 * 10,
            "{:?}",
            whole.figures
        );
    }
}

/// What requests are in vain, by how keys look.
#[test]
fn requests_are_about_one_for_each_page() {
    let mix = |n: u64| {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    type Layout = (&'static str, Box<dyn Fn(u64) -> String>);
    let layouts: [Layout; 5] = [
        ("counter", Box::new(|n| format!("photos/img-{n:09}.jpeg"))),
        ("hashes", Box::new(move |n| format!("{:016x}", mix(n)))),
        (
            "albums",
            Box::new(move |n| {
                format!(
                    "tenant-{:03}/album-{:05}/{:08x}",
                    n / 20_000,
                    n / 100,
                    mix(n) as u32
                )
            }),
        ),
        (
            "days",
            Box::new(|n| {
                format!(
                    "logs/2024-{:02}-{:02}/{:06}.gz",
                    1 + n / 8_400 % 12,
                    1 + n / 300 % 28,
                    n
                )
            }),
        ),
        (
            "words",
            Box::new(move |n| {
                let word = [
                    "alpha", "beta", "delta", "gamma", "lambda", "omega", "sigma", "zeta",
                ];
                format!(
                    "{}/{}/{:06}",
                    word[(mix(n / 10_000) % 8) as usize],
                    word[(mix(n / 2_000) % 8) as usize],
                    n
                )
            }),
        ),
    ];
    for (name, key) in layouts {
        let set: Keys = (0..100_000).map(|n| key(n).into_bytes()).collect();
        for workers in [5, 20] {
            let whole = list(Scripted::new(set.clone()), &options(workers), None).unwrap();
            let Figures {
                requests, starts, ..
            } = whole.figures;
            println!(
                "{name}, {workers} workers: {requests} requests for 100 pages, {starts} ranges"
            );
            assert!(whole.keys == all(&set), "{name}");
            assert_eq!(whole.doubt, None);
            assert!(
                requests <= 100 + 25 + 4 * workers as u64,
                "{name}: {requests}"
            );
        }
    }
}

/// Keys come and go while pages are on their way: all that stayed are listed, none twice, and nothing is
/// taken for a fault of the source.
#[test]
fn changes_between_pages_lose_nothing() {
    let stays: Keys = (0..3000).map(|n| format!("{n:05}").into_bytes()).collect();
    for seed in 0..20_u64 {
        let mut lister = Scripted::with(stays.clone(), move |number, _, keys| {
            let place = (number.wrapping_mul(seed + 1).wrapping_mul(7919)) % 3000;
            let name = format!("{place:05}-more").into_bytes();
            if !keys.remove(&name) {
                keys.insert(name);
            }
            Wrong::Nothing
        });
        lister.page = 100;
        let splits: Vec<String> = (0..30).map(|n| format!("{:05}", n * 97)).collect();
        let splits: Vec<&str> = splits.iter().map(String::as_str).collect();
        let whole = list(lister, &options(4), hints(&splits)).unwrap();
        assert!(whole.keys.is_sorted_by(|a, b| a < b));
        let found: Keys = whole.keys.into_iter().collect();
        assert!(stays.is_subset(&found), "{seed}");
        assert_eq!(whole.doubt, None);
    }
}
