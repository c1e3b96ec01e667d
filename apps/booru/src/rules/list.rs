//! The rules that there are.

use anyhow::Result;
use plimsoll::dictionary::TermId;
use serde::Serialize;

use crate::board::Board;
use crate::catalog::Catalog;
use crate::store::{Row, Value};

/// Rules of one answer at most.
pub const RULE_PAGE_MAX: usize = 500;

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    pub tag: String,
    pub implied: String,
    /// `manual`, `naming_pattern`, `correlation`, `auto` or `ai`.
    pub inference_type: String,
    /// From 0 to 1.
    pub confidence: f64,
    /// `active`, or another word, with which it does not fire.
    pub status: String,
    pub created_at: Option<String>,
    /// With the tag that implies.
    pub images: u64,
}

/// Where a tag stands in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Implying,
    Implied,
    Either,
}

/// Which rules are asked for; all of them by default.
#[derive(Clone, Debug, Default)]
pub struct Rules<'a> {
    /// Of this tag, by its name or another one of it.
    pub tag: Option<(Side, &'a str)>,
    pub status: Option<&'a str>,
    pub offset: usize,
    /// Up to [`RULE_PAGE_MAX`].
    pub limit: usize,
}

/// A page of rules, and how many there are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RulePage {
    pub rules: Vec<Rule>,
    pub total: u64,
}

impl Board {
    /// Rules by the ids of their tags. O(rules), of which those of the page are kept.
    ///
    /// # Errors
    /// A tag that is not there; what the database says.
    pub fn rules(&self, asked: &Rules<'_>) -> Result<RulePage> {
        let mut page = RulePage {
            rules: Vec::new(),
            total: 0,
        };
        let catalog = self.catalog();
        let (side, tag) = match asked.tag {
            Some((side, name)) => (side, catalog.tags.id(catalog.tags.expect(name)?)),
            None => (Side::Either, 0),
        };
        let schema = &self.store.schema;
        if !schema.has_table("tag_implications") {
            return Ok(page);
        }
        let column = |name| schema.column("tag_implications", name);
        let status = match schema.has("tag_implications", "status") {
            true => "COALESCE(status, '')",
            false => "'active'",
        };
        let is_asked = match side {
            Side::Implying => "source_tag_id = ?1",
            Side::Implied => "implied_tag_id = ?1",
            Side::Either => "(source_tag_id = ?1 OR implied_tag_id = ?1)",
        };
        let sql = format!(
            "SELECT source_tag_id, implied_tag_id, {}, {}, {status}, {} FROM tag_implications \
             WHERE (?1 = 0 OR {is_asked}) AND (?2 = '' OR {status} = ?2) \
             ORDER BY source_tag_id, implied_tag_id",
            column("inference_type"),
            column("confidence"),
            column("created_at"),
        );
        let end = asked.offset.saturating_add(asked.limit.min(RULE_PAGE_MAX)) as u64;
        let page_of = asked.offset as u64..end;
        let values: [Value<'_>; 2] = [tag.into(), asked.status.unwrap_or("").into()];
        self.store
            .each_row("read the rules", &sql, &values, |row| {
                let tags = &catalog.tags;
                let term = |id: Option<u32>| id.and_then(|id| tags.term_of_id(id));
                // Rules of tags that are gone are none.
                if let (Some(tag), Some(implied)) = (term(row.id(0)?), term(row.id(1)?)) {
                    if page_of.contains(&page.total) {
                        page.rules.push(read_rule(&catalog, tag, implied, row)?);
                    }
                    page.total += 1;
                }
                Ok(())
            })?;
        Ok(page)
    }
}

fn read_rule(catalog: &Catalog, tag: TermId, implied: TermId, row: &Row<'_>) -> Result<Rule> {
    Ok(Rule {
        tag: catalog.tags.name(tag),
        implied: catalog.tags.name(implied),
        inference_type: row.text(2)?.unwrap_or_else(|| "manual".to_owned()),
        confidence: row.real(3)?.unwrap_or(1.0),
        status: row.text(4)?.unwrap_or_default(),
        created_at: row.text(5)?,
        images: catalog.count_of(tag),
    })
}
