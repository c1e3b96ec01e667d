//! The worker's side: takes requests from the socket, runs them one at a time, answers.
//!
//! Costs one thread, which reads, and up to 64 KiB for each request in line; long ones stay in
//! their memfds until they run.

use std::collections::VecDeque;
use std::fmt;
use std::net::Shutdown;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::error::{Error, ErrorKind};
use crate::sync::{Condvar, Mutex, lock, wait};
use crate::worker::frame::{self, Kind};
use crate::worker::payload::{Parcel, Payload};
use crate::worker::socket::{Filled, Inbox, send};

/// The environment variable that has the number of the worker's socket.
pub const SOCKET_VARIABLE: &str = "PLIMSOLL_WORKER_SOCKET";

/// Whether this process was started by a [`Worker`](super::Worker); for programs that are their
/// own workers.
#[must_use]
pub fn is_worker() -> bool {
    std::env::var_os(SOCKET_VARIABLE).is_some()
}

/// Runs `handler` for each request, one at a time in order of arrival, until the supervisor says
/// shutdown or is gone. A panic of the handler ends the worker, as a crash does.
///
/// # Errors
/// [`ErrorKind::Invalid`] where no supervisor started this process, or the second time;
/// [`ErrorKind::Io`] where no thread can be started.
pub fn serve<F>(mut handler: F) -> Result<(), Error>
where
    F: FnMut(&[u8], &Context) -> Result<Vec<u8>, String>,
{
    let desk = Arc::new(Desk {
        stream: inherited()?,
        writing: Mutex::new(()),
        line: Mutex::new(Line::default()),
        changed: Condvar::new(),
    });
    /// The supervisor sees the end also where a handler panics on a thread that is not the main one.
    struct Closing(Arc<Desk>);
    impl Drop for Closing {
        fn drop(&mut self) {
            // Fails only where the other side has gone already.
            let _ = self.0.stream.shutdown(Shutdown::Both);
        }
    }
    let closing = Closing(desk.clone());
    let reader = thread::Builder::new()
        .name("plimsoll-worker".into())
        .spawn({
            let desk = desk.clone();
            move || desk.read()
        })
        .map_err(|error| Error::with_source(ErrorKind::Io, "start a worker's reader", error))?;
    while let Some((id, payload, cancelled)) = desk.take() {
        let context = Context {
            id,
            cancelled,
            desk: desk.clone(),
        };
        if desk.post(Parcel::of(Kind::Started, id, &[])?).is_err() {
            break;
        }
        let answer = match payload.into_bytes() {
            Ok(request) => handler(&request, &context),
            Err(error) => Err(error.to_string()),
        };
        if desk.answer(id, answer).is_err() {
            break;
        }
    }
    drop(closing);
    reader
        .join()
        .map_err(|_| Error::new(ErrorKind::Failed, "the reader of a worker panicked"))
}

/// The socket that the supervisor left open for this process.
fn inherited() -> Result<UnixStream, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let refuse = |what: &str| {
        let text = format!("serve as a worker: {what}");
        Error::new(ErrorKind::Invalid, text)
    };
    let number = std::env::var(SOCKET_VARIABLE)
        .ok()
        .and_then(|text| text.parse::<libc::c_int>().ok())
        .filter(|number| *number > 2)
        .ok_or_else(|| refuse("this process was not started by a supervisor"))?;
    let mut kind: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: getsockopt writes an integer to where one is; on a number that is no socket it fails.
    let is_stream = unsafe {
        let place = (&raw mut kind).cast();
        libc::getsockopt(
            number,
            libc::SOL_SOCKET,
            libc::SO_TYPE,
            place,
            &raw mut size,
        ) == 0
    } && kind == libc::SOCK_STREAM;
    if !is_stream {
        return Err(refuse(
            "the supervisor's socket is not open in this process",
        ));
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(refuse("this process does so already"));
    }
    // SAFETY: the supervisor left the descriptor to this process, and only this place, once, takes
    // it. Children of the worker do not get it, or its end would not be seen.
    unsafe {
        libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok(UnixStream::from_raw_fd(number))
    }
}

/// A request under way, as its handler sees it.
pub struct Context {
    id: u64,
    cancelled: Arc<AtomicBool>,
    desk: Arc<Desk>,
}

impl Context {
    /// Whether nobody waits for the answer any more. A handler that looks often and returns early
    /// spares its process: after the grace it is killed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Tells the caller something before the answer.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] above [`frame::BODY_MAX`], [`ErrorKind::Gone`] where the supervisor
    /// has gone.
    pub fn progress(&self, message: &[u8]) -> Result<(), Error> {
        self.desk
            .post(Parcel::of(Kind::Progress, self.id, message)?)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

type Waiting = (u64, Payload, Arc<AtomicBool>);

struct Desk {
    stream: UnixStream,
    /// Held while a frame is written.
    writing: Mutex<()>,
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    /// As many as the supervisor has in flight.
    waiting: VecDeque<Waiting>,
    running: Option<(u64, Arc<AtomicBool>)>,
    ended: bool,
}

impl Desk {
    /// The next request; `None` at the end.
    fn take(&self) -> Option<Waiting> {
        let mut line = lock(&self.line);
        line.running = None;
        loop {
            if line.ended {
                return None;
            }
            if let Some(next) = line.waiting.pop_front() {
                line.running = Some((next.0, next.2.clone()));
                return Some(next);
            }
            line = wait(&self.changed, line);
        }
    }

    fn answer(&self, id: u64, answer: Result<Vec<u8>, String>) -> Result<(), Error> {
        let payload = answer.and_then(|reply| Payload::new(&reply).map_err(|e| e.to_string()));
        let parcel = match payload {
            Ok(payload) => payload.parcel(Kind::Reply, Kind::ReplyShared, id)?,
            Err(text) => {
                let cut = text.len().min(frame::BODY_MAX);
                Parcel::of(Kind::Failure, id, &text.as_bytes()[..cut])?
            }
        };
        self.post(parcel)
    }

    fn post(&self, parcel: Parcel) -> Result<(), Error> {
        let _writing = lock(&self.writing);
        let mut rest = &parcel.bytes[..];
        let mut descriptor = parcel.descriptor();
        while !rest.is_empty() {
            let sent = send(&self.stream, rest, descriptor.take())
                .map_err(|error| Error::with_source(ErrorKind::Gone, "answer", error))?;
            rest = &rest[sent..];
        }
        Ok(())
    }

    /// Reads until the end, which cancels all.
    fn read(&self) {
        let mut inbox = Inbox::default();
        while matches!(inbox.fill(&self.stream), Ok(Filled::Some)) {
            loop {
                let heeded = match inbox.next() {
                    Ok(Some((frame, memfd))) => self.heed(&frame, memfd),
                    Ok(None) => break,
                    Err(error) => Err(error),
                };
                // Foreign frames, or no way to answer: as if the supervisor had gone.
                if heeded.is_err() {
                    return self.end();
                }
            }
        }
        self.end();
    }

    fn end(&self) {
        let mut line = lock(&self.line);
        line.ended = true;
        line.waiting.clear();
        if let Some((_, cancelled)) = &line.running {
            cancelled.store(true, Ordering::Relaxed);
        }
        self.changed.notify_all();
    }

    fn heed(&self, frame: &frame::Frame<'_>, memfd: Option<OwnedFd>) -> Result<(), Error> {
        match frame.kind {
            Kind::Request | Kind::RequestShared => {
                let payload = Payload::received(frame, memfd)?;
                let mut line = lock(&self.line);
                if !line.ended {
                    line.waiting.push_back((frame.id, payload, Arc::default()));
                }
            }
            Kind::Cancel => {
                let mut line = lock(&self.line);
                let before = line.waiting.len();
                line.waiting.retain(|(id, ..)| *id != frame.id);
                let removed = line.waiting.len() < before;
                if let Some((id, cancelled)) = &line.running
                    && *id == frame.id
                {
                    cancelled.store(true, Ordering::Relaxed);
                }
                drop(line);
                if removed {
                    self.post(Parcel::of(Kind::Failure, frame.id, b"cancelled")?)?;
                }
            }
            Kind::Shutdown => {
                let mut line = lock(&self.line);
                line.ended = true;
                line.waiting.clear();
            }
            Kind::Ping => self.post(Parcel::of(Kind::Pong, frame.id, &[])?)?,
            _ => {
                let text = format!("heed a {:?} frame: only workers send it", frame.kind);
                return Err(Error::new(ErrorKind::Malformed, text));
            }
        }
        self.changed.notify_all();
        Ok(())
    }
}
