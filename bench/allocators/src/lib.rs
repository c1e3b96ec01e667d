//! The program that runs over each allocator: `NAME WORKLOAD THREADS OPERATIONS`.
//!
//! Memory: about 1 MiB a thread.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::hint::black_box;

/// Blocks that a thread of `churn` holds at once.
const HELD: usize = 4096;

/// Reads the arguments and runs; `in_thread` is called around the work of each thread.
pub fn run(in_thread: impl Fn(usize, &mut dyn FnMut()) + Sync) {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, workload, threads, operations] = arguments.as_slice() else {
        panic!("usage: NAME (pairs|churn|text) THREADS OPERATIONS");
    };
    let work = match workload.as_str() {
        "pairs" => pairs,
        "churn" => churn,
        "text" => text,
        other => panic!("no workload is called {other}"),
    };
    let threads: usize = threads.parse().expect("a number of threads");
    let operations: usize = operations.parse().expect("a number of operations");
    let in_thread = &in_thread;
    std::thread::scope(|scope| {
        for index in 0..threads {
            scope.spawn(move || in_thread(index, &mut || work(index as u64, operations)));
        }
    });
}

/// Allocates 64 bytes and frees them, and does nothing else: the worst case of any accounting.
fn pairs(_: u64, operations: usize) {
    let layout = Layout::new::<[u64; 8]>();
    for _ in 0..operations {
        // SAFETY: 64 bytes, given back at once with the same layout; null is not written to.
        unsafe {
            let block = black_box(alloc(layout));
            dealloc(block, layout);
        }
    }
}

/// Replaces blocks of 16 to 1024 bytes in random order, and writes each once.
fn churn(seed: u64, operations: usize) {
    let mut random = Random(seed + 1);
    let mut held: Vec<Vec<u8>> = (0..HELD).map(|_| Vec::new()).collect();
    for _ in 0..operations {
        let number = random.next();
        let place = (number >> 32) as usize % HELD;
        // Half of all blocks are below 64 bytes, as in most programs.
        let bytes = 16 << (number.trailing_ones().min(5));
        let bytes = bytes + (number >> 16) as usize % bytes;
        held[place] = black_box(vec![number as u8; bytes]);
    }
}

/// Splits text into words and counts them in maps of strings: what parsers and indexes do. One
/// operation is one word.
fn text(seed: u64, operations: usize) {
    let mut random = Random(seed + 1);
    let mut left = operations;
    while left > 0 {
        let words = left.min(4000);
        let mut index: HashMap<String, Vec<String>> = HashMap::new();
        for position in 0..words {
            let number = random.next();
            let word = format!("word-{}", number % 997);
            let place = format!("page {} line {}", position / 40, position % 40);
            index.entry(word).or_default().push(place);
        }
        let mut lines: Vec<String> = index
            .iter()
            .map(|(word, places)| format!("{word}: {}", places.join(", ")))
            .collect();
        lines.sort();
        black_box(lines);
        left -= words;
    }
}

/// xorshift64: fast, the same for all.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
