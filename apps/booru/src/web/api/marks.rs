//! What is said of images beside tags: favourites, ratings, relations, edits by hand; and that they go.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::selection::{OneImage, select};
use super::{Answer, ApiQuery, Body, Changed, reply};
use crate::deltas::HandEdit;
use crate::edit::Rating;
use crate::family::Family;
use crate::ingest::{self, Files};
use crate::relations::{Relation, RelationKind};
use crate::web::App;
use crate::web::session::{Editor, Viewer};

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/favourites/toggle", post(toggle))
        .route("/api/favourites/status", get(status))
        .route("/api/favourites/count", get(count))
        .route("/api/rate", post(rate))
        .route("/api/relations", get(relations))
        .route("/api/relations/create", post(relate))
        .route("/api/relations/delete", post(unrelate))
        .route("/api/family", get(family))
        .route("/api/deltas", get(hand_edits))
        .route("/api/deltas/undo", post(undo))
        .route("/api/delete_image", post(delete_one))
        .route("/api/delete_images_bulk", post(delete_many))
}

#[derive(Serialize)]
struct Favourite {
    is_favourite: bool,
}

async fn toggle(_: Editor, State(app): State<Arc<App>>, body: Body<OneImage>) -> Answer<Favourite> {
    let is_favourite = app.write(move |board| {
        let id = body.value.id(board)?;
        board.toggle_favourite(id)
    });
    Ok(reply(Favourite {
        is_favourite: is_favourite.await?,
    }))
}

async fn status(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(image): ApiQuery<OneImage>,
) -> Answer<Favourite> {
    let is_favourite = app.read(move |board| {
        let id = image.id(board)?;
        match board.is_favourite(id) {
            Some(is_favourite) => Ok(is_favourite),
            None => crate::missing!("there is no image {id}"),
        }
    });
    Ok(reply(Favourite {
        is_favourite: is_favourite.await?,
    }))
}

#[derive(Serialize)]
struct Count {
    count: u64,
}

async fn count(_: Viewer, State(app): State<Arc<App>>) -> Answer<Count> {
    let count = app.read(|board| Ok(board.count_favourites()));
    Ok(reply(Count {
        count: count.await?,
    }))
}

#[derive(Deserialize)]
struct Rate {
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    filepaths: Vec<String>,
    query: Option<String>,
    rating: String,
}

async fn rate(_: Editor, State(app): State<Arc<App>>, body: Body<Rate>) -> Answer<Changed> {
    let edited = app.write(move |board| {
        let asked = &body.value;
        let rating: Rating = asked.rating.parse()?;
        let images = select(board, &asked.ids, &asked.filepaths, asked.query.as_deref())?;
        board.rate_images(&images, rating)
    });
    Ok(reply(edited.await?.into()))
}

#[derive(Serialize)]
struct Relations {
    relations: Vec<Relation>,
}

async fn relations(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(image): ApiQuery<OneImage>,
) -> Answer<Relations> {
    let relations = app.read(move |board| board.relations(image.id(board)?));
    Ok(reply(Relations {
        relations: relations.await?,
    }))
}

/// Of a parent and its child the parent is `a`.
#[derive(Deserialize)]
struct Relate {
    relation_type: String,
    image_id_a: u32,
    image_id_b: u32,
}

#[derive(Serialize)]
struct Related {
    /// Whether it was not there before.
    is_new: bool,
}

async fn relate(_: Editor, State(app): State<Arc<App>>, body: Body<Relate>) -> Answer<Related> {
    let is_new = app.write(move |board| {
        let asked = &body.value;
        let kind: RelationKind = asked.relation_type.parse()?;
        board.create_relation(kind, asked.image_id_a, asked.image_id_b)
    });
    Ok(reply(Related {
        is_new: is_new.await?,
    }))
}

#[derive(Serialize)]
struct Done {}

async fn unrelate(_: Editor, State(app): State<Arc<App>>, body: Body<Relate>) -> Answer<Done> {
    let done = app.write(move |board| {
        let asked = &body.value;
        let kind: RelationKind = asked.relation_type.parse()?;
        board.delete_relation(kind, asked.image_id_a, asked.image_id_b)
    });
    done.await?;
    Ok(reply(Done {}))
}

async fn family(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(image): ApiQuery<OneImage>,
) -> Answer<Family> {
    let family = app.read(move |board| board.family(image.id(board)?));
    Ok(reply(family.await?))
}

#[derive(Serialize)]
struct HandEdits {
    /// The newest first.
    deltas: Vec<HandEdit>,
}

async fn hand_edits(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(image): ApiQuery<OneImage>,
) -> Answer<HandEdits> {
    let deltas = app.read(move |board| board.hand_edits(image.id(board)?));
    Ok(reply(HandEdits {
        deltas: deltas.await?,
    }))
}

#[derive(Serialize)]
struct Undone {
    undone: HandEdit,
}

async fn undo(_: Editor, State(app): State<Arc<App>>, body: Body<OneImage>) -> Answer<Undone> {
    let undone = app.write(move |board| {
        let id = body.value.id(board)?;
        board.undo_hand_edit(id)
    });
    Ok(reply(Undone {
        undone: undone.await?,
    }))
}

#[derive(Serialize)]
struct Deleted {
    /// Images whose rows are gone.
    deleted: u64,
    /// Files that went to the trash.
    files: u64,
    /// Images whose file was not there.
    missing_files: u64,
}

impl From<ingest::Deleted> for Deleted {
    fn from(deleted: ingest::Deleted) -> Deleted {
        Deleted {
            deleted: deleted.images,
            files: deleted.files,
            missing_files: deleted.missing,
        }
    }
}

async fn delete_one(
    _: Editor,
    State(app): State<Arc<App>>,
    body: Body<OneImage>,
) -> Answer<Deleted> {
    let settings = app.settings().ingest.clone();
    let deleted = app.write(move |board| {
        let id = body.value.id(board)?;
        ingest::delete(board, &settings, &[id], Files::Trashed)
    });
    Ok(reply(deleted.await?.into()))
}

/// No query: what is deleted is told one by one.
#[derive(Deserialize)]
struct DeleteMany {
    #[serde(default, alias = "image_ids")]
    ids: Vec<u32>,
    #[serde(default)]
    filepaths: Vec<String>,
}

async fn delete_many(
    _: Editor,
    State(app): State<Arc<App>>,
    body: Body<DeleteMany>,
) -> Answer<Deleted> {
    let settings = app.settings().ingest.clone();
    let deleted = app.write(move |board| {
        let asked = &body.value;
        let mut ids = select(board, &asked.ids, &asked.filepaths, None)?;
        ids.sort_unstable();
        ids.dedup();
        ingest::delete(board, &settings, &ids, Files::Trashed)
    });
    Ok(reply(deleted.await?.into()))
}
