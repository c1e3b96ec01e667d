//! Small pictures that are not there are made when they are asked for, one at a time, by a process of its own
//! (`child`) that is started for the first and ends when none is asked for any more.
//!
//! Memory: the server's own is what a call takes, a few KiB. The other process has what the picture takes to be
//! read, which its head says, and what making a small one takes at most: some 60 MiB for a photograph of 12
//! megapixels, reserved from the budget of the server. A small picture of a video or an archive is made when that is taken in.

mod child;
mod request;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use plimsoll::ErrorKind;
use plimsoll::worker::Worker;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::Failure;
use super::kind::kind_of;
use super::{App, beneath};
use crate::ingest::{self, thumbnail_path};
use crate::store::Access;
use request::{Reply, Request, Step, Version};

pub use child::{ThumbnailerArguments, serve as serve_thumbnails};

/// How long a request waits for its turn; browsers ask for what is in sight, again where they got nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Until the process ends that nobody asks any more; its start takes some 10 ms.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// The process itself: code and libraries as far as they are touched, and what malloc keeps.
const PROCESS_BYTES: u64 = 8 << 20;

/// What it may have kept when a picture is done.
const KEPT_BYTES_MAX: u64 = 32 << 20;

/// Pictures that could not be read, remembered until there are so many.
const FAILED_MAX: usize = 1024;

/// Whose turn it is, who does it, and what need not be tried.
#[derive(Debug)]
pub(super) struct Thumbnails {
    turn: Arc<Semaphore>,
    worker: Worker,
    failed: Mutex<BTreeSet<Version>>,
}

impl Thumbnails {
    /// Starts nothing.
    ///
    /// # Errors
    /// A system that has no more descriptors.
    pub(super) fn new(settings: &ingest::Settings) -> Result<Thumbnails> {
        // This very program, also where another one has taken its place meanwhile.
        let worker = Worker::builder("/proc/self/exe")
            .arg0("booru")
            .arg("thumbnailer")
            .args(ThumbnailerArguments::of(settings).words())
            .idle_timeout(IDLE_TIME)
            .memory_max_bytes(KEPT_BYTES_MAX);
        Ok(Thumbnails {
            turn: Arc::new(Semaphore::new(1)),
            worker: worker.build()?,
            failed: Mutex::default(),
        })
    }

    /// # Errors
    /// The process is not to be started, died of it twice, was too late, or could not write.
    fn ask(&self, request: &Request) -> Result<Reply> {
        let bytes = serde_json::to_vec(request)?;
        match self.worker.call(&bytes) {
            Ok(reply) => serde_json::from_slice(&reply).context("read what the thumbnailer says"),
            // It would be so again.
            Err(error) if error.kind() == ErrorKind::Poisoned => Ok(Reply::Unreadable {
                reason: error.to_string(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    fn has_failed(&self, file: &Version) -> bool {
        self.failed().contains(file)
    }

    fn remember(&self, file: Version) {
        let mut failed = self.failed();
        if failed.len() >= FAILED_MAX {
            failed.clear();
        }
        failed.insert(file);
    }

    fn failed(&self) -> MutexGuard<'_, BTreeSet<Version>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the small picture of the image at `stored`; whether there is one now.
///
/// # Errors
/// Too much is asked for at once.
pub(super) async fn make(app: &Arc<App>, stored: &str) -> Result<bool, Failure> {
    if app.settings().store.access == Access::ReadOnly {
        return Ok(false);
    }
    let turn = Arc::clone(&app.thumbnails.turn).acquire_owned();
    let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, turn).await else {
        return Err(Failure::busy());
    };
    let (app, stored) = (Arc::clone(app), stored.to_owned());
    let made = spawn_blocking(move || {
        // To the end of the work, also where who asks has gone.
        let _turn = turn;
        make_one(&app, &stored).with_context(|| format!("make the small picture of {stored:?}"))
    })
    .await;
    match made {
        Ok(Ok(is_made)) => Ok(is_made),
        // A damaged picture is no fault of who asks, nor of the server.
        Ok(Err(error)) => {
            eprintln!("booru: {error:#}");
            Ok(false)
        }
        Err(error) => Err(Failure::internal(format_args!(
            "make a small picture: {error}"
        ))),
    }
}

fn make_one(app: &App, stored: &str) -> Result<bool> {
    let settings = &app.settings().ingest;
    let is_plain = |part| matches!(part, Component::Normal(_));
    if !Path::new(stored).components().all(is_plain) {
        return Ok(false);
    }
    // The one before may have made it.
    if settings.thumbnails.join(thumbnail_path(stored)).exists() {
        return Ok(true);
    }
    let file: File = match beneath::open(&settings.images, stored) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !kind_of(&file)?.is_some_and(|kind| kind.starts_with("image/")) {
        return Ok(false);
    }
    let thumbnails = &app.thumbnails;
    let version = Version::of(&file)?;
    if thumbnails.has_failed(&version) {
        return Ok(false);
    }
    let ask = |step| {
        thumbnails.ask(&Request {
            stored: stored.to_owned(),
            file: version,
            step,
        })
    };
    let mut reply = ask(Step::Measure)?;
    if let Reply::Takes { memory_bytes } = reply {
        let bytes = PROCESS_BYTES + memory_bytes;
        let _reserved = app.holdings.reserve_thumbnail(bytes)?;
        reply = ask(Step::Make { memory_bytes })?;
    }
    match reply {
        Reply::Made => Ok(true),
        Reply::Unreadable { reason } => {
            thumbnails.remember(version);
            Err(anyhow!(reason))
        }
        Reply::Takes { .. } => Err(anyhow!("the thumbnailer measured where it was to make one")),
    }
}
