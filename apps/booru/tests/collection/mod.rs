//! A small collection, the same for the same seed: tags that few and that many images have, names and
//! paths that are parts of each other, numbers that are missing, rows of every table that is searched.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plimsoll_booru::board::Board;
use plimsoll_booru::catalog::TagsHeld;
use plimsoll_booru::store::{Access, Store, StoreOptions};
use rusqlite::{Connection, params};

/// A folder of a test's own, gone when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("booru-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder for temporary files");
        Folder(path)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// How much is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) images: usize,
    pub(crate) tags: usize,
    pub(crate) each: usize,
}

pub(crate) const SMALL: Size = Size {
    images: 400,
    tags: 150,
    each: 9,
};

pub(crate) const RATINGS: [&str; 4] = ["general", "sensitive", "questionable", "explicit"];
pub(crate) const SOURCES: [&str; 6] = [
    "danbooru",
    "e621",
    "gelbooru",
    "yandere",
    "pixiv",
    "local_tagger",
];
const CATEGORIES: [Option<&str>; 8] = [
    Some("general"),
    Some("general"),
    Some("character"),
    Some("copyright"),
    Some("artist"),
    Some("species"),
    Some("meta"),
    None,
];
const STEMS: [&str; 10] = [
    "hair",
    "long_hair",
    "Hat",
    "red_eyes",
    "re:zero",
    "solo",
    "miku_(song)",
    "1girl",
    "x'y",
    "ai",
];
const EXTENSIONS: [&str; 5] = ["png", "jpg", "JPG", "webm", "mp4"];

/// Names of all tags but ratings, by number.
pub(crate) fn tag_name(number: usize) -> String {
    let stem = STEMS[number % STEMS.len()];
    match number / STEMS.len() {
        0 => stem.to_owned(),
        more => format!("{stem}_{more}"),
    }
}

/// The schema that a database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// As it is now.
    Now,
    /// The same columns, added one by one in another order, and no `images_fts` triggers.
    Reordered,
    /// Before most columns came: no scores, sizes, dates, categories, sources of pairs, deltas, rules.
    Old,
}

const REORDERED: &str = "
    CREATE TABLE images (active_source TEXT, md5 TEXT NOT NULL UNIQUE, score INTEGER, saucenao_lookup BOOLEAN,
        tags_general TEXT, filepath TEXT NOT NULL UNIQUE, id INTEGER PRIMARY KEY AUTOINCREMENT,
        tags_artist TEXT, has_children BOOLEAN, parent_id INTEGER, tags_character TEXT);
    ALTER TABLE images ADD COLUMN image_height INTEGER;
    ALTER TABLE images ADD COLUMN ingested_at TIMESTAMP;
    ALTER TABLE images ADD COLUMN post_id INTEGER;
    ALTER TABLE images ADD COLUMN tags_meta TEXT;
    ALTER TABLE images ADD COLUMN upscaled_width INTEGER;
    ALTER TABLE images ADD COLUMN fav_count INTEGER;
    ALTER TABLE images ADD COLUMN tags_species TEXT;
    ALTER TABLE images ADD COLUMN image_width INTEGER;
    ALTER TABLE images ADD COLUMN tags_copyright TEXT;
    CREATE TABLE tags (extended_category TEXT, category TEXT, name TEXT NOT NULL UNIQUE,
        id INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE image_tags (source TEXT DEFAULT 'original', tag_id INTEGER, image_id INTEGER,
        PRIMARY KEY (image_id, tag_id));
    CREATE TABLE sources (name TEXT NOT NULL UNIQUE, id INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE image_sources (source_id INTEGER, image_id INTEGER, PRIMARY KEY (image_id, source_id));
    CREATE TABLE pools (description TEXT, name TEXT NOT NULL UNIQUE, id INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE pool_images (image_id INTEGER, pool_id INTEGER, PRIMARY KEY (pool_id, image_id));
    CREATE TABLE favourites (image_id INTEGER PRIMARY KEY);
    CREATE TABLE tag_implications (implied_tag_id INTEGER, source_tag_id INTEGER, status TEXT DEFAULT 'active',
        PRIMARY KEY (source_tag_id, implied_tag_id));
    CREATE VIRTUAL TABLE images_fts USING fts5(filepath, tags_all, tags_character, tags_copyright, tags_artist,
        tags_species, tags_meta, tags_general);";

const OLD: &str = "
    CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT, filepath TEXT NOT NULL UNIQUE,
        md5 TEXT NOT NULL UNIQUE, tags_general TEXT);
    CREATE TABLE tags (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
    CREATE TABLE image_tags (image_id INTEGER, tag_id INTEGER, PRIMARY KEY (image_id, tag_id));";

/// Makes a database, and returns its path.
pub(crate) fn make(folder: &Folder, era: Era, size: Size, seed: u64) -> PathBuf {
    let path = folder.path("booru.db");
    if era == Era::Now {
        Store::create(&path).unwrap();
    }
    let mut connection = Connection::open(&path).unwrap();
    connection
        .pragma_update(None, "synchronous", false)
        .unwrap();
    match era {
        Era::Now => {}
        Era::Reordered => connection.execute_batch(REORDERED).unwrap(),
        Era::Old => connection.execute_batch(OLD).unwrap(),
    }
    let transaction = connection.transaction().unwrap();
    fill(&transaction, era, size, &mut Random(seed));
    transaction.commit().unwrap();
    path
}

fn fill(to: &Connection, era: Era, size: Size, random: &mut Random) {
    let tags = fill_tags(to, era, size.tags);
    if era != Era::Old {
        for source in SOURCES {
            to.execute("INSERT INTO sources (name) VALUES (?1)", [source])
                .unwrap();
        }
        for pool in ["Summer 2024", "winter", "it's a pool"] {
            to.execute("INSERT INTO pools (name) VALUES (?1)", [pool])
                .unwrap();
        }
    }
    for number in 0..size.images {
        // Ids have gaps, as where images were deleted.
        let id = 3 + number as i64 * 2 + i64::from(number > size.images / 2);
        let mut own = vec![];
        for _ in 0..random.below(2 * size.each) {
            // The product of two draws: few tags are on many images.
            let tag = random.below(tags.len()) * random.below(tags.len()) / tags.len();
            if !own.contains(&tag) {
                own.push(tag);
            }
        }
        fill_image(to, era, id, random);
        for tag in own {
            let sql = "INSERT INTO image_tags (image_id, tag_id) VALUES (?1, ?2)";
            to.prepare_cached(sql)
                .unwrap()
                .execute(params![id, tags[tag]])
                .unwrap();
        }
        write_columns(to, era, id);
    }
    if era == Era::Reordered {
        let sql = "INSERT INTO images_fts SELECT filepath, COALESCE(tags_character, '') || ' ' || \
            COALESCE(tags_copyright, '') || ' ' || COALESCE(tags_artist, '') || ' ' || \
            COALESCE(tags_species, '') || ' ' || COALESCE(tags_meta, '') || ' ' || COALESCE(tags_general, ''), \
            COALESCE(tags_character, ''), COALESCE(tags_copyright, ''), COALESCE(tags_artist, ''), \
            COALESCE(tags_species, ''), COALESCE(tags_meta, ''), COALESCE(tags_general, '') FROM images";
        to.execute(sql, []).unwrap();
    }
}

/// Ids of the tags, which have gaps, in the order of how many images have them.
fn fill_tags(to: &Connection, era: Era, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    let ratings = RATINGS
        .iter()
        .map(|rating| (format!("rating:{rating}"), Some("rating")));
    let named = (0..count).map(|number| (tag_name(number), CATEGORIES[number % 8]));
    for (number, (name, category)) in ratings.chain(named).enumerate() {
        // Any order, each once: 7 has no factor in common with a count of tags and 4 ratings.
        let id = 10 + ((number * 7919) % 100_003) as i64;
        match era {
            Era::Old => {
                let sql = "INSERT INTO tags (id, name) VALUES (?1, ?2)";
                to.execute(sql, params![id, name]).unwrap();
            }
            _ => {
                let sql = "INSERT INTO tags (id, name, category) VALUES (?1, ?2, ?3)";
                to.execute(sql, params![id, name, category]).unwrap();
            }
        }
        ids.push(id);
    }
    ids
}

fn fill_image(to: &Connection, era: Era, id: i64, random: &mut Random) {
    let extension = *random.pick(&EXTENSIONS);
    let stem = match random.below(4) {
        0 => format!("{id}_p0"),
        1 => format!("Solo_Hair_{id}"),
        2 => format!("a b {id}"),
        _ => format!("{:x}", random.next()),
    };
    let path = format!("{:03x}/{stem}.{extension}", random.below(4096));
    let md5 = format!("{:016x}{:016x}", random.next(), id);
    if era == Era::Old {
        let sql = "INSERT INTO images (id, filepath, md5) VALUES (?1, ?2, ?3)";
        to.execute(sql, params![id, path, md5]).unwrap();
        return;
    }
    let mut maybe = |end: usize| (!random.one_in(5)).then(|| random.below(end) as i64);
    let (score, favourites) = (maybe(40).map(|score| score - 5), maybe(30));
    let (width, height, upscaled) = (maybe(2000), maybe(2000), maybe(100).filter(|n| *n < 10));
    let (post, parent) = (maybe(300), maybe(3000).filter(|post| *post < 300));
    let date = maybe(4 * 365).map(|day| {
        let days = format!("{day} days");
        let sql = "SELECT datetime('2022-01-01 10:20:30', ?1)";
        to.query_row(sql, [days], |row| row.get::<_, String>(0))
            .unwrap()
    });
    let sql = "INSERT INTO images (id, filepath, md5, score, fav_count, image_width, image_height, \
        upscaled_width, post_id, parent_id, ingested_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let values = params![
        id, path, md5, score, favourites, width, height, upscaled, post, parent, date
    ];
    to.prepare_cached(sql).unwrap().execute(values).unwrap();
    for source in 1..=SOURCES.len() {
        if random.one_in(4) {
            let sql = "INSERT INTO image_sources (image_id, source_id) VALUES (?1, ?2)";
            to.execute(sql, params![id, source as i64]).unwrap();
        }
    }
    for pool in 1..=3 {
        if random.one_in(10) {
            let sql = "INSERT INTO pool_images (pool_id, image_id) VALUES (?1, ?2)";
            to.execute(sql, params![pool, id]).unwrap();
        }
    }
    if random.one_in(7) {
        to.execute("INSERT INTO favourites (image_id) VALUES (?1)", [id])
            .unwrap();
    }
}

/// Text columns as ingest writes them: from the tables.
fn write_columns(to: &Connection, era: Era, id: i64) {
    let words = |category: &str| {
        let filter = match era {
            Era::Old => "name NOT LIKE 'rating:%'".to_owned(),
            _ => format!("COALESCE(category, 'general') = '{category}'"),
        };
        format!(
            "(SELECT group_concat(name, ' ') FROM (SELECT name FROM image_tags JOIN tags ON tags.id = tag_id \
             WHERE image_id = {id} AND {filter} ORDER BY name))"
        )
    };
    let columns: &[&str] = match era {
        Era::Old => &["general"],
        _ => &[
            "character",
            "copyright",
            "artist",
            "species",
            "meta",
            "general",
        ],
    };
    let sets = columns
        .iter()
        .map(|category| format!("tags_{category} = {}", words(category)));
    let sets: Vec<String> = sets.collect();
    let sql = format!("UPDATE images SET {} WHERE id = {id}", sets.join(", "));
    to.execute(&sql, []).unwrap();
}

pub(crate) fn options(access: Access) -> StoreOptions {
    StoreOptions {
        access,
        cache_bytes: 1 << 20,
        patience: Duration::from_millis(50),
    }
}

pub(crate) fn open(path: &Path) -> Board {
    open_holding(path, TagsHeld::Ids)
}

pub(crate) fn open_holding(path: &Path, held: TagsHeld) -> Board {
    Board::open_holding(path, options(Access::InPlace), held).unwrap()
}

/// Rows of one column of numbers.
pub(crate) fn ids(connection: &Connection, sql: &str) -> Vec<u32> {
    let mut statement = connection
        .prepare(sql)
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}
