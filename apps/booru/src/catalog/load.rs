//! A catalog out of a database: each table read once, row by row, in the order of ids.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use plimsoll::dictionary::TermId;
use plimsoll::ledger::Tag;

use super::facets::Pool;
use super::images::Numbers;
use super::{Catalog, Kind, Membership, TagsHeld};
use crate::query::moment;
use crate::store::{Row, Store, Value};

static TAGS: Tag = Tag::new("catalog: tags");
static IMAGES: Tag = Tag::new("catalog: images");

/// Tags of one image, which are held until it is put in.
const TAGS_EXPECTED: usize = 128;

impl Catalog {
    /// Reads a whole catalog. Beside it, at most 4 bytes for each id up to the greatest one of the tags.
    ///
    /// # Errors
    /// What the database says; ids that are no 32-bit numbers above 0; two tags of one name.
    pub fn load(store: &Store, held: TagsHeld) -> Result<Catalog> {
        let mut catalog = Catalog {
            postings: Membership::new(held),
            ..Catalog::default()
        };
        TAGS.run(|| read_tags(store, &mut catalog))?;
        IMAGES.run(|| read_images(store, &mut catalog))?;
        TAGS.run(|| read_pairs(store, &mut catalog))?;
        IMAGES.run(|| read_facets(store, &mut catalog))?;
        TAGS.run(|| {
            catalog.postings.compact();
            read_aliases(store, &mut catalog)?;
            catalog.tags.rank(&catalog.postings)
        })?;
        IMAGES.run(|| {
            catalog.images.finish();
            catalog.facets.compact();
        });
        catalog.renew();
        Ok(catalog)
    }
}

/// Text as it is, with a sign in place of bytes that are none; nothing for NULL.
fn text(row: &Row<'_>, column: usize) -> Result<String> {
    Ok(row.text(column)?.unwrap_or_default())
}

fn id(row: &Row<'_>, column: usize, of: &str) -> Result<u32> {
    match row.id(column)? {
        Some(id) => Ok(id),
        None => bail!(
            "the id of {of} is {:?}, and ids are numbers from 1 to {}; see `booru doctor`",
            row.value(column)?,
            u32::MAX
        ),
    }
}

fn read_tags(store: &Store, catalog: &mut Catalog) -> Result<()> {
    let category = store.schema.column("tags", "category");
    let sql = format!("SELECT id, name, {category} FROM tags ORDER BY id");
    store.each_row("read tags", &sql, &[], |row| {
        let category = match row.value(2)? {
            Value::Null | Value::Integer(_) | Value::Real(_) => None,
            Value::Text(_) | Value::Bytes(_) => row.text(2)?,
        };
        let name = text(row, 1)?;
        let kind = Kind::of(category.as_deref(), &name);
        catalog.tags.push(id(row, 0, "a tag")?, &name, kind)?;
        Ok(())
    })
}

fn read_images(store: &Store, catalog: &mut Catalog) -> Result<()> {
    let column = |name| store.schema.column("images", name);
    let sql = format!(
        "SELECT id, filepath, {}, {}, {}, {}, {}, {}, {} FROM images ORDER BY id",
        column("score"),
        column("fav_count"),
        column("image_width"),
        column("image_height"),
        column("ingested_at"),
        column("upscaled_width"),
        column("parent_id"),
    );
    store.each_row("read images", &sql, &[], |row| {
        let image = catalog.images.numbers() as u32;
        let path = text(row, 1)?;
        let ingested = match row.value(6)? {
            Value::Text(text) => moment::second_of(text),
            _ => None,
        };
        let numbers = Numbers {
            score: row.integer(2)?,
            favourites: row.integer(3)?,
            width: row.integer(4)?,
            height: row.integer(5)?,
            ingested,
        };
        catalog
            .images
            .push(id(row, 0, "an image")?, &path, numbers)?;
        catalog.facets.add_path(image, &path);
        if row.value(7)? != Value::Null {
            catalog.facets.upscaled.insert(image);
        }
        if row.value(8)? != Value::Null {
            catalog.facets.parents.insert(image);
        }
        Ok(())
    })
}

/// Terms by the ids of the database, as a table where ids are dense.
struct Terms<'a> {
    catalog: &'a Catalog,
    table: Vec<u32>,
}

const NO_TERM: u32 = u32::MAX;

impl Terms<'_> {
    fn of(catalog: &Catalog) -> Terms<'_> {
        let len = catalog.tags.len();
        let last = len
            .checked_sub(1)
            .map_or(0, |last| catalog.tags.id(TermId::new(last as u32)));
        let mut table = Vec::new();
        if last as usize <= 8 * len {
            table.resize(last as usize + 1, NO_TERM);
            for term in 0..len as u32 {
                table[catalog.tags.id(TermId::new(term)) as usize] = term;
            }
        }
        Terms { catalog, table }
    }

    fn term(&self, id: i64) -> Option<TermId> {
        let id = u32::try_from(id).ok()?;
        if self.table.is_empty() {
            return self.catalog.tags.term_of_id(id);
        }
        let term = *self.table.get(id as usize)?;
        (term != NO_TERM).then(|| TermId::new(term))
    }
}

fn read_pairs(store: &Store, catalog: &mut Catalog) -> Result<()> {
    let mut postings = std::mem::take(&mut catalog.postings);
    let mut counts: Vec<i64> = Vec::with_capacity(catalog.images.numbers());
    let mut skipped = 0;
    let terms = Terms::of(catalog);
    let mut of_image: Vec<TermId> = Vec::with_capacity(TAGS_EXPECTED);
    // Images before this one are put in, with or without tags.
    let mut image = 0_u32;
    let mut put = |image: u32, of_image: &mut Vec<TermId>| {
        counts.push(of_image.len() as i64);
        postings.insert_document(&catalog.tags, image, of_image.drain(..));
    };
    let images = &catalog.images;
    let count = images.numbers() as u32;
    let sql = "SELECT image_id, tag_id FROM image_tags ORDER BY image_id, tag_id";
    store.each_row("read tags of images", sql, &[], |row| {
        let (of, tag) = (row.integer(0)?, row.integer(1)?);
        while image < count && of > Some(i64::from(images.id(image))) {
            put(image, &mut of_image);
            image += 1;
        }
        let is_there = image < count && of == Some(i64::from(images.id(image)));
        match tag.and_then(|tag| terms.term(tag)).filter(|_| is_there) {
            Some(term) if of_image.last() != Some(&term) => of_image.push(term),
            Some(_) => {}
            None => skipped += 1,
        }
        Ok(())
    })?;
    while image < count {
        put(image, &mut of_image);
        image += 1;
    }
    for (image, count) in counts.into_iter().enumerate() {
        catalog.images.set_tag_count(image as u32, count);
    }
    catalog.postings = postings;
    catalog.skipped.pairs = skipped;
    Ok(())
}

fn read_facets(store: &Store, catalog: &mut Catalog) -> Result<()> {
    let schema = &store.schema;
    if schema.has("images", "post_id") && schema.has("images", "parent_id") {
        let sql = "SELECT id FROM images WHERE post_id IN \
                   (SELECT parent_id FROM images WHERE parent_id IS NOT NULL) ORDER BY id";
        read_set(
            store,
            catalog,
            "read children",
            sql,
            &[],
            |catalog, image| {
                catalog.facets.children.insert(image);
            },
        )?;
    }
    if schema.has_table("favourites") {
        let sql = "SELECT image_id FROM favourites ORDER BY image_id";
        read_set(
            store,
            catalog,
            "read favourites",
            sql,
            &[],
            |catalog, image| {
                catalog.facets.favourites.insert(image);
            },
        )?;
    }
    if schema.has_table("sources") && schema.has_table("image_sources") {
        read_sources(store, catalog)?;
    }
    if schema.has_table("pools") && schema.has_table("pool_images") {
        let mut pools = Vec::new();
        let sql = "SELECT id, name FROM pools ORDER BY id";
        store.each_row("read pools", sql, &[], |row| {
            pools.push((row.integer(0)?.unwrap_or(0), text(row, 1)?.to_lowercase()));
            Ok(())
        })?;
        for (id, name) in pools {
            catalog.facets.pools.push(Pool {
                id,
                name: name.into(),
                images: Default::default(),
            });
            let sql = "SELECT image_id FROM pool_images WHERE pool_id = ?1 ORDER BY image_id";
            let what = "read images of pools";
            read_set(store, catalog, what, sql, &[id.into()], |catalog, image| {
                if let Some(pool) = catalog.facets.pools.last_mut() {
                    pool.images.insert(image);
                }
            })?;
        }
    }
    Ok(())
}

fn read_sources(store: &Store, catalog: &mut Catalog) -> Result<()> {
    let mut names: BTreeMap<i64, Box<str>> = BTreeMap::new();
    let sql = "SELECT id, name FROM sources";
    store.each_row("read sources", sql, &[], |row| {
        let name: Box<str> = text(row, 1)?.to_lowercase().into();
        catalog.facets.sources.entry(name.clone()).or_default();
        names.insert(row.integer(0)?.unwrap_or(0), name);
        Ok(())
    })?;
    let sql = "SELECT image_id, source_id FROM image_sources ORDER BY image_id";
    store.each_row("read sources of images", sql, &[], |row| {
        let image = row.integer(0)?.and_then(|id| u32::try_from(id).ok());
        let image = image.and_then(|id| catalog.images.of_id(id));
        let name = row.integer(1)?.and_then(|id| names.get(&id));
        match (image, name) {
            (Some(image), Some(name)) => {
                if let Some(images) = catalog.facets.sources.get_mut(name) {
                    images.insert(image);
                }
            }
            _ => catalog.skipped.others += 1,
        }
        Ok(())
    })
}

/// Calls `put` for the images whose ids a statement tells.
fn read_set(
    store: &Store,
    catalog: &mut Catalog,
    what: &str,
    sql: &str,
    values: &[Value<'_>],
    mut put: impl FnMut(&mut Catalog, u32),
) -> Result<()> {
    store.each_row(what, sql, values, |row| {
        let id = row.integer(0)?.and_then(|id| u32::try_from(id).ok());
        match id.and_then(|id| catalog.images.of_id(id)) {
            Some(image) => put(catalog, image),
            None => catalog.skipped.others += 1,
        }
        Ok(())
    })
}

/// The one table that is ours; see [`crate::edit`].
fn read_aliases(store: &Store, catalog: &mut Catalog) -> Result<()> {
    if !store.schema.has_table("booru_aliases") {
        return Ok(());
    }
    let sql = "SELECT name, tag_id FROM booru_aliases ORDER BY name";
    store.each_row("read aliases", sql, &[], |row| {
        let tag = row.integer(1)?.and_then(|id| u32::try_from(id).ok());
        if let Some(term) = tag.and_then(|tag| catalog.tags.term_of_id(tag)) {
            catalog.tags.set_alias(&text(row, 0)?, term);
        }
        Ok(())
    })
}
