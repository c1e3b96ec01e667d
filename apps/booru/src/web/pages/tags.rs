//! Tags to look through, one of them with all that is known of it, and the forms that change them.

mod change;
mod one;

use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Html;
use serde::Deserialize;

use super::links::{self, encode};
use super::shell::Shell;
use crate::board::Board;
use crate::browse::{Browse, TagFilter, TagOrder, TagRow};
use crate::query::{Category, Expression, Query};
use crate::web::App;
use crate::web::error::Failure;

pub(super) use change::edit;
pub(super) use one::page as one;

/// Tags of a page.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "tags.html")]
struct TagsPage {
    shell: Shell,
    total_text: String,
    search: String,
    category: String,
    filter: String,
    sort: String,
    groups: Vec<Group>,
    tags: Vec<ListedTag>,
    categories: [&'static str; 6],
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

struct Group {
    name: &'static str,
    chips: Vec<Chip>,
}

struct Chip {
    name: &'static str,
    class: &'static str,
    href: String,
    is_on: bool,
}

struct ListedTag {
    name: String,
    class: &'static str,
    category: &'static str,
    count: String,
    href: String,
    images_href: String,
}

#[derive(Clone, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    search: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    page: usize,
}

const FILTERS: [(&str, &str); 5] = [
    ("", "All"),
    ("uncategorized", "Uncategorized"),
    ("needs_extended", "Without finer category"),
    ("low_usage", "On few images"),
    ("orphaned", "On none"),
];
const SORTS: [(&str, &str); 4] = [
    ("", "Most images"),
    ("count_asc", "Fewest"),
    ("alpha_asc", "A to Z"),
    ("alpha_desc", "Z to A"),
];

pub(super) async fn page(
    State(app): State<Arc<App>>,
    shell: Shell,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let page = app.read(move |board| TagsPage::read(board, shell.at("/tags"), wanted));
    super::html(&page.await?)
}

impl TagsPage {
    fn read(board: &Board, shell: Shell, wanted: Wanted) -> Result<TagsPage> {
        let number = wanted.page.max(1);
        // Words that choose nothing choose as if nothing were said.
        let filter: TagFilter = wanted.filter.parse().unwrap_or_default();
        let order: TagOrder = wanted.sort.parse().unwrap_or_default();
        let found = board.browse_tags(&Browse {
            filter,
            order,
            search: wanted.search.trim(),
            category: Category::of(&wanted.category),
            hides_orphaned: false,
            offset: (number - 1).saturating_mul(PAGE),
            limit: PAGE,
        })?;
        let pages = found.total.div_ceil(PAGE).max(1);
        let at = |page: usize| wanted.href(page);
        Ok(TagsPage {
            total_text: links::grouped(found.total as u64),
            groups: wanted.groups(),
            tags: found.tags.iter().map(ListedTag::of).collect(),
            categories: Category::ALL.map(Category::name),
            page: number,
            pages,
            previous: (number > 1).then(|| at(number - 1)),
            next: (number < pages).then(|| at(number + 1)),
            search: wanted.search,
            category: wanted.category,
            filter: wanted.filter,
            sort: wanted.sort,
            shell,
        })
    }
}

impl Wanted {
    fn href(&self, page: usize) -> String {
        let page = if page > 1 {
            page.to_string()
        } else {
            String::new()
        };
        let fields = [
            ("search", self.search.trim()),
            ("category", &self.category),
            ("filter", &self.filter),
            ("sort", &self.sort),
            ("page", &page),
        ];
        let fields = fields.iter().filter(|(_, value)| !value.is_empty());
        let fields: Vec<String> = fields
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        match fields.is_empty() {
            true => "/tags".to_owned(),
            false => format!("/tags?{}", fields.join("&")),
        }
    }

    fn groups(&self) -> Vec<Group> {
        let chip = |name, class, with: Wanted, is_on| Chip {
            name,
            class,
            href: with.href(1),
            is_on,
        };
        let categories = Category::ALL.map(|category| {
            let is_on = self.category == category.name();
            let mut with = self.clone();
            with.category = if is_on {
                String::new()
            } else {
                category.name().to_owned()
            };
            chip(links::heading(category), category.name(), with, is_on)
        });
        let filters = FILTERS.map(|(value, name)| {
            let with = Wanted {
                filter: value.to_owned(),
                ..self.clone()
            };
            chip(name, "", with, self.filter == value)
        });
        let sorts = SORTS.map(|(value, name)| {
            let with = Wanted {
                sort: value.to_owned(),
                ..self.clone()
            };
            chip(name, "", with, self.sort == value)
        });
        vec![
            Group {
                name: "Category",
                chips: categories.into(),
            },
            Group {
                name: "Only",
                chips: filters.into(),
            },
            Group {
                name: "Sort",
                chips: sorts.into(),
            },
        ]
    }
}

impl ListedTag {
    fn of(tag: &TagRow) -> ListedTag {
        ListedTag {
            class: tag.category,
            category: tag.category,
            count: links::grouped(tag.count),
            href: href(&tag.name),
            images_href: images(&tag.name),
            name: tag.name.clone(),
        }
    }
}

/// The page of a tag.
pub(super) fn href(name: &str) -> String {
    format!("/tag?name={}", encode(name))
}

/// All images that have it.
fn images(name: &str) -> String {
    let query = Query {
        expression: Expression::Term(links::term_of_tag(name)),
        ..Query::default()
    };
    links::results(&query.to_string(), 1)
}
