//! Ids of the posts that images are on the sites they come from: by site and id, since ids of different
//! sites are alike.
//!
//! They stand in `raw_metadata`, as JSON of some KiB an image, and are kept in a table of our own, of which
//! the original takes no notice: one row an image and site, about 40 bytes. The table is filled row by
//! row, in batches; nothing of it is in memory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::board::Board;
use crate::store::{Store, Value};

/// The sites whose ids are kept.
pub const SITES: [&str; 4] = ["danbooru", "e621", "gelbooru", "yandere"];
/// Longer metadata of an image are not read; they have some KiB, 100 at the most.
pub const METADATA_BYTES_MAX: usize = 4 << 20;
/// Images whose ids are put in by one transaction.
pub const POST_IDS_BATCH: usize = 2000;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS booru_post_ids (\
    image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE, source TEXT NOT NULL, \
    post_id BIGINT NOT NULL, parent_id BIGINT, PRIMARY KEY (image_id, source))";
const INDEXES: [&str; 2] = [
    "CREATE INDEX IF NOT EXISTS booru_post_ids_post ON booru_post_ids(source, post_id)",
    "CREATE INDEX IF NOT EXISTS booru_post_ids_parent ON booru_post_ids(source, parent_id)",
];

/// What an image is on one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostId {
    pub source: &'static str,
    pub post: i64,
    pub parent: Option<i64>,
}

/// What a batch has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PostIdsRead {
    pub images: u64,
    pub post_ids: u64,
    /// Images whose metadata could not be read as JSON, or were too long.
    pub unreadable: u64,
    /// Whether there are images behind these.
    pub is_more: bool,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    sources: BTreeMap<String, Told>,
}

/// What a value says of posts, whatever it is: sites return many forms, and nothing else of it is kept.
#[derive(Default)]
struct Told {
    /// Of a number, also one that is written as text. No post has one below 1.
    number: Option<i64>,
    /// Of an object.
    id: Option<i64>,
    parent: Option<i64>,
}

impl Told {
    fn number(number: i64) -> Told {
        Told {
            number: (number > 0).then_some(number),
            ..Told::default()
        }
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Told, D::Error> {
        deserializer.deserialize_any(ToldVisitor)
    }
}

struct ToldVisitor;

impl<'de> Visitor<'de> for ToldVisitor {
    type Value = Told;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Told, E> {
        Ok(Told::number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Told, E> {
        Ok(i64::try_from(number).map_or_else(|_| Told::default(), Told::number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Told, E> {
        Ok(text
            .trim()
            .parse()
            .map_or_else(|_| Told::default(), Told::number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Told, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Told::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Told, A::Error> {
        let mut told = Told::default();
        while let Some(key) = entries.next_key::<Key>()? {
            match key {
                Key::Id => told.id = entries.next_value::<Told>()?.number,
                Key::Parent => {
                    let parent = entries.next_value::<Told>()?.number;
                    told.parent = parent.or(told.parent);
                }
                // e621 has it a level deeper.
                Key::Relationships => {
                    let parent = entries.next_value::<Told>()?.parent;
                    told.parent = told.parent.or(parent);
                }
                Key::Other => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(told)
    }
}

#[derive(Deserialize)]
enum Key {
    #[serde(rename = "id")]
    Id,
    #[serde(rename = "parent_id")]
    Parent,
    #[serde(rename = "relationships")]
    Relationships,
    #[serde(other)]
    Other,
}

/// What `raw_metadata.data` says of the sites that are known, by their names.
///
/// # Errors
/// Text that is no JSON of an object with sources.
pub fn parse_post_ids(data: &str) -> Result<Vec<PostId>> {
    let reading = "read the metadata of an image";
    // A list would be taken for the fields of an object in their order.
    ensure!(
        data.trim_start().starts_with('{'),
        "{reading}: it is no object"
    );
    let metadata: Metadata = serde_json::from_str(data).context(reading)?;
    let mut sources = metadata.sources;
    let mut found = Vec::new();
    for source in SITES {
        let told = sources.remove(source).unwrap_or_default();
        let (Some(post), parent) = (told.id, told.parent) else {
            continue;
        };
        found.push(PostId {
            source,
            post,
            parent,
        });
    }
    Ok(found)
}

impl Board {
    /// Whether the post ids of all images that have metadata are in the table.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_all_post_ids(&self) -> Result<bool> {
        has_all(&self.store)
    }

    /// Reads the post ids of the next [`POST_IDS_BATCH`] images into the table: again and again until there
    /// are no more, with pauses in which others may write. Memory: the metadata of one image.
    ///
    /// # Errors
    /// A board that is read only; what the database says.
    pub fn read_post_ids(&mut self) -> Result<PostIdsRead> {
        let read = Cell::new(PostIdsRead::default());
        self.edit(|edit| {
            edit.store
                .execute("make table booru_post_ids", TABLE, &[])?;
            for index in INDEXES {
                edit.store
                    .execute("make an index of booru_post_ids", index, &[])?;
            }
            edit.has_made_table();
            read.set(read_batch(edit.store)?);
            Ok(())
        })?;
        Ok(read.get())
    }
}

/// The greatest image whose post ids were read: they are read by rising id.
fn last_read(store: &Store) -> Result<i64> {
    let sql = "SELECT MAX(image_id) FROM booru_post_ids";
    let last = store.query_row("look for post ids", sql, &[], |row| row.integer(0))?;
    Ok(last.flatten().unwrap_or(0))
}

fn has_all(store: &Store) -> Result<bool> {
    if !store.schema.has_table("raw_metadata") {
        return Ok(true);
    }
    let last = match store.schema.has_table("booru_post_ids") {
        true => last_read(store)?,
        false => 0,
    };
    let sql = "SELECT 1 FROM raw_metadata WHERE image_id > ?1 AND +image_id IN (SELECT id FROM images) \
               LIMIT 1";
    let next = store.query_row("look for metadata", sql, &[last.into()], |_| Ok(()))?;
    Ok(next.is_none())
}

fn read_batch(store: &Store) -> Result<PostIdsRead> {
    let mut read = PostIdsRead::default();
    if !store.schema.has_table("raw_metadata") {
        return Ok(read);
    }
    // One row at a time: an answer of many is not read while its table's neighbour is written.
    let next = "SELECT image_id, CASE WHEN octet_length(data) <= ?2 THEN data END FROM raw_metadata \
                WHERE image_id > ?1 AND +image_id IN (SELECT id FROM images) ORDER BY image_id LIMIT 1";
    let mut last = last_read(store)?;
    while read.images < POST_IDS_BATCH as u64 {
        let values: [Value<'_>; 2] = [last.into(), (METADATA_BYTES_MAX as i64).into()];
        let found = store.query_row("read metadata", next, &values, |row| {
            let ids = match row.value(1)? {
                Value::Text(text) => parse_post_ids(text).ok(),
                _ => None,
            };
            Ok((row.integer(0)?.unwrap_or(0), ids))
        })?;
        let Some((image, ids)) = found else {
            return Ok(read);
        };
        read.images += 1;
        read.unreadable += u64::from(ids.is_none());
        let ids = ids.unwrap_or_default();
        read.post_ids += ids.len() as u64;
        write(store, image, &ids)?;
        last = image;
    }
    read.is_more = !has_all(store)?;
    Ok(read)
}

/// In place of what was kept of an image. One without ids has a row that says that it was read.
fn write(store: &Store, image: i64, ids: &[PostId]) -> Result<()> {
    let what = "keep post ids";
    let sql = "DELETE FROM booru_post_ids WHERE image_id = ?1";
    store.execute(what, sql, &[image.into()])?;
    let sql =
        "INSERT INTO booru_post_ids (image_id, source, post_id, parent_id) VALUES (?1, ?2, ?3, ?4)";
    for id in ids {
        let values = [
            image.into(),
            id.source.into(),
            id.post.into(),
            id.parent.into(),
        ];
        store.execute(what, sql, &values)?;
    }
    if ids.is_empty() {
        let values = [image.into(), "".into(), 0_i64.into(), Value::Null];
        store.execute(what, sql, &values)?;
    }
    Ok(())
}

/// For whoever writes the metadata of an image, by id, within the same transaction: keeps its post ids
/// with them. Where images before it were not read yet, it is left to [`Board::read_post_ids`].
///
/// # Errors
/// What the database says.
pub fn keep_post_ids(store: &Store, image: u32, data: &str) -> Result<()> {
    if !store.schema.has_table("booru_post_ids") {
        return Ok(());
    }
    let last = last_read(store)?;
    let sql = "SELECT 1 FROM raw_metadata WHERE image_id > ?1 AND image_id < ?2 LIMIT 1";
    let values = [last.into(), image.into()];
    let gap = store.query_row("look for metadata", sql, &values, |_| Ok(()))?;
    match gap {
        Some(()) => Ok(()),
        // What can't be read is passed over, as where it is read later.
        None => write(
            store,
            image.into(),
            &parse_post_ids(data).unwrap_or_default(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_of_whatever_a_site_returned() {
        let check = |data: &str, expected: &[(&'static str, i64, Option<i64>)]| {
            let found = parse_post_ids(data).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|id| (id.source, id.post, id.parent))
                .collect();
            assert_eq!(found, expected, "{data}");
        };
        check(
            r#"{"md5":"x","sources":{"danbooru":{"id":5,"parent_id":3,"tags":["a",{"b":[1.5]}]}}}"#,
            &[("danbooru", 5, Some(3))],
        );
        check(
            r#"{"sources":{"e621":{"id":7,"relationships":{"parent_id":6,"children":[]}},"pixiv":{"id":1}}}"#,
            &[("e621", 7, Some(6))],
        );
        check(
            r#"{"sources":{"gelbooru":{"id":"9","parent_id":"0"},"yandere":{"id":2,"parent_id":null}}}"#,
            &[("gelbooru", 9, None), ("yandere", 2, None)],
        );
        check(
            r#"{"sources":{"danbooru":{"id":0},"e621":null,"yandere":[1]}}"#,
            &[],
        );
        check(
            r#"{"sources":{"danbooru":{"id":{"x":1}},"e621":{"id":-4}}}"#,
            &[],
        );
        check(r#"{"md5":"x"}"#, &[]);
        for data in ["", "[]", "{", "{\"sources\":5}", &"[".repeat(100_000)] {
            assert!(parse_post_ids(data).is_err(), "{data:.20}");
        }
    }
}
