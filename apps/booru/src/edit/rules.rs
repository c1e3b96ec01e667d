//! Implications: who has one tag is to have another. Rules are kept by id of tags; only active ones count.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use plimsoll::postings::{Postings, Query};

use super::columns::Words;
use super::{Edit, Edited};
use crate::board::Board;
use crate::rules::{Active, Proposal};
use crate::{missing, refuse};

/// Implied tags by the tag that implies them directly.
pub(super) type Rules = BTreeMap<u32, BTreeSet<u32>>;

/// What stands in `image_tags.source` for what a rule has put there.
pub(super) const IMPLIED: &str = "implication";

impl Board {
    /// Makes a rule, or makes one active again. Images get the tag by [`Board::apply_rules`].
    ///
    /// # Errors
    /// A tag that is not there, or that would imply itself; what the database says.
    pub fn create_rule(&mut self, tag: &str, implied: &str) -> Result<Edited> {
        self.edit(|edit| {
            let (tag, implied) = (edit.expect(tag)?, edit.expect(implied)?);
            if tag == implied {
                refuse!("a tag can't imply itself");
            }
            edit.write_rule(&Proposal::manual(tag, implied), Active::Yes)?;
            Ok(())
        })
    }

    /// Takes away a rule. Images keep their tags.
    ///
    /// # Errors
    /// A tag or a rule that is not there; what the database says.
    pub fn delete_rule(&mut self, tag: &str, implied: &str) -> Result<Edited> {
        self.edit(|edit| {
            let tags = &edit.catalog.tags;
            let ids = [tag, implied].map(|name| edit.expect(name));
            let [tag_id, implied_id] = ids.map(|term| term.map(|term| tags.id(term)));
            let ids = [tag_id?.into(), implied_id?.into()];
            let sql =
                "DELETE FROM tag_implications WHERE source_tag_id = ?1 AND implied_tag_id = ?2";
            let has_rules = edit.schema.has_table("tag_implications");
            if !has_rules || edit.execute("take away a rule", sql, &ids)? == 0 {
                missing!("there is no rule that {tag:?} implies {implied:?}");
            }
            Ok(())
        })
    }

    /// Puts on every image that has a tag what one active rule of it implies, directly or over other
    /// rules, with the source `implication`.
    ///
    /// # Errors
    /// A tag that is not there, a rule that is not there or not active; what the database says.
    pub fn apply_rule(&mut self, tag: &str, implied: &str) -> Result<Edited> {
        self.edit(|edit| {
            let tags = &edit.catalog.tags;
            let (of, first) = (tags.id(edit.expect(tag)?), tags.id(edit.expect(implied)?));
            edit.check_takes_rules()?;
            let rules = edit.read_rules()?;
            if !rules
                .get(&of)
                .is_some_and(|implied| implied.contains(&first))
            {
                missing!("there is no active rule that {tag:?} implies {implied:?}");
            }
            let mut wanted = closure(&rules, first);
            wanted.insert(first);
            wanted.remove(&of);
            for implied in wanted {
                edit.apply(of, implied)?;
            }
            Ok(())
        })
    }

    /// Puts on every image the tags that its tags imply, directly or over others, with the source
    /// `implication`. What an image has already stays as it is. O(images that gain a tag), and for
    /// each pair of tags one query.
    ///
    /// # Errors
    /// What the database says.
    pub fn apply_rules(&mut self) -> Result<Edited> {
        self.edit(|edit| {
            edit.check_takes_rules()?;
            let rules = edit.read_rules()?;
            for tag in rules.keys() {
                for implied in closure(&rules, *tag) {
                    edit.apply(*tag, implied)?;
                }
            }
            Ok(())
        })
    }
}

/// All that a tag implies, itself left out; cycles end where they began.
pub(super) fn closure(rules: &Rules, tag: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let mut next = vec![tag];
    while let Some(one) = next.pop() {
        for implied in rules.get(&one).into_iter().flatten() {
            if *implied != tag && all.insert(*implied) {
                next.push(*implied);
            }
        }
    }
    all
}

impl Edit<'_> {
    /// # Errors
    /// A database whose table of pairs refuses tags that come from rules.
    pub(super) fn check_takes_rules(&self) -> Result<()> {
        if self.schema.refuses_rules() {
            refuse!(
                "apply rules: this database is of a ChibiBooru before 29 December 2025, whose table image_tags \
                 refuses tags that come from rules; start a later one on it once, which makes the table anew"
            );
        }
        Ok(())
    }

    pub(super) fn read_rules(&self) -> Result<Rules> {
        let mut rules = Rules::new();
        if !self.schema.has_table("tag_implications") {
            return Ok(rules);
        }
        let active = match self.schema.has("tag_implications", "status") {
            true => "WHERE status = 'active'",
            false => "",
        };
        let sql = format!("SELECT source_tag_id, implied_tag_id FROM tag_implications {active}");
        self.store.each_row("read the rules", &sql, &[], |row| {
            if let (Some(tag), Some(implied)) = (row.id(0)?, row.id(1)?) {
                rules.entry(tag).or_default().insert(implied);
            }
            Ok(())
        })?;
        Ok(rules)
    }

    /// What a tag implies directly, by id.
    pub(super) fn implied_by(&self, tag: u32) -> Result<Vec<u32>> {
        let active = match self.schema.has("tag_implications", "status") {
            true => "AND status = 'active'",
            false => "",
        };
        let sql = format!(
            "SELECT implied_tag_id FROM tag_implications WHERE source_tag_id = ?1 {active} ORDER BY 1"
        );
        self.ids(&sql, &[tag.into()])
    }

    fn apply(&mut self, tag: u32, implied: u32) -> Result<()> {
        let tags = &self.catalog.tags;
        let (Some(term), Some(of)) = (tags.term_of_id(tag), tags.term_of_id(implied)) else {
            return Ok(());
        };
        let (name, category) = (tags.name(of), tags.kind(of).category());
        let lacking = Query::All(vec![Query::Term(term), Query::Term(of).negated()]);
        let mut images = Postings::new();
        let postings = &self.catalog.postings;
        postings.each_match(tags, &lacking, |image| {
            images.insert(image);
        })?;
        for image in &images {
            if self.link(image, implied, IMPLIED)? {
                self.edit_words(image, &[Words::Add(&name, category)])?;
            }
        }
        Ok(())
    }

    /// Rules of one tag become rules of another; of itself it needs none.
    pub(super) fn repoint_rules(&self, tag: u32, into: u32) -> Result<()> {
        if !self.schema.has_table("tag_implications") {
            return Ok(());
        }
        // What is a rule already stays as it is; the one of the tag goes with it.
        for (column, other) in [
            ("source_tag_id", "implied_tag_id"),
            ("implied_tag_id", "source_tag_id"),
        ] {
            let sql = format!(
                "UPDATE tag_implications SET {column} = ?1 WHERE {column} = ?2 AND NOT EXISTS \
                 (SELECT 1 FROM tag_implications AS known WHERE known.{column} = ?1 \
                 AND known.{other} = tag_implications.{other})"
            );
            self.execute("keep the rules of a tag", &sql, &[into.into(), tag.into()])?;
        }
        let sql = "DELETE FROM tag_implications WHERE source_tag_id = implied_tag_id";
        self.execute("keep the rules of a tag", sql, &[])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_goes_over_others_and_ends_in_cycles() {
        let rules: Rules = [
            (1, [2].into()),
            (2, [3, 4].into()),
            (4, [1].into()),
            (5, [5].into()),
        ]
        .into();
        assert_eq!(closure(&rules, 1), [2, 3, 4].into());
        assert_eq!(closure(&rules, 4), [1, 2, 3].into());
        assert_eq!(closure(&rules, 3), [].into());
        assert_eq!(closure(&rules, 5), [].into());
    }
}
