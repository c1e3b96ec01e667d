//! The page to add images by, and what became of files that were sent.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::Json;
use axum::extract::{Query as Parameters, Request, State};
use axum::response::{Html, Redirect};
use serde::{Deserialize, Serialize};

use super::links;
use super::shell::{EditorShell, Shell};
use crate::board::Board;
use crate::ingest::{each_set_aside, reason_of};
use crate::web::App;
use crate::web::api::upload::receive;
use crate::web::arrivals::Arrival;
use crate::web::error::Failure;
use crate::web::session::Candidate;

/// Files set aside that are shown.
const ASIDE_MAX: usize = 200;
/// Files that are asked for at once: their names fit into the head of a request.
const FATES_MAX: usize = 32;

#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    shell: Shell,
    /// Files of a form that has just come.
    sent: usize,
    is_monitored: bool,
    aside: Vec<Aside>,
    aside_total: usize,
}

struct Aside {
    name: String,
    reason: String,
    at: String,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    sent: usize,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    EditorShell(shell): EditorShell,
    Parameters(wanted): Parameters<Wanted>,
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
        sent: wanted.sent,
        is_monitored: app.settings().is_monitored,
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

/// What became of a file.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Fate {
    /// It lies there still.
    Waiting,
    /// It lies there, and this server takes nothing in.
    Left,
    SetAside {
        reason: String,
    },
    OnBoard {
        href: String,
        /// It was not there already.
        is_new: bool,
    },
    /// It lies there no more, and what took it is not known.
    Gone,
}

/// The fates of files, by their names in the folder for new images, in the order in which they are asked for.
pub(super) async fn fates(
    State(app): State<Arc<App>>,
    candidate: Candidate,
    Parameters(asked): Parameters<Vec<(String, String)>>,
) -> Result<Json<Vec<Fate>>, Failure> {
    candidate.check_may_edit()?;
    let names = asked.into_iter().filter(|(key, _)| key == "name");
    let names: Vec<String> = names.map(|(_, name)| name).collect();
    if names.len() > FATES_MAX || !names.iter().all(|name| is_name(name)) {
        return Err(Failure::invalid(format!(
            "names of at most {FATES_MAX} files that were sent are wanted"
        )));
    }
    let shared = Arc::clone(&app);
    let fates = app.read(move |board| {
        let folder = &shared.settings().folders.ingest;
        // An ingest knows files by paths without links.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let fates = names.iter();
        fates
            .map(|name| Fate::read(board, &shared, &folder, name))
            .collect()
    });
    Ok(Json(fates.await?))
}

impl Fate {
    fn read(board: &Board, app: &App, folder: &Path, name: &str) -> Result<Fate> {
        let path = folder.join(name);
        if let Some(reason) = reason_of(board.store(), &path)? {
            return Ok(Fate::SetAside { reason });
        }
        if let Some(Arrival { image, is_new }) = app.arrivals.find(name) {
            return Ok(match board.find_path(image)? {
                Some(_) => Fate::OnBoard {
                    href: links::view(image, ""),
                    is_new,
                },
                None => Fate::Gone,
            });
        }
        Ok(match (path.exists(), app.settings().is_monitored) {
            (true, true) => Fate::Waiting,
            (true, false) => Fate::Left,
            (false, _) => Fate::Gone,
        })
    }
}

/// A form that no script has sent. What is refused of it is told; the rest is taken all the same.
pub(super) async fn send(
    candidate: Candidate,
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Redirect, Failure> {
    let uploaded = receive(candidate, &app, request).await?;
    let sent = uploaded.files.len();
    if uploaded.refused.is_empty() {
        return Ok(Redirect::to(&format!("/upload?sent={sent}")));
    }
    let refused = uploaded.refused.iter();
    let refused: Vec<String> = refused
        .map(|one| format!("{:?}: {}", one.name, one.error))
        .collect();
    Err(Failure::invalid(format!(
        "{}. The others were sent: {sent}.",
        refused.join("; ")
    )))
}
