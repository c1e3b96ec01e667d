//! Thread stacks with their thread-local storage.
//!
//! A pthread's descriptor lies at the top of its stack block and names the block's start and
//! size, so the interval is exact even when the kernel has joined the stack with the memory
//! above it. The descriptor is found by its self pointers and its thread id.
//!
//! Sources: glibc nptl/descr.h and sysdeps/x86_64/nptl/tls.h (tcbhead_t: `tcb` at 0, `self` at
//! 0x10; `tid` at 0x2d0 since 2.4), musl src/internal/pthread_impl.h (`self` at 0, `tid` at
//! 0x30). Both are x86-64 layouts: elsewhere a gap says that stacks could not be told.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_model::{AddressRange, Gap, GapReason, Kind, Thread};

use crate::ground::Ground;
use crate::territory::{Owner, Territory};

pub(crate) const COMPONENT: &str = "thread stacks";

/// Pages looked through for one descriptor. A stack's used part is rarely deeper.
const SEARCH_PAGES: u64 = 2048;
/// Bytes of a descriptor in which the block's address and size are looked for; glibc 2.36's is
/// 0x900 long with them at 0x690.
const DESCRIPTOR: u64 = 0xa00;
/// Every glibc's descriptor is at least this long: it holds the thread id at 0x2d0.
const DESCRIPTOR_LEAST: u64 = 0x2d8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stack {
    block: AddressRange,
    /// 0 once the thread has ended and its block is kept for the next one.
    tid: u32,
}

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let stacks = find_stacks(ground);
    let mut named = BTreeSet::new();
    for stack in &stacks {
        let thread = thread_of(ground, stack);
        if let Some(thread) = thread {
            named.insert(thread.tid);
        }
        let part = match thread {
            Some(thread) => format!("thread {} {}", thread.tid, thread.name),
            None if stack.tid == 0 => "kept for new threads".to_owned(),
            None => format!("thread {} (its own numbering)", stack.tid),
        };
        let owner = Owner {
            kind: Kind::Stack,
            component: COMPONENT.to_owned(),
            part,
            evidence: "pthread descriptor",
        };
        territory.claim(stack.block, owner);
    }
    claim_first_thread(ground, territory);
    note_missing(ground, &named);
}

/// Pages at the end of a region in which the first thread's descriptor is looked for: the loader
/// maps it on its own, behind the local storage of all libraries.
const LOADER_PAGES: u64 = 16;
/// Regions looked at. mmap goes downward, so what the loader maps first lies high.
const LOADER_REGIONS: usize = 64;

/// The first thread's stack has a name of its own in maps; its local storage has none.
fn claim_first_thread(ground: &Ground<'_>, territory: &mut Territory) {
    let page = ground.page_size();
    let regions = ground.regions();
    let Some(at) = regions
        .iter()
        .rev()
        .take(LOADER_REGIONS)
        .find_map(|region| {
            let start = region
                .end
                .saturating_sub(LOADER_PAGES * page.0)
                .max(region.start);
            first_descriptor(ground, AddressRange::new(start, region.end))
        })
    else {
        return;
    };
    let storage: u64 = ground
        .snapshot
        .images
        .values()
        .map(|image| image.tls_size)
        .sum();
    let range = AddressRange::new(
        page.round_down(at.saturating_sub(storage)),
        page.round_up(at + DESCRIPTOR_LEAST),
    );
    let process = &ground.snapshot.process;
    if ground.is_anonymous_memory(range) {
        let owner = Owner {
            kind: Kind::Stack,
            component: COMPONENT.to_owned(),
            part: format!(
                "thread {} {} (first), local storage",
                process.id.pid, process.name
            ),
            evidence: "pthread descriptor",
        };
        territory.claim(range, owner);
    }
}

/// Address of a descriptor with the process's own thread id.
fn first_descriptor(ground: &Ground<'_>, range: AddressRange) -> Option<u64> {
    let page = ground.page_size().0;
    let mut bytes = vec![0; usize::try_from(page).ok()?];
    for run in ground.resident(range) {
        for start in (run.start..run.end).step_by(bytes.len()) {
            if !ground.target.read(start, &mut bytes) {
                continue;
            }
            let found = self_pointers(start, &bytes).find(|at| {
                let word = |offset| ground.target.read_word(at + offset);
                word(0x10) == Some(*at)
                    && word(0x2d0).is_some_and(|tid| tid as u32 == ground.snapshot.process.id.pid)
            });
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// Threads other than the first whose stack was not found. Go and other runtimes run threads
/// on stacks from their own heap: those have no descriptor and belong to that heap.
fn note_missing(ground: &Ground<'_>, named: &BTreeSet<u32>) {
    let threads = &ground.snapshot.threads;
    let missing = threads
        .iter()
        .filter(|thread| thread.tid != ground.snapshot.process.id.pid)
        .filter(|thread| !named.contains(&thread.tid))
        .count();
    let is_go = ground.executable().is_some_and(|(_, image)| image.is_go);
    if missing > 0 && !is_go {
        ground.gap(Gap::new(
            "thread stacks",
            GapReason::Unsupported,
            format!(
                "no pthread descriptor found for {missing} of {} threads",
                threads.len()
            ),
        ));
    }
}

fn thread_of<'a>(ground: &Ground<'a>, stack: &Stack) -> Option<&'a Thread> {
    let threads = &ground.snapshot.threads;
    threads
        .iter()
        .find(|thread| thread.tid == stack.tid)
        .or_else(|| {
            // In a container the descriptor holds the number inside its pid namespace.
            threads.iter().find(|thread| {
                thread
                    .stack_pointer
                    .is_some_and(|pointer| stack.block.contains(pointer))
            })
        })
}

fn find_stacks(ground: &Ground<'_>) -> Vec<Stack> {
    let mut found: BTreeMap<u64, Stack> = BTreeMap::new();
    let regions = ground.regions();
    let pointers = ground
        .snapshot
        .threads
        .iter()
        .filter_map(|thread| thread.stack_pointer);
    for pointer in pointers {
        let known = found.values().any(|stack| stack.block.contains(pointer));
        let region = regions.iter().find(|region| region.contains(pointer));
        if let (false, Some(region)) = (known, region) {
            let above = AddressRange::new(ground.page_size().round_down(pointer), region.end);
            if let Some(stack) = search(ground, above) {
                found.insert(stack.block.start, stack);
            }
        }
    }
    // Threads that were running show no stack pointer, and blocks kept for new threads have
    // none: a stack block starts with a guard, so look above each inaccessible mapping.
    for candidate in above_guards(ground) {
        let known = found
            .values()
            .any(|stack| stack.block.contains(candidate.start));
        if !known && let Some(stack) = search(ground, candidate) {
            found.insert(stack.block.start, stack);
        }
    }
    found.into_values().collect()
}

/// Accessible anonymous mappings that follow an inaccessible one without a hole.
fn above_guards(ground: &Ground<'_>) -> Vec<AddressRange> {
    let mappings: Vec<_> = ground.anonymous().collect();
    mappings
        .windows(2)
        .filter(|pair| pair[0].range.end == pair[1].range.start)
        .filter(|pair| !pair[0].permissions.read && !pair[0].permissions.write)
        .filter(|pair| pair[1].permissions.read && pair[1].permissions.write)
        .filter(|pair| !pair[1].counters.rss.is_zero())
        .map(|pair| pair[1].range)
        .collect()
}

/// The first stack block whose descriptor lies in the resident pages of `range`.
fn search(ground: &Ground<'_>, range: AddressRange) -> Option<Stack> {
    let page = ground.page_size().0;
    let mut buffer = vec![0_u8; usize::try_from(page).ok()?];
    let mut left = SEARCH_PAGES;
    for run in ground.resident(range) {
        let mut at = run.start;
        while at < run.end && left > 0 {
            left -= 1;
            if ground.target.read(at, &mut buffer)
                && let Some(stack) = descriptor_in(ground, at, &buffer)
            {
                return Some(stack);
            }
            at += page;
        }
    }
    None
}

fn descriptor_in(ground: &Ground<'_>, base: u64, bytes: &[u8]) -> Option<Stack> {
    self_pointers(base, bytes).find_map(|at| read_descriptor(ground, at))
}

/// Addresses in a page that hold their own address, as descriptors do. They are aligned to the
/// thread control block: 64 in glibc, 16 in musl.
fn self_pointers(base: u64, bytes: &[u8]) -> impl Iterator<Item = u64> {
    (base..)
        .step_by(16)
        .zip(bytes.chunks_exact(16))
        .filter_map(|(at, chunk)| {
            let own = chunk
                .first_chunk::<8>()
                .map(|word| u64::from_ne_bytes(*word));
            (own == Some(at)).then_some(at)
        })
}

/// Checks the descriptor at `at` and reads its stack block.
fn read_descriptor(ground: &Ground<'_>, at: u64) -> Option<Stack> {
    let target = ground.target;
    let glibc = target.read_word(at + 0x10) == Some(at);
    let tid_at = if glibc { at + 0x2d0 } else { at + 0x30 };
    let tid = u32::try_from(target.read_word(tid_at)? & 0xffff_ffff).ok()?;
    let alive = ground
        .snapshot
        .threads
        .iter()
        .any(|thread| thread.tid == tid);
    // musl has one self pointer only, so there the thread id must be a living one.
    if !glibc && !alive {
        return None;
    }
    let first_field = if glibc { 0x280 } else { 0x30 };
    let block = (first_field..DESCRIPTOR).step_by(8).find_map(|offset| {
        let start = target.read_word(at + offset)?;
        let size = target.read_word(at + offset + 8)?;
        stack_block(ground, at, start, size)
    })?;
    Some(Stack { block, tid })
}

/// Whether `start` and `size` describe a stack block with its descriptor at `at`: page-aligned,
/// anonymous throughout, and the descriptor near its top.
fn stack_block(ground: &Ground<'_>, at: u64, start: u64, size: u64) -> Option<AddressRange> {
    /// Descriptor plus thread-local storage above it; glibc puts the storage below.
    const TOP: u64 = 64 * 1024;
    /// No thread has a stack beyond this.
    const SIZE_MAX: u64 = 64 << 30;
    let page = ground.page_size();
    let aligned = page.round_down(start) == start && page.round_down(size) == size;
    if start == 0 || !aligned || !(4 * page.0..=SIZE_MAX).contains(&size) {
        return None;
    }
    let block = AddressRange::sized(start, size);
    let near_top = block.contains(at) && block.end - at <= TOP;
    (near_top && ground.is_anonymous_memory(block)).then_some(block)
}

#[cfg(test)]
mod tests {
    use plimsoll_model::Bytes;

    use super::*;
    use crate::fake::{self, FakeTarget};

    const STACK: AddressRange = AddressRange::new(0x7f00_0000_0000, 0x7f00_0080_0000);

    /// Lays a glibc 2.36 descriptor for a stack block at its usual place.
    fn descriptor(target: &mut FakeTarget, block: AddressRange, tid: u64) {
        let at = block.end - 0x1000;
        target.words(at, &[at, 0, at]);
        target.words(at + 0x2d0, &[tid]);
        target.words(at + 0x690, &[block.start, block.size().0, 0x1000]);
    }

    fn claims(
        mappings: Vec<plimsoll_model::Mapping>,
        target: &FakeTarget,
        threads: &[Thread],
    ) -> Vec<(AddressRange, String)> {
        let mut snapshot = fake::snapshot(mappings);
        snapshot.threads.extend_from_slice(threads);
        let ground = Ground::new(&snapshot, target);
        let mut territory = Territory::default();
        claim(&ground, &mut territory);
        territory
            .overlapping(AddressRange::new(0, u64::MAX))
            .map(|claim| (claim.range, claim.owner.part.clone()))
            .collect()
    }

    fn thread(tid: u32, stack_pointer: Option<u64>) -> Thread {
        Thread {
            tid,
            name: "worker".to_owned(),
            stack_pointer,
        }
    }

    /// The kernel joins a stack with anonymous memory above it: only the block may be claimed.
    #[test]
    fn a_joined_neighbour_is_not_swallowed() {
        let mut target = FakeTarget::default();
        descriptor(&mut target, STACK, 1001);
        let joined = AddressRange::new(STACK.start + 0x1000, STACK.end + (152 << 20));
        target.touch(AddressRange::new(STACK.end, STACK.end + 0x10_0000));
        let mappings = vec![
            fake::guard(AddressRange::new(STACK.start, STACK.start + 0x1000)),
            fake::anonymous(joined, Bytes::mib(2)),
        ];
        let threads = [thread(1001, Some(STACK.end - 0x3000))];
        target.touch(AddressRange::new(STACK.end - 0x4000, STACK.end));
        assert_eq!(
            claims(mappings, &target, &threads),
            [(STACK, "thread 1001 worker".to_owned())]
        );
    }

    #[test]
    fn a_running_thread_is_found_above_its_guard() {
        let mut target = FakeTarget::default();
        descriptor(&mut target, STACK, 1001);
        let mappings = vec![
            fake::guard(AddressRange::new(STACK.start, STACK.start + 0x1000)),
            fake::anonymous(
                AddressRange::new(STACK.start + 0x1000, STACK.end),
                Bytes::kib(8),
            ),
        ];
        let found = claims(mappings, &target, &[thread(1001, None)]);
        assert_eq!(found, [(STACK, "thread 1001 worker".to_owned())]);
    }

    #[test]
    fn an_ended_thread_leaves_a_kept_stack() {
        let mut target = FakeTarget::default();
        descriptor(&mut target, STACK, 0);
        let mappings = vec![
            fake::guard(AddressRange::new(STACK.start, STACK.start + 0x1000)),
            fake::anonymous(
                AddressRange::new(STACK.start + 0x1000, STACK.end),
                Bytes::kib(8),
            ),
        ];
        assert_eq!(
            claims(mappings, &target, &[]),
            [(STACK, "kept for new threads".to_owned())]
        );
    }

    #[test]
    fn the_first_threads_local_storage_is_its_own() {
        let mut target = FakeTarget::default();
        let region = AddressRange::sized(0x7f10_0000_0000, 0x80_4000);
        let at = region.end - 0x1c0 - 0x1000;
        target.words(at, &[at, 0, at]);
        target.words(at + 0x2d0, &[1000]);
        let found = claims(vec![fake::anonymous(region, Bytes::kib(12))], &target, &[]);
        let pages = AddressRange::new(region.end - 0x2000, region.end);
        assert_eq!(
            found,
            [(
                pages,
                "thread 1000 subject (first), local storage".to_owned()
            )]
        );
    }

    /// A self pointer alone is no descriptor, nor is one whose block lies elsewhere.
    #[test]
    fn what_only_looks_like_a_descriptor_claims_nothing() {
        let mut target = FakeTarget::default();
        let at = STACK.end - 0x1000;
        target.words(at, &[at, 0, at]);
        target.words(at + 0x2d0, &[1001]);
        target.words(at + 0x690, &[STACK.start + 0x4000_0000, STACK.size().0]);
        let mappings = vec![
            fake::guard(AddressRange::new(STACK.start, STACK.start + 0x1000)),
            fake::anonymous(
                AddressRange::new(STACK.start + 0x1000, STACK.end),
                Bytes::kib(8),
            ),
        ];
        assert_eq!(
            claims(mappings, &target, &[thread(1001, Some(at - 64))]),
            []
        );
    }
}
