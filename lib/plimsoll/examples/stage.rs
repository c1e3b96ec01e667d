//! What each part of a run took: nested stages, one line for each, and marks for who watches.
//!
//! `cargo run -p plimsoll --example stage`, or under `plimsoll run --` for the same stages there.

use plimsoll::ledger::Ledger;
use plimsoll::stage::{self, Stage};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

fn main() -> Result<(), plimsoll::Error> {
    let import = Stage::begin("import");
    if import.tell_observer()? {
        eprintln!("an observer was told");
    }
    let mut kept = Vec::new();
    for batch in 0..3u8 {
        let stage = import.nest("batch");
        let rows = vec![batch; 24 << 20];
        kept.extend_from_slice(&rows[..4 << 20]);
        drop(rows);
        println!("{}", stage.end().memstats());
    }
    println!("{}", import.end().memstats());

    let search = Stage::begin("search");
    search.tell_observer()?;
    let found = kept.iter().filter(|&&row| row == 2).count();
    println!("found {found}");
    println!("{}", search.end().memstats());
    drop(kept);
    println!("{}", stage::memstats("END"));
    Ok(())
}
