//! Where the cgroup hierarchies are mounted, from /proc/self/mountinfo. Pure; see
//! proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use plimsoll_model::CgroupVersion;

/// One mount of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The group that appears at `point`: "/" unless a part of the hierarchy is mounted.
    pub(crate) root: String,
    pub(crate) point: PathBuf,
}

impl Mount {
    /// Where `group` lies below the mount point, without leading slash; `None` when it is outside
    /// ("/.." starts the path of a group outside the reader's cgroup namespace).
    pub(crate) fn below(&self, group: &str) -> Option<String> {
        let root = self.root.trim_end_matches('/');
        let rest = group.strip_prefix(root)?;
        let below = rest.strip_prefix('/').or(rest.is_empty().then_some(""))?;
        let climbs = below.split('/').any(|name| name == "..");
        (!climbs).then(|| below.trim_end_matches('/').to_owned())
    }

    /// The path in the hierarchy of what lies at `below`.
    pub(crate) fn group_path(&self, below: &str) -> String {
        let root = self.root.trim_end_matches('/');
        match (root, below) {
            ("", "") => "/".to_owned(),
            (root, "") => root.to_owned(),
            (root, below) => format!("{root}/{below}"),
        }
    }
}

/// The mounts of the v1 memory hierarchy, or of the v2 one.
pub(crate) fn parse_mounts(text: &[u8], version: CgroupVersion) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| parse_mount(line, version))
        .collect()
}

/// `35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`: any number
/// of optional fields before the dash.
fn parse_mount(line: &[u8], version: CgroupVersion) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    let mut after_dash = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = after_dash.next()?;
    let options = after_dash.nth(1).unwrap_or_default();
    let matches = match version {
        CgroupVersion::V1 => {
            kind == b"cgroup"
                && options
                    .split(|byte| *byte == b',')
                    .any(|name| name == b"memory")
        }
        CgroupVersion::V2 => kind == b"cgroup2",
    };
    matches.then(|| Mount {
        root: String::from_utf8_lossy(&unescape(root)).into_owned(),
        point: OsString::from_vec(unescape(point)).into(),
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID: &[u8] = b"\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:1 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:38 /a\\040b /mnt/my\\040groups rw - cgroup2 cgroup2 rw
43 31 0:39 / /x rw,memory - ext4 cgroup2 rw,memory
";

    #[test]
    fn each_version_has_its_mounts() {
        let points = |version| {
            parse_mounts(HYBRID, version)
                .into_iter()
                .map(|mount| (mount.root, mount.point.to_string_lossy().into_owned()))
                .collect::<Vec<_>>()
        };
        let pair = |root: &str, point: &str| (root.to_owned(), point.to_owned());
        assert_eq!(
            points(CgroupVersion::V1),
            [pair("/", "/sys/fs/cgroup/memory")]
        );
        assert_eq!(
            points(CgroupVersion::V2),
            [
                pair("/", "/sys/fs/cgroup/unified"),
                pair("/a b", "/mnt/my groups")
            ]
        );
    }

    #[test]
    fn groups_below_a_mount() {
        let check = |root: &str, group: &str, expected: Option<&str>| {
            let mount = Mount {
                root: root.to_owned(),
                point: PathBuf::from("/m"),
            };
            let below = mount.below(group);
            assert_eq!(below.as_deref(), expected, "{root} {group}");
            if let Some(below) = below {
                assert_eq!(mount.group_path(&below), group);
            }
        };
        check("/", "/", Some(""));
        check("/", "/a/b", Some("a/b"));
        check("/docker/x", "/docker/x", Some(""));
        check("/docker/x", "/docker/x/y", Some("y"));
        check("/docker/x", "/docker/xy", None);
        check("/docker/x", "/", None);
        check("/", "/../other", None);
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse_mounts(&text, CgroupVersion::V1);
            parse_mounts(&text, CgroupVersion::V2);
        }
    }
}
