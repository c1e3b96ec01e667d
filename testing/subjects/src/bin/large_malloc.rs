//! Blocks of `--mib N` that malloc maps one by one, in the shapes that real programs make.
//!
//! `plain`; `numpy`, whose inner part is advised MADV_HUGEPAGE as NumPy does (numpy/_core/src/
//! multiarray/alloc.c), so that the kernel splits the page with malloc's header from the rest;
//! `aligned_64` and `aligned_4096` from posix_memalign; `calloc`, of which half is touched. The
//! header of such a chunk is the two words before the block, at `address - 16`.

use std::io;
use std::ptr::NonNull;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::malloc::heap_of_glibc;
use plimsoll_subjects::memory::page_bytes;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::{Value, json};

/// NumPy advises from the next multiple of 4096 bytes, on every machine.
const NUMPY_PAGE_BYTES: usize = 4096;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 8)?;
    // SAFETY: malloc has no preconditions.
    let plain = block(unsafe { libc::malloc(bytes) })?;
    // SAFETY: as above.
    let numpy = block(unsafe { libc::malloc(bytes) })?;
    advise_huge(numpy, bytes);
    let aligned_64 = aligned(64, bytes)?;
    let aligned_4096 = aligned(4096, bytes)?;
    // SAFETY: calloc has no preconditions.
    let calloc = block(unsafe { libc::calloc(bytes, 1) })?;
    // A huge page would make more of the half-touched block resident than is touched.
    advise(calloc, bytes, libc::MADV_NOHUGEPAGE);
    let blocks = [
        describe("plain", plain, bytes, bytes),
        describe("numpy", numpy, bytes, bytes),
        describe("aligned_64", aligned_64, bytes, bytes),
        describe("aligned_4096", aligned_4096, bytes, bytes),
        describe("calloc", calloc, bytes, bytes / 2),
    ];
    stage::ready(&json!({
        "blocks": blocks,
        "live_bytes": 5 * bytes,
        "anon_bytes": 4 * bytes + bytes / 2,
        "glibc": heap_of_glibc(),
    }))?;
    stage::wait()?;
    Ok(())
}

fn block(pointer: *mut libc::c_void) -> io::Result<NonNull<u8>> {
    NonNull::new(pointer.cast()).ok_or_else(io::Error::last_os_error)
}

fn aligned(alignment: usize, bytes: usize) -> io::Result<NonNull<u8>> {
    let mut pointer = std::ptr::null_mut();
    // SAFETY: the pointer may be written; the alignment is a power of two and of whole words.
    match unsafe { libc::posix_memalign(&raw mut pointer, alignment, bytes) } {
        0 => block(pointer),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Exactly what NumPy does with arrays of 4 MiB and more.
fn advise_huge(block: NonNull<u8>, bytes: usize) {
    let offset = NUMPY_PAGE_BYTES - block.as_ptr() as usize % NUMPY_PAGE_BYTES;
    // SAFETY: the range lies in the block; like NumPy, this ignores a refusal.
    unsafe {
        libc::madvise(
            block.as_ptr().add(offset).cast(),
            bytes - offset,
            libc::MADV_HUGEPAGE,
        )
    };
}

/// `madvise` on all the whole pages of a block, where the kernel knows the advice.
fn advise(block: NonNull<u8>, bytes: usize, advice: libc::c_int) {
    let start = (block.as_ptr() as usize).next_multiple_of(page_bytes());
    let end = (block.as_ptr() as usize + bytes) & !(page_bytes() - 1);
    // SAFETY: the range lies in the block, and the advice changes no content.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, advice) };
}

/// Touches the first `touched` bytes and tells what there is.
fn describe(kind: &str, block: NonNull<u8>, requested: usize, touched: usize) -> Value {
    for offset in (0..touched).step_by(page_bytes()).chain([touched - 1]) {
        // SAFETY: the offset lies in the block, which is never freed.
        unsafe { block.as_ptr().add(offset).write_volatile(1) };
    }
    json!({
        "kind": kind,
        "address": block.as_ptr() as usize,
        "requested_bytes": requested,
        // SAFETY: the block came from malloc.
        "usable_bytes": unsafe { libc::malloc_usable_size(block.as_ptr().cast()) },
        "touched_bytes": touched,
    })
}
