//! How much there is of what, from the catalog alone.

use serde::Serialize;

use crate::catalog::Catalog;
use crate::query::Category;

#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    pub images: usize,
    pub tags: usize,
    /// Of image and tag.
    pub pairs: u64,
    pub tags_without_images: u64,
    pub categories: Vec<CategoryStats>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CategoryStats {
    pub category: &'static str,
    pub tags: u64,
    pub pairs: u64,
}

impl Stats {
    /// Reads the count of every tag.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Stats {
        let named = Category::ALL.map(|category| (category.name(), Some(category)));
        let mut categories: Vec<CategoryStats> = Vec::new();
        let mut unused = 0;
        for (name, category) in named.into_iter().chain([("rating", None)]) {
            let of_category = catalog
                .tags()
                .terms()
                .filter(|(_, kind)| kind.category() == category);
            let mut stats = CategoryStats {
                category: name,
                tags: 0,
                pairs: 0,
            };
            for (term, _) in of_category {
                let count = catalog.count_of(term);
                stats.tags += 1;
                stats.pairs += count;
                unused += u64::from(count == 0);
            }
            categories.push(stats);
        }
        Stats {
            images: catalog.images().len(),
            tags: catalog.tags().len(),
            pairs: categories.iter().map(|category| category.pairs).sum(),
            tags_without_images: unused,
            categories,
        }
    }
}
