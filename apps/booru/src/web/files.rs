//! Files of images: `/images/PATH`, `/thumbnails/PATH`, `/upscaled/PATH`, or `@ID` in place of the path.
//!
//! A path is looked up in the database before any file is, so only files of images are found; then it is
//! opened below its folder (`beneath`).

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::error::Failure;
use super::sending::{Conditions, no_file, send};
use super::session::Viewer;
use super::{App, beneath, thumbnails};
use crate::board::Board;
use crate::ingest::thumbnail_path;

/// Endings of images that a thumbnail may be of.
const ENDINGS: [&str; 10] = [
    "png", "jpg", "jpeg", "gif", "webp", "bmp", "avif", "mp4", "webm", "zip",
];

pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/images/{*path}", get(image))
        .route("/thumbnails/{*path}", get(small))
        .route("/upscaled/{*path}", get(upscaled))
}

async fn image(
    _: Viewer,
    State(app): State<Arc<App>>,
    UrlPath(path): UrlPath<String>,
    Conditions(headers): Conditions,
) -> Result<Response, Failure> {
    let stored = app.read(move |board| stored_path(board, &path)).await?;
    let stored = stored.ok_or_else(no_file)?;
    let folder = app.settings().folders.images.clone();
    send(&app, headers, move || open_first(&folder, &[stored])).await
}

async fn small(
    _: Viewer,
    State(app): State<Arc<App>>,
    UrlPath(path): UrlPath<String>,
    Conditions(headers): Conditions,
) -> Result<Response, Failure> {
    let stored = app.read(move |board| path_of_thumbnail(board, &path));
    let stored = stored.await?.ok_or_else(no_file)?;
    let path = thumbnail_path(&stored);
    let open = || {
        let (folder, path) = (app.settings().folders.thumbnails.clone(), path.clone());
        move || open_first(&folder, &[path])
    };
    match send(&app, headers.clone(), open()).await {
        Err(failure) if failure.status == StatusCode::NOT_FOUND => {}
        done => return done,
    }
    match thumbnails::make(&app, &stored).await? {
        true => send(&app, headers, open()).await,
        false => Err(no_file()),
    }
}

async fn upscaled(
    _: Viewer,
    State(app): State<Arc<App>>,
    UrlPath(path): UrlPath<String>,
    Conditions(headers): Conditions,
) -> Result<Response, Failure> {
    let stored = app.read(move |board| stored_path(board, &path)).await?;
    let stored = stored.ok_or_else(no_file)?;
    let folder = app.settings().folders.upscaled.clone();
    send(&app, headers, move || {
        open_first(&folder, &upscaled_paths(&stored))
    })
    .await
}

/// `@ID`, the image of an id.
fn id_in(path: &str) -> Option<u32> {
    path.strip_prefix('@')?.parse().ok()
}

/// A path as it stands in the database.
fn stored_path(board: &Board, path: &str) -> Result<Option<String>> {
    match id_in(path) {
        Some(id) => board.find_path(id),
        None => Ok(board.find_image(path)?.map(|_| path.to_owned())),
    }
}

/// The path of the image that a thumbnail is of: its ending is any.
fn path_of_thumbnail(board: &Board, path: &str) -> Result<Option<String>> {
    if let Some(id) = id_in(path) {
        return board.find_path(id);
    }
    let Some(stem) = path.strip_suffix(".webp") else {
        return Ok(None);
    };
    let mut candidates = vec![stem.to_owned()];
    for ending in ENDINGS {
        candidates.push(format!("{stem}.{ending}"));
        candidates.push(format!("{stem}.{}", ending.to_uppercase()));
    }
    for candidate in candidates {
        if thumbnail_path(&candidate) == path && board.find_image(&candidate)?.is_some() {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Where the original has put upscaled images over time, and where a format of its own takes them.
fn upscaled_paths(stored: &str) -> Vec<String> {
    let stem = thumbnail_path(stored);
    let stem = stem.strip_suffix(".webp").unwrap_or(&stem);
    let mut paths = Vec::new();
    for folder in ["images/", ""] {
        paths.push(format!("{folder}{stem}.png"));
        paths.push(format!("{folder}{stem}.webp"));
        paths.push(format!("{folder}{stored}"));
    }
    paths
}

fn open_first(folder: &Path, paths: &[String]) -> Result<Option<(File, String)>> {
    for path in paths {
        match beneath::open(folder, path) {
            Ok(file) => return Ok(Some((file, path.clone()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let path = folder.join(path);
                return Err(anyhow::Error::new(error).context(format!("open {}", path.display())));
            }
        }
    }
    Ok(None)
}
