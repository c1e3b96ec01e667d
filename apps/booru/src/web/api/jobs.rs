//! Work of models: what is queued and how far it is, more of it, less of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::selection::{OneImage, select};
use super::{Answer, Body, reply};
use crate::ml::queue::Submitted;
use crate::ml::{Kind, Service, Status};
use crate::web::App;
use crate::web::session::{Editor, Viewer};

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/jobs", get(status))
        .route("/api/task_status", get(status))
        .route("/api/jobs/cancel", post(cancel))
        .route("/api/jobs/retry", post(retry))
        .route("/api/retry_tagging", post(tag))
        .route("/api/embed", post(embed))
        .route("/api/upscale", post(upscale))
}

async fn status(_: Viewer, State(app): State<Arc<App>>) -> Answer<Status> {
    Ok(reply(App::ask_models(app, Service::status).await?))
}

/// Of one kind, or of all.
#[derive(Deserialize)]
struct OfKind {
    kind: Option<Kind>,
}

#[derive(Serialize)]
struct Jobs {
    jobs: u64,
}

async fn cancel(_: Editor, State(app): State<Arc<App>>, body: Body<OfKind>) -> Answer<Jobs> {
    let kind = body.value.kind;
    let jobs = App::ask_models(app, move |service| service.cancel(kind)).await?;
    Ok(reply(Jobs { jobs }))
}

async fn retry(_: Editor, State(app): State<Arc<App>>, body: Body<OfKind>) -> Answer<Jobs> {
    let kind = body.value.kind;
    let jobs = App::ask_models(app, move |service| service.retry(kind)).await?;
    Ok(reply(Jobs { jobs }))
}

#[derive(Deserialize)]
struct Images {
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    filepaths: Vec<String>,
    query: Option<String>,
}

async fn tag(_: Editor, State(app): State<Arc<App>>, body: Body<Images>) -> Answer<Submitted> {
    submit(app, Kind::Tag, body.value).await
}

async fn embed(_: Editor, State(app): State<Arc<App>>, body: Body<Images>) -> Answer<Submitted> {
    submit(app, Kind::Embed, body.value).await
}

async fn submit(app: Arc<App>, kind: Kind, images: Images) -> Answer<Submitted> {
    let found = app.read(move |board| {
        let Images {
            ids,
            filepaths,
            query,
        } = images;
        select(board, &ids, &filepaths, query.as_deref())
    });
    let found = found.await?;
    let submitted = App::ask_models(app, move |service| service.submit(kind, &found));
    Ok(reply(submitted.await?))
}

async fn upscale(
    _: Editor,
    State(app): State<Arc<App>>,
    body: Body<OneImage>,
) -> Answer<Submitted> {
    let image = app.read(move |board| body.value.id(board)).await?;
    let submitted = App::ask_models(app, move |service| service.submit(Kind::Upscale, &[image]));
    Ok(reply(submitted.await?))
}
