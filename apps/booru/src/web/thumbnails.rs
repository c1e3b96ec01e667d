//! Small pictures that are not there are made when they are asked for, one at a time.
//!
//! Memory: what the picture takes to be read, which its head says, and what making a small one takes at most, from
//! the budget of the server: some 60 MiB for a photograph of 12 megapixels. That of a video or an archive is made when it is taken in.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use plimsoll_booru_picture::thumbnail::{self, write_thumbnail};
use plimsoll_booru_picture::{header, read};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::Failure;
use super::kind::kind_of;
use super::{App, beneath};
use crate::ingest::thumbnail_path;
use crate::store::Access;

/// How long a request waits for its turn; browsers ask for what is in sight, again where they got nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pictures that could not be read, remembered until there are so many.
const FAILED_MAX: usize = 1024;

/// Whose turn it is, and what need not be tried.
#[derive(Debug)]
pub(super) struct Thumbnails {
    turn: Arc<Semaphore>,
    failed: Mutex<BTreeSet<Failed>>,
}

/// A file as it was when it could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Failed {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Failed {
    fn of(file: &File) -> std::io::Result<Failed> {
        let metadata = file.metadata()?;
        Ok(Failed {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Thumbnails {
    pub(super) fn new() -> Thumbnails {
        Thumbnails {
            turn: Arc::new(Semaphore::new(1)),
            failed: Mutex::default(),
        }
    }

    fn has_failed(&self, file: &Failed) -> bool {
        self.failed().contains(file)
    }

    fn remember(&self, file: Failed) {
        let mut failed = self.failed();
        if failed.len() >= FAILED_MAX {
            failed.clear();
        }
        failed.insert(file);
    }

    fn failed(&self) -> MutexGuard<'_, BTreeSet<Failed>> {
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
        make_one(&app, &stored)
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
    let making = || format!("make the small picture of {stored:?}");
    let settings = &app.settings().ingest;
    let is_plain = |part| matches!(part, Component::Normal(_));
    if !Path::new(stored).components().all(is_plain) {
        return Ok(false);
    }
    let to = settings.thumbnails.join(thumbnail_path(stored));
    // The one before may have made it.
    if to.exists() {
        return Ok(true);
    }
    let file: File = match beneath::open(&settings.images, stored) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(making),
    };
    if !kind_of(&file)?.is_some_and(|kind| kind.starts_with("image/")) {
        return Ok(false);
    }
    // The very file that was opened, whatever its path leads to by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let failed = Failed::of(&file).with_context(making)?;
    if app.thumbnails.has_failed(&failed) {
        return Ok(false);
    }
    let failing = |error: anyhow::Error| {
        app.thumbnails.remember(failed);
        error.context(making())
    };
    let limits = settings.limits();
    let header = header(Path::new(&path), &limits).map_err(failing)?;
    let pixels = u64::from(header.width) * u64::from(header.height);
    let bytes = header.memory_bytes + thumbnail::memory_bytes(pixels, &settings.thumbnail);
    let _reserved = app.holdings.reserve_thumbnail(bytes).with_context(making)?;
    let picture = read(Path::new(&path), &limits).map_err(failing)?;
    write_thumbnail(&picture, &to, &settings.thumbnail).with_context(making)?;
    Ok(true)
}
