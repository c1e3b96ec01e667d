//! The machine's memory, from /proc/meminfo.
//!
//! Main function: [`read_system_memory`]. Also the home of the `Key:  123 kB` line format that
//! meminfo and smaps_rollup share; "kB" there means 1024 bytes.

use plimsoll_model::{Bytes, Gap, GapReason, SystemMemory};

use crate::maps::decimal;

const MEMINFO: &str = "/proc/meminfo";

/// Reads /proc/meminfo. A figure that the kernel does not give is 0 with a gap that says so.
#[must_use]
pub fn read_system_memory() -> (SystemMemory, Vec<Gap>) {
    match std::fs::read(MEMINFO) {
        Ok(text) => parse_meminfo(&text),
        Err(error) => {
            let reason = match error.kind() {
                std::io::ErrorKind::PermissionDenied => GapReason::Denied,
                _ => GapReason::Unsupported,
            };
            let gap = Gap::new(
                "memory of the machine",
                reason,
                format!("{MEMINFO}: {error}"),
            );
            (SystemMemory::default(), vec![gap])
        }
    }
}

/// Parses /proc/meminfo. `page_cache` is file data: `Cached` and `Buffers` without `Shmem`, which
/// the kernel counts in `Cached` although it is memory that no file backs.
pub(crate) fn parse_meminfo(text: &[u8]) -> (SystemMemory, Vec<Gap>) {
    let mut found: [Option<Bytes>; KEYS.len()] = [None; KEYS.len()];
    for (key, value) in kib_lines(text) {
        if let Some(index) = KEYS.iter().position(|wanted| wanted.as_bytes() == key) {
            found[index].get_or_insert(value);
        }
    }
    let missing: Vec<&str> = KEYS
        .iter()
        .zip(&found)
        .filter(|(_, value)| value.is_none())
        .map(|(key, _)| *key)
        .collect();
    let [
        total,
        available,
        buffers,
        cached,
        shmem,
        swap_total,
        swap_free,
    ] = found.map(Option::unwrap_or_default);
    let system = SystemMemory {
        total,
        available,
        page_cache: Bytes(buffers.0.saturating_add(cached.0)).saturating_sub(shmem),
        swap_total,
        swap_free,
    };
    let gaps = if missing.is_empty() {
        Vec::new()
    } else {
        // MemAvailable is there since Linux 3.14.
        let detail = format!("{MEMINFO} lacks {}", missing.join(", "));
        vec![Gap::new(
            "memory of the machine",
            GapReason::Unsupported,
            detail,
        )]
    };
    (system, gaps)
}

const KEYS: [&str; 7] = [
    "MemTotal",
    "MemAvailable",
    "Buffers",
    "Cached",
    "Shmem",
    "SwapTotal",
    "SwapFree",
];

/// The lines of `text` that have the form `Key:   123 kB`; all others are skipped.
pub(crate) fn kib_lines(text: &[u8]) -> impl Iterator<Item = (&[u8], Bytes)> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].strip_suffix(b" kB")?;
        let kib = decimal(value.trim_ascii_start())?;
        Some((&line[..colon], Bytes(kib.checked_mul(1024)?)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn meminfo_of_a_6_18_kernel() {
        let (system, gaps) = parse_meminfo(include_bytes!("../fixtures/meminfo-6.18"));
        assert_eq!(gaps, []);
        assert_eq!(
            system,
            SystemMemory {
                total: Bytes::kib(24_684_092),
                available: Bytes::kib(23_440_656),
                page_cache: Bytes::kib(14_596 + 1_076_676 - 8_856),
                swap_total: Bytes::ZERO,
                swap_free: Bytes::ZERO,
            }
        );
    }

    #[test]
    fn a_missing_figure_is_a_gap() {
        let (_, gaps) = parse_meminfo(b"MemTotal: 10 kB\nCached: 1 kB\nMemAvailable: x kB\n");
        assert_eq!(gaps.len(), 1);
        assert!(
            gaps[0].detail.contains("MemAvailable, Buffers"),
            "{}",
            gaps[0]
        );
    }

    #[test]
    fn live_total_is_what_sysinfo_says() {
        let (system, gaps) = read_system_memory();
        assert_eq!(gaps, []);
        // SAFETY: sysinfo(2) fills the struct it is given; all-zero is a valid value of it.
        let info = unsafe {
            let mut info: libc::sysinfo = std::mem::zeroed();
            assert_eq!(libc::sysinfo(&raw mut info), 0);
            info
        };
        assert_eq!(system.total.0, info.totalram * u64::from(info.mem_unit));
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_meminfo(&text);
        }

        #[test]
        fn round_trip(values in proptest::array::uniform7(0_u64..1 << 40)) {
            let text: String = KEYS
                .iter()
                .zip(values)
                .map(|(key, value)| format!("{key}:{value:>15} kB\n"))
                .collect();
            let (system, gaps) = parse_meminfo(text.as_bytes());
            prop_assert_eq!(gaps, vec![]);
            prop_assert_eq!(system.total, Bytes::kib(values[0]));
            prop_assert_eq!(system.swap_free, Bytes::kib(values[6]));
        }
    }
}
