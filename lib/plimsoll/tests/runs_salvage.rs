//! What is left of a run after any damage: every entry outside the gaps, none that was not written, and
//! counts that are so.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use folder::Folder;
use plimsoll::runs::{Run, RunOptions, RunWriter, Salvage, SalvageFigures, SortedEntries};
use plimsoll::{Error, ErrorKind};
use proptest::collection::vec;
use proptest::prelude::*;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys as of a bucket; the smallest frames, so that there are many and a second level of the index.
fn write(path: &Path, count: u32, salt: u32) -> Map {
    let entry = |n: u32| {
        let mixed = (n ^ salt).wrapping_mul(0x9e37_79b1);
        let key = format!("tenant-{:03}/album-{n:07}/{mixed:08x}.jpeg", n / 500);
        (key.into_bytes(), mixed.to_le_bytes().repeat(7))
    };
    let map: Map = (0..count).map(entry).collect();
    let options = RunOptions::default().frame_bytes(4 << 10);
    let mut writer = RunWriter::create(path, options).unwrap();
    for (key, value) in &map {
        writer.push(key, value).unwrap();
    }
    writer.commit().unwrap();
    map
}

/// A stretch in which keys may be missing: between two that are there, and how many are, if it is told.
type Missing = (Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>);

struct Left {
    entries: Map,
    missing: Vec<Missing>,
    figures: SalvageFigures,
}

fn salvage(path: &Path) -> Result<Left, Error> {
    let mut salvage = Salvage::open(path)?;
    let (mut entries, mut missing) = (Map::new(), Vec::new());
    let mut last: Option<Vec<u8>> = None;
    loop {
        let is_on = salvage.advance()?;
        let key = is_on.then(|| salvage.key().to_vec());
        if let Some(gap) = salvage.gap() {
            assert!(gap.first_byte <= gap.end_byte && gap.lost != Some(0));
            missing.push((last.take(), key.clone(), gap.lost));
        }
        let Some(key) = key else { break };
        last = Some(key.clone());
        assert!(entries.insert(key, salvage.value().to_vec()).is_none());
    }
    assert!(!salvage.advance()?);
    Ok(Left {
        entries,
        missing,
        figures: salvage.figures(),
    })
}

/// Nothing is there that was not written; what is not there is told; counts are so.
fn check(left: &Left, map: &Map) {
    let is_within = |key: &[u8], (after, before, _): &Missing| {
        after.as_deref().is_none_or(|after| after < key)
            && before.as_deref().is_none_or(|before| key < before)
    };
    for (key, value) in &left.entries {
        assert_eq!(map.get(key), Some(value));
    }
    for key in map.keys().filter(|key| !left.entries.contains_key(*key)) {
        let told = left
            .missing
            .iter()
            .filter(|gap| is_within(key, gap))
            .count();
        assert_eq!(told, 1, "{} is missing", key.escape_ascii());
    }
    for gap in &left.missing {
        let lost = map.keys().filter(|key| is_within(key, gap)).count() as u64;
        assert!(gap.2.is_none_or(|told| told == lost), "{gap:?}: {lost}");
    }
    assert_eq!(left.figures.entries, left.entries.len() as u64);
    assert_eq!(left.figures.gaps, left.missing.len() as u64);
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Zeros(usize, usize),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Append(Vec<u8>),
    /// A copy of another stretch of the same file.
    Copy(usize, usize, usize),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let noise = || vec(any::<u8>(), 1..3000);
    prop_oneof![
        4 => (any::<usize>(), 1..=255_u8).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        2 => (any::<usize>(), 1..9000_usize).prop_map(|(at, length)| Damage::Zeros(at, length)),
        1 => any::<usize>().prop_map(Damage::Cut),
        1 => (any::<usize>(), noise()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => noise().prop_map(Damage::Append),
        1 => (any::<usize>(), any::<usize>(), 1..9000_usize)
            .prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
    ]
}

fn damage(bytes: &mut Vec<u8>, what: &Damage) {
    let all = bytes.len().max(1);
    match what {
        Damage::Flip(at, bits) => {
            if let Some(byte) = bytes.get_mut(at % all) {
                *byte ^= bits;
            }
        }
        Damage::Zeros(at, length) => bytes
            .iter_mut()
            .skip(at % all)
            .take(*length)
            .for_each(|byte| *byte = 0),
        Damage::Cut(at) => bytes.truncate(at % all),
        Damage::Insert(at, more) => {
            let at = at % all;
            bytes.splice(
                at.min(bytes.len())..at.min(bytes.len()),
                more.iter().copied(),
            );
        }
        Damage::Append(more) => bytes.extend(more),
        Damage::Copy(from, to, length) => {
            let taken: Vec<u8> = bytes
                .iter()
                .skip(from % all)
                .take(*length)
                .copied()
                .collect();
            for (byte, new) in bytes.iter_mut().skip(to % all).zip(taken) {
                *byte = new;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_happened_to_it_what_is_left_is_true(
        count in prop_oneof![0..3_u32, 1000..4000_u32],
        damages in vec(any_damage(), 0..4),
    ) {
        let folder = Folder::new("salvage");
        let path = folder.path("a.run");
        let map = write(&path, count, 0);
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.clone();
        damages.iter().for_each(|what| damage(&mut bytes, what));
        fs::write(&path, &bytes).unwrap();
        let left = salvage(&path).unwrap();
        check(&left, &map);
        if bytes == whole {
            prop_assert_eq!(&left.entries, &map);
            prop_assert!(left.missing.is_empty() && left.figures.bad_bytes == 0);
        }
        // A flip costs no more than the frame that it is in.
        let flips = damages.iter().filter(|what| matches!(what, Damage::Flip(..))).count();
        if flips == damages.len() {
            let lost = map.len() - left.entries.len();
            prop_assert!(lost <= flips * 130, "{lost} entries by {flips} flips");
        }
    }
}

/// A bit is flipped at every place: the entries of one frame are lost at most, and how many is told.
#[test]
fn one_bit_costs_one_frame() {
    let folder = Folder::new("salvage-bit");
    let path = folder.path("a.run");
    let map = write(&path, 1200, 0);
    let bytes = fs::read(&path).unwrap();
    let mut frames_lost = 0;
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        let left = match salvage(&path) {
            Ok(left) => left,
            // The version may be another one, but its checksum is not.
            Err(error) => panic!("byte {at}: {error}"),
        };
        check(&left, &map);
        let lost = map.len() - left.entries.len();
        assert!(lost <= 130 && left.missing.len() <= 1, "byte {at}: {lost}");
        frames_lost += usize::from(lost > 0);
        // Only where the index or the end is hit as well, nobody can tell how many.
        if lost > 0 {
            assert_eq!(left.missing[0].2, Some(lost as u64), "byte {at}");
        }
    }
    assert!(frames_lost > 500, "{frames_lost}");
}

#[test]
fn frames_of_another_run_are_told() {
    let folder = Folder::new("salvage-mixed");
    let (one, two) = (folder.path("one.run"), folder.path("two.run"));
    write(&one, 200, 0);
    let mut mixed = fs::read(&one).unwrap();
    let first = |bytes: &[u8]| 28 + u32::from_le_bytes(bytes[20..24].try_into().unwrap()) as usize;
    // A first frame that fits in place of this one's: every frame is whole, and one is foreign.
    let second = (1..500)
        .map(|salt| {
            write(&two, 200, salt);
            fs::read(&two).unwrap()
        })
        .find(|second| first(second) == first(&mixed))
        .unwrap();
    let end = first(&mixed);
    assert_ne!(mixed[..end], second[..end]);
    mixed[..end].copy_from_slice(&second[..end]);
    fs::write(&one, mixed).unwrap();
    let error = salvage(&one).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(error.to_string().contains("another run"), "{error}");
    assert!(Run::open(&two).is_ok());
    // A later version.
    let mut later = second;
    later[8] = 9;
    let sum = crc32fast::hash(&later[..12]);
    later[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(&two, later).unwrap();
    let error = Salvage::open(&two).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}
