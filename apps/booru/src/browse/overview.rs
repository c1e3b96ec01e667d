//! How many tags there are of what.

use anyhow::Result;
use serde::Serialize;

use super::list::lacks_extended;
use super::{LOW_USAGE_MAX, read_extended};
use crate::board::Board;
use crate::catalog::Kind;
use crate::query::Category;

/// Tags of one category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CategoryCount {
    pub category: &'static str,
    pub tags: u64,
    /// How often they are on images.
    pub pairs: u64,
}

/// Numbers of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    pub images: u64,
    pub tags: u64,
    pub pairs: u64,
    pub uncategorized: u64,
    pub needs_extended: u64,
    /// On no image.
    pub orphaned: u64,
    /// On few images.
    pub low_usage: u64,
    pub aliases: u64,
    pub rules_active: u64,
    pub rules_rejected: u64,
    pub categories: Vec<CategoryCount>,
}

impl Board {
    /// Counts all tags. O(tags).
    ///
    /// # Errors
    /// What the database says of extended categories and rules.
    pub fn overview(&self) -> Result<Overview> {
        let extended = read_extended(&self.store)?;
        let names = Category::ALL.map(Category::name).into_iter();
        let mut overview = Overview {
            rules_active: self.count_rules("active")?,
            rules_rejected: self.count_rules("rejected")?,
            categories: names
                .chain(["rating"])
                .map(|category| CategoryCount {
                    category,
                    tags: 0,
                    pairs: 0,
                })
                .collect(),
            ..Overview::default()
        };
        let catalog = self.catalog();
        overview.images = catalog.images.len() as u64;
        overview.aliases = catalog.tags.alias_count() as u64;
        for (term, kind) in catalog.tags.terms() {
            let count = catalog.count_of(term);
            overview.tags += 1;
            overview.pairs += count;
            overview.uncategorized += u64::from(kind == Kind::Unknown);
            overview.needs_extended += u64::from(lacks_extended(&catalog, &extended, term));
            overview.orphaned += u64::from(count == 0);
            overview.low_usage += u64::from((1..=LOW_USAGE_MAX).contains(&count));
            let name = kind.category().map_or("rating", Category::name);
            let of_category = overview
                .categories
                .iter_mut()
                .find(|one| one.category == name);
            if let Some(of_category) = of_category {
                of_category.tags += 1;
                of_category.pairs += count;
            }
        }
        Ok(overview)
    }

    fn count_rules(&self, status: &str) -> Result<u64> {
        let asked = crate::rules::Rules {
            status: Some(status),
            ..Default::default()
        };
        Ok(self.rules(&asked)?.total)
    }
}
