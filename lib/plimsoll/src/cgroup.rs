//! The memory cgroups that bind this process: usage and limits, from its own group up to the root
//! of what is visible. Reads a few small files; holds nothing.
//!
//! Sources: cgroups(7), Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// What the groups say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CgroupReading {
    /// The tightest limit up the tree.
    pub(crate) limit_bytes: Option<u64>,
    /// Charged to the group that is fullest by its own limit, or to the process's own group where
    /// none has one.
    pub(crate) current_bytes: Option<u64>,
    /// File pages of that group that are dropped first when it runs full.
    pub(crate) inactive_file_bytes: Option<u64>,
    /// The limit of that group.
    pub(crate) current_limit_bytes: Option<u64>,
    /// The process's own group, for its pressure file; version 2 only.
    pub(crate) v2_directory: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// The groups of this process; `None` where no hierarchy that accounts memory can be read.
pub(crate) fn read() -> Option<CgroupReading> {
    read_under(Path::new("/"))
}

/// All RAM of the machine.
pub(crate) fn read_ram() -> Result<u64, Error> {
    const PATH: &str = "/proc/meminfo";
    let text = std::fs::read(PATH)
        .map_err(|error| Error::with_source(ErrorKind::Io, format!("read {PATH}"), error))?;
    // "MemTotal:       24651236 kB", kB being 1024 bytes.
    keyed_value(&text, "MemTotal:")
        .and_then(|kib| kib.checked_mul(1024))
        .ok_or_else(|| Error::new(ErrorKind::Malformed, format!("no MemTotal in {PATH}")))
}

/// The same over a tree of files: `root` stands for `/`.
fn read_under(root: &Path) -> Option<CgroupReading> {
    let groups = std::fs::read(root.join("proc/self/cgroup")).ok()?;
    find(root, &groups)?.read()
}

/// Reads again and again: the mounts, which are dear to read, only when the group has changed.
#[derive(Default)]
pub(crate) struct CgroupReader {
    /// What /proc/self/cgroup said, and where that is.
    found: Option<(Vec<u8>, Option<Place>)>,
}

impl CgroupReader {
    pub(crate) fn read(&mut self) -> Option<CgroupReading> {
        let root = Path::new("/");
        let groups = std::fs::read("/proc/self/cgroup").ok()?;
        let known = self.found.as_ref().is_some_and(|(text, _)| *text == groups);
        if !known {
            let place = find(root, &groups);
            self.found = Some((groups, place));
        }
        self.found.as_ref()?.1.as_ref()?.read()
    }
}

/// Where the group lies.
struct Place {
    version: Version,
    point: PathBuf,
    below: String,
}

fn find(root: &Path, groups: &[u8]) -> Option<Place> {
    let mounts = std::fs::read(root.join("proc/self/mountinfo")).ok()?;
    let (version, group) = parse_group(groups)?;
    // A hierarchy may be mounted several times: the mount that shows most above the group is best.
    let (point, below) = parse_mounts(&mounts, version)
        .into_iter()
        .filter_map(|(mount_root, point)| Some((point, below(&mount_root, &group)?)))
        .max_by_key(|(_, below)| below.len())?;
    Some(Place {
        version,
        point: root.join(point.strip_prefix("/").unwrap_or(&point)),
        below,
    })
}

impl Place {
    fn read(&self) -> Option<CgroupReading> {
        let levels = read_levels(self.version, &self.point, &self.below);
        let mut reading = sum_up(self.version, &levels)?;
        if self.version == Version::V2 {
            reading.v2_directory = Some(self.point.join(&self.below));
        }
        Some(reading)
    }
}

/// One group. Its memory.stat is read only where needed: that is the dear file, as the kernel sums it
/// up over CPUs and child groups when asked.
#[derive(Clone, Debug, Default)]
struct Level {
    directory: PathBuf,
    limit: Option<u64>,
    current: Option<u64>,
}

fn read_levels(version: Version, point: &Path, below: &str) -> Vec<Level> {
    let mut levels = Vec::new();
    for path in walk_up(below) {
        let directory = point.join(path);
        match version {
            Version::V1 => {
                // Without use_hierarchy (always on since Linux 5.11) the limits above don't bind.
                let parent = directory.parent().unwrap_or(point);
                let ends =
                    !path.is_empty() && read_number(parent, "memory.use_hierarchy") == Some(0);
                levels.push(read_v1(directory));
                if let [own] = &mut levels[..] {
                    // Includes the limits of parents that can't be seen from here.
                    let stat = read_stat(&own.directory);
                    let inherited = keyed_value(&stat, "hierarchical_memory_limit");
                    own.limit = own
                        .limit
                        .into_iter()
                        .chain(inherited.and_then(as_limit))
                        .min();
                }
                if ends {
                    break;
                }
            }
            Version::V2 => levels.extend(read_v2(directory)),
        }
    }
    levels
}

fn read_v1(directory: PathBuf) -> Level {
    Level {
        limit: read_number(&directory, "memory.limit_in_bytes").and_then(as_limit),
        current: read_number(&directory, "memory.usage_in_bytes"),
        directory,
    }
}

/// `None` where the memory controller is off, or at the true root, which has no figures.
fn read_v2(directory: PathBuf) -> Option<Level> {
    let current = read_number(&directory, "memory.current")?;
    // "max" is no number, so no limit.
    let max = read_number(&directory, "memory.max");
    let high = read_number(&directory, "memory.high");
    Some(Level {
        limit: max.into_iter().chain(high).min(),
        current: Some(current),
        directory,
    })
}

/// Own group first.
fn sum_up(version: Version, levels: &[Level]) -> Option<CgroupReading> {
    let fill = |level: &Level| {
        let limit = level.limit?;
        Some(level.current? as f64 / limit.max(1) as f64)
    };
    let own = levels.first()?;
    let fullest = levels
        .iter()
        .filter_map(|level| Some((fill(level)?, level)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map_or(own, |(_, level)| level);
    let inactive_file = match version {
        // `total_` includes child groups, as usage_in_bytes does.
        Version::V1 => "total_inactive_file",
        Version::V2 => "inactive_file",
    };
    Some(CgroupReading {
        limit_bytes: levels.iter().filter_map(|level| level.limit).min(),
        current_bytes: fullest.current,
        inactive_file_bytes: keyed_value(&read_stat(&fullest.directory), inactive_file),
        current_limit_bytes: fullest.limit,
        v2_directory: None,
    })
}

fn read_stat(directory: &Path) -> Vec<u8> {
    std::fs::read(directory.join("memory.stat")).unwrap_or_default()
}

/// The hierarchy that accounts memory and the group in it, from /proc/self/cgroup: the v1 `memory`
/// line, else the v2 line.
pub(crate) fn parse_group(text: &[u8]) -> Option<(Version, String)> {
    let mut unified = None;
    for line in text.split(|byte| *byte == b'\n') {
        // "4:memory:/path", "0::/path"; the path may hold colons.
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let path = String::from_utf8_lossy(path).into_owned();
        if controllers
            .split(|byte| *byte == b',')
            .any(|name| name == b"memory")
        {
            return Some((Version::V1, path));
        }
        if number == b"0" && controllers.is_empty() {
            unified = Some((Version::V2, path));
        }
    }
    unified
}

/// Root and mount point of each mount of the hierarchy, from /proc/self/mountinfo:
/// `35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`.
pub(crate) fn parse_mounts(text: &[u8], version: Version) -> Vec<(String, PathBuf)> {
    let parse = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let root = fields.nth(3)?;
        let point = fields.next()?;
        // Any number of optional fields stands before the dash.
        let mut after_dash = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = after_dash.next()?;
        let options = after_dash.nth(1).unwrap_or_default();
        let matches = match version {
            Version::V1 => {
                kind == b"cgroup"
                    && options
                        .split(|byte| *byte == b',')
                        .any(|name| name == b"memory")
            }
            Version::V2 => kind == b"cgroup2",
        };
        matches.then(|| {
            let root = String::from_utf8_lossy(&unescape(root)).into_owned();
            (root, OsString::from_vec(unescape(point)).into())
        })
    };
    text.split(|byte| *byte == b'\n')
        .filter_map(parse)
        .collect()
}

/// Undoes the kernel's octal escapes (`\040` for a blank).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    plain
}

/// Where `group` lies below a mount of `root`; `None` when it is outside ("/.." starts the path of a
/// group outside the reader's cgroup namespace).
pub(crate) fn below(root: &str, group: &str) -> Option<String> {
    let rest = group.strip_prefix(root.trim_end_matches('/'))?;
    let below = rest.strip_prefix('/').or(rest.is_empty().then_some(""))?;
    let climbs = below.split('/').any(|name| name == "..");
    (!climbs).then(|| below.trim_end_matches('/').to_owned())
}

/// The group's path below the mount, then each parent's, "" last.
fn walk_up(below: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(below), |path| {
        (!path.is_empty()).then(|| path.rfind('/').map_or("", |slash| &path[..slash]))
    })
}

/// "No limit" in v1 is the largest number of whole pages in a long, or LLONG_MAX before Linux 3.19.
fn as_limit(bytes: u64) -> Option<u64> {
    (bytes < 1 << 61).then_some(bytes)
}

fn read_number(directory: &Path, name: &str) -> Option<u64> {
    parse_number(&std::fs::read(directory.join(name)).ok()?)
}

/// The number after `key` in a file of `key number` lines.
pub(crate) fn keyed_value(text: &[u8], key: &str) -> Option<u64> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let rest = line.strip_prefix(key.as_bytes())?;
        if !rest.first()?.is_ascii_whitespace() {
            return None;
        }
        let rest = rest.trim_ascii();
        parse_number(rest.strip_suffix(b" kB").unwrap_or(rest))
    })
}

pub(crate) fn parse_number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests;
