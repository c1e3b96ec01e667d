//! Words and small structures of the target's memory, as rules read them: in batches, resident
//! pages only, never more than a stated bound.

use std::collections::BTreeSet;

use plimsoll_model::AddressRange;

use crate::ground::Ground;

/// Structures copied by one call of [`plimsoll_model::Target::read_each`].
pub(crate) const BATCH: usize = 1024;

/// Bytes copied at once by [`for_each_resident`].
const BLOCK: u64 = 256 << 10;

/// User space ends here on x86-64 with four page-table levels and on arm64 with 47 bits in use.
pub(crate) const USER_END: u64 = 1 << 47;

/// The little or big end is the target's own, which is ours: it runs on this machine.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_ne_bytes(word)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_ne_bytes(word)
}

/// Copies `width` bytes from each of `addresses` and hands over those that can be read, in
/// ascending order of address.
pub(crate) fn for_each_structure(
    ground: &Ground<'_>,
    addresses: &mut Vec<u64>,
    width: usize,
    mut visit: impl FnMut(u64, &[u8]),
) {
    addresses.sort_unstable();
    addresses.dedup();
    let mut bytes = Vec::new();
    for batch in addresses.chunks(BATCH) {
        let readable = ground.target.read_each(batch, width, &mut bytes);
        for ((address, structure), readable) in
            batch.iter().zip(bytes.chunks_exact(width)).zip(readable)
        {
            if readable {
                visit(*address, structure);
            }
        }
    }
}

/// Hands over the resident parts of `range`, in blocks of whole pages, up to `limit` bytes.
/// `false` when the limit cut it short.
pub(crate) fn for_each_resident(
    ground: &Ground<'_>,
    range: AddressRange,
    limit: u64,
    mut visit: impl FnMut(u64, &[u8]),
) -> bool {
    let mut left = limit;
    let mut buffer = Vec::new();
    let page = ground.page_size();
    let pages = AddressRange::new(page.round_down(range.start), page.round_up(range.end));
    for run in ground.resident(pages) {
        let run = run.intersection(range);
        let mut start = run.start;
        while start < run.end {
            let size = BLOCK.min(run.end - start);
            if size > left {
                return false;
            }
            left -= size;
            buffer.resize(size as usize, 0);
            if ground.target.read(start, &mut buffer) {
                visit(start, &buffer);
            }
            start += size;
        }
    }
    true
}

/// Hands over every aligned word of the resident parts of `range` with its address.
pub(crate) fn for_each_word(
    ground: &Ground<'_>,
    range: AddressRange,
    limit: u64,
    mut visit: impl FnMut(u64, u64),
) -> bool {
    for_each_resident(ground, range, limit, |start, bytes| {
        for (index, word) in bytes.chunks_exact(8).enumerate() {
            visit(start + 8 * index as u64, u64_at(word, 0));
        }
    })
}

/// The words of `range`, zero where a page is not resident or lies beyond `limit` bytes.
pub(crate) fn read_words(ground: &Ground<'_>, range: AddressRange, limit: u64) -> Vec<u64> {
    let start = range.start.next_multiple_of(8);
    let size = range.end.saturating_sub(start).min(limit);
    let mut words = vec![0; (size / 8) as usize];
    let range = AddressRange::sized(start, size);
    for_each_word(ground, range, limit, |address, word| {
        if let Some(slot) = words.get_mut(((address - start) / 8) as usize) {
            *slot = word;
        }
    });
    words
}

/// Follows a linked list of structures through the word at `link` of each, from `first` to the
/// null at its end. `None` when it is broken, cyclic or longer than `limit`.
pub(crate) fn follow_list(
    ground: &Ground<'_>,
    first: u64,
    link: u64,
    limit: usize,
) -> Option<Vec<u64>> {
    let mut nodes = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = first;
    while next != 0 {
        if nodes.len() == limit || !seen.insert(next) || !points_to_heap(ground, next) {
            return None;
        }
        nodes.push(next);
        next = ground.target.read_word(next + link)?;
    }
    Some(nodes)
}

/// Writable data of a mapped image at run time: .data and .bss with what lies between.
pub(crate) fn image_data(ground: &Ground<'_>, path: &std::path::Path) -> Vec<AddressRange> {
    let (Some(image), Some(bias)) = (ground.image(path), ground.load_bias(path)) else {
        return Vec::new();
    };
    image
        .segments
        .iter()
        .filter(|segment| segment.writable)
        .map(|segment| AddressRange::sized(bias.wrapping_add(segment.address), segment.memory_size))
        .collect()
}

/// Whether `address` may be a pointer to memory that an allocator gave out: aligned to a word
/// and in private memory without a file.
pub(crate) fn points_to_heap(ground: &Ground<'_>, address: u64) -> bool {
    address != 0
        && address.is_multiple_of(8)
        && address < USER_END
        && ground
            .mapping_at(address)
            .is_some_and(|mapping| mapping.is_anonymous_private() && mapping.permissions.write)
}
