//! Trimming by another allocator's purge, its effect measured by the monitor.

use std::hint::black_box;
use std::time::{Duration, Instant};

use plimsoll::budget::Pressure;
use plimsoll::monitor::{MonitorOptions, TrimFigures};

/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is allocated in small blocks, freed, and to be given back.
pub const FREED_BYTES: u64 = 64 << 20;
const BLOCK_BYTES: u64 = 1000;

/// Frees much in the calling thread, and has the monitor's thread purge.
///
/// # Panics
/// Where the monitor does not start or does not trim.
pub fn measure_purge(purge: fn()) -> TrimFigures {
    let monitor = MonitorOptions::default()
        // No reading but the first, which is the caller's, and the one that is asked for.
        .interval(Duration::from_secs(3600))
        .trim_at(Pressure::Calm, Duration::ZERO)
        .purge(purge)
        .start()
        .expect("/proc can be read and a thread started");
    let blocks: Vec<Vec<u8>> = (0..FREED_BYTES / BLOCK_BYTES)
        .map(|_| black_box(vec![1; BLOCK_BYTES as usize]))
        .collect();
    drop(blocks);
    monitor.look();
    let begin = Instant::now();
    loop {
        let trim = monitor.figures().trim;
        if trim.trims_total > 1 {
            return trim;
        }
        assert!(begin.elapsed() < PATIENCE, "{monitor:?}");
        std::thread::yield_now();
    }
}
