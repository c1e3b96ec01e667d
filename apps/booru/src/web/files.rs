//! Files of images.

use std::sync::Arc;

use axum::Router;

use super::App;

pub fn router() -> Router<Arc<App>> {
    Router::new()
}
