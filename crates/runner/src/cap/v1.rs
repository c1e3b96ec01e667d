//! A cap by cgroup version 1: a group below our own in the memory hierarchy.
//!
//! Source: Documentation/admin-guide/cgroup-v1/memory.rst.

use plimsoll_model::{Bytes, CgroupVersion};
use plimsoll_probe::{GroupPlace, read_group_limit};

use super::Made;
use super::group::Group;
use crate::Launch;

pub(super) fn make(place: &GroupPlace, limit: Bytes) -> Result<Made, String> {
    if place.version != CgroupVersion::V1 {
        return Err("the memory controller belongs to the version 2 hierarchy here".to_owned());
    }
    let group = Group::make(CgroupVersion::V1, &place.directory, None)?;
    let (limit, swap) = set(&group, limit)?;
    let name = group.directory().file_name().unwrap_or_default();
    let words = format!(
        "{}/{}{swap}",
        place.path.trim_end_matches('/'),
        name.to_string_lossy()
    );
    Ok(Made {
        group,
        limit,
        words,
    })
}

/// Sets the limit and forgets what the trial entry charged. Returns the limit that the kernel took
/// and words on swap.
fn set(group: &Group, limit: Bytes) -> Result<(Bytes, &'static str), String> {
    let mut taken = limit;
    let mut swap = "";
    if limit != Launch::UNLIMITED {
        group.write_limit("memory.limit_in_bytes", limit)?;
        taken = read_group_limit(group.directory(), CgroupVersion::V1).unwrap_or(limit);
        // Memory and swap together: without it the group would go to swap at its limit, and what
        // is asked is what fits in RAM. Only there with swap accounting (section 2.4).
        swap = if group
            .directory()
            .join("memory.memsw.limit_in_bytes")
            .exists()
        {
            let both = Bytes(limit.0.saturating_add(swap_room().0));
            group.write_limit("memory.memsw.limit_in_bytes", both)?;
            ", next to no swap"
        } else {
            ", swap not limited"
        };
    }
    // Section 5.1: any number written to it resets it. That it can't be reset spoils the mark by
    // the few pages of the trial entry.
    let _ = group.write("memory.max_usage_in_bytes", "0");
    Ok((taken, swap))
}

/// What may go to swap all the same: one batch of charges, MEMCG_CHARGE_BATCH in
/// include/linux/memcontrol.h. With less, charges fail at the common limit first, and those are not
/// counted in memory.failcnt (measured on 6.18).
fn swap_room() -> Bytes {
    const CHARGE_BATCH: u64 = 64;
    // SAFETY: sysconf(3) touches no memory.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Bytes(CHARGE_BATCH * u64::try_from(page).unwrap_or(4096))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_version_is_refused_with_its_reason() {
        let place = GroupPlace {
            version: CgroupVersion::V2,
            directory: "/nowhere".into(),
            path: "/".to_owned(),
            parent: None,
            is_root: true,
        };
        let reason = make(&place, Bytes::mib(64)).unwrap_err();
        assert!(reason.contains("version 2 hierarchy"), "{reason}");
    }
}
