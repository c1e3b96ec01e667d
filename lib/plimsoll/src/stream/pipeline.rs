//! Steps in threads with bounded queues between them.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::thread;

use super::queue::{Queue, QueueFigures, Refused, Stop};
use crate::amount::Amount;
use crate::error::{Error, ErrorKind};
use crate::sync::{Builder, JoinHandle, Mutex, lock};
use crate::weight::Weigh;

type Foreign = Box<dyn StdError + Send + Sync>;

/// A source and steps, each in a thread of its own, with a queue of at most so many bytes behind each;
/// the caller of [`Pipeline::finish`] takes what comes out, in order. A full queue makes its sender
/// wait, so the slowest step sets the pace and nothing piles up before it.
///
/// **Cost.** A thread (its stack, by default 2 MiB of address space, a few pages of it touched) and
/// a queue for the source and each step. At most `queue_bytes` a queue, and beside them what the steps
/// hold themselves: one item in, and what is sent.
///
/// **Not for.** Single small values: each costs two locks a queue, and often a switch of threads, so
/// send chunks. Steps that depend on later ones: a circle of full queues waits for ever.
///
/// **Errors.** The first error or panic of any step stops all: who waits at a queue is woken, sending
/// fails, receiving ends, and [`Pipeline::finish`] returns that error. Dropping a pipeline stops it
/// likewise. Both wait for the threads, so a step that never returns, and isn't at a queue, holds
/// them up.
///
/// ```
/// use plimsoll::Error;
/// use plimsoll::stream::Pipeline;
///
/// # fn main() -> Result<(), Error> {
/// let mut total = 0;
/// Pipeline::new(64 << 10, |out| {
///     (0..100_u8).try_for_each(|n| out.send(vec![n; 1000]))
/// })?
/// .step(|bytes: Vec<u8>, out| out.send(bytes.iter().map(|b| u64::from(*b)).sum::<u64>()))?
/// .finish(|sum| {
///     total += sum;
///     Ok::<_, Error>(())
/// })?;
/// assert_eq!(total, 4_950_000);
/// # Ok(())
/// # }
/// ```
pub struct Pipeline<T> {
    running: Running,
    last: Arc<Queue<T>>,
    queue_bytes: usize,
}

/// Where a step sends to.
pub struct Outlet<T> {
    queue: Arc<Queue<T>>,
    limit_bytes: usize,
}

/// What went through a pipeline that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineFigures {
    /// The queue behind the source first.
    pub queues: Vec<QueueFigures>,
}

impl<T: Weigh + Send + 'static> Outlet<T> {
    /// Sends an item on; waits while the queue has no room for it.
    ///
    /// # Errors
    /// [`ErrorKind::Gone`] when the pipeline has stopped: return it, it does not hide why.
    /// [`ErrorKind::Invalid`] for an item that weighs more than the whole queue.
    pub fn send(&self, item: T) -> Result<(), Error> {
        let bytes = item.weight_bytes();
        self.queue.send(item, bytes).map_err(|refused| match refused {
            Refused::Stopped => Error::new(ErrorKind::Gone, "send in a pipeline: it has stopped"),
            Refused::TooLarge => Error::new(
                ErrorKind::Invalid,
                format!(
                    "send {} in a pipeline: a queue takes {}; cut the item, or give the queues more",
                    Amount(bytes as u64),
                    Amount(self.limit_bytes as u64)
                ),
            ),
        })
    }
}

impl<T> fmt::Debug for Outlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("limit_bytes", &self.limit_bytes)
            .finish_non_exhaustive()
    }
}

impl<T: Weigh + Send + 'static> Pipeline<T> {
    /// Starts `source`, which sends until it returns. Each queue takes up to `queue_bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when there is no thread to be had.
    pub fn new<E: Into<Foreign>>(
        queue_bytes: usize,
        source: impl FnOnce(&Outlet<T>) -> Result<(), E> + Send + 'static,
    ) -> Result<Pipeline<T>, Error> {
        Pipeline::start(Running::default(), queue_bytes, |outlet, _| {
            source(outlet).map_err(Into::into)
        })
    }

    /// Adds a step, which gets each item in order and sends what it makes of it: nothing, one or many.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when there is no thread to be had; what ran is stopped.
    pub fn step<U: Weigh + Send + 'static, E: Into<Foreign>>(
        self,
        mut step: impl FnMut(T, &Outlet<U>) -> Result<(), E> + Send + 'static,
    ) -> Result<Pipeline<U>, Error> {
        let inlet = self.last;
        Pipeline::start(self.running, self.queue_bytes, move |outlet, control| {
            while let Some(item) = inlet.receive() {
                step(item, outlet).map_err(Into::into)?;
                if control.is_stopped() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn start(
        running: Running,
        queue_bytes: usize,
        body: impl FnOnce(&Outlet<T>, &Control) -> Result<(), Foreign> + Send + 'static,
    ) -> Result<Pipeline<T>, Error> {
        let queue = Arc::new(Queue::new(queue_bytes));
        running.control.add(queue.clone());
        let outlet = Outlet {
            queue: queue.clone(),
            limit_bytes: queue_bytes,
        };
        let control = running.control.clone();
        let thread = Builder::new().name("pipeline".to_owned()).spawn(move || {
            let ending = Ending(&control);
            match body(&outlet, &control) {
                Ok(()) => outlet.queue.close(),
                Err(error) => control.fail(error),
            }
            drop(ending);
        });
        let thread = thread.map_err(|error| {
            Error::with_source(ErrorKind::Io, "start a step of a pipeline", error)
        })?;
        lock(&running.threads).push(thread);
        Ok(Pipeline {
            running,
            last: queue,
            queue_bytes,
        })
    }

    /// Gives all that comes out to `each`, in this thread, and returns when every thread has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] with the first error of the source, a step or `each` as its source, or
    /// for a panic of one.
    pub fn finish<E: Into<Foreign>>(
        self,
        mut each: impl FnMut(T) -> Result<(), E>,
    ) -> Result<PipelineFigures, Error> {
        let control = &self.running.control;
        while let Some(item) = self.last.receive() {
            if let Err(error) = each(item) {
                control.fail(error.into());
            }
        }
        self.running.join();
        let mut state = lock(&control.state);
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(PipelineFigures {
                queues: state.queues.iter().map(|queue| queue.figures()).collect(),
            }),
        }
    }
}

impl<T> fmt::Debug for Pipeline<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("queue_bytes", &self.queue_bytes)
            .field("threads", &lock(&self.running.threads).len())
            .finish_non_exhaustive()
    }
}

/// The threads; stopped and waited for when dropped.
#[derive(Default)]
struct Running {
    control: Arc<Control>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Running {
    fn join(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A panic was noted by `Ending`.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop(None);
        self.join();
    }
}

/// What the threads of one pipeline share.
#[derive(Default)]
struct Control {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: Vec<Arc<dyn Stop>>,
    is_stopped: bool,
    error: Option<Error>,
}

impl Control {
    /// Has the queue stop with the others, at once if they have.
    fn add(&self, queue: Arc<dyn Stop>) {
        let mut state = lock(&self.state);
        state.queues.push(queue.clone());
        if state.is_stopped {
            drop(state);
            queue.stop();
        }
    }

    fn is_stopped(&self) -> bool {
        lock(&self.state).is_stopped
    }

    fn fail(&self, error: Foreign) {
        let message = "run a pipeline: a step failed, all were stopped";
        self.stop(Some(Error::with_source(ErrorKind::Failed, message, error)));
    }

    /// Only the first call counts: what fails later fails because of it.
    fn stop(&self, error: Option<Error>) {
        let queues = {
            let mut state = lock(&self.state);
            if state.is_stopped {
                return;
            }
            state.is_stopped = true;
            state.error = error;
            state.queues.clone()
        };
        queues.iter().for_each(|queue| queue.stop());
    }
}

/// Stops all when a step panics.
struct Ending<'a>(&'a Control);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let message = "run a pipeline: a step panicked, all were stopped";
            self.0.stop(Some(Error::new(ErrorKind::Failed, message)));
        }
    }
}
