//! `GET /api/session`, `POST /api/login`, `POST /api/logout`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{Answer, Body, reply};
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::{Candidate, Visitor, log_in, log_out};

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/session", get(session))
        .route("/api/login", post(login))
        .route("/api/logout", post(logout))
}

#[derive(Serialize)]
struct Session {
    logged_in: bool,
    /// Whether there is a password to log in by.
    password_set: bool,
    may_read: bool,
    may_edit: bool,
    /// To be sent in `X-CSRF-Token` with each change.
    csrf_token: String,
}

async fn session(visitor: Visitor) -> Answer<Session> {
    let viewer = visitor.viewer;
    Ok(reply(Session {
        logged_in: viewer.is_logged_in(),
        password_set: viewer.is_password_set(),
        may_read: visitor.may_read,
        may_edit: viewer.may_edit(),
        csrf_token: viewer.csrf_token().to_owned(),
    }))
}

#[derive(Deserialize)]
struct Login {
    password: String,
}

#[derive(Serialize)]
struct Done {}

async fn login(
    State(app): State<Arc<App>>,
    parts: Parts,
    login: Body<Login>,
) -> Result<Response, Failure> {
    let cookie = log_in(&app, &parts, login.value.password).await?;
    Ok(([(SET_COOKIE, cookie)], reply(Done {})).into_response())
}

async fn logout(State(app): State<Arc<App>>, candidate: Candidate) -> Result<Response, Failure> {
    let cookie = log_out(&app, &candidate.prove(None)?);
    Ok(([(SET_COOKIE, cookie)], reply(Done {})).into_response())
}
