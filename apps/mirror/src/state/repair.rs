//! A damaged state made whole: what can be known is kept, and nothing is claimed of the destination that may
//! not be so.
//!
//! - A stretch of the delta is lost: what the base has in it may have changed since, so it is uploaded again.
//! - The journal is damaged: what the delta has to do and no result is left of may have begun.
//! - A stretch of the base is lost: its keys are not known any more. Those that are listed are uploaded
//!   again; files of the others stay at the destination for ever, so the stretch is told.
//!
//! The result is the next generation, published in one step; the old files are linked into a folder beside
//! it before. Killed at any instant, the repair can be done again: the manifest names the old files or the
//! new ones. Memory: two readers, two writers and the sort of the journal.

use std::cmp::Ordering;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use plimsoll::runs::{Run, Salvage, SortOptions, SortedEntries, Sorter};
use plimsoll::stream::TempSpace;

use super::condition::{Condition, Conditions, KeyGap};
use super::generation::{self, Generation};
use super::journal::{self, Belongs, Entry, Left};
use super::known::Results;
use super::manifest::{self, Manifest, Newer, Pair};
use super::{Lock, SORT_BYTES, remove_others};
use crate::record::Record;

/// What a repair did.
#[derive(Debug)]
pub struct Repaired {
    /// Keys whose records are as they were.
    pub kept: u64,
    /// Keys that are uploaded, or deleted, again: the destination may hold anything.
    pub uncertain: u64,
    /// Where keys of the base are lost, and how many such stretches there are.
    pub lost: Vec<KeyGap>,
    pub lost_stretches: u64,
    /// Where the old files are.
    pub aside: PathBuf,
    /// The manifest was made anew.
    pub has_new_manifest: bool,
}

/// Repairs the state in a folder; none where nothing is wrong. `pair` is what it is of, where neither the
/// manifest nor its copy tells.
///
/// # Errors
/// Nothing that can be repaired without guessing; files of a later version; of reading and writing.
pub fn repair(folder: &Path, pair: Option<Pair>, _lock: &Lock) -> Result<Option<Repaired>> {
    let (manifest, is_new) = match Manifest::read(folder) {
        Ok(Some(manifest)) => (manifest, false),
        Err(error) if error.is::<Newer>() => return Err(error),
        Ok(None) | Err(_) => (rebuild(folder, pair)?, true),
    };
    let found = Conditions::of(folder, manifest)?;
    let is_torn = matches!(found.journal.1, Condition::Torn(_));
    if found.are_whole() && !is_torn && !is_new {
        return Ok(None);
    }
    let aside = set_aside(folder, &found)?;
    let mut repaired = Repaired {
        kept: 0,
        uncertain: 0,
        lost: Vec::new(),
        lost_stretches: 0,
        aside,
        has_new_manifest: is_new,
    };
    match &found.base.1 {
        Condition::Damaged(_, gaps, count) => {
            repaired.lost.clone_from(gaps);
            repaired.lost_stretches = *count;
        }
        Condition::Unusable(_) => {
            repaired.lost_stretches = 1;
            let (after, before) = (None, None);
            let lost = Some(found.manifest.base.entries);
            repaired.lost.push(KeyGap {
                after,
                before,
                lost,
            });
        }
        Condition::Whole | Condition::Torn(_) => {}
    }
    let mut next = Generation::begin(folder, &found.manifest, None)?;
    merge(folder, &found, &mut next, &mut repaired)?;
    let manifest = next.publish(found.manifest.listed_at)?;
    remove_others(folder, &manifest)?;
    Ok(Some(repaired))
}

/// What is left of a run, and where entries may be missing.
struct Side {
    salvage: Option<Salvage>,
    /// Gaps are to be heeded: not where all entries are there.
    has_gaps: bool,
    is_on: bool,
}

impl Side {
    fn open((path, condition): &(PathBuf, Condition)) -> Result<Side> {
        let salvage = match condition {
            Condition::Unusable(_) => None,
            _ => Some(Salvage::open(path)?),
        };
        let mut side = Side {
            salvage,
            has_gaps: !matches!(condition, Condition::Whole | Condition::Damaged(_, _, 0)),
            is_on: false,
        };
        side.advance()?;
        Ok(side)
    }

    fn advance(&mut self) -> Result<()> {
        self.is_on = match &mut self.salvage {
            Some(salvage) => salvage.advance()?,
            None => false,
        };
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.salvage.as_ref().map_or(&[], |salvage| salvage.key())
    }

    fn record(&self) -> Result<Option<Record>> {
        match &self.salvage {
            Some(salvage) => Record::decode(salvage.value()),
            None => Ok(None),
        }
    }

    /// Whether entries may be missing between the one before and this one.
    fn is_behind_gap(&self) -> bool {
        let gap = self.salvage.as_ref().map(|salvage| salvage.gap().is_some());
        self.has_gaps && gap.unwrap_or(true)
    }

    /// Which entry of the run this is, from 0.
    fn ordinal(&self) -> Option<u64> {
        Some(self.salvage.as_ref()?.ordinal()? - 1)
    }
}

/// Gives every key that is known with what is sure of it to `next`.
fn merge(
    folder: &Path,
    found: &Conditions,
    next: &mut Generation,
    repaired: &mut Repaired,
) -> Result<()> {
    let (mut base, mut delta) = (Side::open(&found.base)?, Side::open(&found.delta)?);
    let mut results = results(folder, found)?;
    loop {
        let order = match (base.is_on, delta.is_on) {
            (false, false) => return Ok(()),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => base.key().cmp(delta.key()),
        };
        let (key, sure, record) = if order.is_lt() {
            let sure = base.record()?;
            // What the delta had of it may be lost.
            let record = match delta.is_behind_gap() {
                true => sure.clone().map(Record::uncertain),
                false => sure.clone(),
            };
            (base.key(), sure, record)
        } else {
            let sure = delta.record()?;
            let record = match (sure.clone(), delta.ordinal()) {
                (Some(record), Some(ordinal)) => results.apply(record, ordinal)?,
                (Some(record), None) => Some(record.begun()),
                (None, _) => None,
            };
            (delta.key(), sure, record)
        };
        if let Some(record) = &record {
            let is_kept = order.is_lt() && Some(record) == sure.as_ref()
                || order.is_ge() && !(results.is_broken() && record.is_pending());
            match is_kept {
                true => repaired.kept += 1,
                false => repaired.uncertain += 1,
            }
        }
        next.put(key, None, record.as_ref())?;
        if order.is_le() {
            base.advance()?;
        }
        if order.is_ge() {
            delta.advance()?;
        }
    }
}

/// What is left of the journal. Where any of it may be missing, all may have begun.
fn results(folder: &Path, found: &Conditions) -> Result<Results> {
    let (path, condition) = &found.journal;
    let length = fs::metadata(path).map_or(0, |found| found.len());
    let space = TempSpace::new(folder, (64 << 20) + length.saturating_mul(20))?;
    let mut sorter = Sorter::new(SortOptions {
        memory_bytes: SORT_BYTES,
        space,
    })?;
    let belongs = Belongs {
        generation: found.manifest.generation,
        delta_checksum: found.manifest.delta.checksum,
    };
    let (mut uploads_begun, mut deletions_begun) = (0, 0);
    let mut bytes = Vec::new();
    if !matches!(condition, Condition::Unusable(_)) {
        journal::salvage(path, belongs, |entry| {
            match entry {
                Entry::Result(ordinal, _) => {
                    bytes.clear();
                    entry.encode(&mut bytes);
                    sorter.push(&ordinal.to_be_bytes(), &bytes)?;
                }
                Entry::UploadsBegun(ordinal) => uploads_begun = uploads_begun.max(ordinal),
                Entry::DeletionsBegun(ordinal) => deletions_begun = deletions_begun.max(ordinal),
            }
            Ok(())
        })?;
    }
    if !condition.is_whole() {
        (uploads_begun, deletions_begun) = (Results::ALL_BEGUN, Results::ALL_BEGUN);
    }
    let mut sorted = sorter.finish()?;
    Ok(Results {
        is_on: sorted.advance()?,
        sorted,
        uploads_begun,
        deletions_begun,
    })
}

/// The manifest that the copy, or the files themselves, tell.
fn rebuild(folder: &Path, pair: Option<Pair>) -> Result<Manifest> {
    let copy = match Manifest::read_from(&folder.join(manifest::COPY)) {
        Err(error) if error.is::<Newer>() => return Err(error),
        read => read.ok().flatten(),
    };
    let newest = newest_generation(folder)?;
    if let Some(copy) = &copy
        && newest
            .as_ref()
            .is_none_or(|newest| newest.generation <= copy.generation)
    {
        return Ok(copy.clone());
    }
    let Some(newest) = newest else {
        bail!(
            "repair the state in {}: no manifest is left, and no delta with its journal, so nobody can tell \
             which files belong together; remove the folder to begin with everything unknown",
            folder.display()
        );
    };
    // The copy is of the generation before, or there is none.
    let (pair, range, listed_at) = match (copy, pair) {
        (Some(copy), _) => (copy.pair, copy.range, copy.listed_at),
        (None, Some(pair)) => (pair, String::new(), 0),
        (None, None) => bail!(
            "repair the state in {}: neither {} nor {} tells what is mirrored where; say it with \
             --pair-source and --pair-destination, as `mirror status` showed it",
            folder.display(),
            manifest::NAME,
            manifest::COPY
        ),
    };
    let mut manifest = newest;
    (manifest.pair, manifest.range, manifest.listed_at) = (pair, range, listed_at);
    Ok(manifest)
}

/// The last generation whose delta and journal prove to belong together, with the last base up to it; its
/// pair is empty.
fn newest_generation(folder: &Path) -> Result<Option<Manifest>> {
    let failed = || format!("read the folder {}", folder.display());
    let (mut bases, mut deltas) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).with_context(failed)? {
        let name = entry.with_context(failed)?.file_name();
        let Some(name) = name.to_str().filter(|name| generation::is_ours(name)) else {
            continue;
        };
        let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let number = number.split('.').next().unwrap_or_default().parse::<u64>();
        match (
            number,
            name.starts_with("base-"),
            name.starts_with("delta-"),
        ) {
            (Ok(number), true, _) => bases.push(number),
            (Ok(number), _, true) => deltas.push(number),
            _ => {}
        }
    }
    deltas.sort_unstable();
    let pair = Pair {
        source: String::new(),
        destination: String::new(),
    };
    for generation in deltas.into_iter().rev() {
        let name = generation::delta_name(generation);
        let Ok(delta) = Run::open(folder.join(&name)) else {
            continue;
        };
        let journal = generation::journal_name(generation);
        let belongs = Belongs {
            generation,
            delta_checksum: delta.figures().checksum,
        };
        let left = journal::salvage(&folder.join(&journal), belongs, |_| Ok(()));
        if !matches!(left, Ok(Left::Whole { .. } | Left::Damaged { .. })) {
            continue;
        }
        let base = bases.iter().filter(|base| **base <= generation).max();
        let Some(base) = base else { continue };
        let base_name = generation::base_name(*base);
        let Ok(base) = Run::open(folder.join(&base_name)) else {
            continue;
        };
        let mut manifest = Manifest::new(pair, generation);
        manifest.base = manifest::RunFile::new(&base_name, base.figures());
        manifest.delta = manifest::RunFile::new(&name, delta.figures());
        manifest.journal = journal;
        return Ok(Some(manifest));
    }
    Ok(None)
}

/// Links the files that the state is made of into a folder beside them, durably; the folder.
fn set_aside(folder: &Path, found: &Conditions) -> Result<PathBuf> {
    let aside = folder.join(format!("damaged-{:06}", found.manifest.generation));
    let failed = || format!("keep the damaged files in {}", aside.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&aside)
        .with_context(failed)?;
    let manifest = folder.join(manifest::NAME);
    let copy = folder.join(manifest::COPY);
    for path in [
        &manifest,
        &copy,
        &found.base.0,
        &found.delta.0,
        &found.journal.0,
    ] {
        let Some(name) = path.file_name() else {
            continue;
        };
        let Ok(kept) = fs::metadata(path) else {
            continue;
        };
        let is_same = |other: &Path| {
            fs::metadata(other)
                .is_ok_and(|other| (other.dev(), other.ino()) == (kept.dev(), kept.ino()))
        };
        // A repair before this one may have kept another file of that name.
        let mut target = aside.join(name);
        for number in 2.. {
            if is_same(&target) || !target.exists() {
                break;
            }
            target = aside.join(format!("{}.{number}", name.to_string_lossy()));
        }
        if is_same(&target) {
            continue;
        }
        fs::hard_link(path, &target)
            .or_else(|_| {
                // No links here: a copy, whole or not at all.
                let temp = aside.join("copy");
                fs::copy(path, &temp)?;
                fs::rename(&temp, &target)
            })
            .with_context(failed)?;
    }
    for durable in [&*aside, folder] {
        File::open(durable)
            .and_then(|folder| folder.sync_all())
            .with_context(failed)?;
    }
    Ok(aside)
}
