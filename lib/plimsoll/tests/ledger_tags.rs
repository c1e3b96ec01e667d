//! More tags than there are figures for, and more threads than there are slots.

use std::sync::{Arc, Barrier};
use std::thread;

use plimsoll::ledger::{self, Ledger, TAGS_MAX, Tag};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

#[test]
fn later_tags_share_one_row_and_later_threads_one_slot() {
    let own = TAGS_MAX - 2;
    let tags: Vec<&'static Tag> = (0..own + 5)
        .map(|number| {
            let name: &'static str = format!("tag {number}").leak();
            &*Box::leak(Box::new(Tag::new(name)))
        })
        .collect();
    let mut held = Vec::with_capacity(tags.len());
    for (number, tag) in tags.iter().enumerate() {
        held.push(tag.run(|| vec![1u8; 100 + number]));
    }
    for (number, tag) in tags.iter().enumerate().take(own) {
        assert_eq!(tag.figures().live_bytes, 100 + number as u64);
        assert_eq!(tag.figures().name, tag.name());
    }
    let further: u64 = (own..own + 5).map(|number| 100 + number as u64).sum();
    assert_eq!(tags[own].figures().live_bytes, further);
    assert_eq!(tags[own + 4].figures().name, "further tags");
    let rows = ledger::snapshot();
    assert_eq!(rows.len(), TAGS_MAX);
    assert_eq!(
        (rows[0].name, rows[TAGS_MAX - 1].name),
        ("untagged", "further tags")
    );
    drop(held);
    assert_eq!(tags[own].figures().live_bytes, 0);

    // 1100 threads at once, of which 1024 have counters of their own.
    const THREADS: usize = 1100;
    let tag = tags[0];
    let before = tag.figures();
    let all = Arc::new(Barrier::new(THREADS + 1));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let all = Arc::clone(&all);
            let builder = thread::Builder::new().stack_size(64 << 10);
            builder
                .spawn(move || {
                    let _scope = tag.enter();
                    let block = vec![1u8; 1000];
                    all.wait();
                    all.wait();
                    drop(block);
                })
                .expect("a thread")
        })
        .collect();
    all.wait();
    let during = tag.figures();
    assert_eq!(during.live_blocks - before.live_blocks, THREADS as u64);
    assert_eq!(during.live_bytes - before.live_bytes, 1000 * THREADS as u64);
    all.wait();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(tag.figures().live_bytes, before.live_bytes);
}
