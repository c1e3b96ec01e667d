//! Who holds how much: three tags, one of them in another thread, and what was freed.
//!
//! `cargo run -p plimsoll --example ledger`

use plimsoll::ledger::{self, Ledger, Tag};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

static IMPORT: Tag = Tag::new("import");
static INDEX: Tag = Tag::new("index");
static SEARCH: Tag = Tag::new("search");

fn main() {
    let rows: Vec<String> = IMPORT.run(|| (0..50_000).map(|row| format!("row {row}")).collect());
    let index: Vec<&str> = {
        let _scope = INDEX.enter();
        let mut index: Vec<&str> = rows.iter().map(String::as_str).collect();
        index.sort_unstable();
        index
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _scope = SEARCH.enter();
            let found: Vec<&&str> = index.iter().filter(|row| row.ends_with('7')).collect();
            println!("found {}", found.len());
        });
    });
    print("all held");
    drop(index);
    drop(rows);
    print("all dropped");
}

fn print(when: &str) {
    println!("\n{when:<14} live bytes  blocks  peak bytes  total bytes");
    for tag in ledger::snapshot() {
        println!(
            "{:<14} {:>10} {:>7} {:>11} {:>12}",
            tag.name, tag.live_bytes, tag.live_blocks, tag.peak_bytes, tag.total_bytes
        );
    }
}
