//! What a stage and a snapshot of the ledger cost, with 8 threads and 3 tags: prints microseconds,
//! median (least–greatest) of 21 rounds.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use plimsoll::ledger::{self, Ledger, Tag};
use plimsoll::stage::Stage;

#[global_allocator]
static ALLOCATOR: Ledger = Ledger::system();

static TAGS: [Tag; 3] = [Tag::new("a"), Tag::new("b"), Tag::new("c")];
const THREADS: usize = 8;
const REPEATS: u32 = 500;
const ROUNDS: usize = 21;

fn main() {
    let ready = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for index in 0..THREADS {
            let ready = &ready;
            scope.spawn(move || {
                let block = TAGS[index % TAGS.len()].run(|| vec![1u8; 1000]);
                ready.wait();
                ready.wait();
                drop(block);
            });
        }
        ready.wait();
        measure("stage, begin and end", || {
            black_box(Stage::begin("batch").end());
        });
        measure("snapshot", || {
            black_box(ledger::snapshot());
        });
        measure("enter and leave a tag", || {
            drop(black_box(TAGS[0].enter()));
        });
        ready.wait();
    });
}

fn measure(what: &str, act: impl Fn()) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..REPEATS).for_each(|_| act());
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(REPEATS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let (median, least, greatest) = (rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
    println!("{what}: {median:.4} ({least:.4}–{greatest:.4}) microseconds");
}
