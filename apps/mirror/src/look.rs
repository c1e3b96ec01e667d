//! The verbs that need the state alone: what is known, whether it is whole, and having it small.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::config::{CheckArguments, StateArguments};
use crate::key::{Policy, judge};
use crate::record::{Held, Record};
use crate::run::{EQUAL, PARTIAL};
use crate::scan::{StatusCounts, copy};
use crate::state::condition::{Condition, Conditions, condition_lines, judge_file};
use crate::state::{self, Lock, Manifest, Pair, State};
use crate::work::now;

pub(crate) fn status(arguments: &StateArguments) -> Result<ExitCode> {
    let state = State::look(&arguments.state)?;
    let mut known = state.known()?;
    let mut counts = StatusCounts::default();
    while known.advance()? {
        if let Some(record) = known.record() {
            counts.add(record.status());
        }
    }
    let manifest = state.manifest();
    println!("source: {}", manifest.pair.source);
    println!("destination: {}", manifest.pair.destination);
    if !manifest.range.is_empty() {
        println!("range: {}", manifest.range);
    }
    println!("{}", counts.line());
    let (base, delta) = (&manifest.base, &manifest.delta);
    println!(
        "state: generation {}, base {} entries in {} bytes, delta {} in {}",
        manifest.generation, base.entries, base.file_bytes, delta.entries, delta.file_bytes
    );
    match manifest.listed_at {
        0 => println!("never listed"),
        at => println!("listed {} seconds ago", now().saturating_sub(at)),
    }
    // Before the first listing nobody knows what the source has.
    let is_equal = counts.total() == counts.synced && manifest.listed_at != 0;
    Ok(ExitCode::from(if is_equal { EQUAL } else { PARTIAL }))
}

pub(crate) fn explain(key: &str, arguments: &StateArguments) -> Result<ExitCode> {
    let state = State::look(&arguments.state)?;
    let mut known = state.known_from(key.as_bytes())?;
    let is_known = known.advance()? && known.key() == key.as_bytes();
    let record = match is_known {
        true => known.take_record(),
        false => None,
    };
    let Some(record) = record else {
        println!("{key:?}: not known");
        match judge(key.as_bytes()) {
            Policy::Mirror => {
                println!("no listing had it, or it is deleted on both sides")
            }
            Policy::FolderMarker => println!("a folder marker: no file is meant"),
            Policy::Refuse(why) => println!("never mirrored: {why}"),
        }
        return Ok(ExitCode::from(PARTIAL));
    };
    println!("{key:?}: {}", record.status().name());
    let (wanted, held) = match &record {
        Record::Synced(meta) => (Some(meta), None),
        Record::New { meta, held, .. } => (Some(meta), Some(held)),
        Record::Deleted { held, .. } => (None, Some(held)),
    };
    match wanted {
        Some(meta) => println!(
            "source: {} bytes, modified {} (seconds since 1970), ETag {}",
            meta.size_bytes, meta.modified, meta.etag
        ),
        None => println!("source: not in the last listing"),
    }
    match held {
        None => println!("destination: the same, by its last upload, adoption or import"),
        Some(Held::Nothing) => println!("destination: nothing yet"),
        Some(Held::Version(meta)) => println!(
            "destination: {} bytes with ETag {}, untouched so far",
            meta.size_bytes, meta.etag
        ),
        Some(Held::Unknown) => {
            println!("destination: not known; an upload or a deletion had begun")
        }
    }
    if let Some(trouble) = record.trouble() {
        let due = match trouble.is_due(now()) {
            true => "tried again in the next run",
            false => "not due again yet",
        };
        println!(
            "failed {} times in a row, last: {}; {due}",
            trouble.attempts, trouble.reason
        );
    }
    let is_equal = !record.is_pending();
    Ok(ExitCode::from(if is_equal { EQUAL } else { PARTIAL }))
}

/// A line of an export; what is not known is left out.
#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl<'a> Line<'a> {
    fn new(key: &'a str, record: &Record) -> Line<'a> {
        let meta = match record {
            Record::Synced(meta) | Record::New { meta, .. } => Some(meta),
            Record::Deleted { .. } => None,
        };
        let etag = meta.map(|meta| meta.etag.to_string());
        Line {
            key,
            status: record.status().name(),
            size_bytes: meta.map(|meta| meta.size_bytes),
            modified_seconds: meta.map(|meta| meta.modified),
            etag: etag.filter(|etag| !etag.is_empty()),
            attempts: record.trouble().map(|trouble| trouble.attempts),
            reason: record.trouble().map(|trouble| trouble.reason.to_string()),
        }
    }
}

pub(crate) fn export(arguments: &StateArguments) -> Result<ExitCode> {
    let state = State::look(&arguments.state)?;
    let mut known = state.known()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    while known.advance()? {
        let Some(record) = known.record() else {
            continue;
        };
        let key =
            str::from_utf8(known.key()).context("the state has a key that is never mirrored")?;
        serde_json::to_writer(&mut out, &Line::new(key, record)).context("write the export")?;
        writeln!(out).context("write the export")?;
    }
    out.flush().context("write the export")?;
    Ok(ExitCode::from(EQUAL))
}

pub(crate) fn compact(arguments: &StateArguments) -> Result<ExitCode> {
    let manifest = State::look(&arguments.state)?.manifest().clone();
    let lock = Lock::take(&arguments.state)?;
    let state = State::open_range(&arguments.state, &manifest.pair, &manifest.range, &lock)?;
    let listed_at = state.manifest().listed_at;
    let mut next = state.next()?.fold()?;
    copy(state.known()?, &mut next)?;
    let state = state.reopen(next.publish(listed_at)?)?;
    let base = state.base().figures();
    println!("{} entries in {} bytes", base.entries, base.file_bytes);
    Ok(ExitCode::from(EQUAL))
}

pub(crate) fn check(arguments: &CheckArguments) -> Result<ExitCode> {
    let path = &arguments.state.state;
    if path.is_file() {
        return check_file(path);
    }
    if !path.is_dir() {
        bail!(
            "check {}: there is no such folder; --state names the folder of a state",
            path.display()
        );
    }
    if arguments.repair {
        return repair(arguments);
    }
    /// A generation lasts minutes; a run does not publish so often while one is read.
    const TRIES: usize = 3;
    let mut found = conditions(path)?;
    for _ in 1..TRIES {
        let now = Manifest::read(path)?;
        if found.are_whole() || now.is_none_or(|now| now == found.manifest) {
            break;
        }
        found = conditions(path)?;
    }
    for line in found.lines() {
        println!("{line}");
    }
    if !found.are_whole() {
        bail!(
            "the state in {} is damaged: `mirror check --repair --state {0}` keeps what is known, and the next \
             run uploads the rest again",
            path.display()
        );
    }
    let mut known = State::look(path)?.known()?;
    let mut count = 0_u64;
    while known.advance()? {
        count += u64::from(known.record().is_some());
    }
    println!("the state is whole: {count} keys");
    Ok(ExitCode::from(EQUAL))
}

fn conditions(path: &Path) -> Result<Conditions> {
    let Some(manifest) = Manifest::read(path)? else {
        bail!(
            "check {}: no MANIFEST is in it, so it is no state, or a damaged one that `mirror check --repair` \
             looks through",
            path.display()
        );
    };
    println!("MANIFEST: whole, generation {}", manifest.generation);
    Conditions::of(path, manifest)
}

fn check_file(path: &Path) -> Result<ExitCode> {
    let condition = judge_file(path)?;
    let name = path.display().to_string();
    for line in condition_lines(&name, &condition) {
        println!("{line}");
    }
    if !matches!(condition, Condition::Whole | Condition::Torn(_)) {
        bail!("{name} is damaged: `mirror check --repair` on its folder keeps what is known");
    }
    Ok(ExitCode::from(EQUAL))
}

fn repair(arguments: &CheckArguments) -> Result<ExitCode> {
    let path = &arguments.state.state;
    let pair = match (&arguments.pair_source, &arguments.pair_destination) {
        (Some(source), Some(destination)) => Some(Pair {
            source: source.clone(),
            destination: destination.clone(),
        }),
        _ => None,
    };
    let lock = Lock::take(path)?;
    let Some(repaired) = state::repair::repair(path, pair, &lock)? else {
        println!("the state is whole: nothing to repair");
        return Ok(ExitCode::from(EQUAL));
    };
    if repaired.has_new_manifest {
        println!("MANIFEST: made anew");
    }
    println!(
        "repaired: {} keys kept, {} uncertain: they are uploaded or deleted again",
        repaired.kept, repaired.uncertain
    );
    for gap in &repaired.lost {
        println!(
            "lost: {gap}; what is listed there is uploaded again, and what is not stays at the destination"
        );
    }
    if repaired.lost_stretches > repaired.lost.len() as u64 {
        let more = repaired.lost_stretches - repaired.lost.len() as u64;
        println!("lost: {more} more such stretches");
    }
    println!("the old files are in {}", repaired.aside.display());
    let is_all = repaired.uncertain == 0 && repaired.lost_stretches == 0;
    Ok(ExitCode::from(if is_all { EQUAL } else { PARTIAL }))
}
