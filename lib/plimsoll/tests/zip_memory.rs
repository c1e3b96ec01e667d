//! What reading, checking and writing an archive of many entries holds, in a process of its own: one
//! test, so that nobody else allocates. `--features zip`.

#![cfg(feature = "zip")]

mod counting;
mod folder;

use std::io::{self, Read};

use counting::{Counting, rise};
use folder::Folder;
use plimsoll::stream::zip::{ZipArchive, ZipLimits, ZipMethod, ZipNew, ZipWriter};
use plimsoll::stream::{CopyOptions, Verify};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ENTRIES: usize = 200_000;
const KIB: usize = 1 << 10;
/// The longest record, buffers to open and to spool, names, paths.
const WALK: usize = 320 * KIB;
/// Of deflating, inflating and their buffers.
const CODEC: usize = 512 * KIB;
/// Bytes an entry that a check holds, and as much again while its list grows.
const CHECKED: usize = 8 + 16;

fn options<'a>() -> CopyOptions<'a> {
    CopyOptions {
        buffer_bytes: 64 * KIB,
        verify: Verify::None,
        ..CopyOptions::default()
    }
}

#[test]
fn memory_is_buffers_and_eight_bytes_an_entry_to_check() {
    let folder = Folder::new("zip-memory");
    let (path, target) = (folder.path("a.zip"), folder.path("b.zip"));
    let check = |what: &str, limit: usize, act: &mut dyn FnMut()| {
        let risen = rise(act);
        println!("{what}: {risen} bytes of {limit}");
        assert!(
            risen <= limit,
            "{what} holds {risen} bytes, {limit} are stated"
        );
    };
    let all = WALK + 64 * KIB + CODEC + ENTRIES * CHECKED;
    check("make", all, &mut || {
        let mut writer = ZipWriter::create(&path, options()).unwrap();
        for number in 0..ENTRIES {
            let name = format!("folder/of some length/{number:08}.jpg");
            let new = ZipNew::new(name.as_bytes(), ZipMethod::Stored);
            writer.add(&new, &b"x"[..]).unwrap();
        }
        // 64 MiB in one entry, that a reader streams.
        let large = ZipNew::new(b"large", ZipMethod::Deflated);
        writer.add(&large, io::repeat(7).take(64 << 20)).unwrap();
        assert_eq!(writer.commit().unwrap().entries, ENTRIES as u64 + 1);
    });
    let mut place = None;
    check("open, walk and find", WALK, &mut || {
        let archive = ZipArchive::open(&path).unwrap();
        place = archive.find(b"large").unwrap();
    });
    let archive = ZipArchive::open(&path).unwrap();
    check("read 64 MiB", CODEC, &mut || {
        let mut reader = archive.read(place.unwrap(), &ZipLimits::NONE).unwrap();
        let mut buffer = [0; 4096];
        let mut done = 0;
        loop {
            let read = reader.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            done += read;
        }
        assert_eq!(done, 64 << 20);
    });
    check("check", WALK + ENTRIES * CHECKED, &mut || {
        archive.check(&ZipLimits::NONE).unwrap();
    });
    let mut writer = None;
    check("copy all, one renamed", 2 * WALK + 64 * KIB, &mut || {
        let mut copy = ZipWriter::create(&target, options()).unwrap();
        archive
            .walk(|entry| match entry.name() {
                b"large" => copy.copy_as(entry, b"renamed"),
                _ => copy.copy(entry),
            })
            .unwrap();
        writer = Some(copy);
    });
    writer.unwrap().commit().unwrap();
}
