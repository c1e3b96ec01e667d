//! Searches: `GET /api/images`, and `GET /api/autocomplete`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::{Answer, ApiQuery, reply};
use crate::board::Board;
use crate::image::Link;
use crate::query::Query;
use crate::search::{PAGE_IMAGES_MAX, Page};
use crate::suggest::Group;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::Viewer;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/images", get(search))
        .route("/api/autocomplete", get(autocomplete))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    query: String,
    page: Option<usize>,
    per_page: Option<usize>,
    /// `1`: tell the tags of each image.
    tags: Option<u8>,
}

#[derive(Serialize)]
struct Found {
    images: Vec<FoundImage>,
    page: usize,
    total_pages: usize,
    total_results: usize,
    has_more: bool,
    /// With the seed of a random order: the next page is asked for by this.
    query: String,
}

#[derive(Serialize)]
struct FoundImage {
    #[serde(flatten)]
    link: Link,
    /// Names with a blank between them, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<String>,
}

async fn search(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(asked): ApiQuery<Search>,
) -> Answer<Found> {
    let query: Query = asked.query.parse()?;
    let page = Page {
        number: asked.page.unwrap_or(1),
        images: asked.per_page.unwrap_or(app.settings().images_per_page),
    };
    if page.number == 0 || !(1..=PAGE_IMAGES_MAX).contains(&page.images) {
        return Err(Failure::invalid(format!(
            "pages are counted from 1 and have 1 to {PAGE_IMAGES_MAX} images"
        )));
    }
    let with_tags = asked.tags == Some(1);
    let found = app.read(move |board| find(board, query, page, with_tags));
    Ok(reply(found.await?))
}

fn find(board: &Board, query: Query, page: Page, with_tags: bool) -> Result<Found> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = now.map_or(0, |now| now.subsec_nanos().into());
    let found = board.search(&query, page, seed)?;
    let mut images = Vec::with_capacity(found.ids.len());
    for id in found.ids {
        // Another program may just have deleted it.
        let Some(path) = board.find_path(id)? else {
            continue;
        };
        let tags = match with_tags {
            true => Some(tags(board, id)?),
            false => None,
        };
        images.push(FoundImage {
            link: Link::new(id, &path),
            tags,
        });
    }
    let query = Query {
        expression: query.expression,
        order: found.order,
    };
    Ok(Found {
        images,
        page: page.number,
        total_pages: found.pages,
        total_results: found.total,
        has_more: page.number < found.pages,
        query: query.to_string(),
    })
}

fn tags(board: &Board, id: u32) -> Result<String> {
    let tags = board.tags_of_image(id)?;
    let names: Vec<&str> = tags.iter().map(|(name, ..)| name.as_str()).collect();
    Ok(names.join(" "))
}

#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    q: String,
}

#[derive(Serialize)]
struct Suggested {
    groups: Vec<Group>,
}

async fn autocomplete(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(typed): ApiQuery<Typed>,
) -> Answer<Suggested> {
    let groups = app.read(move |board| Ok(board.suggest(&typed.q)));
    Ok(reply(Suggested {
        groups: groups.await?,
    }))
}
