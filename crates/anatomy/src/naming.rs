//! The owner of what no rule has claimed: what the mapping's own name proves, else nobody.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use plimsoll_model::{Backing, FileId, Kind, Mapping, Package, PackageManager};

use crate::ground::Ground;
use crate::owners::{glibc, images, threads};
use crate::territory::{Claim, Owner};

pub(crate) const UNATTRIBUTED: &str = "unattributed";
pub(crate) const BRK_HEAP: &str = "brk heap (allocator not told)";

/// Names owners; a name that many mappings share is made once.
pub(crate) struct Namer<'a> {
    ground: &'a Ground<'a>,
    unattributed: Rc<Owner>,
    files: HashMap<(FileId, bool), Rc<Owner>>,
}

impl<'a> Namer<'a> {
    pub(crate) fn new(ground: &'a Ground<'a>) -> Namer<'a> {
        let unattributed = Rc::new(Owner {
            kind: Kind::Unattributed,
            component: UNATTRIBUTED.to_owned(),
            part: String::new(),
            evidence: "",
        });
        Namer {
            ground,
            unattributed,
            files: HashMap::new(),
        }
    }

    /// Owner of the unclaimed part of `mapping`.
    pub(crate) fn mapping_owner(&mut self, mapping: &Mapping) -> Rc<Owner> {
        match (&mapping.backing, mapping.file) {
            (Backing::Anonymous, _) if !mapping.permissions.execute => {
                Rc::clone(&self.unattributed)
            }
            (Backing::File { path, deleted }, Some(id)) => {
                let make = || Rc::new(file_owner(self.ground, mapping, path));
                Rc::clone(self.files.entry((id, *deleted)).or_insert_with(make))
            }
            _ => Rc::new(mapping_owner(self.ground, mapping)),
        }
    }

    /// A claim's owner; zeroed data is renamed to the file it belongs to.
    pub(crate) fn claim_owner(&self, claim: &Claim) -> Rc<Owner> {
        Rc::new(claim_owner(self.ground, claim))
    }
}

fn mapping_owner(ground: &Ground<'_>, mapping: &Mapping) -> Owner {
    let named = |kind, component: &str, part: String| Owner {
        kind,
        component: component.to_owned(),
        part,
        evidence: "mapping name",
    };
    match &mapping.backing {
        Backing::File { path, .. } => file_owner(ground, mapping, path),
        Backing::Heap => named(Kind::Heap, BRK_HEAP, String::new()),
        Backing::Stack => named(
            Kind::Stack,
            threads::COMPONENT,
            format!(
                "thread {} {} (first)",
                ground.snapshot.process.id.pid, ground.snapshot.process.name
            ),
        ),
        Backing::Kernel(name) => named(Kind::Kernel, "kernel pages (vdso)", name.clone()),
        Backing::AnonymousNamed(name) => decorated_owner(name),
        Backing::Memfd(name) => named(Kind::Shared, &format!("memfd {name}"), String::new()),
        Backing::SysV { key, id } => named(
            Kind::Shared,
            &format!("System V shared memory {id}"),
            format!("key {key:#x}"),
        ),
        Backing::SharedAnonymous => named(
            Kind::Shared,
            "shared anonymous memory",
            mapping
                .file
                .map_or_else(String::new, |file| format!("segment {}", file.inode)),
        ),
        Backing::Device(path) => named(Kind::Device, &path.to_string_lossy(), String::new()),
        Backing::Hugetlb(path) => named(
            Kind::Hugetlb,
            "hugetlb pages",
            path.to_string_lossy().into_owned(),
        ),
        Backing::Other(name) => named(Kind::Named, name, String::new()),
        Backing::Anonymous if mapping.permissions.execute => Owner {
            kind: Kind::Jit,
            component: "code made at run time".to_owned(),
            part: String::new(),
            evidence: "executable anonymous mapping",
        },
        Backing::Anonymous => Owner {
            kind: Kind::Unattributed,
            component: UNATTRIBUTED.to_owned(),
            part: String::new(),
            evidence: "",
        },
    }
}

fn claim_owner(ground: &Ground<'_>, claim: &Claim) -> Owner {
    if claim.owner.component != images::COMPONENT {
        return claim.owner.clone();
    }
    let path = Path::new(&claim.owner.part);
    let mapping = ground.first_mapping(path);
    mapping.map_or_else(
        || claim.owner.clone(),
        |mapping| Owner {
            evidence: claim.owner.evidence,
            ..file_owner(ground, mapping, path)
        },
    )
}

/// Names that programs give their anonymous memory by prctl(PR_SET_VMA_ANON_NAME): those of
/// known allocators and runtimes join their component.
fn decorated_owner(name: &str) -> Owner {
    let (kind, component) = if name.starts_with("glibc: pthread stack") {
        (Kind::Stack, threads::COMPONENT)
    } else if name.starts_with("glibc: malloc") {
        (Kind::Heap, glibc::COMPONENT)
    } else if name.starts_with("Go: ") {
        (Kind::Runtime, "Go runtime")
    } else if name.starts_with("tcmalloc") {
        (Kind::Heap, "tcmalloc")
    } else if name.starts_with("jemalloc") {
        (Kind::Heap, "jemalloc")
    } else if name.starts_with("mimalloc") {
        (Kind::Heap, "mimalloc")
    } else if name.starts_with("cpython:") {
        (Kind::Runtime, "CPython")
    } else {
        (Kind::Named, name)
    };
    let part = if component == name {
        String::new()
    } else {
        name.to_owned()
    };
    Owner {
        kind,
        component: component.to_owned(),
        part,
        evidence: "name given by the program",
    }
}

/// Programs and libraries go under the package that installed them; other files stand alone.
fn file_owner(ground: &Ground<'_>, mapping: &Mapping, path: &Path) -> Owner {
    let shown = path.to_string_lossy().into_owned();
    let file = mapping.file.and_then(|id| ground.snapshot.files.get(&id));
    let in_memory = file.is_some_and(|file| file.in_memory_filesystem);
    let deleted = matches!(mapping.backing, Backing::File { deleted: true, .. });
    let shown = if deleted {
        format!("{shown} (deleted)")
    } else {
        shown
    };
    let evidence = "mapped file";
    if !is_code(ground, path, mapping.file) {
        let kind = if in_memory { Kind::Shared } else { Kind::File };
        return Owner {
            kind,
            component: shown,
            part: String::new(),
            evidence,
        };
    }
    let component = file
        .and_then(|file| file.package.as_ref())
        .map_or_else(|| folder_of(path), package_name);
    Owner {
        kind: Kind::Code,
        component,
        part: shown,
        evidence,
    }
}

/// A program or library: the loader's format, or mapped executable.
fn is_code(ground: &Ground<'_>, path: &Path, id: Option<FileId>) -> bool {
    ground.image(path).is_some() || id.is_some_and(|id| ground.is_mapped_executable(id))
}

pub(crate) fn package_name(package: &Package) -> String {
    match package.manager {
        PackageManager::Folder => package.name.clone(),
        manager => format!("{package} ({})", manager.name()),
    }
}

fn folder_of(path: &Path) -> String {
    path.parent().map_or_else(
        || "/".to_owned(),
        |folder| folder.to_string_lossy().into_owned(),
    )
}
