//! Writes a recording while the subject runs.
//!
//! [`RecordingWriter`] hands rows to a thread of its own that commits them twice a second, so
//! that a slow disk never delays a sample. Memory: at most [`QUEUE_LIMIT`] rows in the queue and
//! [`PENDING_LIMIT`] waiting for their commit. What a kill can lose is what waits: half a second.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plimsoll_model::{
    Breakdown, Bytes, CapRecord, Event, Gap, GapReason, PressureSample, ProcessId, ProcessRecord,
    RecordingMeta, Sample, Stage, TimedBreakdown,
};
use rusqlite::{Connection, OpenFlags};

use crate::RecordingError;
use crate::store::{Row, Store};

/// Longest time a row waits for its commit: a kill of the recorder loses less than a second.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Rows between the sampling thread and the writer: 10 seconds of 40 processes at 10 Hz.
const QUEUE_LIMIT: usize = 4096;
/// After so many rows the writer is woken before its time. It is not for each row, which would
/// cost as much as writing it.
const WAKE_EVERY: usize = 1024;
/// Rows kept while another program holds the file locked; more are dropped and counted.
const PENDING_LIMIT: usize = 16_384;
/// How long a commit waits for a reader of the file to let go before it is tried again later.
const LOCK_WAIT: Duration = Duration::from_millis(200);
/// How long the last commit waits for a reader of the file.
const LAST_LOCK_WAIT: Duration = Duration::from_secs(5);

/// An open recording. Dropped without [`RecordingWriter::finish`], it keeps what it was given and
/// is marked as cut off.
///
/// A failure to write (disk full) is returned once, by the call after it; later calls do nothing
/// and succeed, so that whoever samples may go on.
#[derive(Debug)]
pub struct RecordingWriter {
    path: PathBuf,
    senders: Option<Senders>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

/// Ways to the writing thread, which ends when they are dropped.
#[derive(Debug)]
struct Senders {
    rows: SyncSender<Row>,
    wishes: SyncSender<Wish>,
    rows_since_wake: usize,
}

/// What became of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingSummary {
    pub path: PathBuf,
    /// Size of the file.
    pub size: Bytes,
    /// Rows that did not fit the queue because the disk or a lock held it up.
    pub rows_dropped: u64,
}

#[derive(Debug)]
enum Wish {
    MakeRoom,
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct State {
    failed: AtomicBool,
    failure: Mutex<Option<RecordingError>>,
    dropped: AtomicU64,
}

impl State {
    fn fail(&self, error: RecordingError) {
        if !self.failed.swap(true, Ordering::AcqRel)
            && let Ok(mut failure) = self.failure.lock()
        {
            *failure = Some(error);
        }
    }

    fn take_failure(&self) -> Result<(), RecordingError> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let failure = self.failure.lock().ok().and_then(|mut slot| slot.take());
        failure.map_or(Ok(()), Err)
    }
}

impl RecordingWriter {
    /// Starts a recording in a new file.
    ///
    /// A `meta.root` of pid 0 stands for a subject that is yet to be started: make the recording
    /// first, so that a refused file means nothing was run, then call
    /// [`RecordingWriter::subject_started`].
    pub fn create(path: &Path, meta: &RecordingMeta) -> Result<RecordingWriter, RecordingError> {
        let created = OpenOptions::new().write(true).create_new(true).open(path);
        match created {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RecordingError::Exists {
                    path: path.to_owned(),
                });
            }
            Err(source) => {
                return Err(RecordingError::Create {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        Self::begin(path, meta)
    }

    /// Like [`RecordingWriter::create`], but an existing regular file is deleted first.
    pub fn replace(path: &Path, meta: &RecordingMeta) -> Result<RecordingWriter, RecordingError> {
        let failed = |source| RecordingError::Create {
            path: path.to_owned(),
            source,
        };
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => {
                std::fs::remove_file(path).map_err(failed)?;
                // A journal left by a killed recorder would be taken for the new file's.
                let _ = std::fs::remove_file(journal_of(path));
            }
            Ok(_) => {
                return Err(failed(io::Error::other(
                    "it exists and is not a plain file",
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Self::create(path, meta)
    }

    fn begin(path: &Path, meta: &RecordingMeta) -> Result<RecordingWriter, RecordingError> {
        let store = open_for_writing(path)
            .and_then(|connection| Store::create(connection, meta))
            .map_err(|error| {
                // Ours, new and useless: `create` made it a moment ago.
                let _ = std::fs::remove_file(path);
                RecordingError::from_write(path, &error)
            })?;
        let (rows, incoming) = mpsc::sync_channel(QUEUE_LIMIT);
        let (wishes, wished) = mpsc::sync_channel(1);
        let state = Arc::new(State::default());
        let committer = Committer {
            path: path.to_owned(),
            store,
            incoming,
            pending: Vec::new(),
            state: Arc::clone(&state),
        };
        let thread = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || committer.run(&wished))
            .map_err(|source| RecordingError::Create {
                path: path.to_owned(),
                source,
            })?;
        Ok(RecordingWriter {
            path: path.to_owned(),
            senders: Some(Senders {
                rows,
                wishes,
                rows_since_wake: 0,
            }),
            thread: Some(thread),
            state,
        })
    }

    /// The subject is running: its root, and when it started since the Unix epoch.
    pub fn subject_started(
        &mut self,
        root: ProcessId,
        started_at: Duration,
    ) -> Result<(), RecordingError> {
        self.send(Row::Started { root, started_at })
    }

    pub fn process_started(&mut self, record: &ProcessRecord) -> Result<(), RecordingError> {
        self.send(Row::Process(record.clone()))
    }

    pub fn process_ended(
        &mut self,
        id: ProcessId,
        at: Duration,
        rss_peak: Bytes,
    ) -> Result<(), RecordingError> {
        self.send(Row::ProcessEnded {
            id,
            at,
            rss_peak: rss_peak.0,
        })
    }

    pub fn sample(&mut self, sample: &Sample) -> Result<(), RecordingError> {
        self.send(Row::Sample(*sample))
    }

    pub fn breakdown(&mut self, at: Duration, breakdown: &Breakdown) -> Result<(), RecordingError> {
        self.send(Row::Breakdown(Box::new(TimedBreakdown {
            at,
            breakdown: breakdown.clone(),
        })))
    }

    /// A stage that ended.
    pub fn stage(&mut self, stage: &Stage) -> Result<(), RecordingError> {
        self.send(Row::Stage(Box::new(stage.clone())))
    }

    pub fn pressure(&mut self, sample: &PressureSample) -> Result<(), RecordingError> {
        self.send(Row::Pressure(*sample))
    }

    /// The cap that the subject runs under. Told again, the later figures stand; one that is
    /// `None` then does not take back what was told before.
    pub fn cap(&mut self, cap: &CapRecord) -> Result<(), RecordingError> {
        self.send(Row::Cap(Box::new(cap.clone())))
    }

    pub fn event(&mut self, event: &Event) -> Result<(), RecordingError> {
        self.send(Row::Event(event.clone()))
    }

    pub fn gap(&mut self, at: Duration, gap: &Gap) -> Result<(), RecordingError> {
        self.send(Row::Gap(at, gap.clone()))
    }

    /// Returns when everything given so far is in the file.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        let (reply, done) = mpsc::sync_channel(1);
        if let Some(senders) = &self.senders
            && senders.wishes.send(Wish::Flush(reply)).is_ok()
        {
            // An error means that the thread is gone; its failure is reported below.
            let _ = done.recv();
        }
        self.state.take_failure()
    }

    /// Whether writing has failed; the failure itself is returned once, by another call.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Acquire)
    }

    /// Writes the last facts and closes the file: the recording is complete.
    ///
    /// `meta` says how it ended. A failure that was returned before is not returned again; the
    /// recording is then not marked as complete.
    pub fn finish(mut self, meta: &RecordingMeta) -> Result<RecordingSummary, RecordingError> {
        if let Some(senders) = self.senders.take() {
            // Waits for room: nothing is sampled any more, and the last row must not be dropped.
            // An error means that the thread is gone; its failure is reported below.
            let _ = senders.rows.send(Row::Finished(Box::new(meta.clone())));
        }
        self.join();
        self.state.take_failure()?;
        let size = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        Ok(RecordingSummary {
            path: self.path.clone(),
            size: Bytes(size),
            rows_dropped: self.state.dropped.load(Ordering::Relaxed),
        })
    }

    /// Never waits for the disk: with a full queue the row is dropped and counted.
    fn send(&mut self, row: Row) -> Result<(), RecordingError> {
        self.state.take_failure()?;
        let Some(senders) = &mut self.senders else {
            return Ok(());
        };
        if let Err(TrySendError::Full(_)) = senders.rows.try_send(row) {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
        senders.rows_since_wake += 1;
        if senders.rows_since_wake >= WAKE_EVERY {
            senders.rows_since_wake = 0;
            // With a wish already there the thread is about to wake up anyway.
            let _ = senders.wishes.try_send(Wish::MakeRoom);
        }
        Ok(())
    }

    fn join(&mut self) {
        self.senders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.state.fail(RecordingError::Write {
                path: self.path.clone(),
                detail: "the writing thread panicked".to_owned(),
            });
        }
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        self.join();
    }
}

/// The writing thread.
struct Committer {
    path: PathBuf,
    store: Store,
    incoming: Receiver<Row>,
    pending: Vec<Row>,
    state: Arc<State>,
}

impl Committer {
    fn run(mut self, wished: &Receiver<Wish>) {
        let mut commit_at = Instant::now() + COMMIT_EVERY;
        loop {
            match wished.recv_timeout(commit_at.saturating_duration_since(Instant::now())) {
                Ok(Wish::MakeRoom) => self.collect(),
                Ok(Wish::Flush(reply)) => {
                    self.collect();
                    self.commit(LAST_LOCK_WAIT);
                    // The asker may have gone away; then nobody waits.
                    let _ = reply.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.collect();
                    self.commit(LOCK_WAIT);
                    commit_at = Instant::now() + COMMIT_EVERY;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.collect();
        self.commit(LAST_LOCK_WAIT);
        if !self.pending.is_empty() {
            self.state.fail(RecordingError::Locked {
                path: self.path.clone(),
            });
        }
        if let Err(error) = self.store.close() {
            self.state
                .fail(RecordingError::from_write(&self.path, &error));
        }
    }

    /// Takes over what is in the queue.
    fn collect(&mut self) {
        while let Ok(row) = self.incoming.try_recv() {
            self.keep(row);
        }
    }

    fn keep(&mut self, row: Row) {
        let failed = self.state.failed.load(Ordering::Relaxed);
        let last = matches!(row, Row::Finished(_));
        if failed {
            return;
        }
        if last {
            self.note_dropped(&row);
        }
        if self.pending.len() < PENDING_LIMIT || last {
            self.pending.push(row);
        } else {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was dropped is a gap of the recording, told before its last row.
    fn note_dropped(&mut self, last: &Row) {
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        if let Row::Finished(meta) = last
            && dropped > 0
        {
            let gap = Gap::new(
                "rows of the recording",
                GapReason::Bounded,
                format!("{dropped} were dropped: the disk or another program held the file up"),
            );
            self.pending.push(Row::Gap(meta.length, gap));
        }
    }

    /// Writes what is pending. A lock by a reader is no failure: the rows wait for the next try.
    fn commit(&mut self, lock_wait: Duration) {
        if self.pending.is_empty() || self.state.failed.load(Ordering::Relaxed) {
            return;
        }
        let written = self
            .store
            .wait_for_lock(lock_wait)
            .and_then(|()| self.store.commit(&self.pending));
        match written {
            Ok(()) => self.pending.clear(),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {}
            Err(error) => {
                self.pending = Vec::new();
                self.state
                    .fail(RecordingError::from_write(&self.path, &error));
            }
        }
    }
}

fn open_for_writing(path: &Path) -> Result<Connection, rusqlite::Error> {
    // No URI names: a path that begins with `file:` is a path.
    Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

/// SQLite's name for the rollback journal of a database.
fn journal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-journal");
    PathBuf::from(name)
}
