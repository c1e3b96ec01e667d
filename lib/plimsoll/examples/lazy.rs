//! A model of 32 MiB that is there only while it is needed: `cargo run --example lazy`.

use std::time::{Duration, Instant};

use plimsoll::Error;
use plimsoll::budget::{Budget, Policy};
use plimsoll::lazy::{Lazy, LazyOptions};

const MIB: u64 = 1 << 20;

fn main() -> Result<(), Error> {
    let budget = Budget::new(48 * MIB, Policy::Greedy);
    let options = LazyOptions {
        // A guess; the build corrects it.
        cost_bytes: 40 * MIB,
        idle_timeout: Duration::from_secs(60),
        priority: 0,
    };
    let model = Lazy::new(&budget, "model", options, |reservation| {
        println!("building");
        let weights = vec![0_u8; 32 << 20];
        // Count capacity, not length.
        reservation.resize(weights.capacity() as u64)?;
        Ok::<_, Error>(weights)
    });
    println!("before: {:?}", model.figures());
    println!("first use: {} bytes", model.get()?.len());
    println!("second use: {} bytes", model.get()?.len());

    let guard = model.get()?;
    let refused = budget.consumer("index").reserve(24 * MIB);
    println!(
        "in use, it stays: {}",
        refused.err().map_or_else(String::new, |e| e.to_string())
    );
    drop(guard);
    let index = budget.consumer("index").reserve(24 * MIB)?;
    println!("unused, it made room: {:?}", model.figures());
    drop(index);

    drop(model.get()?);
    // The monitor does this once a second for what is attached to it.
    let later = Instant::now() + Duration::from_secs(61);
    println!("unloaded after a minute: {}", model.unload_idle(later));
    Ok(())
}
