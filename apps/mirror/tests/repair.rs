//! Damaged states made whole: whatever happens to any file, the repaired state says nothing of the destination
//! that is not so, forgets nothing outside the stretches that it tells, and one run makes both sides equal.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use folder::Folder;
use plimsoll::runs::SortedEntries;
use plimsoll_mirror::record::{Etag, Held, Meta, Outcome, Record};
use plimsoll_mirror::scan::{Listing, scan};
use plimsoll_mirror::state::condition::KeyGap;
use plimsoll_mirror::state::journal::Entry;
use plimsoll_mirror::state::repair::{Repaired, repair};
use plimsoll_mirror::state::{Lock, Pair, State};
use proptest::prelude::*;

type Side = BTreeMap<Vec<u8>, u32>;

fn meta(version: u32) -> Meta {
    Meta {
        size_bytes: u64::from(version),
        modified: i64::from(version),
        etag: Etag::Md5((u128::from(version) * 0x9e37_79b9_7f4a_7c15_f39c).to_be_bytes()),
    }
}

fn pair() -> Pair {
    Pair {
        source: "s3://b".to_owned(),
        destination: "ftp://there/".to_owned(),
    }
}

struct List(std::vec::IntoIter<(Vec<u8>, u32)>, (Vec<u8>, Meta));

impl Listing for List {
    fn advance(&mut self) -> Result<bool> {
        let Some((key, version)) = self.0.next() else {
            return Ok(false);
        };
        self.1 = (key, meta(version));
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        &self.1.0
    }

    fn meta(&self) -> &Meta {
        &self.1.1
    }
}

struct World {
    folder: Folder,
    source: Side,
    destination: Side,
}

fn key(n: u32) -> Vec<u8> {
    let noise = n.wrapping_mul(0x9e37_79b1);
    format!("folder-{:02}/{n:06}-{noise:08x}", n / 500).into_bytes()
}

impl World {
    /// 4000 keys in the base, of which 30 have changed, 20 are gone and 30 are new in the delta; half of that
    /// is done.
    fn new() -> World {
        let mut world = World {
            folder: Folder::new("repair"),
            source: (0..4000).map(|n| (key(n), n + 1)).collect(),
            destination: Side::new(),
        };
        world.run(usize::MAX);
        world.run(usize::MAX);
        for n in 0..30 {
            world.source.insert(key(100 * n + 7), 90_000 + n);
            world.source.insert(key(5000 + n), 80_000 + n);
        }
        for n in 0..20 {
            world.source.remove(&key(150 * n + 11));
        }
        world.run(40);
        world
    }

    fn state(&self) -> PathBuf {
        self.folder.path("state")
    }

    /// A run that ends after so much work; the keys that were uploaded.
    fn run(&mut self, mut left: usize) -> BTreeSet<Vec<u8>> {
        let lock = Lock::take(&self.state()).unwrap();
        let state = State::open(&self.state(), &pair(), &lock).unwrap();
        let mut next = state.next().unwrap();
        let all: Vec<_> = self.source.clone().into_iter().collect();
        let mut list = List(all.into_iter(), (Vec::new(), meta(0)));
        scan(state.known().unwrap(), &mut list, &mut next).unwrap();
        let state = state.reopen(next.publish(1).unwrap()).unwrap();
        let mut journal = state.journal().unwrap();
        let mut uploaded = BTreeSet::new();
        for is_upload in [true, false] {
            let mark = match is_upload {
                true => Entry::UploadsBegun(u64::MAX >> 1),
                false => Entry::DeletionsBegun(u64::MAX >> 1),
            };
            journal.append(mark).unwrap();
            journal.sync().unwrap();
            let mut delta = state.delta().reader();
            while delta.advance().unwrap() {
                let outcome = match Record::decode(delta.value()).unwrap() {
                    Some(Record::New { meta, .. }) if is_upload => {
                        let version = meta.size_bytes as u32;
                        self.destination.insert(delta.key().to_vec(), version);
                        uploaded.insert(delta.key().to_vec());
                        Outcome::Uploaded
                    }
                    Some(Record::Deleted { .. }) if !is_upload => {
                        self.destination.remove(delta.key());
                        Outcome::Deleted
                    }
                    _ => continue,
                };
                if left == 0 {
                    return uploaded;
                }
                left -= 1;
                let entry = Entry::Result(delta.ordinal() - 1, outcome);
                journal.append(entry).unwrap();
                if left.is_multiple_of(7) {
                    journal.sync().unwrap();
                }
            }
        }
        journal.sync().unwrap();
        uploaded
    }

    fn repair(&self) -> Result<Option<Repaired>> {
        let lock = Lock::take(&self.state()).unwrap();
        repair(&self.state(), Some(pair()), &lock)
    }

    fn known(&self) -> BTreeMap<Vec<u8>, Record> {
        let state = State::look(&self.state()).unwrap();
        let mut known = state.known().unwrap();
        let mut records = BTreeMap::new();
        while known.advance().unwrap() {
            let key = known.key().to_vec();
            records.extend(known.take_record().map(|record| (key, record)));
        }
        records
    }

    /// The state claims nothing that is not so.
    fn check_truth(&self) {
        for (key, record) in self.known() {
            let held = match &record {
                Record::Synced(meta) => Held::Version(meta.clone()),
                Record::New { held, .. } | Record::Deleted { held, .. } => held.clone(),
            };
            let there = self.destination.get(&key).map(|version| meta(*version));
            match held {
                Held::Nothing => assert_eq!(there, None, "{record:?}"),
                Held::Version(version) => assert_eq!(there, Some(version), "{record:?}"),
                Held::Unknown => {}
            }
        }
    }

    /// Repairs, and runs; the keys that were uploaded. Files that nobody knows any more are all in
    /// stretches that were told.
    fn repair_and_run(&mut self) -> BTreeSet<Vec<u8>> {
        let repaired = self.repair().unwrap();
        self.check_truth();
        let again = self.repair().unwrap();
        assert!(again.is_none(), "a repaired state is whole: {again:?}");
        let uploaded = self.run(usize::MAX);
        let lost = repaired.map_or(Vec::new(), |repaired| {
            assert!(repaired.lost_stretches <= repaired.lost.len() as u64);
            repaired.lost
        });
        for (key, version) in &self.source {
            assert_eq!(self.destination.get(key), Some(version));
        }
        for key in self.destination.keys() {
            let is_told = lost.iter().any(|gap| is_within(key, gap));
            assert!(
                self.source.contains_key(key) || is_told,
                "{} is at the destination, and nobody says so",
                key.escape_ascii()
            );
        }
        assert!(self.run(usize::MAX).is_empty());
        uploaded
    }

    /// Repairs and runs a state that does not know what was begun.
    fn repair_and_do_all(&mut self) {
        let told = self.repair().unwrap().map(|repaired| repaired.lost);
        self.run(usize::MAX);
        for (key, version) in &self.source {
            assert_eq!(self.destination.get(key), Some(version));
        }
        for key in self.destination.keys() {
            let is_told = told.iter().flatten().any(|gap| is_within(key, gap));
            assert!(self.source.contains_key(key) || is_told);
        }
    }

    /// The names of the files now: base, delta, journal, MANIFEST.
    fn files(&self) -> [PathBuf; 4] {
        let state = State::look(&self.state()).unwrap();
        let manifest = state.manifest();
        [
            &*manifest.base.name,
            &manifest.delta.name,
            &manifest.journal,
            "MANIFEST",
        ]
        .map(|name| self.state().join(name))
    }

    fn pending(&self) -> BTreeSet<Vec<u8>> {
        let known = self.known();
        let is_new = |record: &Record| matches!(record, Record::New { .. });
        known
            .into_iter()
            .filter_map(|(key, record)| is_new(&record).then_some(key))
            .collect()
    }
}

fn is_within(key: &[u8], gap: &KeyGap) -> bool {
    gap.after.as_deref().is_none_or(|after| after < key)
        && gap.before.as_deref().is_none_or(|before| key < before)
}

#[test]
fn every_file_damaged_in_every_way() {
    // Which file, what is done to it, and how many keys that were known may be uploaded again.
    type Act = fn(&mut Vec<u8>);
    let flip_early: Act = |bytes| bytes[40] ^= 1;
    let flip_middle: Act = |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let flip_last: Act = |bytes| *bytes.last_mut().unwrap() ^= 1;
    let flip_header: Act = |bytes| bytes[9] ^= 1;
    let half: Act = |bytes| bytes.truncate(bytes.len() / 2);
    let tail: Act = |bytes| bytes.truncate(bytes.len() - 3);
    let empty: Act = Vec::clear;
    let longer: Act = |bytes| bytes.extend([7; 300]);
    let foreign: Act = |bytes| *bytes = b"somebody else's".repeat(40);
    // One frame of the base has some 300 keys.
    let table: [(usize, &str, Act, usize); 27] = [
        (0, "flip early", flip_early, 500),
        (0, "flip in the middle", flip_middle, 500),
        (0, "flip last", flip_last, 0),
        (0, "flip in the header", flip_header, 0),
        (0, "half", half, 2600),
        (0, "tail", tail, 0),
        (0, "longer", longer, 0),
        (0, "empty", empty, 4030),
        (0, "foreign", foreign, 4030),
        (1, "flip early", flip_early, 4030),
        (1, "flip in the middle", flip_middle, 4030),
        (1, "flip last", flip_last, 0),
        (1, "flip in the header", flip_header, 0),
        (1, "half", half, 4030),
        (1, "tail", tail, 0),
        (1, "longer", longer, 0),
        (1, "empty", empty, 4030),
        (2, "flip early", flip_early, 60),
        (2, "flip in the middle", flip_middle, 60),
        (2, "flip last", flip_last, 60),
        (2, "flip in the header", flip_header, 60),
        (2, "half", half, 60),
        (2, "foreign", foreign, 60),
        (3, "flip", flip_middle, 0),
        (3, "half", half, 0),
        (3, "empty", empty, 0),
        (3, "foreign", foreign, 0),
    ];
    for (file, name, act, again_max) in table {
        let mut world = World::new();
        let path = &world.files()[file];
        let pending = world.pending();
        let mut bytes = fs::read(path).unwrap();
        act(&mut bytes);
        fs::write(path, bytes).unwrap();
        let uploaded = world.repair_and_run();
        let again = uploaded.difference(&pending).count();
        assert!(again <= again_max, "{name} of {}: {again}", path.display());
        let kept = fs::read_dir(world.state()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_str().unwrap().starts_with("damaged-")
        });
        assert_eq!(kept.count(), 1, "{name}: the old files are kept");
    }
}

#[test]
fn files_that_are_missing_or_swapped() {
    for file in 0..4 {
        let mut world = World::new();
        let pending = world.pending();
        fs::remove_file(&world.files()[file]).unwrap();
        let uploaded = world.repair_and_run();
        let again = uploaded.difference(&pending).count();
        // The journal and the manifest cost nothing of the base.
        assert!(again <= [4030, 4030, 60, 0][file], "{file}: {again}");
    }
    // Base and delta in each other's place: nothing is lost.
    let mut world = World::new();
    let [base, delta, ..] = world.files();
    let pending = world.pending();
    let other = world.folder.path("other");
    fs::rename(&base, &other).unwrap();
    fs::rename(&delta, &base).unwrap();
    fs::rename(&other, &delta).unwrap();
    assert_eq!(world.repair_and_run(), pending);
    // Both manifests: the files tell, but for the pair, which is given.
    let mut world = World::new();
    let pending = world.pending();
    fs::remove_file(world.state().join("MANIFEST")).unwrap();
    fs::remove_file(world.state().join("MANIFEST.copy")).unwrap();
    let lock = Lock::take(&world.state()).unwrap();
    let error = repair(&world.state(), None, &lock).unwrap_err().to_string();
    assert!(error.contains("--pair-source"), "{error}");
    drop(lock);
    assert_eq!(world.repair_and_run(), pending);
    // A later version is left alone.
    let world = World::new();
    let manifest = &world.files()[3];
    let text = fs::read_to_string(manifest).unwrap();
    let later = text.replace("\"version\": 2", "\"version\": 7");
    fs::write(manifest, &later).unwrap();
    let error = world.repair().map(drop).unwrap_err().to_string();
    assert!(error.contains("a later mirror wrote it"), "{error}");
    assert_eq!(fs::read_to_string(manifest).unwrap(), later);
}

/// Bytes of a journal before the entries of its first frame: its header, a length and a CRC-32.
const JOURNAL_HEAD: usize = 28 + 8;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn random_bytes_anywhere(
        hits in proptest::collection::vec((0..4_usize, any::<usize>(), 1..=255_u8), 1..5),
        cut in proptest::option::weighted(0.2, (0..3_usize, any::<usize>())),
    ) {
        let mut world = World::new();
        let files = world.files();
        let journal = fs::read(&files[2]).unwrap();
        let marked = JOURNAL_HEAD + u32::from_le_bytes(*journal[28..].first_chunk().unwrap()) as usize;
        let mut is_as_never_begun = false;
        for (file, at, bits) in &hits {
            let mut bytes = fs::read(&files[*file]).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= bits;
            fs::write(&files[*file], bytes).unwrap();
        }
        if let Some((file, at)) = cut {
            let mut bytes = fs::read(&files[file]).unwrap();
            bytes.truncate(at % bytes.len());
            is_as_never_begun = file == 2
                && (bytes.len() < marked || bytes[..marked] != journal[..marked]);
            fs::write(&files[file], bytes).unwrap();
        }
        match is_as_never_begun {
            false => drop(world.repair_and_run()),
            // A journal without the mark that work may have begun, which is synced before it does, is what a crash
            // before leaves: nothing tells that there was more. All of it is done again.
            true => world.repair_and_do_all(),
        }
    }
}

/// A repair that is killed at any instant leaves what can be repaired.
#[test]
fn a_killed_repair_is_done_again() {
    let mut killed = 0;
    for round in 0..16 {
        let mut world = World::new();
        let base = &world.files()[0];
        let mut bytes = fs::read(base).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(base, bytes).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mirror"))
            .args(["check", "--repair", "--state"])
            .arg(world.state())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(1500 * round));
        child.kill().unwrap();
        killed += usize::from(child.wait().unwrap().code().is_none());
        // What was lost is told by the repair that came to its end, or was by the one before.
        let _ = world.repair().unwrap();
        world.check_truth();
        world.run(usize::MAX);
        for (key, version) in &world.source {
            assert_eq!(world.destination.get(key), Some(version));
        }
        assert!(world.state().join("damaged-000003").is_dir() || killed > 0);
    }
    assert!(killed > 0, "no repair was killed");
}

#[test]
fn check_says_of_each_file_what_is_wrong() {
    let world = World::new();
    let check = |more: &[&str], path: PathBuf| {
        let output = Command::new(env!("CARGO_BIN_EXE_mirror"))
            .args(["check"])
            .args(more)
            .arg("--state")
            .arg(path)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let expect = |(code, text): (Option<i32>, String), wanted: i32, parts: &[&str]| {
        assert_eq!(code, Some(wanted), "{text}");
        for part in parts {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    };
    let [base, delta, journal, manifest] = world.files();
    expect(
        check(&[], world.state()),
        0,
        &["MANIFEST: whole", "the state is whole"],
    );
    for file in [&base, &delta, &journal, &manifest] {
        expect(check(&[], file.clone()), 0, &[": whole"]);
    }
    expect(
        check(&["--repair"], world.state()),
        0,
        &["nothing to repair"],
    );
    expect(
        check(&[], world.folder.path("none")),
        1,
        &["there is no such folder"],
    );
    let lock = world.state().join("lock");
    expect(check(&[], lock), 1, &["neither a run, nor a journal"]);
    let mut bytes = fs::read(&base).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&base, bytes).unwrap();
    let parts = [
        "damaged at byte",
        "entries lost, behind \"folder-",
        "check --repair",
    ];
    expect(check(&[], world.state()), 1, &parts);
    expect(check(&[], base.clone()), 1, &["entries lost, behind"]);
    let parts = [
        "keys kept,",
        "lost: ",
        "uploaded again",
        "the old files are in ",
        "damaged-",
    ];
    expect(check(&["--repair"], world.state()), 2, &parts);
    expect(check(&[], world.state()), 0, &["the state is whole"]);
    expect(
        check(&["--repair"], world.state()),
        0,
        &["nothing to repair"],
    );
}
