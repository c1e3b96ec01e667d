//! Work of models on one image: how far it is, and a button for each kind that can be asked for.

use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::super::links;
use super::super::marks::done;
use super::Wanted;
use crate::board::Board;
use crate::ml::{Kind, State as JobState, queue};
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::EditorForm;

/// A button, and what came of it before.
pub(in crate::web::pages) struct Work {
    pub(in crate::web::pages) kind: &'static str,
    pub(in crate::web::pages) label: String,
    /// It is in the queue: nothing comes of a second press.
    pub(in crate::web::pages) is_open: bool,
    pub(in crate::web::pages) state: Option<String>,
}

/// For each of `kinds`, which models are there for.
///
/// # Errors
/// What the database says.
pub(super) fn read(board: &Board, image: u32, kinds: &[Kind]) -> Result<Vec<Work>> {
    let mut works = Vec::new();
    for kind in kinds {
        if *kind == Kind::Upscale && board.check_upscalable().is_err() {
            continue;
        }
        let name = match kind {
            Kind::Tag => "Tag",
            Kind::Embed => "Embed",
            Kind::Upscale => "Upscale",
        };
        let job = queue::find(&board.store, *kind, image)?;
        let state = job.as_ref().map(|job| job.state);
        let is_open = matches!(state, Some(JobState::Queued | JobState::Running));
        works.push(Work {
            kind: kind.name(),
            label: match state {
                Some(JobState::Done | JobState::Failed) => format!("{name} again"),
                _ => name.to_owned(),
            },
            is_open,
            state: match state {
                Some(JobState::Queued) => Some(format!("{name}: in the queue")),
                Some(JobState::Running) => Some(format!("{name}: under way")),
                Some(JobState::Failed) => {
                    let reason = job.and_then(|job| job.reason).unwrap_or_default();
                    Some(format!("{name}: set aside, {reason}"))
                }
                Some(JobState::Done) | None => None,
            },
        });
    }
    Ok(works)
}

#[derive(Deserialize)]
pub(in crate::web::pages) struct Asked {
    kind: Kind,
}

pub(in crate::web::pages) async fn ask(
    State(app): State<Arc<App>>,
    Path(image): Path<u32>,
    Parameters(wanted): Parameters<Wanted>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Asked>,
) -> Result<Response, Failure> {
    let ask = App::ask_models(app, move |service| service.submit(form.kind, &[image]));
    ask.await?;
    Ok(done(&headers, &links::view(image, wanted.query.trim())))
}
