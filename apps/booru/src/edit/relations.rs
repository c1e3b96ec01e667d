//! Relations between two images that people or ingest have told.

use std::cell::Cell;

use anyhow::Result;

use super::Edit;
use crate::board::Board;
use crate::query::moment;
use crate::relations::RelationKind;
use crate::store::Value;
use crate::{missing, refuse};

/// What stands in `image_relations.source` for relations by hand.
const MANUAL: &str = "manual";

impl Board {
    /// Says that two images, by id, are related; for [`RelationKind::ParentChild`] the first is the parent.
    /// Whether that is new.
    ///
    /// # Errors
    /// An image that is not there, the same one twice, a child that would be its parent's parent; what the
    /// database says.
    pub fn create_relation(&mut self, kind: RelationKind, a: u32, b: u32) -> Result<bool> {
        let is_new = Cell::new(false);
        self.edit(|edit| {
            is_new.set(edit.relate(kind, a, b, MANUAL)?);
            Ok(())
        })?;
        Ok(is_new.get())
    }

    /// Takes a relation back.
    ///
    /// # Errors
    /// One that is not there; what the database says.
    pub fn delete_relation(&mut self, kind: RelationKind, a: u32, b: u32) -> Result<()> {
        self.edit(|edit| {
            let (first, second) = kind.ordered(a, b);
            let sql = "DELETE FROM image_relations WHERE image_id_a = ?1 AND image_id_b = ?2 \
                       AND relation_type = ?3";
            let values = [first.into(), second.into(), kind.name().into()];
            let has_table = edit.schema.has_table("image_relations");
            if !has_table || edit.store.execute("take back a relation", sql, &values)? == 0 {
                missing!("there is no relation {} of images {a} and {b}", kind.name());
            }
            Ok(())
        })?;
        Ok(())
    }
}

impl Edit<'_> {
    pub(crate) fn relate(&self, kind: RelationKind, a: u32, b: u32, source: &str) -> Result<bool> {
        self.images(&[a, b])?;
        if a == b {
            refuse!("relate image {a}: it can't be related to itself");
        }
        let is_new_table = !self.schema.has_table("image_relations");
        self.ensure_table("image_relations")?;
        if kind == RelationKind::ParentChild && self.is_related(kind, b, a)? {
            refuse!("image {b} is the parent of {a} already: take that back first");
        }
        let (first, second) = kind.ordered(a, b);
        if self.is_related(kind, first, second)? {
            return Ok(false);
        }
        let now = moment::now_text();
        let mut names = vec!["image_id_a", "image_id_b", "relation_type"];
        let mut values: Vec<Value<'_>> = vec![first.into(), second.into(), kind.name().into()];
        for (name, value) in [("source", source), ("created_at", now.as_str())] {
            if is_new_table || self.schema.has("image_relations", name) {
                names.push(name);
                values.push(value.into());
            }
        }
        let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
        let sql = format!(
            "INSERT INTO image_relations ({}) VALUES ({})",
            names.join(", "),
            places.join(", ")
        );
        self.store.execute("relate two images", &sql, &values)?;
        Ok(true)
    }

    fn is_related(&self, kind: RelationKind, a: u32, b: u32) -> Result<bool> {
        let sql = "SELECT 1 FROM image_relations WHERE image_id_a = ?1 AND image_id_b = ?2 \
                   AND relation_type = ?3";
        let values = [a.into(), b.into(), kind.name().into()];
        let found = self
            .store
            .query_row("look for a relation", sql, &values, |_| Ok(()))?;
        Ok(found.is_some())
    }
}
