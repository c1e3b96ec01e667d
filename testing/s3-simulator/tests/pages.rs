//! Pages put together are what a model says that the bucket has, for any question.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod client;

use std::collections::BTreeSet;

use client::{Client, Told};
use plimsoll_s3_simulator::{Bucket, Layout, Server};
use proptest::prelude::*;

/// Entries of a listing by the book: every key, or the part of it up to the delimiter, once, that is
/// above `start_after`.
fn model(bucket: &Bucket, prefix: &str, delimiter: &str, start_after: &str) -> Vec<String> {
    let mut entries = BTreeSet::new();
    bucket.for_each(|key, _| {
        let key = str::from_utf8(key).unwrap();
        let Some(rest) = key.strip_prefix(prefix) else {
            return;
        };
        let entry = match rest.split_once(delimiter) {
            Some((folder, _)) if !delimiter.is_empty() => format!("{prefix}{folder}{delimiter}"),
            _ => key.to_owned(),
        };
        if entry.as_str() > start_after {
            entries.insert(entry);
        }
    });
    entries.into_iter().collect()
}

fn layouts() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(Layout::Albums),
        Just(Layout::Flat),
        Just(Layout::Deep),
        Just(Layout::Tiny),
        Just(Layout::Unicode)
    ]
}

/// Part of a key, or more than one, cut anywhere that text can be cut.
fn part_of(bucket: &Bucket, slot: u64, part: f64, more: &str) -> String {
    let mut key = Vec::new();
    bucket.key(slot % bucket.slots(), &mut key);
    let key = String::from_utf8(key).unwrap();
    let cut = (0..=key.len())
        .filter(|at| key.is_char_boundary(*at))
        .take_while(|at| *at as f64 <= part * key.len() as f64)
        .last();
    format!("{}{more}", &key[..cut.unwrap_or(0)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pages_are_the_model(
        layout in layouts(),
        count in 1_u64..600,
        generation in 0_u32..40,
        prefix in (any::<u64>(), 0.0..1.0),
        start in (any::<u64>(), 0.0..1.2, prop_oneof![Just(""), Just("!"), Just("~")]),
        delimiter in prop_oneof![Just(""), Just("/"), Just("-"), Just("0"), Just("im"), Just(" ")],
        keys_max in 1_usize..40,
        url in any::<bool>(),
    ) {
        let bucket = Bucket { layout, ..Bucket::new(5, count) }.in_generation(generation);
        // Half of all questions have no prefix, as most have.
        let prefix = if prefix.0 % 2 == 0 { String::new() } else { part_of(&bucket, prefix.0 / 2, prefix.1, "") };
        let start = if start.0 % 3 == 0 { String::new() } else { part_of(&bucket, start.0 / 3, start.1, start.2) };
        let server = Server::start("bucket", bucket, 0).unwrap();
        let mut client = Client::new(server.port());
        let mut entries = Vec::new();
        let mut token = None;
        loop {
            let told = client.list(&prefix, delimiter, &start, token.as_deref(), keys_max, url);
            prop_assert_eq!(told.key_count, told.keys.len() + told.prefixes.len());
            let Told { keys, prefixes, next, .. } = told;
            let mut page: Vec<String> = keys.into_iter().chain(prefixes).collect();
            page.sort();
            let is_full = page.len() == keys_max;
            entries.extend(page);
            match next {
                Some(next) => {
                    prop_assert!(is_full, "a page that is not the last is full");
                    token = Some(next);
                }
                None => break,
            }
        }
        prop_assert_eq!(entries, model(&bucket, &prefix, delimiter, &start));
    }
}
