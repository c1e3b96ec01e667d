//! An image is deleted by its own button. Without scripts a page asks first.

use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::confirm::ConfirmPage;
use super::super::links;
use super::super::shell::Shell;
use super::Wanted;
use crate::board::Board;
use crate::ingest::{self, Files};
use crate::missing;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::{CSRF_FIELD, EditorForm};

#[derive(Deserialize)]
pub(in crate::web::pages) struct Asked {
    #[serde(default)]
    confirmed: String,
}

pub(in crate::web::pages) async fn delete(
    State(app): State<Arc<App>>,
    shell: Shell,
    Path(image): Path<u32>,
    Parameters(wanted): Parameters<Wanted>,
    EditorForm { form, .. }: EditorForm<Asked>,
) -> Result<Response, Failure> {
    let query = wanted.query.trim().to_owned();
    if form.confirmed != "yes" {
        let page = app.read(move |board| ask(board, shell, image, &query));
        return Ok(super::super::html(&page.await?)?.into_response());
    }
    let settings = app.settings().ingest.clone();
    let deleted =
        app.write(move |board| ingest::delete(board, &settings, &[image], Files::Trashed));
    deleted.await?;
    Ok(Redirect::to(&links::results(&query, 1)).into_response())
}

fn ask(board: &Board, shell: Shell, image: u32, query: &str) -> Result<ConfirmPage> {
    let Some(path) = board.find_path(image)? else {
        missing!("there is no image {image}");
    };
    Ok(ConfirmPage {
        question: "Delete this image?".to_owned(),
        lines: vec![path],
        warning: "Its tags go; its file goes to the trash of the board.",
        action: format!("/edit/{image}/delete{}", super::behind(query)),
        answer: "Delete",
        offers_keep: false,
        back: links::view(image, query),
        fields: vec![(CSRF_FIELD.to_owned(), shell.csrf.clone())],
        shell,
    })
}
