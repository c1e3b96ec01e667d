//! The verbs: what is done in which order, what is said of it, and the exit code.

mod left;
mod lines;
mod list;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use plimsoll::beacon::{Beacon, BeaconOptions};
use plimsoll::stage::Stage;

use crate::bandwidth::Bandwidth;
use crate::config::{Command, LogLevel, RunArguments};
use crate::divide;
use crate::import;
use crate::look;
use crate::memory::{self, Memory};
use crate::metrics::Metrics;
use crate::remote::{Place, Remote};
use crate::report::Log;
use crate::s3::Client;
use crate::scan::{Cancelled, ScanCounts};
use crate::state::{Lock, Manifest, State};
use crate::work::{Phase, Progress, SideAtFault, Work, now};
use left::{Left, withheld};
use lines::{tell_scan, tell_uploads};
use list::list;

/// Both sides are equal; something is left.
pub(crate) const EQUAL: u8 = 0;
pub(crate) const PARTIAL: u8 = 2;

/// Runs a command to its exit code.
///
/// # Errors
/// What ended it: exit code 1.
pub fn execute(mut command: Command) -> Result<ExitCode> {
    let mut remote = enter(&mut command)?;
    let ended = verb(command, &mut remote)?;
    // A run has done it, before its work began.
    if let Some(remote) = &mut remote {
        remote.publish()?;
    }
    Ok(ended)
}

/// Pulls a state on S3 into a folder, which the command names from then on.
fn enter(command: &mut Command) -> Result<Option<Remote>> {
    let access = command.access();
    let mut log = Log::new(LogLevel::Info);
    let mut source = None;
    if let Some(run) = command.run_mut() {
        log = Log::plain(run);
        if let Some(place) = Place::parse(&run.state.state)? {
            let of_source = run.source()?;
            place.refuse_within(run, &of_source)?;
            source = Some(of_source);
        }
    }
    let Some(state) = command.state_mut() else {
        return Ok(None);
    };
    let is_run = source.is_some();
    let remote = Remote::enter(state, source, access, &|text| log.error(text))?;
    if remote.is_some() && is_run {
        log.info(format!(
            "the state is pulled into {}",
            state.state.display()
        ));
    }
    Ok(remote)
}

fn verb(command: Command, remote: &mut Option<Remote>) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) if arguments.dry_run => plan(&arguments),
        Command::Run(arguments) => run(&arguments, remote.as_mut()),
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

fn run(arguments: &RunArguments, remote: Option<&mut Remote>) -> Result<ExitCode> {
    let log = Log::of(arguments);
    let memory = Memory::begin(&arguments.plan)?;
    let _beacon = publish(&log, memory);
    let file = arguments.metrics_file.as_deref();
    let metrics = Metrics::start(file, arguments.metrics_addr.as_deref(), log)?;
    let ended = run_measured(arguments, &log, &metrics, remote);
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

fn run_measured(
    arguments: &RunArguments,
    log: &Log,
    metrics: &Metrics,
    mut remote: Option<&mut Remote>,
) -> Result<u8> {
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
    let published = || {
        let state = state.reopen(next.publish(now())?)?;
        if let Some(remote) = &mut remote {
            remote.publish()?;
        }
        Ok(state)
    };
    let state = staged(metrics, "publish", published)?;
    log.memory("AFTER_PUBLISH");

    let mut journal = state.journal()?;
    if let Some(remote) = &remote {
        remote.follow(&mut journal);
    }
    let fence = remote.as_ref().and_then(|remote| remote.fence());
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
        fence: fence.as_deref(),
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
