//! Rules of tags: `/api/implications/…`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{Answer, ApiQuery, Body, Changed, reply};
use crate::edit::Approved;
use crate::rules::{Preview, RULE_PAGE_MAX, RulePage, RuleSuggestions, Rules, Side};
use crate::web::App;
use crate::web::session::{Editor, Viewer};

const LIMIT: usize = 100;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/implications/all", get(all))
        .route("/api/implications/for-tag", get(all))
        .route("/api/implications/preview", get(preview))
        .route("/api/implications/suggestions", get(suggestions))
        .route("/api/implications/create", post(create))
        .route("/api/implications/delete", post(delete))
        .route("/api/implications/approve", post(approve))
        .route("/api/implications/approve_all", post(approve_all))
        .route("/api/implications/reject", post(reject))
        .route("/api/implications/apply", post(apply))
        .route("/api/implications/apply_all", post(apply_all))
        .route("/api/implications/clear_and_reapply", post(reapply))
}

#[derive(Deserialize)]
struct Wanted {
    tag: Option<String>,
    status: Option<String>,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

impl Wanted {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).clamp(1, RULE_PAGE_MAX)
    }
}

async fn all(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Answer<RulePage> {
    let page = app.read(move |board| {
        board.rules(&Rules {
            tag: wanted.tag.as_deref().map(|tag| (Side::Either, tag)),
            status: wanted.status.as_deref(),
            offset: wanted.offset,
            limit: wanted.limit(),
        })
    });
    Ok(reply(page.await?))
}

async fn suggestions(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Answer<RuleSuggestions> {
    let page = app.read(move |board| board.suggest_rules(wanted.offset, wanted.limit()));
    Ok(reply(page.await?))
}

#[derive(Deserialize)]
struct Rule {
    #[serde(alias = "source_tag")]
    tag: String,
    #[serde(alias = "implied_tag")]
    implied: String,
}

async fn preview(
    _: Viewer,
    State(app): State<Arc<App>>,
    ApiQuery(rule): ApiQuery<Rule>,
) -> Answer<Preview> {
    let preview = app.read(move |board| board.preview_rule(&rule.tag, &rule.implied));
    Ok(reply(preview.await?))
}

async fn create(_: Editor, State(app): State<Arc<App>>, body: Body<Rule>) -> Answer<Changed> {
    let edited = app.write(move |board| board.create_rule(&body.value.tag, &body.value.implied));
    Ok(reply(edited.await?.into()))
}

async fn delete(_: Editor, State(app): State<Arc<App>>, body: Body<Rule>) -> Answer<Changed> {
    let edited = app.write(move |board| board.delete_rule(&body.value.tag, &body.value.implied));
    Ok(reply(edited.await?.into()))
}

#[derive(Serialize)]
struct Done {}

async fn approve(_: Editor, State(app): State<Arc<App>>, body: Body<Rule>) -> Answer<Done> {
    app.write(move |board| board.approve_rule(&body.value.tag, &body.value.implied))
        .await?;
    Ok(reply(Done {}))
}

async fn reject(_: Editor, State(app): State<Arc<App>>, body: Body<Rule>) -> Answer<Done> {
    app.write(move |board| board.reject_rule(&body.value.tag, &body.value.implied))
        .await?;
    Ok(reply(Done {}))
}

async fn approve_all(_: Editor, State(app): State<Arc<App>>) -> Answer<Approved> {
    let approved = app.write(|board| board.approve_rules());
    Ok(reply(approved.await?))
}

async fn apply(_: Editor, State(app): State<Arc<App>>, body: Body<Rule>) -> Answer<Changed> {
    let edited = app.write(move |board| board.apply_rule(&body.value.tag, &body.value.implied));
    Ok(reply(edited.await?.into()))
}

async fn apply_all(_: Editor, State(app): State<Arc<App>>) -> Answer<Changed> {
    let edited = app.write(|board| board.apply_rules());
    Ok(reply(edited.await?.into()))
}

async fn reapply(_: Editor, State(app): State<Arc<App>>) -> Answer<Changed> {
    let edited = app.write(|board| board.reapply_rules());
    Ok(reply(edited.await?.into()))
}
