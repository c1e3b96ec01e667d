//! The thread that keeps a child: starts it, sends calls, reads answers, watches the clock, ends it.
//!
//! It lives exactly as long as there is a child or a call, so an idle supervisor has no thread; and
//! the child is killed by the kernel when this thread ends, in whatever way (`PR_SET_PDEATHSIG`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::sync::lock;
use crate::worker::child::Child;
use crate::worker::frame::{Frame, Kind};
use crate::worker::payload::{Parcel, Payload};
use crate::worker::socket::{Filled, Inbox, send};
use crate::worker::state::{Ending, Inner, Job, State, Task, poisoned};

/// Calls that the child has at once: it works while the next ones travel, and holds few of them.
const FLYING_MAX: usize = 32;

/// Once the socket has ended, the child has so long to end too: enough to write a core or a message.
const HANGUP_WAIT: Duration = Duration::from_secs(1);

/// Reads before the clock is looked at again: a child that never stops sending is still late at some
/// time. So many hold more than a socket does, so all of a dead child's are read.
const READS_MAX: usize = 64;

/// How often a child is looked at where no pidfd tells of its end.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

pub(super) fn keep(inner: &Inner) {
    /// A bug here must not leave callers waiting.
    struct Keeping<'a>(&'a Inner);
    impl Drop for Keeping<'_> {
        fn drop(&mut self) {
            if thread::panicking() {
                self.0.abandon();
            }
        }
    }
    let _keeping = Keeping(inner);
    loop {
        let ending = match Child::start(&inner.options) {
            Ok(child) => Session::new(inner, child).run(),
            Err(error) => Ending {
                text: error.to_string(),
                proven: false,
                unstarted: true,
            },
        };
        if !inner.settle(&ending) {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Idle,
    Memory,
    Asked,
    /// The socket ended, or what came from it made no sense.
    Hangup,
    /// No answer in time.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    Told,
    Terminated,
    Killed,
}

/// The end of a child under way.
struct Stop {
    why: Why,
    force: Force,
    /// When more force is used.
    until: Instant,
}

struct Outgoing {
    parcel: Parcel,
    sent: usize,
}

/// One child's life.
struct Session<'a> {
    inner: &'a Inner,
    child: Child,
    inbox: Inbox,
    out: VecDeque<Outgoing>,
    stop: Option<Stop>,
    /// The socket still has something to say.
    open: bool,
    begun_any: bool,
    idle_since: Instant,
    fault: Option<Error>,
}

impl<'a> Session<'a> {
    fn new(inner: &'a Inner, child: Child) -> Session<'a> {
        let mut state = lock(&inner.state);
        state.figures.pid = Some(child.pid());
        state.figures.started_total += 1;
        drop(state);
        Session {
            inner,
            child,
            inbox: Inbox::default(),
            out: VecDeque::new(),
            stop: None,
            open: true,
            begun_any: false,
            idle_since: Instant::now(),
            fault: None,
        }
    }

    fn run(mut self) -> Ending {
        let status = loop {
            let wake_at = self.step(Instant::now());
            self.write();
            self.wait(wake_at);
            self.inner.drain();
            let status = self.child.ended();
            // What it sent before its end counts.
            self.read();
            if let Some(status) = status {
                break status;
            }
        };
        let why = self.stop.as_ref().map(|stop| stop.why);
        let wanted = matches!(why, Some(Why::Idle | Why::Memory | Why::Asked));
        let figures = &mut lock(&self.inner.state).figures;
        match why {
            Some(Why::Idle) => figures.idle_exits_total += 1,
            Some(Why::Memory) => figures.memory_exits_total += 1,
            Some(Why::Asked) => {}
            Some(Why::Late) => figures.killed_total += 1,
            Some(Why::Hangup) | None => figures.crashed_total += 1,
        }
        Ending {
            text: match (self.fault.take(), why) {
                (Some(fault), _) => format!("killed: {fault}"),
                (None, Some(Why::Late)) => "killed: it did not answer in time".into(),
                (None, _) => status.to_string(),
            },
            proven: wanted || self.begun_any,
            unstarted: false,
        }
    }

    /// Does what is due, and says when the next thing will be.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        let inner = self.inner;
        let mut state = lock(&inner.state);
        let late = self.expire(&mut state, now);
        if late {
            self.kill(Why::Late, now);
        }
        if state.stop_asked {
            self.end(Why::Asked, now);
        }
        if self.stop.is_none() {
            self.dispatch(&mut state, now);
        }
        let busy = !state.flying.is_empty();
        if busy || !state.line.is_empty() {
            self.idle_since = now;
        }
        let idle_timeout = match state.closing {
            true => Duration::ZERO,
            false => inner.options.idle_timeout,
        };
        let idle_end = later(self.idle_since, idle_timeout);
        if self.stop.is_none() && !busy && now >= idle_end {
            self.end(Why::Idle, now);
        }
        // A child above its memory limit finishes the call it has begun.
        let working = state.flying.values().any(|job| job.begun);
        self.escalate(now, working);
        let killed = matches!(&self.stop, Some(stop) if stop.force == Force::Killed);
        let deadlines = state.line.iter().filter_map(|job| job.deadline);
        let flying = state.flying.values();
        // Nothing more can be done to a killed child than to wait for its end.
        let graces = flying.filter_map(|job| match job.grace_end {
            Some(_) if killed => None,
            grace_end => grace_end.or(job.deadline),
        });
        let own = match &self.stop {
            Some(_) if killed => None,
            Some(stop) => Some(stop.until),
            None => (!busy).then_some(idle_end),
        };
        deadlines.chain(graces).chain(own).min()
    }

    /// Ends waits that are over, and tells the child of calls for which nobody waits. Whether it
    /// has left one of those unanswered for too long.
    fn expire(&mut self, state: &mut State, now: Instant) -> bool {
        let options = &self.inner.options;
        let over = |job: &Job| {
            if job.deadline.is_some_and(|deadline| now >= deadline) {
                job.slot
                    .finish(Err(timed_out(&options.program(), job.begun)));
            }
            job.slot.is_done()
        };
        // A check in line is sent by this very step, and has its time from there.
        let sends = self.stop.is_none();
        let sent = |job: &Job| sends && job.task == Task::Check;
        state.line.retain(|job| sent(job) || !over(job));
        let mut late = false;
        for job in state.flying.values_mut() {
            if let Some(end) = job.grace_end {
                late |= now >= end;
            } else if over(job) {
                let grace = match job.task {
                    Task::Call => options.cancel_grace,
                    Task::Check => Duration::ZERO,
                };
                job.grace_end = Some(later(now, grace));
                late |= grace.is_zero();
                if let Ok(parcel) = Parcel::of(Kind::Cancel, job.id, &[]) {
                    self.out.push_back(Outgoing { parcel, sent: 0 });
                }
            }
        }
        late
    }

    /// Sends all checks, which stand in front, and as many calls as the child may have.
    fn dispatch(&mut self, state: &mut State, now: Instant) {
        while let Some(mut job) = state.line.pop_front() {
            if job.task == Task::Check {
                job.deadline = Some(later(now, job.timeout));
            } else if state.flying.len() >= FLYING_MAX {
                state.line.push_front(job);
                return;
            }
            if state.blamed.is_poison(job.hash) {
                state.figures.poisoned_total += 1;
                let error = poisoned(&self.inner.options.program(), "an equal call");
                job.slot.finish(Err(error));
                continue;
            }
            let parcel = match job.task {
                Task::Check => Parcel::of(Kind::Ping, job.id, &[]),
                Task::Call => job
                    .payload
                    .parcel(Kind::Request, Kind::RequestShared, job.id),
            };
            match parcel {
                Ok(parcel) => {
                    self.out.push_back(Outgoing { parcel, sent: 0 });
                    state.flying.insert(job.id, job);
                }
                Err(error) => {
                    job.slot.finish(Err(error));
                }
            }
        }
    }

    /// Begins a graceful end.
    fn end(&mut self, why: Why, now: Instant) {
        let known = self.stop.as_ref().map(|stop| stop.why);
        if known == Some(Why::Asked) || matches!(known, Some(Why::Hangup | Why::Late)) {
            return;
        }
        // A stop that is asked for overrules a wait for idleness or a call that uses much memory.
        let wait = match why {
            Why::Hangup => HANGUP_WAIT,
            _ => self.inner.options.shutdown_wait,
        };
        if known.is_none()
            && let Ok(parcel) = Parcel::of(Kind::Shutdown, 0, &[])
        {
            self.out.push_back(Outgoing { parcel, sent: 0 });
        }
        self.stop = Some(Stop {
            why,
            force: Force::Told,
            until: later(now, wait),
        });
    }

    fn kill(&mut self, why: Why, now: Instant) {
        self.child.kill();
        self.stop = Some(Stop {
            why,
            force: Force::Killed,
            until: now,
        });
    }

    fn escalate(&mut self, now: Instant, working: bool) {
        let options = &self.inner.options;
        let Some(stop) = &mut self.stop else {
            return;
        };
        match stop.force {
            Force::Told if stop.why == Why::Memory && working => {
                stop.until = later(now, options.shutdown_wait);
            }
            Force::Told if now >= stop.until && stop.why != Why::Hangup => {
                self.child.terminate();
                stop.force = Force::Terminated;
                stop.until = later(now, options.terminate_wait);
            }
            Force::Told | Force::Terminated if now >= stop.until => {
                self.child.kill();
                stop.force = Force::Killed;
            }
            _ => {}
        }
    }

    /// Waits for the child, for callers, or for the clock.
    fn wait(&self, wake_at: Option<Instant>) {
        let mut timeout = wake_at.map(|at| at.saturating_duration_since(Instant::now()));
        if self.child.pidfd().is_none() {
            timeout = Some(timeout.map_or(LOOK_INTERVAL, |timeout| timeout.min(LOOK_INTERVAL)));
        }
        // Rounded up: waking early would find nothing due.
        let millis = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        });
        let wants_out = !self.out.is_empty() && self.open;
        let watch = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let out = if wants_out { libc::POLLOUT } else { 0 };
        let socket = match self.open {
            true => self.child.stream.as_raw_fd(),
            // An ended socket would wake us for ever; poll(2) skips negative numbers.
            false => -1,
        };
        let mut watched = [
            watch(self.inner.wakeup(), libc::POLLIN),
            watch(socket, libc::POLLIN | out),
            watch(self.child.pidfd().unwrap_or(-1), libc::POLLIN),
        ];
        // SAFETY: three entries that are there; descriptors stay open meanwhile. An error (EINTR)
        // wakes us early, and what is due is looked at anew.
        unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, millis) };
    }

    /// Writes as much as the socket takes.
    fn write(&mut self) {
        while self.open
            && let Some(first) = self.out.front_mut()
        {
            let descriptor = match first.sent {
                0 => first.parcel.descriptor(),
                _ => None,
            };
            match send(
                &self.child.stream,
                &first.parcel.bytes[first.sent..],
                descriptor,
            ) {
                Ok(sent) => first.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The other end is closed. What it sent before is still to be read, which ends so.
                Err(_) => self.out.clear(),
            }
            if self
                .out
                .front()
                .is_some_and(|first| first.sent == first.parcel.bytes.len())
            {
                self.out.pop_front();
            }
        }
    }

    /// Reads and heeds what there is.
    fn read(&mut self) {
        for _ in 0..READS_MAX {
            if !self.open {
                return;
            }
            let filled = self.inbox.fill(&self.child.stream).and_then(|filled| {
                self.heed_all()?;
                Ok(filled)
            });
            match filled {
                Ok(Filled::Some) => {}
                Ok(Filled::Nothing) => return,
                Ok(Filled::End) => {
                    self.open = false;
                    if self.stop.is_none() {
                        self.end(Why::Hangup, Instant::now());
                    }
                }
                Err(fault) => {
                    self.open = false;
                    self.fault = Some(fault);
                    self.kill(Why::Hangup, Instant::now());
                }
            }
        }
    }

    fn heed_all(&mut self) -> Result<(), Error> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut result = Ok(());
        while result.is_ok() {
            match inbox.next() {
                Ok(Some((frame, memfd))) => {
                    // Before the caller hears of it, who may look at the figures.
                    let answers = [Kind::Reply, Kind::ReplyShared, Kind::Failure];
                    if answers.contains(&frame.kind) {
                        self.measure();
                    }
                    result = self.heed(&frame, memfd);
                }
                Ok(None) => break,
                Err(error) => result = Err(error),
            }
        }
        self.inbox = inbox;
        result
    }

    fn heed(&mut self, frame: &Frame<'_>, memfd: Option<OwnedFd>) -> Result<(), Error> {
        let mut state = lock(&self.inner.state);
        let Some(job) = state.flying.get_mut(&frame.id) else {
            return Err(foreign(frame, "no such call is in flight"));
        };
        let is_call = job.task == Task::Call;
        let outcome = match frame.kind {
            Kind::Started if is_call && !job.begun => {
                job.begun = true;
                self.begun_any = true;
                return Ok(());
            }
            Kind::Progress if is_call && job.begun => {
                job.slot.add_progress(frame.body);
                return Ok(());
            }
            Kind::Reply | Kind::ReplyShared if is_call && job.begun => {
                Ok(Payload::received(frame, memfd)?)
            }
            Kind::Pong if !is_call => Ok(Payload::Inline(Vec::new())),
            // A cancelled call fails before it begins.
            Kind::Failure if is_call => {
                let said = String::from_utf8_lossy(frame.body);
                let text = format!("call the worker {}: {said}", self.inner.options.program());
                Err(Error::new(ErrorKind::Failed, text))
            }
            _ => return Err(foreign(frame, "it does not fit the state of its call")),
        };
        if let Some(job) = state.flying.remove(&frame.id) {
            if outcome.is_ok() {
                state.blamed.clear(job.hash);
            }
            job.slot.finish(outcome);
        }
        Ok(())
    }

    /// Ends a child that has grown above its limit.
    fn measure(&mut self) {
        let Some(max_bytes) = self.inner.options.memory_max_bytes else {
            return;
        };
        let bytes = self.child.memory_bytes();
        lock(&self.inner.state).figures.memory_bytes = bytes;
        if bytes.is_some_and(|bytes| bytes > max_bytes) && self.stop.is_none() {
            self.end(Why::Memory, Instant::now());
        }
    }
}

/// For waits such as `Duration::MAX`, which means for ever, a time that nobody lives to see.
fn later(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(wait.min(CENTURY)).unwrap_or(now)
}

fn foreign(frame: &Frame<'_>, what: &str) -> Error {
    let text = format!("heed a {:?} frame of call {}: {what}", frame.kind, frame.id);
    Error::new(ErrorKind::Malformed, text)
}

fn timed_out(program: &str, begun: bool) -> Error {
    let what = match begun {
        true => "it had begun and was not done in the time given",
        false => "it was still in line when its time was over",
    };
    Error::new(
        ErrorKind::TimedOut,
        format!("call the worker {program}: {what}"),
    )
}

/// Starts the keeper's thread.
pub(super) fn start(inner: Arc<Inner>) -> io::Result<()> {
    let builder = thread::Builder::new().name("plimsoll-keeper".into());
    builder.spawn(move || keep(&inner)).map(drop)
}
