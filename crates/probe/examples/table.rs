//! Compares the time of the process table with the least that PSS can cost: opening, reading and
//! closing each process's smaps_rollup once, in turns. Prints the ratio of the medians, and the
//! sum of PSS so that it can be held against another tool's.
//!
//! `cargo run --release -p plimsoll-probe --example table [EXTRA_PROCESSES]`

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use plimsoll_model::Bytes;
use plimsoll_probe::{Grouping, TableOptions, list_pids, read_process_table};

const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let extra: usize = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 300,
    };
    let mut sleepers = Sleepers::default();
    for _ in 0..extra {
        sleepers.0.push(Command::new("sleep").arg("1000").spawn()?);
    }
    // Until each has become `sleep`, it shares the pages of this program.
    std::thread::sleep(Duration::from_millis(500));
    let options = TableOptions {
        grouping: Grouping::Process,
    };
    let mut plain = Vec::new();
    let mut table = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        read_each_rollup(&list_pids()?);
        plain.push(start.elapsed());
        let start = Instant::now();
        std::hint::black_box(read_process_table(options)?);
        table.push(start.elapsed());
    }
    let (plain, table) = (median(plain), median(table));
    let last = read_process_table(options)?;
    let pss: Bytes = last.rows.iter().filter_map(|row| row.proportional).sum();
    println!("processes with memory: {}", last.rows.len());
    println!("without memory: {}", last.without_memory);
    println!("sum of PSS: {} KiB", pss.0 / 1024);
    println!("plain loop over smaps_rollup: {plain:?}");
    println!("process table: {table:?}");
    println!("ratio: {:.2}", table.as_secs_f64() / plain.as_secs_f64());
    for gap in &last.gaps {
        println!("gap: {gap}");
    }
    Ok(())
}

/// Children that are ended when the comparison is over.
#[derive(Debug, Default)]
struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read_each_rollup(pids: &[u32]) {
    let mut text = [0; 4096];
    for pid in pids {
        if let Ok(mut file) = File::open(format!("/proc/{pid}/smaps_rollup")) {
            let _ = std::hint::black_box(file.read(&mut text));
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
