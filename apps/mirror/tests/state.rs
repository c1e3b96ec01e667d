//! The state against a world of a source and a destination: whatever is put, removed, listed, uploaded,
//! deleted, fails and crashes, in any order, the state says nothing of the destination that is not so,
//! and one whole run without failures makes both sides equal.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use folder::Folder;
use plimsoll::runs::SortedEntries;
use plimsoll_mirror::record::{Etag, Held, Meta, Outcome, Reason, Record, Status};
use plimsoll_mirror::scan::{Listing, ScanCounts, copy, scan};
use plimsoll_mirror::state::journal::Entry;
use plimsoll_mirror::state::{Lock, Pair, State};
use proptest::prelude::*;

/// What is in a key: a version of it.
type Side = BTreeMap<Vec<u8>, u32>;

fn meta(version: u32) -> Meta {
    Meta {
        size_bytes: u64::from(version),
        modified: i64::from(version),
        etag: Etag::Md5(u128::from(version).to_be_bytes()),
    }
}

fn pair(source: &str) -> Pair {
    Pair {
        source: source.to_owned(),
        destination: "ftp://there/".to_owned(),
    }
}

/// A listing of a side, which may break off.
struct List {
    objects: std::vec::IntoIter<(Vec<u8>, u32)>,
    now: (Vec<u8>, Meta),
    breaks_after: Option<usize>,
}

impl List {
    fn new(side: &Side, breaks_after: Option<usize>) -> List {
        List {
            objects: side.clone().into_iter().collect::<Vec<_>>().into_iter(),
            now: (Vec::new(), meta(0)),
            breaks_after,
        }
    }
}

impl Listing for List {
    fn advance(&mut self) -> Result<bool> {
        if let Some(left) = &mut self.breaks_after {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => bail!("the listing broke off"),
            }
        }
        let Some((key, version)) = self.objects.next() else {
            return Ok(false);
        };
        self.now = (key, meta(version));
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        &self.now.0
    }

    fn meta(&self) -> &Meta {
        &self.now.1
    }
}

/// How one upload or deletion ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Done,
    /// It fails, and nothing has changed.
    Failed,
    /// It fails, but has taken effect: the reply was lost.
    FailedButDone,
    /// It fails, and whatever was there is gone.
    FailedAndBroken,
    Skipped,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u32),
    Remove(u8),
    Scan,
    /// The listing breaks off after so many objects.
    BrokenScan(usize),
    /// A crash after the listing, before the manifest is replaced.
    CrashedScan,
    /// Endings of what is to be done, in turn; what was not made durable is lost if it crashes.
    Work {
        endings: Vec<Ending>,
        stops_after: usize,
        crashes: bool,
    },
    Compact,
}

fn any_step() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![
        4 => Just(Ending::Done),
        1 => Just(Ending::Failed),
        1 => Just(Ending::FailedButDone),
        1 => Just(Ending::FailedAndBroken),
        1 => Just(Ending::Skipped),
    ];
    let work = (
        proptest::collection::vec(ending, 1..6),
        0..12_usize,
        any::<bool>(),
    );
    prop_oneof![
        4 => (0..8_u8, 1..4_u32).prop_map(|(key, version)| Step::Put(key, version)),
        3 => (0..8_u8).prop_map(Step::Remove),
        4 => Just(Step::Scan),
        1 => (0..6_usize).prop_map(Step::BrokenScan),
        1 => Just(Step::CrashedScan),
        4 => work.prop_map(|(endings, stops_after, crashes)| Step::Work {
            endings,
            stops_after,
            crashes,
        }),
        1 => Just(Step::Compact),
    ]
}

struct World {
    folder: Folder,
    source: Side,
    destination: Side,
}

impl World {
    fn new() -> World {
        World {
            folder: Folder::new("state"),
            source: Side::new(),
            destination: Side::new(),
        }
    }

    /// Every step is a process of its own: the state is opened anew.
    fn open(&self) -> (Lock, State) {
        let folder = self.folder.path("state");
        let lock = Lock::take(&folder).unwrap();
        let state = State::open(&folder, &pair("s3://b"), &lock).unwrap();
        (lock, state)
    }

    fn scan(&self, breaks_after: Option<usize>) -> Result<ScanCounts> {
        let (_lock, state) = self.open();
        let mut next = state.next()?;
        let mut listing = List::new(&self.source, breaks_after);
        let counts = scan(state.known()?, &mut listing, &mut next)?;
        next.publish(1)?;
        Ok(counts)
    }

    fn crashed_scan(&self) {
        let (_lock, state) = self.open();
        let mut next = state.next().unwrap();
        let mut listing = List::new(&self.source, None);
        scan(state.known().unwrap(), &mut listing, &mut next).unwrap();
    }

    fn compact(&self) {
        let (_lock, state) = self.open();
        let mut next = state.next().unwrap().fold().unwrap();
        let listed_at = state.manifest().listed_at;
        let before = self.known();
        copy(state.known().unwrap(), &mut next).unwrap();
        let state = state.reopen(next.publish(listed_at).unwrap()).unwrap();
        assert_eq!(self.known(), before);
        assert_eq!(state.base().figures().entries, before.len() as u64);
    }

    /// Uploads, then deletes, as the journal has to be told of it.
    fn work(&mut self, endings: &[Ending], stops_after: usize, crashes: bool) {
        let (_lock, mut state) = self.open();
        if state.journal().is_err() {
            // Some was done: what is left stands in a new generation.
            let mut next = state.next().unwrap();
            copy(state.known().unwrap(), &mut next).unwrap();
            let manifest = next.publish(1).unwrap();
            state = state.reopen(manifest).unwrap();
        }
        let mut journal = state.journal().unwrap();
        let mut endings = endings.iter().cycle();
        let mut left = stops_after;
        'all: for is_upload in [true, false] {
            let mut delta = state.delta().reader();
            let mut begun = 0;
            while delta.advance().unwrap() {
                let ordinal = delta.ordinal() - 1;
                let record = Record::decode(delta.value()).unwrap();
                let version = match record {
                    Some(Record::New { meta, .. }) if is_upload => Some(meta.size_bytes as u32),
                    Some(Record::Deleted { .. }) if !is_upload => None,
                    _ => continue,
                };
                let Some(less) = left.checked_sub(1) else {
                    break 'all;
                };
                left = less;
                // Two at a time may have begun: the mark runs ahead of the work.
                if ordinal >= begun {
                    begun = ordinal + 2;
                    let mark = match is_upload {
                        true => Entry::UploadsBegun(begun),
                        false => Entry::DeletionsBegun(begun),
                    };
                    journal.append(mark).unwrap();
                    journal.sync().unwrap();
                }
                let key = delta.key().to_vec();
                let ending = *endings.next().unwrap();
                let done = match ending {
                    Ending::Skipped => continue,
                    Ending::Failed => None,
                    Ending::FailedAndBroken => Some(None),
                    Ending::Done | Ending::FailedButDone => Some(version),
                };
                match done {
                    None => {}
                    Some(None) => drop(self.destination.remove(&key)),
                    Some(Some(version)) => drop(self.destination.insert(key, version)),
                }
                let outcome = match (ending, is_upload) {
                    (Ending::Done, true) => Outcome::Uploaded,
                    (Ending::Done, false) => Outcome::Deleted,
                    _ => Outcome::Failed(Reason::DestinationFailed, 1),
                };
                journal.append(Entry::Result(ordinal, outcome)).unwrap();
            }
        }
        if !crashes {
            journal.sync().unwrap();
        }
    }

    fn known(&self) -> BTreeMap<Vec<u8>, Record> {
        let state = State::look(&self.folder.path("state")).unwrap();
        let mut known = state.known().unwrap();
        let mut records = BTreeMap::new();
        while known.advance().unwrap() {
            let key = known.key().to_vec();
            if let Some(record) = known.take_record() {
                records.insert(key, record);
            }
        }
        records
    }

    /// Nothing is said of the destination that is not so, and nothing there is forgotten.
    fn check(&self) {
        let known = self.known();
        for (key, record) in &known {
            let held = match record {
                Record::Synced(meta) => Held::Version(meta.clone()),
                Record::New { held, .. } | Record::Deleted { held, .. } => held.clone(),
            };
            let there = self.destination.get(key).map(|version| meta(*version));
            match held {
                Held::Nothing => assert_eq!(there, None, "{record:?}"),
                Held::Version(version) => assert_eq!(there, Some(version), "{record:?}"),
                Held::Unknown => {}
            }
        }
        for key in self.destination.keys() {
            assert!(
                known.contains_key(key),
                "{} is forgotten",
                key.escape_ascii()
            );
        }
    }

    fn step(&mut self, step: &Step) {
        let key = |key: &u8| format!("folder/{key}").into_bytes();
        match step {
            Step::Put(at, version) => drop(self.source.insert(key(at), *version)),
            Step::Remove(at) => drop(self.source.remove(&key(at))),
            Step::Scan => drop(self.scan(None).unwrap()),
            Step::BrokenScan(after) => {
                let before = self.open().1.manifest().clone();
                let is_broken = *after <= self.source.len();
                assert_eq!(self.scan(Some(*after)).is_err(), is_broken);
                assert_eq!(*self.open().1.manifest() == before, is_broken);
            }
            Step::CrashedScan => self.crashed_scan(),
            Step::Work {
                endings,
                stops_after,
                crashes,
            } => self.work(endings, *stops_after, *crashes),
            Step::Compact => {
                drop(self.open());
                self.compact();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_both_sides_end_equal(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut world = World::new();
        drop(world.open());
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.scan(None).unwrap();
        world.work(&[Ending::Done], usize::MAX, false);
        world.check();
        prop_assert_eq!(&world.source, &world.destination);
        let known = world.known();
        prop_assert_eq!(known.len(), world.source.len());
        prop_assert!(known.values().all(|record| record.status() == Status::Synced));
        // And a second run finds nothing to do.
        world.scan(None).unwrap();
        let pending = world.known().values().filter(|record| record.is_pending()).count();
        prop_assert_eq!(pending, 0);
    }
}

#[test]
fn a_large_delta_is_folded_into_the_base() {
    let mut world = World::new();
    for n in 0..3000_u32 {
        world
            .source
            .insert(format!("folder/{n:05}").into_bytes(), 1);
    }
    let counts = world.scan(None).unwrap();
    assert_eq!(
        (counts.new, counts.listed, counts.after.new),
        (3000, 3000, 3000)
    );
    world.work(&[Ending::Done], usize::MAX, false);
    assert_eq!(world.open().1.base().figures().entries, 0);
    let counts = world.scan(None).unwrap();
    assert_eq!(
        (counts.synced_to_synced, counts.before.synced),
        (3000, 3000)
    );
    let (_, state) = world.open();
    let entries = (
        state.base().figures().entries,
        state.delta().figures().entries,
    );
    assert_eq!(entries, (3000, 0));
    drop(state);
    // What changes from now on is all that is written.
    world.source.insert(b"folder/00007".to_vec(), 2);
    world.source.remove(&b"folder/00008"[..]);
    let counts = world.scan(None).unwrap();
    assert_eq!((counts.synced_to_new, counts.to_deleted), (1, 1));
    let (_, state) = world.open();
    assert_eq!(
        (
            state.base().figures().entries,
            state.delta().figures().entries
        ),
        (3000, 2)
    );
    assert_eq!(
        std::fs::read_dir(world.folder.path("state"))
            .unwrap()
            .count(),
        6
    );
}

#[test]
fn one_run_at_a_time_and_one_pair_a_folder() {
    let world = World::new();
    let (lock, state) = world.open();
    let path = world.folder.path("state");
    let error = Lock::take(&path).unwrap_err().to_string();
    assert!(
        error.contains(&format!("process {} is running", std::process::id())),
        "{error}"
    );
    drop(state);
    let error = State::open(&path, &pair("s3://other"), &lock)
        .unwrap_err()
        .to_string();
    assert!(error.contains("give another folder"), "{error}");
    drop(lock);
    Lock::take(&path).unwrap();
}

#[test]
fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    drop(world.open());
    let path = world.folder.path("state");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(path.clone()), 0o600, "{}", path.display());
    }
}

/// The state is damaged in every file, at every byte: it is told, and which file it is.
#[test]
fn damage_and_foreign_files_are_told() {
    let mut world = World::new();
    for n in 0..8_u8 {
        world.step(&Step::Put(n, 1));
    }
    world.scan(None).unwrap();
    world.work(&[Ending::Done], 5, false);
    world.compact();
    world.work(&[Ending::Done], 2, false);
    let folder = world.folder.path("state");
    let truth = world.known();
    let read = || -> Result<BTreeMap<Vec<u8>, Record>> {
        let state = State::look(&folder)?;
        let mut known = state.known()?;
        let mut records = BTreeMap::new();
        while known.advance()? {
            let key = known.key().to_vec();
            records.extend(known.take_record().map(|record| (key, record)));
        }
        Ok(records)
    };
    let mut told = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "lock" || name == "MANIFEST.copy" {
            continue;
        }
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x04;
            std::fs::write(&path, bytes).unwrap();
            match read() {
                // The one frame of the journal is the last: what a crash left looks the same.
                Ok(found) if name.starts_with("journal") => {
                    assert!(found.values().filter(|record| record.is_pending()).count() >= 1);
                }
                // Words of people, and times, can be changed without anybody knowing.
                Ok(found) if name == "MANIFEST" => assert_eq!(found, truth),
                Ok(_) => panic!("{name} was changed at byte {at}, and nobody told"),
                Err(error) => {
                    told += 1;
                    let text = format!("{error:#}");
                    // A manifest that names other files is told by what is missing.
                    assert!(
                        text.contains(&name) || name == "MANIFEST",
                        "{name} {at}: {text}"
                    );
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(told > 500, "{told}");
    assert_eq!(read().unwrap(), truth);

    // A whole run of another generation in place of the delta.
    let manifest = world.open().1.manifest().clone();
    let delta = folder.join(&manifest.delta.name);
    std::fs::copy(folder.join(&manifest.base.name), &delta).unwrap();
    let error = format!("{:#}", read().unwrap_err());
    assert!(error.contains("not the one that MANIFEST names"), "{error}");
}
