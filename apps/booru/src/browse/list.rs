//! A page of tags: which, in which order.
//!
//! A request reads all names once (10 ms at 120,000) and takes up to 16 bytes a tag meanwhile.

use std::str::FromStr;

use anyhow::Result;
use plimsoll::dictionary::TermId;
use serde::Serialize;

use super::{LOW_USAGE_MAX, read_extended};
use crate::board::Board;
use crate::catalog::{Catalog, Kind};
use crate::query::Category;
use crate::refuse;

/// Tags of one page at most.
pub const TAG_PAGE_MAX: usize = 500;

/// Which tags are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagFilter {
    #[default]
    All,
    /// In no category, which is shown as general.
    Uncategorized,
    /// General ones without an extended category.
    NeedsExtended,
    /// On no image.
    Orphaned,
    /// On 1 to [`LOW_USAGE_MAX`] images.
    LowUsage,
}

impl TagFilter {
    pub const NAMES: [(&'static str, TagFilter); 5] = [
        ("all", TagFilter::All),
        ("uncategorized", TagFilter::Uncategorized),
        ("needs_extended", TagFilter::NeedsExtended),
        ("orphaned", TagFilter::Orphaned),
        ("low_usage", TagFilter::LowUsage),
    ];
}

/// In which order they are; equal counts by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagOrder {
    #[default]
    CountDescending,
    CountAscending,
    /// By the bytes of the name.
    NameAscending,
    NameDescending,
}

impl TagOrder {
    pub const NAMES: [(&'static str, TagOrder); 4] = [
        ("count_desc", TagOrder::CountDescending),
        ("count_asc", TagOrder::CountAscending),
        ("alpha_asc", TagOrder::NameAscending),
        ("alpha_desc", TagOrder::NameDescending),
    ];
}

fn find<T: Copy>(names: &[(&str, T)], text: &str, what: &str) -> Result<T> {
    match names.iter().find(|(name, _)| *name == text) {
        Some((_, found)) => Ok(*found),
        None => {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            refuse!("{text:?} is no {what}: {} are", known.join(", "))
        }
    }
}

impl FromStr for TagFilter {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<TagFilter> {
        find(&TagFilter::NAMES, text, "choice of tags")
    }
}

impl FromStr for TagOrder {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<TagOrder> {
        find(&TagOrder::NAMES, text, "order of tags")
    }
}

/// What is asked for; all tags by default.
#[derive(Clone, Debug, Default)]
pub struct Browse<'a> {
    pub filter: TagFilter,
    pub order: TagOrder,
    /// With this in the name, in either case.
    pub search: &'a str,
    /// `general` has those of no category too.
    pub category: Option<Category>,
    pub hides_orphaned: bool,
    pub offset: usize,
    /// Up to [`TAG_PAGE_MAX`].
    pub limit: usize,
}

/// One tag of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagRow {
    pub id: u32,
    pub name: String,
    /// `rating` for ratings.
    pub category: &'static str,
    pub count: u64,
}

impl TagRow {
    pub(super) fn of(catalog: &Catalog, term: TermId) -> TagRow {
        let kind = catalog.tags.kind(term);
        TagRow {
            id: catalog.tags.id(term),
            name: catalog.tags.name(term),
            category: kind.category().map_or("rating", Category::name),
            count: catalog.count_of(term),
        }
    }
}

/// A page of tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagPage {
    pub tags: Vec<TagRow>,
    /// Of all pages.
    pub total: usize,
}

impl Board {
    /// Tags in an order in which each has its place, so that pages neither overlap nor leave any out.
    ///
    /// # Errors
    /// What the database says of extended categories.
    pub fn browse_tags(&self, asked: &Browse<'_>) -> Result<TagPage> {
        let extended = match asked.filter {
            TagFilter::NeedsExtended => read_extended(&self.store)?,
            _ => Vec::new(),
        };
        let catalog = self.catalog();
        let mut terms = by_name(&catalog, asked, &extended);
        let count = |term: &TermId| catalog.count_of(*term);
        // Sorts keep the order of names among equal counts.
        match asked.order {
            TagOrder::NameAscending => {}
            TagOrder::NameDescending => terms.reverse(),
            TagOrder::CountAscending => terms.sort_by_key(count),
            TagOrder::CountDescending => terms.sort_by_key(|term| std::cmp::Reverse(count(term))),
        }
        let page = terms.iter().skip(asked.offset);
        let page = page.take(asked.limit.min(TAG_PAGE_MAX));
        Ok(TagPage {
            tags: page.map(|term| TagRow::of(&catalog, *term)).collect(),
            total: terms.len(),
        })
    }
}

fn by_name(catalog: &Catalog, asked: &Browse<'_>, extended: &[u32]) -> Vec<TermId> {
    let search = asked.search.to_lowercase();
    let has_part = |name: &str| match search.is_empty() {
        true => true,
        false if name.is_ascii() && !name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            name.contains(&search)
        }
        false => name.to_lowercase().contains(&search),
    };
    let mut terms = Vec::new();
    let names = catalog.tags.names();
    let mut walk = names.walk("");
    while let Some((term, name)) = walk.next_term() {
        let kind = catalog.tags.kind(term);
        let count = catalog.count_of(term);
        let is_chosen = match asked.filter {
            TagFilter::All => true,
            TagFilter::Uncategorized => kind == Kind::Unknown,
            TagFilter::NeedsExtended => lacks_extended(catalog, extended, term),
            TagFilter::Orphaned => count == 0,
            TagFilter::LowUsage => (1..=LOW_USAGE_MAX).contains(&count),
        };
        let is_of = asked.category.is_none() || asked.category == kind.category();
        let is_shown = kind != Kind::Gone && (count > 0 || !asked.hides_orphaned);
        if is_shown && is_chosen && is_of && has_part(name) {
            terms.push(term);
        }
    }
    terms
}

pub(super) fn lacks_extended(catalog: &Catalog, extended: &[u32], term: TermId) -> bool {
    catalog.tags.kind(term).category() == Some(Category::General)
        && extended.binary_search(&catalog.tags.id(term)).is_err()
}
