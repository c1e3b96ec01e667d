//! Where a process's memory group lies in the file system, and the kernel's figures of a group: what
//! is needed to put a command under a limit of its own. Nothing is created or written here.
//!
//! Sources: Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.

use std::io;
use std::path::{Path, PathBuf};

use plimsoll_model::{Bytes, CgroupVersion, Gap};

use super::levels::{keyed_value, read_amount, read_text};
use super::{Hierarchy, in_cgroup_namespace};
use crate::maps::decimal;

/// The memory group of a process as a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    pub version: CgroupVersion,
    pub directory: PathBuf,
    /// The group's path in its hierarchy.
    pub path: String,
    /// The group above it, where that is visible.
    pub parent: Option<PathBuf>,
    /// Whether it is the root of the whole hierarchy, which binds nobody and has no figures.
    pub is_root: bool,
}

/// The group that accounts the memory of `pid`.
pub fn find_group_place(pid: u32) -> Result<GroupPlace, Gap> {
    find_group_place_under(Path::new("/"), pid)
}

/// The same over a tree of files, as [`crate::read_cgroup_under`].
pub fn find_group_place_under(root: &Path, pid: u32) -> Result<GroupPlace, Gap> {
    let hierarchy = Hierarchy::find(root, pid)?;
    let point = root.join(
        hierarchy
            .mount
            .point
            .strip_prefix("/")
            .unwrap_or(&hierarchy.mount.point),
    );
    let below = &hierarchy.below_mount;
    let directory = if below.is_empty() {
        point.clone()
    } else {
        point.join(below)
    };
    let parent = (!below.is_empty())
        .then(|| directory.parent().map(Path::to_path_buf))
        .flatten();
    Ok(GroupPlace {
        version: hierarchy.version,
        path: hierarchy.mount.group_path(below),
        is_root: below.is_empty()
            && hierarchy.mount.root == "/"
            && !in_cgroup_namespace(root)
            && !directory.join("memory.max").exists(),
        directory,
        parent,
    })
}

/// What the kernel counted of a group. `None` is a figure that this kernel does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFigures {
    /// Highest charge, page cache and kernel memory included.
    pub charge_peak: Option<Bytes>,
    /// How often a charge met the limit.
    pub limit_hits: Option<u64>,
    pub oom_kills: Option<u64>,
}

/// The kernel's figures of the group at `directory`.
#[must_use]
pub fn read_group_figures(directory: &Path, version: CgroupVersion) -> GroupFigures {
    match version {
        CgroupVersion::V1 => {
            let amount = |name: &str| read_amount(directory, name);
            GroupFigures {
                charge_peak: amount("memory.max_usage_in_bytes"),
                // Where memory and swap are capped together, the tighter counter may be that one.
                limit_hits: amount("memory.failcnt")
                    .max(amount("memory.memsw.failcnt"))
                    .map(|Bytes(count)| count),
                oom_kills: keyed_value(&read_text(directory, "memory.oom_control"), "oom_kill"),
            }
        }
        CgroupVersion::V2 => {
            let events = read_text(directory, "memory.events");
            GroupFigures {
                charge_peak: read_amount(directory, "memory.peak"),
                limit_hits: keyed_value(&events, "max"),
                oom_kills: keyed_value(&events, "oom_kill"),
            }
        }
    }
}

/// The hard cap of the group at `directory` itself; `None` without one.
#[must_use]
pub fn read_group_limit(directory: &Path, version: CgroupVersion) -> Option<Bytes> {
    match version {
        CgroupVersion::V1 => super::levels::read_v1(directory, String::new()).level.max,
        CgroupVersion::V2 => read_amount(directory, "memory.max"),
    }
}

/// Whether `file` (`cgroup.controllers` or `cgroup.subtree_control`) of a v2 group names the memory
/// controller.
pub fn has_memory_controller(directory: &Path, file: &str) -> io::Result<bool> {
    let text = std::fs::read(directory.join(file))?;
    Ok(text
        .split(u8::is_ascii_whitespace)
        .any(|name| name == b"memory"))
}

/// The processes of a group itself, not of groups below it.
pub fn group_pids(directory: &Path) -> io::Result<Vec<u32>> {
    let text = std::fs::read(directory.join("cgroup.procs"))?;
    let numbers = text.split(|byte| *byte == b'\n').filter_map(decimal);
    Ok(numbers
        .filter_map(|number| u32::try_from(number).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(tree: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/cgroup")
            .join(tree)
    }

    #[test]
    fn a_group_is_found_as_a_folder() {
        let root = fixture("v2-host");
        let place = find_group_place_under(&root, 100).unwrap();
        assert_eq!(place.version, CgroupVersion::V2);
        assert!(place.path.starts_with("/system.slice/web.service"));
        assert!(place.directory.starts_with(&root));
        assert!(place.directory.ends_with(&place.path[1..]));
        assert_eq!(place.parent.as_deref(), place.directory.parent());
        assert!(!place.is_root);

        let place = find_group_place_under(&fixture("v1-docker"), 5).unwrap();
        assert_eq!(place.version, CgroupVersion::V1);
        assert_eq!(place.path, "/docker/ab12/job");

        // The visible root of a namespace is not the root of all.
        let place = find_group_place_under(&fixture("v2-container"), 7).unwrap();
        assert_eq!((place.parent, place.is_root), (None, false));
    }

    #[test]
    fn figures_of_both_versions() {
        let folder = std::env::temp_dir().join(format!("plimsoll-place-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        assert_eq!(
            read_group_figures(&folder, CgroupVersion::V2),
            GroupFigures::default()
        );
        write("memory.peak", "1048576\n");
        write(
            "memory.events",
            "low 0\nhigh 3\nmax 17\noom 2\noom_kill 1\noom_group_kill 0\n",
        );
        write("memory.max", "max\n");
        write("cgroup.controllers", "cpu io memory pids\n");
        write("cgroup.subtree_control", "cpu memory.x\n");
        write("cgroup.procs", "12\n345\n");
        assert_eq!(
            read_group_figures(&folder, CgroupVersion::V2),
            GroupFigures {
                charge_peak: Some(Bytes::mib(1)),
                limit_hits: Some(17),
                oom_kills: Some(1),
            }
        );
        assert_eq!(read_group_limit(&folder, CgroupVersion::V2), None);
        assert!(has_memory_controller(&folder, "cgroup.controllers").unwrap());
        assert!(!has_memory_controller(&folder, "cgroup.subtree_control").unwrap());
        assert_eq!(group_pids(&folder).unwrap(), [12, 345]);

        write("memory.max_usage_in_bytes", "2097152\n");
        write("memory.failcnt", "4\n");
        write("memory.memsw.failcnt", "9\n");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
        );
        assert_eq!(
            read_group_figures(&folder, CgroupVersion::V1),
            GroupFigures {
                charge_peak: Some(Bytes::mib(2)),
                limit_hits: Some(9),
                oom_kills: Some(6),
            }
        );
        assert_eq!(read_group_limit(&folder, CgroupVersion::V1), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
