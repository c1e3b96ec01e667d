//! Pages for people: HTML made by templates that escape whatever stands in them, one style sheet, small
//! modules of scripts, all within the program. Searching, reading and editing work without scripts too.
//!
//! Memory of a request: a page of tiles, at most 500, and their HTML, some 600 bytes each.

mod assets;
mod confirm;
mod duplicates;
mod failure;
mod filters;
mod gallery;
mod implications;
mod links;
mod login;
mod marks;
mod pools;
mod review;
mod shell;
mod system;
mod tags;
mod tiles;
mod upload;
mod view;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Html;
use axum::routing::{get, post};

use super::App;
use super::api::upload::FORM_BYTES_MAX as UPLOAD_BYTES_MAX;
use super::body::{FORM_BYTES_MAX, LOGIN_BYTES_MAX};
use super::error::Failure;

pub(super) use failure::failure;

pub fn router() -> Router<Arc<App>> {
    let logins = Router::new()
        .route("/login", get(login::page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .layer(DefaultBodyLimit::max(LOGIN_BYTES_MAX));
    let sending = post(upload::send).layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX));
    Router::new()
        .route("/", get(gallery::page))
        .route("/tiles", get(gallery::tiles))
        .route("/tiles/ids", get(gallery::ids))
        .route("/view/{*image}", get(view::page))
        .route("/edit/{image}", post(words::edit))
        .route("/edit/{image}/favourite", post(marks::favourite))
        .route("/edit/{image}/rating", post(marks::rating))
        .route("/edit/{image}/delete", post(view::delete::delete))
        .route("/edit/{image}/models", post(view::models::ask))
        .route("/edit/favourites", post(marks::favourites))
        .route("/edit/pool", post(marks::add_to_pool))
        .route("/pools", get(pools::page).post(pools::create))
        .route("/pools/choices", get(pools::choices))
        .route("/pool/{id}", get(pools::one).post(pools::edit))
        .route("/tags", get(tags::page))
        .route("/tag", get(tags::one))
        .route("/tags/edit", post(tags::edit))
        .route(
            "/implications",
            get(implications::page).post(implications::decide),
        )
        .route(
            "/duplicates",
            get(duplicates::page).post(duplicates::decide),
        )
        .route("/review", get(review::page).post(review::decide))
        .route("/upload", get(upload::page).merge(sending))
        .route("/upload/fates", get(upload::fates))
        .route("/system", get(system::page))
        .route("/system/memory", get(system::memory))
        .route("/assets/{hash}/{name}", get(assets::asset))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .merge(logins)
}

/// The HTML of a template.
fn html(page: &impl askama::Template) -> Result<Html<String>, Failure> {
    match page.render() {
        Ok(text) => Ok(Html(text)),
        Err(error) => Err(Failure::internal(format_args!("make a page: {error}"))),
    }
}
