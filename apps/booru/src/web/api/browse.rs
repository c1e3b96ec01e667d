//! Looking through tags: `GET /api/tags/browse`, `/api/tags/detail`, `/api/tags/stats`, and what images
//! have in common, `/api/images/common_tags`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;

use super::selection::select;
use super::{Answer, ApiQuery, Body, reply};
use crate::browse::{Browse, CommonTags, Overview, TAG_PAGE_MAX, TagDetail, TagPage};
use crate::edit::check_category;
use crate::web::App;
use crate::web::session::{Candidate, Viewer};

const LIMIT: usize = 100;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/tags/browse", get(browse))
        .route("/api/tags/detail", get(detail))
        .route("/api/tags/stats", get(overview))
        .route("/api/images/common_tags", get(common).post(common_of_many))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    filter: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    search: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    hide_orphaned: bool,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

async fn browse(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Answer<TagPage> {
    let page = app.read(move |board| {
        let mut asked = Browse {
            search: &wanted.search,
            hides_orphaned: wanted.hide_orphaned,
            offset: wanted.offset,
            limit: wanted.limit.unwrap_or(LIMIT).clamp(1, TAG_PAGE_MAX),
            ..Browse::default()
        };
        if !wanted.filter.is_empty() {
            asked.filter = wanted.filter.parse()?;
        }
        if !wanted.sort.is_empty() {
            asked.order = wanted.sort.parse()?;
        }
        if !wanted.category.is_empty() {
            asked.category = Some(check_category(&wanted.category)?);
        }
        board.browse_tags(&asked)
    });
    Ok(reply(page.await?))
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn detail(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(tag): ApiQuery<Named>,
) -> Answer<TagDetail> {
    let detail = app.read(move |board| board.tag_detail(&tag.name));
    Ok(reply(detail.await?))
}

async fn overview(_: Viewer, State(app): State<Arc<App>>) -> Answer<Overview> {
    let overview = app.read(|board| board.overview());
    Ok(reply(overview.await?))
}

#[derive(Deserialize)]
struct ByQuery {
    query: String,
    limit: Option<usize>,
}

async fn common(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(asked): ApiQuery<ByQuery>,
) -> Answer<CommonTags> {
    let common = app.read(move |board| {
        let images = select(board, &[], &[], Some(&asked.query))?;
        board.common_tags(&images, asked.limit.unwrap_or(LIMIT).clamp(1, TAG_PAGE_MAX))
    });
    Ok(reply(common.await?))
}

#[derive(Deserialize)]
struct ById {
    #[serde(default, alias = "image_ids")]
    ids: Vec<u32>,
    #[serde(default)]
    filepaths: Vec<String>,
    limit: Option<usize>,
}

/// It changes nothing, but more images are told than an address has room for.
async fn common_of_many(
    viewer: Viewer,
    candidate: Candidate,
    State(app): State<Arc<App>>,
    body: Body<ById>,
) -> Answer<CommonTags> {
    drop((viewer, candidate.prove(None)?));
    let common = app.read(move |board| {
        let asked = &body.value;
        let images = select(board, &asked.ids, &asked.filepaths, None)?;
        board.common_tags(&images, asked.limit.unwrap_or(LIMIT).clamp(1, TAG_PAGE_MAX))
    });
    Ok(reply(common.await?))
}
