//! One image, `GET /api/image/ID` or `/api/image/PATH`, and edits of who has which tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;

use super::selection::select;
use super::{Answer, Body, Changed, reply};
use crate::board::Board;
use crate::edit::{CategorizedTags, check_category};
use crate::image::Image;
use crate::web::App;
use crate::web::session::{Editor, Viewer};
use crate::{missing, refuse};

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/image/{*image}", get(image))
        .route("/api/images/bulk_add_tags", post(add_tags))
        .route("/api/images/bulk_remove_tags", post(remove_tags))
        .route("/api/edit_tags", post(edit_tags))
}

async fn image(_: Viewer, State(app): State<Arc<App>>, Path(image): Path<String>) -> Answer<Image> {
    let image = app.read(move |board| {
        let id = match image.parse() {
            Ok(id) => id,
            Err(_) => id_of(board, &image)?,
        };
        board.image(id)
    });
    Ok(reply(image.await?))
}

/// The image of a path, with or without the original's `images/` before it.
///
/// # Errors
/// There is none; what the database says.
pub(crate) fn id_of(board: &Board, path: &str) -> Result<u32> {
    let stored = path.strip_prefix("images/").unwrap_or(path);
    match board.find_image(stored)? {
        Some(id) => Ok(id),
        None => missing!("there is no image {path:?}"),
    }
}

/// Tags, and which images are meant: all that are told in one way or another.
#[derive(Debug, Deserialize)]
struct BulkTags {
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    filepaths: Vec<String>,
    /// All that match.
    query: Option<String>,
    tags: Vec<String>,
}

impl BulkTags {
    fn images(&self, board: &Board) -> Result<Vec<u32>> {
        select(board, &self.ids, &self.filepaths, self.query.as_deref())
    }
}

async fn add_tags(_: Editor, State(app): State<Arc<App>>, body: Body<BulkTags>) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let images = body.value.images(board)?;
        board.add_tags(&images, &body.value.tags)
    });
    Ok(reply(edited.await?.into()))
}

async fn remove_tags(
    _: Editor,
    State(app): State<Arc<App>>,
    body: Body<BulkTags>,
) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let images = body.value.images(board)?;
        board.remove_tags(&images, &body.value.tags)
    });
    Ok(reply(edited.await?.into()))
}

#[derive(Deserialize)]
struct EditTags {
    id: Option<u32>,
    filepath: Option<String>,
    /// `tags_general: "a b"`, or `general`.
    categorized_tags: BTreeMap<String, String>,
}

async fn edit_tags(
    _: Editor,
    State(app): State<Arc<App>>,
    body: Body<EditTags>,
) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let asked = &body.value;
        let id = match (asked.id, &asked.filepath) {
            (Some(id), None) => id,
            (None, Some(path)) => id_of(board, path)?,
            _ => refuse!("one image is to be told: give its id or its filepath"),
        };
        let mut tags = CategorizedTags::new();
        for (category, names) in &asked.categorized_tags {
            let category = category.strip_prefix("tags_").unwrap_or(category);
            let names = names.split_whitespace().map(str::to_owned);
            tags.entry(check_category(category)?)
                .or_default()
                .extend(names);
        }
        board.edit_image(id, &tags)
    });
    Ok(reply(edited.await?.into()))
}
