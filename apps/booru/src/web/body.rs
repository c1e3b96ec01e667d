//! Bodies of requests that are read as a whole: how long they may be, how long they may take, and the memory
//! that they need.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::error::Failure;
use super::{App, Room};

/// The longest form of a page: a description of 64 KiB with each byte escaped, and a name. Read, it takes at
/// most twenty times as much: a list of fields of one letter.
pub(super) const FORM_BYTES_MAX: usize = 200 << 10;
/// Of a form that anybody may send: a password and where to go on.
pub(super) const LOGIN_BYTES_MAX: usize = 8 << 10;
/// A longer one is read where there is room: two at once.
const SMALL_BYTES: u64 = 16 << 10;
/// For the whole of one to arrive.
const TIME_MAX: Duration = Duration::from_secs(20);

/// The room that the body of a request needs; `None` for a small one.
///
/// # Errors
/// There is none for too long.
pub(super) async fn room(headers: &HeaderMap, app: &App) -> Result<Option<Room>, Failure> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse::<u64>().ok());
    match length.is_some_and(|length| length <= SMALL_BYTES) {
        true => Ok(None),
        false => app.room_for_body().await.map(Some),
    }
}

/// A whole body, which has to arrive in time, and be no longer than its route takes.
pub(super) async fn read(request: Request, app: &Arc<App>) -> Result<Bytes, Failure> {
    let read = Bytes::from_request(request, app);
    match tokio::time::timeout(TIME_MAX, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        ),
        Ok(Err(rejection)) => Err(Failure::new(rejection.status(), rejection.body_text())),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long to arrive",
        )),
    }
}

/// The fields of a form as browsers send it.
pub(super) fn parse_form<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let form = serde_urlencoded::from_bytes(bytes);
    form.map_err(|error| Failure::invalid(format!("the form: {error}")))
}
