//! How a file is sent: its kind by its first bytes, ranges and conditional requests, and so many at once.
//!
//! Memory: a file that is sent in pieces takes 128 KiB, one of 64 KiB as much as it has.

use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use plimsoll::budget::Reservation;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;

use super::App;
use super::conditions::{Stamp, Wanted, wanted};
use super::error::Failure;
use super::holdings::FILE_BYTES;
use super::kind::kind_of;

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

/// The headers of a request, without the range that means nothing but to `GET` (RFC 9110, section 14.2).
pub(super) struct Conditions(pub(super) HeaderMap);

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

pub(super) fn no_file() -> Failure {
    Failure::not_found("there is no such file")
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

/// What `open` finds, with its path, as far as the request wants it.
///
/// # Errors
/// There is no such file, too much is sent at once, what the disk says.
pub(super) async fn send(
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
    fn a_name_breaks_no_header() {
        assert_eq!(
            disposition("a b\"\r\nü.png", true),
            "inline; filename*=UTF-8''a%20b%22%0D%0A%C3%BC.png"
        );
        assert!(disposition("x.zip", false).starts_with("attachment;"));
    }
}
