//! HotSpot JVMs (OpenJDK 8 and later): Java heap, compiled code, metaspace, and the collector's
//! tables, each from the bounds that the JVM's own structures state.
//!
//! The structures are found through the table the JVM keeps for debuggers ([`hotspot`]); those
//! that are not in it (metaspace, G1's bitmaps) are recognised by fields that repeat each other.
//! ZGC's heap is a memfd and is told by its name elsewhere. What `malloc` gave the JVM is malloc's.

use plimsoll_model::{AddressRange, Backing, Bytes, Gap, GapReason, Kind, Used};

use super::hotspot::{self, Structures};
use super::{hsperfdata, words};
use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};

pub(crate) const SYMBOLS: &[&str] = hotspot::SYMBOLS;

/// Heaps of the code cache: three with -XX:+SegmentedCodeCache.
const CODE_HEAPS_MAX: u64 = 16;

/// Writable data of libjvm.so searched for the metaspace lists (2 MiB in JDK 17).
const DATA_MAX: u64 = 16 << 20;

/// Mapped nodes of one metaspace list, of 64 MiB or more each.
const METASPACE_NODES_MAX: usize = 1 << 16;

/// Words of a `VirtualSpaceNode` in which its bounds are looked for.
const NODE_WORDS: usize = 16;

/// Words of `HeapRegionManager` that may point to G1's tables.
const MANAGER_WORDS: usize = 64;

/// Words of a `G1RegionToSpaceMapper` in which its bounds are looked for.
const MAPPER_WORDS: usize = 8;

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    if ground.symbol(SYMBOLS).is_none() {
        return;
    }
    let Some(structures) = Structures::read(ground) else {
        ground.gap(Gap::new(
            "JVM memory",
            GapReason::Unsupported,
            "the JVM's table of structures is not resident, so its memory is unattributed",
        ));
        return;
    };
    let jvm = Jvm {
        ground,
        structures: &structures,
    };
    let heap = jvm.heap();
    if let Some(heap) = heap {
        jvm.claim_java_heap(territory, heap);
        jvm.claim_g1_tables(territory, heap);
    }
    jvm.claim_card_table(territory);
    jvm.claim_code(territory);
    jvm.claim_metaspace(territory);
}

struct Jvm<'g, 'a> {
    ground: &'g Ground<'a>,
    structures: &'g Structures,
}

impl Jvm<'_, '_> {
    /// Whether all of `range` is mapped, private, and anonymous or from the class data archive,
    /// which is mapped into heap and metaspace.
    fn is_own(&self, range: AddressRange) -> bool {
        let page = self.ground.page_size();
        let mut next = range.start;
        for mapping in self.ground.mappings_within(range) {
            if mapping.permissions.shared || mapping.range.start > next {
                return false;
            }
            next = mapping.range.end;
        }
        !range.is_empty()
            && range.end < words::USER_END
            && page.round_down(range.start) == range.start
            && next >= range.end
    }

    /// Claims the anonymous part of `range` that is still free; returns what was claimed.
    fn claim_anonymous(
        &self,
        territory: &mut Territory,
        range: AddressRange,
        owner: &Owner,
    ) -> Vec<AddressRange> {
        let page = self.ground.page_size();
        let range = AddressRange::new(page.round_down(range.start), page.round_up(range.end));
        let mut claimed = Vec::new();
        for mapping in self.ground.mappings_within(range) {
            if mapping.backing != Backing::Anonymous || mapping.permissions.shared {
                continue;
            }
            for free in territory.unclaimed_within(mapping.range.intersection(range)) {
                if territory.claim(free, owner.clone()) {
                    claimed.push(free);
                }
            }
        }
        claimed
    }

    /// `CollectedHeap::_reserved` of the collector in use.
    fn heap(&self) -> Option<AddressRange> {
        let heap = self
            .structures
            .global(self.ground, "Universe", "_collectedHeap")?;
        let region = heap.checked_add(self.structures.offset("CollectedHeap", "_reserved")?)?;
        let read = |field| {
            self.structures
                .field(self.ground, region, "MemRegion", field)
        };
        let words = read("_word_size")?;
        let range = AddressRange::sized(read("_start")?, words.checked_mul(8)?);
        self.is_own(range).then_some(range)
    }

    fn claim_java_heap(&self, territory: &mut Territory, heap: AddressRange) {
        let owner = Owner {
            kind: Kind::Runtime,
            component: "Java heap".into(),
            part: "objects".into(),
            evidence: "heap bounds in the JVM's CollectedHeap",
        };
        let resident: u64 = self
            .ground
            .mappings_within(heap)
            .iter()
            .filter(|mapping| mapping.backing == Backing::Anonymous)
            .map(|mapping| {
                let part = mapping.range.intersection(heap);
                self.ground.residency(part).resident_within(part).0
            })
            .sum();
        let used = self.heap_used().map(|used| Used {
            live: Bytes(used.min(resident)),
            held_free: Bytes(resident.saturating_sub(used)),
            method: "the JVM's counters at its last collection, garbage since then counted as free"
                .into(),
        });
        // The figure is of the whole heap, which is one claim a mapping: the first one carries it.
        let mut used = used;
        for mapping in self.ground.mappings_within(heap) {
            if mapping.backing != Backing::Anonymous || mapping.permissions.shared {
                continue;
            }
            for free in territory.unclaimed_within(mapping.range.intersection(heap)) {
                territory.claim_with(Claim {
                    range: free,
                    owner: owner.clone(),
                    used: used.take(),
                });
            }
        }
    }

    /// Bytes of objects as hsperfdata states them; `None` with -XX:-UsePerfData.
    fn heap_used(&self) -> Option<u64> {
        let read = |field| self.structures.global(self.ground, "PerfMemory", field);
        let (start, end) = (read("_start")?, read("_end")?);
        let size = end.checked_sub(start)?.min(hsperfdata::SIZE_MAX);
        let mut area = vec![0; size as usize];
        // Pages behind the last counter were never touched: read page by page.
        for (page, bytes) in area.chunks_mut(4096).enumerate() {
            if !self
                .ground
                .target
                .read(start.saturating_add(4096 * page as u64), bytes)
            {
                bytes.fill(0);
            }
        }
        hsperfdata::heap_used(&hsperfdata::parse_counters(&area))
    }

    /// `CodeCache`: compiled code, and the segment map of each of its heaps.
    fn claim_code(&self, territory: &mut Territory) {
        let read = |field| self.structures.global(self.ground, "CodeCache", field);
        let owner = |part: &str| Owner {
            kind: Kind::Jit,
            component: "JVM code cache".into(),
            part: part.into(),
            evidence: "bounds in the JVM's CodeCache",
        };
        if let (Some(low), Some(high)) = (read("_low_bound"), read("_high_bound")) {
            let range = AddressRange::new(low, high);
            if self.is_own(range) {
                self.claim_anonymous(territory, range, &owner("compiled code"));
            }
        }
        for heap in self.code_heaps().unwrap_or_default() {
            for space in ["_memory", "_segmap"] {
                if let Some(range) = self.virtual_space(heap, "CodeHeap", space) {
                    let part = if space == "_memory" {
                        "compiled code"
                    } else {
                        "segment maps"
                    };
                    self.claim_anonymous(territory, range, &owner(part));
                }
            }
        }
    }

    fn code_heaps(&self) -> Option<Vec<u64>> {
        let array = self.structures.global(self.ground, "CodeCache", "_heaps")?;
        let field = |of, field| self.structures.field(self.ground, array, of, field);
        // `_len` and `_max` are ints, side by side.
        let length = field("GrowableArrayBase", "_len")? & 0xffff_ffff;
        let data = field("GrowableArray<int>", "_data")?;
        (0..length.min(CODE_HEAPS_MAX))
            .map(|index| self.ground.target.read_word(data.checked_add(8 * index)?))
            .collect()
    }

    /// The reservation of a `VirtualSpace` that is a field of the structure at `address`.
    fn virtual_space(&self, address: u64, of: &str, field: &str) -> Option<AddressRange> {
        let space = address.checked_add(self.structures.offset(of, field)?)?;
        let read = |field| {
            self.structures
                .field(self.ground, space, "VirtualSpace", field)
        };
        let range = AddressRange::new(read("_low_boundary")?, read("_high_boundary")?);
        let committed = AddressRange::new(read("_low")?, read("_high")?);
        (self.is_own(range) && range.covers(committed)).then_some(range)
    }

    /// `CardTable::_byte_map`, by way of the barrier set.
    fn claim_card_table(&self, territory: &mut Territory) {
        let bounds = || {
            let barriers = self
                .structures
                .global(self.ground, "BarrierSet", "_barrier_set")?;
            let field = |at, of, field| self.structures.field(self.ground, at, of, field);
            let table = field(barriers, "CardTableBarrierSet", "_card_table")?;
            let start = field(table, "CardTable", "_byte_map")?;
            let size = field(table, "CardTable", "_byte_map_size")?;
            let whole = table.checked_add(self.structures.offset("CardTable", "_whole_heap")?)?;
            let covered = field(whole, "MemRegion", "_start")?;
            // Other barrier sets have no card table; the heap's address proves that this one has.
            (self.heap()?.start == covered).then(|| AddressRange::sized(start, size))
        };
        if let Some(range) = bounds().filter(|range| self.is_own(*range)) {
            self.claim_anonymous(
                territory,
                range,
                &collector_owner("card table", "bounds in the JVM's CardTable"),
            );
        }
    }

    /// G1 backs heap, bitmaps and tables by mappers of one layout, which its region manager
    /// points to. The mapper that states the heap's own bounds proves the layout of the others.
    fn claim_g1_tables(&self, territory: &mut Territory, heap: AddressRange) {
        let Some(mappers) = self.g1_mappers() else {
            return;
        };
        let Some(at) = mappers
            .iter()
            .find_map(|mapper| (0..MAPPER_WORDS - 3).find(|at| bounds(mapper, *at) == heap))
        else {
            return;
        };
        for mapper in &mappers {
            let range = bounds(mapper, at);
            // `_tail_size` and `_page_size` follow the bounds.
            let is_mapper = mapper[at + 3].is_power_of_two()
                && mapper[at + 3] >= self.ground.page_size().0
                && mapper[at + 2] < mapper[at + 3];
            if range != heap && is_mapper && self.ground.is_anonymous_memory(range) {
                self.claim_anonymous(
                    territory,
                    range,
                    &collector_owner("G1 bitmaps and tables", "bounds in G1's space mappers"),
                );
            }
        }
    }

    /// First words of everything that `G1CollectedHeap::_hrm` points to.
    fn g1_mappers(&self) -> Option<Vec<[u64; MAPPER_WORDS]>> {
        let heap = self
            .structures
            .global(self.ground, "Universe", "_collectedHeap")?;
        // JDK 23 put G1 before the name.
        let regions = self
            .structures
            .offset("HeapRegionManager", "_regions")
            .or_else(|| self.structures.offset("G1HeapRegionManager", "_regions"))?;
        let manager = heap.checked_add(self.structures.offset("G1CollectedHeap", "_hrm")?)?;
        let range = AddressRange::sized(manager, regions.saturating_add(8 * MANAGER_WORDS as u64));
        let mut pointers: Vec<u64> = words::read_words(self.ground, range, 4096)
            .into_iter()
            .filter(|word| words::points_to_heap(self.ground, *word))
            .collect();
        let mut mappers = Vec::new();
        words::for_each_structure(self.ground, &mut pointers, 8 * MAPPER_WORDS, |_, bytes| {
            mappers.push(std::array::from_fn(|index| words::u64_at(bytes, 8 * index)));
        });
        Some(mappers)
    }

    /// Metaspace lists: libjvm's data points to a context `{ name, list, … }`, that to a list
    /// `{ name, first node, … }`, and a node states its bounds twice, in bytes and in words.
    fn claim_metaspace(&self, territory: &mut Territory) {
        let Some((_, image)) = self.ground.symbol(SYMBOLS) else {
            return;
        };
        let mut pointers = Vec::new();
        for data in words::image_data(self.ground, image) {
            words::for_each_word(self.ground, data, DATA_MAX, |_, word| {
                if words::points_to_heap(self.ground, word) {
                    pointers.push(word);
                }
            });
        }
        // The list has a pointer to its methods in front since JDK 17.
        for fields in [&[8][..], &[8, 16]] {
            let mut next = Vec::new();
            words::for_each_structure(self.ground, &mut pointers, 24, |_, bytes| {
                let words = fields.iter().map(|at| words::u64_at(bytes, *at));
                next.extend(words.filter(|word| words::points_to_heap(self.ground, *word)));
            });
            pointers = next;
        }
        pointers.sort_unstable();
        pointers.dedup();
        for first in pointers {
            if self.node_bounds(first).is_none() {
                continue;
            }
            for node in
                words::follow_list(self.ground, first, 0, METASPACE_NODES_MAX).unwrap_or_default()
            {
                if let Some(range) = self.node_bounds(node) {
                    self.claim_anonymous(
                        territory,
                        range,
                        &Owner {
                            kind: Kind::Runtime,
                            component: "JVM metaspace".into(),
                            part: "class metadata".into(),
                            evidence: "bounds in the JVM's metaspace nodes",
                        },
                    );
                }
            }
        }
    }

    /// `VirtualSpaceNode` (JDK 16 and later): `_rs._base`, `_rs._size`, …, `_base`, `_word_size`.
    fn node_bounds(&self, node: u64) -> Option<AddressRange> {
        /// Root chunks, of which a node has a whole number, are 4 MiB (16 MiB from JDK 22).
        const ROOT_CHUNK: u64 = 4 << 20;
        let mut bytes = [0; 8 * NODE_WORDS];
        if !self.ground.target.read(node, &mut bytes) {
            return None;
        }
        let word = |index: usize| words::u64_at(&bytes, 8 * index);
        let (base, size) = (word(1), word(2));
        let is_bounds = size != 0
            && size.is_multiple_of(ROOT_CHUNK)
            && base.is_multiple_of(ROOT_CHUNK)
            && base < words::USER_END;
        let range = AddressRange::sized(base, size);
        let is_repeated = (3..NODE_WORDS - 2)
            .any(|at| word(at) == base && word(at + 1) == size / 8 && word(at + 2) <= size / 8);
        (is_bounds && is_repeated && self.is_own(range)).then_some(range)
    }
}

fn bounds(mapper: &[u64; MAPPER_WORDS], at: usize) -> AddressRange {
    AddressRange::new(mapper[at], mapper[at + 1])
}

fn collector_owner(part: &str, evidence: &'static str) -> Owner {
    Owner {
        kind: Kind::Runtime,
        component: "JVM garbage collector".into(),
        part: part.into(),
        evidence,
    }
}

#[cfg(test)]
mod tests;
