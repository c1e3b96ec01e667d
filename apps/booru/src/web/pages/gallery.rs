//! The gallery: a page of what a search finds, and its further pages as bare tiles.

use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::Json;
use axum::extract::{Query as Parameters, State};
use axum::response::Html;
use serde::{Deserialize, Serialize};

use super::filters::{self, Group};
use super::links;
use super::shell::Shell;
use super::tiles::{self, Tile};
use crate::board::Board;
use crate::query::{Order, Query, QueryError};
use crate::search::Page;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::Viewer;

/// Ids that are told in one answer: as many as are edited together at most.
const IDS_MAX: usize = 10_000;

#[derive(Template)]
#[template(path = "gallery.html")]
struct GalleryPage {
    shell: Shell,
    results: Result<Results, Wrong>,
}

struct Results {
    tiles: Vec<Tile>,
    /// The search as its links have it: a random order with its seed.
    query: String,
    total: usize,
    total_text: String,
    page: usize,
    pages: usize,
    per_page: usize,
    previous: Option<String>,
    next: Option<String>,
    first_href: String,
    filters: Vec<Group>,
    is_filtered: bool,
    is_board_empty: bool,
}

/// A text that is no query, with the place at which it ends to be one.
struct Wrong {
    message: String,
    before: String,
    at: String,
    after: String,
}

#[derive(Template)]
#[template(path = "tiles.html")]
struct Tiles {
    tiles: Vec<Tile>,
    can_pick: bool,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    query: String,
    page: Option<usize>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    shell: Shell,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let shell = Shell {
        query: wanted.query.trim().to_owned(),
        ..shell.at("/")
    };
    let results = match shell.query.parse::<Query>() {
        Err(error) => Err(Wrong::of(&shell.query, error)),
        Ok(query) => {
            let page = Page {
                number: wanted.page.unwrap_or(1).max(1),
                images: app.settings().images_per_page,
            };
            let text = shell.query.clone();
            let found = app.read(move |board| Results::find(board, &text, query, page));
            Ok(found.await?)
        }
    };
    super::html(&GalleryPage { results, shell })
}

/// A page of tiles without anything around them.
pub(super) async fn tiles(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let query: Query = wanted.query.parse()?;
    let page = Page {
        number: wanted.page.unwrap_or(1).max(1),
        images: app.settings().images_per_page,
    };
    let text = wanted.query;
    let read = app.read(move |board| {
        let found = board.search(&query, page, 0)?;
        tiles::read(board, &found.ids, text.trim())
    });
    super::html(&Tiles {
        tiles: read.await?,
        can_pick: viewer.may_edit(),
    })
}

#[derive(Deserialize)]
pub(super) struct Window {
    #[serde(default)]
    query: String,
    from: usize,
    count: usize,
}

#[derive(Serialize)]
pub(super) struct Ids {
    ids: Vec<u32>,
}

/// The ids of so many results from one on, for a selection that reaches over what is not loaded.
pub(super) async fn ids(
    State(app): State<Arc<App>>,
    _: Viewer,
    Parameters(window): Parameters<Window>,
) -> Result<Json<Ids>, Failure> {
    let query: Query = window.query.parse()?;
    let count = window.count.min(IDS_MAX);
    let ids = app.read(move |board| board.window(&query, window.from, count, 0));
    Ok(Json(Ids {
        ids: ids.await?.ids,
    }))
}

impl Results {
    fn find(board: &Board, text: &str, query: Query, page: Page) -> Result<Results> {
        let found = board.search(&query, page, seed()?)?;
        let query = Query {
            order: found.order,
            ..query
        };
        let text = match query.order {
            Order::Random(_) => query.to_string(),
            Order::By(..) => text.to_owned(),
        };
        let filters = filters::groups(&query);
        Ok(Results {
            tiles: tiles::read(board, &found.ids, &text)?,
            total: found.total,
            total_text: match found.total {
                1 => "1 image".to_owned(),
                total => format!("{} images", links::grouped(total as u64)),
            },
            page: page.number,
            pages: found.pages.max(1),
            per_page: page.images,
            previous: (page.number > 1).then(|| links::results(&text, page.number - 1)),
            next: (page.number < found.pages).then(|| links::results(&text, page.number + 1)),
            first_href: links::results(&text, 1),
            is_filtered: filters.iter().any(Group::is_used),
            filters,
            is_board_empty: board.catalog().images().is_empty(),
            query: text,
        })
    }
}

/// For a random order that says none.
pub(super) fn seed() -> Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("get random bytes from the system: {error}"))?;
    Ok(u32::from_le_bytes(bytes).into())
}

impl Wrong {
    fn of(text: &str, error: QueryError) -> Wrong {
        let at = error.character.saturating_sub(1);
        let characters = || text.chars();
        let marked: String = characters().skip(at).take(1).collect();
        Wrong {
            message: error.message,
            before: characters().take(at).collect(),
            // Behind the end there is nothing to mark.
            at: if marked.is_empty() {
                " ".to_owned()
            } else {
                marked
            },
            after: characters().skip(at + 1).collect(),
        }
    }
}
