//! A cap by cgroup version 2: a group below our own where its memory controller may be handed down,
//! else beside it.
//!
//! Source: Documentation/admin-guide/cgroup-v2.rst. A group that holds processes can't hand
//! controllers down ("No Internal Process Constraint"), and ours holds us, who may not be moved. So
//! below our own group there is room only at the root and where a manager has made room already;
//! else a sibling is made, which is under all limits of ours but that of our own group itself: it
//! is used only where our group has none.

use std::path::PathBuf;

use plimsoll_model::{Bytes, CgroupVersion};
use plimsoll_probe::{GroupPlace, has_memory_controller, read_group_limit};

use super::Made;
use super::group::{Group, switch_off, write_file};
use crate::Launch;

pub(super) fn make(place: &GroupPlace, limit: Bytes) -> Result<Made, String> {
    let parent = choose_parent(place)?;
    let enabled_in = parent.enable()?;
    let group = Group::make(CgroupVersion::V2, &parent.directory, enabled_in.clone())
        .inspect_err(|_| switch_off(enabled_in.as_deref()))?;
    let mut taken = limit;
    if limit != Launch::UNLIMITED {
        group.write_limit("memory.max", limit)?;
        taken = read_group_limit(group.directory(), CgroupVersion::V2).unwrap_or(limit);
    }
    let name = group.directory().file_name().unwrap_or_default();
    let words = format!(
        "{}/{}, swap as its parent allows{}",
        parent.path.trim_end_matches('/'),
        name.to_string_lossy(),
        if parent.beside {
            ", beside our own group"
        } else {
            ""
        }
    );
    Ok(Made {
        group,
        limit: taken,
        words,
    })
}

/// Where a group can be made.
#[derive(Debug, PartialEq, Eq)]
struct Parent {
    directory: PathBuf,
    path: String,
    /// Whether the memory controller must be switched on for groups below.
    must_enable: bool,
    beside: bool,
}

impl Parent {
    /// The group whose setting was changed, to be changed back.
    fn enable(&self) -> Result<Option<PathBuf>, String> {
        if !self.must_enable {
            return Ok(None);
        }
        write_file(&self.directory.join("cgroup.subtree_control"), "+memory")?;
        Ok(Some(self.directory.clone()))
    }
}

fn choose_parent(place: &GroupPlace) -> Result<Parent, String> {
    if place.version != CgroupVersion::V2 {
        return Err("the memory controller belongs to the version 1 hierarchy here".to_owned());
    }
    let names = |directory: &PathBuf, file: &str| {
        has_memory_controller(directory, file)
            .map_err(|error| format!("read {}: {error}", directory.join(file).display()))
    };
    let below = |must_enable| Parent {
        directory: place.directory.clone(),
        path: place.path.clone(),
        must_enable,
        beside: false,
    };
    if names(&place.directory, "cgroup.subtree_control")? {
        return Ok(below(false));
    }
    let available = names(&place.directory, "cgroup.controllers")?;
    // The root is exempt from the constraint.
    if place.is_root && available {
        return Ok(below(true));
    }
    if !available {
        return Err(format!(
            "the memory controller is not on in our group {}",
            place.path
        ));
    }
    let Some(parent) = &place.parent else {
        return Err(format!(
            "our group {} holds processes, so it can hand no controller down, and the group above \
             it is not visible here",
            place.path
        ));
    };
    if let Some(limit) = read_group_limit(&place.directory, CgroupVersion::V2) {
        return Err(format!(
            "our group {} holds processes, so it can hand no controller down, and a group beside \
             it would escape its limit of {limit}",
            place.path
        ));
    }
    // What our group has of controllers its parent hands down, so nothing need be switched on.
    Ok(Parent {
        directory: parent.clone(),
        path: match place.path.rsplit_once('/') {
            Some((above, _)) => above.to_owned(),
            None => String::new(),
        },
        must_enable: false,
        beside: true,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder =
                std::env::temp_dir().join(format!("plimsoll-v2-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// The group `/a/b` of a hierarchy whose files are these.
    fn place(folder: &Path, files: &[(&str, &str)], is_root: bool) -> GroupPlace {
        let directory = folder.join("a/b");
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
        GroupPlace {
            version: CgroupVersion::V2,
            parent: Some(folder.join("a")),
            directory,
            path: "/a/b".to_owned(),
            is_root,
        }
    }

    #[test]
    fn a_group_is_made_where_the_kernel_allows_it() {
        let folder = Folder::new("parent");
        let check = |files: &[(&str, &str)], is_root, expected: Result<(&str, bool), &str>| {
            let place = place(&folder.0, files, is_root);
            match (choose_parent(&place), expected) {
                (Ok(parent), Ok((path, must_enable))) => {
                    assert_eq!(
                        (parent.path.as_str(), parent.must_enable),
                        (path, must_enable)
                    );
                    assert_eq!(parent.beside, path == "/a");
                    let below = parent.path.trim_start_matches('/');
                    assert_eq!(parent.directory, folder.0.join(below));
                }
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
                (found, expected) => panic!("{files:?}: {found:?}, not {expected:?}"),
            }
        };
        let on = ("cgroup.controllers", "cpu memory\n");
        let down = ("cgroup.subtree_control", "memory\n");
        let none = ("cgroup.subtree_control", "\n");
        check(&[], false, Err("read "));
        check(&[on, down], false, Ok(("/a/b", false)));
        check(&[on, none], true, Ok(("/a/b", true)));
        check(
            &[on, none, ("memory.max", "max\n")],
            false,
            Ok(("/a", false)),
        );
        check(
            &[on, none, ("memory.max", "1048576\n")],
            false,
            Err("escape its limit of 1.00 MiB"),
        );
        check(
            &[("cgroup.controllers", "cpu\n"), none],
            false,
            Err("not on in our group /a/b"),
        );
        let mut hidden = place(&folder.0, &[on, none], false);
        hidden.parent = None;
        assert!(choose_parent(&hidden).unwrap_err().contains("not visible"));
        hidden.version = CgroupVersion::V1;
        assert!(choose_parent(&hidden).unwrap_err().contains("version 1"));
    }

    #[test]
    fn a_group_that_can_t_be_entered_is_no_cap_and_leaves_nothing() {
        let folder = Folder::new("make");
        let files = [
            ("cgroup.controllers", "memory\n"),
            ("cgroup.subtree_control", "memory\n"),
        ];
        let place = place(&folder.0, &files, false);
        // A plain folder has no cgroup.procs.
        let reason = make(&place, Bytes::mib(64)).unwrap_err();
        assert!(reason.contains("cgroup.procs"), "{reason}");
        let left = fs::read_dir(&place.directory).unwrap().count();
        assert_eq!(left, files.len());
    }

    #[test]
    fn the_controller_is_switched_on_only_where_it_must() {
        let folder = Folder::new("enable");
        let control = folder.0.join("cgroup.subtree_control");
        fs::write(&control, "").unwrap();
        let mut parent = Parent {
            directory: folder.0.clone(),
            path: "/".to_owned(),
            must_enable: false,
            beside: false,
        };
        assert_eq!(parent.enable(), Ok(None));
        parent.must_enable = true;
        assert_eq!(parent.enable(), Ok(Some(folder.0.clone())));
        assert_eq!(fs::read_to_string(&control).unwrap(), "+memory");
        fs::remove_file(&control).unwrap();
        assert!(parent.enable().unwrap_err().contains("write +memory"));
        assert!(!control.exists(), "cgroup files are never created");
    }
}
