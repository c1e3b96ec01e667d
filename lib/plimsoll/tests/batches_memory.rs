//! What a walk holds, in a process of its own: one test, so that nobody else allocates.

mod counting;

use std::collections::BTreeMap;

use counting::{Counting, rise};
use plimsoll::batches::{BatchLimits, walk};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: u64 = 1_000_000;

#[test]
fn a_walk_over_a_million_rows_holds_one_batch() {
    let mut store: BTreeMap<u64, String> =
        (0..ROWS).map(|key| (key, format!("{key:020}"))).collect();
    for (items, bytes) in [(1_000, 1 << 20), (usize::MAX, 256 << 10), (1, 100)] {
        let limits = BatchLimits { items, bytes };
        let mut items_total = 0;
        let risen = rise(|| {
            let walked = walk(&mut store, limits, |store, batch| {
                for (key, value) in batch.entries() {
                    assert_eq!(value.len(), 20);
                    // A write between reads; the tree's shape stays.
                    if let Some(place) = store.get_mut(key) {
                        place.make_ascii_lowercase();
                    }
                }
                Ok::<_, std::io::Error>(())
            })
            .unwrap();
            items_total = walked.items;
            assert!(walked.batch_bytes_max <= bytes);
        });
        println!("{items} items, {bytes} bytes: {risen} bytes at most");
        assert_eq!(items_total, ROWS);
        // Places for all items of a batch, and the heap of those within the limit.
        assert!(
            risen <= bytes + bytes.min(items.saturating_mul(32)),
            "{risen} bytes"
        );
        assert!(risen <= 2 * bytes, "{risen} bytes");
    }
}
