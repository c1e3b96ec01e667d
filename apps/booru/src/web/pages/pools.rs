//! Pools: all of them, and one with its images in their order.

use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::links;
use super::marks::done;
use super::shell::Shell;
use super::tiles::{self, Tile};
use crate::board::Board;
use crate::pools::{POOL_PAGE_MAX, PoolInfo};
use crate::query::{Expression, Pattern, Query, Term};
use crate::refuse;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::{EditorForm, Viewer};

/// Pools of a page.
const PAGE: usize = 60;

#[derive(Template)]
#[template(path = "pools.html")]
struct PoolsPage {
    shell: Shell,
    pools: Vec<ShownPool>,
    total: String,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

struct ShownPool {
    href: String,
    name: String,
    images: String,
    cover: Option<Tile>,
}

#[derive(Template)]
#[template(path = "pool.html")]
struct PoolPage {
    shell: Shell,
    id: i64,
    name: String,
    description: String,
    images: u64,
    search: String,
    tiles: Vec<Tile>,
    /// Numbers of the images on this page, as they stand in the pool.
    range: String,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
    /// All its images are on this page, so that they can be put in another order.
    is_whole: bool,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    page: usize,
}

fn page_href(path: &str, page: usize) -> String {
    match page {
        0 | 1 => path.to_owned(),
        page => format!("{path}?page={page}"),
    }
}

/// The page that is shown, from 1, where one is asked for, and how many there are.
fn page_within(wanted: usize, total: u64, each: usize) -> (usize, usize) {
    let pages = (total as usize).div_ceil(each).max(1);
    (wanted.clamp(1, pages), pages)
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    shell: Shell,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let page = app.read(move |board| {
        let total = board.pools(0, 0)?.total;
        let (number, pages) = page_within(wanted.page, total, PAGE);
        let found = board.pools((number - 1) * PAGE, PAGE)?;
        Ok(PoolsPage {
            shell: shell.at("/pools"),
            pools: with_covers(board, found.items)?,
            total: links::grouped(found.total),
            page: number,
            pages,
            previous: (number > 1).then(|| page_href("/pools", number - 1)),
            next: (number < pages).then(|| page_href("/pools", number + 1)),
        })
    });
    super::html(&page.await?)
}

fn with_covers(board: &Board, pools: Vec<PoolInfo>) -> Result<Vec<ShownPool>> {
    let covers: Vec<u32> = pools.iter().filter_map(|pool| pool.cover).collect();
    let covers = tiles::read(board, &covers, "")?;
    let cover = |id: Option<u32>| covers.iter().find(|tile| Some(tile.id) == id).cloned();
    let shown = pools.into_iter().map(|pool| ShownPool {
        href: format!("/pool/{}", pool.id),
        images: match pool.images {
            1 => "1 image".to_owned(),
            images => format!("{} images", links::grouped(images)),
        },
        cover: cover(pool.cover),
        name: pool.name,
    });
    Ok(shown.collect())
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    shell: Shell,
    Path(pool): Path<i64>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let page = app.read(move |board| PoolPage::read(board, shell, pool, wanted.page));
    super::html(&page.await?)
}

impl PoolPage {
    fn read(board: &Board, shell: Shell, id: i64, wanted: usize) -> Result<PoolPage> {
        let pool = board.pool(id)?;
        let (page, pages) = page_within(wanted, pool.images, POOL_PAGE_MAX);
        let offset = (page - 1) * POOL_PAGE_MAX;
        let found = board.images_of_pool(id, offset, POOL_PAGE_MAX)?;
        let query = Query {
            expression: Expression::Term(Term::Pool(Pattern::literal(&pool.name.to_lowercase()))),
            ..Query::default()
        };
        let path = format!("/pool/{id}");
        Ok(PoolPage {
            shell: shell.at("/pools"),
            id,
            name: pool.name,
            description: pool.description,
            images: found.total,
            search: links::results(&query.to_string(), 1),
            range: format!("{} to {}", offset + 1, offset + found.items.len()),
            tiles: tiles::read(board, &found.items, "")?,
            page,
            pages,
            previous: (page > 1).then(|| page_href(&path, page - 1)),
            next: (page < pages).then(|| page_href(&path, page + 1)),
            is_whole: pages == 1,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Created {
    name: String,
    #[serde(default)]
    description: String,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    EditorForm { form, .. }: EditorForm<Created>,
) -> Result<Redirect, Failure> {
    let id = app.write(move |board| board.create_pool(form.name.trim(), form.description.trim()));
    Ok(Redirect::to(&format!("/pool/{}", id.await?)))
}

#[derive(Deserialize)]
pub(super) struct Change {
    action: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    /// What the form came with: only what differs from it is meant to change.
    #[serde(default)]
    before_name: String,
    #[serde(default)]
    before_description: String,
    /// Ids with commas between them.
    #[serde(default)]
    images: String,
}

pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Path(pool): Path<i64>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Change>,
) -> Result<Response, Failure> {
    let is_delete = form.action == "delete";
    app.write(move |board| change(board, pool, &form)).await?;
    match is_delete {
        true => Ok(Redirect::to("/pools").into_response()),
        false => Ok(done(&headers, &format!("/pool/{pool}"))),
    }
}

fn change(board: &mut Board, pool: i64, form: &Change) -> Result<()> {
    match form.action.as_str() {
        "describe" => {
            let (name, description) = (plain(&form.name), plain(&form.description));
            let is_renamed = name != plain(&form.before_name);
            let is_described = description != plain(&form.before_description);
            board.update_pool(
                pool,
                is_renamed.then_some(&*name),
                is_described.then_some(&*description),
            )
        }
        "order" => board.reorder_pool(pool, &ids(&form.images)?),
        "remove" => board
            .remove_from_pool(pool, &ids(&form.images)?)
            .map(|_| ()),
        "delete" => board.delete_pool(pool),
        other => refuse!("a form asks for {other:?}, which nothing is"),
    }
}

/// A text of a form, whose lines browsers end as they like.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").trim().to_owned()
}

fn ids(text: &str) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        match id.parse() {
            Ok(id) => ids.push(id),
            Err(_) => refuse!("{id:?} is no id of an image"),
        }
    }
    Ok(ids)
}

#[derive(Serialize)]
pub(super) struct Choice {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    offset: usize,
}

/// Names of pools, to choose one from: at most [`POOL_PAGE_MAX`] from `offset`.
pub(super) async fn choices(
    State(app): State<Arc<App>>,
    _: Viewer,
    Parameters(part): Parameters<Part>,
) -> Result<Json<Vec<Choice>>, Failure> {
    let pools = app.read(move |board| board.pools(part.offset, POOL_PAGE_MAX));
    let choices = pools.await?.items.into_iter().map(|pool| Choice {
        id: pool.id,
        name: pool.name,
    });
    Ok(Json(choices.collect()))
}
