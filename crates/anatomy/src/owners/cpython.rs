//! CPython's small objects: the arenas of obmalloc (Objects/obmalloc.c).
//!
//! A pool header has seven fields that check each other, so a pool proves itself; the interpreter's
//! table of arenas, found through its own data, gives the exact bounds of the arena around it. A
//! pool outside every table entry (a sub-interpreter with its own allocator) is claimed alone.
//! Nothing is claimed with PYTHONMALLOC=malloc or in a free-threaded build, which has no pools.
//! Cost: one 48-byte header per resident pool.

use std::collections::BTreeMap;
use std::path::Path;

use plimsoll_model::{AddressRange, Bytes, Gap, GapReason, Kind, Residency, Used};

use super::words;
use crate::ground::Ground;
use crate::territory::{Claim, Owner, Territory};

/// Every program that can run Python code defines it, stripped or not: extension modules link
/// against it.
pub(crate) const SYMBOLS: &[&str] = &["PyObject_Malloc"];

/// `struct pool_header`, unchanged from Python 2.7 to 3.14 on 64-bit machines.
const HEADER: u64 = 48;

/// `struct arena_object`.
const ARENA_OBJECT: u64 = 48;

/// Requests above this go to malloc.
const BLOCK_MAX: u64 = 512;

/// Pools looked at: 16 GiB of objects in 16 KiB pools. Beyond it the rest is a gap.
const POOLS_MAX: usize = 1 << 20;

/// Data of the interpreter searched for the arena table; libpython has about 1 MiB of it.
const DATA_MAX: u64 = 16 << 20;

/// Arena indices checked for each candidate of the table: enough that no other array of 48-byte
/// entries agrees by chance.
const PROBES: usize = 8;

/// Pools of one index that must lie within an arena's size before they count without a table.
const POOLS_TOGETHER: usize = 4;

struct Layout {
    pool: u64,
    arena: u64,
}

/// Since 3.10 (WITH_PYMALLOC_RADIX_TREE) pools are 16 KiB and arenas 1 MiB; before, 4 and 256 KiB.
const LAYOUTS: [Layout; 2] = [
    Layout {
        pool: 16 << 10,
        arena: 1 << 20,
    },
    Layout {
        pool: 4 << 10,
        arena: 256 << 10,
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pool {
    address: u64,
    arena_index: u32,
    live: u64,
    capacity: u64,
    resident: u64,
}

impl Pool {
    /// The pool whose header lies at `address`, if all fields fit each other.
    fn parse(address: u64, header: &[u8], layout: &Layout) -> Option<Pool> {
        let count = u64::from(words::u32_at(header, 0));
        let free_block = words::u64_at(header, 8);
        let next_pool = words::u64_at(header, 16);
        let previous_pool = words::u64_at(header, 24);
        let arena_index = words::u32_at(header, 32);
        let class = u64::from(words::u32_at(header, 36));
        let next_offset = u64::from(words::u32_at(header, 40));
        let next_offset_max = u64::from(words::u32_at(header, 44));

        let size = layout.pool.checked_sub(next_offset_max)?;
        // Blocks are multiples of 16 bytes, of 8 before 3.7.4.
        let is_class = size == (class + 1) * 16 || size == (class + 1) * 8;
        if !is_class || size > BLOCK_MAX {
            return None;
        }
        // pymalloc_pool_extend() carves block after block; two are carved at the start.
        let carved = next_offset.checked_sub(HEADER)?;
        if !carved.is_multiple_of(size) || next_offset > layout.pool || carved < 2 * size {
            return None;
        }
        let capacity = (layout.pool - HEADER) / size;
        if count > carved / size {
            return None;
        }
        let is_free_block_right = if free_block == 0 {
            count == capacity
        } else {
            free_block
                .checked_sub(address + HEADER)
                .is_some_and(|offset| offset < carved && offset.is_multiple_of(size))
                && count < capacity
        };
        let is_link = |pointer: u64| pointer.is_multiple_of(8) && pointer < words::USER_END;
        (is_free_block_right && is_link(next_pool) && is_link(previous_pool)).then_some(Pool {
            address,
            arena_index,
            live: count * size,
            capacity: capacity * size,
            resident: 0,
        })
    }
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let Some((_, image)) = ground.symbol(SYMBOLS) else {
        return;
    };
    for layout in &LAYOUTS {
        let pools = find_pools(ground, territory, layout);
        if pools.len() < POOLS_TOGETHER {
            continue;
        }
        let rest = claim_arenas(ground, territory, layout, image, pools);
        claim_lone_pools(ground, territory, layout, rest);
        return;
    }
}

/// Every resident pool in unclaimed anonymous memory, in address order.
fn find_pools(ground: &Ground<'_>, territory: &Territory, layout: &Layout) -> Vec<Pool> {
    let mut candidates = Vec::new();
    let mut residency = Residency::default();
    'regions: for region in ground.regions() {
        residency.runs.extend(ground.residency(region).runs);
        let free = territory.unclaimed_within(region);
        for run in ground.resident(region) {
            for range in free.iter().map(|free| free.intersection(run)) {
                let first = range.start.next_multiple_of(layout.pool);
                for address in (first..range.end).step_by(layout.pool as usize) {
                    if candidates.len() == POOLS_MAX {
                        ground.gap(Gap::new(
                            "CPython objects",
                            GapReason::Bounded,
                            format!("only the first {POOLS_MAX} pools were looked at"),
                        ));
                        break 'regions;
                    }
                    candidates.push(address);
                }
            }
        }
    }
    let mut pools = Vec::new();
    words::for_each_structure(
        ground,
        &mut candidates,
        HEADER as usize,
        |address, header| {
            pools.extend(Pool::parse(address, header, layout).map(|pool| {
                Pool {
                    resident: residency
                        .resident_within(AddressRange::sized(address, layout.pool))
                        .0,
                    ..pool
                }
            }));
        },
    );
    pools
}

/// Claims the arenas that the interpreter's table names and that hold at least one of `pools`;
/// returns the pools that are in none.
fn claim_arenas(
    ground: &Ground<'_>,
    territory: &mut Territory,
    layout: &Layout,
    image: &Path,
    pools: Vec<Pool>,
) -> Vec<Pool> {
    let Some(table) = find_table(ground, layout, image, &pools) else {
        return pools;
    };
    let mut by_index: BTreeMap<u32, Vec<Pool>> = BTreeMap::new();
    for pool in &pools {
        by_index.entry(pool.arena_index).or_default().push(*pool);
    }
    let mut objects: Vec<u64> = by_index
        .keys()
        .map(|index| object_address(table, *index))
        .collect();
    let mut arenas = BTreeMap::new();
    words::for_each_structure(ground, &mut objects, ARENA_OBJECT as usize, |at, object| {
        arenas.extend(parse_arena(object, layout).map(|arena| (at, arena)));
    });
    let mut rest = Vec::new();
    for (index, pools) in by_index {
        let arena = arenas.get(&object_address(table, index)).copied();
        let (inside, outside): (Vec<_>, Vec<_>) = pools.into_iter().partition(|pool| {
            arena.is_some_and(|arena| arena.covers(AddressRange::sized(pool.address, layout.pool)))
        });
        rest.extend(outside);
        if let (Some(arena), false) = (arena, inside.is_empty())
            && ground.is_anonymous_memory(arena)
        {
            claim_range(
                territory,
                arena,
                &inside,
                "obmalloc's arena table and pool headers",
            );
        }
    }
    rest
}

fn object_address(table: u64, index: u32) -> u64 {
    table.saturating_add(u64::from(index) * ARENA_OBJECT)
}

/// The arena of a table entry in use: `address`, `pool_address`, `nfreepools`, `ntotalpools`
/// agree.
fn parse_arena(object: &[u8], layout: &Layout) -> Option<AddressRange> {
    let address = words::u64_at(object, 0);
    let next_pool = words::u64_at(object, 8);
    let free_pools = u64::from(words::u32_at(object, 16));
    let total_pools = u64::from(words::u32_at(object, 20));
    if address == 0 || !address.is_multiple_of(4096) || address > words::USER_END - layout.arena {
        return None;
    }
    let arena = AddressRange::sized(address, layout.arena);
    let first_pool = address.next_multiple_of(layout.pool);
    let expected_pools = (arena.end - first_pool) / layout.pool;
    let is_arena = total_pools == expected_pools
        && free_pools <= total_pools
        && (first_pool..=arena.end).contains(&next_pool)
        && next_pool.is_multiple_of(layout.pool);
    is_arena.then_some(arena)
}

/// Looks in the interpreter's data for the pointer to the array of `struct arena_object`: the
/// one whose entries, at the indices that pools state, are arenas around those pools. (The
/// variable is static, has no symbol in stripped builds, and moved in 3.12 and 3.13.)
fn find_table(ground: &Ground<'_>, layout: &Layout, image: &Path, pools: &[Pool]) -> Option<u64> {
    let mut probes: Vec<Pool> = Vec::new();
    for pool in pools {
        if probes.len() < PROBES && probes.iter().all(|p| p.arena_index != pool.arena_index) {
            probes.push(*pool);
        }
    }
    let mut tables = Vec::new();
    for data in words::image_data(ground, image) {
        words::for_each_word(ground, data, DATA_MAX, |_, word| {
            if words::points_to_heap(ground, word) {
                tables.push(word);
            }
        });
    }
    for probe in &probes {
        let offset = u64::from(probe.arena_index) * ARENA_OBJECT;
        let mut objects: Vec<u64> = tables
            .iter()
            .filter_map(|table| table.checked_add(offset))
            .collect();
        tables.clear();
        words::for_each_structure(ground, &mut objects, ARENA_OBJECT as usize, |at, object| {
            if parse_arena(object, layout).is_some_and(|arena| arena.contains(probe.address)) {
                tables.push(at - offset);
            }
        });
    }
    match tables[..] {
        [table] => Some(table),
        _ => None,
    }
}

/// Claims single pools where several of one index lie within an arena's size.
fn claim_lone_pools(
    ground: &Ground<'_>,
    territory: &mut Territory,
    layout: &Layout,
    mut pools: Vec<Pool>,
) {
    pools.sort_unstable_by_key(|pool| (pool.arena_index, pool.address));
    let mut is_proved = vec![false; pools.len()];
    for first in 0..(pools.len() + 1).saturating_sub(POOLS_TOGETHER) {
        let last = first + POOLS_TOGETHER - 1;
        if pools[first].arena_index == pools[last].arena_index
            && pools[last].address - pools[first].address < layout.arena
        {
            is_proved[first..=last].fill(true);
        }
    }
    for (pool, is_proved) in pools.iter().zip(is_proved) {
        let range = AddressRange::sized(pool.address, layout.pool);
        if is_proved && ground.is_anonymous_memory(range) {
            claim_range(territory, range, &[*pool], "obmalloc's pool headers");
        }
    }
}

fn claim_range(
    territory: &mut Territory,
    range: AddressRange,
    pools: &[Pool],
    evidence: &'static str,
) {
    territory.claim_with(Claim {
        range,
        owner: Owner {
            kind: Kind::Runtime,
            component: "CPython objects".into(),
            part: "small-object arenas".into(),
            evidence,
        },
        used: Some(census(pools)),
    });
}

/// Live blocks and free ones. A free block counts as held only as far as its pool is resident.
fn census(pools: &[Pool]) -> Used {
    let mut live = 0;
    let mut held_free = 0;
    for pool in pools {
        live += pool.live;
        held_free +=
            (pool.capacity - pool.live).min(pool.resident.saturating_sub(pool.live + HEADER));
    }
    Used {
        live: Bytes(live),
        held_free: Bytes(held_free),
        method: "pool headers".into(),
    }
}

#[cfg(test)]
mod tests;
