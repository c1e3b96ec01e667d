//! One call as its caller holds it: wait for the answer, hear of progress, cancel.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind};
use crate::sync::{Condvar, Mutex, lock, wait};
use crate::worker::payload::Payload;
use crate::worker::state::Inner;

/// Progress messages kept for a caller that does not take them; the oldest go first.
pub const PROGRESS_MAX: usize = 64;

/// Where the answer of a call is put.
#[derive(Default)]
pub(super) struct Slot {
    done: AtomicBool,
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Default)]
struct Content {
    outcome: Option<Result<Payload, Error>>,
    progress: VecDeque<Vec<u8>>,
}

impl Slot {
    /// Puts the answer in; only the first counts. Returns whether this was it.
    pub(super) fn finish(&self, outcome: Result<Payload, Error>) -> bool {
        let mut content = lock(&self.content);
        let first = !self.done.swap(true, Ordering::AcqRel);
        if first {
            content.outcome = Some(outcome);
            self.changed.notify_all();
        }
        first
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    pub(super) fn add_progress(&self, message: &[u8]) {
        let mut content = lock(&self.content);
        if content.progress.len() == PROGRESS_MAX {
            content.progress.pop_front();
        }
        content.progress.push_back(message.to_vec());
        self.changed.notify_all();
    }

    /// The next progress message, or in the end the outcome.
    fn next(&self) -> Result<Vec<u8>, Result<Payload, Error>> {
        let mut content = lock(&self.content);
        loop {
            if let Some(message) = content.progress.pop_front() {
                return Ok(message);
            }
            if let Some(outcome) = content.outcome.take() {
                return Err(outcome);
            }
            content = wait(&self.changed, content);
        }
    }
}

/// A call under way. Dropped without [`Call::wait`], it is cancelled.
#[must_use = "a call that is dropped is cancelled"]
pub struct Call {
    pub(super) inner: Arc<Inner>,
    pub(super) slot: Arc<Slot>,
}

impl Call {
    /// The worker's answer.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] with what the handler said, [`ErrorKind::TimedOut`],
    /// [`ErrorKind::Cancelled`], [`ErrorKind::Poisoned`] for a request that killed two workers,
    /// [`ErrorKind::Gone`] where the worker was stopped or ends before it does any work,
    /// [`ErrorKind::Io`] where it can't be started.
    pub fn wait(self) -> Result<Vec<u8>, Error> {
        self.wait_with(|_| {})
    }

    /// The same; `heed` gets each progress message first, on this thread. After a crash the request
    /// runs again, and so do its messages. The last [`PROGRESS_MAX`] are kept for it.
    ///
    /// # Errors
    /// As [`Call::wait`].
    pub fn wait_with(self, mut heed: impl FnMut(&[u8])) -> Result<Vec<u8>, Error> {
        loop {
            match self.slot.next() {
                Ok(message) => heed(&message),
                Err(outcome) => return outcome?.into_bytes(),
            }
        }
    }

    /// What cancels this call from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            inner: self.inner.clone(),
            slot: self.slot.clone(),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.canceller().cancel();
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("done", &self.slot.is_done())
            .finish_non_exhaustive()
    }
}

/// Cancels one [`Call`]; a clone cancels the same.
#[derive(Clone)]
pub struct Canceller {
    inner: Arc<Inner>,
    slot: Arc<Slot>,
}

impl Canceller {
    /// The call's waiter gets [`ErrorKind::Cancelled`] at once; the worker is told, and killed if
    /// it does not answer within the grace. Returns whether the call was still open.
    pub fn cancel(&self) -> bool {
        if self.slot.is_done() {
            return false;
        }
        let error = Error::new(
            ErrorKind::Cancelled,
            "call a worker: the call was cancelled",
        );
        let first = self.slot.finish(Err(error));
        if first {
            self.inner.wake();
        }
        first
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}
