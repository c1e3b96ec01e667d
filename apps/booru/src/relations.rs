//! Relations between two images: parent and child, siblings, and what only looks alike.

use std::str::FromStr;

use anyhow::Result;
use serde::Serialize;

use crate::board::Board;
use crate::{missing, refuse};

/// Relations of one image that are told at most.
pub const RELATIONS_MAX: usize = 1000;

/// How two images are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    ParentChild,
    Sibling,
    /// Looked at by a person and found to be different pictures.
    NonDuplicate,
}

impl RelationKind {
    pub const ALL: [RelationKind; 3] = [
        RelationKind::ParentChild,
        RelationKind::Sibling,
        RelationKind::NonDuplicate,
    ];

    /// As in `image_relations.relation_type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RelationKind::ParentChild => "parent_child",
            RelationKind::Sibling => "sibling",
            RelationKind::NonDuplicate => "non_duplicate",
        }
    }

    /// The two as they are stored: the parent first, else the lesser id.
    #[must_use]
    pub fn ordered(self, a: u32, b: u32) -> (u32, u32) {
        match self {
            RelationKind::ParentChild => (a, b),
            _ => (a.min(b), a.max(b)),
        }
    }
}

impl FromStr for RelationKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<RelationKind> {
        let known = RelationKind::ALL.into_iter();
        match known.clone().find(|kind| kind.name() == text) {
            Some(kind) => Ok(kind),
            None => {
                let names: Vec<&str> = known.map(RelationKind::name).collect();
                refuse!("{text:?} is no relation: {} are", names.join(", "))
            }
        }
    }
}

/// What the other image is to the one that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Parent,
    Child,
    Sibling,
    NonDuplicate,
}

/// One relation of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Relation {
    pub image: u32,
    pub role: Role,
    /// `manual`, `ingested` or `duplicate_review`, where the database says it.
    pub source: Option<String>,
}

impl Board {
    /// Relations of an image, by id, that are kept as such, by role and image; at most [`RELATIONS_MAX`].
    /// What follows from post ids is told by [`Board::family`].
    ///
    /// # Errors
    /// An image that is not there; what the database says.
    pub fn relations(&self, image: u32) -> Result<Vec<Relation>> {
        if self.catalog().images.of_id(image).is_none() {
            missing!("there is no image {image}");
        }
        let mut relations = Vec::new();
        if !self.store.schema.has_table("image_relations") {
            return Ok(relations);
        }
        let source = self.store.schema.column("image_relations", "source");
        let sql = format!(
            "SELECT image_id_a, image_id_b, relation_type, {source} FROM image_relations \
             WHERE image_id_a = ?1 OR image_id_b = ?1 ORDER BY id LIMIT {RELATIONS_MAX}"
        );
        self.store
            .each_row("read relations", &sql, &[image.into()], |row| {
                let (a, b) = (row.id(0)?, row.id(1)?);
                let kind = row.text(2)?.unwrap_or_default().parse::<RelationKind>();
                // Of a kind that the original has not had so far: it is not guessed at.
                let (Some(a), Some(b), Ok(kind)) = (a, b, kind) else {
                    return Ok(());
                };
                let role = match kind {
                    RelationKind::ParentChild if b == image => Role::Parent,
                    RelationKind::ParentChild => Role::Child,
                    RelationKind::Sibling => Role::Sibling,
                    RelationKind::NonDuplicate => Role::NonDuplicate,
                };
                relations.push(Relation {
                    image: if a == image { b } else { a },
                    role,
                    source: row.text(3)?,
                });
                Ok(())
            })?;
        relations.sort_by_key(|relation| (relation.role, relation.image));
        Ok(relations)
    }
}
