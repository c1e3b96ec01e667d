use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use plimsoll_model::Symbol;
use proptest::prelude::*;

use super::*;

const TINY: &[u8] = include_bytes!("../../fixtures/elf/tiny.so");
const WANTED: [&str; 7] = [
    "get_plain",
    "set_get_plain",
    "plain_state",
    "hidden_state",
    "thread_state",
    "__tls_get_addr",
    "no_such_symbol",
];

fn symbol(address: u64, size: u64) -> Symbol {
    Symbol { address, size }
}

/// Figures of `readelf -lSsW tiny.so`.
#[test]
fn a_small_library() {
    let image = image_of(TINY, &WANTED).unwrap();
    let segments: Vec<_> = image
        .segments
        .iter()
        .map(|segment| (segment.offset, segment.address, segment.file_size))
        .collect();
    assert_eq!(segments, [(0, 0, 0x4bc), (0xe9c, 0x1e9c, 0x188)]);
    assert!(image.segments[0].executable && !image.segments[0].writable);
    assert!(!image.segments[1].executable && image.segments[1].writable);
    assert_eq!(image.tls_size, 4);
    assert_eq!(image.interpreter, None);
    assert!(image.has_symbol_table && !image.is_go);
    // Not there: the thread-local symbol, the undefined one, the one that no one knows.
    let expected = BTreeMap::from([
        ("get_plain".to_owned(), symbol(0x3e0, 53)),
        ("set_get_plain".to_owned(), symbol(0x420, 11)),
        ("plain_state".to_owned(), symbol(0x2010, 16)),
        ("hidden_state".to_owned(), symbol(0x2020, 4)),
    ]);
    assert_eq!(image.symbols, expected);
}

#[test]
fn without_wanted_names_no_symbol_is_looked_up() {
    assert_eq!(image_of(TINY, &[]).unwrap().symbols, BTreeMap::new());
    assert_eq!(image_of(TINY, &[""]).unwrap().symbols, BTreeMap::new());
}

#[test]
fn other_files_are_refused() {
    let with = |at: usize, byte: u8| {
        let mut bytes = TINY.to_vec();
        bytes[at] = byte;
        bytes
    };
    let check = |bytes: &[u8], what: &str| assert_eq!(image_of(bytes, &WANTED), None, "{what}");
    check(b"", "empty");
    check(b"#!/bin/sh\n", "script");
    check(&TINY[..63], "cut header");
    check(&TINY[..200], "cut program headers");
    check(&with(4, 1), "32 bits");
    check(&with(5, 2), "big endian");
    check(&with(16, 1), "object file");
    check(&with(16, 4), "core dump");
}

/// The strings and symbols of one table, laid out by hand.
#[derive(Default)]
struct MadeTable {
    strings: Vec<u8>,
    symbols: Vec<u8>,
}

const LOCAL_OBJECT: u8 = 0x01;
const GLOBAL_OBJECT: u8 = 0x11;

impl MadeTable {
    fn with(mut self, name_offset: u32, info: u8, section: u16, address: u64) -> MadeTable {
        self.symbols.extend(name_offset.to_le_bytes());
        self.symbols.extend([info, 0]);
        self.symbols.extend(section.to_le_bytes());
        self.symbols.extend(address.to_le_bytes());
        self.symbols.extend(8_u64.to_le_bytes());
        self
    }

    fn find(&self, wanted: &[&str]) -> Vec<(String, u64)> {
        let bytes = [&self.strings[..], &self.symbols].concat();
        let table = symbols::Table {
            strings_offset: 0,
            strings_size: self.strings.len() as u64,
            symbols_offset: self.strings.len() as u64,
            symbols_size: self.symbols.len() as u64,
        };
        symbols::find(&bytes[..], &[table], wanted)
            .into_iter()
            .map(|(name, symbol)| (name, symbol.address))
            .collect()
    }
}

fn made(strings: &[u8]) -> MadeTable {
    MadeTable {
        strings: strings.to_vec(),
        symbols: Vec::new(),
    }
}

#[test]
fn which_definition_counts() {
    let found = |table: MadeTable| table.find(&["arenas"]);
    let name = b"\0arenas\0";
    let at = |address: u64| vec![("arenas".to_owned(), address)];
    let local = |address| made(name).with(1, LOCAL_OBJECT, 5, address);
    assert_eq!(found(local(16)), at(16));
    assert_eq!(found(local(16).with(1, LOCAL_OBJECT, 5, 16)), at(16));
    // Two static variables of the same name: neither is the one that is meant.
    assert_eq!(found(local(16).with(1, LOCAL_OBJECT, 5, 32)), []);
    assert_eq!(found(local(16).with(1, GLOBAL_OBJECT, 5, 32)), at(32));
    let two = local(16).with(1, LOCAL_OBJECT, 5, 32);
    assert_eq!(found(two.with(1, GLOBAL_OBJECT, 5, 48)), at(48));
    let global = made(name).with(1, GLOBAL_OBJECT, 5, 48);
    assert_eq!(found(global.with(1, LOCAL_OBJECT, 5, 16)), at(48));
    let undefined_absolute_file = [(GLOBAL_OBJECT, 0), (GLOBAL_OBJECT, 0xfff1), (0x04, 5)];
    for (info, section) in undefined_absolute_file {
        assert_eq!(found(made(name).with(1, info, section, 16)), []);
    }
}

#[test]
fn a_name_may_be_the_tail_of_another() {
    let table =
        made(b"\0cfree\0free\0")
            .with(1, GLOBAL_OBJECT, 5, 16)
            .with(2, GLOBAL_OBJECT, 5, 32);
    let both = vec![("cfree".to_owned(), 16), ("free".to_owned(), 32)];
    assert_eq!(table.find(&["free", "cfree"]), both);
}

#[test]
fn a_name_across_a_chunk_is_found() {
    // Chunks are a little under 200 KiB: every alignment around the first border is tried.
    let border = 24 * 8192;
    for start in border - 12..border + 2 {
        let mut strings = vec![b'x'; start];
        strings[start - 1] = 0;
        strings.extend(b"wanted_name\0more\0");
        let offset = u32::try_from(start).unwrap();
        let table = made(&strings).with(offset, GLOBAL_OBJECT, 5, 16);
        assert_eq!(
            table.find(&["wanted_name"]),
            [("wanted_name".to_owned(), 16)],
            "{start}"
        );
    }
}

/// A program's own file, against where the loader put it.
#[test]
fn symbols_of_this_program_are_where_they_run() {
    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn plimsoll_probe_test_landmark() -> u32 {
        42
    }
    let name = "plimsoll_probe_test_landmark";
    let runs_at = plimsoll_probe_test_landmark as *const () as u64;
    let path = std::env::current_exe().unwrap();
    let image = read_image(&File::open(&path).unwrap(), &[name]).unwrap();
    assert!(image.has_symbol_table && image.interpreter.is_some());
    let inode = std::fs::metadata(&path).unwrap().ino();
    let maps = std::fs::read("/proc/self/maps").unwrap();
    let base = maps
        .split(|byte| *byte == b'\n')
        .filter_map(crate::maps::parse_map_line)
        .find(|line| line.file.is_some_and(|file| file.inode == inode))
        .map(|line| line.range.start - line.offset)
        .unwrap();
    let bias = base - (image.segments[0].address - image.segments[0].offset);
    assert_eq!(image.symbols[name].address + bias, runs_at);
    let code = image
        .segments
        .iter()
        .find(|segment| segment.executable)
        .unwrap();
    let address = image.symbols[name].address;
    assert!((code.address..code.address + code.memory_size).contains(&address));
}

proptest! {
    #[test]
    fn never_panics_on_a_damaged_file(
        damage in proptest::collection::vec((0..TINY.len(), any::<u8>()), 0..12),
        header in proptest::collection::vec((0_usize..64, any::<u8>()), 0..3),
        length in 0..=TINY.len(),
    ) {
        let mut bytes = TINY.to_vec();
        for (at, byte) in damage.into_iter().chain(header) {
            bytes[at] = byte;
        }
        let _ = image_of(&bytes[..], &WANTED);
        let _ = image_of(&bytes[..length], &WANTED);
    }

    /// Section headers lie at the end of the file; here each of their fields may be anything.
    #[test]
    fn never_panics_on_damaged_tables(entry in 0_usize..24, field in 0_usize..8, value: u64) {
        let mut bytes = TINY.to_vec();
        let sections = usize::try_from(u64_at(TINY, 40).unwrap()).unwrap();
        let at = sections + entry * 64 + field * 8;
        if let Some(place) = bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        let _ = image_of(&bytes[..], &WANTED);
    }

    #[test]
    fn never_panics_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = image_of(&bytes[..], &WANTED);
    }

    #[test]
    fn every_global_is_found(names in proptest::collection::btree_set("[a-z_]{1,12}", 1..20)) {
        let mut table = made(b"\0");
        for (index, name) in names.iter().enumerate() {
            let offset = u32::try_from(table.strings.len()).unwrap();
            table.strings.extend(name.as_bytes());
            table.strings.push(0);
            table = table.with(offset, GLOBAL_OBJECT, 1, index as u64);
        }
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let expected: Vec<(String, u64)> = names
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), index as u64))
            .collect();
        prop_assert_eq!(table.find(&wanted), expected);
    }
}
