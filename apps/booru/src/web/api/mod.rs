//! The JSON API, with the original's paths and replies where it has them.
//!
//! A reply is an object with `success: true`, or `{success: false, error}` with a status that says whose
//! fault it is. One file a subject, each with a router of its own.

mod browse;
mod image;
mod images;
mod implications;
mod jobs;
mod login;
mod marks;
mod pools;
mod selection;
mod similar;
mod state;
mod tags;
pub(super) mod upload;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Failure;
use super::{App, Room, body};
use crate::edit::Edited;

pub fn router() -> Router<Arc<App>> {
    Router::new()
        .merge(browse::router())
        .merge(image::router())
        .merge(images::router())
        .merge(jobs::router())
        .merge(implications::router())
        .merge(login::router())
        .merge(marks::router())
        .merge(pools::router())
        .merge(similar::router())
        .merge(state::router())
        .merge(tags::router())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(upload::router())
}

/// The longest JSON. Read, it takes at most fourteen times as much: a list of texts of one letter.
pub const BODY_BYTES_MAX: usize = 128 << 10;

/// What a handler of the API returns.
pub type Answer<T> = Result<Json<Reply<T>>, Failure>;

/// An object with `success: true` in it.
#[derive(Debug, Serialize)]
pub struct Reply<T> {
    success: bool,
    #[serde(flatten)]
    reply: T,
}

pub fn reply<T: Serialize>(reply: T) -> Json<Reply<T>> {
    Json(Reply {
        success: true,
        reply,
    })
}

/// What an edit has changed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Changed {
    /// Tags made, renamed, deleted or put elsewhere.
    tags_changed: u64,
    /// Tags put on images, each image counted.
    pairs_added: u64,
    pairs_removed: u64,
}

impl From<Edited> for Changed {
    fn from(edited: Edited) -> Changed {
        Changed {
            tags_changed: edited.tags,
            pairs_added: edited.added,
            pairs_removed: edited.removed,
        }
    }
}

/// What stands behind the `?` of an address.
#[derive(Clone, Debug)]
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for ApiQuery<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<ApiQuery<T>, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(ApiQuery(query)),
            Err(error) => Err(Failure::invalid(error.body_text())),
        }
    }
}

/// A JSON body. It has to say that it is JSON, which no form of another page can.
#[derive(Debug)]
pub struct Body<T> {
    pub value: T,
    /// What it takes is another's once this is dropped.
    _room: Option<Room>,
}

impl<T: DeserializeOwned> Body<T> {
    /// # Errors
    /// What is no JSON, is too long, or has not what is wanted.
    pub async fn read(request: Request, app: &Arc<App>) -> Result<Body<T>, Failure> {
        if !is_json(request.headers()) {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body has to be JSON, and to say so: Content-Type: application/json",
            ));
        }
        let room = body::room(request.headers(), app).await?;
        let bytes = body::read(request, app).await?;
        let value = serde_json::from_slice(&bytes);
        let value = value.map_err(|error| Failure::invalid(format!("the body: {error}")))?;
        Ok(Body { value, _room: room })
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Body<T>, Failure> {
        Body::read(request, app).await
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
