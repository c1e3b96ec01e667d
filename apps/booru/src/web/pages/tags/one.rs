//! One tag: its images, rules and names, and what a new rule of it would do.

use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Html;
use serde::Deserialize;

use super::super::links;
use super::super::shell::Shell;
use super::super::tiles::{self, Tile};
use super::{href, images};
use crate::board::Board;
use crate::query::Category;
use crate::rules::{Preview, Rule};
use crate::web::App;
use crate::web::error::Failure;

#[derive(Template)]
#[template(path = "tag.html")]
struct TagPage {
    shell: Shell,
    name: String,
    class: &'static str,
    category: &'static str,
    count: String,
    href: String,
    images_href: String,
    samples: Vec<Tile>,
    preview: Option<Preview>,
    implies: Vec<OtherTag>,
    implied_by: Vec<OtherTag>,
    aliases: Vec<String>,
    sources: Vec<(String, String)>,
    categories: [&'static str; 6],
}

/// The other tag of a rule.
struct OtherTag {
    name: String,
    href: String,
    is_rejected: bool,
}

#[derive(Deserialize)]
pub(in crate::web::pages) struct Wanted {
    name: String,
    /// What a rule would lead to that is to be looked at.
    #[serde(default)]
    imply: String,
}

pub(in crate::web::pages) async fn page(
    State(app): State<Arc<App>>,
    shell: Shell,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let page = app.read(move |board| TagPage::read(board, shell.at("/tags"), &wanted));
    super::super::html(&page.await?)
}

impl TagPage {
    fn read(board: &Board, shell: Shell, wanted: &Wanted) -> Result<TagPage> {
        let detail = board.tag_detail(&wanted.name)?;
        let name = detail.tag.name;
        let preview = match wanted.imply.trim() {
            "" => None,
            implied => Some(board.preview_rule(&name, implied)?),
        };
        let implies = |rule: Rule| OtherTag::of(&rule.implied, &rule);
        let implied_by = |rule: Rule| OtherTag::of(&rule.tag, &rule);
        Ok(TagPage {
            class: detail.tag.category,
            category: detail.tag.category,
            count: links::grouped(detail.tag.count),
            href: href(&name),
            images_href: images(&name),
            samples: tiles::read(board, &detail.samples, "")?,
            preview,
            implies: detail.implies.into_iter().map(implies).collect(),
            implied_by: detail.implied_by.into_iter().map(implied_by).collect(),
            aliases: detail.aliases,
            sources: detail
                .sources
                .iter()
                .map(|source| (spoken(&source.source), links::grouped(source.images)))
                .collect(),
            categories: Category::ALL.map(Category::name),
            name,
            shell,
        })
    }
}

/// Where tags of images come from, in words.
fn spoken(source: &str) -> String {
    let text = match source {
        "original" => "where the image came from",
        "user" => "hand",
        "ai_inference" => "a model",
        "implication" => "an implication",
        other => other,
    };
    text.to_owned()
}

impl OtherTag {
    fn of(name: &str, rule: &Rule) -> OtherTag {
        OtherTag {
            name: name.to_owned(),
            href: href(name),
            is_rejected: rule.status != "active",
        }
    }
}
