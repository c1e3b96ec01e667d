//! Searching, and what may be meant by a word, as commands.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::Serialize;

use super::{say, say_json, shown};
use crate::board::Board;
use crate::config::FormArguments;
use crate::query::{Order, Query};
use crate::search::Page;

#[derive(Serialize)]
struct FoundImage {
    id: u32,
    path: String,
}

/// Keys of the original's answer where it has them.
#[derive(Serialize)]
struct FoundPage {
    query: String,
    images: Vec<FoundImage>,
    page: usize,
    total_pages: usize,
    total_results: usize,
    has_more: bool,
}

pub(super) fn search(board: &Board, query: &Query, page: Page, form: &FormArguments) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = now.map_or(0, |now| now.subsec_nanos().into());
    let found = board.search(query, page, seed)?;
    let mut images = Vec::with_capacity(found.ids.len());
    for id in &found.ids {
        images.push(FoundImage {
            id: *id,
            path: board.path_of(*id)?,
        });
    }
    // With the seed of a random order: the next page is asked for by this.
    let query = Query {
        expression: query.expression.clone(),
        order: found.order,
    };
    if form.json {
        return say_json(&FoundPage {
            query: query.to_string(),
            images,
            page: page.number,
            total_pages: found.pages,
            total_results: found.total,
            has_more: page.number < found.pages,
        });
    }
    let mut text = String::new();
    for image in &images {
        writeln!(text, "{:>10}  {}", image.id, shown(&image.path))?;
    }
    let pages = found.pages.max(1);
    writeln!(
        text,
        "{} images, page {} of {pages}",
        found.total, page.number
    )?;
    if matches!(found.order, Order::Random(_)) {
        writeln!(text, "more of this order: {}", shown(&query.to_string()))?;
    }
    say(&text)
}

pub(super) fn suggest(board: &Board, text: &str, form: &FormArguments) -> Result<()> {
    let groups = board.suggest(text);
    if form.json {
        return say_json(&serde_json::json!({ "groups": groups }));
    }
    let mut lines = String::new();
    for group in groups {
        writeln!(lines, "{}", group.name)?;
        for item in group.items {
            let count = item.count.map_or(String::new(), |count| count.to_string());
            let category = item.category.unwrap_or("");
            writeln!(
                lines,
                "{count:>10}  {category:<9}  {}",
                shown(&item.display)
            )?;
        }
    }
    say(&lines)
}
