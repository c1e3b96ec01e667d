//! The next generation of the state, while it is written. Memory: a writer of a run or two.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use plimsoll::runs::{RunOptions, RunWriter};

use super::State;
use super::journal::{Belongs, JournalWriter};
use super::manifest::{Manifest, RunFile};
use crate::record::{GONE, Record};

/// A new base is written once the delta has a tenth of its entries, and this many: less is folded in
/// faster than it is worth.
const FOLD_PART: u64 = 10;
const FOLD_MIN: u64 = 1000;

/// Frames of some 160 keys of 100 bytes: the next listing is divided where they begin, into pages of
/// nearly 1000 keys. With the 64 KiB of the library they have 640, and a third of the requests would be
/// for the rest of a page.
const FRAME_BYTES: usize = 16 << 10;

/// Takes the record of every key, in order, and becomes the state by [`Generation::publish`]. Dropped
/// before that, nothing has changed.
#[derive(Debug)]
pub struct Generation {
    folder: PathBuf,
    manifest: Manifest,
    base: Option<RunWriter>,
    delta: RunWriter,
    value: Vec<u8>,
}

pub(super) fn base_name(generation: u64) -> String {
    format!("base-{generation:06}.run")
}

pub(super) fn delta_name(generation: u64) -> String {
    format!("delta-{generation:06}.run")
}

pub(super) fn journal_name(generation: u64) -> String {
    format!("journal-{generation:06}.log")
}

/// Whether a file has a name of this module.
pub(super) fn is_ours(name: &str) -> bool {
    let generation = name
        .strip_prefix("base-")
        .or_else(|| name.strip_prefix("delta-"))
        .and_then(|rest| rest.strip_suffix(".run"))
        .or_else(|| name.strip_prefix("journal-")?.strip_suffix(".log"));
    generation.is_some_and(|number| number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit()))
}

impl Generation {
    /// After `before`; without a state, the first.
    pub(super) fn begin(
        folder: &Path,
        before: &Manifest,
        state: Option<&State>,
    ) -> Result<Generation> {
        let mut manifest = before.clone();
        manifest.generation += 1;
        let options = RunOptions::default().frame_bytes(FRAME_BYTES).mode(0o600);
        let has_base = state.is_none_or(|state| {
            let (base, delta) = (state.base.figures(), state.delta.figures());
            delta.entries > (base.entries / FOLD_PART).max(FOLD_MIN)
        });
        let base = has_base
            .then(|| RunWriter::create(folder.join(base_name(manifest.generation)), options))
            .transpose()?;
        Ok(Generation {
            delta: RunWriter::create(folder.join(delta_name(manifest.generation)), options)?,
            base,
            folder: folder.to_owned(),
            manifest,
            value: Vec::new(),
        })
    }

    /// Has a new base written, however small the delta is.
    pub fn fold(mut self) -> Result<Generation> {
        if self.base.is_none() {
            let path = self.folder.join(base_name(self.manifest.generation));
            let options = RunOptions::default().frame_bytes(FRAME_BYTES).mode(0o600);
            self.base = Some(RunWriter::create(path, options)?);
        }
        Ok(self)
    }

    /// Takes the record of a key, or that there is none; `base` is what the old base has for it.
    pub fn put(&mut self, key: &[u8], base: Option<&[u8]>, record: Option<&Record>) -> Result<()> {
        self.value.clear();
        match record {
            Some(record) => record.encode(&mut self.value),
            None => self.value.extend_from_slice(GONE),
        }
        let is_pending = record.is_some_and(Record::is_pending);
        let differs = match (&mut self.base, record) {
            (Some(writer), Some(_)) => {
                writer.push(key, &self.value)?;
                false
            }
            (Some(_), None) => false,
            (None, Some(_)) => base != Some(&self.value[..]),
            (None, None) => base.is_some(),
        };
        if differs || is_pending {
            self.delta.push(key, &self.value)?;
        }
        Ok(())
    }

    /// Takes a record that the old base has, in the same bytes, and of which nothing is to be done.
    pub(crate) fn keep(&mut self, key: &[u8], stored: &[u8]) -> Result<()> {
        if let Some(writer) = &mut self.base {
            writer.push(key, stored)?;
        }
        Ok(())
    }

    /// Makes it the state, as of a listing that ended at `listed_at`; the manifest to reopen with. The
    /// files are durable before the manifest names them.
    pub fn publish(self, listed_at: u64) -> Result<Manifest> {
        let Generation {
            folder,
            mut manifest,
            base,
            delta,
            ..
        } = self;
        let generation = manifest.generation;
        if let Some(base) = base {
            manifest.base = RunFile::new(&base_name(generation), base.commit()?);
        }
        manifest.delta = RunFile::new(&delta_name(generation), delta.commit()?);
        manifest.journal = journal_name(generation);
        manifest.listed_at = listed_at;
        let belongs = Belongs {
            generation,
            delta_checksum: manifest.delta.checksum,
        };
        JournalWriter::create(&folder.join(&manifest.journal), belongs)?;
        // The names of runs are durable by their own commits; that of the journal is not yet.
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("make names in {} durable", folder.display()))?;
        manifest.write(&folder)?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_removed() {
        for name in [base_name(1), delta_name(1_000_000_000), journal_name(7)] {
            assert!(is_ours(&name), "{name}");
        }
        for name in [
            "MANIFEST",
            "lock",
            "base-1.run",
            "base-000001.run.bak",
            "base-00000x.run",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
