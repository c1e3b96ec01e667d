//! Tests whose peak of RSS nobody else may touch: each runs again, alone, in a process of its own.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::process::Command;

pub(crate) const MIB: u64 = 1 << 20;

const VARIABLE: &str = "PLIMSOLL_BOUNDED";

/// A line of /proc/self/status, in bytes.
pub(crate) fn figure(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    let kib = line.trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// Runs a test of this file alone, in a process of its own, and returns its peak.
pub(crate) fn peak_of(test: &str) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(VARIABLE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let peak = text
        .lines()
        .find_map(|line| line.split_once("peak "))
        .unwrap()
        .1;
    peak.parse().unwrap()
}

/// Whether this is the process of its own. glibc moves the size from which a block has a mapping of its
/// own up to what was freed last, and then keeps such blocks: fixed here, they go back to the system
/// as their reservations do.
pub(crate) fn is_alone() -> bool {
    let alone = std::env::var_os(VARIABLE).is_some();
    #[cfg(target_env = "gnu")]
    if alone {
        // SAFETY: mallopt sets a number of the allocator's; no other thread runs yet.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10);
        }
    }
    alone
}

/// What [`peak_of`] reads.
pub(crate) fn tell_peak() {
    println!("\npeak {}", figure("VmHWM:"));
}
