//! The files of one memory cgroup, version 1 and 2. A file that is not there is `None`.
//!
//! Sources: Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.

use std::path::Path;

use plimsoll_model::{Bytes, CgroupLevel};

use crate::maps::decimal;

/// A v1 group.
pub(crate) struct V1Reading {
    pub(crate) level: CgroupLevel,
    pub(crate) inherited: Inherited,
}

/// The lowest limit of a group and all its parents, hidden ones included:
/// `hierarchical_memory_limit` in the memory.stat of v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inherited {
    Unknown,
    Unlimited,
    Max(Bytes),
}

pub(crate) fn read_v1(directory: &Path, path: String) -> V1Reading {
    let amount = |name: &str| read_amount(directory, name);
    let stat = read_text(directory, "memory.stat");
    let stat = |key: &str| keyed_value(&stat, key).map(Bytes);
    let max = amount("memory.limit_in_bytes").and_then(as_limit);
    // The v1 file caps memory and swap together: what is left for swap when memory is at its cap.
    let swap_max = amount("memory.memsw.limit_in_bytes")
        .and_then(as_limit)
        .zip(max)
        .map(|(both, memory)| both.saturating_sub(memory));
    let level = CgroupLevel {
        path,
        current: amount("memory.usage_in_bytes"),
        peak: amount("memory.max_usage_in_bytes"),
        max,
        high: None,
        swap_max,
        // `total_` figures include child groups, as usage_in_bytes does.
        anon: stat("total_rss"),
        file: stat("total_cache"),
        inactive_file: stat("total_inactive_file"),
        // Since Linux 4.13.
        oom_kills: keyed_value(&read_text(directory, "memory.oom_control"), "oom_kill"),
    };
    V1Reading {
        level,
        inherited: match stat("hierarchical_memory_limit") {
            None => Inherited::Unknown,
            Some(bytes) => as_limit(bytes).map_or(Inherited::Unlimited, Inherited::Max),
        },
    }
}

/// Whether a group's parent is charged for it too. Without `use_hierarchy` (always on since
/// Linux 5.11) the limits above do not bind.
pub(crate) fn parent_counts_children(directory: &Path) -> bool {
    directory
        .parent()
        .map(|parent| read_text(parent, "memory.use_hierarchy"))
        .is_none_or(|text| text.trim_ascii() != b"0")
}

/// A v2 group; `None` where the memory controller is off, or at the true root, which has no
/// figures of its own.
pub(crate) fn read_v2(directory: &Path, path: String) -> Option<CgroupLevel> {
    let amount = |name: &str| read_amount(directory, name);
    let current = amount("memory.current")?;
    let stat = read_text(directory, "memory.stat");
    let stat = |key: &str| keyed_value(&stat, key).map(Bytes);
    Some(CgroupLevel {
        path,
        current: Some(current),
        // Since Linux 5.19.
        peak: amount("memory.peak"),
        // "max" is no number, so no limit.
        max: amount("memory.max"),
        high: amount("memory.high"),
        swap_max: amount("memory.swap.max"),
        anon: stat("anon"),
        file: stat("file"),
        inactive_file: stat("inactive_file"),
        oom_kills: keyed_value(&read_text(directory, "memory.events"), "oom_kill"),
    })
}

/// "No limit" in v1 is the largest number of whole pages in a long (0x7ffffffffffff000 with 4 KiB
/// pages), or LLONG_MAX before Linux 3.19. No machine has a quarter of that.
fn as_limit(bytes: Bytes) -> Option<Bytes> {
    (bytes.0 < 1 << 61).then_some(bytes)
}

pub(super) fn read_text(directory: &Path, name: &str) -> Vec<u8> {
    std::fs::read(directory.join(name)).unwrap_or_default()
}

pub(super) fn read_amount(directory: &Path, name: &str) -> Option<Bytes> {
    decimal(read_text(directory, name).trim_ascii()).map(Bytes)
}

/// The number after `key` in a file of `key number` lines.
pub(crate) fn keyed_value(text: &[u8], key: &str) -> Option<u64> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(key.as_bytes())?.strip_prefix(b" ")?;
        decimal(value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keyed_values() {
        let text = b"rss 1\ntotal_rss 22\nrss_huge 3\noom_kill_disable 0\noom_kill 5\nbad x\n";
        let check = |key, expected| assert_eq!(keyed_value(text, key), expected, "{key}");
        check("rss", Some(1));
        check("total_rss", Some(22));
        check("oom_kill", Some(5));
        check("bad", None);
        check("cache", None);
    }

    #[test]
    fn no_limit_is_none() {
        let check = |bytes: u64, expected| assert_eq!(as_limit(Bytes(bytes)), expected);
        check(9_223_372_036_854_771_712, None);
        check(i64::MAX as u64, None);
        check(u64::MAX, None);
        check(0x7fff_ffff_ffff_0000, None);
        check(64 << 20, Some(Bytes::mib(64)));
        check(0, Some(Bytes::ZERO));
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), key in "[a-z_]{0,8}") {
            let _ = keyed_value(&text, &key);
        }
    }
}
