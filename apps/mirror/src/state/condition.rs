//! In what condition the files of a state are: what is wrong, where. Memory: one frame of a run.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use plimsoll::ErrorKind;
use plimsoll::runs::{Run, Salvage, SortedEntries};

use super::journal::{self, Belongs, Left};
use super::manifest::{self, Manifest, Newer, RunFile};
use crate::record::Record;

/// Gaps of one run that are told in words; all are counted.
const GAPS_TOLD: usize = 20;

/// A stretch of keys in which some may be lost: above one key, below another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGap {
    /// The last key before it; none is from the first key on.
    pub after: Option<Vec<u8>>,
    /// The first key behind it; none is to the last key.
    pub before: Option<Vec<u8>>,
    /// How many are lost, where that can be told.
    pub lost: Option<u64>,
}

impl std::fmt::Display for KeyGap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.lost {
            Some(lost) => write!(f, "{lost} entries lost, ")?,
            None => f.write_str("entries lost, nobody can tell how many, ")?,
        }
        match &self.after {
            Some(key) => write!(f, "behind \"{}\" ", key.escape_ascii())?,
            None => f.write_str("from the first key ")?,
        }
        match &self.before {
            Some(key) => write!(f, "up to \"{}\"", key.escape_ascii()),
            None => f.write_str("to the last key"),
        }
    }
}

/// What is left of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Whole,
    /// Whole but for bytes at its end that a crash may have left there.
    Torn(u64),
    /// Parts are left. Of a run: the first gaps, and how many there are; none where only its start, its
    /// end or its index is damaged.
    Damaged(String, Vec<KeyGap>, u64),
    /// Nothing that can be used, and why.
    Unusable(String),
}

impl Condition {
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Condition::Whole
    }
}

/// The files of a state.
#[derive(Debug)]
pub struct Conditions {
    pub manifest: Manifest,
    pub base: (PathBuf, Condition),
    pub delta: (PathBuf, Condition),
    pub journal: (PathBuf, Condition),
}

impl Conditions {
    /// Reads every byte of what a manifest names.
    pub fn of(folder: &Path, manifest: Manifest) -> Result<Conditions> {
        let belongs = Belongs {
            generation: manifest.generation,
            delta_checksum: manifest.delta.checksum,
        };
        let journal = folder.join(&manifest.journal);
        let condition = match journal::salvage(&journal, belongs, |_| Ok(())) {
            Ok(Left::Whole { torn_bytes: 0 }) => Condition::Whole,
            Ok(Left::Whole { torn_bytes }) => Condition::Torn(torn_bytes),
            Ok(Left::Damaged { at }) => {
                Condition::Damaged(format!("damaged at byte {at}"), Vec::new(), 0)
            }
            Ok(Left::Nothing(why)) => Condition::Unusable(why.to_owned()),
            Err(error) => Condition::Unusable(format!("{error:#}")),
        };
        Ok(Conditions {
            base: find_run(folder, &manifest.base)?,
            delta: find_run(folder, &manifest.delta)?,
            journal: (journal, condition),
            manifest,
        })
    }

    #[must_use]
    pub fn are_whole(&self) -> bool {
        let is_in_place = |path: &Path, name: &str| path.ends_with(name);
        [&self.base.1, &self.delta.1]
            .iter()
            .all(|condition| condition.is_whole())
            && matches!(self.journal.1, Condition::Whole | Condition::Torn(_))
            && is_in_place(&self.base.0, &self.manifest.base.name)
            && is_in_place(&self.delta.0, &self.manifest.delta.name)
    }

    /// A line a file: what it is, and what is wrong with it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let parts = [
            (&self.manifest.base.name, &self.base),
            (&self.manifest.delta.name, &self.delta),
            (&self.manifest.journal, &self.journal),
        ];
        let mut lines = Vec::new();
        for (name, (path, condition)) in parts {
            if !path.ends_with(name) {
                lines.push(format!("{name}: is in {}", path.display()));
            }
            lines.extend(condition_lines(name, condition));
        }
        lines
    }
}

/// A line, and one a gap.
pub fn condition_lines(name: &str, condition: &Condition) -> Vec<String> {
    match condition {
        Condition::Whole => vec![format!("{name}: whole")],
        Condition::Torn(bytes) => vec![format!(
            "{name}: whole, but for {bytes} bytes at its end, as a crash leaves them; a run drops them"
        )],
        Condition::Unusable(why) => vec![format!("{name}: {why}")],
        Condition::Damaged(what, gaps, count) => {
            let mut lines = vec![format!("{name}: {what}")];
            lines.extend(gaps.iter().map(|gap| format!("{name}: {gap}")));
            if *count > gaps.len() as u64 {
                let more = count - gaps.len() as u64;
                lines.push(format!("{name}: and {more} more such stretches"));
            }
            lines
        }
    }
}

/// The run that is named; where it is not in its place, another file of the folder that is it.
fn find_run(folder: &Path, named: &RunFile) -> Result<(PathBuf, Condition)> {
    let path = folder.join(&named.name);
    let condition = judge_run(&path, Some(named))?;
    if !matches!(condition, Condition::Unusable(_)) {
        return Ok((path, condition));
    }
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let other = entry.context("read the folder of the state")?.path();
        let is_it = Run::open(&other).is_ok_and(|run| named.matches(run.figures()));
        if is_it && other != path {
            let condition = judge_run(&other, Some(named))?;
            return Ok((other, condition));
        }
    }
    Ok((path, condition))
}

/// Reads every byte of a run; `named` is what the manifest says of it.
pub fn judge_run(path: &Path, named: Option<&RunFile>) -> Result<Condition> {
    let mut salvage = match Salvage::open(path) {
        Ok(salvage) => salvage,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Err(Newer(error.to_string()).into());
        }
        Err(error) => {
            let is_missing = matches!(fs::metadata(path),
                Err(found) if found.kind() == io::ErrorKind::NotFound);
            if is_missing {
                return Ok(Condition::Unusable("it is missing".to_owned()));
            }
            return Err(error).context("read the state; copy what the disk still reads elsewhere");
        }
    };
    let mut gaps = Vec::new();
    let mut last = None;
    let mut bad_from = None;
    loop {
        let is_on = match salvage.advance() {
            Ok(is_on) => is_on,
            Err(error) if error.kind() == ErrorKind::Malformed => {
                return Ok(Condition::Unusable(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(gap) = salvage.gap() {
            bad_from.get_or_insert(gap.first_byte);
            if gaps.len() < GAPS_TOLD {
                gaps.push(KeyGap {
                    after: last.take(),
                    before: is_on.then(|| salvage.key().to_vec()),
                    lost: gap.lost,
                });
            }
        }
        if !is_on {
            break;
        }
        if Record::decode(salvage.value()).is_err() {
            let why = "a foreign program wrote its entries".to_owned();
            return Ok(Condition::Unusable(why));
        }
        // Only the key before a gap is of use: it is kept where another gap may follow.
        if gaps.len() < GAPS_TOLD {
            let last = last.get_or_insert_with(Vec::new);
            last.clear();
            last.extend_from_slice(salvage.key());
        }
    }
    let figures = salvage.figures();
    if figures.entries == 0 && figures.told.is_none() {
        return Ok(Condition::Unusable("nothing of a run is in it".to_owned()));
    }
    let is_of_another = named.is_some_and(|named| {
        let told = figures.told;
        told.is_some_and(|told| told != (named.entries, named.checksum))
            || figures.entries > named.entries
    });
    if is_of_another {
        let why = format!("it is not the one that {} names", manifest::NAME);
        return Ok(Condition::Unusable(why));
    }
    // Its end is lost, but all that the manifest counts is there.
    let is_all = named.is_some_and(|named| {
        (figures.entries, figures.checksum) == (named.entries, named.checksum)
    });
    if is_all {
        gaps.clear();
    }
    let length = fs::metadata(path).map_or(0, |found| found.len());
    let is_long = named.is_some_and(|named| named.file_bytes != length);
    if Run::open(path).is_ok() && figures.bad_bytes == 0 && gaps.is_empty() && !is_long {
        return Ok(Condition::Whole);
    }
    let count = if is_all { 0 } else { figures.gaps };
    let what = match (count, bad_from) {
        (0, _) => "its start, its end or its index is damaged; all entries are there".to_owned(),
        (_, Some(at)) => format!("damaged at byte {at}; {} entries are left", figures.entries),
        (_, None) => format!("damaged; {} entries are left", figures.entries),
    };
    Ok(Condition::Damaged(what, gaps, count))
}

/// What a file of a state alone is, and whether it is whole.
///
/// # Errors
/// It can't be read, or is no file of a state.
pub fn judge_file(path: &Path) -> Result<Condition> {
    let mut start = [0; 28];
    let bytes = fs::File::open(path)
        .and_then(|file| {
            use std::os::unix::fs::FileExt;
            file.read_at(&mut start, 0)
        })
        .with_context(|| format!("read {}", path.display()))?;
    if start.starts_with(b"mirrjrnl") && bytes == start.len() {
        let number = |at: usize, length: usize| {
            let bytes = start[at..at + length].iter().rev();
            bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let belongs = Belongs {
            generation: number(12, 8),
            delta_checksum: number(20, 4) as u32,
        };
        return Ok(match journal::salvage(path, belongs, |_| Ok(()))? {
            Left::Whole { torn_bytes: 0 } => Condition::Whole,
            Left::Whole { torn_bytes } => Condition::Torn(torn_bytes),
            Left::Damaged { at } => {
                Condition::Damaged(format!("damaged at byte {at}"), Vec::new(), 0)
            }
            Left::Nothing(why) => Condition::Unusable(why.to_owned()),
        });
    }
    if start.starts_with(b"plimruns") {
        return judge_run(path, None);
    }
    if start.starts_with(b"{") {
        Manifest::read_from(path)?;
        return Ok(Condition::Whole);
    }
    bail!(
        "check {}: it is neither a run, nor a journal, nor a {}; its start is damaged, or it is no file of a \
         state",
        path.display(),
        manifest::NAME
    );
}
