//! Tags of one image edited as words, by a form. What is sent is what the words were and what they are to
//! be, and only the difference is made: who edits the same image meanwhile loses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Redirect;
use plimsoll::dictionary::TermId;
use serde::Deserialize;

use super::links;
use crate::board::Board;
use crate::catalog::Catalog;
use crate::edit::CategorizedTags;
use crate::query::Category;
use crate::store::Value;
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::EditorForm;

#[derive(Deserialize)]
pub(super) struct Words {
    before: String,
    tags: String,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    query: String,
}

pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Path(image): Path<u32>,
    Parameters(wanted): Parameters<Wanted>,
    EditorForm { form, .. }: EditorForm<Words>,
) -> Result<Redirect, Failure> {
    app.write(move |board| {
        let tags = merge(board, image, &form)?;
        board.edit_image(image, &tags)
    })
    .await?;
    Ok(Redirect::to(&links::view(image, wanted.query.trim())))
}

/// The tags that an image has, with where it has each from.
pub(super) fn tags_of(board: &Board, image: u32) -> Result<Vec<(TermId, Option<String>)>> {
    let source = board.store.schema.column("image_tags", "source");
    let sql = format!("SELECT tag_id, {source} FROM image_tags WHERE image_id = ?1");
    let catalog = board.catalog();
    let mut tags = Vec::new();
    board.store.each_row(
        "read the tags of an image",
        &sql,
        &[Value::from(image)],
        |row| {
            let term = row.id(0)?.and_then(|id| catalog.tags.term_of_id(id));
            if let Some(term) = term {
                tags.push((term, row.text(1)?));
            }
            Ok(())
        },
    )?;
    Ok(tags)
}

/// What the image is to have: what it has now, and of the words what was added and taken away.
fn merge(board: &Board, image: u32, words: &Words) -> Result<CategorizedTags> {
    let now = tags_of(board, image)?;
    let catalog = board.catalog();
    let before: BTreeSet<String> = words
        .before
        .split_whitespace()
        .map(|word| Tag::of(&catalog, word).name)
        .collect();
    let after: Vec<Tag> = words
        .tags
        .split_whitespace()
        .map(|word| Tag::of(&catalog, word))
        .collect();
    let is_wanted = |name: &String| after.iter().any(|tag| tag.name == *name);
    let mut tags = CategorizedTags::new();
    for (term, _) in now {
        let name = catalog.tags.name(term);
        if before.contains(&name) && !is_wanted(&name) {
            continue;
        }
        let category = catalog.tags.kind(term).category();
        tags.entry(category.unwrap_or(Category::General))
            .or_default()
            .push(name);
    }
    for tag in after {
        if !before.contains(&tag.name) {
            tags.entry(tag.category).or_default().push(tag.name);
        }
    }
    Ok(tags)
}

/// A tag as it is written: `name`, or `category:name` where it is new.
#[derive(Debug, PartialEq, Eq)]
struct Tag {
    name: String,
    category: Category,
}

impl Tag {
    fn of(catalog: &Catalog, word: &str) -> Tag {
        let known = |name: &str| {
            let term = catalog.tags.term(name);
            term.or_else(|| catalog.tags.named(&name.to_lowercase()).first().copied())
        };
        let (name, category) = match word.split_once(':') {
            Some((before, name)) if known(word).is_none() && !name.is_empty() => {
                match Category::of(&before.to_lowercase()) {
                    Some(category) => (name, category),
                    None => (word, Category::General),
                }
            }
            _ => (word, Category::General),
        };
        match known(name) {
            Some(term) => Tag {
                name: catalog.tags.name(term),
                category: catalog.tags.kind(term).category().unwrap_or(category),
            },
            None => Tag {
                name: name.to_lowercase(),
                category,
            },
        }
    }
}
