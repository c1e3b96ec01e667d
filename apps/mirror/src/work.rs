//! What a scan found to do, done: uploads by several workers, then deletions. Memory: a queue of a few
//! keys, and for each worker a connection to either side and a buffer.
//!
//! Before anything of a stretch of the delta begins, the journal says so, durably: after a crash nothing
//! there is taken for untouched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use plimsoll::runs::SortedEntries;

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
    /// Set to end the run early.
    pub cancel: &'a AtomicBool,
    /// Bytes a second of all workers.
    pub bandwidth: Option<&'a Bandwidth>,
    /// Told once a second.
    pub progress: &'a (dyn Fn(Phase, &Progress) + Sync),
    /// Told of every failure.
    pub failure: &'a (dyn Fn(&str, Reason, &str) + Sync),
}

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
}

struct Done {
    key: String,
    ordinal: u64,
    /// Bytes of an upload; none of a deletion.
    uploaded: Option<u64>,
    end: Result<(), Trouble>,
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
        let looked_at = AtomicU64::new(0);
        let waiting = AtomicU64::new(0);
        let (task_sender, tasks) = sync_channel(2 * self.workers);
        let tasks = Mutex::new(tasks);
        let (done_sender, done) = sync_channel(2 * self.workers);
        let mut progress = Progress::default();
        let ended = thread::scope(|scope| -> Result<()> {
            let spawn = |name: String| thread::Builder::new().name(name).stack_size(STACK_BYTES);
            for number in 0..self.workers {
                let (tasks, stop, done) = (&tasks, &stop, done_sender.clone());
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
                    memory::TRANSFER.run(|| self.work(tasks, stop, &done));
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
            let (meta, trouble) = match (record, phase) {
                (Some(Record::New { meta, trouble, .. }), Phase::Upload) => (Some(meta), trouble),
                (Some(Record::Deleted { trouble, .. }), Phase::Delete) => (None, trouble),
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
            let task = Task { ordinal, key, meta };
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
            Ok(()) => {
                progress.done += 1;
                *failures = 0;
                match done.uploaded {
                    Some(bytes) => {
                        progress.bytes += bytes;
                        Outcome::Uploaded
                    }
                    None => Outcome::Deleted,
                }
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
            bail!(
                "{FAILURES_MAX} files failed one after the other: a side is at fault, not the files"
            );
        }
        Ok(())
    }

    /// Takes tasks until there are no more.
    fn work(&self, tasks: &Mutex<Receiver<Task>>, stop: &AtomicBool, done: &SyncSender<Done>) {
        let mut connection = None;
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else { break };
            let end = self.try_task(&task, &mut connection, stop);
            let sent = done.send(Done {
                uploaded: task.meta.as_ref().map(|meta| meta.size_bytes),
                key: task.key,
                ordinal: task.ordinal,
                end,
            });
            if sent.is_err() {
                break;
            }
        }
        if let Some(connection) = connection {
            connection.close();
        }
    }

    fn is_ended(&self, stop: &AtomicBool) -> bool {
        stop.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed)
    }

    /// Tries until it works, is refused for good, or was tried often enough; each time from the source.
    fn try_task(
        &self,
        task: &Task,
        connection: &mut Option<Connection>,
        stop: &AtomicBool,
    ) -> Result<(), Trouble> {
        let mut pause = PAUSE;
        for try_number in 1.. {
            if self.is_ended(stop) {
                return Err(Trouble::Cancelled);
            }
            let trouble = match self.do_task(task, connection, stop) {
                Ok(()) => return Ok(()),
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
            thread::sleep(pause);
            pause *= 2;
        }
        unreachable!("the last try returns");
    }

    fn do_task(
        &self,
        task: &Task,
        connection: &mut Option<Connection>,
        stop: &AtomicBool,
    ) -> Result<(), Trouble> {
        let mut ftp = match connection.take() {
            Some(ftp) => ftp,
            None => Connection::open(self.destination)
                .map_err(|fault| Trouble::Unreachable(format!("open the destination: {fault}")))?,
        };
        let ended = match &task.meta {
            Some(meta) => {
                let object = self.client.get(&task.key, meta);
                let mut object = match object {
                    Ok(object) => object,
                    Err(fault) => {
                        *connection = Some(ftp);
                        return Err(of_source(fault));
                    }
                };
                let has_md5 = object.has_md5_etag;
                let mut each = |bytes| match self.bandwidth {
                    Some(limit) => limit.wait(bytes, &|| self.is_ended(stop)),
                    None => !self.is_ended(stop),
                };
                ftp.upload(&task.key, meta, has_md5, &mut object.reader, &mut each)
            }
            None => ftp.delete(&task.key),
        };
        match ended {
            Ok(()) => {
                *connection = Some(ftp);
                Ok(())
            }
            Err(fault) => {
                // After a reply the connection goes on; else nobody knows what it is at. 421 ends it.
                match fault {
                    Fault::Refused(code, _) if code != 421 => *connection = Some(ftp),
                    Fault::Damaged(_) | Fault::DestinationDamaged(_) => *connection = Some(ftp),
                    _ => {}
                }
                Err(of_destination(fault))
            }
        }
    }
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
