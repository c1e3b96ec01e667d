//! What rules have put on images, taken off and put on anew: only what differs is touched.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use plimsoll::postings::Postings;

use super::columns::Words;
use super::rules::{IMPLIED, closure};
use super::{Edit, Edited};
use crate::board::Board;
use crate::refuse;

/// Images, by number, that have a tag, by id, from a rule alone.
type Implied = BTreeMap<u32, Postings>;

impl Board {
    /// Does what taking off everything with the source `implication` and applying all active rules to
    /// the rest would come to. What is there from elsewhere stays, with its source.
    ///
    /// O(images of the tags that have rules), and what differs is written. Memory: what rules have put on
    /// images so far as sets (1 to 2 bytes a pair), and a set of images for one tag at a time.
    ///
    /// # Errors
    /// A database that does not say who has put a tag on an image; what the database says.
    pub fn reapply_rules(&mut self) -> Result<Edited> {
        self.edit(|edit| {
            if !edit.schema.has("image_tags", "source") {
                refuse!(
                    "apply the rules anew: this database does not say which tags come from rules, it lacks the \
                     column image_tags.source"
                );
            }
            edit.check_takes_rules()?;
            let implied = edit.read_implied()?;
            let sources = edit.read_sources()?;
            let tags: BTreeSet<u32> = implied.keys().chain(sources.keys()).copied().collect();
            for tag in tags {
                edit.reapply(tag, &implied, sources.get(&tag))?;
            }
            Ok(())
        })
    }
}

impl Edit<'_> {
    fn read_implied(&self) -> Result<Implied> {
        let mut implied = Implied::new();
        let sql = "SELECT image_id, tag_id FROM image_tags WHERE source = ?1 ORDER BY image_id";
        let what = "read what rules have put on images";
        self.store.each_row(what, sql, &[IMPLIED.into()], |row| {
            let image = row.id(0)?.and_then(|id| self.catalog.images.of_id(id));
            let tag = row.id(1)?;
            let tag = tag.filter(|tag| self.catalog.tags.term_of_id(*tag).is_some());
            // Rows that lead nowhere stay where they are.
            if let (Some(image), Some(tag)) = (image, tag) {
                implied.entry(tag).or_default().insert(image);
            }
            Ok(())
        })?;
        Ok(implied)
    }

    /// By implied tag all that imply it, directly or over others.
    fn read_sources(&self) -> Result<BTreeMap<u32, BTreeSet<u32>>> {
        let rules = self.read_rules()?;
        let mut sources: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for tag in rules.keys() {
            for implied in closure(&rules, *tag) {
                sources.entry(implied).or_default().insert(*tag);
            }
        }
        Ok(sources)
    }

    fn reapply(
        &mut self,
        tag: u32,
        implied: &Implied,
        sources: Option<&BTreeSet<u32>>,
    ) -> Result<()> {
        let tags = &self.catalog.tags;
        let Some(term) = tags.term_of_id(tag) else {
            return Ok(());
        };
        let (name, category) = (tags.name(term), tags.kind(term).category());
        let mut wanted = Postings::new();
        for source in sources.into_iter().flatten() {
            wanted.extend(&self.images_not_implied(*source, implied));
        }
        let now = self.catalog.images_of(term);
        let lacking: Vec<u32> = wanted
            .iter()
            .filter(|image| !now.contains(*image))
            .collect();
        for image in implied.get(&tag).into_iter().flatten() {
            if !wanted.contains(image) && self.unlink(image, tag)? {
                self.edit_words(image, &[Words::Remove(&name)])?;
            }
        }
        for image in lacking {
            if self.link(image, tag, IMPLIED)? {
                self.edit_words(image, &[Words::Add(&name, category)])?;
            }
        }
        Ok(())
    }

    /// Images that have a tag otherwise than by rules.
    fn images_not_implied(&self, tag: u32, implied: &Implied) -> Postings {
        let Some(term) = self.catalog.tags.term_of_id(tag) else {
            return Postings::new();
        };
        let images = self.catalog.images_of(term);
        let by_rules = implied.get(&tag);
        let is_other = |image: &u32| !by_rules.is_some_and(|by| by.contains(*image));
        images.iter().filter(is_other).collect()
    }
}
