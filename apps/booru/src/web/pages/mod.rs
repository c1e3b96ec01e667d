//! Pages for people.

use std::sync::Arc;

use axum::Router;

use super::App;
use super::error::Failure;

pub fn router() -> Router<Arc<App>> {
    Router::new()
}

/// The page that says why a request was not done.
pub(super) fn failure(failure: &Failure) -> String {
    let escaped = failure
        .message
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><h1>{0}</h1><p>{escaped}</p></html>",
        failure.status
    )
}
