//! One image as it is shown: its tags, where it comes from, what it belongs to. Read by a few indexed
//! queries when it is asked for; nothing of it is kept.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::board::Board;
use crate::catalog::Kind;
use crate::missing;
use crate::query::Category;
use crate::relations::Role;

pub use crate::ingest::thumbnail_path as thumbnail;

/// Relatives that are told; one of a larger family is found by [`Board::family`].
pub const RELATIVES_MAX: usize = 200;

/// What is known of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Image {
    #[serde(flatten)]
    pub link: Link,
    /// As it stands in the database, below the folder of images.
    pub filepath: String,
    pub md5: String,
    pub width: Option<i64>,
    pub height: Option<i64>,
    pub upscaled_width: Option<i64>,
    pub upscaled_height: Option<i64>,
    pub score: Option<i64>,
    pub fav_count: Option<i64>,
    pub post_id: Option<i64>,
    pub parent_id: Option<i64>,
    /// Which of the sources its tags are of.
    pub active_source: Option<String>,
    /// UTC.
    pub ingested_at: Option<String>,
    pub is_favourite: bool,
    /// By category, `rating` among them; in a category by name.
    pub tags: BTreeMap<&'static str, Vec<ImageTag>>,
    pub sources: Vec<String>,
    pub pools: Vec<ImagePool>,
    pub parents: Vec<Link>,
    pub children: Vec<Link>,
    pub siblings: Vec<Link>,
    /// Whether there may be no more of them.
    pub is_family_complete: bool,
}

/// An image as others name it. Paths are those that the server has the files under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    pub id: u32,
    pub path: String,
    pub thumb: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageTag {
    pub name: String,
    /// How many images have it.
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImagePool {
    pub id: i64,
    pub name: String,
}

impl Link {
    #[must_use]
    pub fn new(id: u32, filepath: &str) -> Link {
        Link {
            id,
            path: format!("images/{filepath}"),
            thumb: format!("thumbnails/{}", thumbnail(filepath)),
        }
    }
}

impl Board {
    /// Where the file of an image lies below the folder of images, if there is such an image.
    ///
    /// # Errors
    /// What the database says.
    pub fn find_path(&self, id: u32) -> Result<Option<String>> {
        let sql = "SELECT filepath FROM images WHERE id = ?1";
        let path =
            self.store()
                .query_row("read the path of an image", sql, &[id.into()], |row| {
                    row.text(0)
                })?;
        Ok(path.flatten())
    }

    /// The image of this very path.
    ///
    /// # Errors
    /// What the database says.
    pub fn find_image(&self, filepath: &str) -> Result<Option<u32>> {
        let sql = "SELECT id FROM images WHERE filepath = ?1";
        let id = self
            .store()
            .query_row("look for an image", sql, &[filepath.into()], |row| {
                row.id(0)
            })?;
        Ok(id.flatten())
    }

    /// Tags of an image by name, with what they are.
    ///
    /// # Errors
    /// What the database says.
    pub fn tags_of_image(&self, id: u32) -> Result<Vec<(String, Kind, u64)>> {
        let mut ids = Vec::new();
        let sql = "SELECT tag_id FROM image_tags WHERE image_id = ?1";
        self.store()
            .each_row("read the tags of an image", sql, &[id.into()], |row| {
                ids.extend(row.id(0)?);
                Ok(())
            })?;
        let catalog = self.catalog();
        let tags = catalog.tags();
        // One that another program has just made is not known yet.
        let terms = ids.into_iter().filter_map(|id| tags.term_of_id(id));
        let named = terms.map(|term| (tags.name(term), tags.kind(term), catalog.count_of(term)));
        let mut named: Vec<_> = named.collect();
        named.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(named)
    }

    /// Some fifteen queries, each by an index, and one for each relative.
    ///
    /// # Errors
    /// No such image; what the database says.
    pub fn image(&self, id: u32) -> Result<Image> {
        let Some(mut image) = self.image_row(id)? else {
            missing!("there is no image {id}");
        };
        for (name, kind, count) in self.tags_of_image(id)? {
            let category = match kind {
                Kind::Rating => "rating",
                kind => kind.category().unwrap_or(Category::General).name(),
            };
            let of_category = image.tags.entry(category).or_default();
            of_category.push(ImageTag { name, count });
        }
        let schema = &self.store().schema;
        if schema.has_table("sources") && schema.has_table("image_sources") {
            let sql = "SELECT sources.name FROM image_sources JOIN sources ON sources.id = image_sources.source_id \
                       WHERE image_sources.image_id = ?1 ORDER BY sources.name";
            self.store()
                .each_row("read the sources of an image", sql, &[id.into()], |row| {
                    image.sources.extend(row.text(0)?);
                    Ok(())
                })?;
        }
        for pool in self.pools_of(id)? {
            image.pools.push(ImagePool {
                id: pool.id,
                name: pool.name,
            });
        }
        image.is_favourite = self.is_favourite(id).unwrap_or(false);
        self.read_relatives(&mut image)?;
        Ok(image)
    }

    fn image_row(&self, id: u32) -> Result<Option<Image>> {
        let schema = &self.store().schema;
        let columns = [
            "filepath",
            "md5",
            "image_width",
            "image_height",
            "upscaled_width",
            "upscaled_height",
            "score",
            "fav_count",
            "post_id",
            "parent_id",
            "active_source",
            "ingested_at",
        ];
        let columns = columns.map(|column| schema.column("images", column));
        let sql = format!("SELECT {} FROM images WHERE id = ?1", columns.join(", "));
        self.store()
            .query_row("read an image", &sql, &[id.into()], |row| {
                let filepath = row.text(0)?.unwrap_or_default();
                Ok(Image {
                    link: Link::new(id, &filepath),
                    filepath,
                    md5: row.text(1)?.unwrap_or_default(),
                    width: row.integer(2)?,
                    height: row.integer(3)?,
                    upscaled_width: row.integer(4)?,
                    upscaled_height: row.integer(5)?,
                    score: row.integer(6)?,
                    fav_count: row.integer(7)?,
                    post_id: row.integer(8)?,
                    parent_id: row.integer(9)?,
                    active_source: row.text(10)?,
                    ingested_at: row.text(11)?,
                    is_favourite: false,
                    tags: BTreeMap::new(),
                    sources: Vec::new(),
                    pools: Vec::new(),
                    parents: Vec::new(),
                    children: Vec::new(),
                    siblings: Vec::new(),
                    is_family_complete: true,
                })
            })
    }

    fn read_relatives(&self, image: &mut Image) -> Result<()> {
        let family = self.family(image.link.id)?;
        image.is_family_complete = family.is_complete && family.relatives.len() <= RELATIVES_MAX;
        for relative in family.relatives.into_iter().take(RELATIVES_MAX) {
            let Some(path) = self.find_path(relative.image)? else {
                continue;
            };
            let links = match relative.role {
                Role::Parent => &mut image.parents,
                Role::Child => &mut image.children,
                Role::Sibling => &mut image.siblings,
                Role::NonDuplicate => continue,
            };
            links.push(Link::new(relative.image, &path));
        }
        Ok(())
    }
}
