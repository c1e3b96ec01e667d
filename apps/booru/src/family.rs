//! The family of an image: its parents, their other children, and its own children, by post ids of the
//! same site and by relations that people have told.
//!
//! Looked up by indexes, a handful of queries; nothing is in memory.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::board::Board;
use crate::missing;
use crate::relations::Role;
use crate::store::Value;

/// Members of a family that are told at most.
pub const FAMILY_MAX: usize = 500;

/// By what somebody is known to be of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// A site says so of the posts.
    PostIds,
    /// It stands among the relations.
    Relation,
}

/// One relative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Relative {
    pub image: u32,
    /// What it is to the image that was asked about: parent, child or sibling.
    pub role: Role,
    pub known: Known,
}

/// The relatives of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Family {
    /// By role and image, each once a role.
    pub relatives: Vec<Relative>,
    /// Whether the post ids of all images were read; else more may come up ([`Board::read_post_ids`]).
    pub is_complete: bool,
}

type Found = BTreeMap<(Role, u32), Known>;

impl Board {
    /// Who is of the family of an image, by id; at most [`FAMILY_MAX`].
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn family(&self, image: u32) -> Result<Family> {
        if self.catalog().images.of_id(image).is_none() {
            missing!("there is no image {image}");
        }
        let mut found = Found::new();
        for relation in self.relations(image)? {
            if relation.role != Role::NonDuplicate {
                found.insert((relation.role, relation.image), Known::Relation);
            }
        }
        self.by_columns(image, &mut found)?;
        self.by_post_ids(image, &mut found)?;
        self.siblings_by_relation(&mut found)?;
        let catalog = self.catalog();
        let is_there = |id: u32| id != image && catalog.images.of_id(id).is_some();
        let relatives = found
            .into_iter()
            .filter(|((_, id), _)| is_there(*id))
            .map(|((role, image), known)| Relative { image, role, known });
        Ok(Family {
            relatives: relatives.take(FAMILY_MAX).collect(),
            is_complete: self.has_all_post_ids()?,
        })
    }

    /// Ids in the columns are those of the main source: of another image, if its main source is the same.
    fn by_columns(&self, image: u32, found: &mut Found) -> Result<()> {
        let schema = &self.store.schema;
        let has = |column| schema.has("images", column);
        if !has("post_id") || !has("parent_id") || !has("active_source") {
            return Ok(());
        }
        // Merged images have the ids of several sites; the table tells them apart. COALESCE keeps the index
        // of sources, which have many images, from being used.
        let same =
            "COALESCE(o.active_source, 'merged') = i.active_source AND i.active_source <> 'merged'";
        let queries = [
            (Role::Parent, "o.post_id = i.parent_id"),
            (Role::Child, "o.parent_id = i.post_id"),
            (Role::Sibling, "o.parent_id = i.parent_id"),
        ];
        for (role, on) in queries {
            let sql = format!(
                "SELECT o.id FROM images AS i JOIN images AS o ON {on} AND {same} \
                 WHERE i.id = ?1 AND o.id <> i.id ORDER BY o.id LIMIT {FAMILY_MAX}"
            );
            self.collect(&sql, &[image.into()], role, Known::PostIds, found)?;
        }
        Ok(())
    }

    fn by_post_ids(&self, image: u32, found: &mut Found) -> Result<()> {
        if !self.store.schema.has_table("booru_post_ids") {
            return Ok(());
        }
        let queries = [
            (Role::Parent, "o.post_id = i.parent_id"),
            (Role::Child, "o.parent_id = i.post_id"),
            (Role::Sibling, "o.parent_id = i.parent_id"),
        ];
        for (role, on) in queries {
            let sql = format!(
                "SELECT o.image_id FROM booru_post_ids AS i \
                 JOIN booru_post_ids AS o ON o.source = i.source AND {on} \
                 WHERE i.image_id = ?1 AND i.source <> '' AND o.image_id <> i.image_id \
                 ORDER BY o.image_id LIMIT {FAMILY_MAX}"
            );
            self.collect(&sql, &[image.into()], role, Known::PostIds, found)?;
        }
        Ok(())
    }

    /// Other children of the parents that are known by now.
    fn siblings_by_relation(&self, found: &mut Found) -> Result<()> {
        if !self.store.schema.has_table("image_relations") {
            return Ok(());
        }
        let parents: Vec<u32> = found
            .keys()
            .filter(|(role, _)| *role == Role::Parent)
            .map(|(_, id)| *id)
            .collect();
        let sql = format!(
            "SELECT image_id_b FROM image_relations WHERE image_id_a = ?1 \
             AND relation_type = 'parent_child' ORDER BY image_id_b LIMIT {FAMILY_MAX}"
        );
        for parent in parents {
            self.collect(
                &sql,
                &[parent.into()],
                Role::Sibling,
                Known::Relation,
                found,
            )?;
        }
        Ok(())
    }

    fn collect(
        &self,
        sql: &str,
        values: &[Value<'_>],
        role: Role,
        known: Known,
        found: &mut Found,
    ) -> Result<()> {
        self.store
            .each_row("look for relatives", sql, values, |row| {
                if let Some(id) = row.id(0)? {
                    found.entry((role, id)).or_insert(known);
                }
                Ok(())
            })
    }
}
