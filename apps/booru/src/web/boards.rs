//! The connections of a server: one that writes, a few that read, each used by one request at a time.
//!
//! They share one catalog. Work is done on threads that may block, whose number is bounded; a request
//! whose client has gone is done to its end, and its connection comes back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::App;
use super::error::Failure;
use super::holdings::{Holdings, READ_BYTES, READING};
use super::settings::READER_CACHE_BYTES;
use crate::board::Board;

/// Reading a catalog anew takes at most one part in so many of the time.
const RELOAD_SHARE: u32 = 10;

#[derive(Debug)]
pub(super) struct Boards {
    writer: Arc<tokio::sync::Mutex<Writer>>,
    readers: Arc<Readers>,
    holdings: Arc<Holdings>,
}

#[derive(Debug)]
struct Writer {
    board: Board,
    /// Not before this is the database looked at for changes of others.
    next_refresh: Instant,
}

#[derive(Debug)]
struct Readers {
    idle: Mutex<Vec<Reader>>,
    free: Arc<Semaphore>,
    /// How often the schema has changed since the start.
    schema: AtomicU64,
}

#[derive(Debug)]
struct Reader {
    board: Board,
    schema: u64,
}

impl Boards {
    /// Readers beside a writer, each with a page cache of [`READER_CACHE_BYTES`].
    ///
    /// # Errors
    /// As [`Board::reader`] says.
    pub(super) fn new(writer: Board, readers: usize, holdings: Arc<Holdings>) -> Result<Boards> {
        let mut idle = Vec::with_capacity(readers);
        for _ in 0..readers {
            let board = writer.reader_with(READER_CACHE_BYTES)?;
            idle.push(Reader { board, schema: 0 });
        }
        Ok(Boards {
            holdings,
            writer: Arc::new(tokio::sync::Mutex::new(Writer {
                board: writer,
                next_refresh: Instant::now(),
            })),
            readers: Arc::new(Readers {
                idle: Mutex::new(idle),
                free: Arc::new(Semaphore::new(readers)),
                schema: AtomicU64::new(0),
            }),
        })
    }

    /// Waits for a reader, and does `act` with it.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Board) -> Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let free = Arc::clone(&self.readers.free).acquire_owned().await;
        let free = free.expect("the semaphore is never closed");
        let reserved = self.holdings.reserve(READ_BYTES)?;
        let readers = Arc::clone(&self.readers);
        let work = spawn_blocking(move || {
            let mut reader = readers.take();
            let done = readers.follow_schema(&mut reader);
            let act = || READING.run(|| act(&reader.board));
            let done = done.and_then(|()| unless_it_panics(act));
            readers.put_back(reader);
            drop((reserved, free));
            done
        });
        Ok(work.await.context("wait for a request")??)
    }

    /// Waits for the writer, and does `act` with it; changes of other programs are followed first.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Board) -> Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let readers = Arc::clone(&self.readers);
        let reserved = self.holdings.reserve(READ_BYTES)?;
        let holdings = Arc::clone(&self.holdings);
        let work = spawn_blocking(move || {
            let done = writer.write(&readers, &holdings, act);
            drop(reserved);
            done
        });
        Ok(work.await.context("wait for an edit")??)
    }

    /// As [`Boards::write`], on a thread that may wait.
    ///
    /// # Errors
    /// Those of `act`, and what the database says.
    pub(super) fn write_waiting(
        &self,
        act: &mut dyn FnMut(&mut Board) -> Result<()>,
    ) -> Result<()> {
        let mut writer = self.writer.blocking_lock();
        writer.write(&self.readers, &self.holdings, act)
    }

    /// Follows what other programs have changed, unless an edit is at it, or it was done lately; whether
    /// it has.
    pub(super) async fn refresh(&self) -> Result<bool> {
        let Ok(mut writer) = Arc::clone(&self.writer).try_lock_owned() else {
            return Ok(false);
        };
        if Instant::now() < writer.next_refresh {
            return Ok(false);
        }
        let readers = Arc::clone(&self.readers);
        let holdings = Arc::clone(&self.holdings);
        let work = spawn_blocking(move || {
            let begin = Instant::now();
            let schema = writer.board.store.schema.clone();
            let has_changed = writer.board.refresh();
            if writer.board.store.schema != schema {
                readers.schema.fetch_add(1, Ordering::Relaxed);
            }
            if matches!(has_changed, Ok(true)) {
                holdings.follow(&writer.board.catalog());
            }
            writer.next_refresh = Instant::now() + begin.elapsed() * RELOAD_SHARE;
            has_changed
        });
        work.await.context("follow other programs")?
    }
}

impl Writer {
    fn write<T>(
        &mut self,
        readers: &Readers,
        holdings: &Holdings,
        act: impl FnOnce(&mut Board) -> Result<T>,
    ) -> Result<T> {
        let board = &mut self.board;
        let schema = board.store.schema.clone();
        board.refresh()?;
        let done = unless_it_panics(|| act(board));
        if done.as_ref().is_err_and(|error| error.is::<Panicked>()) {
            board.distrust();
            board.reload()?;
        }
        if board.store.schema != schema {
            readers.schema.fetch_add(1, Ordering::Relaxed);
        }
        holdings.follow(&board.catalog());
        done
    }
}

impl Readers {
    fn take(&self) -> Reader {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().expect("there is a permit for each reader")
    }

    fn put_back(&self, reader: Reader) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(reader);
    }

    /// An edit may have made a table, and another program a column.
    fn follow_schema(&self, reader: &mut Reader) -> Result<()> {
        let now = self.schema.load(Ordering::Relaxed);
        if reader.schema != now {
            reader.board.store.refresh_schema()?;
            reader.schema = now;
        }
        Ok(())
    }
}

/// A panic is an error of its request alone.
#[derive(Debug)]
struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a request ended by a fault of the program, told above")
    }
}

impl std::error::Error for Panicked {}

fn unless_it_panics<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    // What it has borrowed is a connection, whose statements end with it, and a catalog: an edit that
    // panics has it read anew.
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(done) => done,
        Err(_) => Err(anyhow!(Panicked)),
    }
}

/// How often [`Boards::refresh`] is tried.
pub(super) const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// The writer, for threads that may wait.
pub(super) struct ByApp(pub(super) Arc<App>);

impl crate::writer::Writer for ByApp {
    fn lend(&self, act: &mut dyn FnMut(&mut Board) -> Result<()>) -> Result<()> {
        self.0.boards.write_waiting(act)
    }
}
