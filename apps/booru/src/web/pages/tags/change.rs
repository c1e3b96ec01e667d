//! Changes of tags by forms: `action` says which, each `tag` of which. What can't be undone is asked about
//! first.

use std::sync::Arc;

use anyhow::Result;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::confirm::ConfirmPage;
use super::super::links;
use super::super::shell::Shell;
use super::href;
use crate::board::Board;
use crate::edit::{OldName, check_category};
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::{CSRF_FIELD, EditorForm};
use crate::{missing, refuse};

/// Tags of one change: as many as a page lists.
const TAGS_MAX: usize = 500;
/// Of them, that are named before they are gone.
const NAMED_MAX: usize = 20;

/// The fields of a form.
struct Change {
    action: String,
    tags: Vec<String>,
    value: String,
    category: String,
    keeps_name: bool,
    is_confirmed: bool,
}

pub(in crate::web::pages) async fn edit(
    State(app): State<Arc<App>>,
    shell: Shell,
    EditorForm { form, .. }: EditorForm<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let change = Change::of(form)?;
    if matches!(change.action.as_str(), "merge" | "delete") && !change.is_confirmed {
        let page = app.read(move |board| change.ask(board, shell));
        return Ok(super::super::html(&page.await?)?.into_response());
    }
    let next = app.write(move |board| change.make(board));
    Ok(Redirect::to(&next.await?).into_response())
}

/// # Errors
/// A name that no tag has.
fn check_known(board: &Board, name: &str) -> Result<()> {
    let catalog = board.catalog();
    let tags = catalog.tags();
    if tags.term(name).is_none() && tags.named(&name.to_lowercase()).is_empty() {
        missing!("there is no tag {name:?}");
    }
    Ok(())
}

impl Change {
    fn of(fields: Vec<(String, String)>) -> Result<Change, Failure> {
        let mut change = Change {
            action: String::new(),
            tags: Vec::new(),
            value: String::new(),
            category: String::new(),
            keeps_name: false,
            is_confirmed: false,
        };
        for (name, value) in fields {
            match name.as_str() {
                "action" => change.action = value,
                "tag" => change.tags.push(value),
                "value" => change.value = value.trim().to_owned(),
                "category" => change.category = value,
                "keep" => change.keeps_name = true,
                "confirmed" => change.is_confirmed = true,
                _ => {}
            }
        }
        match change.tags.len() {
            0 => Err(Failure::invalid("no tag is selected")),
            1..=TAGS_MAX => Ok(change),
            _ => Err(Failure::invalid(format!(
                "at most {TAGS_MAX} tags are changed at once"
            ))),
        }
    }

    fn ask(&self, board: &Board, shell: Shell) -> Result<ConfirmPage> {
        for tag in &self.tags {
            check_known(board, tag)?;
        }
        let is_merge = self.action == "merge";
        if is_merge {
            check_known(board, &self.value)?;
        }
        let catalog = board.catalog();
        let tags = catalog.tags();
        let shown = self.tags.iter().take(NAMED_MAX).map(|name| {
            let count = tags.term(name).map_or(0, |term| catalog.count_of(term));
            format!("{name}: on {} images", links::grouped(count))
        });
        let mut lines: Vec<String> = shown.collect();
        if self.tags.len() > NAMED_MAX {
            lines.push(format!("and {} more", self.tags.len() - NAMED_MAX));
        }
        let mut fields = vec![
            (CSRF_FIELD.to_owned(), shell.csrf.clone()),
            ("action".to_owned(), self.action.clone()),
            ("value".to_owned(), self.value.clone()),
        ];
        fields.extend(self.tags.iter().map(|tag| ("tag".to_owned(), tag.clone())));
        let count = match self.tags.len() {
            1 => "this tag".to_owned(),
            count => format!("{count} tags"),
        };
        Ok(ConfirmPage {
            shell,
            question: match is_merge {
                true => format!("Merge {count} into {}?", self.value),
                false => format!("Delete {count}?"),
            },
            lines,
            warning: match is_merge {
                true => "All their images get that tag instead. This can't be undone.",
                false => {
                    "They are taken off all images, and their rules and other names go too. This can't be undone."
                }
            },
            action: "/tags/edit".to_owned(),
            answer: if is_merge { "Merge" } else { "Delete" },
            offers_keep: is_merge,
            back: match self.tags.as_slice() {
                [one] => href(one),
                _ => "/tags".to_owned(),
            },
            fields,
        })
    }

    /// Does it; where to go on.
    fn make(&self, board: &mut Board) -> Result<String> {
        let first = self.tags.first().map_or("", String::as_str);
        let old_name = match self.keeps_name {
            true => OldName::BecomesAlias,
            false => OldName::IsForgotten,
        };
        match self.action.as_str() {
            "create" => {
                board.create_tag(first.trim(), check_category(&self.category)?)?;
                return Ok(href(&first.trim().to_lowercase()));
            }
            "rename" => {
                board.rename_tag(first, &self.value, old_name)?;
                return Ok(href(&self.value.to_lowercase()));
            }
            "categorize" => {
                board.categorize_tags(&self.tags, check_category(&self.category)?)?;
            }
            "alias" => {
                board.create_alias(&self.value, first)?;
            }
            "unalias" => {
                board.delete_alias(&self.value)?;
            }
            "imply" => {
                board.create_rule(first, &self.value)?;
                board.apply_rule(first, &self.value)?;
            }
            "unimply" => {
                board.delete_rule(first, &self.value)?;
            }
            "merge" => {
                board.merge_tags(&self.tags, &self.value, old_name)?;
                return Ok(href(&self.value));
            }
            "delete" => {
                board.delete_tags(&self.tags)?;
                return Ok("/tags".to_owned());
            }
            other => refuse!("a form asks for {other:?}, which nothing is"),
        }
        Ok(match self.tags.as_slice() {
            [one] => href(one),
            _ => "/tags".to_owned(),
        })
    }
}
