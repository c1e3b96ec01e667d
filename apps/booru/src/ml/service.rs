//! The thread that works off the queue, and what is told of it.
//!
//! **Cost.** Idle: the thread's stack (some KiB of it touched), a look into the queue every two seconds
//! for what another process may have put there, and no worker process. [`Status`] is computed when asked.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use plimsoll_booru_worker_protocol::Client;
use plimsoll_booru_worker_protocol::message::{Progress, Task};
use serde::Serialize;

use super::queue::{self, Counts, Kind, Submitted};
use super::run::{Heed, Pause, Runner, Step};
use super::settings::{Residence, Settings};
use super::tables;
use crate::board::{self, Board};
use crate::refusal::Refusal;
use crate::writer::{Writer, with};

/// For jobs of other processes.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// After an error of the database or a folder.
const ERROR_PAUSE: Duration = Duration::from_secs(5);
/// Between two steps of which one found a dead worker.
const DEATH_PAUSE: Duration = Duration::from_millis(200);
/// Ends of requests that the rate is computed from.
const RATED_MAX: usize = 64;

/// Works off the queue of a board in a thread of its own, until it is stopped or dropped.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    board: Arc<dyn Writer>,
    settings: Settings,
    /// Made when first needed: only then the worker's program has to be there.
    client: Mutex<Option<Arc<Client>>>,
    is_stopping: AtomicBool,
    state: Mutex<Activity>,
    woken: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What is going on; some KiB.
#[derive(Default)]
struct Activity {
    kinds: [KindActivity; Kind::ALL.len()],
    /// Somebody has put something into the queue.
    is_called: bool,
    error: Option<String>,
}

#[derive(Default)]
struct KindActivity {
    done: u64,
    failed: u64,
    pause: Option<Pause>,
    progress: Option<Progress>,
    is_busy: bool,
    is_cancelled: bool,
    /// When requests ended and how many jobs each had.
    ended: VecDeque<(Instant, u64)>,
}

/// What is told of the work.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Whether a worker that this board started runs now.
    pub has_worker: bool,
    /// What keeps the queue from being worked off: the database, or a folder.
    pub error: Option<String>,
    pub kinds: Vec<KindStatus>,
}

/// Of one kind of work.
#[derive(Clone, Debug, Serialize)]
pub struct KindStatus {
    pub kind: Kind,
    #[serde(flatten)]
    pub counts: Counts,
    /// Since the service was started.
    pub done_here: u64,
    pub failed_here: u64,
    /// Jobs a second of late; `None` while too little is known.
    pub per_second: Option<f64>,
    /// For what is in the queue, at this rate.
    pub left_seconds: Option<f64>,
    /// Of the request under way.
    pub progress: Option<Progress>,
    /// Why this kind waits; its jobs stay queued.
    pub waits_because: Option<String>,
}

impl Service {
    /// Starts the thread; no worker, unless it is to stay with the board. The tables of the queue are made
    /// if they are not there.
    ///
    /// # Errors
    /// A board that is read-only, what the database says, no thread left.
    pub fn start(settings: Settings, board: Arc<dyn Writer>) -> Result<Service> {
        with(&*board, tables::ensure)?;
        let shared = Arc::new(Shared {
            board,
            settings,
            client: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            state: Mutex::default(),
            woken: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new().name("ml jobs".to_owned());
        let thread = thread
            .spawn(move || own.run())
            .context("start the thread of the models")?;
        Ok(Service {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a job for each image, by id.
    ///
    /// # Errors
    /// An image that is not there, a database that has no place for the result, and what it says.
    pub fn submit(&self, kind: Kind, images: &[u32]) -> Result<Submitted> {
        let submitted = with(&*self.shared.board, |board| {
            if kind == Kind::Upscale {
                board.check_upscalable()?;
            }
            let catalog = board.catalog();
            if let Some(image) = images
                .iter()
                .find(|id| catalog.images().of_id(**id).is_none())
            {
                return Err(Refusal::Missing(format!("there is no image {image}")).into());
            }
            drop(catalog);
            queue::submit(&board.store, kind, images)
        })?;
        self.wake(Some(kind));
        Ok(submitted)
    }

    /// Takes queued jobs out, of one kind or all; how many. A request under way ends as it would; an
    /// upscale, which may take an hour, is broken off and taken out too.
    ///
    /// # Errors
    /// What the database says.
    pub fn cancel(&self, kind: Option<Kind>) -> Result<u64> {
        let cancel = |board: &mut Board| queue::cancel(&board.store, kind);
        let mut cancelled = with(&*self.shared.board, cancel)?;
        if kind.is_none_or(|kind| kind == Kind::Upscale) && self.shared.cancel_upscale() {
            cancelled += 1;
        }
        Ok(cancelled)
    }

    /// Queues again what was set aside, of one kind or all; how many.
    ///
    /// # Errors
    /// What the database says.
    pub fn retry(&self, kind: Option<Kind>) -> Result<u64> {
        let retry = |board: &mut Board| queue::retry(&board.store, kind);
        let again = with(&*self.shared.board, retry)?;
        self.wake(kind);
        Ok(again)
    }

    /// Has the thread look into the queue, where somebody has put jobs of this kind, or of all; what it waited
    /// for may be there now.
    pub fn wake(&self, kind: Option<Kind>) {
        let mut state = self.shared.state();
        for one in Kind::ALL {
            if kind.is_none_or(|kind| kind == one) {
                state.kinds[one as usize].pause = None;
            }
        }
        state.is_called = true;
        drop(state);
        self.shared.woken.notify_all();
    }

    /// How far everything is. O(jobs of the queue).
    ///
    /// # Errors
    /// What the database says.
    pub fn status(&self) -> Result<Status> {
        let mut counts = [Counts::default(); Kind::ALL.len()];
        with(&*self.shared.board, |board| {
            for kind in Kind::ALL {
                counts[kind as usize] = queue::counts(&board.store, kind)?;
            }
            Ok(())
        })?;
        let client = self.shared.client();
        let has_worker = client.as_ref().is_some_and(|client| client.has_worker());
        drop(client);
        let state = self.shared.state();
        let kinds = Kind::ALL.into_iter().map(|kind| {
            let of_kind = &state.kinds[kind as usize];
            let counts = counts[kind as usize];
            let per_second = of_kind.rate();
            KindStatus {
                kind,
                counts,
                done_here: of_kind.done,
                failed_here: of_kind.failed,
                per_second,
                left_seconds: per_second.map(|rate| counts.open() as f64 / rate),
                progress: of_kind.progress.clone(),
                waits_because: of_kind.pause.as_ref().map(|pause| pause.reason.clone()),
            }
        });
        Ok(Status {
            has_worker,
            error: state.error.clone(),
            kinds: kinds.collect(),
        })
    }

    /// Ends the thread and a worker that it started; what is under way is given back to the queue.
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.shared.woken.notify_all();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = thread.take() else {
            return;
        };
        // A call may begin just now: it is broken off until there is none.
        while !thread.is_finished() {
            let client = self.shared.client().clone();
            if let Some(client) = client {
                client.stop();
            }
            thread::sleep(Duration::from_millis(10));
        }
        // It catches nothing; a panic was printed where it happened.
        let _ = thread.join();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

impl KindActivity {
    /// Jobs a second between the first and the last end that is remembered.
    fn rate(&self) -> Option<f64> {
        let (first, last) = (self.ended.front()?, self.ended.back()?);
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        let jobs: u64 = self.ended.iter().skip(1).map(|(_, jobs)| jobs).sum();
        (seconds > 0.0 && jobs > 0).then(|| jobs as f64 / seconds)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Activity> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> MutexGuard<'_, Option<Arc<Client>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client_made(&self) -> Result<Arc<Client>> {
        let mut client = self.client();
        if let Some(client) = &*client {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(self.settings.worker.client()?);
        *client = Some(Arc::clone(&made));
        Ok(made)
    }

    fn run(&self) {
        if self.settings.worker.residence == Residence::WithBoard
            && let Err(error) = self.greet()
        {
            eprintln!("booru: start the ML worker with the board: {error:#}");
        }
        let board = Arc::clone(&self.board);
        let mut runner = Runner::new(board, self.settings.clone());
        let mut has_worked = false;
        while !self.is_stopping() {
            let wait = match self.step(&mut runner) {
                Ok(Step::Worked) => {
                    has_worked = true;
                    Duration::ZERO
                }
                Ok(Step::Died) => DEATH_PAUSE,
                Ok(Step::Idle) => {
                    // Answers of a thousand predictions each have left their room in malloc.
                    if std::mem::take(&mut has_worked) {
                        board::give_back();
                    }
                    LOOK_INTERVAL
                }
                Err(error) => {
                    eprintln!("booru: work off the queue of the models: {error:#}");
                    self.state().error = Some(format!("{error:#}"));
                    ERROR_PAUSE
                }
            };
            self.wait(wait);
        }
    }

    /// Whether one was under way.
    fn cancel_upscale(&self) -> bool {
        let mut state = self.state();
        let upscale = &mut state.kinds[Kind::Upscale as usize];
        upscale.is_cancelled = upscale.is_busy;
        let is_busy = upscale.is_busy;
        drop(state);
        if is_busy && let Some(client) = &*self.client() {
            client.stop();
        }
        is_busy
    }

    /// Where the worker is to stay with the board, it starts with it.
    fn greet(&self) -> Result<()> {
        self.client_made()?.call(&Task::HealthCheck)?;
        Ok(())
    }

    fn step(&self, runner: &mut Runner) -> Result<Step> {
        let step = runner.step(&|| self.client_made(), self)?;
        self.state().error = None;
        Ok(step)
    }

    fn wait(&self, limit: Duration) {
        let mut state = self.state();
        if !state.is_called && !self.is_stopping() && !limit.is_zero() {
            let woken = self.woken.wait_timeout(state, limit);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_called = false;
    }
}

impl Heed for Shared {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn is_cancelled(&self, kind: Kind) -> bool {
        self.state().kinds[kind as usize].is_cancelled
    }

    fn pause_of(&self, kind: Kind) -> Option<Pause> {
        self.state().kinds[kind as usize].pause.clone()
    }

    fn set_pause(&self, kind: Kind, pause: Option<Pause>) {
        let mut state = self.state();
        let of_kind = &mut state.kinds[kind as usize];
        if let Some(pause) = &pause {
            eprintln!("booru: {kind} waits: {}", pause.reason);
        }
        of_kind.pause = pause;
        of_kind.progress = None;
        of_kind.is_busy = false;
    }

    fn begun(&self, kind: Kind) {
        let mut state = self.state();
        let of_kind = &mut state.kinds[kind as usize];
        of_kind.is_busy = true;
        of_kind.is_cancelled = false;
        // After a rest the rate is that of before no more.
        let is_stale = of_kind
            .ended
            .back()
            .is_none_or(|(at, _)| at.elapsed() > 2 * LOOK_INTERVAL);
        if is_stale && of_kind.progress.is_none() {
            of_kind.ended.clear();
            of_kind.ended.push_back((Instant::now(), 0));
        }
    }

    fn progressed(&self, kind: Kind, progress: &Progress) {
        self.state().kinds[kind as usize].progress = Some(progress.clone());
    }

    fn ended(&self, kind: Kind, done: u64, failed: u64) {
        let mut state = self.state();
        let of_kind = &mut state.kinds[kind as usize];
        of_kind.done += done;
        of_kind.failed += failed;
        of_kind.progress = None;
        of_kind.is_busy = false;
        of_kind.ended.push_back((Instant::now(), done + failed));
        if of_kind.ended.len() > RATED_MAX {
            of_kind.ended.pop_front();
        }
    }
}
