//! Style, scripts and drawings of the pages, within the program. One hash of them all is in their
//! addresses, so that a browser keeps them until the program is another, and modules find each other.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::web::error::Failure;

macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../assets/", $name)))),*]
    };
}

const ASSETS: &[(&str, &str)] = assets![
    "app.js",
    "board.css",
    "complete.js",
    "drop.js",
    "duplicates.js",
    "gallery.js",
    "grid.js",
    "http.js",
    "icon.svg",
    "message.js",
    "pool.js",
    "review.js",
    "system.js",
    "view.js",
];

/// Digits of the hash that are shown: more than enough for versions of one program.
const HASH_DIGITS: usize = 12;

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for (name, text) in ASSETS {
        for part in [name, text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..HASH_DIGITS].to_owned()
});

/// Where a page finds an asset.
pub(super) fn address(name: &str) -> String {
    debug_assert!(ASSETS.iter().any(|(known, _)| *known == name), "{name}");
    format!("/assets/{}/{name}", *HASH)
}

/// Hands out an asset; one of another version of the program is gone.
pub(super) async fn asset(Path((hash, name)): Path<(String, String)>) -> Result<Response, Failure> {
    let found = ASSETS.iter().find(|(known, _)| *known == name);
    let Some((name, text)) = found.filter(|_| hash == *HASH) else {
        return Err(Failure::not_found("there is no such part of a page"));
    };
    let kind = match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "image/svg+xml",
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, *text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_load_nothing_that_is_not_there() {
        for (name, text) in ASSETS {
            for (at, _) in text.match_indices("'./") {
                let rest = &text[at + 3..];
                let file = &rest[..rest.find('\'').unwrap()];
                let is_there = ASSETS.iter().any(|(known, _)| *known == file);
                assert!(is_there, "{name} loads {file}");
            }
        }
    }
}
