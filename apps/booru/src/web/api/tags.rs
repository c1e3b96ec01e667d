//! The list of tags, `GET /api/tags/fetch`, and edits of tags themselves, `POST /api/tags/…`.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{Answer, ApiQuery, Body, Changed, reply};
use crate::board::Board;
use crate::catalog::Kind;
use crate::edit::{OldName, check_category};
use crate::refuse;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::{Editor, Viewer};

/// Tags in one answer.
const LIMIT_MAX: usize = 1000;
const LIMIT: usize = 100;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/tags/fetch", get(fetch))
        .route("/api/tags/create", post(create))
        .route("/api/tags/rename", post(rename))
        .route("/api/tags/merge", post(merge))
        .route("/api/tags/delete", post(delete))
        .route("/api/tags/bulk_categorize", post(categorize))
        .route("/api/tags/alias", post(alias))
        .route("/api/tags/unalias", post(unalias))
        .route("/api/tags/imply", post(imply))
        .route("/api/tags/unimply", post(unimply))
}

#[derive(Deserialize)]
struct Wanted {
    /// A part of the name.
    #[serde(default)]
    search: String,
    /// One of the six, or `rating`.
    #[serde(default)]
    category: String,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
    /// Leave out those that no image has: `true` unless `false` is said.
    hide_orphaned: Option<bool>,
}

#[derive(Serialize)]
struct TagList {
    tags: Vec<ListedTag>,
    /// Of all that are wanted.
    total: usize,
    offset: usize,
    limit: usize,
    has_more: bool,
}

#[derive(Serialize)]
struct ListedTag {
    name: String,
    count: u64,
    category: Option<String>,
}

async fn fetch(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Answer<TagList> {
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Failure::invalid(format!(
            "an answer has 1 to {LIMIT_MAX} tags, not {limit}"
        )));
    }
    let list = app.read(move |board| list(board, &wanted, limit));
    Ok(reply(list.await?))
}

/// Reads all names in order from the index of the database, so that none has to be held.
fn list(board: &Board, wanted: &Wanted, limit: usize) -> Result<TagList> {
    let search = wanted.search.to_lowercase();
    let category = match wanted.category.as_str() {
        "" => None,
        "rating" => Some(None),
        name => Some(Some(check_category(name)?)),
    };
    let hide_orphaned = wanted.hide_orphaned.unwrap_or(true);
    let catalog = board.catalog();
    let tags = catalog.tags();
    let (mut total, mut found) = (0, Vec::new());
    let sql = "SELECT id, name FROM tags ORDER BY name";
    board.store().each_row("list tags", sql, &[], |row| {
        let Some(term) = row.id(0)?.and_then(|id| tags.term_of_id(id)) else {
            return Ok(());
        };
        let (kind, count) = (tags.kind(term), catalog.count_of(term));
        if category.is_some_and(|category| kind.category() != category)
            || (hide_orphaned && count == 0)
        {
            return Ok(());
        }
        let name = row.text(1)?.unwrap_or_default();
        if !search.is_empty() && !name.to_lowercase().contains(&search) {
            return Ok(());
        }
        if total >= wanted.offset && found.len() < limit {
            found.push(ListedTag {
                name,
                count,
                category: category_name(kind),
            });
        }
        total += 1;
        Ok(())
    })?;
    Ok(TagList {
        has_more: total > wanted.offset.saturating_add(found.len()),
        tags: found,
        total,
        offset: wanted.offset,
        limit,
    })
}

/// `None` where a tag has none yet.
fn category_name(kind: Kind) -> Option<String> {
    match kind {
        Kind::Rating => Some("rating".to_owned()),
        Kind::Unknown => None,
        kind => kind.category().map(|category| category.name().to_owned()),
    }
}

#[derive(Deserialize)]
struct Create {
    name: String,
    category: Option<String>,
}

async fn create(_: Editor, State(app): State<Arc<App>>, body: Body<Create>) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let category = body.value.category.as_deref().unwrap_or("general");
        board.create_tag(&body.value.name, check_category(category)?)
    });
    Ok(reply(edited.await?.into()))
}

#[derive(Deserialize)]
struct Rename {
    old_name: String,
    new_name: String,
    #[serde(default)]
    create_alias: bool,
}

async fn rename(_: Editor, State(app): State<Arc<App>>, body: Body<Rename>) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let asked = &body.value;
        board.rename_tag(
            &asked.old_name,
            &asked.new_name,
            old_name(asked.create_alias),
        )
    });
    Ok(reply(edited.await?.into()))
}

fn old_name(becomes_alias: bool) -> OldName {
    match becomes_alias {
        true => OldName::BecomesAlias,
        false => OldName::IsForgotten,
    }
}

#[derive(Deserialize)]
struct Merge {
    source_tags: Vec<String>,
    target_tag: String,
    #[serde(default)]
    create_aliases: bool,
}

async fn merge(_: Editor, State(app): State<Arc<App>>, body: Body<Merge>) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let asked = &body.value;
        let old = old_name(asked.create_aliases);
        board.merge_tags(&asked.source_tags, &asked.target_tag, old)
    });
    Ok(reply(edited.await?.into()))
}

#[derive(Deserialize)]
struct Delete {
    tag_names: Vec<String>,
    remove_from_images: Option<bool>,
}

async fn delete(_: Editor, State(app): State<Arc<App>>, body: Body<Delete>) -> Answer<Changed> {
    let edited = app.write(move |board| {
        if body.value.remove_from_images == Some(false) {
            refuse!(
                "a tag that is deleted is taken off all images: remove_from_images can't be false"
            );
        }
        board.delete_tags(&body.value.tag_names)
    });
    Ok(reply(edited.await?.into()))
}

#[derive(Deserialize)]
struct Categorize {
    tag_names: Vec<String>,
    category: String,
}

async fn categorize(
    _: Editor,
    State(app): State<Arc<App>>,
    body: Body<Categorize>,
) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let category = check_category(&body.value.category)?;
        board.categorize_tags(&body.value.tag_names, category)
    });
    Ok(reply(edited.await?.into()))
}

#[derive(Deserialize)]
struct Alias {
    alias: String,
    tag: String,
}

async fn alias(_: Editor, State(app): State<Arc<App>>, body: Body<Alias>) -> Answer<Changed> {
    let edited = app.write(move |board| board.create_alias(&body.value.alias, &body.value.tag));
    Ok(reply(edited.await?.into()))
}

#[derive(Deserialize)]
struct Unalias {
    alias: String,
}

async fn unalias(_: Editor, State(app): State<Arc<App>>, body: Body<Unalias>) -> Answer<Changed> {
    let edited = app.write(move |board| board.delete_alias(&body.value.alias));
    Ok(reply(edited.await?.into()))
}

#[derive(Deserialize)]
struct Imply {
    tag: String,
    implied: String,
}

async fn imply(_: Editor, State(app): State<Arc<App>>, body: Body<Imply>) -> Answer<Changed> {
    let edited = app.write(move |board| board.create_rule(&body.value.tag, &body.value.implied));
    Ok(reply(edited.await?.into()))
}

async fn unimply(_: Editor, State(app): State<Arc<App>>, body: Body<Imply>) -> Answer<Changed> {
    let edited = app.write(move |board| board.delete_rule(&body.value.tag, &body.value.implied));
    Ok(reply(edited.await?.into()))
}
