//! All that is known of one tag.

use anyhow::Result;
use serde::Serialize;

use super::list::TagRow;
use crate::board::Board;
use crate::query::SortKey;
use crate::rules::{RULE_PAGE_MAX, Rule, Rules, Side};

/// Images that are shown of a tag.
pub const SAMPLES_MAX: usize = 6;

/// How often a tag was put on an image by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceCount {
    /// `original`, `user`, `ai_inference` or `implication`; `unknown` where the database does not say it.
    pub source: String,
    pub images: u64,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TagDetail {
    #[serde(flatten)]
    pub tag: TagRow,
    /// The finer category, where it has one.
    pub extended_category: Option<String>,
    pub sources: Vec<SourceCount>,
    /// Ids of the newest images, at most [`SAMPLES_MAX`].
    pub samples: Vec<u32>,
    /// Rules by which others imply this tag, and by which it implies others; the first 500 of each.
    pub implied_by: Vec<Rule>,
    pub implies: Vec<Rule>,
    pub aliases: Vec<String>,
}

impl Board {
    /// What is known of a tag, by its name or another one of it. O(images of the tag): their rows are read
    /// to count by source.
    ///
    /// # Errors
    /// No such tag; what the database says.
    pub fn tag_detail(&self, name: &str) -> Result<TagDetail> {
        let mut detail = {
            let catalog = self.catalog();
            let term = catalog.tags.expect(name)?;
            let images = catalog.images_of(term);
            let samples = catalog
                .images
                .first_of(&images, SortKey::Ingested, SAMPLES_MAX);
            let samples = samples.into_iter().map(|image| catalog.images.id(image));
            TagDetail {
                tag: TagRow::of(&catalog, term),
                extended_category: None,
                sources: Vec::new(),
                samples: samples.collect(),
                implied_by: Vec::new(),
                implies: Vec::new(),
                aliases: catalog.tags.aliases_of(term),
            }
        };
        detail.extended_category = self.extended_category(detail.tag.id)?;
        detail.sources = self.sources_of_tag(&detail.tag)?;
        detail.implies = self.rules_at(Side::Implying, &detail.tag.name)?;
        detail.implied_by = self.rules_at(Side::Implied, &detail.tag.name)?;
        Ok(detail)
    }

    fn rules_at(&self, side: Side, tag: &str) -> Result<Vec<Rule>> {
        let asked = Rules {
            tag: Some((side, tag)),
            limit: RULE_PAGE_MAX,
            ..Rules::default()
        };
        Ok(self.rules(&asked)?.rules)
    }

    fn extended_category(&self, tag: u32) -> Result<Option<String>> {
        if !self.store.schema.has("tags", "extended_category") {
            return Ok(None);
        }
        let sql = "SELECT extended_category FROM tags WHERE id = ?1";
        let found = self
            .store
            .query_row("read a tag", sql, &[tag.into()], |row| row.text(0))?;
        Ok(found.flatten())
    }

    fn sources_of_tag(&self, tag: &TagRow) -> Result<Vec<SourceCount>> {
        let unknown = "unknown";
        let mut sources = Vec::new();
        if !self.store.schema.has("image_tags", "source") {
            if tag.count > 0 {
                sources.push(SourceCount {
                    source: unknown.to_owned(),
                    images: tag.count,
                });
            }
            return Ok(sources);
        }
        let sql = "SELECT source, COUNT(*) FROM image_tags WHERE tag_id = ?1 \
                   AND +image_id IN (SELECT id FROM images) GROUP BY source ORDER BY 2 DESC, 1";
        self.store
            .each_row("count a tag by source", sql, &[tag.id.into()], |row| {
                sources.push(SourceCount {
                    source: row.text(0)?.unwrap_or_else(|| unknown.to_owned()),
                    images: row.integer(1)?.unwrap_or(0).unsigned_abs(),
                });
                Ok(())
            })?;
        Ok(sources)
    }
}
