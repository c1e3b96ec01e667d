//! The board's side: starts a worker when one is needed, asks, tries again.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::error::ClientError;
use crate::frame;
use crate::message::{ID_UNKNOWN, Progress, Request, Response, Status, Task};
use crate::peer::Peer;
use crate::start::Started;

/// Connections at once; further calls wait for one, as in the original.
pub const CONNECTIONS_MAX: usize = 10;
/// Tries of one call unless told otherwise, as in the original.
pub const TRIES_MAX: u32 = 3;

/// How long `has_worker` waits for others that look, or for one who starts a worker.
const LOOK_PATIENCE: Duration = Duration::from_millis(20);

/// How the worker is started and how long it may take.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The worker's program, found as a shell finds it.
    pub program: PathBuf,
    /// Its arguments; `["serve", "--end-with-stdin"]`: its standard input is a pipe from here.
    pub args: Vec<OsString>,
    /// Environment variables beside those of this process.
    pub env: Vec<(OsString, OsString)>,
    /// Where it listens.
    pub socket: PathBuf,
    /// From the start to the first connection; 10 s.
    pub ready_timeout: Duration,
    /// A worker that says nothing for so long while it is asked is killed; 300 s. A progress
    /// message is something said, so a long upscale has its time.
    pub silence_timeout: Duration,
    /// Between two tries; 0.5 s.
    pub retry_pause: Duration,
    /// Tries of one call, at least 1; [`TRIES_MAX`]. Who keeps count of failures itself takes 1.
    pub tries: u32,
}

impl ClientOptions {
    /// `program` at `socket`, with the original's times.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, socket: impl Into<PathBuf>) -> ClientOptions {
        ClientOptions {
            program: program.into(),
            args: vec!["serve".into(), "--end-with-stdin".into()],
            env: Vec::new(),
            socket: socket.into(),
            ready_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(300),
            retry_pause: Duration::from_millis(500),
            tries: TRIES_MAX,
        }
    }
}

/// Asks the worker at a socket and starts it when nobody is there; shared by reference. A worker
/// that it started ends when it is dropped.
pub struct Client {
    options: ClientOptions,
    /// Held while a worker starts: one start at a time.
    started: Mutex<Option<Started>>,
    connections: Arc<Connections>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct Connections {
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    count: usize,
    /// Of calls under way, by the number of the session, to be broken off.
    calls: Vec<(u64, UnixStream)>,
}

impl Client {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Client {
        Client {
            options,
            started: Mutex::new(None),
            connections: Arc::default(),
            next_id: AtomicU64::new(0),
        }
    }

    /// Has the worker do `task`, on a connection of its own.
    ///
    /// # Errors
    /// [`ClientError`], after up to [`ClientOptions::tries`].
    pub fn call(&self, task: &Task) -> Result<Value, ClientError> {
        self.call_with(task, |_| {})
    }

    /// The same; `heed` gets each progress message, on this thread. After a retry they begin anew.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_with(
        &self,
        task: &Task,
        heed: impl FnMut(&Progress),
    ) -> Result<Value, ClientError> {
        self.session().call_with(task, heed)
    }

    /// Asks a worker that is there; `None` where nobody listens at the socket. Starts none.
    ///
    /// # Errors
    /// As [`Client::call`], after one try.
    pub fn call_running(&self, task: &Task) -> Result<Option<Value>, ClientError> {
        let Ok(stream) = UnixStream::connect(&self.options.socket) else {
            return Ok(None);
        };
        let mut session = self.session();
        session.stream = Some(stream);
        let id = self.make_id();
        session
            .attempt(&id, &body_of(&id, task)?, &mut |_| {})
            .map(Some)
    }

    /// A place for one connection that is kept between calls: a round trip without connecting.
    /// Waits while [`CONNECTIONS_MAX`] are in use. Connects at its first call.
    #[must_use]
    pub fn session(&self) -> Session<'_> {
        let mut open = lock(&self.connections.open);
        while open.count >= CONNECTIONS_MAX {
            let woken = self.connections.changed.wait(open);
            open = woken.unwrap_or_else(PoisonError::into_inner);
        }
        open.count += 1;
        Session {
            client: self,
            number: self.next_id.fetch_add(1, Ordering::Relaxed),
            stream: None,
        }
    }

    /// Whether a worker that this client started runs now; one that is being started does not yet. Starts
    /// nothing, and waits for 20 ms at most.
    pub fn has_worker(&self) -> bool {
        let begun = Instant::now();
        loop {
            match self.started.try_lock() {
                Ok(mut started) => return started.as_mut().is_some_and(Started::is_running),
                Err(TryLockError::Poisoned(poisoned)) => {
                    let mut started = poisoned.into_inner();
                    return started.as_mut().is_some_and(Started::is_running);
                }
                Err(TryLockError::WouldBlock) if begun.elapsed() >= LOOK_PATIENCE => return false,
                // Others look for a moment; to start one takes longer.
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Ends the worker that this client started, if it runs, without waiting for its work, and breaks off
    /// every call under way: those fail with [`ClientError::Connection`]. One that somebody else started
    /// goes on with what it does.
    pub fn stop(&self) {
        for (_, stream) in &lock(&self.connections.open).calls {
            // Fails where the other side has gone, which is as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
        lock(&self.started).take();
    }

    fn connect(&self) -> Result<UnixStream, ClientError> {
        if let Ok(stream) = UnixStream::connect(&self.options.socket) {
            return Ok(stream);
        }
        let mut started = lock(&self.started);
        // Another thread may have started one while this one waited.
        if let Ok(stream) = UnixStream::connect(&self.options.socket) {
            return Ok(stream);
        }
        // One that does not answer at its socket is of no use: it is on its way out, or hangs.
        *started = None;
        let options = &self.options;
        *started = Some(Started::start(
            &options.program,
            &options.args,
            &options.env,
            &options.socket,
            options.ready_timeout,
        )?);
        UnixStream::connect(&options.socket).map_err(|source| self.broken(source))
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Connection {
            socket: self.options.socket.clone(),
            source,
        }
    }

    /// An id that no other request of this board has: the worker remembers those of upscales.
    fn make_id(&self) -> String {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        format!("{:x}-{nanos:x}-{number:x}", std::process::id())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// One connection, kept between calls; see [`Client::session`].
#[derive(Debug)]
pub struct Session<'client> {
    client: &'client Client,
    number: u64,
    stream: Option<UnixStream>,
}

impl Session<'_> {
    /// As [`Client::call`], on this connection.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call(&mut self, task: &Task) -> Result<Value, ClientError> {
        self.call_with(task, |_| {})
    }

    /// As [`Client::call_with`], on this connection.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_with(
        &mut self,
        task: &Task,
        heed: impl FnMut(&Progress),
    ) -> Result<Value, ClientError> {
        self.call_as(&self.client.make_id(), task, heed)
    }

    /// The same under an id of the caller's, at most [`ID_MAX`](crate::message::ID_MAX) bytes: an
    /// upscale that is asked again under its id, by another board's process even, is not done twice.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_as(
        &mut self,
        id: &str,
        task: &Task,
        mut heed: impl FnMut(&Progress),
    ) -> Result<Value, ClientError> {
        // The same in each try: an upscale that a lost connection hid is not done again.
        let body = body_of(id, task)?;
        let mut tries = 1;
        loop {
            let outcome = self.attempt(id, &body, &mut heed);
            let Err(error) = outcome else { return outcome };
            self.stream = None;
            if !error.is_worth_a_retry() || tries >= self.client.options.tries {
                return Err(error);
            }
            tries += 1;
            thread::sleep(self.client.options.retry_pause);
        }
    }

    fn attempt(
        &mut self,
        id: &str,
        body: &[u8],
        heed: &mut impl FnMut(&Progress),
    ) -> Result<Value, ClientError> {
        let client = self.client;
        let broken = |error| client.broken(error);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(client.connect()?),
        };
        let peer = Peer::of(stream).map_err(broken)?;
        let _call = Call::begin(client, self.number, stream).map_err(broken)?;
        let timeout = client.options.silence_timeout;
        stream.set_read_timeout(Some(timeout)).map_err(broken)?;
        stream.set_write_timeout(Some(timeout)).map_err(broken)?;
        let late = |error: io::Error| {
            if !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) {
                return match error.kind() {
                    io::ErrorKind::InvalidData => ClientError::Malformed(error.to_string()),
                    _ => client.broken(error),
                };
            }
            if let Some(peer) = &peer {
                peer.kill();
            }
            ClientError::Timeout(timeout)
        };
        frame::write(&mut *stream, body).map_err(late)?;
        stream.flush().map_err(broken)?;
        loop {
            let answer = frame::read(&mut *stream).map_err(late)?.ok_or_else(|| {
                let text = "the worker ended before it answered";
                client.broken(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            })?;
            if let Some(outcome) = judge(id, &answer, heed)? {
                return outcome;
            }
        }
    }
}

/// A call under way, which [`Client::stop`] may break off.
struct Call<'client> {
    client: &'client Client,
    number: u64,
}

impl<'client> Call<'client> {
    fn begin(client: &'client Client, number: u64, stream: &UnixStream) -> io::Result<Self> {
        let stream = stream.try_clone()?;
        lock(&client.connections.open).calls.push((number, stream));
        Ok(Call { client, number })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut open = lock(&self.client.connections.open);
        open.calls.retain(|(number, _)| *number != self.number);
    }
}

fn body_of(id: &str, task: &Task) -> Result<Vec<u8>, ClientError> {
    let request = Request {
        id: id.to_owned(),
        task: task.clone(),
    };
    let body = request
        .to_body()
        .map_err(|error| ClientError::Invalid(error.to_string()))?;
    if body.len() > frame::BODY_MAX {
        let text = format!("{} bytes, the maximum is {}", body.len(), frame::BODY_MAX);
        return Err(ClientError::Invalid(text));
    }
    Ok(body)
}

/// The outcome that `answer` is; `None` for progress. The outer error is of the connection, the inner one
/// the worker's answer.
fn judge(
    id: &str,
    answer: &[u8],
    heed: &mut impl FnMut(&Progress),
) -> Result<Option<Result<Value, ClientError>>, ClientError> {
    let response: Response = serde_json::from_slice(answer)
        .map_err(|error| ClientError::Malformed(error.to_string()))?;
    // Answers come in order and one request is open, so this is about ours even where the worker
    // could not read its id.
    if response.id != id && response.id != ID_UNKNOWN {
        let text = format!("it answers {:?}, asked was {id:?}", response.id);
        return Err(ClientError::Malformed(text));
    }
    Ok(match response.status {
        Status::Success => Some(Ok(response.data)),
        Status::Error => {
            let message = response
                .error
                .unwrap_or_else(|| "without a reason".to_owned());
            let cause = response.cause;
            Some(Err(ClientError::Refused { message, cause }))
        }
        Status::Progress => {
            if let Ok(progress) = serde_json::from_value(response.data) {
                heed(&progress);
            }
            None
        }
    })
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        lock(&self.client.connections.open).count -= 1;
        self.client.connections.changed.notify_one();
    }
}

/// A panic elsewhere leaves nothing half done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
