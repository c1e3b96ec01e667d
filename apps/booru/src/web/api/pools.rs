//! Pools: `GET /api/pools`, `GET /api/pools/ID`, and their edits.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::selection::select;
use super::{Answer, ApiQuery, Body, reply};
use crate::board::Board;
use crate::image::Link;
use crate::pools::{POOL_PAGE_MAX, PoolInfo};
use crate::web::App;
use crate::web::session::{Editor, Viewer};

const LIMIT: usize = 100;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/pools", get(list))
        .route("/api/pools/create", post(create))
        .route("/api/pools/{pool}", get(one))
        .route("/api/pools/{pool}/update", post(update))
        .route("/api/pools/{pool}/delete", post(delete))
        .route("/api/pools/{pool}/add_images", post(add))
        .route("/api/pools/{pool}/remove_images", post(remove))
        .route("/api/pools/{pool}/reorder", post(reorder))
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

impl Part {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).clamp(1, POOL_PAGE_MAX)
    }
}

#[derive(Serialize)]
struct Pools {
    pools: Vec<PoolInfo>,
    total: u64,
}

async fn list(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(part): ApiQuery<Part>,
) -> Answer<Pools> {
    let page = app.read(move |board| board.pools(part.offset, part.limit()));
    let page = page.await?;
    Ok(reply(Pools {
        pools: page.items,
        total: page.total,
    }))
}

#[derive(Serialize)]
struct Pool {
    pool: PoolInfo,
    /// In the order of the pool.
    images: Vec<Link>,
    total: u64,
}

async fn one(
    _: Viewer,
    State(app): State<Arc<App>>,
    Path(pool): Path<i64>,
    ApiQuery(part): ApiQuery<Part>,
) -> Answer<Pool> {
    let pool = app.read(move |board| {
        let info = board.pool(pool)?;
        let page = board.images_of_pool(pool, part.offset, part.limit())?;
        let mut images = Vec::with_capacity(page.items.len());
        for id in page.items {
            if let Some(path) = board.find_path(id)? {
                images.push(Link::new(id, &path));
            }
        }
        Ok(Pool {
            pool: info,
            images,
            total: page.total,
        })
    });
    Ok(reply(pool.await?))
}

#[derive(Deserialize)]
struct Create {
    name: String,
    #[serde(default)]
    description: String,
}

#[derive(Serialize)]
struct Created {
    pool_id: i64,
}

async fn create(_: Editor, State(app): State<Arc<App>>, body: Body<Create>) -> Answer<Created> {
    let pool = app.write(move |board| board.create_pool(&body.value.name, &body.value.description));
    Ok(reply(Created {
        pool_id: pool.await?,
    }))
}

#[derive(Deserialize)]
struct Update {
    name: Option<String>,
    description: Option<String>,
}

#[derive(Serialize)]
struct Done {}

async fn update(
    _: Editor,
    State(app): State<Arc<App>>,
    Path(pool): Path<i64>,
    body: Body<Update>,
) -> Answer<Done> {
    let done = app.write(move |board| {
        let asked = &body.value;
        board.update_pool(pool, asked.name.as_deref(), asked.description.as_deref())
    });
    done.await?;
    Ok(reply(Done {}))
}

async fn delete(_: Editor, State(app): State<Arc<App>>, Path(pool): Path<i64>) -> Answer<Done> {
    app.write(move |board| board.delete_pool(pool)).await?;
    Ok(reply(Done {}))
}

#[derive(Deserialize)]
struct Members {
    #[serde(default, alias = "image_ids")]
    ids: Vec<u32>,
    #[serde(default)]
    filepaths: Vec<String>,
    query: Option<String>,
}

#[derive(Serialize)]
struct Changed {
    /// Images that were not in it before, or are no more.
    images_changed: u64,
}

/// What is done with a pool and images; how many it changed.
type Act = fn(&mut Board, i64, &[u32]) -> anyhow::Result<u64>;

async fn change(app: Arc<App>, pool: i64, asked: Members, act: Act) -> Answer<Changed> {
    let changed = app.write(move |board| {
        let images = select(board, &asked.ids, &asked.filepaths, asked.query.as_deref())?;
        act(board, pool, &images)
    });
    Ok(reply(Changed {
        images_changed: changed.await?,
    }))
}

async fn add(
    _: Editor,
    State(app): State<Arc<App>>,
    Path(pool): Path<i64>,
    body: Body<Members>,
) -> Answer<Changed> {
    change(app, pool, body.value, Board::add_to_pool).await
}

async fn remove(
    _: Editor,
    State(app): State<Arc<App>>,
    Path(pool): Path<i64>,
    body: Body<Members>,
) -> Answer<Changed> {
    change(app, pool, body.value, Board::remove_from_pool).await
}

#[derive(Deserialize)]
struct Reorder {
    #[serde(alias = "image_ids")]
    ids: Vec<u32>,
}

async fn reorder(
    _: Editor,
    State(app): State<Arc<App>>,
    Path(pool): Path<i64>,
    body: Body<Reorder>,
) -> Answer<Done> {
    app.write(move |board| board.reorder_pool(pool, &body.value.ids))
        .await?;
    Ok(reply(Done {}))
}
