//! Pairs of images that look alike, one after the other, side by side, to be decided on.

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
use crate::board::Board;
use crate::duplicates::{Label, QUEUE_DISTANCE, QueueOrder, QueuedPair, STORED_DISTANCE_MAX};
use crate::edit::Action;
use crate::image::Image;
use crate::refuse;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::EditorForm;

#[derive(Template)]
#[template(path = "duplicates.html")]
struct DuplicatesPage {
    shell: Shell,
    /// Pairs that wait, within the distance.
    total: String,
    distance: u32,
    distances: Vec<Distance>,
    is_scanned: bool,
    pair: Option<Pair>,
    skip: usize,
    skip_href: String,
}

struct Distance {
    bits: u32,
    href: String,
    is_on: bool,
}

struct Pair {
    /// The left and the right one.
    sides: [Side; 2],
    distance: u32,
    label: &'static str,
    /// Tags that only one of them has.
    only_a: Vec<String>,
    only_b: Vec<String>,
}

struct Side {
    id: u32,
    href: String,
    file: String,
    facts: Vec<(&'static str, String, bool)>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    distance: Option<u32>,
    /// Pairs that are passed over.
    #[serde(default)]
    skip: usize,
}

fn page_href(distance: u32, skip: usize) -> String {
    format!("/duplicates?distance={distance}&skip={skip}")
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    EditorShell(shell): EditorShell,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let distance = wanted
        .distance
        .unwrap_or(QUEUE_DISTANCE)
        .min(STORED_DISTANCE_MAX);
    let page = app.read(move |board| {
        let queue = board.duplicate_queue(distance, QueueOrder::Distance, wanted.skip, 1)?;
        let pair = match queue.pairs.first() {
            Some(pair) => Some(Pair::read(board, pair)?),
            None => None,
        };
        let distances = [0, 3, QUEUE_DISTANCE, 10, STORED_DISTANCE_MAX];
        Ok(DuplicatesPage {
            shell: shell.at("/duplicates"),
            total: links::grouped(queue.total),
            distance,
            distances: distances
                .map(|bits| Distance {
                    bits,
                    href: page_href(bits, 0),
                    is_on: bits == distance,
                })
                .into(),
            is_scanned: queue.scan_threshold.is_some(),
            pair,
            skip: wanted.skip,
            skip_href: page_href(distance, wanted.skip.saturating_add(1)),
        })
    });
    super::html(&page.await?)
}

impl Pair {
    fn read(board: &Board, pair: &QueuedPair) -> Result<Pair> {
        let (a, b) = (board.image(pair.image_a.id)?, board.image(pair.image_b.id)?);
        let (of_a, of_b) = (names(&a), names(&b));
        let only = |of: &[String], other: &[String]| {
            let only = of.iter().filter(|name| !other.contains(name));
            only.cloned().collect()
        };
        Ok(Pair {
            only_a: only(&of_a, &of_b),
            only_b: only(&of_b, &of_a),
            distance: pair.distance,
            label: match pair.label {
                Some(Label::LikelyDuplicate) => "likely the same",
                Some(Label::LikelyVariation) => "likely a variation",
                Some(Label::Uncertain) => "not certain",
                None => "",
            },
            sides: [Side::of(&a, &b), Side::of(&b, &a)],
        })
    }
}

fn names(image: &Image) -> Vec<String> {
    let tags = image.tags.values().flatten();
    tags.map(|tag| tag.name.clone()).collect()
}

impl Side {
    fn of(image: &Image, other: &Image) -> Side {
        let pixels = |image: &Image| {
            image
                .width
                .zip(image.height)
                .map(|(w, h)| w.saturating_mul(h))
        };
        let tags = |image: &Image| image.tags.values().map(Vec::len).sum::<usize>();
        let size = image.width.zip(image.height);
        let size = size.map_or_else(|| "not known".to_owned(), |(w, h)| format!("{w} × {h}"));
        let score = |image: &Image| image.score;
        let mut facts = vec![
            ("Size", size, pixels(image) > pixels(other)),
            ("Tags", tags(image).to_string(), tags(image) > tags(other)),
        ];
        if let Some(number) = image.score {
            facts.push(("Score", number.to_string(), score(image) > score(other)));
        }
        facts.push(("File", image.filepath.clone(), false));
        Side {
            id: image.link.id,
            href: links::view(image.link.id, ""),
            file: match super::tiles::is_video(&image.filepath) {
                true => links::thumbnail(&image.filepath),
                false => links::file(&image.filepath),
            },
            facts,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Decision {
    action: String,
    a: u32,
    b: u32,
    #[serde(default)]
    distance: u32,
    #[serde(default)]
    skip: usize,
}

/// What leaves both images; a deletion goes by [`crate::duplicates::commit`].
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Decision>,
) -> Result<Response, Failure> {
    let next = page_href(form.distance, form.skip);
    app.write(move |board| {
        let action: Action = match form.action.parse() {
            Ok(action) => action,
            Err(_) => refuse!("a form asks for {:?}, which nothing is", form.action),
        };
        if matches!(action, Action::DeleteA | Action::DeleteB) {
            refuse!("an image is deleted by its own button");
        }
        board.review_duplicate(form.a, form.b, action)
    })
    .await?;
    Ok(done(&headers, &next))
}
