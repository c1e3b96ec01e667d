//! Plimsoll's ledger: live, peak and total by tag; every second thread in another tag.

use plimsoll::ledger::{Ledger, Tag};

#[global_allocator]
static ALLOCATOR: Ledger = Ledger::system();

static EVEN: Tag = Tag::new("even");
static ODD: Tag = Tag::new("odd");

fn main() {
    plimsoll_allocators::run(|index, work| {
        let tag = if index % 2 == 0 { &EVEN } else { &ODD };
        tag.run(work);
    });
    if EVEN.figures().total_blocks == 0 {
        panic!("the ledger counted nothing");
    }
}
