//! The page that says why a request was not done.

use askama::Template;
use axum::http::StatusCode;

use super::links;
use super::shell::Shell;
use crate::web::error::Failure;

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    shell: Shell,
    title: String,
    message: String,
    /// Where to log in, if that is what is wanted.
    login: Option<String>,
}

/// `back` is where a login leads back to.
pub(in crate::web) fn failure(failure: &Failure, app_name: &str, back: &str) -> String {
    let page = FailurePage {
        shell: Shell {
            app_name: app_name.to_owned(),
            ..Shell::default()
        },
        title: failure
            .status
            .canonical_reason()
            .unwrap_or("Not done")
            .to_owned(),
        message: failure.message.clone(),
        login: (failure.status == StatusCode::UNAUTHORIZED)
            .then(|| format!("/login?next={}", links::encode(back))),
    };
    page.render()
        .unwrap_or_else(|_| "It was not done.".to_owned())
}
