//! Images that are new: the row, its tags with the text columns and the full-text row, sources, raw
//! metadata and relations, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::rules::IMPLIED;
use super::{CategorizedTags, Edit, check_name};
use crate::board::Board;
use crate::catalog::{Change, ImageAdded, Kind, LOCAL_TAGGER, Numbers};
use crate::ml::{Intake, tables};
use crate::post_ids::keep_post_ids;
use crate::query::{Category, moment};
use crate::refuse;
use crate::store::{TAG_COLUMNS, Value};

/// All that is known of an image whose file is in place. What is not known is `None` or empty.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// Relative to the folder of images.
    pub path: String,
    /// Of the file's bytes.
    pub md5: [u8; 16],
    /// Ids of the site in `active_source`, not of this database.
    pub post_id: Option<i64>,
    pub parent_id: Option<i64>,
    pub has_children: Option<bool>,
    /// Where `post_id`, `score` and the rest come from: `danbooru`, `merged`.
    pub active_source: Option<String>,
    /// All sites that know it.
    pub sources: Vec<String>,
    /// Ratings in any category.
    pub tags: CategorizedTags,
    pub score: Option<i64>,
    pub favourites: Option<i64>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// Perceptual hashes in hex, as the original writes them.
    pub phash: Option<String>,
    pub colorhash: Option<String>,
    /// Seconds since 1970.
    pub ingested: Option<i64>,
    /// JSON, with the posts as the sites returned them.
    pub raw_metadata: Option<String>,
}

impl NewImage {
    /// Whether a site knows it, which gave its tags, and not a model.
    #[must_use]
    pub fn has_source(&self) -> bool {
        self.sources.iter().any(|source| source != LOCAL_TAGGER)
    }
}

/// Whether an image gets the tags that its tags imply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implied {
    Applied,
    LeftOut,
}

/// What came of an image, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    New(u32),
    /// One with the same MD5 sum was there; nothing was changed.
    Known(u32),
}

impl Board {
    /// Takes in an image; its id, which is above all others. O(images), a move of some bytes each, and 3
    /// queries a tag.
    ///
    /// # Errors
    /// An image of this MD5 sum or path that is there, a name that is none; what the database says.
    pub fn add_image(&mut self, image: &NewImage, implied: Implied) -> Result<u32> {
        match self.add_images(std::slice::from_ref(image), implied)?[..] {
            [Added::New(id)] => Ok(id),
            [Added::Known(id)] => refuse!(
                "take in {}: image {id} has the same MD5 sum {}",
                image.path,
                hex(&image.md5)
            ),
            _ => unreachable!("one image was given"),
        }
    }

    /// Takes in images in one transaction, all or none; what came of each.
    ///
    /// # Errors
    /// A path that is there, a name that is none; what the database says.
    pub fn add_images(&mut self, images: &[NewImage], implied: Implied) -> Result<Vec<Added>> {
        self.add_images_for(images, implied, Intake::default())
    }

    /// The same, and in the same transaction those that are new are queued for models.
    ///
    /// # Errors
    /// As [`Board::add_images`].
    pub(crate) fn add_images_for(
        &mut self,
        images: &[NewImage],
        implied: Implied,
        intake: Intake,
    ) -> Result<Vec<Added>> {
        if intake != Intake::default() {
            tables::ensure(self)?;
        }
        let checked = images.iter().map(|image| {
            let taking = || format!("take in {}", image.path);
            checked_tags(&image.tags).with_context(taking)
        });
        let checked = checked.collect::<Result<Vec<_>>>()?;
        let added = std::cell::RefCell::new(Vec::with_capacity(images.len()));
        self.edit(|edit| {
            // A try that came to nothing has left its own here.
            added.borrow_mut().clear();
            for (image, tags) in images.iter().zip(&checked) {
                let one = edit.add_image(image, tags, implied);
                added
                    .borrow_mut()
                    .push(one.with_context(|| format!("take in {}", image.path))?);
            }
            let added = added.borrow();
            let new = images.iter().zip(added.iter());
            let new = new.filter_map(|(image, added)| match added {
                Added::New(id) => Some((*id, image.has_source())),
                Added::Known(_) => None,
            });
            intake.submit(edit.store, &new.collect::<Vec<_>>())
        })?;
        Ok(added.into_inner())
    }

    /// The image whose file has this MD5 sum.
    ///
    /// # Errors
    /// What the database says.
    pub fn image_of_md5(&self, md5: &[u8; 16]) -> Result<Option<u32>> {
        self.id_of_md5(md5)
    }
}

/// Names with the category that they are made in, each once.
fn checked_tags(tags: &CategorizedTags) -> Result<BTreeMap<String, Category>> {
    let mut checked = BTreeMap::new();
    for (category, names) in tags {
        for name in names {
            checked.entry(check_name(name)?).or_insert(*category);
        }
    }
    Ok(checked)
}

/// As it stands in `images.md5`.
pub(crate) fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tag that an image is to have.
struct Wanted {
    tag: u32,
    name: String,
    kind: Kind,
    source: &'static str,
}

impl Edit<'_> {
    fn add_image(
        &mut self,
        image: &NewImage,
        tags: &BTreeMap<String, Category>,
        implied: Implied,
    ) -> Result<Added> {
        let md5 = hex(&image.md5);
        let sql = "SELECT id FROM images WHERE md5 = ?1";
        let looking = "look for an image of this MD5 sum";
        let known = self
            .store
            .query_row(looking, sql, &[(&md5).into()], |row| row.id(0))?;
        if let Some(id) = known.flatten() {
            return Ok(Added::Known(id));
        }
        let wanted = self.wanted_tags(tags, implied)?;
        let id = self.insert_image(image, &md5, &wanted)?;
        let number = (self.catalog.images.numbers() + self.new.len()) as u32;
        self.new.push(id);
        self.edited.images += 1;
        self.changes.push(Change::ImageAdded(Box::new(ImageAdded {
            id,
            path: image.path.clone(),
            numbers: Numbers {
                score: image.score,
                favourites: image.favourites,
                width: image.width.map(i64::from),
                height: image.height.map(i64::from),
                ingested: image.ingested,
            }
            .stored_in(self.schema),
            sources: image.sources.clone(),
            has_parent: image.parent_id.is_some() && self.schema.has("images", "parent_id"),
        })));
        for one in &wanted {
            self.link(number, one.tag, one.source)?;
        }
        self.add_sources(id, &image.sources)?;
        if let Some(metadata) = &image.raw_metadata {
            self.ensure_table("raw_metadata")?;
            let sql = "INSERT INTO raw_metadata (image_id, data) VALUES (?1, ?2)";
            self.store.execute(
                "keep raw metadata",
                sql,
                &[id.into(), metadata.as_str().into()],
            )?;
            keep_post_ids(self.store, id, metadata)?;
        }
        self.relate_posts(image, id, number)?;
        Ok(Added::New(id))
    }

    /// Tags, made where they are new, with what they imply.
    fn wanted_tags(
        &mut self,
        tags: &BTreeMap<String, Category>,
        implied: Implied,
    ) -> Result<Vec<Wanted>> {
        let mut wanted = Vec::with_capacity(tags.len());
        let mut known = BTreeSet::new();
        for (name, category) in tags {
            let (tag, name, kind) = self.find_or_make(name, *category)?;
            // An alias and its tag are one.
            if known.insert(tag) {
                let source = "original";
                wanted.push(Wanted {
                    tag,
                    name,
                    kind,
                    source,
                });
            }
        }
        let takes_rules = !self.schema.refuses_rules() && self.schema.has_table("tag_implications");
        if implied == Implied::LeftOut || !takes_rules {
            return Ok(wanted);
        }
        let mut next: Vec<u32> = known.iter().copied().collect();
        while let Some(tag) = next.pop() {
            for tag in self.implied_by(tag)? {
                let Some(term) = self.catalog.tags.term_of_id(tag) else {
                    continue;
                };
                if known.insert(tag) {
                    next.push(tag);
                    wanted.push(Wanted {
                        tag,
                        name: self.catalog.tags.name(term),
                        kind: self.catalog.tags.kind(term),
                        source: IMPLIED,
                    });
                }
            }
        }
        Ok(wanted)
    }

    fn insert_image(&self, image: &NewImage, md5: &str, wanted: &[Wanted]) -> Result<u32> {
        let ingested = image.ingested.and_then(moment::column_of);
        let mut columns: Vec<(&str, Value<'_>)> = vec![
            ("filepath", (&image.path).into()),
            ("md5", md5.into()),
            ("post_id", image.post_id.into()),
            ("parent_id", image.parent_id.into()),
            ("has_children", image.has_children.into()),
            ("active_source", image.active_source.as_deref().into()),
            ("score", image.score.into()),
            ("fav_count", image.favourites.into()),
            ("phash", image.phash.as_deref().into()),
            ("colorhash", image.colorhash.as_deref().into()),
            ("image_width", image.width.into()),
            ("image_height", image.height.into()),
            ("ingested_at", ingested.as_deref().into()),
        ];
        let texts = TAG_COLUMNS.map(|(category, column)| (column, words(wanted, category)));
        let texts = texts.iter().map(|(column, text)| (*column, text.into()));
        columns.extend(texts);
        columns.retain(|(column, _)| self.schema.has("images", column));
        let (names, values): (Vec<&str>, Vec<Value<'_>>) = columns.into_iter().unzip();
        let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
        let sql = format!(
            "INSERT INTO images ({}) VALUES ({}) ON CONFLICT (filepath) DO NOTHING RETURNING id",
            names.join(", "),
            places.join(", ")
        );
        let made = self
            .store
            .query_row("take in an image", &sql, &values, |row| row.id(0))?;
        match made {
            Some(Some(id)) => Ok(id),
            Some(None) => bail!("no ids of images are left below {}", u32::MAX),
            None => refuse!("another image has the path {}", image.path),
        }
    }

    fn add_sources(&self, id: u32, sources: &[String]) -> Result<()> {
        if sources.is_empty() {
            return Ok(());
        }
        self.ensure_table("sources")?;
        self.ensure_table("image_sources")?;
        let what = "keep the source of an image";
        for source in sources {
            let name = Value::from(source);
            let sql = "INSERT INTO sources (name) VALUES (?1) ON CONFLICT DO NOTHING";
            self.store.execute(what, sql, &[name])?;
            let sql = "INSERT INTO image_sources (image_id, source_id) \
                       SELECT ?1, id FROM sources WHERE name = ?2 ON CONFLICT DO NOTHING";
            self.store.execute(what, sql, &[id.into(), name])?;
        }
        Ok(())
    }

    /// Parents and children by the ids of the site that both come from; one that is merged of several sites
    /// may be of any.
    fn relate_posts(&mut self, image: &NewImage, id: u32, number: u32) -> Result<()> {
        let has = |column| self.schema.has("images", column);
        if !has("post_id") || !has("parent_id") {
            return Ok(());
        }
        // As it is read anew: by numbers alone.
        if let Some(post) = image.post_id {
            let sql = "SELECT id FROM images WHERE parent_id = ?1 LIMIT 1";
            let is = self
                .store
                .query_row("look for children", sql, &[post.into()], |_| Ok(()))?;
            if is.is_some() {
                self.changes.push(Change::Child {
                    image: number,
                    is: true,
                });
            }
        }
        let Some(parent) = image.parent_id else {
            return self.relate_children(image, id);
        };
        for parent in self.ids("SELECT id FROM images WHERE post_id = ?1", &[parent.into()])? {
            if let Some(image) = self.number_of(parent) {
                self.changes.push(Change::Child { image, is: true });
            }
        }
        if let Some(source) = &image.active_source {
            let sql = self.of_same_source("post_id");
            for parent in self.ids(&sql, &[parent.into(), source.into(), id.into()])? {
                self.relate_pair(parent, id)?;
            }
        }
        self.relate_children(image, id)
    }

    fn relate_children(&mut self, image: &NewImage, id: u32) -> Result<()> {
        if let (Some(post), Some(source)) = (image.post_id, &image.active_source) {
            let sql = self.of_same_source("parent_id");
            for child in self.ids(&sql, &[post.into(), source.into(), id.into()])? {
                self.relate_pair(id, child)?;
            }
        }
        Ok(())
    }

    fn of_same_source(&self, column: &str) -> String {
        let source = self.schema.column("images", "active_source");
        format!(
            "SELECT id FROM images WHERE {column} = ?1 AND id <> ?3 \
             AND ({source} = ?2 OR {source} = 'merged' OR ?2 = 'merged') ORDER BY id"
        )
    }

    fn relate_pair(&self, parent: u32, child: u32) -> Result<()> {
        self.ensure_table("image_relations")?;
        let sql = "INSERT INTO image_relations (image_id_a, image_id_b, relation_type, source) \
                   VALUES (?1, ?2, 'parent_child', 'ingested') ON CONFLICT DO NOTHING";
        self.store
            .execute("relate two images", sql, &[parent.into(), child.into()])?;
        Ok(())
    }

    /// Ids of images that a statement tells.
    pub(super) fn ids(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        self.store.each_row("look for images", sql, values, |row| {
            ids.extend(row.id(0)?);
            Ok(())
        })?;
        Ok(ids)
    }

    /// The number of an image, which may be new.
    pub(super) fn number_of(&self, id: u32) -> Option<u32> {
        let is_new = self.new.iter().position(|new| *new == id);
        let of_new = is_new.map(|place| (self.catalog.images.numbers() + place) as u32);
        of_new.or_else(|| self.catalog.images.of_id(id))
    }
}

/// What stands in the text column of a category: names in order, with a blank between.
fn words(wanted: &[Wanted], category: Category) -> String {
    let names = wanted
        .iter()
        .filter(|one| one.kind.category() == Some(category));
    let names: BTreeSet<&str> = names.map(|one| one.name.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}
