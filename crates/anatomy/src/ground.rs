//! What every rule stands on: the snapshot, the questions that may be put to the process, and
//! the anonymous memory seen as contiguous regions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use plimsoll_model::{
    AddressRange, Backing, Gap, Image, Mapping, PageSize, Residency, Snapshot, Target,
};

pub(crate) struct Ground<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) target: &'a dyn Target,
    residency: RefCell<BTreeMap<AddressRange, Residency>>,
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
        Ground {
            snapshot,
            target,
            residency: RefCell::default(),
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
        let mut regions: Vec<AddressRange> = Vec::new();
        for mapping in self.anonymous() {
            if !(mapping.permissions.read && mapping.permissions.write) {
                continue;
            }
            match regions.last_mut() {
                Some(last) if last.end == mapping.range.start => last.end = mapping.range.end,
                _ => regions.push(mapping.range),
            }
        }
        regions
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

    /// Page residency of `range`, asked once per range. Empty, with a gap noted, when the kernel
    /// refuses.
    pub(crate) fn residency(&self, range: AddressRange) -> Residency {
        if let Some(known) = self.residency.borrow().get(&range) {
            return known.clone();
        }
        let found = self.target.residency(range).unwrap_or_else(|gap| {
            self.gap(gap);
            Residency::default()
        });
        self.residency.borrow_mut().insert(range, found.clone());
        found
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

    /// Difference between run-time and link-time addresses of a mapped image.
    pub(crate) fn load_bias(&self, path: &Path) -> Option<u64> {
        let image = self.image(path)?;
        let mapping = self.snapshot.mappings.iter().find(|mapping| {
            matches!(&mapping.backing, Backing::File { path: mapped, .. } if mapped == path)
        })?;
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
