//! How the board is: `GET /health`, `/api/ready`, `/api/stats`, `/api/memory`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;

use super::{Answer, reply};
use crate::memory::Memory;
use crate::stats::Stats;
use crate::web::App;
use crate::web::holdings::Shares;
use crate::web::session::Viewer;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/api/ready", get(ready))
        .route("/api/stats", get(stats))
        .route("/api/memory", get(memory))
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

/// Connections are taken once the board is read.
async fn ready() -> Answer<Ready> {
    Ok(reply(Ready { ready: true }))
}

async fn stats(_: Viewer, State(app): State<Arc<App>>) -> Answer<Stats> {
    let stats = app.read(|board| Ok(Stats::of(&board.catalog())));
    Ok(reply(stats.await?))
}

#[derive(Serialize)]
struct Held {
    #[serde(flatten)]
    memory: Memory,
    budget: Shares,
}

async fn memory(_: Viewer, State(app): State<Arc<App>>) -> Answer<Held> {
    let memory = app.read(|board| Memory::read(&board.catalog()));
    Ok(reply(Held {
        memory: memory.await?,
        budget: app.holdings.shares(),
    }))
}
