//! The board as a server for browsers: pages, a JSON API, files.
//!
//! Memory beside the board's own: a connection takes 8 KiB and what its request reads, a reader its page
//! cache, a file that is sent 128 KiB. Each has a number it does not exceed.

pub mod api;
mod arrivals;
mod attempts;
mod beneath;
mod boards;
mod body;
mod conditions;
pub mod error;
pub mod files;
mod holdings;
mod kind;
mod models;
mod monitor;
mod origin;
mod paced;
pub mod pages;
pub mod password;
mod patience;
mod peers;
mod sending;
mod server;
pub mod session;
mod settings;
mod thumbnails;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use plimsoll::budget::{Budget, Reservation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::board::Board;
use crate::similarity::Similarity;
use api::upload::UPLOADS_MAX;
use arrivals::Arrivals;
use attempts::Attempts;
use boards::Boards;
use error::Failure;
use holdings::{BODY_BYTES, Holdings};
use models::Models;
use password::Password;
use sending::FILES_MAX;
use session::Sessions;
use thumbnails::Thumbnails;

pub use settings::{Folders, PublicUrl, ServeArguments, Settings};
pub use thumbnails::{ThumbnailerArguments, serve_thumbnails};

/// Bodies that are read at once, those of a few KiB apart.
const BODIES_MAX: usize = 2;
/// How long such a body waits for its turn.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// For a body that is more than small: its turn, and its memory.
#[derive(Debug)]
pub struct Room {
    _reserved: Reservation,
    _turn: OwnedSemaphorePermit,
}

/// What requests share.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    boards: Boards,
    password: Option<Password>,
    sessions: Sessions,
    attempts: Mutex<Attempts>,
    /// For bodies of requests that are more than small.
    body_room: Arc<Semaphore>,
    /// For files that are sent.
    files: Arc<Semaphore>,
    /// For those that are sent in pieces, as fast as their clients take them.
    streams: Arc<Semaphore>,
    uploads: Semaphore,
    arrivals: Arrivals,
    thumbnails: Thumbnails,
    similarity: Arc<Similarity>,
    holdings: Arc<Holdings>,
    models: Models,
}

impl App {
    fn new(settings: Settings, password: Option<Password>, board: Board) -> Result<App> {
        let holdings = Arc::new(Holdings::new(&settings, &board.catalog())?);
        let thumbnails = Thumbnails::new(&settings.ingest).context("set up small pictures")?;
        // Embeddings lie beside it, or in it.
        let database = board.store().file().map(std::path::Path::to_owned);
        let folder = database.as_ref().map(|database| {
            let folder = database.parent();
            folder.unwrap_or(&settings.folders.board)
        });
        Ok(App {
            boards: Boards::new(board, settings.readers, Arc::clone(&holdings))?,
            similarity: Arc::new(Similarity::open(
                folder,
                settings.similarity,
                holdings.budget(),
            )),
            holdings,
            settings,
            password,
            sessions: Sessions::new()?,
            attempts: Mutex::new(Attempts::new(Instant::now())),
            body_room: Arc::new(Semaphore::new(BODIES_MAX)),
            files: Arc::new(Semaphore::new(FILES_MAX)),
            streams: Arc::new(Semaphore::new(FILES_MAX)),
            uploads: Semaphore::new(UPLOADS_MAX),
            arrivals: Arrivals::default(),
            thumbnails,
            models: Models::default(),
        })
    }

    /// What the server goes by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Waits for a connection to read by, and does `act` with it on a thread that may block.
    ///
    /// # Errors
    /// Those of `act`, as [`Failure`] takes them.
    pub fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Board) -> Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send {
        self.boards.read(act)
    }

    /// Waits for the one connection to write by, and does `act` with it on a thread that may block. It is done
    /// to its end also where the client has gone.
    ///
    /// # Errors
    /// Those of `act`, as [`Failure`] takes them.
    pub fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Board) -> Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send {
        self.boards.write(act)
    }

    /// The memory that the process may take, for parts of it that hold much themselves.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        self.holdings.budget()
    }

    async fn room_for_body(&self) -> Result<Room, Failure> {
        let turn = Arc::clone(&self.body_room).acquire_owned();
        match tokio::time::timeout(BODY_PATIENCE, turn).await {
            Ok(Ok(turn)) => Ok(Room {
                _reserved: self.holdings.reserve(BODY_BYTES)?,
                _turn: turn,
            }),
            _ => Err(Failure::busy()),
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody can read without a login, or more: then only some hosts are answered.
    fn is_open(&self) -> bool {
        self.password.is_none() || self.settings.public_read
    }
}

/// Serves a board until the process is told to end.
///
/// # Errors
/// A board that can't be opened, an address that can't be listened on, or not without a password.
pub fn serve(arguments: &ServeArguments) -> Result<()> {
    let settings = Settings::of(arguments)?;
    let password = Password::find(&settings.folders.board)?;
    // A proxy hands on what others ask.
    let is_handed_on = settings.behind_proxy || settings.public_url.is_some();
    let is_reached_from_elsewhere = is_handed_on || !settings.listen.ip().is_loopback();
    if is_reached_from_elsewhere && password.is_none() && !settings.no_password {
        bail!(
            "listen on {}: whoever reaches it could change the board, as it has no password; set one by \
             `booru passwd {}`, or by APP_PASSWORD, or leave out --host (FLASK_HOST), --public-url and \
             --behind-proxy, or say that it is wanted by --no-password",
            settings.listen.ip(),
            arguments.board.board.display()
        );
    }
    server::run(settings, password)
}

/// All that is answered.
fn router(app: &Arc<App>) -> axum::Router {
    axum::Router::new()
        .merge(pages::router())
        .merge(files::router())
        .merge(api::router())
        .with_state(Arc::clone(app))
}
