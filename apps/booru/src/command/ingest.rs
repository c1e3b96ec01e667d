//! Importing, watching and deleting, as commands.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::progress::Progress;
use super::{open, say, say_json, shown};
use crate::config::{BoardArguments, FormArguments};
use crate::ingest::{
    Event, Files, Ingest, IngestArguments, Mode, Outcome, Settings, Totals, Watcher, each_set_aside,
};
use crate::memory::rss_peak_bytes;
use crate::store::{self, Access, Store};

/// Something was set aside.
const SET_ASIDE: u8 = 1;

fn ingest(board: &BoardArguments, arguments: &IngestArguments) -> Result<Ingest> {
    let settings = Settings::of(board, arguments)?;
    let writer = Arc::new(Mutex::new(open(board, Access::InPlace)?));
    Ingest::open(settings, writer, Duration::from_secs(board.patience))
}

/// What a killed deletion has left keeps nothing from coming.
fn finish_deletions(ingest: &Ingest) {
    if let Err(error) = ingest.finish_deletions() {
        eprintln!("booru: {}", shown(&format!("{error:#}")));
    }
}

pub(super) fn import(
    board: &BoardArguments,
    arguments: &IngestArguments,
    paths: &[PathBuf],
    mode: Mode,
    retries: bool,
    form: &FormArguments,
) -> Result<ExitCode> {
    let ingest = ingest(board, arguments)?.retrying(retries);
    finish_deletions(&ingest);
    let mut progress = Progress::new(ingest.count(paths)?);
    let begun = Instant::now();
    let totals = ingest.import(paths, mode, &mut |event| {
        if let Some(line) = line_of(event) {
            progress.clear();
            eprintln!("{line}");
        }
        progress.event(event);
    })?;
    progress.clear();
    match form.json {
        true => say_json(&Imported {
            totals,
            seconds: begun.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(),
            decoding_peak_bytes: ingest.decoding_peak_bytes(),
            rss_peak_bytes: rss_peak_bytes()?,
        })?,
        false => say(&format!("{}\n", summary(&totals)))?,
    }
    Ok(match totals.set_aside + totals.still_aside {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SET_ASIDE),
    })
}

/// What an import came to, and what it took.
#[derive(Serialize)]
struct Imported {
    #[serde(flatten)]
    totals: Totals,
    /// By the clock and of the processor, for all threads.
    seconds: f64,
    cpu_seconds: f64,
    /// Most that was reserved for pictures that are decoded.
    decoding_peak_bytes: u64,
    /// Of the process, since its start.
    rss_peak_bytes: u64,
}

/// Of this process since its start.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it fills the structure, which lives on this stack.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What a person should know of a file.
fn line_of(event: &Event) -> Option<String> {
    let path = shown(&event.path.to_string_lossy());
    match &event.outcome {
        Outcome::SetAside { reason } => Some(format!("set aside {path}: {}", shown(reason))),
        Outcome::TakenIn {
            note: Some(note), ..
        } => Some(format!("{path}: {}", shown(note))),
        Outcome::Restored { id } => {
            Some(format!("{path} is the lost file of image {id}: put back"))
        }
        // Another importer may have had it.
        Outcome::Changed if event.path.exists() => {
            Some(format!("{path} changed while it was read: left for later"))
        }
        _ => None,
    }
}

fn summary(totals: &Totals) -> String {
    let mut parts = vec![format!("{} taken in", totals.taken_in)];
    let mut more = |count: u64, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    more(totals.duplicates, "duplicates");
    more(totals.duplicates_removed, "of them removed");
    more(totals.restored, "lost files put back");
    more(totals.set_aside, "set aside");
    more(totals.still_aside, "set aside before");
    more(totals.changed, "changed meanwhile");
    more(totals.stored, "stored already");
    more(totals.to_go, "of deleted images");
    parts.join(", ")
}

pub(super) fn list_set_aside(board: &BoardArguments, form: &FormArguments) -> Result<()> {
    let options = board.store_options(Access::ReadOnly)?;
    let store = Store::open(&store::find(&board.board)?, options)?;
    if form.json {
        let mut all = Vec::new();
        each_set_aside(&store, |one| {
            all.push(one);
            Ok(())
        })?;
        return say_json(&all);
    }
    each_set_aside(&store, |one| {
        let (path, reason) = (shown(&one.path), shown(&one.reason));
        say(&format!("{}  {path}: {reason}\n", one.at))
    })
}

pub(super) fn watch(board: &BoardArguments, arguments: &IngestArguments) -> Result<()> {
    let ingest = ingest(board, arguments)?;
    let mut watcher = Watcher::new(&ingest)?;
    eprintln!(
        "watching {} and {}",
        ingest.settings().ingest.display(),
        ingest.settings().images.display()
    );
    let mut on_event = |event: &Event| {
        let path = shown(&event.path.to_string_lossy());
        match (&event.outcome, line_of(event)) {
            (Outcome::TakenIn { id, .. }, _) => eprintln!("{path} is image {id}"),
            (_, Some(line)) => eprintln!("{line}"),
            _ => {}
        }
    };
    let mut on_error = |error: anyhow::Error| eprintln!("booru: {}", shown(&format!("{error:#}")));
    // A kill at any time leaves nothing half done.
    watcher.run(&|| false, &mut on_event, &mut on_error);
    Ok(())
}

pub(super) fn delete(
    board: &BoardArguments,
    arguments: &IngestArguments,
    query: Option<&str>,
    ids: &[u32],
    files: Files,
) -> Result<()> {
    let settings = Settings::of(board, arguments)?;
    let mut board = open(board, Access::InPlace)?;
    let ids = match query {
        Some(query) => board.all_matches(&query.parse()?)?,
        None => ids.to_vec(),
    };
    let deleted = crate::ingest::delete(&mut board, &settings, &ids, files)?;
    let what = match files {
        Files::Trashed => "moved to the trash",
        Files::Deleted => "deleted",
    };
    let mut line = format!(
        "{} images deleted, {} files {what}",
        deleted.images, deleted.files
    );
    if deleted.missing > 0 {
        line.push_str(&format!(", {} were not there", deleted.missing));
    }
    say(&format!("{line}\n"))
}
