//! What a supervisor knows: calls in line, calls in flight, and which requests killed workers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::sync::{Condvar, Mutex, lock};
use crate::worker::builder::Options;
use crate::worker::call::Slot;
use crate::worker::payload::Payload;

/// Calls that wait or run; each may hold 64 KiB in a frame. More are refused, so that callers slow
/// down instead of filling memory.
pub const CALLS_MAX: usize = 1024;

/// Requests remembered because a worker died in them, 16 bytes each. When there are so many, those
/// that killed one worker are forgotten; when as many killed two, further ones are not remembered.
const BLAMED_MAX: usize = 4096;

/// A request that killed so many workers is refused.
const DEATHS_MAX: u8 = 2;

/// A call is given up when so many workers died before they began any call.
const STILLBIRTHS_MAX: u8 = 2;

pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) state: Mutex<State>,
    /// Told when a child has ended.
    pub(super) changed: Condvar,
    wakeup: OwnedFd,
    hasher: RandomState,
}

#[derive(Default)]
pub(super) struct State {
    /// Calls not sent to the child there is.
    pub(super) line: VecDeque<Job>,
    pub(super) flying: BTreeMap<u64, Job>,
    pub(super) blamed: Blamed,
    pub(super) figures: WorkerFigures,
    pub(super) last_id: u64,
    /// Whether a keeper's thread runs.
    pub(super) kept: bool,
    /// No handle is left: end the child as soon as it has nothing to do.
    pub(super) closing: bool,
    pub(super) stop_asked: bool,
    /// How often [`settle`](State::settle) ran.
    pub(super) settled_total: u64,
}

/// What a supervisor did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerFigures {
    /// The child that runs now; `None` costs no memory.
    pub pid: Option<u32>,
    /// RSS and swap of this child after its last answer; read only where there is a memory limit.
    pub memory_bytes: Option<u64>,
    /// Calls in line and in flight.
    pub pending: usize,
    /// Children that were started.
    pub started_total: u64,
    /// Ends that nobody asked for.
    pub crashed_total: u64,
    /// Killed because a call or a check was not answered in time.
    pub killed_total: u64,
    /// Ended after no use for the idle timeout.
    pub idle_exits_total: u64,
    /// Ended because of the memory limit.
    pub memory_exits_total: u64,
    /// Calls that were sent again to another child.
    pub retried_total: u64,
    /// Requests refused because they had killed two workers.
    pub poisoned_total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Call,
    Check,
}

pub(super) struct Job {
    pub(super) id: u64,
    pub(super) task: Task,
    pub(super) payload: Payload,
    pub(super) hash: u64,
    pub(super) timeout: Duration,
    pub(super) deadline: Option<Instant>,
    pub(super) slot: Arc<Slot>,
    /// The child has begun it.
    pub(super) begun: bool,
    /// Cancelled; the child has until then to answer.
    pub(super) grace_end: Option<Instant>,
    pub(super) stillbirths: u8,
}

/// Requests in which a worker died, by hash, and how many.
#[derive(Default)]
pub(super) struct Blamed(HashMap<u64, u8>);

impl Blamed {
    /// One more worker died in it; how many by now.
    fn add(&mut self, hash: u64) -> u8 {
        if self.0.len() >= BLAMED_MAX && !self.0.contains_key(&hash) {
            self.0.retain(|_, deaths| *deaths >= DEATHS_MAX);
            if self.0.len() >= BLAMED_MAX {
                return 1;
            }
        }
        let deaths = self.0.entry(hash).or_default();
        *deaths = deaths.saturating_add(1);
        *deaths
    }

    /// It was answered: whatever killed the worker before, it was not this alone.
    pub(super) fn clear(&mut self, hash: u64) {
        self.0.remove(&hash);
    }

    pub(super) fn is_poison(&self, hash: u64) -> bool {
        self.0
            .get(&hash)
            .is_some_and(|deaths| *deaths >= DEATHS_MAX)
    }
}

/// How a child ended.
pub(super) struct Ending {
    /// "exit status: 1", "it sent a foreign frame", for the errors of its calls.
    pub(super) text: String,
    /// It began at least one call, or its end was wanted: it is able to work.
    pub(super) proven: bool,
    /// It could not be started at all.
    pub(super) unstarted: bool,
}

impl Inner {
    pub(super) fn new(options: Options) -> Result<Inner, Error> {
        // SAFETY: eventfd takes two integers; a descriptor it returns is new and ours alone.
        let wakeup = unsafe {
            let descriptor = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if descriptor < 0 {
                let error = std::io::Error::last_os_error();
                let text = "make the eventfd of a worker's supervisor";
                return Err(Error::with_source(ErrorKind::Io, text, error));
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        Ok(Inner {
            options,
            state: Mutex::default(),
            changed: Condvar::new(),
            wakeup,
            hasher: RandomState::new(),
        })
    }

    /// Has the keeper look at the state.
    pub(super) fn wake(&self) {
        let one = 1_u64;
        // SAFETY: writes 8 bytes that are there; a full counter (EAGAIN) wakes as well.
        unsafe { libc::write(self.wakeup.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Forgets the wake-ups so far.
    pub(super) fn drain(&self) {
        let mut count = 0_u64;
        // SAFETY: reads 8 bytes into a place of 8; none there (EAGAIN) is as good.
        unsafe { libc::read(self.wakeup.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    pub(super) fn wakeup(&self) -> libc::c_int {
        self.wakeup.as_raw_fd()
    }

    pub(super) fn hash(&self, request: &[u8]) -> u64 {
        self.hasher.hash_one(request)
    }

    /// Books how a child ended; whether there is a reason for another.
    pub(super) fn settle(&self, ending: &Ending) -> bool {
        let mut state = lock(&self.state);
        state.settle(ending, &self.options.program());
        state.kept = !state.line.is_empty();
        self.changed.notify_all();
        state.kept
    }

    /// The keeper panicked: nobody may wait for ever.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.kept = false;
        state.stop_asked = true;
        let ending = Ending {
            text: "its keeper panicked".into(),
            proven: false,
            unstarted: false,
        };
        state.settle(&ending, &self.options.program());
        self.changed.notify_all();
    }
}

impl State {
    fn settle(&mut self, ending: &Ending, program: &str) {
        self.figures.pid = None;
        self.figures.memory_bytes = None;
        self.settled_total += 1;
        let stopped = std::mem::take(&mut self.stop_asked);
        let gone = |what: &str| {
            let text = format!("call the worker {program}: {what}");
            Err(Error::new(ErrorKind::Gone, text))
        };
        let flying = std::mem::take(&mut self.flying);
        // Back to front, so that they stand in line in their old order.
        for (_, mut job) in flying.into_iter().rev() {
            let deaths = match job.begun && !stopped {
                true => self.blamed.add(job.hash),
                false => 0,
            };
            if job.slot.is_done() {
                continue;
            }
            job.stillbirths += u8::from(!ending.proven);
            if stopped {
                job.slot.finish(gone("it was stopped"));
            } else if deaths >= DEATHS_MAX {
                self.figures.poisoned_total += 1;
                job.slot.finish(Err(poisoned(program, &ending.text)));
            } else if job.task == Task::Check || job.stillbirths >= STILLBIRTHS_MAX {
                job.slot
                    .finish(gone(&format!("it died before it began: {}", ending.text)));
            } else {
                self.figures.retried_total += 1;
                job.begun = false;
                self.line.push_front(job);
            }
        }
        if stopped {
            for job in self.line.drain(..) {
                job.slot.finish(gone("it was stopped"));
            }
        } else if ending.unstarted {
            for job in self.line.drain(..) {
                let text = format!("start the worker {program}: {}", ending.text);
                job.slot.finish(Err(Error::new(ErrorKind::Io, text)));
            }
        }
        for job in &self.line {
            if job.task == Task::Check {
                job.slot.finish(gone("it ended before it was checked"));
            }
        }
        self.line.retain(|job| !job.slot.is_done());
        // An idle supervisor keeps no room for calls.
        self.line.shrink_to_fit();
    }
}

pub(super) fn poisoned(program: &str, how: &str) -> Error {
    let text = format!(
        "call the worker {program}: two workers died in this very request ({how}); it is refused \
         from now on"
    );
    Error::new(ErrorKind::Poisoned, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_supervisor_is_small() {
        assert!(size_of::<Inner>() < 1024, "{}", size_of::<Inner>());
    }

    #[test]
    fn blame_is_bounded_and_cleared() {
        let mut blamed = Blamed::default();
        for hash in 0..3 * BLAMED_MAX as u64 {
            assert_eq!(blamed.add(hash), 1);
            assert!(blamed.0.len() <= BLAMED_MAX);
        }
        let last = 3 * BLAMED_MAX as u64 - 1;
        assert_eq!(blamed.add(last), 2);
        assert!(blamed.is_poison(last) && !blamed.is_poison(last - 1));
        blamed.clear(last);
        assert!(!blamed.is_poison(last));
        for hash in 0..BLAMED_MAX as u64 {
            blamed.add(hash);
            blamed.add(hash);
        }
        assert_eq!((blamed.add(u64::MAX), blamed.add(u64::MAX)), (1, 1));
        assert!(blamed.is_poison(0));
    }
}
