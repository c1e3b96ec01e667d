//! The page to add images by, and what became of files that were sent.

use std::path::Path;
use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::{Query as Parameters, State};
use axum::response::Html;
use serde::{Deserialize, Serialize};

use super::links;
use super::shell::{EditorShell, Shell};
use crate::ingest::each_set_aside;
use crate::query::{Expression, Pattern, Query, Term};
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::Candidate;

/// Files set aside that are shown.
const ASIDE_MAX: usize = 200;

#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    shell: Shell,
    aside: Vec<Aside>,
    aside_total: usize,
}

struct Aside {
    name: String,
    reason: String,
    at: String,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    EditorShell(shell): EditorShell,
) -> Result<Html<String>, Failure> {
    let read = app.read(|board| {
        let (mut aside, mut total) = (Vec::new(), 0);
        each_set_aside(&board.store, |one| {
            total += 1;
            if aside.len() < ASIDE_MAX {
                aside.push(Aside {
                    name: file_name(&one.path),
                    reason: one.reason,
                    at: one.at,
                });
            }
            Ok(())
        })?;
        Ok((aside, total))
    });
    let (aside, aside_total) = read.await?;
    super::html(&UploadPage {
        shell: shell.at("/upload"),
        aside,
        aside_total,
    })
}

/// The last part of a path: where the rest lies is nobody's business.
fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Whether it can be the name of a file in a folder.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}

#[derive(Deserialize)]
pub(super) struct Asked {
    /// As it lies in the folder for new images.
    name: String,
}

/// What became of a file.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Fate {
    /// It lies there still.
    Waiting,
    SetAside {
        reason: String,
    },
    /// It is on the board: as a new image, or because it was there already.
    OnBoard {
        href: String,
    },
}

pub(super) async fn fate(
    State(app): State<Arc<App>>,
    candidate: Candidate,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Fate>, Failure> {
    candidate.check_may_edit()?;
    if !is_name(&asked.name) {
        return Err(Failure::invalid("that is no name of a file that was sent"));
    }
    let path = app.settings().folders.ingest.join(&asked.name);
    let fate = app.read(move |board| {
        let mut reason = None;
        each_set_aside(&board.store, |one| {
            if Path::new(&one.path) == path {
                reason = Some(one.reason);
            }
            Ok(())
        })?;
        if let Some(reason) = reason {
            return Ok(Fate::SetAside { reason });
        }
        // It is moved when it is taken in, and removed when it is a duplicate.
        if path.exists() {
            return Ok(Fate::Waiting);
        }
        let stem = Path::new(&asked.name).file_stem().unwrap_or_default();
        let stem = stem.to_string_lossy().to_lowercase();
        let query = Query {
            expression: Expression::Term(Term::Path(Pattern::literal(&stem))),
            ..Query::default()
        };
        Ok(Fate::OnBoard {
            href: links::results(&query.to_string(), 1),
        })
    });
    Ok(Json(fate.await?))
}
