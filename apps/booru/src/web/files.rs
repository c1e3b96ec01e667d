//! Files of images: `/images/PATH`, `/thumbnails/PATH`, `/upscaled/PATH`, or `@ID` in place of the path.
//!
//! A path is looked up in the database before any file is, so only files of images are found; then it is
//! opened below its folder (`beneath`). Ranges and conditional requests are answered. Memory: a
//! file that is sent takes 128 KiB, one of 64 KiB as much as it has.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path as UrlPath, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use plimsoll::budget::Reservation;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;

use super::conditions::{Stamp, Wanted, wanted};
use super::error::Failure;
use super::holdings::FILE_BYTES;
use super::session::Viewer;
use super::{App, beneath, thumbnails};
use crate::board::Board;
use crate::ingest::thumbnail_path;

/// Files that are looked at at once, and as many that are sent in pieces; with their buffers, 4 MiB.
pub(super) const FILES_MAX: usize = 32;
/// A client that takes less in the long run is not sent the rest: others wait for its turn.
const RATE_MIN: u64 = 8 << 10;
/// How long a client may take whatever the size.
const TIME_MIN: Duration = Duration::from_secs(60);
/// How long a file waits for its turn.
const FILE_PATIENCE: Duration = Duration::from_secs(10);
/// Read in one piece: most thumbnails.
const SMALL_BYTES: u64 = 64 << 10;
/// Of a larger file, in two places.
const PIECE_BYTES: usize = 64 << 10;
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

/// The headers of a request, without the range that means nothing but to `GET` (RFC 9110, section 14.2).
struct Conditions(HeaderMap);

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Conditions, Self::Rejection> {
        let mut headers = parts.headers.clone();
        if parts.method != Method::GET {
            headers.remove(RANGE);
        }
        Ok(Conditions(headers))
    }
}

fn no_file() -> Failure {
    Failure::not_found("there is no such file")
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

/// What a file has while it is sent in pieces.
struct Turn {
    _reserved: Reservation,
    _turn: OwnedSemaphorePermit,
}

impl Turn {
    async fn wait(app: &App) -> Result<Turn, Failure> {
        let turn = wait_for(&app.streams).await?;
        Ok(Turn {
            _reserved: app.holdings.reserve(FILE_BYTES)?,
            _turn: turn,
        })
    }
}

async fn wait_for(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
    let turn = Arc::clone(turns).acquire_owned();
    match tokio::time::timeout(FILE_PATIENCE, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Failure::busy()),
    }
}

/// A file that was opened, and what of it is to be sent.
struct Opened {
    len: u64,
    name: String,
    kind: Option<&'static str>,
    wanted: Wanted,
    stamp: Stamp,
}

impl Opened {
    fn of(file: &File, path: &str, headers: &HeaderMap) -> Result<Opened> {
        let metadata = file.metadata()?;
        let stamp = stamp(&metadata);
        Ok(Opened {
            wanted: wanted(headers, &stamp, metadata.len()),
            kind: kind_of(file)?,
            name: path.rsplit('/').next().unwrap_or("").to_owned(),
            len: metadata.len(),
            stamp,
        })
    }

    /// Where what is to be sent begins, and how long it is.
    fn part(&self) -> (u64, u64) {
        match self.wanted {
            Wanted::Nothing | Wanted::Impossible => (0, 0),
            Wanted::Whole => (0, self.len),
            Wanted::Part(from, to) => (from, to - from + 1),
        }
    }
}

/// What is sent: read already, or from where the file stands.
enum Content {
    Small(Vec<u8>),
    Large(File, u64),
}

async fn send(
    app: &App,
    headers: HeaderMap,
    open: impl FnOnce() -> Result<Option<(File, String)>> + Send + 'static,
) -> Result<Response, Failure> {
    let turn = wait_for(&app.files).await?;
    let work = spawn_blocking(move || -> Result<Option<(Opened, Content)>> {
        let _turn = turn;
        let Some((mut file, path)) = open()? else {
            return Ok(None);
        };
        let opened = Opened::of(&file, &path, &headers)?;
        let (from, len) = opened.part();
        if len > SMALL_BYTES {
            file.seek(SeekFrom::Start(from))?;
            return Ok(Some((opened, Content::Large(file, len))));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, from)?;
        Ok(Some((opened, Content::Small(bytes))))
    });
    let opened = work
        .await
        .map_err(|error| Failure::internal(format_args!("send a file: {error}")))?;
    let (opened, content) = opened?.ok_or_else(no_file)?;
    let body = match content {
        Content::Small(bytes) => Body::from(bytes),
        Content::Large(file, len) => pieces(file, len, Turn::wait(app).await?),
    };
    Ok(respond(&opened, body, !app.is_open()))
}

fn respond(opened: &Opened, body: Body, is_behind_login: bool) -> Response {
    let (len, stamp, wanted) = (opened.len, &opened.stamp, opened.wanted);
    let mut response = match wanted {
        Wanted::Nothing => StatusCode::NOT_MODIFIED.into_response(),
        Wanted::Impossible => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        Wanted::Whole => body.into_response(),
        Wanted::Part(..) => (StatusCode::PARTIAL_CONTENT, body).into_response(),
    };
    let to = response.headers_mut();
    let mut put = |name, value: &str| {
        to.insert(name, HeaderValue::try_from(value).expect("it is ASCII"));
    };
    put(ETAG, &stamp.tag);
    put(LAST_MODIFIED, &httpdate::fmt_http_date(stamp.modified));
    put(ACCEPT_RANGES, "bytes");
    // What needs a login is not shown after a logout: browsers ask each time whether they may.
    put(
        CACHE_CONTROL,
        match is_behind_login {
            true => "private, no-cache",
            false => "private, max-age=3600",
        },
    );
    put(CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    match wanted {
        Wanted::Nothing => return response,
        Wanted::Impossible => {
            put(CONTENT_RANGE, &format!("bytes */{len}"));
            return response;
        }
        Wanted::Whole => put(CONTENT_LENGTH, &len.to_string()),
        Wanted::Part(from, to) => {
            put(CONTENT_RANGE, &format!("bytes {from}-{to}/{len}"));
            put(CONTENT_LENGTH, &(to - from + 1).to_string());
        }
    }
    put(
        CONTENT_TYPE,
        opened.kind.unwrap_or("application/octet-stream"),
    );
    put(
        CONTENT_DISPOSITION,
        &disposition(&opened.name, opened.kind.is_some()),
    );
    response
}

fn pieces(file: File, len: u64, turn: Turn) -> Body {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(PIECE_BYTES);
    let file = InTurn {
        file,
        end: Instant::now() + TIME_MIN + Duration::from_secs(len / RATE_MIN),
        _turn: turn,
    };
    Body::from_stream(ReaderStream::with_capacity(file.take(len), PIECE_BYTES))
}

/// A file whose turn ends when it is sent, its client is gone, or takes it too slowly.
struct InTurn {
    file: tokio::fs::File,
    end: Instant,
    _turn: Turn,
}

impl AsyncRead for InTurn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if Instant::now() > self.end {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.file).poll_read(context, buffer)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
    Stamp {
        tag: format!(
            "\"{:x}-{:x}-{:x}-{:x}\"",
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec()
        ),
        // HTTP has no parts of seconds.
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

/// What it is by its first bytes, of what is shown within a page; names are often wrong.
pub(super) fn kind_of(file: &File) -> Result<Option<&'static str>> {
    let mut head = [0; 16];
    let mut len = 0;
    let mut reader = file;
    while len < head.len() {
        match reader.read(&mut head[len..])? {
            0 => break,
            read => len += read,
        }
    }
    Ok(kind(&head[..len]))
}

pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    let brand = |from: usize| head.get(from..from + 4).unwrap_or(&[]);
    Some(match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [b'B', b'M', ..] => "image/bmp",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "video/webm",
        [b'R', b'I', b'F', b'F', ..] if brand(8) == b"WEBP" => "image/webp",
        _ if brand(4) == b"ftyp" && matches!(brand(8), b"avif" | b"avis") => "image/avif",
        _ if brand(4) == b"ftyp" => "video/mp4",
        _ => return None,
    })
}

/// A ZIP file, which holds the pictures of an animation.
pub(super) fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// Shown in the page, or else saved, under its name.
fn disposition(name: &str, is_shown: bool) -> String {
    let how = match is_shown {
        true => "inline",
        false => "attachment",
    };
    let mut text = format!("{how}; filename*=UTF-8''");
    // RFC 8187: what is no such character is escaped.
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                text.push(byte.into());
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_page_shows_has_a_kind() {
        for (head, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\0\0\0\0WAVE", None),
            (b"\0\0\0\x1cftypavif", Some("image/avif")),
            (b"\0\0\0\x1cftypisom", Some("video/mp4")),
            (b"\x1a\x45\xdf\xa3", Some("video/webm")),
            (b"<svg xmlns=", None),
            (b"<!doctype html>", None),
            (b"PK\x03\x04", None),
            (b"", None),
        ] {
            assert_eq!(kind(head), expected, "{head:?}");
        }
    }

    #[test]
    fn a_name_breaks_no_header() {
        assert_eq!(
            disposition("a b\"\r\nü.png", true),
            "inline; filename*=UTF-8''a%20b%22%0D%0A%C3%BC.png"
        );
        assert!(disposition("x.zip", false).starts_with("attachment;"));
    }
}
