//! Blocks straight from the C library's malloc, and what glibc itself says about its heap.
//!
//! The main type is [`Chain`]: many blocks of one size, linked through their first word.

use std::io;
use std::ptr::NonNull;

use serde_json::{Value, json};

use crate::memory::page_bytes;

/// Blocks of one size, each all written; freed when dropped.
#[derive(Debug)]
pub struct Chain {
    first: Option<NonNull<Block>>,
    blocks: usize,
}

// SAFETY: the blocks belong to the chain alone, and malloc's blocks may move between threads.
unsafe impl Send for Chain {}

#[derive(Debug)]
struct Block {
    next: Option<NonNull<Block>>,
}

impl Chain {
    /// Allocates and writes `count` blocks of `size` bytes (at least one word).
    pub fn allocate(count: usize, size: usize) -> io::Result<Chain> {
        let size = size.max(size_of::<Block>());
        let mut chain = Chain {
            first: None,
            blocks: 0,
        };
        for _ in 0..count {
            // SAFETY: malloc has no preconditions.
            let block = NonNull::new(unsafe { libc::malloc(size) }.cast::<Block>())
                .ok_or_else(io::Error::last_os_error)?;
            // SAFETY: the block has `size` bytes, at least a word, aligned for any type.
            unsafe {
                block.cast::<u8>().write_bytes(0x5A, size);
                block.write(Block { next: chain.first });
            }
            chain.first = Some(block);
            chain.blocks += 1;
        }
        Ok(chain)
    }

    /// Frees all blocks but each `interval`-th, counted from the last allocated.
    pub fn keep_each(&mut self, interval: usize) {
        let mut kept: Option<NonNull<Block>> = None;
        let mut next = self.first.take();
        let (mut index, mut blocks) = (0_usize, 0);
        while let Some(block) = next {
            index += 1;
            // SAFETY: the chain holds live blocks only, each with a valid word at its start.
            next = unsafe { block.read() }.next;
            if index.is_multiple_of(interval) {
                // SAFETY: as above.
                unsafe { block.write(Block { next: kept }) };
                kept = Some(block);
                blocks += 1;
            } else {
                // SAFETY: the block came from malloc and leaves the chain here.
                unsafe { libc::free(block.as_ptr().cast()) };
            }
        }
        self.first = kept;
        self.blocks = blocks;
    }

    /// How many blocks are live.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// What malloc gave for the live blocks: their bytes rounded up, without headers.
    #[must_use]
    pub fn usable_bytes(&self) -> usize {
        // SAFETY: the chain holds live blocks of malloc only.
        self.iter()
            .map(|block| unsafe { libc::malloc_usable_size(block.as_ptr().cast()) })
            .sum()
    }

    /// The lowest address of a live block, or 0 without blocks.
    #[must_use]
    pub fn lowest(&self) -> usize {
        self.iter()
            .map(|block| block.as_ptr() as usize)
            .min()
            .unwrap_or(0)
    }

    /// The highest address of a live block, or 0 without blocks.
    #[must_use]
    pub fn highest(&self) -> usize {
        self.iter()
            .map(|block| block.as_ptr() as usize)
            .max()
            .unwrap_or(0)
    }

    /// The multiples of `alignment` that the live blocks lie at or above, each once, in no order.
    /// Nothing larger than the answer is allocated, since that would be in the heap told about.
    #[must_use]
    pub fn starts(&self, alignment: usize) -> Vec<usize> {
        let mut starts = Vec::new();
        for block in self.iter() {
            let start = block.as_ptr() as usize / alignment * alignment;
            if !starts.contains(&start) {
                starts.push(start);
            }
        }
        starts
    }

    fn iter(&self) -> impl Iterator<Item = NonNull<Block>> + '_ {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let block = next?;
            // SAFETY: the chain holds live blocks only, each with a valid word at its start.
            next = unsafe { block.read() }.next;
            Some(block)
        })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.keep_each(usize::MAX);
    }
}

/// Reserves the page behind the brk area for good, so that the area cannot grow. V8 does the same
/// now and then, when its code range comes to lie there.
pub fn block_brk() -> io::Result<()> {
    // SAFETY: sbrk(0) only tells where the area ends.
    let end = unsafe { libc::sbrk(0) } as usize;
    // SAFETY: MAP_FIXED_NOREPLACE replaces nothing.
    let page = unsafe {
        libc::mmap(
            end.next_multiple_of(page_bytes()) as *mut libc::c_void,
            page_bytes(),
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What glibc says of its heap, all arenas together (mallinfo2, mallinfo(3)); null elsewhere, and
/// where another allocator is preloaded.
#[must_use]
pub fn heap_of_glibc() -> Value {
    #[cfg(target_env = "gnu")]
    {
        if std::env::var_os("LD_PRELOAD").is_some() {
            return Value::Null;
        }
        // SAFETY: mallinfo2 has no preconditions.
        let info = unsafe { libc::mallinfo2() };
        json!({
            "arena_bytes": info.arena,
            "in_use_bytes": info.uordblks,
            "free_bytes": info.fordblks,
            "mmapped_blocks": info.hblks,
            "mmapped_bytes": info.hblkhd,
        })
    }
    #[cfg(not(target_env = "gnu"))]
    {
        Value::Null
    }
}
