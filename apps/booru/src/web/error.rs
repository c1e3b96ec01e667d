//! Why a request was not done: a status, and a text for who asked. JSON under `/api` and for scripts that
//! ask for it, a page elsewhere.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, REFERER, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::{App, pages};
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
pub(super) async fn show(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let asked = Asked::of(app, &request);
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return bare(response, &asked);
    };
    body(&failure, &asked)
}

/// What a failure's body depends on.
struct Asked {
    app: Arc<App>,
    is_json: bool,
    /// Where a login leads back to.
    back: String,
}

impl Asked {
    fn of(app: Arc<App>, request: &Request) -> Asked {
        let is_api = request.uri().path().starts_with("/api/");
        let is_json = is_api || wants_json(request);
        // A form is sent again from where it stands.
        let page = match request.method().is_safe() {
            true => Some(request.uri().clone()),
            false => {
                let page = request.headers().get(REFERER);
                page.and_then(|page| Uri::try_from(page.as_bytes()).ok())
            }
        };
        let page = page.filter(|_| !is_json);
        let back = page.as_ref().and_then(Uri::path_and_query);
        let back = back.map_or("/", |back| back.as_str()).to_owned();
        Asked { app, is_json, back }
    }
}

/// Scripts of pages say so.
fn wants_json(request: &Request) -> bool {
    let accepted = request.headers().get(ACCEPT);
    accepted.is_some_and(|kinds| kinds.as_bytes() == b"application/json")
}

/// What the server's own parts answer is a status alone, or one with a line of text.
fn bare(response: Response, asked: &Asked) -> Response {
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
    let mut told = body(&Failure::new(status, reason.to_lowercase()), asked);
    // What may be done in place of this.
    if let Some(allowed) = response.headers().get(ALLOW) {
        told.headers_mut().insert(ALLOW, allowed.clone());
    }
    told
}

fn body(failure: &Failure, asked: &Asked) -> Response {
    let mut response = match asked.is_json {
        true => {
            let reply = serde_json::json!({ "success": false, "error": failure.message });
            (failure.status, Json(reply)).into_response()
        }
        false => {
            let page = pages::failure(failure, &asked.app.settings().app_name, &asked.back);
            (failure.status, Html(page)).into_response()
        }
    };
    if let Some(time) = failure.retry_after {
        let seconds = HeaderValue::from(time.as_secs().max(1));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}
