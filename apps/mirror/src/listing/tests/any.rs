//! Any keys, splits, pages, workers and failures.

use proptest::collection::{btree_set, vec};
use proptest::prelude::{
    Just, ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::strategy::Strategy as _;

use super::*;

fn any_key() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    prop_oneof!["[ab/]{1,6}", "[0-9]{3}", "[a-c]/[0-9a-f]{4}", "\\PC{1,3}"]
        .prop_map(String::into_bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 200 } else { 400 }))]

    /// For any keys, splits, pages, workers and strategies, what is listed is the set of keys.
    #[test]
    fn any_listing_is_the_set_of_keys(
        set in btree_set(any_key(), 0..400),
        splits in vec(any_key(), 0..30),
        page in prop_oneof![1..4_usize, 100..150_usize],
        workers in 1..6_usize,
        ahead in 0..3_usize,
        strategy in prop_oneof![
            Just(Strategy::Recursive), Just(Strategy::ByLevel(1)), Just(Strategy::ByLevel(2)), Just(Strategy::Flat)
        ],
        has_hints in any::<bool>(),
    ) {
        let mut lister = Scripted::new(set.clone());
        lister.page = page;
        let options = Options { strategy, keys_ahead: 1000 * ahead, ..options(workers) };
        let known: Option<Box<dyn Hints>> = match has_hints {
            true => Some(Box::new(Listed(splits.into_iter()))),
            false => None,
        };
        let whole = list(lister, &options, known).unwrap();
        prop_assert_eq!(whole.keys, all(&set));
        prop_assert_eq!(whole.doubt, None);
    }

    /// An error at any request is an error of the listing: never is it merely short.
    #[test]
    fn any_error_is_told(
        set in btree_set(any_key(), 50..300),
        splits in vec(any_key(), 0..10),
        workers in 1..5_usize,
        failing in 1..40_u64,
    ) {
        let mut lister = Scripted::with(set.clone(), move |number, _, _| {
            if number == failing { Wrong::Fails } else { Wrong::Nothing }
        });
        lister.page = 10;
        match list(lister, &options(workers), Some(Box::new(Listed(splits.into_iter())))) {
            Err(error) => prop_assert!(error.to_string().contains("was to fail")),
            Ok(whole) => prop_assert_eq!(whole.keys, all(&set)),
        }
    }
}
