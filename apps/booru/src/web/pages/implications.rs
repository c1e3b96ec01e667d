//! Rules of implication: those that there are, and those that names or images speak for.

use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::http::HeaderMap;
use axum::response::{Html, Response};
use serde::Deserialize;

use super::links;
use super::marks::done;
use super::shell::Shell;
use super::tags::href;
use crate::board::Board;
use crate::refuse;
use crate::rules::{Reason, Rule, RuleSuggestion, Rules};
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::EditorForm;

/// Rules of a page, and suggestions.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "implications.html")]
struct ImplicationsPage {
    shell: Shell,
    rules: Vec<ShownRule>,
    total: String,
    suggestions: Vec<ShownRule>,
    suggestions_total: String,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

struct ShownRule {
    tag: String,
    implied: String,
    tag_href: String,
    implied_href: String,
    /// What the rule would do first.
    preview_href: String,
    why: &'static str,
    percent: u8,
    images: String,
    gaining: String,
    is_active: bool,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    page: usize,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    shell: Shell,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let page = app.read(move |board| {
        ImplicationsPage::read(board, shell.at("/implications"), wanted.page.max(1))
    });
    super::html(&page.await?)
}

impl ImplicationsPage {
    fn read(board: &Board, shell: Shell, page: usize) -> Result<ImplicationsPage> {
        let asked = Rules {
            offset: (page - 1).saturating_mul(PAGE),
            limit: PAGE,
            ..Rules::default()
        };
        let found = board.rules(&asked)?;
        let suggested = board.suggest_rules(0, PAGE)?;
        let pages = (found.total as usize).div_ceil(PAGE).max(1);
        let at = |page: usize| format!("/implications?page={page}");
        Ok(ImplicationsPage {
            shell,
            rules: found.rules.iter().map(ShownRule::of).collect(),
            total: links::grouped(found.total),
            suggestions: suggested
                .suggestions
                .iter()
                .map(ShownRule::suggested)
                .collect(),
            suggestions_total: links::grouped(suggested.total),
            page,
            pages,
            previous: (page > 1).then(|| at(page - 1)),
            next: (page < pages).then(|| at(page + 1)),
        })
    }
}

impl ShownRule {
    fn new(tag: &str, implied: &str, confidence: f64) -> ShownRule {
        ShownRule {
            tag: tag.to_owned(),
            implied: implied.to_owned(),
            tag_href: href(tag),
            implied_href: href(implied),
            preview_href: format!("{}&imply={}", href(tag), links::encode(implied)),
            why: "",
            // Of a hundred, never more than there are.
            percent: (confidence.clamp(0.0, 1.0) * 100.0).floor() as u8,
            images: String::new(),
            gaining: String::new(),
            is_active: true,
        }
    }

    fn of(rule: &Rule) -> ShownRule {
        ShownRule {
            why: match rule.inference_type.as_str() {
                "naming_pattern" => "by its name",
                "correlation" => "by images",
                "auto" => "by itself",
                "ai" => "by a model",
                _ => "by hand",
            },
            images: links::grouped(rule.images),
            is_active: rule.status == "active",
            ..ShownRule::new(&rule.tag, &rule.implied, rule.confidence)
        }
    }

    fn suggested(suggestion: &RuleSuggestion) -> ShownRule {
        ShownRule {
            why: match suggestion.reason {
                Reason::NamingPattern => "by its name",
                Reason::Correlation => "by images",
                Reason::Manual => "by hand",
            },
            images: links::grouped(suggestion.images),
            gaining: links::grouped(suggestion.gaining),
            is_active: false,
            ..ShownRule::new(&suggestion.tag, &suggestion.implied, suggestion.confidence)
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Decision {
    action: String,
    tag: String,
    implied: String,
}

pub(super) async fn decide(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    EditorForm { form, .. }: EditorForm<Decision>,
) -> Result<Response, Failure> {
    app.write(move |board| {
        let (tag, implied) = (form.tag.as_str(), form.implied.as_str());
        match form.action.as_str() {
            "approve" => {
                board.approve_rule(tag, implied)?;
                board.apply_rule(tag, implied).map(|_| ())
            }
            "reject" => board.reject_rule(tag, implied),
            "delete" => board.delete_rule(tag, implied).map(|_| ()),
            other => refuse!("a form asks for {other:?}, which nothing is"),
        }
    })
    .await?;
    Ok(done(&headers, "/implications"))
}
