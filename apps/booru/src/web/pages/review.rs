//! Tags that a model suggests and somebody has to decide on, image by image.

use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::http::HeaderMap;
use axum::response::{Html, Response};
use serde::Deserialize;

use super::links;
use super::marks::done;
use super::shell::{EditorShell, Shell};
use super::tags::href;
use super::tiles::{self, Tile};
use crate::board::Board;
use crate::ml::review::{self, Review, Which};
use crate::refuse;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::EditorForm;

/// Suggestions of a page.
const PAGE: u32 = 60;

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    shell: Shell,
    total: String,
    tag: String,
    images: Vec<Reviewed>,
}

/// An image with what is suggested for it.
struct Reviewed {
    tile: Tile,
    suggestions: Vec<Suggestion>,
}

pub(super) struct Suggestion {
    pub(super) tag: String,
    pub(super) href: String,
    pub(super) class: &'static str,
    pub(super) percent: u8,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// Only this tag.
    #[serde(default)]
    tag: String,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    EditorShell(shell): EditorShell,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let page = app.read(move |board| ReviewPage::read(board, shell.at("/review"), wanted.tag));
    super::html(&page.await?)
}

impl ReviewPage {
    fn read(board: &Board, shell: Shell, tag: String) -> Result<ReviewPage> {
        let which = Which {
            tag: (!tag.is_empty()).then(|| tag.clone()),
            ..Which::default()
        };
        let total = review::count(&board.store, &which)?;
        let mut by_image: Vec<(u32, Vec<Suggestion>)> = Vec::new();
        for one in review::list(&board.store, &which, 0, PAGE)? {
            let suggestion = Suggestion::of(&one);
            match by_image.iter_mut().find(|(id, _)| *id == one.image_id) {
                Some((_, suggestions)) => suggestions.push(suggestion),
                None => by_image.push((one.image_id, vec![suggestion])),
            }
        }
        let ids: Vec<u32> = by_image.iter().map(|(id, _)| *id).collect();
        let mut tiles = tiles::read(board, &ids, "")?;
        let images = by_image.into_iter().filter_map(|(id, suggestions)| {
            let at = tiles.iter().position(|tile| tile.id == id)?;
            Some(Reviewed {
                tile: tiles.swap_remove(at),
                suggestions,
            })
        });
        Ok(ReviewPage {
            images: images.collect(),
            total: links::grouped(total),
            tag,
            shell,
        })
    }
}

impl Suggestion {
    fn of(review: &Review) -> Suggestion {
        Suggestion {
            href: href(&review.tag),
            class: crate::query::Category::of(&review.category)
                .map_or("rating", |category| category.name()),
            percent: (review.confidence.clamp(0.0, 1.0) * 100.0).floor() as u8,
            tag: review.tag.clone(),
        }
    }

    /// What waits on one image, the most certain first.
    pub(super) fn of_image(board: &Board, image: u32) -> Result<Vec<Suggestion>> {
        let which = Which {
            image: Some(image),
            ..Which::default()
        };
        let found = review::list(&board.store, &which, 0, PAGE)?;
        Ok(found.iter().map(Suggestion::of).collect())
    }
}

/// The fields of a form. What waits on the image and was not shown is not decided on.
#[derive(Default)]
struct Decision {
    action: String,
    image: u32,
    tags: Vec<String>,
    /// Where the form was: the page of the image, or the queue.
    at_image: bool,
}

impl Decision {
    fn of(fields: Vec<(String, String)>) -> Result<Decision, Failure> {
        let mut decision = Decision::default();
        for (name, value) in fields {
            match name.as_str() {
                "action" => decision.action = value,
                "tag" => decision.tags.push(value),
                "at_image" => decision.at_image = value == "true",
                "image" => match value.parse() {
                    Ok(image) => decision.image = image,
                    Err(_) => {
                        return Err(Failure::invalid(format!("{value:?} is no id of an image")));
                    }
                },
                _ => {}
            }
        }
        match decision.tags.is_empty() {
            true => Err(Failure::invalid("no tag is given to decide on")),
            false => Ok(decision),
        }
    }
}

pub(super) async fn decide(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let form = Decision::of(form)?;
    let next = match form.at_image {
        true => links::view(form.image, ""),
        false => "/review".to_owned(),
    };
    app.write(move |board| match form.action.as_str() {
        "accept" => review::accept_tags(board, form.image, &form.tags),
        "reject" => review::reject_tags(board, form.image, &form.tags),
        other => refuse!("a form asks for {other:?}, which nothing is"),
    })
    .await?;
    Ok(done(&headers, &next))
}
