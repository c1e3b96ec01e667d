//! The kernel's own part of a breakdown with shares: it lists the mappings, and looks once at each resident page to
//! tell whether others have it too. No reader of PSS can take less; this one keeps nothing of it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::Context;

/// Bytes of an entry of /proc/PID/pagemap.
const ENTRY: u64 = 8;
const PAGE: u64 = 4096;

/// Bit 63 of an entry; see pagemap.rst of the kernel's documentation.
const PRESENT: u64 = 1 << 63;

/// How many pages are present.
pub(crate) fn read(pid: u32) -> anyhow::Result<u64> {
    let failed = || format!("failed to read /proc/{pid}");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).with_context(failed)?;
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).with_context(failed)?;
    let mut buffer = vec![0; 1 << 20];
    let mut present = 0;
    for line in maps.lines() {
        // The page of vsyscall is in no process's page tables.
        let Some((start, end)) = range(line).filter(|(_, end)| *end <= 1 << 47) else {
            continue;
        };
        let (mut at, end) = (start / PAGE * ENTRY, end / PAGE * ENTRY);
        while at < end {
            let length = buffer.len().min((end - at) as usize);
            pagemap
                .read_exact_at(&mut buffer[..length], at)
                .with_context(failed)?;
            let entries = buffer[..length].chunks_exact(ENTRY as usize);
            present += entries
                .filter_map(|entry| entry.try_into().ok())
                .filter(|entry| u64::from_ne_bytes(*entry) & PRESENT != 0)
                .count() as u64;
            at += length as u64;
        }
    }
    Ok(present)
}

fn range(line: &str) -> Option<(u64, u64)> {
    let (start, rest) = line.split_once('-')?;
    let (end, _) = rest.split_once(' ')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?))
}
