//! Marks of images that a press of a button sets: favourite, rating. A form without scripts is led back to
//! the image; a script is told that it is done.

use std::sync::Arc;

use axum::extract::{Path, Query as Parameters, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::links;
use crate::edit::Rating;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::EditorForm;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    query: String,
}

#[derive(Deserialize)]
pub(super) struct Favourite {
    is_favourite: bool,
}

pub(super) async fn favourite(
    State(app): State<Arc<App>>,
    Path(image): Path<u32>,
    Parameters(wanted): Parameters<Wanted>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Favourite>,
) -> Result<Response, Failure> {
    app.write(move |board| match form.is_favourite {
        true => board.add_favourites(&[image]),
        false => board.remove_favourites(&[image]),
    })
    .await?;
    Ok(done(&headers, &links::view(image, wanted.query.trim())))
}

#[derive(Deserialize)]
pub(super) struct Rated {
    rating: String,
}

pub(super) async fn rating(
    State(app): State<Arc<App>>,
    Path(image): Path<u32>,
    Parameters(wanted): Parameters<Wanted>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Rated>,
) -> Result<Response, Failure> {
    app.write(move |board| {
        let rating: Rating = form.rating.parse()?;
        board.rate_images(&[image], rating)
    })
    .await?;
    Ok(done(&headers, &links::view(image, wanted.query.trim())))
}

/// Images of a selection.
#[derive(Deserialize)]
pub(super) struct Selection {
    /// Ids with commas between them.
    images: String,
    /// The pool to put them into.
    #[serde(default)]
    pool: i64,
}

impl Selection {
    fn ids(&self) -> Result<Vec<u32>, Failure> {
        let ids = self.images.split(',').map(|id| {
            id.trim()
                .parse()
                .map_err(|_| Failure::invalid(format!("{id:?} is no id of an image")))
        });
        ids.collect()
    }
}

pub(super) async fn favourites(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Selection>,
) -> Result<Response, Failure> {
    let ids = form.ids()?;
    app.write(move |board| board.add_favourites(&ids)).await?;
    Ok(done(&headers, "/"))
}

pub(super) async fn add_to_pool(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Selection>,
) -> Result<Response, Failure> {
    let ids = form.ids()?;
    let pool = form.pool;
    app.write(move |board| board.add_to_pool(pool, &ids))
        .await?;
    Ok(done(&headers, &format!("/pool/{pool}")))
}

/// What follows an edit: for a script nothing, else the page at `to`.
pub(super) fn done(headers: &HeaderMap, to: &str) -> Response {
    let is_script = headers
        .get(ACCEPT)
        .is_some_and(|kinds| kinds.as_bytes() == b"application/json");
    match is_script {
        true => StatusCode::NO_CONTENT.into_response(),
        false => Redirect::to(to).into_response(),
    }
}
