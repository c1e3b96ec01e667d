//! What postings hold, in a process of its own: one test, so that nobody else allocates.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod counting;
mod tags;

use counting::{Counting, live_bytes};
use plimsoll::dictionary::TermId;
use plimsoll::postings::{Postings, PostingsIndex, Query};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const IMAGES: usize = 200_000;
const TAGS: usize = 120_000;
const EACH: usize = 48;
const MIB: usize = 1 << 20;

/// `size_bytes` is what the allocator gave since `before`, and this value.
fn check_size(what: &str, index: &PostingsIndex, before: usize) -> usize {
    let heap = live_bytes() - before;
    let size = index.size_bytes();
    assert_eq!(size, heap + size_of::<PostingsIndex>(), "{what}");
    size
}

#[test]
fn postings_of_200_000_images_with_48_tags_take_at_most_24_mib() {
    let before_set = live_bytes();
    let set: Postings = (0..5_000).chain((5_000..90_000).step_by(7)).collect();
    assert_eq!(
        set.size_bytes(),
        live_bytes() - before_set + size_of::<Postings>()
    );
    drop(set);

    let before = live_bytes();
    let mut index = PostingsIndex::new();
    check_size("empty", &index, before);
    for (document, terms) in (0..).zip(tags::Images::new(IMAGES, TAGS, EACH)) {
        index.insert_document(document, terms.into_iter().map(TermId::new));
        if document % 39_989 == 0 {
            check_size("while inserted", &index, before);
        }
    }
    let inserted = check_size("inserted", &index, before);
    assert_eq!(index.documents().len(), IMAGES as u64);

    // A query holds a decoded block a term, and counting holds nothing else.
    let live = live_bytes();
    let query = Query::All((0..4).map(|term| Query::Term(TermId::new(term))).collect());
    let matches = index.matches(&query).unwrap();
    let held = live_bytes() - live;
    assert!(held < 8 << 10, "{held} bytes");
    drop((matches, query));
    assert_eq!(live_bytes(), live);

    // Changes in the middle: tags taken off and others put on.
    let mut random = tags::Random(3);
    for _ in 0..100_000 {
        let (term, document) = (random.below(2_000) as u32, random.below(IMAGES) as u32);
        if !index.remove(TermId::new(term), document) {
            index.insert(TermId::new(random.below(TAGS) as u32), document);
        }
    }
    let changed = check_size("changed", &index, before);
    index.compact();
    let compact = check_size("compact", &index, before);
    let terms = (0..TAGS as u32).map(TermId::new);
    let pairs: u64 = terms.map(|term| index.count_of(term)).sum();
    drop(index);
    assert_eq!(live_bytes(), before, "all of it is given back");
    let mib = |bytes: usize| bytes as f64 / MIB as f64;
    println!(
        "{pairs} pairs: {:.2} MiB as inserted, {:.2} after changes, {:.2} compact",
        mib(inserted),
        mib(changed),
        mib(compact)
    );
    assert!(inserted.max(changed).max(compact) <= 24 * MIB);
}
