//! Walks in batches: what they see, what they refuse, and how they go on after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use plimsoll::ErrorKind;
use plimsoll::batches::{Batch, BatchLimits, OrderedStore, walk, walk_after};
use proptest::prelude::*;

type Map = BTreeMap<u16, String>;

fn map(keys: impl IntoIterator<Item = u16>) -> Map {
    keys.into_iter()
        .map(|key| (key, format!("{key}")))
        .collect()
}

fn limits(items: usize, bytes: usize) -> BatchLimits {
    BatchLimits { items, bytes }
}

#[test]
fn batches_hold_to_both_limits() {
    let check = |items, bytes, expected: &[usize]| {
        let mut store: BTreeMap<u64, u64> = (0..10).map(|key| (key, key)).collect();
        let mut sizes = Vec::new();
        let walked = walk(&mut store, limits(items, bytes), |_, batch| {
            assert!(batch.weight_bytes() <= bytes);
            sizes.push(batch.entries().len());
            Ok::<_, Infallible>(())
        })
        .unwrap();
        assert_eq!(sizes, expected, "{items} items, {bytes} bytes");
        assert_eq!(walked.items, 10);
        assert_eq!(walked.batches, expected.len() as u64);
        assert_eq!(walked.bytes, 160);
    };
    check(1, 16, &[1; 10]);
    check(4, 1 << 20, &[4, 4, 2]);
    check(1000, 47, &[2; 5]);
    check(1000, 48, &[3, 3, 3, 1]);
    check(usize::MAX, 1 << 20, &[10]);
}

#[test]
fn limits_that_nothing_fits_are_refused() {
    let check = |items, bytes, kind, part: &str| {
        let mut store = map(0..3);
        let error = walk(&mut store, limits(items, bytes), |_, _| {
            Ok::<_, Infallible>(())
        })
        .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    check(0, 100, ErrorKind::Invalid, "1 or more");
    check(1, 0, ErrorKind::Invalid, "1 or more");
    check(1, 10, ErrorKind::Failed, "raise the limit");
}

#[test]
fn an_error_ends_the_walk_and_the_resume_key_continues_it() {
    // Every batch fails once: after it was written and before its key was saved, and so is seen twice.
    for fails_at in 0..5 {
        let mut store = map(0..50);
        let (mut saved, mut seen) = (None, Vec::new());
        let mut number = 0;
        let result = walk(&mut store, limits(10, 1 << 20), |_, batch| {
            if number == fails_at {
                return Err("the disk is full");
            }
            number += 1;
            saved = batch.resume_key().copied();
            seen.extend(batch.into_entries().into_iter().map(|(key, _)| key));
            Ok(())
        });
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.to_string().contains("the disk is full"), "{error}");
        // The key itself may be gone by then.
        saved.map(|key: u16| store.remove(&key));
        walk_after(&mut store, saved, limits(7, 1 << 20), |_, batch| {
            seen.extend(batch.into_entries().into_iter().map(|(key, _)| key));
            Ok::<_, Infallible>(())
        })
        .unwrap();
        assert_eq!(seen, (0..50).collect::<Vec<_>>(), "failed at {fails_at}");
    }
}

/// Breaks one promise of a store.
struct Broken(fn(Option<&u16>) -> Vec<u16>);

impl OrderedStore for Broken {
    type Key = u16;
    type Value = ();
    type Error = plimsoll::Error;

    fn read_batch(
        &mut self,
        after: Option<&u16>,
        _: BatchLimits,
    ) -> Result<Batch<u16, ()>, plimsoll::Error> {
        let mut batch = Batch::new(limits(100, 1 << 20));
        for key in (self.0)(after) {
            batch.push(key, ())?;
        }
        Ok(batch)
    }
}

#[test]
fn a_store_that_breaks_its_promises_is_told() {
    let check = |keys, part: &str| {
        let error = walk(&mut Broken(keys), limits(3, 1 << 10), |_, _| {
            Ok::<_, Infallible>(())
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains(part), "{error}");
    };
    check(|_| vec![1, 2, 3], "not after the resume key");
    check(|_| vec![1, 3, 2], "do not rise");
    check(|_| vec![1, 1], "do not rise");
    check(|_| vec![1, 2, 3, 4], "larger than the limits");
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u16),
    Remove(u16),
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = prop_oneof![
        (0..300_u16).prop_map(Change::Insert),
        (0..300_u16).prop_map(Change::Remove),
    ];
    prop::collection::vec(prop::collection::vec(change, 0..20), 0..30)
}

proptest! {
    /// The stated semantics, against a map that others change between batches.
    #[test]
    fn a_walk_sees_what_it_says_under_changes(
        start in prop::collection::btree_set(0..300_u16, 0..200),
        changes in changes(),
        items in 1..40_usize,
        bytes in 200..4000_usize,
    ) {
        let mut store = map(start.iter().copied());
        // There from the beginning to the end; there at any time.
        let mut always = start.clone();
        let mut ever: BTreeSet<u16> = start;
        let mut seen = Vec::new();
        let mut expected = Vec::new();
        let mut rounds = changes.into_iter();
        let mut version = 0;
        let limits = limits(items, bytes);
        walk(&mut store, limits, |store, batch| {
            // The batch is what the store held after the key before it, when it was read.
            let from = seen.last().map_or(0, |(key, _): &(u16, String)| key + 1);
            let model: Vec<_> = store.range(from..).take(batch.entries().len()).collect();
            assert!(batch.entries().iter().map(|(k, v)| (k, v)).eq(model), "consistent in itself");
            assert!(batch.entries().len() <= items && batch.weight_bytes() <= bytes);
            expected.extend(batch.entries().to_vec());
            seen.extend(batch.into_entries());
            for change in rounds.next().into_iter().flatten() {
                match change {
                    Change::Insert(key) => {
                        version += 1;
                        store.insert(key, format!("v{version}"));
                        ever.insert(key);
                    }
                    Change::Remove(key) => {
                        store.remove(&key);
                        always.remove(&key);
                    }
                }
            }
            Ok::<_, Infallible>(())
        })
        .unwrap();
        let keys: Vec<u16> = seen.iter().map(|(key, _)| *key).collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "each once, rising");
        prop_assert!(always.iter().all(|key| keys.binary_search(key).is_ok()), "none is missed");
        prop_assert!(keys.iter().all(|key| ever.contains(key)), "none is made up");
        prop_assert_eq!(seen, expected);
    }

    /// Saved and continued at every batch, a walk sees the same.
    #[test]
    fn a_walk_in_pieces_is_the_walk(
        keys in prop::collection::btree_set(0..300_u16, 0..200),
        items in 1..40_usize,
    ) {
        let mut store = map(keys.iter().copied());
        let (mut saved, mut seen) = (None, Vec::new());
        loop {
            let result = walk_after(&mut store, saved, limits(items, 1 << 20), |_, batch| {
                saved = batch.resume_key().copied();
                seen.extend(batch.into_entries().into_iter().map(|(key, _)| key));
                Err::<(), _>("killed")
            });
            if result.is_ok() {
                break;
            }
        }
        prop_assert_eq!(seen, keys.into_iter().collect::<Vec<_>>());
    }
}
