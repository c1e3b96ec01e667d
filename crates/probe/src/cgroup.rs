//! The memory cgroups that bind a process, from its own group up to the root of what is visible.
//!
//! Main functions: [`read_cgroup`] and, for the group's path alone, [`memory_group`]. Which of
//! the hierarchies accounts memory differs: a v1 `memory` hierarchy where there is one, else v2
//! where its memory controller is on. What a cgroup namespace or a partial mount hides is a gap:
//! a limit above it may bite first.

mod container;
mod levels;
mod mounts;
mod place;

use std::io;
use std::path::Path;

use plimsoll_model::{Cgroup, CgroupLevel, CgroupVersion, Gap, GapReason};

pub use container::container_of;
use levels::Inherited;
use mounts::{Mount, parse_mounts};
pub use place::{
    GroupFigures, GroupPlace, find_group_place, find_group_place_under, group_pids,
    has_memory_controller, read_group_figures, read_group_limit,
};

/// The memory cgroups of `pid` as this process sees them.
#[must_use]
pub fn read_cgroup(pid: u32) -> (Option<Cgroup>, Vec<Gap>) {
    read_cgroup_under(Path::new("/"), pid)
}

/// The same over a tree of files, for recorded trees: `root` stands for `/`, below it are
/// `proc/PID/cgroup`, `proc/self/mountinfo`, `proc/self/ns/cgroup` and the mounted hierarchies.
#[must_use]
pub fn read_cgroup_under(root: &Path, pid: u32) -> (Option<Cgroup>, Vec<Gap>) {
    let mut gaps = Vec::new();
    let cgroup = Hierarchy::find(root, pid)
        .and_then(|hierarchy| hierarchy.read_levels(root, &mut gaps))
        .unwrap_or_else(|gap| {
            gaps.push(gap);
            None
        });
    (cgroup, gaps)
}

/// The path of a process's group in the hierarchy that accounts memory, from the text of
/// /proc/PID/cgroup: the v1 `memory` line, else the v2 line.
#[must_use]
pub fn memory_group(text: &[u8]) -> Option<String> {
    find_group(text).map(|(_, path)| path)
}

fn find_group(text: &[u8]) -> Option<(CgroupVersion, String)> {
    let mut unified = None;
    for line in text.split(|byte| *byte == b'\n') {
        // "4:memory:/path", "0::/path"; the path may hold colons, but no newline (the kernel
        // refuses one in a group's name).
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let path = || String::from_utf8_lossy(path).into_owned();
        if controllers
            .split(|byte| *byte == b',')
            .any(|name| name == b"memory")
        {
            return Some((CgroupVersion::V1, path()));
        }
        if number == b"0" && controllers.is_empty() {
            unified = Some((CgroupVersion::V2, path()));
        }
    }
    unified
}

const WHAT: &str = "cgroup limits";

/// The hierarchy that accounts a process's memory, as it is mounted here.
struct Hierarchy {
    version: CgroupVersion,
    mount: Mount,
    /// Where the process's group lies below the mount point, "" for the mount's own root.
    below_mount: String,
}

impl Hierarchy {
    fn find(root: &Path, pid: u32) -> Result<Hierarchy, Gap> {
        let path = root.join(format!("proc/{pid}/cgroup"));
        let text = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        let Some((version, group)) = find_group(&text) else {
            let detail = format!("no group in {}: this kernel has no cgroups", path.display());
            return Err(Gap::new(WHAT, GapReason::Unsupported, detail));
        };
        let mounts_path = root.join("proc/self/mountinfo");
        let mounts =
            std::fs::read(&mounts_path).map_err(|error| unreadable(&mounts_path, &error))?;
        let mounts = parse_mounts(&mounts, version);
        if mounts.is_empty() {
            let name = match version {
                CgroupVersion::V1 => "the cgroup v1 memory hierarchy",
                CgroupVersion::V2 => "the cgroup v2 hierarchy",
            };
            let detail = format!("{name} is not mounted here; process {pid} is in {group}");
            return Err(Gap::new(WHAT, GapReason::Unsupported, detail));
        }
        // The same hierarchy may be mounted several times, with different roots: any mount that
        // shows the group will do, the one that shows most above it is best.
        mounts
            .into_iter()
            .filter_map(|mount| {
                let below_mount = mount.below(&group)?;
                Some(Hierarchy {
                    version,
                    mount,
                    below_mount,
                })
            })
            .max_by_key(|hierarchy| hierarchy.below_mount.len())
            .ok_or_else(|| {
                let detail = format!(
                    "process {pid} is in {group}, outside the part of the hierarchy that is \
                     mounted here; run outside the container"
                );
                Gap::new(WHAT, GapReason::Denied, detail)
            })
    }

    fn read_levels(self, root: &Path, gaps: &mut Vec<Gap>) -> Result<Option<Cgroup>, Gap> {
        let point = root.join(
            self.mount
                .point
                .strip_prefix("/")
                .unwrap_or(&self.mount.point),
        );
        let mut levels = Vec::new();
        let mut inherited = Inherited::Unknown;
        for below in walk_up(&self.below_mount) {
            let directory = point.join(below);
            let path = self.mount.group_path(below);
            if !directory.is_dir() {
                let detail = format!("{} is gone or not visible", directory.display());
                gaps.push(Gap::new(WHAT, GapReason::Vanished, detail));
                continue;
            }
            match self.version {
                CgroupVersion::V1 => {
                    let reading = levels::read_v1(&directory, path);
                    if levels.is_empty() {
                        inherited = reading.inherited;
                    }
                    levels.push(reading.level);
                    if !below.is_empty() && !levels::parent_counts_children(&directory) {
                        break;
                    }
                }
                CgroupVersion::V2 => levels.extend(levels::read_v2(&directory, path)),
            }
        }
        if levels.is_empty() {
            let detail = match self.version {
                CgroupVersion::V1 => format!("no group under {} could be read", point.display()),
                CgroupVersion::V2 => format!(
                    "the cgroup v2 memory controller is on in no group of the process under {}",
                    point.display()
                ),
            };
            return Err(Gap::new(WHAT, GapReason::Unsupported, detail));
        }
        gaps.extend(self.hidden_above(root, &levels, inherited));
        Ok(Some(Cgroup {
            version: self.version,
            levels,
        }))
    }

    /// What may lie above the topmost visible group.
    fn hidden_above(
        &self,
        root: &Path,
        levels: &[CgroupLevel],
        inherited: Inherited,
    ) -> Option<Gap> {
        let visible_max = levels.iter().filter_map(|level| level.max).min();
        match inherited {
            Inherited::Unlimited => return None,
            Inherited::Max(max) if visible_max.is_some_and(|visible| visible <= max) => {
                return None;
            }
            Inherited::Max(max) => {
                let detail = format!(
                    "a group above what is visible here caps memory at {max}; its usage can't be \
                     read from here"
                );
                return Some(Gap::new(WHAT, GapReason::Denied, detail));
            }
            Inherited::Unknown => {}
        }
        // On v2 the true root has no memory.current (Documentation/admin-guide/cgroup-v2.rst,
        // "exists on non-root cgroups"), so a topmost directory that has one is not the root.
        let v2_cut = self.version == CgroupVersion::V2
            && levels
                .last()
                .is_some_and(|level| level.path == self.mount.group_path(""));
        let cut = self.mount.root != "/" || v2_cut || in_cgroup_namespace(root);
        cut.then(|| {
            let detail = "groups above the visible root are hidden by a cgroup namespace or a \
                          partial mount; a limit there may be lower";
            Gap::new(WHAT, GapReason::Denied, detail)
        })
    }
}

/// The group's path below the mount, then each parent's, "" last.
fn walk_up(below_mount: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(below_mount), |path| {
        if path.is_empty() {
            None
        } else {
            Some(path.rfind('/').map_or("", |slash| &path[..slash]))
        }
    })
}

/// Whether this process sees a part of the hierarchies as if it were the whole.
fn in_cgroup_namespace(root: &Path) -> bool {
    // PROC_CGROUP_INIT_INO in include/linux/proc_ns.h: the inode of the first namespace. Kernels
    // without cgroup namespaces (before 4.6) have no such link.
    const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";
    std::fs::read_link(root.join("proc/self/ns/cgroup"))
        .is_ok_and(|namespace| namespace != *FIRST_NAMESPACE)
}

fn unreadable(path: &Path, error: &io::Error) -> Gap {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => GapReason::Vanished,
        io::ErrorKind::PermissionDenied => GapReason::Denied,
        _ if error.raw_os_error() == Some(libc::ESRCH) => GapReason::Vanished,
        _ => GapReason::Unsupported,
    };
    Gap::new(WHAT, reason, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
