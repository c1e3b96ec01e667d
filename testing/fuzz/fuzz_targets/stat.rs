//! `parse_stat`: what was read comes back when it is printed again, whatever the name holds, and
//! fields that later kernels append change nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_model::ProcessState;
use plimsoll_probe::{Stat, parse_stat};

fuzz_target!(|text: &[u8]| {
    let Some(stat) = parse_stat(text) else {
        return;
    };
    assert_eq!(parse_stat(print(&stat).as_bytes()), Some(stat.clone()));
    let longer = [text, b" 1 2 3\n"].concat();
    assert_eq!(parse_stat(&longer), Some(stat));
});

fn print(stat: &Stat) -> String {
    let (state, flags) = match stat.state {
        ProcessState::Running => ("R", 0),
        ProcessState::Sleeping => ("S", 0),
        ProcessState::DiskSleep => ("D", 0),
        ProcessState::Stopped => ("T", 0),
        ProcessState::Zombie => ("Z", 0),
        ProcessState::Dead => ("X", 0),
        ProcessState::Idle => ("I", 0),
        // PF_KTHREAD in include/linux/sched.h.
        ProcessState::KernelThread => ("S", 0x0020_0000),
        ProcessState::Other => ("?", 0),
    };
    format!(
        "{} ({}) {state} {} 0 0 0 0 {flags} {} 0 {} 0 0 0 0 0 20 0 {} 0 {} 0 0 0 0 0 {}\n",
        stat.pid,
        stat.name,
        stat.parent,
        stat.minor_faults,
        stat.major_faults,
        stat.threads,
        stat.start_time,
        stat.stack_start,
    )
}
