//! Reads one process by both methods and prints what it says and what it cost.
//!
//! `cargo run --release -p plimsoll-probe --example read -- PID`

use std::time::Instant;

use plimsoll_model::{Bytes, Counters, CountersSource, ReadingCost};
use plimsoll_probe::{
    Facilities, FileDetail, MethodChoice, ProbeError, QuickSampler, ReadOptions, parse_smaps,
    read_snapshot,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::env::args()
        .nth(1)
        .map_or(Ok(std::process::id()), |pid| pid.parse())?;
    for (name, facility) in Facilities::try_all().list() {
        match facility {
            Ok(()) => println!("{name}: works"),
            Err(gap) => println!("{gap}"),
        }
    }
    for method in [MethodChoice::Smaps, MethodChoice::Walk] {
        print_snapshot(pid, method)?;
    }
    print_text_alone(pid)?;
    print_quick(pid)?;
    Ok(())
}

fn print_snapshot(pid: u32, method: MethodChoice) -> Result<(), ProbeError> {
    let options = ReadOptions {
        method,
        wanted_symbols: &[],
        files: FileDetail::Nothing,
    };
    let started = Instant::now();
    let (snapshot, target) = read_snapshot(pid, &options)?;
    let took = started.elapsed();
    let mut sum = Counters::default();
    for mapping in &snapshot.mappings {
        sum += mapping.counters;
    }
    println!(
        "\n{method:?}: {took:.2?}, {} mappings",
        snapshot.mappings.len()
    );
    println!("  status rss {} sum {}", snapshot.status.rss, sum.rss);
    println!(
        "  pss {} private {} anonymous {} swap {}",
        sum.pss,
        sum.private(),
        sum.anonymous,
        sum.swap
    );
    if let CountersSource::Walk { pss } = snapshot.counters_source {
        println!("  pss is {pss:?}");
    }
    print_cost(&target.cost());
    for gap in &snapshot.gaps {
        println!("  gap: {gap}");
    }
    Ok(())
}

fn print_cost(cost: &ReadingCost) {
    println!(
        "  wall {:.2?} cpu {:.2?} holds {} total {:.2?} longest {:.2?} read {}",
        cost.wall,
        cost.cpu,
        cost.holds,
        cost.total_hold,
        cost.longest_hold,
        Bytes(cost.bytes_read)
    );
}

fn print_text_alone(pid: u32) -> std::io::Result<()> {
    let started = Instant::now();
    let text = std::fs::read(format!("/proc/{pid}/smaps"))?;
    let read = started.elapsed();
    let started = Instant::now();
    let parsed = parse_smaps(&text);
    println!(
        "\nsmaps alone: read {read:.2?}, parsed {} mappings of {} in {:.2?}",
        parsed.mappings.len(),
        Bytes(text.len() as u64),
        started.elapsed()
    );
    Ok(())
}

fn print_quick(pid: u32) -> Result<(), ProbeError> {
    const ROUNDS: u32 = 1000;
    let mut sampler = QuickSampler::open(pid)?;
    let started = Instant::now();
    for _ in 0..ROUNDS {
        sampler.read()?;
    }
    println!("quick sample: {:.2?}", started.elapsed() / ROUNDS);
    Ok(())
}
