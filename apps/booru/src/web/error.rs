//! Why a request was not done: a status, and a text for who asked. JSON under `/api` and for scripts that
//! ask for it, a page elsewhere.

use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::pages;
use crate::query::QueryError;
use crate::refusal::Refusal;
use crate::store::is_busy;

/// What a request is answered with that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: StatusCode,
    /// One sentence, which tells nothing of the machine.
    pub message: String,
    /// When it may be tried again.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400: the request says something that can't be.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: a login is needed.
    #[must_use]
    pub fn not_logged_in() -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, "log in first")
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, message)
    }

    /// 503: as much is being done as may be at once.
    #[must_use]
    pub fn busy() -> Failure {
        Failure {
            retry_after: Some(Duration::from_secs(1)),
            ..Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too much is asked for at once; try again in a moment",
            )
        }
    }

    /// 500: what went wrong is for the log.
    pub fn internal(what: impl std::fmt::Display) -> Failure {
        eprintln!("booru: {what}");
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "it could not be done; what went wrong is in the server's log",
        )
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        match Refusal::of(&error) {
            Some(Refusal::Invalid(text)) => return Failure::invalid(text),
            Some(Refusal::Missing(text)) => return Failure::not_found(text),
            None => {}
        }
        if let Some(error) = error.downcast_ref::<QueryError>() {
            return Failure::invalid(error.to_string());
        }
        if is_busy(&error) {
            return Failure {
                retry_after: Some(Duration::from_secs(5)),
                ..Failure::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "another program holds the database; try again when that is done",
                )
            };
        }
        Failure::internal(format_args!("{error:#}"))
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        Failure::invalid(error.to_string())
    }
}

impl IntoResponse for Failure {
    /// Without a body: `show` knows in which form it is wanted.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives failures their body: JSON under `/api`, a page elsewhere.
pub(super) async fn show(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/") || wants_json(&request);
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return bare(response, is_api);
    };
    body(&failure, is_api)
}

/// Scripts of pages say so.
fn wants_json(request: &Request) -> bool {
    let accepted = request.headers().get(ACCEPT);
    accepted.is_some_and(|kinds| kinds.as_bytes() == b"application/json")
}

/// What the server's own parts answer is a status alone, or one with a line of text.
fn bare(response: Response, is_api: bool) -> Response {
    let status = response.status();
    let is_text = response
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let is_failure = status.is_client_error() || status.is_server_error();
    // 416 says in a header what would be right.
    if !is_failure || !is_text || status == StatusCode::RANGE_NOT_SATISFIABLE {
        return response;
    }
    let reason = status.canonical_reason().unwrap_or("it was refused");
    let mut told = body(&Failure::new(status, reason.to_lowercase()), is_api);
    // What may be done in place of this.
    if let Some(allowed) = response.headers().get(ALLOW) {
        told.headers_mut().insert(ALLOW, allowed.clone());
    }
    told
}

fn body(failure: &Failure, is_api: bool) -> Response {
    let mut response = match is_api {
        true => {
            let reply = serde_json::json!({ "success": false, "error": failure.message });
            (failure.status, Json(reply)).into_response()
        }
        false => (failure.status, Html(pages::failure(failure))).into_response(),
    };
    if let Some(time) = failure.retry_after {
        let seconds = HeaderValue::from(time.as_secs().max(1));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}
