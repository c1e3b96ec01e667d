//! What a rule would do, before it is made or applied.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use plimsoll::dictionary::TermId;
use plimsoll::postings::Query;
use serde::Serialize;

use crate::board::Board;
use crate::catalog::Catalog;
use crate::refuse;
use crate::store::{Store, Value};

/// Tags of a chain that are followed at most.
const CHAIN_MAX: usize = 1000;

/// What follows from a rule over others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainLink {
    pub tag: String,
    /// The tag that implies it directly.
    pub because_of: String,
    /// Images with the tag of the rule that lack this one.
    pub gaining: u64,
}

/// What a rule would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    pub tag: String,
    pub implied: String,
    /// With the tag.
    pub images: u64,
    /// Of them, with the implied one too.
    pub having: u64,
    /// Of them, without it.
    pub gaining: u64,
    /// What the implied tag implies in turn, by active rules.
    pub chain: Vec<ChainLink>,
    /// Where the implied tag implies the first one already: all tags on the way back to it.
    pub circle: Vec<String>,
    /// Of the rule, if there is one.
    pub status: Option<String>,
}

impl Board {
    /// What a rule would do, whether there is one or not. Counted over sets in memory.
    ///
    /// # Errors
    /// A tag that is not there, or that would imply itself; what the database says.
    pub fn preview_rule(&self, tag: &str, implied: &str) -> Result<Preview> {
        let catalog = self.catalog();
        let (tag, implied) = (catalog.tags.expect(tag)?, catalog.tags.expect(implied)?);
        if tag == implied {
            refuse!("a tag can't imply itself");
        }
        let links = chain(&self.store, &catalog, implied)?;
        let images = catalog.count_of(tag);
        let having = count_both(&catalog, tag, implied)?;
        let name = |term: TermId| catalog.tags.name(term);
        let mut chain = Vec::new();
        for (of, because_of) in links.iter().filter(|(of, _)| *of != tag) {
            chain.push(ChainLink {
                tag: name(*of),
                because_of: name(*because_of),
                gaining: images - count_both(&catalog, tag, *of)?,
            });
        }
        Ok(Preview {
            tag: name(tag),
            implied: name(implied),
            images,
            having,
            gaining: images - having,
            chain,
            circle: way_back(&links, implied, tag)
                .into_iter()
                .map(name)
                .collect(),
            status: self.status_of(catalog.tags.id(tag), catalog.tags.id(implied))?,
        })
    }

    fn status_of(&self, tag: u32, implied: u32) -> Result<Option<String>> {
        let schema = &self.store.schema;
        if !schema.has_table("tag_implications") {
            return Ok(None);
        }
        let status = match schema.has("tag_implications", "status") {
            true => "status",
            false => "'active'",
        };
        let sql = format!(
            "SELECT {status} FROM tag_implications WHERE source_tag_id = ?1 AND implied_tag_id = ?2"
        );
        let values = [tag.into(), implied.into()];
        let read = |row: &crate::store::Row<'_>| Ok(row.text(0)?.unwrap_or_default());
        self.store.query_row("look for a rule", &sql, &values, read)
    }
}

pub(super) fn count_both(catalog: &Catalog, a: TermId, b: TermId) -> Result<u64> {
    let both = Query::All(vec![Query::Term(a), Query::Term(b)]);
    let mut count = 0;
    catalog
        .postings
        .each_match(&catalog.tags, &both, |_| count += 1)?;
    Ok(count)
}

/// Everything that a tag implies over active rules, the nearest first, each with the tag that implies it
/// directly; itself too, where a circle leads back.
pub(crate) fn chain(
    store: &Store,
    catalog: &Catalog,
    from: TermId,
) -> Result<Vec<(TermId, TermId)>> {
    let mut links = Vec::new();
    if !store.schema.has_table("tag_implications") {
        return Ok(links);
    }
    let active = match store.schema.has("tag_implications", "status") {
        true => "AND status = 'active'",
        false => "",
    };
    let sql = format!(
        "SELECT implied_tag_id FROM tag_implications WHERE source_tag_id = ?1 {active} ORDER BY implied_tag_id"
    );
    let mut next = VecDeque::from([from]);
    while let Some(one) = next.pop_front() {
        let values: [Value<'_>; 1] = [catalog.tags.id(one).into()];
        store.each_row("follow the rules", &sql, &values, |row| {
            let implied = row.id(0)?.and_then(|id| catalog.tags.term_of_id(id));
            if let Some(implied) = implied
                && links.len() < CHAIN_MAX
                && !links.iter().any(|(known, _)| *known == implied)
            {
                links.push((implied, one));
                if implied != from {
                    next.push_back(implied);
                }
            }
            Ok(())
        })?;
    }
    Ok(links)
}

/// All tags from one to another over the links of a chain that begins with the first; none where it does
/// not get there.
fn way_back(links: &[(TermId, TermId)], from: TermId, to: TermId) -> Vec<TermId> {
    let before: BTreeMap<TermId, TermId> = links.iter().copied().collect();
    if !before.contains_key(&to) {
        return Vec::new();
    }
    let mut way = vec![to];
    let mut at = to;
    while at != from {
        // Each link was found from one before it, the first ones from `from`.
        at = before[&at];
        way.push(at);
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_has_all_tags_between() {
        let term = TermId::new;
        let links = [(2, 1), (3, 1), (4, 3), (1, 4)].map(|(a, b)| (term(a), term(b)));
        let check = |to: u32, way: &[u32]| {
            let found = way_back(&links, term(1), term(to));
            assert_eq!(
                found,
                way.iter().copied().map(term).collect::<Vec<_>>(),
                "{to}"
            );
        };
        check(4, &[1, 3, 4]);
        check(2, &[1, 2]);
        check(9, &[]);
    }
}
