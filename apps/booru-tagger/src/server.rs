//! The worker's life: connections, their requests, and its end.

use std::any::Any;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use plimsoll::beacon::BeaconOptions;
use plimsoll_booru_worker_protocol::frame;
use plimsoll_booru_worker_protocol::message::{Progress, Request, Response, Task};
use serde_json::{Value, json};

use crate::config::Config;
use crate::gate::{Gate, Idle};
use crate::listener::Listener;
use crate::models::Models;
use crate::once::Once;
use crate::work::{Failure, Work, words_of};

/// Several boards of ten connections each.
const CONNECTIONS_MAX: usize = 64;
/// For the rest of a frame that has begun, and for a client to take an answer: a client that stops in
/// between must not keep the worker.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// What runs at SIGTERM or a shutdown may finish within this; the original's board kills after 5 s.
const FINISH_WAIT: Duration = Duration::from_secs(3);
/// Of the beacon: the worker mostly waits, and its page need not be fresher.
const BEACON_INTERVAL: Duration = Duration::from_millis(500);

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Another worker has the socket.
    Superfluous,
    /// Nothing was asked for so long.
    Idle,
    /// A shutdown request, or SIGTERM.
    Asked,
    /// The same, but something still runs: its threads must not see the process taken down around them.
    AskedWhileBusy,
    /// Who started it has gone.
    Orphaned,
}

/// What a process may be ended by besides requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifeline {
    /// Nothing.
    None,
    /// The end of standard input.
    Stdin,
}

struct Server {
    work: Work,
    once: Once,
    gate: Gate,
}

/// Serves until the end.
///
/// # Errors
/// Where the socket can't be had.
pub fn serve(config: &Config, lifeline: Lifeline) -> Result<End> {
    // One that came up too late must not take the socket and die under the next board's first request.
    if lifeline == Lifeline::Stdin {
        let [is_readable] = poll([libc::STDIN_FILENO], Some(Duration::ZERO))?;
        if is_readable && has_ended(libc::STDIN_FILENO) {
            return Ok(End::Orphaned);
        }
    }
    let Some(listener) = Listener::bind(&config.socket)? else {
        return Ok(End::Superfluous);
    };
    let (terminate, terminated) = UnixStream::pair()?;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let pipe = terminate.try_clone()?;
        signal_hook::low_level::pipe::register(signal, pipe).context("heed SIGTERM")?;
    }
    let models = Models::new(config.backend.clone());
    // Without a beacon the worker serves as well; `plimsoll` then shows no names.
    let beacon = BeaconOptions::default()
        .interval(BEACON_INTERVAL)
        .budget("models", models.budget())
        .publish();
    if let Err(error) = &beacon {
        eprintln!("booru-tagger: {error}");
    }
    let (gate, woken) = Gate::new()?;
    let server = Arc::new(Server {
        work: Work::new(models, config.models.clone(), config.batch_images()),
        once: Once::default(),
        gate,
    });
    let end = run(
        &server,
        &listener,
        config.idle_timeout,
        lifeline,
        &terminated,
        &woken,
    );
    server.gate.close();
    listener.close();
    let end = end?;
    if end != End::Asked {
        return Ok(end);
    }
    match finish(&server, &woken) {
        true => Ok(End::Asked),
        false => Ok(End::AskedWhileBusy),
    }
}

fn run(
    server: &Arc<Server>,
    listener: &Listener,
    idle_timeout: Duration,
    lifeline: Lifeline,
    terminated: &UnixStream,
    woken: &UnixStream,
) -> Result<End> {
    let stdin = match lifeline {
        Lifeline::Stdin => libc::STDIN_FILENO,
        // poll(2) passes over negative ones.
        Lifeline::None => -1,
    };
    let sources = [
        listener.socket.as_raw_fd(),
        terminated.as_raw_fd(),
        woken.as_raw_fd(),
        stdin,
    ];
    loop {
        let now = Instant::now();
        let wait = match server.gate.close_if_idle(idle_timeout, now) {
            Idle::Closed if server.gate.was_asked() => return Ok(End::Asked),
            Idle::Closed => return Ok(End::Idle),
            Idle::Busy => None,
            Idle::Until(end) => Some(end.duration_since(now)),
        };
        let [connection, signal, change, parent] = poll(sources, wait)?;
        if signal {
            return Ok(End::Asked);
        }
        if parent && has_ended(libc::STDIN_FILENO) {
            return Ok(End::Orphaned);
        }
        if change {
            drain(woken);
        }
        if connection {
            accept(server, listener);
        }
    }
}

/// Waits for what runs; whether all of it ended in time.
fn finish(server: &Server, woken: &UnixStream) -> bool {
    let begun = Instant::now();
    while server.gate.is_busy() {
        let Some(left) = FINISH_WAIT.checked_sub(begun.elapsed()) else {
            return false;
        };
        if poll([woken.as_raw_fd()], Some(left)).is_err() {
            return false;
        }
        drain(woken);
    }
    true
}

fn accept(server: &Arc<Server>, listener: &Listener) {
    let stream = match listener.socket.accept() {
        Ok((stream, _)) => stream,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
        Err(error) => {
            eprintln!("booru-tagger: accept a connection: {error}");
            // No descriptor left: looking again at once would be a busy loop.
            thread::sleep(Duration::from_millis(50));
            return;
        }
    };
    if !server.gate.connect(CONNECTIONS_MAX) {
        eprintln!("booru-tagger: refused a connection: {CONNECTIONS_MAX} are open");
        return;
    }
    let own = Arc::clone(server);
    let started = thread::Builder::new()
        .name("connection".to_owned())
        .spawn(move || {
            own.converse(stream);
            own.gate.disconnect();
        });
    if let Err(error) = started {
        eprintln!("booru-tagger: serve a connection: {error}");
        server.gate.disconnect();
    }
}

impl Server {
    /// Answers the requests of one connection, one after the other.
    fn converse(&self, stream: UnixStream) {
        let set = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(FRAME_TIMEOUT)))
            .and_then(|()| stream.set_write_timeout(Some(FRAME_TIMEOUT)));
        if set.is_err() {
            return;
        }
        // Waits without reading: what is not counted must not be read.
        while let Ok([is_ready]) = poll([stream.as_raw_fd()], None) {
            if !is_ready {
                continue;
            }
            let Some(_ticket) = self.gate.enter() else {
                return;
            };
            match frame::read(&stream) {
                Ok(Some(body)) => {
                    if self.answer(&stream, &body).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    // Nobody knows where the next frame begins.
                    if error.kind() == io::ErrorKind::InvalidData {
                        let text = format!("ValueError: read a frame: {error}");
                        let _ = send(&stream, &Response::error("unknown", text));
                    }
                    return;
                }
            }
        }
    }

    fn answer(&self, stream: &UnixStream, body: &[u8]) -> io::Result<()> {
        let request = match Request::parse(body) {
            Ok(request) => request,
            Err(error) => return send(stream, &Response::error(&error.id, error.message)),
        };
        let id = &request.id;
        // A client that has gone hears nothing; the work goes on, as it may come back for it.
        let line = Mutex::new(());
        let progress = |progress: &Progress| {
            let _line = line.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = send(stream, &Response::progress(id, progress));
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| self.act(&request, progress)));
        let outcome = outcome.unwrap_or_else(|panic| Err(anyhow!("{}", words(&*panic)).into()));
        let response = match outcome {
            Ok(result) => Response::success(id, result),
            Err(Failure { cause, error }) => {
                // One line in the log for each failure, with the same words as the answer.
                eprintln!("booru-tagger: {error:#}");
                Response::error(id, format!("Error: {error:#}")).with_cause(cause)
            }
        };
        let sent = send(stream, &response);
        if request.task == Task::Shutdown {
            self.gate.ask();
        }
        sent
    }

    fn act(
        &self,
        request: &Request,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Value, Failure> {
        match &request.task {
            Task::TagImage(data) => self.work.tag_image(&data.image_path, &data.tagging),
            Task::TagImages(data) => self.work.tag_images(data, progress),
            Task::ComputeSimilarity(data) => self.work.compute_similarity(data),
            Task::UpscaleImage(data) => {
                let act =
                    |progress: &mut dyn FnMut(&Progress)| self.work.upscale_image(data, progress);
                self.once.run(&request.id, data, &mut progress, act)
            }
            Task::HealthCheck => Ok(self.work.health()),
            Task::Shutdown => Ok(json!({ "message": "the worker ends" })),
            other => Err(anyhow!("this worker does not know {other:?}").into()),
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    format!("this is a bug of the worker: {}", words_of(panic))
}

fn send(stream: &UnixStream, response: &Response) -> io::Result<()> {
    let body = serde_json::to_vec(response)?;
    if body.len() > frame::BODY_MAX {
        let text = format!(
            "the answer has {} bytes, the maximum is {}",
            body.len(),
            frame::BODY_MAX
        );
        return frame::write(
            stream,
            &serde_json::to_vec(&Response::error(&response.id, text))?,
        );
    }
    frame::write(stream, &body)
}

/// Which of `sources` can be read, or have ended; none after `wait`.
fn poll<const N: usize>(sources: [RawFd; N], wait: Option<Duration>) -> Result<[bool; N]> {
    let mut polled = sources.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // Rounded up: waking too early would mean to spin until the deadline.
    let millis = wait.map_or(-1, |wait| {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX)
    });
    let count = N as libc::nfds_t;
    // SAFETY: `polled` is an array of `count` such structures.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), count, millis) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("wait for requests");
        }
        return Ok([false; N]);
    }
    Ok(polled.map(|polled| polled.revents != 0))
}

/// Takes what wakes.
fn drain(mut woken: &UnixStream) {
    let mut bytes = [0; 64];
    while matches!(io::Read::read(&mut woken, &mut bytes), Ok(read) if read == bytes.len()) {}
}

/// Whether a pipe's other end is closed; bytes in it are passed over.
fn has_ended(fd: RawFd) -> bool {
    let mut bytes = [0_u8; 64];
    // SAFETY: reads at most as many bytes as there is room for.
    let read = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
    read <= 0
}
