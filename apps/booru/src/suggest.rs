//! Autocomplete: filters that begin with what is typed, and the most used tags that have it in them.
//!
//! Names are read in the order of their counts, so a part that many have is found at once, and one that
//! nobody has costs one read of all names: 0.04 ms at 120,000. Memory of a request: what it answers.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::catalog::{Catalog, Kind};
use crate::query::{Category, Pattern, Query, Term};

/// Fewer characters are answered with nothing.
const TYPED_MIN: usize = 2;
/// Tags that are looked at, the most used ones.
const TAGS_MAX: usize = 20;
/// Of these, of one category.
const CATEGORY_MAX: usize = 5;
/// Of a group.
const GROUP_MAX: usize = 10;

/// What each filter is typed as; by this or by what follows its `:` it is found.
const FILTERS: &[&str] = &[
    "rating:general",
    "rating:sensitive",
    "rating:questionable",
    "rating:explicit",
    "source:danbooru",
    "source:e621",
    "source:gelbooru",
    "source:yandere",
    "source:pixiv",
    "source:local_tagger",
    "has:parent",
    "has:child",
    "has:relationship",
    "has:pool",
    "has:upscaled",
    "has:video",
    "is:favourite",
    "pool:",
    "order:new",
    "order:old",
    "order:score_desc",
    "order:score_asc",
    "order:fav_desc",
    "order:fav_asc",
    "order:random",
    ".png",
    ".jpg",
    ".gif",
    ".webp",
    ".mp4",
];

/// One thing to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// What to type in its place, `-` and the like included.
    pub tag: String,
    pub display: String,
    pub count: Option<u64>,
    pub category: Option<&'static str>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whether the name begins with what is typed.
    pub is_prefix: bool,
}

/// Suggestions under a heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    pub name: &'static str,
    pub items: Vec<Suggestion>,
}

/// What may be meant by the last word of `text`. Groups without suggestions are left out.
#[must_use]
pub fn suggest(catalog: &Catalog, text: &str) -> Vec<Group> {
    let typed = match text.chars().next_back() {
        Some(last) if !last.is_whitespace() => text.split_whitespace().next_back().unwrap_or(""),
        _ => "",
    };
    let word = typed.trim_start_matches(['-', '~', '(']);
    let (before, word) = (&typed[..typed.len() - word.len()], word.to_lowercase());
    if word.chars().count() < TYPED_MIN || word.chars().any(char::is_control) {
        return Vec::new();
    }
    let is_negated = before.contains('-');
    let mut groups = vec![
        Group {
            name: "Filters",
            items: if is_negated {
                Vec::new()
            } else {
                filters(before, &word)
            },
        },
        Group {
            name: "Tags",
            items: tags(catalog, before, &word, is_negated),
        },
    ];
    groups.retain(|group| !group.items.is_empty());
    groups
}

fn filters(before: &str, word: &str) -> Vec<Suggestion> {
    let keyword =
        |filter: &'static str| filter.split_once([':', '.']).map_or(filter, |(_, key)| key);
    let fitting = FILTERS
        .iter()
        .copied()
        .filter(|filter| filter.starts_with(word) || keyword(filter).starts_with(word));
    let suggestions = fitting.map(|filter| Suggestion {
        tag: format!("{before}{filter}"),
        display: format!("{before}{filter}"),
        count: None,
        category: None,
        kind: match filter.starts_with('.') {
            true => "extension",
            false => "filter",
        },
        is_prefix: filter.starts_with(word),
    });
    suggestions.take(GROUP_MAX).collect()
}

fn tags(catalog: &Catalog, before: &str, word: &str, is_negated: bool) -> Vec<Suggestion> {
    let pattern = Pattern::literal(word);
    let mut best = Vec::with_capacity(2 * TAGS_MAX);
    let mut in_order = 0;
    catalog.tags.find(
        &pattern,
        |name| name.contains(word),
        |term| {
            let count = catalog.count_of(term);
            let is_offered =
                count > 0 && !matches!(catalog.tags.kind(term), Kind::Rating | Kind::Gone);
            if is_offered {
                best.push((count, term));
                in_order += 1;
            }
            // What comes behind is used less; those that changed lately come after a break too.
            match in_order < TAGS_MAX {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        },
    );
    best.sort_by_key(|(count, term)| (std::cmp::Reverse(*count), *term));
    best.truncate(TAGS_MAX);
    let mut suggestions = Vec::new();
    for category in Category::ALL {
        let of_category = best
            .iter()
            .filter(|(_, term)| catalog.tags.kind(*term).category() == Some(category));
        let mut items: Vec<Suggestion> = of_category
            .map(|(count, term)| {
                let name = catalog.tags.name(*term);
                let is_prefix = name.to_lowercase().starts_with(word);
                Suggestion {
                    tag: format!("{before}{}", typed(&name)),
                    display: format!("{before}{name}"),
                    count: Some(*count),
                    category: (!is_negated).then(|| category.name()),
                    kind: "tag",
                    is_prefix,
                }
            })
            .collect();
        // Stable: by count within.
        items.sort_by_key(|item| !item.is_prefix);
        items.truncate(CATEGORY_MAX);
        suggestions.extend(items);
    }
    suggestions.truncate(GROUP_MAX);
    suggestions
}

/// A name as a query needs it, escaped where it would mean something else.
fn typed(name: &str) -> String {
    let term = Term::Word(Pattern::literal(name));
    let text = term.to_string();
    debug_assert!(text.parse::<Query>().is_ok() || name.chars().any(char::is_control));
    text
}
