//! Budget B on ten times the data: peak RSS stays below B and a stated constant, in a process of its
//! own whose peak nobody else touches.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod alone;

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

use alone::{MIB, figure, is_alone, peak_of, tell_peak};
use plimsoll::budget::{Budget, Policy, Reservation};

const BUDGET: u64 = 32 * MIB;
const DATA: u64 = 10 * BUDGET;
const CHUNK: u64 = MIB;

/// Beside the budget: the program and its libraries, four stacks, the account, and what malloc keeps.
const BESIDE: u64 = 8 * MIB;

const WORKERS: u64 = 4;

/// For a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn fill(bytes: u64) -> Vec<u8> {
    black_box(vec![1; usize::try_from(bytes).unwrap()])
}

/// Workers gather chunks, in line for the budget, and let go of what they gathered when told that
/// others need it or when they have enough.
#[test]
#[ignore = "started by another test"]
fn gather() {
    if !is_alone() {
        return;
    }
    let budget = Budget::new(BUDGET, Policy::Greedy);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                // Waits in line for the first of a batch, holding nothing; takes the others while
                // they are there.
                let consumer = budget.consumer("worker");
                let mut left = DATA / WORKERS;
                while left > 0 {
                    let first = consumer.reserve_wait(CHUNK, PATIENCE).unwrap();
                    let mut batch: Vec<(Vec<u8>, Reservation)> = vec![(fill(CHUNK), first)];
                    left -= CHUNK;
                    while left > 0 && batch.len() < 16 {
                        let Ok(next) = consumer.reserve(CHUNK) else {
                            break;
                        };
                        batch.push((fill(CHUNK), next));
                        left -= CHUNK;
                    }
                    black_box(&batch);
                }
            });
        }
    });
    let figures = budget.figures();
    assert_eq!(figures.held_bytes, 0);
    assert!(figures.held_peak_bytes >= BUDGET / 2 && figures.held_peak_bytes <= BUDGET);
    tell_peak();
}

#[test]
fn ten_times_the_data_in_one_budget() {
    let peak = peak_of("gather");
    println!(
        "peak RSS {:.1} MiB of {} + {}",
        peak as f64 / MIB as f64,
        BUDGET / MIB,
        BESIDE / MIB
    );
    assert!(peak <= BUDGET + BESIDE, "{peak}");
    assert!(peak >= BUDGET / 2, "the budget was used: {peak}");
}

/// A consumer that reserves two thirds of what it allocates: only reconciling keeps it in bounds.
/// Without the allowance its peak is 50.7 MiB where it is 39.7 with it.
#[test]
#[ignore = "started by another test"]
fn under_reserve() {
    if !is_alone() {
        return;
    }
    let budget = Budget::new(BUDGET, Policy::Greedy);
    budget.set_drift_allowance(BESIDE);
    let consumer = budget.consumer("sloppy");
    let kept: Mutex<Vec<(Vec<u8>, Reservation)>> = Mutex::default();
    for _ in 0..DATA / CHUNK {
        budget.reconcile(figure("VmRSS:"));
        let reservation = consumer.reserve(CHUNK * 2 / 3).or_else(|_| {
            kept.lock().unwrap().clear();
            budget.reconcile(figure("VmRSS:"));
            consumer.reserve(CHUNK * 2 / 3)
        });
        kept.lock()
            .unwrap()
            .push((fill(CHUNK), reservation.unwrap()));
    }
    tell_peak();
}

#[test]
fn reconciling_bounds_who_reserves_too_little() {
    let peak = peak_of("under_reserve");
    println!(
        "peak RSS {:.1} MiB of {} + {}",
        peak as f64 / MIB as f64,
        BUDGET / MIB,
        BESIDE / MIB
    );
    // One chunk more: between two readings one may be allocated.
    assert!(peak <= BUDGET + BESIDE + CHUNK, "{peak}");
    assert!(peak >= BUDGET, "it would have passed the budget: {peak}");
}
