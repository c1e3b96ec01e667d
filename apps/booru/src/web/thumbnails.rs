//! Small pictures that are not there are made when they are asked for, one at a time.
//!
//! Memory: what the picture takes to be read, which its head says, and what making a small one takes at most, from
//! the budget of the server: some 60 MiB for a photograph of 12 megapixels. That of a video or an archive is made when it is taken in.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use plimsoll_booru_picture::thumbnail::{self, write_thumbnail};
use plimsoll_booru_picture::{header, read};
use tokio::task::spawn_blocking;

use super::error::Failure;
use super::files::kind_of;
use super::{App, beneath};
use crate::ingest::thumbnail_path;

/// How long a request waits for its turn; browsers ask for what is in sight, again where they got nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the small picture of the image at `stored`; whether there is one now.
///
/// # Errors
/// Too much is asked for at once.
pub(super) async fn make(app: &Arc<App>, stored: &str) -> Result<bool, Failure> {
    let turn = tokio::time::timeout(PATIENCE, app.thumbnails.acquire());
    let Ok(Ok(_turn)) = turn.await else {
        return Err(Failure::busy());
    };
    let (app, stored) = (Arc::clone(app), stored.to_owned());
    let made = spawn_blocking(move || make_one(&app, &stored)).await;
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
    let limits = settings.limits();
    let header = header(Path::new(&path), &limits).with_context(making)?;
    let pixels = u64::from(header.width) * u64::from(header.height);
    let bytes = header.memory_bytes + thumbnail::memory_bytes(pixels, &settings.thumbnail);
    let _reserved = app.holdings.reserve_thumbnail(bytes).with_context(making)?;
    let picture = read(Path::new(&path), &limits).with_context(making)?;
    write_thumbnail(&picture, &to, &settings.thumbnail).with_context(making)?;
    Ok(true)
}
