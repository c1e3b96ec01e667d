//! jemalloc 5.3 and later (also as Rust's tikv-jemallocator): every extent it holds.
//!
//! The global map of extents (`arena_emap_global`, include/jemalloc/internal/{rtree,edata}.h) is
//! a radix tree over addresses. Each leaf names the descriptor of the extent around its page; the
//! descriptor states address, size and state, which must agree with the leaf. Metadata lies in
//! base blocks, which state their own size and end. Without a symbol the tree is found behind a
//! pointer to the first base, by descriptors that agree with it. Cost: 16 bytes per resident page
//! of address space in use and 24 per extent.

use std::collections::BTreeSet;

use plimsoll_model::{AddressRange, Bytes, Gap, GapReason, Kind, Used};

use super::words;
use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};

/// The map, or what any build exports. Prefixes: none, `je_` (configured), `_rjem_je_` and
/// `_rjem_` (tikv-jemallocator).
pub(crate) const SYMBOLS: &[&str] = &[
    "arena_emap_global",
    "je_arena_emap_global",
    "_rjem_arena_emap_global",
    "_rjem_je_arena_emap_global",
    "mallctlnametomib",
    "je_mallctlnametomib",
    "_rjem_mallctlnametomib",
];
const EMAPS: usize = 4;

/// `EDATA_ALIGNMENT` is 128; the low bits of a compact leaf hold state.
const DESCRIPTOR_MASK: u64 = !0x7f;

/// `e_bits`, `e_addr`, `e_size_esn`.
const DESCRIPTOR: usize = 24;

/// Extents looked at; beyond it the rest is a gap. At 48 bytes each of our own memory.
const EXTENTS_MAX: usize = 1 << 18;

/// Tree bytes read: enough for 128 GiB of heap.
const TREE_MAX: u64 = 512 << 20;

/// Writable data of the image searched: the map alone is 2 MiB of it.
const DATA_MAX: u64 = 16 << 20;

/// Words between the map's pointer to its base and its root, a mutex: 14 in 5.3.
const BEFORE_ROOT: std::ops::RangeInclusive<usize> = 8..=32;

/// Extents that must agree with a tree found without a symbol.
const EXTENTS_TOGETHER: usize = 4;

/// Base blocks of one arena.
const BLOCKS_MAX: usize = 1 << 16;

/// `BASE_BLOCK_MIN_ALIGN`, a huge page.
const BLOCK_ALIGNMENT: u64 = 2 << 20;

/// The base structure lies at the start of an arena's first block; its list of blocks is looked
/// for in as many bytes.
const BASE_BYTES: u64 = 4096;

/// A radix tree's shape, which depends on how many address bits the build counts on.
struct Shape {
    /// Address bits below each level's key, root first; the leaf's is the page.
    shifts: &'static [u32],
    /// Key bits of every level.
    bits: u32,
    /// Bytes of a leaf element.
    leaf: usize,
}

/// 48 bits: two levels of 18, descriptor and state in one word. 57 bits: three levels of 15.
const SHAPES: [Shape; 2] = [
    Shape {
        shifts: &[30, 12],
        bits: 18,
        leaf: 8,
    },
    Shape {
        shifts: &[42, 27, 12],
        bits: 15,
        leaf: 16,
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Slab,
    Large,
    Free,
    Retained,
}

impl State {
    fn part(self) -> &'static str {
        match self {
            State::Slab => "small blocks",
            State::Large => "large blocks",
            State::Free => "freed, not yet returned",
            State::Retained => "returned, address space kept",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    range: AddressRange,
    state: State,
    live: u64,
}

impl Extent {
    /// The extent of a descriptor (`struct edata_s`).
    fn parse(descriptor: &[u8]) -> Option<Extent> {
        let bits = words::u64_at(descriptor, 0);
        let start = words::u64_at(descriptor, 8) & !0xfff;
        let size = words::u64_at(descriptor, 16) & !0xfff;
        let range = AddressRange::sized(start, size);
        if start == 0 || size == 0 || range.end >= words::USER_END {
            return None;
        }
        let is_slab = bits >> 12 & 1 == 1;
        let class = bits >> 20 & 0xff;
        let free_blocks = bits >> 28 & 0x3ff;
        let state = match bits >> 17 & 7 {
            0 if is_slab => State::Slab,
            0 => State::Large,
            1 | 2 => State::Free,
            3 => State::Retained,
            // Being split or merged at this moment.
            _ => return None,
        };
        let block = class_size(class);
        let live = match state {
            State::Slab => (size / block).checked_sub(free_blocks)? * block,
            // Since 5.3.1 large blocks need not be as long as their class.
            State::Large => block.min(size),
            State::Free | State::Retained => 0,
        };
        Some(Extent { range, state, live })
    }
}

/// `sz_index2size_compute()` with a quantum of 16 and one tiny class.
fn class_size(index: u64) -> u64 {
    let Some(reduced) = index.checked_sub(1) else {
        return 8;
    };
    let (group, step) = (reduced / 4, reduced % 4);
    let base = if group == 0 { 0 } else { 32 << group.min(56) };
    base + ((step + 1) << (group.clamp(1, 56) + 3))
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let Some((symbol, image)) = ground.symbol(SYMBOLS) else {
        return;
    };
    let data: Vec<(u64, Vec<u64>)> = words::image_data(ground, image)
        .into_iter()
        .map(|range| {
            let start = range.start.next_multiple_of(8);
            (start, words::read_words(ground, range, DATA_MAX))
        })
        .collect();
    let extents = if ground.symbol(&SYMBOLS[..EMAPS]).is_some() {
        by_symbol(symbol).map(|(shape, root)| extents_of(ground, shape, root))
    } else {
        data.iter()
            .find_map(|(start, words)| by_structure(ground, *start, words))
    };
    let Some(extents) = extents.filter(|_| ground.page_size().0 == 4096) else {
        ground.gap(Gap::new(
            "jemalloc heap",
            GapReason::Unsupported,
            "this build's map of extents was not found or has an unknown shape; its memory is \
             unattributed",
        ));
        return;
    };
    claim_extents(ground, territory, extents);
    claim_metadata(ground, territory, &data);
}

/// Root of the tree whose symbol is `emap`: `struct rtree_s` ends with it.
fn by_symbol(emap: AddressRange) -> Option<(&'static Shape, u64)> {
    let shape = SHAPES.iter().find(|shape| {
        let root = 8_u64 << shape.bits;
        emap.size().0 >= root && emap.size().0 < root + 4096
    })?;
    Some((shape, emap.end - (8 << shape.bits)))
}

/// Extents of the tree in `data`, which starts with a pointer to the first base and whose root
/// follows: the one place and shape whose descriptors agree with their leaves.
fn by_structure(ground: &Ground<'_>, start: u64, data: &[u64]) -> Option<Vec<Extent>> {
    for (at, word) in data.iter().enumerate() {
        let block = word & !(BLOCK_ALIGNMENT - 1);
        if *word == 0 || word - block >= BASE_BYTES || block_range(ground, block).is_none() {
            continue;
        }
        for shape in &SHAPES {
            for before in BEFORE_ROOT {
                let first = at + 1 + before;
                let Some(root) = data.get(first..first + (1 << shape.bits)) else {
                    continue;
                };
                if !is_root(ground, shape, root) {
                    continue;
                }
                let extents = extents_of(ground, shape, start + 8 * first as u64);
                if extents.len() >= EXTENTS_TOGETHER {
                    return Some(extents);
                }
            }
        }
    }
    None
}

/// Whether every child covers addresses that are mapped, and lies in memory.
fn is_root(ground: &Ground<'_>, shape: &Shape, root: &[u64]) -> bool {
    let shift = shape.shifts[0];
    let mut children = root
        .iter()
        .enumerate()
        .filter(|(_, child)| **child != 0)
        .peekable();
    children.peek().is_some()
        && children.all(|(key, child)| {
            let covered = AddressRange::sized((key as u64) << shift, 1 << shift);
            words::points_to_heap(ground, *child) && !ground.mappings_within(covered).is_empty()
        })
}

fn extents_of(ground: &Ground<'_>, shape: &Shape, root: u64) -> Vec<Extent> {
    let mut descriptors = read_tree(ground, shape, root);
    read_extents(ground, &mut descriptors)
}

/// Addresses of all descriptors in the tree, each with a page that it must cover, sorted by
/// descriptor and without repetition.
fn read_tree(ground: &Ground<'_>, shape: &Shape, root: u64) -> Vec<(u64, u64)> {
    let mut nodes = vec![(root, 0)];
    let mut left = TREE_MAX;
    let (leaf_shift, node_shifts) = match shape.shifts.split_last() {
        Some((leaf, nodes)) => (*leaf, nodes),
        None => return Vec::new(),
    };
    for shift in node_shifts {
        let mut children = Vec::new();
        for (node, key) in nodes {
            let range = AddressRange::sized(node, 8 << shape.bits);
            words::for_each_word(ground, range, left, |at, child| {
                if words::points_to_heap(ground, child) {
                    children.push((child, key | ((at - node) / 8) << shift));
                }
            });
            left = left.saturating_sub(8 << shape.bits);
        }
        nodes = children;
    }
    let mut descriptors: Vec<(u64, u64)> = Vec::new();
    for (leaf, key) in nodes {
        let range = AddressRange::sized(leaf, (shape.leaf as u64) << shape.bits);
        words::for_each_word(ground, range, left, |at, word| {
            let index = (at - leaf) / shape.leaf as u64;
            let descriptor = word << 16 >> 16 & DESCRIPTOR_MASK;
            let is_descriptor = (at - leaf).is_multiple_of(shape.leaf as u64)
                && descriptors.last().is_none_or(|last| last.0 != descriptor)
                && words::points_to_heap(ground, descriptor);
            if is_descriptor && descriptors.len() < 2 * EXTENTS_MAX {
                descriptors.push((descriptor, key | index << leaf_shift));
            }
        });
        left = left.saturating_sub(range.size().0);
    }
    descriptors.sort_unstable();
    descriptors.dedup_by_key(|(descriptor, _)| *descriptor);
    if left == 0 || descriptors.len() > EXTENTS_MAX {
        ground.gap(Gap::new(
            "jemalloc heap",
            GapReason::Bounded,
            format!("only the first {EXTENTS_MAX} extents were looked at"),
        ));
        descriptors.truncate(EXTENTS_MAX);
    }
    descriptors
}

/// The extents whose descriptor covers the page that led to it, in address order.
fn read_extents(ground: &Ground<'_>, descriptors: &mut [(u64, u64)]) -> Vec<Extent> {
    let mut addresses: Vec<u64> = descriptors.iter().map(|(address, _)| *address).collect();
    let mut extents = Vec::new();
    words::for_each_structure(ground, &mut addresses, DESCRIPTOR, |address, bytes| {
        let found = descriptors
            .binary_search_by_key(&address, |(descriptor, _)| *descriptor)
            .ok();
        if let (Some(at), Some(extent)) = (found, Extent::parse(bytes))
            && extent.range.contains(descriptors[at].1)
        {
            extents.push(extent);
        }
    });
    extents.sort_unstable_by_key(|extent| extent.range.start);
    extents
}

/// Claims neighbours of one state together: a heap may have 100,000 extents.
fn claim_extents(ground: &Ground<'_>, territory: &mut Territory, extents: Vec<Extent>) {
    let mut joined: Vec<Extent> = Vec::new();
    for extent in extents {
        match joined.last_mut() {
            // Two descriptors of one page: one of them is stale. Neither is proved.
            Some(last) if last.range.overlaps(extent.range) => {
                joined.pop();
            }
            Some(last) if last.range.end == extent.range.start && last.state == extent.state => {
                last.range.end = extent.range.end;
                last.live += extent.live;
            }
            _ => joined.push(extent),
        }
    }
    for extent in joined {
        if !ground.is_anonymous_memory(extent.range) {
            continue;
        }
        let resident = ground
            .residency(extent.range)
            .resident_within(extent.range)
            .0;
        let live = extent.live.min(resident);
        territory.claim_with(Claim {
            range: extent.range,
            owner: owner(extent.state.part(), "jemalloc's map of extents"),
            used: Some(Used {
                live: Bytes(live),
                held_free: Bytes(resident - live),
                method: "jemalloc extent descriptors; blocks in thread caches count as live".into(),
            }),
        });
    }
}

/// Base blocks, by way of jemalloc's pointers to its arenas: an arena lies in its base's first
/// block.
fn claim_metadata(ground: &Ground<'_>, territory: &mut Territory, data: &[(u64, Vec<u64>)]) {
    let firsts: BTreeSet<u64> = data
        .iter()
        .flat_map(|(_, words)| words)
        .filter(|word| **word >= BLOCK_ALIGNMENT)
        .map(|word| word & !(BLOCK_ALIGNMENT - 1))
        .collect();
    for first in firsts {
        if block_range(ground, first).is_none() {
            continue;
        }
        for block in blocks_of_base(ground, first) {
            if let Some(range) = block_range(ground, block) {
                territory.claim(range, owner("metadata", "jemalloc's list of base blocks"));
            }
        }
    }
}

/// The list of blocks that ends with `first`, newest first: its head is in the base structure.
fn blocks_of_base(ground: &Ground<'_>, first: u64) -> Vec<u64> {
    let base = AddressRange::sized(first, BASE_BYTES);
    let mut longest = vec![first];
    for head in words::read_words(ground, base, BASE_BYTES) {
        if !head.is_multiple_of(BLOCK_ALIGNMENT) || block_range(ground, head).is_none() {
            continue;
        }
        let blocks = words::follow_list(ground, head, 8, BLOCKS_MAX).unwrap_or_default();
        if blocks.last() == Some(&first) && blocks.len() > longest.len() {
            longest = blocks;
        }
    }
    longest
}

/// `struct base_block_s { size, next, edata }`, whose `edata` is the unused tail of the block.
fn block_range(ground: &Ground<'_>, block: u64) -> Option<AddressRange> {
    let mut header = [0; 40];
    if !words::points_to_heap(ground, block) || !ground.target.read(block, &mut header) {
        return None;
    }
    let range = AddressRange::sized(block, words::u64_at(&header, 0));
    let unused = AddressRange::sized(words::u64_at(&header, 24), words::u64_at(&header, 32));
    let is_block = range.size().0.is_multiple_of(4096)
        && range.end < words::USER_END
        && unused.end == range.end
        && unused.start >= block + 40
        && ground.is_anonymous_memory(range);
    is_block.then_some(range)
}

fn owner(part: &str, evidence: &'static str) -> Owner {
    Owner {
        kind: Kind::Heap,
        component: "jemalloc".into(),
        part: part.into(),
        evidence,
    }
}

#[cfg(test)]
mod tests;
