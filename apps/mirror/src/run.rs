//! The verbs: what is done in which order, what is said of it, and the exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use plimsoll::beacon::{Beacon, BeaconOptions};
use plimsoll::runs::SortOptions;
use plimsoll::stage::Stage;
use plimsoll::stream::TempSpace;

use crate::bandwidth::Bandwidth;
use crate::config::{Command, RunArguments};
use crate::divide;
use crate::import;
use crate::listing::{
    BucketListing, Hints, IgnoresStartAfter, KnownHints, Lister, Options, SortedListing, Strategy,
    Unordered,
};
use crate::look;
use crate::memory::{self, LISTER_BYTES, Memory, PAGE_BYTES};
use crate::metrics::Metrics;
use crate::report::Log;
use crate::s3::Client;
use crate::scan::{Cancelled, ScanCounts, UntilCancelled, scan};
use crate::state::{Generation, Lock, Manifest, State};
use crate::work::{Phase, Progress, SideAtFault, Work, now};

/// Both sides are equal; something is left.
pub(crate) const EQUAL: u8 = 0;
pub(crate) const PARTIAL: u8 = 2;

/// Runs a command to its exit code.
///
/// # Errors
/// What ended it: exit code 1.
pub fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) if arguments.dry_run => plan(&arguments),
        Command::Run(arguments) => run(&arguments),
        Command::Plan(arguments) => plan(&arguments),
        Command::Status(arguments) => look::status(&arguments),
        Command::Explain { key, state } => look::explain(&key, &state),
        Command::Export(arguments) => look::export(&arguments),
        Command::Compact(arguments) => look::compact(&arguments),
        Command::Check(arguments) => look::check(&arguments),
        Command::ImportBbolt(arguments) => import::import(&arguments),
        Command::Ranges(arguments) => divide::print_ranges(&arguments),
        Command::Split { split, into } => divide::split(&split, &into),
        Command::Join(arguments) => divide::join(&arguments),
    }
}

fn open(arguments: &RunArguments, lock: &Lock) -> Result<State> {
    let range = Manifest::range_text(&arguments.range);
    State::open_range(&arguments.state.state, &arguments.pair(), &range, lock)
}

fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let log = Log::of(arguments);
    let memory = Memory::begin(&arguments.plan)?;
    let _beacon = publish(&log, memory);
    let file = arguments.metrics_file.as_deref();
    let metrics = Metrics::start(file, arguments.metrics_addr.as_deref(), log)?;
    let ended = run_measured(arguments, &log, &metrics);
    log.info(memory.line());
    metrics.end(*ended.as_ref().unwrap_or(&1));
    ended.map(ExitCode::from)
}

/// Makes tags, stages and the budget visible to `plimsoll watch`; a run goes on without.
fn publish(log: &Log, memory: &Memory) -> Option<Beacon> {
    let beacon = BeaconOptions::default()
        .budget("memory-budget", &memory.budget)
        .publish();
    beacon
        .map_err(|error| log.debug(format!("nobody can watch this run from outside: {error}")))
        .ok()
}

fn run_measured(arguments: &RunArguments, log: &Log, metrics: &Metrics) -> Result<u8> {
    let (source, destination) = memory::TLS
        .run(|| Ok::<_, anyhow::Error>((arguments.source()?, arguments.destination()?)))?;
    let cancel = set_by_signals()?;
    let lock = Lock::take(&arguments.state.state)?;
    let state = open(arguments, &lock)?;
    log.memory("START_PREPARE_SCAN");
    let client = Arc::new(memory::TLS.run(|| Client::new(source))?);
    let listed = || list(arguments, log, &client, &state, &cancel);
    let (counts, next) = match staged(metrics, "scan", listed) {
        Ok(listed) => listed,
        Err(error) if error.is::<Cancelled>() => return Ok(Left::cancelled().tell(log)),
        Err(error) => return Err(error),
    };
    log.memory("AFTER_SCAN");
    tell_scan(log, &counts);
    metrics.scanned(&counts);
    log.memory("START_FINALIZE_SCAN");
    let published = || state.reopen(next.publish(now())?);
    let state = staged(metrics, "publish", published)?;
    log.memory("AFTER_PUBLISH");

    let mut journal = state.journal()?;
    let begun = Instant::now();
    let tell = |phase: Phase, progress: &Progress| {
        metrics.progress(phase, progress);
        if phase == Phase::Upload {
            let all = state.delta().figures().entries;
            log.progress(progress, all, begun.elapsed());
        }
    };
    let bandwidth = Bandwidth::new(arguments.bwlimit);
    let work = Work {
        client: &client,
        destination: &destination,
        workers: arguments.dest_workers as usize,
        tries: arguments.dest_max_retries,
        adopt: arguments.adopt,
        cancel: &cancel,
        bandwidth: bandwidth.as_ref(),
        progress: &tell,
        failure: &|key, reason, text| log.error(format!("{key:?}: {reason}: {text}")),
        notice: &|text| log.error(text),
        file: &|key, outcome| log.verbose(format!("{outcome:?} {key:?}")),
    };
    let mut left = Left {
        refused: counts.refused_total(),
        ..Left::default()
    };
    let mut at_fault = None;
    if counts.after.new + counts.after.error > 0 {
        let uploaded = staged(metrics, "upload", || {
            work.run(&state, &mut journal, Phase::Upload)
        });
        log.end_progress();
        log.memory("AFTER_UPLOAD");
        match uploaded {
            Ok(uploaded) => {
                tell_uploads(log, &counts, &uploaded);
                if arguments.adopt.is_some() {
                    log.info(format!(
                        "AdoptFiles: adopted={}: the destination has files of their lengths; their bytes \
                         were not compared",
                        uploaded.adopted
                    ));
                }
                left.add(&uploaded);
            }
            // What was deleted from the source may be what fills the destination.
            Err(error) if error.is::<SideAtFault>() => {
                log.error(format!("SyncNewFiles: {error}"));
                at_fault = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    delete(arguments, log, &counts, &mut left, || {
        staged(metrics, "delete", || {
            work.run(&state, &mut journal, Phase::Delete)
        })
    })?;
    metrics.withheld(left.withheld);
    if let Some(error) = at_fault {
        return Err(error);
    }
    left.is_cancelled = cancel.load(Ordering::Relaxed);
    Ok(left.tell(log))
}

/// Runs a phase, with its time in the metrics and its name in what `plimsoll watch` shows.
fn staged<T>(metrics: &Metrics, name: &'static str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let _stage = Stage::begin(name);
    let _scope = memory::STATE.enter();
    metrics.phase(name, act)
}

/// Set by the first signal; the second one ends the run at once, whatever it waits for, which costs no more than
/// a crash.
fn set_by_signals() -> Result<Arc<AtomicBool>> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let code = i32::from(PARTIAL);
        signal_hook::flag::register_conditional_shutdown(signal, code, cancel.clone())
            .and_then(|_| signal_hook::flag::register(signal, cancel.clone()))
            .context("listen to signals")?;
    }
    Ok(cancel)
}

/// What that may take on disk: more than the listing of any bucket.
const SORT_DISK_BYTES: u64 = 1 << 40;

/// The listing beside what is known. Where the source does not begin a listing where it is asked to, it
/// is listed once more without that; where it does not list in order, once more, and sorted.
fn list(
    arguments: &RunArguments,
    log: &Log,
    client: &Arc<Client>,
    state: &State,
    cancel: &AtomicBool,
) -> Result<(ScanCounts, Generation)> {
    let memory = Memory::begin(&arguments.plan)?;
    let held = memory.listing.reserve(arguments.plan.listing_bytes())?;
    let mut options = arguments.listing()?;
    let lister: Arc<dyn Lister> = client.clone();
    let mut listed = list_ranges(&lister, &options, log, state, cancel);
    if let Err(error) = &listed
        && error.is::<IgnoresStartAfter>()
    {
        log.error(format!(
            "{error}: it is listed again, one page after the other"
        ));
        (options.strategy, options.is_from_start) = (Strategy::Flat, true);
        listed = list_ranges(&lister, &options, log, state, cancel);
    }
    let unordered = match listed {
        Err(error) if error.is::<Unordered>() => error,
        ended => return ended,
    };
    log.error(format!(
        "{unordered}: it is listed again and sorted, and deletes nothing"
    ));
    drop(held);
    let _page = memory.listing.reserve(LISTER_BYTES + PAGE_BYTES)?;
    let _held = memory.sort.reserve(arguments.plan.sort_bytes)?;
    let sort = SortOptions {
        memory_bytes: arguments.plan.sort_bytes as usize,
        space: TempSpace::new(&arguments.state.state, SORT_DISK_BYTES)?,
    };
    let mut listing = SortedListing::read(&**client, &options.prefix, &options.range, sort)?;
    let listing = &mut UntilCancelled {
        listing: &mut listing,
        cancel,
        listed: 0,
        each: &|batches| log.memory(&format!("AFTER_BATCH_{batches}")),
    };
    let mut next = state.next()?;
    let mut counts = scan(state.known()?, listing, &mut next)?;
    counts.is_unordered = true;
    Ok((counts, next))
}

fn list_ranges(
    lister: &Arc<dyn Lister>,
    options: &Options,
    log: &Log,
    state: &State,
    cancel: &AtomicBool,
) -> Result<(ScanCounts, Generation)> {
    let base = state.base();
    let known = KnownHints::new(base.frame_starts(), base.figures().entries);
    let known: Option<Box<dyn Hints>> = match base.figures().entries {
        0 => None,
        _ => Some(Box::new(known)),
    };
    let rate = *log;
    let tell = move |each| rate.info(format!("S3 listing: current RPS = {each} req/s"));
    let mut listing = BucketListing::start(lister, options, known, Box::new(tell))?;
    let mut next = state.next()?;
    let until = &mut UntilCancelled {
        listing: &mut listing,
        cancel,
        listed: 0,
        each: &|batches| log.memory(&format!("AFTER_BATCH_{batches}")),
    };
    let mut counts = scan(state.known()?, until, &mut next)?;
    counts.doubt = listing.doubt();
    if let Some(doubt) = &counts.doubt {
        log.error(format!(
            "{doubt}: what is missing may be there all the same"
        ));
    }
    log.debug(format!("{:?}", listing.figures()));
    Ok((counts, next))
}

/// Deletes, where the listing and the limits allow it.
fn delete(
    arguments: &RunArguments,
    log: &Log,
    counts: &ScanCounts,
    left: &mut Left,
    act: impl FnOnce() -> Result<Progress>,
) -> Result<()> {
    let wanted = counts.after.deleted_in_source;
    if wanted == 0 {
        return Ok(());
    }
    if let Some(why) = withheld(arguments, counts) {
        left.withheld = wanted;
        log.error(format!(
            "DeleteRemovedFiles: {wanted} deletions withheld: {why}"
        ));
        return Ok(());
    }
    let deleted = act()?;
    log.memory("AFTER_DELETE");
    log.info(format!(
        "DeleteRemovedFiles: scanned={}, deleted={}, failed={}, waiting={}",
        deleted.looked_at, deleted.done, deleted.failed, deleted.waiting
    ));
    left.add(&deleted);
    Ok(())
}

/// Why nothing may be deleted, if that is so. That the listing is whole was made sure of before.
fn withheld(arguments: &RunArguments, counts: &ScanCounts) -> Option<String> {
    let wanted = counts.after.deleted_in_source;
    if arguments.allow_mass_delete {
        return None;
    }
    if counts.is_unordered {
        return Some(
            "the source does not list in order, so what it leaves out can't be told; \
             --allow-mass-delete to trust it"
                .to_owned(),
        );
    }
    if let Some(doubt) = &counts.doubt {
        return Some(format!("{doubt}; --allow-mass-delete to trust it"));
    }
    if counts.listed == 0 {
        return Some(
            "the bucket is empty, which is more often a mistake; --allow-mass-delete if it is none"
                .to_owned(),
        );
    }
    let known = counts.before.total();
    let allowed = arguments.deletions_max(known);
    (wanted > allowed).then(|| {
        format!(
            "{allowed} are allowed of {known} files known; look whether the bucket is right, then raise \
             --max-delete or give --allow-mass-delete"
        )
    })
}

/// What a run leaves undone.
#[derive(Debug, Default)]
struct Left {
    failed: u64,
    waiting: u64,
    skipped: u64,
    refused: u64,
    withheld: u64,
    is_cancelled: bool,
}

impl Left {
    fn cancelled() -> Left {
        Left {
            is_cancelled: true,
            ..Left::default()
        }
    }

    fn add(&mut self, progress: &Progress) {
        self.failed += progress.failed;
        self.waiting += progress.waiting;
        self.skipped += progress.skipped;
    }

    fn tell(&self, log: &Log) -> u8 {
        let all = self.failed + self.waiting + self.skipped + self.refused + self.withheld;
        if all == 0 && !self.is_cancelled {
            log.info("Synchronization run completed successfully");
            return EQUAL;
        }
        let ended = match self.is_cancelled {
            true => "was ended by a signal",
            false => "completed in part",
        };
        log.error(format!(
            "Synchronization run {ended}: failed={}, waiting={}, skipped={}, refused_keys={}, \
             withheld_deletions={}",
            self.failed, self.waiting, self.skipped, self.refused, self.withheld
        ));
        PARTIAL
    }
}

fn tell_scan(log: &Log, counts: &ScanCounts) {
    let before = &counts.before;
    log.info(format!(
        "PrepareForScan: processed={}, SYNCED→TEMP_DELETED={}, NEW={}, DELETED_ON_S3={}, TEMP_DELETED=0, \
         ERROR={}",
        before.total(),
        before.synced,
        before.new,
        before.deleted_in_source,
        before.error
    ));
    log.info(format!(
        "ProcessSource: total={}, new={}, TEMP_DELETED→SYNCED={}, TEMP_DELETED→NEW={}, \
         DELETED_ON_S3→NEW={}, DELETED_ON_S3→SYNCED={}, NEW(updated)={}",
        counts.listed,
        counts.new,
        counts.synced_to_synced,
        counts.synced_to_new,
        counts.deleted_to_new,
        counts.deleted_to_synced,
        counts.new_again
    ));
    log.info(format!(
        "FinalizeStates: TEMP_DELETED→DELETED_ON_S3={}, dropped={}; {}",
        counts.to_deleted,
        counts.dropped,
        counts.after.line()
    ));
    if counts.folder_markers > 0 {
        log.info(format!(
            "{} folder markers (keys that end in /) are no files",
            counts.folder_markers
        ));
    }
    for (refusal, count) in &counts.refused {
        log.error(format!("{count} keys are not mirrored: {refusal}"));
    }
}

fn tell_uploads(log: &Log, counts: &ScanCounts, uploaded: &Progress) {
    log.info(format!(
        "SyncNewFiles: scanned={}, NEW_files={}, synced={}, failed={}, waiting={}, total_size={}",
        uploaded.looked_at,
        counts.after.new + counts.after.error,
        uploaded.done,
        uploaded.failed,
        uploaded.waiting,
        uploaded.bytes
    ));
}

/// The scan of a run, which is then dropped. It takes the lock, as its files are written beside.
fn plan(arguments: &RunArguments) -> Result<ExitCode> {
    let log = Log::of(arguments);
    // Also what only a run needs is checked.
    arguments.destination()?;
    let lock = Lock::take(&arguments.state.state)?;
    let state = open(arguments, &lock)?;
    let client = Arc::new(Client::new(arguments.source()?)?);
    // A signal just ends it: nothing was changed.
    let (counts, next) = list(arguments, &log, &client, &state, &AtomicBool::new(false))?;
    log.memory("AFTER_SCAN");
    drop(next);
    tell_scan(&log, &counts);
    log.info(format!(
        "(dry-run) would upload {} files of {} bytes, and delete {}",
        counts.after.new + counts.after.error,
        counts.pending_bytes,
        counts.after.deleted_in_source
    ));
    if counts.after.deleted_in_source > 0
        && let Some(why) = withheld(arguments, &counts)
    {
        log.info(format!("(dry-run) the deletions would be withheld: {why}"));
    }
    let is_equal = counts.after.total() == counts.after.synced && counts.refused_total() == 0;
    Ok(ExitCode::from(if is_equal { EQUAL } else { PARTIAL }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Arguments;

    /// A listing that contradicts itself deletes nothing, however few it would be.
    #[test]
    fn a_doubtful_listing_withholds_deletions() {
        let check = |more: &[&str], expected: Option<&str>| {
            let base = [
                "mirror",
                "run",
                "--s3-endpoint=http://s",
                "--s3-bucket=b",
                "--s3-access-key=k",
                "--s3-secret-key=s",
                "--ftp-host=h",
                "--ftp-username=u",
            ];
            let words = base.iter().chain(more);
            let Command::Run(arguments) = Arguments::parse_from(words).command else {
                panic!("it is a run");
            };
            let mut counts = ScanCounts {
                listed: 1000,
                doubt: Some("it leaves out \"a\"".to_owned()),
                ..ScanCounts::default()
            };
            counts.before.synced = 1001;
            counts.after.deleted_in_source = 1;
            let why = withheld(&arguments, &counts);
            assert_eq!(why.as_deref(), expected);
            counts.doubt = None;
            assert_eq!(withheld(&arguments, &counts), None);
        };
        let why = "it leaves out \"a\"; --allow-mass-delete to trust it";
        check(&[], Some(why));
        check(&["--allow-mass-delete"], None);
    }
}
