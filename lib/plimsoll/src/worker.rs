//! A supervised child process for work that is heavy or fragile: started when it is first called,
//! gone when idle, replaced when it crashes, hangs or grows too large.
//!
//! Memory that a child used is given back whole when it ends, fragmentation and leaks included,
//! which no allocator does inside a process that lives on. [`Worker`] is the supervisor's handle;
//! the child calls [`serve()`]. Requests and replies are bytes: what they mean is yours.
//!
//! **Cost.** Idle: no child, no thread; under 1 KiB beside its arguments, an eventfd, and 16 bytes
//! for each request that killed a worker (at most 4096). In use: the child; on both sides a thread,
//! some 130 KiB to read into, and up to 64 KiB a call and a progress message. Longer payloads (up to
//! [`PAYLOAD_MAX`]) are copied into a memfd and out of it, so RAM has three copies for a moment. A
//! start is a fork and an exec; the fork copies the page tables of this process.
//!
//! **Not for.** Small work: a call costs four process switches, some 80 µs. Not a pool: one child,
//! which runs one request at a time in order of arrival; make several workers to run more at once.
//! Not a sandbox: the child has the rights of this process. Not for work with lasting effects: a
//! request whose worker dies runs again, once. Not across a fork of this process without exec, whose
//! copy has no keeper. Linux only.
//!
//! # What happens when
//! - A call is late or cancelled: its waiter hears of it at once and the child is told. Where the
//!   child does not answer within the grace it is killed, and other calls go to the next one.
//! - The child dies in a request: that runs once more in a new child. If that dies too, the
//!   request is poison: refused by its hash as long as this supervisor lives. A reply clears the
//!   blame of a first death. A child that is killed for its lateness counts as one that died.
//! - The child dies twice before it begins any request: calls fail with
//!   [`ErrorKind::Gone`], and the next call tries again.
//! - The child sends what is no frame, or an answer to no call: it is killed, as if it had crashed.
//! - This process dies, however: the kernel kills the child, unless that has changed its user or
//!   cleared the death signal; then it sees the end of its socket, which cancels what runs, and
//!   [`serve()`] returns. Children of the child are its own affair.
//! - The last [`Worker`] is dropped: calls that are open are finished, then the child is ended.
//!
//! The child's standard input and output are /dev/null, its standard error is this process's. Its
//! memory is read after each reply, not while a request runs: for a cap that holds then, give the
//! child a cgroup or a resource limit.
//!
//! ```no_run
//! use plimsoll::worker::Worker;
//!
//! # fn main() -> Result<(), plimsoll::Error> {
//! let worker = Worker::builder("thumbnailer").memory_max_bytes(512 << 20).build()?;
//! let thumbnail = worker.call(b"photo.jpg")?;
//! # Ok(())
//! # }
//! ```
//! The child's program:
//! ```no_run
//! # fn main() -> Result<(), plimsoll::Error> {
//! plimsoll::worker::serve(|request, context| {
//!     if context.is_cancelled() {
//!         return Err("cancelled".into());
//!     }
//!     Ok(request.to_ascii_uppercase())
//! })
//! # }
//! ```

mod builder;
mod call;
mod child;
pub mod frame;
mod keeper;
mod payload;
mod serve;
mod socket;
mod state;

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::sync::{lock, wait};
use payload::Payload;
use state::{Inner, Job, Task};

pub use builder::WorkerBuilder;
pub use call::{Call, Canceller, PROGRESS_MAX};
pub use payload::PAYLOAD_MAX;
pub use serve::{Context, SOCKET_VARIABLE, is_worker, serve};
pub use state::{CALLS_MAX, WorkerFigures};

/// The handle of a supervised child; see the [module](self). A clone is the same supervisor.
#[derive(Clone)]
pub struct Worker {
    handle: Arc<Handle>,
}

/// Tells the keeper when the last handle goes; the keeper has the rest as well.
struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.0.state).closing = true;
        self.0.wake();
    }
}

impl Worker {
    /// Sets up a worker that is `program`, found as a shell finds it.
    #[must_use]
    pub fn builder(program: impl Into<OsString>) -> WorkerBuilder {
        WorkerBuilder::new(program.into())
    }

    fn new(inner: Arc<Inner>) -> Worker {
        let handle = Arc::new(Handle(inner));
        Worker { handle }
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.handle.0
    }

    /// Has the child do `request` and waits for its answer; starts the child if there is none. Calls
    /// of several threads are sent without waiting for one another.
    ///
    /// # Errors
    /// As [`Worker::submit`] and [`Call::wait`].
    pub fn call(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
        self.submit(request)?.wait()
    }

    /// Begins a call that has the worker's usual time.
    ///
    /// # Errors
    /// As [`Worker::submit_within`].
    pub fn submit(&self, request: &[u8]) -> Result<Call, Error> {
        self.submit_within(request, self.inner().options.call_timeout)
    }

    /// Begins a call that has `timeout` from now until its answer.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`] for a request that killed two workers, [`ErrorKind::Exhausted`]
    /// when [`CALLS_MAX`] are pending, [`ErrorKind::Invalid`] above [`PAYLOAD_MAX`],
    /// [`ErrorKind::Io`] where no memfd or thread is to be had.
    pub fn submit_within(&self, request: &[u8], timeout: Duration) -> Result<Call, Error> {
        let payload = Payload::new(request)?;
        let hash = self.inner().hash(request);
        let call = self.begin(Task::Call, payload, hash, timeout)?;
        Ok(call.expect("only a check begins nothing"))
    }

    /// Asks the child for a sign of life, which it gives also while a request runs; one that does
    /// not answer in time is killed and its calls go to another. `false` when no child is there,
    /// which is no fault: nothing is started.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] for a child that is killed for it, [`ErrorKind::Gone`] for one that
    /// ends meanwhile.
    pub fn check(&self, timeout: Duration) -> Result<bool, Error> {
        let payload = Payload::Inline(Vec::new());
        match self.begin(Task::Check, payload, 0, timeout)? {
            Some(call) => call.wait().map(|_| true),
            None => Ok(false),
        }
    }

    /// `None` for a check of no child.
    fn begin(
        &self,
        task: Task,
        payload: Payload,
        hash: u64,
        timeout: Duration,
    ) -> Result<Option<Call>, Error> {
        let inner = self.inner();
        let program = || inner.options.program();
        let slot = Arc::default();
        let mut state = lock(&inner.state);
        if task == Task::Check && state.figures.pid.is_none() {
            return Ok(None);
        }
        if task == Task::Call && state.blamed.is_poison(hash) {
            state.figures.poisoned_total += 1;
            return Err(state::poisoned(&program(), "earlier calls"));
        }
        if state.line.len() + state.flying.len() >= CALLS_MAX {
            // The keeper has perhaps not seen yet who gave up.
            state.line.retain(|job| !job.slot.is_done());
        }
        let pending = state.line.len() + state.flying.len();
        if pending >= CALLS_MAX {
            let text = format!("call the worker {}: {pending} calls are pending", program());
            return Err(Error::new(ErrorKind::Exhausted, text));
        }
        if !state.kept {
            keeper::start(inner.clone()).map_err(|error| {
                let text = format!("start the thread that keeps the worker {}", program());
                Error::with_source(ErrorKind::Io, text, error)
            })?;
            state.kept = true;
        }
        state.last_id += 1;
        let job = Job {
            id: state.last_id,
            task,
            payload,
            hash,
            timeout,
            deadline: Instant::now().checked_add(timeout),
            slot: Arc::clone(&slot),
            begun: false,
            grace_end: None,
            stillbirths: 0,
        };
        match task {
            Task::Call => state.line.push_back(job),
            Task::Check => state.line.push_front(job),
        }
        drop(state);
        inner.wake();
        Ok(Some(Call {
            inner: inner.clone(),
            slot,
        }))
    }

    /// Ends the child and waits until it is gone: a shutdown message, then SIGTERM, then SIGKILL,
    /// after the [waits](WorkerBuilder::stop_waits). A request that runs may finish within the
    /// first; calls that are open then, or come meanwhile, fail with [`ErrorKind::Gone`]. The next
    /// call starts another child.
    pub fn stop(&self) {
        let inner = self.inner();
        let mut state = lock(&inner.state);
        let before = state.settled_total;
        if !state.kept {
            return;
        }
        state.stop_asked = true;
        inner.wake();
        while state.settled_total == before {
            state = wait(&inner.changed, state);
        }
    }

    /// The figures of this moment.
    #[must_use]
    pub fn figures(&self) -> WorkerFigures {
        let state = lock(&self.inner().state);
        WorkerFigures {
            pending: state.line.len() + state.flying.len(),
            ..state.figures
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("program", &self.inner().options.program())
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}
