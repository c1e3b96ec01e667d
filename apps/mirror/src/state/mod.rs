//! What is known of every key, on disk: a folder that only one run may change at a time.
//!
//! ```text
//! MANIFEST        names the files of this generation; replaced in one step
//! MANIFEST.copy   the same once more, for a repair
//! base-N.run      a record of every key, as of generation N; never changes
//! delta-N.run     what differs from the base, and all that is to be done; never changes
//! journal-N.log   what came of it since
//! lock            held by the run that may change the state
//! ```
//!
//! A scan reads base, delta and journal beside the sorted listing and writes the next delta, or, where
//! the delta has grown beyond a tenth of the base, a new base too. Nothing that is there changes until
//! the manifest is replaced, so a scan that breaks off costs only the scan. All files have mode 0600.
//!
//! What damage leaves is told by [`condition`] and made whole by [`repair`].
//!
//! Memory: about 0.5 MiB, and 1 MiB for sorting the journal; no figure grows with the number of keys.

pub mod condition;
mod generation;
pub mod journal;
mod known;
mod manifest;
pub mod repair;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use plimsoll::runs::{Run, SortOptions, SortedEntries, Sorter};
use plimsoll::stream::{TempSpace, remove_leftovers};

use crate::listing::KeyRange;
pub use generation::Generation;
use journal::{Belongs, JournalWriter};
pub use known::Known;
pub use manifest::{Manifest, Pair, RunFile};

const LOCK: &str = "lock";

/// Memory for sorting a journal by ordinal: what the sorter takes at the least.
const SORT_BYTES: usize = 1 << 20;

/// The state, open for reading.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    manifest: Manifest,
    base: Run,
    delta: Run,
}

/// The right to change the state, held by a lock on the folder.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Said, as a child that another thread is about to start has the file too until it executes its program.
        // A lock that can't be given back goes with the process.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Makes the folder if need be, and locks it.
    ///
    /// # Errors
    /// Another run holds it: the message says which.
    pub fn take(folder: &Path) -> Result<Lock> {
        if folder.is_file() {
            bail!(
                "{} is a file, and a state is a folder; a cache of yomins-sync is taken over by \
                 `mirror import-bbolt {} --state FOLDER`",
                folder.display(),
                folder.display()
            );
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("make the state folder {}", folder.display()))?;
        let path = folder.join(LOCK);
        let failed = || format!("lock {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message.
                let _ = (&file).take(20).read_to_string(&mut holder);
                bail!(
                    "lock {}: process {} is running on this state; wait until it ends",
                    path.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        file.set_len(0).with_context(failed)?;
        writeln!(file, "{}", std::process::id()).with_context(failed)?;
        Ok(Lock { file })
    }
}

impl State {
    /// Opens the state for changing, with a new one where there is none, and removes what a killed run
    /// left.
    ///
    /// # Errors
    /// A state of another pair; files that are damaged, foreign or missing.
    pub fn open(folder: &Path, pair: &Pair, lock: &Lock) -> Result<State> {
        State::open_range(folder, pair, "", lock)
    }

    /// The same of a part of the bucket; `range` as [`Manifest::range_text`] has it.
    ///
    /// # Errors
    /// As [`State::open`]; a state of another range.
    pub fn open_range(folder: &Path, pair: &Pair, range: &str, lock: &Lock) -> Result<State> {
        let manifest = match Manifest::read(folder)? {
            Some(manifest) => manifest,
            None => State::begin(folder, pair, range, lock)?.publish(0)?,
        };
        if manifest.pair != *pair {
            bail!(
                "the state in {} is of {} mirrored to {}, not of {} to {}; give another folder for it",
                folder.display(),
                manifest.pair.source,
                manifest.pair.destination,
                pair.source,
                pair.destination
            );
        }
        if manifest.range != range {
            let shown = |range: &str| match range {
                "" => "all keys".to_owned(),
                range => format!("the keys {range}"),
            };
            bail!(
                "the state in {} is of {}, not of {}: what it does not list would be deleted; give the same \
                 --range, or another folder, or cut it by `mirror split`",
                folder.display(),
                shown(&manifest.range),
                shown(range)
            );
        }
        remove_leftovers(folder)?;
        remove_others(folder, &manifest)?;
        State::with(folder, manifest)
    }

    /// Begins the first generation of a state where there is none; it is one once it is published.
    ///
    /// # Errors
    /// There is a state, or files of one.
    pub fn create(folder: &Path, pair: &Pair, range: &str, lock: &Lock) -> Result<Generation> {
        remove_leftovers(folder)?;
        let failed = || format!("make a state in {}", folder.display());
        for entry in fs::read_dir(folder).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name();
            let is_state = |name: &str| name == manifest::NAME || generation::is_ours(name);
            if name.to_str().is_some_and(is_state) {
                bail!(
                    "{}: there is one, or a part of one ({}), and nothing is written over it; give another \
                     folder",
                    failed(),
                    name.display()
                );
            }
        }
        State::begin(folder, pair, range, lock)
    }

    fn begin(folder: &Path, pair: &Pair, range: &str, _lock: &Lock) -> Result<Generation> {
        let mut new = Manifest::new(pair.clone(), 0);
        new.range = range.to_owned();
        Generation::begin(folder, &new, None)
    }

    /// The keys that it is of.
    ///
    /// # Errors
    /// A manifest that somebody changed.
    pub fn range(&self) -> Result<KeyRange> {
        match &*self.manifest.range {
            "" => Ok(KeyRange::default()),
            text => text.parse(),
        }
    }

    /// Opens the state for reading, while another process may be changing it.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn look(folder: &Path) -> Result<State> {
        /// A generation lasts minutes; three in a row don't end while one is opened.
        const TRIES: usize = 3;
        for _ in 1..TRIES {
            let Some(manifest) = Manifest::read(folder)? else {
                bail!("no state in {}: run `mirror run` first", folder.display());
            };
            if let Ok(state) = State::with(folder, manifest) {
                return Ok(state);
            }
        }
        let Some(manifest) = Manifest::read(folder)? else {
            bail!("the state in {} has gone", folder.display());
        };
        State::with(folder, manifest)
    }

    fn with(folder: &Path, manifest: Manifest) -> Result<State> {
        let open = |file: &manifest::RunFile| -> Result<Run> {
            let run = Run::open(folder.join(&file.name))?;
            if !file.matches(run.figures()) {
                bail!(
                    "open {}: it is a whole run, but not the one that {} names; `mirror check --repair` \
                     keeps what is known",
                    folder.join(&file.name).display(),
                    manifest::NAME
                );
            }
            Ok(run)
        };
        Ok(State {
            folder: folder.to_owned(),
            base: open(&manifest.base)?,
            delta: open(&manifest.delta)?,
            manifest,
        })
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    #[must_use]
    pub fn base(&self) -> &Run {
        &self.base
    }

    #[must_use]
    pub fn delta(&self) -> &Run {
        &self.delta
    }

    /// All that is known, from the first key.
    pub fn known(&self) -> Result<Known> {
        let results = self.results()?;
        Ok(Known::new(self.base.reader(), self.delta.reader(), results))
    }

    /// All that is known, from `key`.
    pub fn known_from(&self, key: &[u8]) -> Result<Known> {
        let results = self.results()?;
        let (base, delta) = (self.base.reader_from(key)?, self.delta.reader_from(key)?);
        Ok(Known::new(base, delta, results))
    }

    fn results(&self) -> Result<known::Results> {
        // A journal has 6 bytes a result, the sort needs some 20.
        let journal = self.folder.join(&self.manifest.journal);
        let length = fs::metadata(&journal).map_or(0, |found| found.len());
        let space = TempSpace::new(&self.folder, (64 << 20) + length.saturating_mul(20))?;
        let mut sorter = Sorter::new(SortOptions {
            memory_bytes: SORT_BYTES,
            space,
        })?;
        let (uploads_begun, deletions_begun) =
            journal::sort_results(&journal, self.belongs(), &mut sorter)?;
        let mut sorted = sorter.finish()?;
        Ok(known::Results {
            is_on: sorted.advance()?,
            sorted,
            uploads_begun,
            deletions_begun,
        })
    }

    /// The journal, to be appended to. The delta tells what is to be done only as long as nothing was:
    ///
    /// # Errors
    /// The journal has results; begin a new generation first.
    pub fn journal(&self) -> Result<JournalWriter> {
        let path = self.folder.join(&self.manifest.journal);
        let journal = JournalWriter::open(&path, self.belongs())?;
        if !journal.is_empty() {
            bail!(
                "go on with the work of generation {}: some was done; list again first",
                self.manifest.generation
            );
        }
        Ok(journal)
    }

    fn belongs(&self) -> Belongs {
        Belongs {
            generation: self.manifest.generation,
            delta_checksum: self.manifest.delta.checksum,
        }
    }

    /// Begins the next generation.
    pub fn next(&self) -> Result<Generation> {
        Generation::begin(&self.folder, &self.manifest, Some(self))
    }

    /// The state of the generation that was published.
    pub fn reopen(self, manifest: Manifest) -> Result<State> {
        remove_others(&self.folder, &manifest)?;
        State::with(&self.folder, manifest)
    }
}

/// Removes files of other generations: a run was killed before it could.
fn remove_others(folder: &Path, manifest: &Manifest) -> Result<()> {
    let failed = || format!("remove old files in {}", folder.display());
    for entry in fs::read_dir(folder).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_named = [&manifest.base.name, &manifest.delta.name, &manifest.journal]
            .iter()
            .any(|named| *named == name);
        if !is_named && generation::is_ours(name) {
            fs::remove_file(entry.path()).with_context(failed)?;
        }
    }
    Ok(())
}
