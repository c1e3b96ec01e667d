//! Publishes its own figures and asks you to look at them: `cargo run --example beacon`, then, as it
//! says, `plimsoll inspect PID`.

use std::time::Duration;

use plimsoll::Error;
use plimsoll::beacon::BeaconOptions;
use plimsoll::budget::{Budget, Policy};
use plimsoll::ledger::{Ledger, Tag};
use plimsoll::stage::Stage;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

static THUMBNAILS: Tag = Tag::new("thumbnails");
static INDEX: Tag = Tag::new("index");

fn main() -> Result<(), Error> {
    // How long to stay, in seconds: long enough to look at it.
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let stay = Duration::from_secs(seconds.unwrap_or(1));

    let budget = Budget::new(64 << 20, Policy::Greedy);
    let _beacon = BeaconOptions::default().budget("main", &budget).publish()?;

    let stage = Stage::begin("import");
    let thumbnails = budget.consumer("thumbnails");
    let _reserved = thumbnails.reserve(24 << 20)?;
    let images: Vec<Vec<u8>> = THUMBNAILS.run(|| (0..24).map(|_| vec![1; 1 << 20]).collect());
    let index: Vec<u64> = INDEX.run(|| (0..1_000_000).collect());

    println!("plimsoll inspect {}", std::process::id());
    std::thread::sleep(stay);

    println!("{} images, {} entries", images.len(), index.len());
    println!("{}", stage.end().memstats());
    Ok(())
}
