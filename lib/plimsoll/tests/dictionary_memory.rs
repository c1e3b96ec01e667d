//! What a dictionary holds, in a process of its own: one test, so that nobody else allocates.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod counting;
mod tags;

use counting::{Counting, live_bytes, rise};
use plimsoll::dictionary::{Dictionary, TermId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `size_bytes` is what the allocator gave since `before`, and this value.
fn check_size(what: &str, dictionary: &Dictionary, before: usize) {
    let heap = live_bytes() - before;
    assert_eq!(
        dictionary.size_bytes(),
        heap + size_of::<Dictionary>(),
        "{what}"
    );
}

/// A new base is built beside what is there with at most 5 bytes a string more.
fn check_rise(what: &str, rise: usize, built: &Dictionary, more: usize) {
    let most = built.size_bytes() + 5 * built.len() as usize + more + (64 << 10);
    assert!(rise <= most, "{what}: {rise} of {most} bytes");
}

/// Bytes for each byte of string after `strings` came one by one.
fn check_strings(what: &str, strings: &[String], most: f64) {
    let text: usize = strings.iter().map(String::len).sum();
    let before = live_bytes();
    let dictionary = Dictionary::new();
    check_size("empty", &dictionary, before);
    for (number, string) in strings.iter().enumerate() {
        dictionary.insert(string).unwrap();
        if number % 9973 == 0 {
            check_size(what, &dictionary, before);
        }
    }
    check_size(what, &dictionary, before);
    let inserted = dictionary.size_bytes() as f64 / text as f64;
    let rise = rise(|| dictionary.rebuild());
    check_size(what, &dictionary, before);
    check_rise("rebuild", rise, &dictionary, 0);
    let mut bytes = Vec::new();
    dictionary.write_to(&mut bytes).unwrap();
    let rise = counting::rise(|| drop(Dictionary::read_from(bytes.as_slice()).unwrap()));
    check_rise("read", rise, &dictionary, dictionary.size_bytes());
    drop(bytes);
    let rebuilt = dictionary.size_bytes() as f64 / text as f64;
    for number in (0..strings.len() as u32).step_by(50) {
        dictionary
            .rename(TermId::new(number), &format!("renamed_{number}"))
            .unwrap();
    }
    check_size("renamed", &dictionary, before);
    let renamed = dictionary.size_bytes() as f64 / text as f64;
    let view = dictionary.view();
    drop(dictionary);
    drop(view);
    assert_eq!(live_bytes(), before, "all of it is given back");
    // Not before: what is printed is captured, and that allocates.
    println!(
        "{what}, {:.1} bytes each: {inserted:.3} as inserted, {rebuilt:.3} rebuilt, {renamed:.3} with \
         renames",
        text as f64 / strings.len() as f64
    );
    assert!(inserted.max(rebuilt).max(renamed) <= most, "{what}");
}

#[test]
fn a_dictionary_holds_what_it_says_and_at_most_one_and_a_half_times_its_strings() {
    let tags = tags::tags(100_000);
    check_strings("100,000 tags", &tags, 1.5);
    drop(tags);
    let hashes = tags::hashes(100_000);
    check_strings("100,000 hashes", &hashes, 1.5);
    let paths: Vec<String> = hashes
        .iter()
        .map(|hash| format!("images/{}/{hash}.jpg", &hash[..3]))
        .collect();
    check_strings("100,000 paths", &paths, 1.5);
}
