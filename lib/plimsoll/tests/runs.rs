//! Runs, merges and sorts against ordered maps, and files that were damaged in every way.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use folder::Folder;
use plimsoll::runs::{
    KEY_BYTES_MAX, Merge, Run, RunOptions, RunWriter, SortOptions, SortedEntries, Sorter,
    VALUE_BYTES_MAX,
};
use plimsoll::stream::TempSpace;
use plimsoll::{Error, ErrorKind};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The smallest frames: many of them, and several levels of the index.
fn small() -> RunOptions {
    RunOptions::default().frame_bytes(4 << 10)
}

fn write(path: &Path, map: &Map) {
    let mut writer = RunWriter::create(path, small()).unwrap();
    for (key, value) in map {
        writer.push(key, value).unwrap();
    }
    let figures = writer.commit().unwrap();
    assert_eq!(figures.entries, map.len() as u64);
}

fn read(mut cursor: impl SortedEntries) -> Result<Pairs, Error> {
    let mut entries = Vec::new();
    while cursor.advance()? {
        entries.push((cursor.key().to_vec(), cursor.value().to_vec()));
    }
    assert!(!cursor.advance()?, "once at its end, it stays there");
    Ok(entries)
}

fn entries(map: &Map) -> Pairs {
    map.clone().into_iter().collect()
}

/// Keys as of a bucket, with values as of a listing.
fn bucket(count: u32) -> Map {
    let entry = |n: u32| {
        let mixed = n.wrapping_mul(0x9e37_79b1);
        let key = format!("tenant-{:03}/album-{:05}/{mixed:08x}.jpeg", n / 500, n / 50);
        (key.into_bytes(), mixed.to_le_bytes().repeat(7))
    };
    (0..count).map(entry).collect()
}

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..6),
        vec(prop_oneof![Just(b'a'), Just(b'b')], 0..12),
        (0..4_usize, vec(any::<u8>(), 0..4)).prop_map(|(n, tail)| {
            let mut key = vec![b'k'; n * 700];
            key.extend(tail);
            key
        }),
    ]
}

fn any_map() -> impl Strategy<Value = Map> {
    btree_map(any_key(), vec(any::<u8>(), 0..300), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_is_the_map_that_was_written(map in any_map(), asked in vec(any_key(), 1..20)) {
        let folder = Folder::new("runs-map");
        let path = folder.path("run");
        write(&path, &map);
        let run = Run::open(&path).unwrap();
        prop_assert_eq!(read(run.reader()).unwrap(), entries(&map));
        let mut value = Vec::new();
        for key in asked.iter().chain(map.keys()) {
            let found = run.get(key, &mut value).unwrap();
            prop_assert_eq!(found.then_some(&value), map.get(key));
            let from: Vec<_> = map.range(key.clone()..).map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(read(run.reader_from(key).unwrap()).unwrap(), from);
        }
    }

    #[test]
    fn a_merge_is_the_maps_laid_over_each_other(maps in vec(any_map(), 0..6)) {
        let folder = Folder::new("runs-merge");
        let mut expected = Map::new();
        let mut readers = Vec::new();
        for (number, map) in maps.iter().enumerate() {
            let path = folder.path(&number.to_string());
            write(&path, map);
            readers.push(Run::open(path).unwrap().reader());
            expected.extend(map.clone());
        }
        let mut merge = Merge::new(readers);
        let mut found = Vec::new();
        while merge.advance().unwrap() {
            let newest = maps.iter().rposition(|map| map.contains_key(merge.key()));
            prop_assert_eq!(Some(merge.source()), newest);
            found.push((merge.key().to_vec(), merge.value().to_vec()));
        }
        prop_assert_eq!(found, entries(&expected));
    }

    #[test]
    fn a_sort_in_memory_is_the_map(pushed in vec((any_key(), vec(any::<u8>(), 0..20)), 0..200)) {
        let space = TempSpace::new(std::env::temp_dir(), 0).unwrap();
        let mut sorter = Sorter::new(SortOptions { memory_bytes: 1 << 20, space }).unwrap();
        for (key, value) in &pushed {
            sorter.push(key, value).unwrap();
        }
        let map: Map = pushed.into_iter().collect();
        prop_assert_eq!(read(sorter.finish().unwrap()).unwrap(), entries(&map));
    }
}

#[test]
fn a_sort_that_spills_is_the_map_and_removes_its_files() {
    let folder = Folder::new("runs-sort");
    // The second time, more runs than memory has room to read at once.
    for (count, has_merges) in [(20_000_u32, false), (300_000, true)] {
        let space = TempSpace::new(folder.root(), 64 << 20).unwrap();
        let options = SortOptions {
            memory_bytes: 1 << 20,
            space: space.clone(),
        };
        let mut sorter = Sorter::new(options).unwrap();
        let mut map = Map::new();
        for n in 0..count {
            // Every tenth key comes again, much later, with another value.
            let id = if n % 10 == 9 { n / 10 } else { n };
            let key = format!("{:08x}-{:060}", id.wrapping_mul(0x9e37_79b1), id).into_bytes();
            let value = n.to_le_bytes().to_vec();
            sorter.push(&key, &value).unwrap();
            map.insert(key, value);
        }
        let sorted = sorter.finish().unwrap();
        let figures = sorted.figures();
        println!("{figures:?}");
        assert_eq!(figures.entries, u64::from(count));
        assert!(figures.runs > 1);
        assert_eq!(figures.merges > 0, has_merges);
        assert!(space.figures().held_bytes > 0);
        assert!(folder.names().is_empty(), "temporary runs have no name");
        assert!(read(sorted).unwrap() == entries(&map));
        assert_eq!(space.figures().held_bytes, 0);
    }
}

#[test]
fn a_sort_without_space_says_so() {
    let folder = Folder::new("runs-space");
    let space = TempSpace::new(folder.root(), 100_000).unwrap();
    let options = SortOptions {
        memory_bytes: 1 << 20,
        space,
    };
    let mut sorter = Sorter::new(options).unwrap();
    let error = (0..100_000_u32)
        .try_for_each(|n| sorter.push(&n.wrapping_mul(0x9e37_79b1).to_le_bytes().repeat(8), &[]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("raise the limit"), "{error}");
}

#[test]
fn ranges_are_even() {
    let folder = Folder::new("runs-split");
    let map = bucket(100_000);
    let path = folder.path("run");
    write(&path, &map);
    let run = Run::open(&path).unwrap();
    let figures = run.figures();
    assert!(figures.levels >= 2, "{figures:?}");
    // At most so many entries are in a frame.
    let frame = 2 * (100_000 / figures.frames as usize);
    for parts in [1, 2, 3, 7, 16] {
        let keys = run.split_keys(parts).unwrap();
        assert_eq!(keys.len(), parts - 1);
        assert!(keys.is_sorted_by(|a, b| a < b));
        let mut from = Vec::new();
        for key in keys {
            let count = map.range(from..key.clone()).count();
            let even = map.len() / parts;
            assert!(count.abs_diff(even) <= frame, "{count} of {even}");
            from = key;
        }
    }
    // More ranges than frames: fewer come, none of them empty.
    let keys = run.split_keys(10_000).unwrap();
    assert_eq!(keys.len() as u64, figures.frames - 1);
    write(&path, &Map::new());
    assert!(Run::open(&path).unwrap().split_keys(4).unwrap().is_empty());
}

/// Every frame comes with its first key and the number of entries before it, at any number of levels.
#[test]
fn frames_are_told_by_their_first_keys() {
    let folder = Folder::new("runs-starts");
    let path = folder.path("run");
    for count in [0, 1, 10, 3_000, 100_000] {
        let map = bucket(count);
        write(&path, &map);
        let run = Run::open(&path).unwrap();
        let figures = run.figures();
        let keys: Vec<&Vec<u8>> = map.keys().collect();
        let mut starts = run.frame_starts();
        let mut ordinals = Vec::new();
        while starts.advance().unwrap() {
            let ordinal = starts.ordinal();
            assert_eq!(starts.key(), keys[ordinal as usize]);
            ordinals.push(ordinal);
        }
        assert!(
            !starts.advance().unwrap(),
            "once at its end, it stays there"
        );
        assert_eq!(ordinals.len() as u64, figures.frames, "{figures:?}");
        assert!(ordinals.is_sorted_by(|a, b| a < b));
        assert_eq!(ordinals.first().copied(), (count > 0).then_some(0));
        if count == 100_000 {
            assert!(figures.levels >= 2, "{figures:?}");
        }
    }
}

/// Damage in the index is told, and never comes out as a place.
#[test]
fn damage_in_the_index_is_told() {
    let folder = Folder::new("runs-starts-damage");
    let path = folder.path("run");
    write(&path, &bucket(3_000));
    let whole = fs::read(&path).unwrap();
    let mut starts = Run::open(&path).unwrap().frame_starts();
    let mut expected = Vec::new();
    while starts.advance().unwrap() {
        expected.push((starts.key().to_vec(), starts.ordinal()));
    }
    let mut told = 0;
    for at in (0..whole.len()).step_by(13) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let Ok(run) = Run::open(&path) else { continue };
        let mut starts = run.frame_starts();
        let mut given = 0;
        let end = loop {
            match starts.advance() {
                Ok(true) => {
                    assert_eq!(
                        (starts.key(), starts.ordinal()),
                        (&*expected[given].0, expected[given].1)
                    );
                    given += 1;
                }
                other => break other,
            }
        };
        match end {
            Ok(_) => assert_eq!(given, expected.len()),
            Err(error) => {
                told += 1;
                assert_eq!(error.kind(), ErrorKind::Malformed);
                assert!(
                    !starts.advance().unwrap_or(false),
                    "no frame after an error"
                );
            }
        }
    }
    assert!(told > 0, "none of the bytes was one of the index");
}

#[test]
fn what_can_not_be_written_is_told_and_left_out() {
    let folder = Folder::new("runs-refused");
    let path = folder.path("run");
    let check = |options: RunOptions, expected: &str| {
        let error = RunWriter::create(&path, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.to_string(), expected);
    };
    check(
        small().frame_bytes(4095),
        "write a run in frames of 4095 bytes: they have 4096 to 1048576",
    );
    let mut writer = RunWriter::create(&path, small().mode(0o600)).unwrap();
    writer.push(b"b", b"1").unwrap();
    for (key, value, expected) in [
        (&b"b"[..], &b""[..], "it is not above the one before, \"b\""),
        (b"a\n", b"", "write the key \"a\\n\""),
        (&[b'c'; KEY_BYTES_MAX + 1], b"", "a key of 4097"),
        (b"c", &[0; VALUE_BYTES_MAX + 1], "a value of 65537"),
    ] {
        let error = writer.push(key, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
    }
    writer
        .push(&[b'c'; KEY_BYTES_MAX], &[0; VALUE_BYTES_MAX])
        .unwrap();
    writer.commit().unwrap();
    let found = read(Run::open(&path).unwrap().reader()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].1.len(), VALUE_BYTES_MAX);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn what_is_not_committed_leaves_nothing() {
    let folder = Folder::new("runs-dropped");
    let path = folder.path("run");
    write(&path, &bucket(10));
    let before = fs::read(&path).unwrap();
    let mut writer = RunWriter::create(&path, small()).unwrap();
    writer.push(b"a", b"b").unwrap();
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(folder.names(), ["run"]);
}

/// Opens and reads; the error, or what came out.
fn try_read(path: &Path) -> Result<Pairs, Error> {
    read(Run::open(path)?.reader())
}

#[test]
fn every_changed_byte_is_found() {
    let folder = Folder::new("runs-damage");
    let path = folder.path("run");
    let map = bucket(300);
    write(&path, &map);
    let whole = fs::read(&path).unwrap();
    assert!(Run::open(&path).unwrap().figures().frames >= 3);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for at in 0..whole.len() {
        for mask in [1 << (at % 8), 0xff] {
            let damaged = [whole[at] ^ mask];
            file.write_all_at(&damaged, at as u64).unwrap();
            let error = try_read(&path).expect_err("damage is told");
            assert_eq!(error.kind(), ErrorKind::Malformed, "byte {at}: {error}");
            let text = error.to_string();
            let told: usize = text
                .split("damaged at byte ")
                .nth(1)
                .and_then(|rest| rest.split(':').next()?.parse().ok())
                .expect("the message says where");
            // The frame or the end that it is in begins there.
            assert!(told <= at && at < told + (8 << 10), "byte {at}: {text}");
            assert!(text.contains("make it anew"), "{text}");
        }
        file.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    for length in (0..whole.len()).rev() {
        file.set_len(length as u64).unwrap();
        let error = try_read(&path).expect_err("a run that is cut off is told");
        assert_eq!(error.kind(), ErrorKind::Malformed, "{length}: {error}");
    }
    fs::write(&path, [&whole[..], b"\0"].concat()).unwrap();
    assert_eq!(try_read(&path).unwrap_err().kind(), ErrorKind::Malformed);
    fs::write(&path, &whole).unwrap();
    assert_eq!(try_read(&path).unwrap(), entries(&map));
}

#[test]
fn damage_never_comes_out_as_an_entry() {
    let folder = Folder::new("runs-entries");
    let path = folder.path("run");
    let map = bucket(600);
    write(&path, &map);
    let whole = fs::read(&path).unwrap();
    let expected = entries(&map);
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let Ok(run) = Run::open(&path) else { continue };
        let mut reader = run.reader();
        let mut given = 0;
        while let Ok(true) = reader.advance() {
            assert_eq!(
                (reader.key(), reader.value()),
                (&*expected[given].0, &*expected[given].1)
            );
            given += 1;
        }
        assert!(reader.advance().is_err(), "after an error, again one");
        // A look-up gives the right value, or tells the damage.
        let (key, value) = &expected[at % expected.len()];
        let mut found = Vec::new();
        match run.get(key, &mut found) {
            Ok(is_there) => assert!(is_there && found == *value),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Malformed),
        }
    }
}

#[test]
fn frames_of_another_run_are_found() {
    let folder = Folder::new("runs-foreign");
    let (one, two) = (folder.path("one"), folder.path("two"));
    // The same keys with other values, of the same length: every frame is where the other's is.
    let make = |value: u8| -> Map {
        // Noise, so that no frame is shorter than its entries.
        let noise = |n: u64| {
            let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16).to_le_bytes()
        };
        let entry = |n: u32| {
            let value: Vec<u8> = (0..5_u64)
                .flat_map(|at| noise(u64::from(n) << 8 | at))
                .filter(|byte| *byte != 0)
                .map(|byte| byte ^ value)
                .collect();
            (n.to_be_bytes().to_vec(), value)
        };
        (0..400).map(entry).collect()
    };
    write(&one, &make(0));
    write(&two, &make(0x55));
    let (a, b) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let stored = |bytes: &[u8]| u32::from_le_bytes(bytes[20..24].try_into().unwrap()) as usize;
    assert_eq!(
        (a.len(), stored(&a)),
        (b.len(), stored(&b)),
        "or this test says nothing"
    );
    let end = 16 + 12 + stored(&a);
    let mixed = [&b[..end], &a[end..]].concat();
    fs::write(&one, mixed).unwrap();
    let error = try_read(&one).unwrap_err();
    assert!(error.to_string().contains("out of another run"), "{error}");
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = Folder::new("runs-no");
    let path = folder.path("run");
    let check = |bytes: &[u8], kind: ErrorKind, expected: &str| {
        fs::write(&path, bytes).unwrap();
        let error = Run::open(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(b"", ErrorKind::Malformed, "it ends in the middle");
    check(&[7; 500], ErrorKind::Malformed, "this is something else");
    // A header of version 2 that holds, by the checksum of every ZIP tool.
    let mut later = b"plimruns\x02\0\0\0".to_vec();
    later.extend(0xf32f_5ff2_u32.to_le_bytes());
    later.extend([0; 100]);
    check(
        &later,
        ErrorKind::Unsupported,
        "version 2: only version 1 is known",
    );
    let missing = Run::open(folder.path("missing")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
}

#[test]
fn version_1_is_read_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/run-1.bin");
    let run = Run::open(&path).unwrap();
    assert_eq!(read(run.reader()).unwrap(), entries(&bucket(300)));
}
