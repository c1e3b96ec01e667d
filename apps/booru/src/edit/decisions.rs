//! What becomes of suggested rules: approved ones are active rules, rejected ones are kept as such, so
//! that they never fire and are not suggested again.

use std::cell::RefCell;

use anyhow::{Context, Result};

use super::Edit;
use super::rules::{Rules, closure};
use crate::board::Board;
use crate::query::moment;
use crate::refuse;
use crate::rules::{
    AUTO_CONFIDENCE, AUTO_IMAGES, Active, Proposal, REJECTED, known_rules, proposal_of, proposals,
    read_featured,
};
use crate::store::Value;

/// What a look at all suggestions has approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Approved {
    pub rules: u64,
    /// Suggested as surely, but they would have closed a circle.
    pub circular: u64,
}

impl Board {
    /// Makes a suggestion an active rule, with what it was suggested by. Images get the tag by
    /// [`Board::apply_rules`] or [`Board::apply_rule`].
    ///
    /// # Errors
    /// A tag that is not there, a pair that is not suggested; what the database says.
    pub fn approve_rule(&mut self, tag: &str, implied: &str) -> Result<()> {
        self.edit(|edit| {
            let (from, to) = (edit.expect(tag)?, edit.expect(implied)?);
            let featured = read_featured(edit.store)?;
            let proposal = proposal_of(edit.catalog, &featured, from, to)?.with_context(|| {
                format!(
                    "that {tag:?} implies {implied:?} is not suggested; to make the rule all the same, use \
                     `booru tag imply`"
                )
            })?;
            edit.write_rule(&proposal, Active::Yes)
        })?;
        Ok(())
    }

    /// Keeps in mind that a tag does not imply another: a rule that says so stops to fire, and it is not
    /// suggested any more. Images keep their tags.
    ///
    /// # Errors
    /// A tag that is not there; a database that can't keep it; what the database says.
    pub fn reject_rule(&mut self, tag: &str, implied: &str) -> Result<()> {
        self.edit(|edit| {
            let (from, to) = (edit.expect(tag)?, edit.expect(implied)?);
            if from == to {
                refuse!("a tag can't imply itself");
            }
            let featured = read_featured(edit.store)?;
            let proposal = proposal_of(edit.catalog, &featured, from, to)?
                .unwrap_or_else(|| Proposal::manual(from, to));
            edit.write_rule(&proposal, Active::No)
        })?;
        Ok(())
    }

    /// Approves all suggestions of a confidence of [`AUTO_CONFIDENCE`] or more with at least
    /// [`AUTO_IMAGES`] images.
    ///
    /// # Errors
    /// What the database says.
    pub fn approve_rules(&mut self) -> Result<Approved> {
        let approved = RefCell::new(Approved::default());
        self.edit(|edit| {
            approved.replace(edit.approve_all()?);
            Ok(())
        })?;
        Ok(approved.into_inner())
    }
}

impl Edit<'_> {
    fn approve_all(&self) -> Result<Approved> {
        let featured = read_featured(self.store)?;
        let known = known_rules(self.store)?;
        let mut sure = Vec::new();
        proposals(self.catalog, &featured, &known, |proposal| {
            if proposal.confidence >= AUTO_CONFIDENCE && proposal.images >= AUTO_IMAGES {
                sure.push(proposal);
            }
        })?;
        let mut rules: Rules = self.read_rules()?;
        let mut approved = Approved::default();
        for proposal in &sure {
            let tags = &self.catalog.tags;
            let (tag, implied) = (tags.id(proposal.tag), tags.id(proposal.implied));
            if closure(&rules, implied).contains(&tag) {
                approved.circular += 1;
                continue;
            }
            self.write_rule(proposal, Active::Yes)?;
            rules.entry(tag).or_default().insert(implied);
            approved.rules += 1;
        }
        Ok(approved)
    }

    pub(super) fn write_rule(&self, proposal: &Proposal, active: Active) -> Result<()> {
        let is_new = !self.schema.has_table("tag_implications");
        self.ensure_table("tag_implications")?;
        let has = |column: &str| is_new || self.schema.has("tag_implications", column);
        let status = match active {
            Active::Yes => "active",
            Active::No => REJECTED,
        };
        if !has("status") && active == Active::No {
            refuse!(
                "reject a rule: this database can't keep that, it lacks the column tag_implications.status; \
                 `booru tag unimply` takes a rule away"
            );
        }
        let tags = &self.catalog.tags;
        let now = moment::now_text();
        let columns: [(&str, Value<'_>); 4] = [
            ("inference_type", proposal.reason.stored().into()),
            ("confidence", proposal.confidence.into()),
            ("created_at", (&now).into()),
            ("status", status.into()),
        ];
        let mut names = vec!["source_tag_id", "implied_tag_id"];
        let mut values: Vec<Value<'_>> = vec![
            tags.id(proposal.tag).into(),
            tags.id(proposal.implied).into(),
        ];
        for (name, value) in columns {
            if has(name) {
                names.push(name);
                values.push(value);
            }
        }
        let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
        // Of a rule that is there, its status alone.
        let otherwise = match has("status") {
            true => "UPDATE SET status = excluded.status",
            false => "NOTHING",
        };
        let sql = format!(
            "INSERT INTO tag_implications ({}) VALUES ({}) \
             ON CONFLICT (source_tag_id, implied_tag_id) DO {otherwise}",
            names.join(", "),
            places.join(", ")
        );
        self.store.execute("keep a rule", &sql, &values)?;
        Ok(())
    }
}
