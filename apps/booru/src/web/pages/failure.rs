//! The page that says why a request was not done.

use askama::Template;

use super::shell::Shell;
use crate::web::error::Failure;

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    shell: Shell,
    title: String,
    message: String,
}

pub(in crate::web) fn failure(failure: &Failure) -> String {
    let page = FailurePage {
        shell: Shell {
            app_name: "booru".to_owned(),
            ..Shell::default()
        },
        title: failure
            .status
            .canonical_reason()
            .unwrap_or("Not done")
            .to_owned(),
        message: failure.message.clone(),
    };
    page.render()
        .unwrap_or_else(|_| "It was not done.".to_owned())
}
