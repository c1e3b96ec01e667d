//! A sorter and a cache share 64 MiB: `cargo run --example budget`.
//!
//! The cache gives way when the sorter needs memory; the sorter spills when the budget says no.

use std::sync::{Arc, Mutex, PoisonError};

use plimsoll::Error;
use plimsoll::budget::{Budget, Limit, Policy, Reservation};

const MIB: u64 = 1 << 20;

/// Entries and the claim on them, dropped together.
#[derive(Default)]
struct Cache {
    entries: Vec<(Vec<u8>, Reservation)>,
}

fn main() -> Result<(), Error> {
    // A real program: Limit::from_cgroup(headroom), or from_system where no cgroup has a limit.
    println!(
        "the system would allow {} MiB",
        Limit::from_system(256 * MIB)?.bytes() / MIB
    );
    let budget = Budget::new(64 * MIB, Policy::Greedy);

    let cache = Arc::new(Mutex::new(Cache::default()));
    let weak = Arc::downgrade(&cache);
    let cache_consumer = budget.consumer("cache").on_pressure(0, move |squeeze| {
        let Some(cache) = weak.upgrade() else { return };
        // try_lock: some thread may hold the lock while it reserves.
        let Ok(mut cache) = cache.try_lock() else {
            return;
        };
        let mut freed = 0;
        while freed < squeeze.wanted_bytes {
            let Some((_, reservation)) = cache.entries.pop() else {
                break;
            };
            freed += reservation.bytes();
        }
    });
    for _ in 0..40 {
        // Reserve first, allocate then.
        let reservation = cache_consumer.reserve(MIB)?;
        let entry = (vec![0; 1 << 20], reservation);
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entries.push(entry);
    }

    let sorter = budget.consumer("sorter").spillable();
    let mut run = sorter.reserve(8 * MIB)?;
    let mut spills = 0;
    for _ in 0..20 {
        if let Err(error) = run.try_grow(8 * MIB) {
            println!("spilling: {error}");
            spills += 1;
            run.shrink(run.bytes() - 8 * MIB);
        }
    }
    println!("the sorter spilled {spills} times; {:#?}", budget.figures());
    Ok(())
}
