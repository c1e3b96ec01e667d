//! What a scan found to do, done: uploads by several workers, then deletions. Memory: a queue of a few
//! keys, and for each worker a connection to either side and a buffer.
//!
//! Before anything of a stretch of the delta begins, the journal says so, durably: after a crash nothing
//! there is taken for untouched.

mod crew;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use plimsoll::runs::SortedEntries;

use crew::{Crew, Place};

use crate::adopt::Adopt;
use crate::bandwidth::Bandwidth;
use crate::ftp::{Connection, Fault, Settings};
use crate::memory;
use crate::metrics::{self, Side};
use crate::record::{Meta, Outcome, Reason, Record};
use crate::s3::{self, Client, FaultKind};
use crate::state::State;
use crate::state::journal::{Entry, JournalWriter};

/// How far the mark of what may have begun runs ahead: one fsync for so many entries of the delta.
const MARK_AHEAD: u64 = 1000;
/// Failures in a row, without any success between, after which something is wrong with a side and not
/// with the files.
const FAILURES_MAX: u64 = 100;
const PAUSE: Duration = Duration::from_millis(200);
const STACK_BYTES: usize = 512 << 10;

/// What is done, and by whom.
#[expect(
    missing_debug_implementations,
    reason = "it holds functions, and lives for one phase"
)]
pub struct Work<'a> {
    pub client: &'a Client,
    pub destination: &'a Settings,
    pub workers: usize,
    pub tries: u32,
    /// Whether, and by what, files that the destination has are taken for synced.
    pub adopt: Option<Adopt>,
    /// Set to end the run early.
    pub cancel: &'a AtomicBool,
    /// Bytes a second of all workers.
    pub bandwidth: Option<&'a Bandwidth>,
    /// Told once a second.
    pub progress: &'a (dyn Fn(Phase, &Progress) + Sync),
    /// Told of every failure.
    pub failure: &'a (dyn Fn(&str, Reason, &str) + Sync),
    /// Told what goes on otherwise than was asked for.
    pub notice: &'a (dyn Fn(&str) + Sync),
    /// Told of every file that is done.
    pub file: &'a (dyn Fn(&str, Outcome) + Sync),
}

/// So many files failed one after the other that a side is at fault. What another phase has to do may help:
/// deletions make room.
#[derive(Debug)]
pub struct SideAtFault;

impl fmt::Display for SideAtFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{FAILURES_MAX} files failed one after the other: a side is at fault, not the files"
        )
    }
}

impl std::error::Error for SideAtFault {}

/// Which part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Upload,
    Delete,
}

/// How far a phase is, or came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries of the delta that were looked at.
    pub looked_at: u64,
    pub done: u64,
    /// Were at the destination already.
    pub adopted: u64,
    pub failed: u64,
    /// Failed before, and not due again yet.
    pub waiting: u64,
    /// Left alone because the run was ended.
    pub skipped: u64,
    /// Bytes of files that were uploaded.
    pub bytes: u64,
}

struct Task {
    ordinal: u64,
    key: String,
    /// Of an upload.
    meta: Option<Meta>,
    /// By what it is done without an upload if the destination has it.
    adopt: Option<Adopt>,
}

struct Done {
    key: String,
    ordinal: u64,
    /// Of the file; 0 of a deletion.
    bytes: u64,
    end: Result<Outcome, Trouble>,
}

enum Trouble {
    Failed(Reason, String),
    Cancelled,
    /// A side can't be reached at all: nothing is said of the file.
    Unreachable(String),
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl Work<'_> {
    /// Does one phase to its end, or until it is cancelled.
    ///
    /// # Errors
    /// The state can't be read or written, or a side can't be reached: what was done until then is in the
    /// journal.
    pub fn run(
        &self,
        state: &State,
        journal: &mut JournalWriter,
        phase: Phase,
    ) -> Result<Progress> {
        let journal = Mutex::new(journal);
        let stop = AtomicBool::new(false);
        let crew = Crew::new(&stop);
        let looked_at = AtomicU64::new(0);
        let waiting = AtomicU64::new(0);
        let (task_sender, tasks) = sync_channel(2 * self.workers);
        let tasks = Mutex::new(tasks);
        let (done_sender, done) = sync_channel(2 * self.workers);
        let mut progress = Progress::default();
        let ended = thread::scope(|scope| -> Result<()> {
            let spawn = |name: String| thread::Builder::new().name(name).stack_size(STACK_BYTES);
            for number in 0..self.workers {
                let (tasks, crew, done) = (&tasks, &crew, done_sender.clone());
                // Fewer workers where memory is short, but one at least.
                let held = match memory::reserve_worker(number) {
                    Ok(held) => held,
                    Err(_) if number > 0 => break,
                    Err(error) => {
                        drop(task_sender);
                        return Err(error);
                    }
                };
                let started = spawn(format!("worker {number}")).spawn_scoped(scope, move || {
                    let _held = held;
                    memory::TRANSFER.run(|| self.work(tasks, crew, &done));
                });
                if let Err(error) = started {
                    // Those that were started wait for tasks until nobody can send any.
                    drop(task_sender);
                    return Err(error).context("start a worker");
                }
            }
            let producer = spawn("delta".to_owned())
                .spawn_scoped(scope, || {
                    let counters = (&looked_at, &waiting);
                    self.produce(state, &journal, phase, &stop, task_sender, counters)
                })
                .context("start a thread that reads the state")?;
            drop(done_sender);
            let counters = (&looked_at, &waiting);
            let collected = self.collect(&done, &journal, phase, counters, &mut progress);
            if collected.is_err() {
                stop.store(true, Ordering::Relaxed);
                // Whoever waits for room gets it.
                while done.recv().is_ok() {}
            }
            let produced = producer.join();
            collected?;
            produced.unwrap_or_else(|_| bail!("the thread that reads the state panicked"))
        });
        progress.looked_at = looked_at.into_inner();
        progress.waiting = waiting.into_inner();
        let journal = journal.into_inner().unwrap_or_else(PoisonError::into_inner);
        journal.sync()?;
        ended?;
        (self.progress)(phase, &progress);
        Ok(progress)
    }

    /// Reads what is to be done out of the delta.
    fn produce(
        &self,
        state: &State,
        journal: &Mutex<&mut JournalWriter>,
        phase: Phase,
        stop: &AtomicBool,
        tasks: SyncSender<Task>,
        (looked_at, waiting): (&AtomicU64, &AtomicU64),
    ) -> Result<()> {
        let mut delta = state.delta().reader();
        let mut marked = 0;
        while delta.advance()? {
            if stop.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed) {
                break;
            }
            let ordinal = delta.ordinal() - 1;
            looked_at.store(ordinal + 1, Ordering::Relaxed);
            let record = Record::decode(delta.value())?;
            let (meta, adopt, trouble) = match (record, phase) {
                (
                    Some(Record::New {
                        meta,
                        held,
                        trouble,
                    }),
                    Phase::Upload,
                ) => {
                    let adopt = self.adopt.filter(|adopt| adopt.asks(&held));
                    (Some(meta), adopt, trouble)
                }
                (Some(Record::Deleted { trouble, .. }), Phase::Delete) => (None, None, trouble),
                _ => continue,
            };
            if trouble.is_some_and(|trouble| !trouble.is_due(now())) {
                waiting.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if ordinal >= marked {
                marked = ordinal + MARK_AHEAD;
                let mark = match phase {
                    Phase::Upload => Entry::UploadsBegun(marked),
                    Phase::Delete => Entry::DeletionsBegun(marked),
                };
                let mut journal = lock(journal);
                journal.append(mark)?;
                journal.sync()?;
            }
            let key = String::from_utf8(delta.key().to_vec())
                .context("the state has a key that is never mirrored")?;
            let task = Task {
                ordinal,
                key,
                meta,
                adopt,
            };
            if tasks.send(task).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Writes what came of it into the journal.
    fn collect(
        &self,
        done: &Receiver<Done>,
        journal: &Mutex<&mut JournalWriter>,
        phase: Phase,
        (looked_at, waiting): (&AtomicU64, &AtomicU64),
        progress: &mut Progress,
    ) -> Result<()> {
        let mut told = Instant::now();
        let mut failures = 0;
        loop {
            let next = done.recv_timeout(Duration::from_millis(200));
            match next {
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(done) => self.note(done, journal, progress, &mut failures)?,
            }
            lock(journal).tick()?;
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                progress.looked_at = looked_at.load(Ordering::Relaxed);
                progress.waiting = waiting.load(Ordering::Relaxed);
                (self.progress)(phase, progress);
            }
        }
    }

    fn note(
        &self,
        done: Done,
        journal: &Mutex<&mut JournalWriter>,
        progress: &mut Progress,
        failures: &mut u64,
    ) -> Result<()> {
        let outcome = match done.end {
            Ok(outcome) => {
                *failures = 0;
                if outcome == Outcome::Adopted {
                    progress.adopted += 1;
                } else {
                    progress.done += 1;
                    progress.bytes += done.bytes;
                }
                (self.file)(&done.key, outcome);
                outcome
            }
            Err(Trouble::Cancelled) => {
                progress.skipped += 1;
                return Ok(());
            }
            Err(Trouble::Unreachable(text)) => bail!("{text}"),
            Err(Trouble::Failed(reason, text)) => {
                progress.failed += 1;
                *failures += 1;
                (self.failure)(&done.key, reason, &text);
                Outcome::Failed(reason, now())
            }
        };
        lock(journal).append(Entry::Result(done.ordinal, outcome))?;
        if *failures >= FAILURES_MAX {
            return Err(SideAtFault.into());
        }
        Ok(())
    }

    /// Takes tasks until there are no more.
    fn work(&self, tasks: &Mutex<Receiver<Task>>, crew: &Crew<'_>, done: &SyncSender<Done>) {
        let mut place = None;
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else { break };
            let end = self.try_task(&task, &mut place, crew);
            let sent = done.send(Done {
                bytes: task.meta.as_ref().map_or(0, |meta| meta.size_bytes),
                key: task.key,
                ordinal: task.ordinal,
                end,
            });
            if sent.is_err() {
                break;
            }
        }
        if let Some(place) = place {
            place.close();
        }
    }

    /// Tries until it works, is refused for good, or was tried often enough; each time from the source.
    fn try_task<'c>(
        &self,
        task: &Task,
        place: &mut Option<Place<'c>>,
        crew: &'c Crew<'_>,
    ) -> Result<Outcome, Trouble> {
        let mut pause = PAUSE;
        for try_number in 1.. {
            if self.is_ended(crew) {
                return Err(Trouble::Cancelled);
            }
            let trouble = match self.do_task(task, place, crew) {
                Ok(outcome) => return Ok(outcome),
                Err(trouble) => trouble,
            };
            let is_final = match &trouble {
                Trouble::Cancelled => true,
                Trouble::Failed(reason, _) => matches!(
                    reason,
                    Reason::SourceGone | Reason::SourceChanged | Reason::SourceRefused(_)
                ),
                Trouble::Unreachable(_) => false,
            };
            if is_final || try_number >= self.tries {
                return Err(trouble);
            }
            metrics::count_retry(Side::Destination);
            self.pause(pause, crew);
            pause *= 2;
        }
        unreachable!("the last try returns");
    }

    fn do_task<'c>(
        &self,
        task: &Task,
        place: &mut Option<Place<'c>>,
        crew: &'c Crew<'_>,
    ) -> Result<Outcome, Trouble> {
        // One that the server has hung up on meanwhile is no failure of this file.
        let mut held = place.take();
        let is_alive = held.as_mut().is_some_and(|held| held.ftp.is_alive());
        let mut ftp = match held.filter(|_| is_alive) {
            Some(held) => held,
            None => self.connect(crew)?,
        };
        let ended = match (is_there(task, &mut ftp.ftp), &task.meta) {
            (Err(fault), _) => Err(fault),
            (Ok(true), _) => Ok(Outcome::Adopted),
            (Ok(false), Some(meta)) => {
                let object = self.client.get(&task.key, meta);
                let mut object = match object {
                    Ok(object) => object,
                    Err(fault) => {
                        *place = Some(ftp);
                        return Err(of_source(fault));
                    }
                };
                if !ftp.ftp.is_alive() {
                    drop(ftp);
                    ftp = self.connect(crew)?;
                }
                let has_md5 = object.has_md5_etag;
                let mut each = |bytes| match self.bandwidth {
                    Some(limit) => limit.wait(bytes, &|| self.is_ended(crew)),
                    None => !self.is_ended(crew),
                };
                let reader = &mut object.reader;
                let uploaded = ftp.ftp.upload(&task.key, meta, has_md5, reader, &mut each);
                uploaded.map(|()| Outcome::Uploaded)
            }
            (Ok(false), None) => ftp.ftp.delete(&task.key).map(|()| Outcome::Deleted),
        };
        match ended {
            Ok(outcome) => {
                *place = Some(ftp);
                Ok(outcome)
            }
            // What breaks off because the run is to end says nothing of the file.
            Err(_) if self.is_ended(crew) => Err(Trouble::Cancelled),
            Err(fault) => {
                if fault.leaves_connection() {
                    *place = Some(ftp);
                }
                Err(of_destination(fault))
            }
        }
    }
}

/// Whether the destination has the file already, as far as that is asked.
fn is_there(task: &Task, ftp: &mut Connection) -> Result<bool, Fault> {
    let (Some(adopt), Some(meta)) = (task.adopt, &task.meta) else {
        return Ok(false);
    };
    let there = ftp.told(&task.key)?;
    Ok(there.is_some_and(|there| adopt.takes(meta, there)))
}

fn of_source(fault: s3::Fault) -> Trouble {
    let reason = match fault.kind {
        FaultKind::Gone => Reason::SourceGone,
        FaultKind::Changed => Reason::SourceChanged,
        FaultKind::Refused(status) => Reason::SourceRefused(status),
        FaultKind::Failed => Reason::SourceFailed,
    };
    Trouble::Failed(reason, fault.text)
}

fn of_destination(fault: Fault) -> Trouble {
    let text = fault.to_string();
    let reason = match fault {
        Fault::Refused(code, _) => Reason::DestinationRefused(code),
        Fault::Failed(_) => Reason::DestinationFailed,
        Fault::Source(_) => Reason::SourceFailed,
        Fault::Damaged(_) => Reason::Damaged,
        Fault::DestinationDamaged(_) => Reason::DestinationDamaged,
        Fault::Cancelled => return Trouble::Cancelled,
    };
    Trouble::Failed(reason, text)
}

fn lock<'a, 'b>(
    journal: &'a Mutex<&'b mut JournalWriter>,
) -> std::sync::MutexGuard<'a, &'b mut JournalWriter> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}
