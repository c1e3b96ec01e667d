//! Images like one: `GET /api/similar/IMAGE` by all that is known, `/api/similar-blended/…` the same,
//! `/api/similar-semantic/…` by embeddings, `/api/similar-tags/…` by tags, `/api/similar-visual/…` by looks.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::image::id_of;
use super::{Answer, ApiQuery, reply};
use crate::board::Board;
use crate::image::Link;
use crate::similarity::{By, Similar, Similarity};
use crate::web::App;
use crate::web::session::Viewer;

const LIMIT: usize = 12;
const LIMIT_MAX: usize = 200;

pub(super) fn router() -> Router<Arc<App>> {
    let by = |by: By| {
        get(
            move |viewer: Viewer,
                  app: State<Arc<App>>,
                  image: Path<String>,
                  wanted: ApiQuery<Wanted>| similar(viewer, app, image, wanted, by),
        )
    };
    Router::new()
        .route("/api/similar/{*image}", by(By::Blend))
        .route("/api/similar-blended/{*image}", by(By::Blend))
        .route("/api/similar-semantic/{*image}", by(By::Semantic))
        .route("/api/similar-tags/{*image}", by(By::Tags))
        .route("/api/similar-visual/{*image}", by(By::Visual))
}

#[derive(Deserialize)]
struct Wanted {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct SimilarImages {
    /// The most alike first.
    images: Vec<SimilarImage>,
}

#[derive(Serialize)]
struct SimilarImage {
    path: String,
    thumb: String,
    #[serde(flatten)]
    similar: Similar,
}

async fn similar(
    _: Viewer,
    State(app): State<Arc<App>>,
    Path(image): Path<String>,
    ApiQuery(wanted): ApiQuery<Wanted>,
    by: By,
) -> Answer<SimilarImages> {
    let limit = wanted.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let similarity = Arc::clone(&app.similarity);
    let images = app.read(move |board| find(board, &similarity, &image, by, limit));
    Ok(reply(SimilarImages {
        images: images.await?,
    }))
}

fn find(
    board: &Board,
    similarity: &Similarity,
    image: &str,
    by: By,
    limit: usize,
) -> Result<Vec<SimilarImage>> {
    let id = match image.parse() {
        Ok(id) => id,
        Err(_) => id_of(board, image)?,
    };
    let mut images = Vec::new();
    for similar in similarity.similar(board, id, by, limit)? {
        if let Some(path) = board.find_path(similar.id)? {
            let link = Link::new(similar.id, &path);
            images.push(SimilarImage {
                path: link.path,
                thumb: link.thumb,
                similar,
            });
        }
    }
    Ok(images)
}
