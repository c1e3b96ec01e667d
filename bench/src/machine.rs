//! The machine that figures were measured on, in one line, and how much memory it can give.

use std::fs::read_to_string;

/// Cores, kernel, memory, load and date.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{cores} cores, Linux {}, {:.0} GiB of memory ({:.0} available), load {}",
        kernel.trim(),
        gib(meminfo("MemTotal")),
        gib(available()),
        load.join(" ")
    )
}

/// Bytes that could be used without swapping, as the kernel guesses; 0 where it does not say.
pub(crate) fn available() -> u64 {
    meminfo("MemAvailable")
}

fn meminfo(key: &str) -> u64 {
    let text = read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    number
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or_default()
        * 1024
}

#[expect(clippy::cast_precision_loss, reason = "printed without decimals")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
