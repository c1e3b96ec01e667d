//! What writing, reading and sorting runs holds, heap and page cache, in a process of its own: one test,
//! so that nobody else allocates.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod counting;
mod folder;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use counting::{Counting, live_bytes, rise};
use folder::Folder;
use plimsoll::runs::{Run, RunOptions, RunWriter, Salvage, SortOptions, SortedEntries, Sorter};
use plimsoll::stream::TempSpace;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COUNT: u64 = 1_000_000;
/// Three windows of 1 MiB and half a one read ahead.
const CACHED_MAX: usize = 4 << 20;

/// 100 bytes, of which 32 are noise, as of a bucket.
fn put_key(n: u64, key: &mut Vec<u8>) {
    key.clear();
    let noise = u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_mul(0x2545_f491_4f6c_dd1d_u128 << 40 | 0x1f);
    write!(
        key,
        "tenant-{:03}/album-{:06}/{:02}-{noise:032x}/original-picture-of-somebodys-child.jpeg",
        n / 10_000,
        n / 100,
        n % 100
    )
    .unwrap();
}

/// Size, time and a hash.
fn value(n: u64) -> [u8; 29] {
    let mut value = [0; 29];
    for (at, byte) in value.iter_mut().enumerate().take(22) {
        *byte = (n
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(at as u32 * 7)
            >> 13) as u8;
    }
    value
}

/// Bytes of a file in the page cache.
fn cached_bytes(path: &Path) -> usize {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    if length == 0 {
        return 0;
    }
    let mut pages = vec![0_u8; length.div_ceil(4096)];
    // SAFETY: a new read-only mapping of an open file, gone below; mincore writes a byte a page.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(at, libc::MAP_FAILED);
        assert_eq!(libc::mincore(at, length, pages.as_mut_ptr()), 0);
        libc::munmap(at, length);
    }
    pages.iter().filter(|page| **page & 1 != 0).count() * 4096
}

/// Whether the file system drops pages when advised: tmpfs, which is made of them, does not.
fn drops_pages(folder: &Folder) -> bool {
    let path = folder.path("probe");
    let file = File::create(&path).unwrap();
    (&file).write_all(&[1; 64 << 10]).unwrap();
    file.sync_all().unwrap();
    // SAFETY: plain numbers and an open descriptor.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let cached = cached_bytes(&path);
    fs::remove_file(path).unwrap();
    cached == 0
}

#[test]
fn memory_is_frames_and_the_page_cache_is_windows() {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = Folder::within(parent, "runs-memory").unwrap();
    let path = folder.path("run");
    let drops = drops_pages(&folder);
    if !drops {
        println!(
            "SKIPPED in part: {} does not drop pages when advised",
            parent.display()
        );
    }

    let mut key = Vec::with_capacity(200);
    let heap = rise(|| {
        let mut writer = RunWriter::create(&path, RunOptions::default()).unwrap();
        for n in 0..COUNT {
            put_key(n, &mut key);
            assert_eq!(key.len(), 100);
            writer.push(&key, &value(n)).unwrap();
        }
        writer.commit().unwrap();
    });
    let run = Run::open(&path).unwrap();
    let figures = run.figures();
    let each = figures.file_bytes as f64 / figures.entries as f64;
    println!("write: heap {heap}, {each:.1} bytes an entry, {figures:?}");
    assert!(heap <= 256 << 10, "writing took {heap} bytes");
    assert!(each <= 70.0, "{each} bytes an entry");
    if drops {
        let left = cached_bytes(&path);
        println!("after writing {left} bytes are cached");
        assert!(left <= CACHED_MAX, "{left} bytes are cached");
    }

    // Again, now with a look at the unfinished file from time to time.
    let mut cached = 0;
    let other = Folder::within(parent, "runs-memory").unwrap();
    let mut writer = RunWriter::create(other.path("run"), RunOptions::default()).unwrap();
    for n in 0..COUNT {
        put_key(n, &mut key);
        writer.push(&key, &value(n)).unwrap();
        if drops && n % 25_000 == 0 {
            let unfinished = other.path(&other.names()[0]);
            cached = cached.max(cached_bytes(&unfinished));
        }
    }
    drop(writer);
    println!("while it is written, at most {cached} bytes are cached");
    assert!(cached <= CACHED_MAX, "{cached} bytes were cached");

    let mut read = 0;
    let heap = rise(|| {
        let mut reader = run.reader();
        while reader.advance().unwrap() {
            read += 1;
        }
    });
    println!("read: heap {heap}, told {}", run.reader_bytes());
    assert_eq!(read, COUNT);
    assert!(heap <= run.reader_bytes(), "reading took {heap} bytes");
    let mut reader = run.reader();
    cached = 0;
    for n in 0..COUNT {
        assert!(reader.advance().unwrap());
        if drops && n % 50_000 == 0 {
            cached = cached.max(cached_bytes(&path));
        }
    }
    assert!(cached <= CACHED_MAX, "{cached} bytes were cached");
    println!("while it is read, at most {cached} bytes are cached");

    let mut told = 0;
    let mut frames = 0;
    let heap = rise(|| {
        let mut starts = run.frame_starts();
        told = starts.bytes_max();
        while starts.advance().unwrap() {
            frames += 1;
        }
    });
    println!("frames by the index: heap {heap}, told {told}");
    assert_eq!(frames, figures.frames);
    assert!(
        heap <= told && heap <= 256 << 10,
        "the index took {heap} bytes"
    );

    // One bad byte in the middle: a frame is lost, and looked for, and the index is asked.
    let damaged = folder.path("damaged");
    fs::copy(&path, &damaged).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&damaged).unwrap();
    file.write_all_at(&[0x55; 64], figures.file_bytes / 2)
        .unwrap();
    let (mut left, mut lost) = (0, 0);
    let heap = rise(|| {
        let mut salvage = Salvage::open(&damaged).unwrap();
        while salvage.advance().unwrap() {
            left += 1;
            lost += salvage.gap().map_or(0, |gap| gap.lost.unwrap());
        }
    });
    println!("salvage: heap {heap}, {left} entries are left, {lost} lost");
    assert!((1..2000).contains(&lost) && left + lost == COUNT);
    assert!(
        heap <= run.reader_bytes() + (192 << 10),
        "salvaging took {heap} bytes"
    );
    fs::remove_file(&damaged).unwrap();

    // Unsorted: every key once, in a mixed order.
    for memory_bytes in [1 << 20, 8 << 20] {
        let space = TempSpace::new(folder.root(), 1 << 30).unwrap();
        let before = live_bytes();
        let mut sorted = 0;
        let heap = rise(|| {
            let options = SortOptions {
                memory_bytes,
                space: space.clone(),
            };
            let mut sorter = Sorter::new(options).unwrap();
            for n in 0..300_000_u64 {
                put_key(n * 7_919 % 300_000, &mut key);
                sorter.push(&key, &value(n)).unwrap();
            }
            let mut entries = sorter.finish().unwrap();
            println!("{:?}", entries.figures());
            while entries.advance().unwrap() {
                sorted += 1;
            }
        });
        println!("sort within {memory_bytes}: heap {heap}");
        assert_eq!(sorted, 300_000);
        assert!(
            heap <= memory_bytes,
            "sorting within {memory_bytes} took {heap} bytes"
        );
        assert!(live_bytes() <= before + 1024);
    }
}
