//! What every rule stands on: the snapshot, the questions that may be put to the process, and
//! the anonymous memory seen as contiguous regions.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use plimsoll_model::{
    AddressRange, Backing, FileId, Gap, Image, Mapping, PageSize, Permissions, Residency, Snapshot,
    Target,
};

pub(crate) struct Ground<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) target: &'a dyn Target,
    /// See [`Ground::regions`].
    regions: Vec<AddressRange>,
    /// The first mapping of each file, by path.
    first_mappings: HashMap<&'a Path, &'a Mapping>,
    /// Files that are mapped executable somewhere.
    executable_files: HashSet<FileId>,
    gaps: RefCell<Vec<Gap>>,
}

impl std::fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground")
            .field("process", &self.snapshot.process.id)
            .finish()
    }
}

impl<'a> Ground<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, target: &'a dyn Target) -> Ground<'a> {
        let mut first_mappings = HashMap::new();
        let mut executable_files = HashSet::new();
        for mapping in &snapshot.mappings {
            if let Backing::File { path, .. } = &mapping.backing {
                first_mappings.entry(path.as_path()).or_insert(mapping);
            }
            executable_files.extend(mapping.file.filter(|_| mapping.permissions.execute));
        }
        Ground {
            snapshot,
            target,
            regions: regions(&snapshot.mappings),
            first_mappings,
            executable_files,
            gaps: RefCell::default(),
        }
    }

    pub(crate) fn page_size(&self) -> PageSize {
        self.snapshot.page_size
    }

    pub(crate) fn gap(&self, gap: Gap) {
        let mut gaps = self.gaps.borrow_mut();
        if !gaps.contains(&gap) {
            gaps.push(gap);
        }
    }

    pub(crate) fn into_gaps(self) -> Vec<Gap> {
        self.gaps.into_inner()
    }

    /// Mappings that overlap `range`, in address order.
    pub(crate) fn mappings_within(&self, range: AddressRange) -> &'a [Mapping] {
        let mappings = &self.snapshot.mappings;
        let first = mappings.partition_point(|mapping| mapping.range.end <= range.start);
        let last = mappings.partition_point(|mapping| mapping.range.start < range.end);
        &mappings[first..last.max(first)]
    }

    pub(crate) fn mapping_at(&self, address: u64) -> Option<&'a Mapping> {
        self.mappings_within(AddressRange::sized(address, 1))
            .first()
    }

    /// Unnamed private anonymous mappings, those that may have several owners.
    pub(crate) fn anonymous(&self) -> impl Iterator<Item = &'a Mapping> {
        self.snapshot
            .mappings
            .iter()
            .filter(|mapping| mapping.backing == Backing::Anonymous && !mapping.permissions.shared)
    }

    /// Readable and writable unnamed anonymous memory as contiguous regions: adjacent mappings
    /// are joined, because madvise and mprotect split what one owner mapped (numpy's huge-page
    /// advice cuts each array from its malloc header).
    pub(crate) fn regions(&self) -> Vec<AddressRange> {
        self.regions.clone()
    }

    /// Whether `range` lies wholly in one region of [`Ground::regions`].
    pub(crate) fn is_anonymous_memory(&self, range: AddressRange) -> bool {
        let mut next = range.start;
        for mapping in self.mappings_within(range) {
            let plain = mapping.backing == Backing::Anonymous && !mapping.permissions.shared;
            if !plain || mapping.range.start > next {
                return false;
            }
            next = mapping.range.end;
        }
        !range.is_empty() && next >= range.end
    }

    /// Page residency of `range`; the target keeps what it has scanned. Empty, with a gap noted,
    /// when the kernel refuses.
    pub(crate) fn residency(&self, range: AddressRange) -> Residency {
        self.target.residency(range).unwrap_or_else(|gap| {
            self.gap(gap);
            Residency::default()
        })
    }

    /// Resident parts of `range`, as address ranges.
    pub(crate) fn resident(&self, range: AddressRange) -> Vec<AddressRange> {
        let residency = self.residency(range);
        residency
            .runs
            .iter()
            .filter(|run| run.resident)
            .map(|run| run.range)
            .collect()
    }

    pub(crate) fn image(&self, path: &Path) -> Option<&'a Image> {
        self.snapshot.images.get(path)
    }

    pub(crate) fn executable(&self) -> Option<(&'a Path, &'a Image)> {
        let path = self.snapshot.process.executable.as_deref()?;
        Some((path, self.image(path)?))
    }

    /// The first mapping of the file that is mapped as `path`.
    pub(crate) fn first_mapping(&self, path: &Path) -> Option<&'a Mapping> {
        self.first_mappings.get(path).copied()
    }

    /// Whether any mapping of the file is executable.
    pub(crate) fn is_mapped_executable(&self, file: FileId) -> bool {
        self.executable_files.contains(&file)
    }

    /// Whether adjoining executable mappings are so long, as those of a large runtime: several, because
    /// mprotect and huge pages for code (`--use-largepages`) cut them.
    pub(crate) fn has_code_of(&self, size: u64) -> bool {
        let mut piece = AddressRange::new(0, 0);
        let mappings = self.snapshot.mappings.iter();
        let mut executable = mappings.filter(|mapping| mapping.permissions.execute);
        executable.any(|mapping| {
            if mapping.range.start == piece.end {
                piece.end = mapping.range.end;
            } else {
                piece = mapping.range;
            }
            piece.size().0 >= size
        })
    }

    /// Difference between run-time and link-time addresses of a mapped image.
    pub(crate) fn load_bias(&self, path: &Path) -> Option<u64> {
        let image = self.image(path)?;
        let mapping = self.first_mapping(path)?;
        let page = self.page_size();
        let segment = image.segments.iter().find(|segment| {
            page.round_down(segment.offset) <= mapping.offset
                && mapping.offset < page.round_up(segment.offset + segment.file_size)
        })?;
        let in_segment = mapping.offset.wrapping_sub(page.round_down(segment.offset));
        Some(
            mapping
                .range
                .start
                .wrapping_sub(in_segment)
                .wrapping_sub(page.round_down(segment.address)),
        )
    }

    /// Run-time range of the first of `names` that any mapped image defines, with the image.
    pub(crate) fn symbol(&self, names: &[&str]) -> Option<(AddressRange, &'a Path)> {
        for (path, image) in &self.snapshot.images {
            for name in names {
                if let Some(symbol) = image.symbols.get(*name) {
                    let start = self.load_bias(path)?.wrapping_add(symbol.address);
                    return Some((AddressRange::sized(start, symbol.size), path));
                }
            }
        }
        None
    }
}

/// See [`Ground::regions`].
fn regions(mappings: &[Mapping]) -> Vec<AddressRange> {
    let mut regions: Vec<AddressRange> = Vec::new();
    for mapping in mappings {
        let Permissions {
            read,
            write,
            shared,
            ..
        } = mapping.permissions;
        if mapping.backing != Backing::Anonymous || shared || !(read && write) {
            continue;
        }
        match regions.last_mut() {
            Some(last) if last.end == mapping.range.start => last.end = mapping.range.end,
            _ => regions.push(mapping.range),
        }
    }
    regions
}
