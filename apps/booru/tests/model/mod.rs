//! What edits do, in the plainest way: sets of names. The database is compared with it in all its parts.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_booru::board::Board;
use plimsoll_booru::edit::{Added, CategorizedTags, Implied, NewImage, OldName, Rating};
use plimsoll_booru::query::Category;
use rusqlite::Connection;

use crate::collection::{Era, Random};

const COLUMNS: [&str; 6] = [
    "character",
    "copyright",
    "artist",
    "species",
    "meta",
    "general",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// Names of tags with their ids and categories.
    pub(crate) tags: BTreeMap<String, (u32, Option<String>)>,
    pub(crate) images: BTreeMap<u32, BTreeSet<String>>,
    pub(crate) aliases: BTreeMap<String, String>,
    /// Pairs that come from a rule.
    implied: BTreeSet<(u32, String)>,
    /// Tag and implied tag, with the status of the rule.
    rules: BTreeMap<(String, String), String>,
    /// Image, name, operation.
    deltas: BTreeSet<(u32, String, String)>,
    made: usize,
}

fn rows<T, F>(connection: &Connection, sql: &str, read: F) -> Vec<T>
where
    F: FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
{
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], read).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

impl Model {
    pub(crate) fn read(connection: &Connection, era: Era) -> Model {
        let category = match era {
            Era::Old => "NULL",
            _ => "category",
        };
        let tags = format!("SELECT name, id, {category} FROM tags");
        let tags = rows(connection, &tags, |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
        });
        let images = rows(connection, "SELECT id FROM images", |row| row.get(0));
        let mut model = Model {
            tags: tags.into_iter().collect(),
            images: images.into_iter().map(|id| (id, BTreeSet::new())).collect(),
            ..Model::default()
        };
        let sql = "SELECT image_id, name FROM image_tags JOIN tags ON tags.id = tag_id";
        for (id, name) in rows(connection, sql, |row| {
            Ok((row.get::<_, u32>(0)?, row.get(1)?))
        }) {
            model.images.get_mut(&id).unwrap().insert(name);
        }
        if era != Era::Old {
            let sql = "SELECT image_id, name FROM image_tags JOIN tags ON tags.id = tag_id \
                       WHERE source = 'implication'";
            let read = rows(connection, sql, |row| Ok((row.get(0)?, row.get(1)?)));
            model.implied = read.into_iter().collect();
        }
        let has = |table: &str| {
            let sql = format!("SELECT count(*) FROM sqlite_master WHERE name = '{table}'");
            connection
                .query_row(&sql, [], |row| row.get::<_, u32>(0))
                .unwrap()
                > 0
        };
        if has("booru_aliases") {
            let sql =
                "SELECT a.name, t.name FROM booru_aliases AS a JOIN tags AS t ON t.id = a.tag_id";
            model.aliases = rows(connection, sql, |row| Ok((row.get(0)?, row.get(1)?)))
                .into_iter()
                .collect();
        }
        if has("tag_implications") {
            let sql = "SELECT a.name, b.name, status FROM tag_implications JOIN tags AS a ON a.id = source_tag_id \
                       JOIN tags AS b ON b.id = implied_tag_id";
            let read = rows(connection, sql, |row| {
                Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
            });
            model.rules = read.into_iter().collect();
        }
        if has("tag_deltas") {
            let sql = "SELECT images.id, tag_name, operation FROM tag_deltas JOIN images ON md5 = image_md5";
            let read = rows(connection, sql, |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            });
            model.deltas = read.into_iter().collect();
        }
        model
    }

    /// The name of the tag that a name leads to.
    fn find(&self, name: &str) -> Option<String> {
        if self.tags.contains_key(name) {
            return Some(name.to_owned());
        }
        let lower = name.to_lowercase();
        let alike = self
            .tags
            .iter()
            .filter(|(other, _)| other.to_lowercase() == lower);
        // The lower-case one itself, or else that of the least id.
        let alike = alike.min_by_key(|(other, (id, _))| (**other != lower, *id));
        alike
            .map(|(other, _)| other.clone())
            .or_else(|| self.alias_of(&lower).cloned())
    }

    /// However it is written.
    fn alias_of(&self, name: &str) -> Option<&String> {
        let mut alike = self.aliases.iter();
        let found = alike.find(|(alias, _)| alias.to_lowercase() == name.to_lowercase());
        found.map(|(_, of)| of)
    }

    fn set_alias(&mut self, name: &str, of: &str) {
        self.forget_alias(name);
        self.aliases.insert(name.to_owned(), of.to_owned());
    }

    fn forget_alias(&mut self, name: &str) {
        let lower = name.to_lowercase();
        self.aliases
            .retain(|alias, _| alias.to_lowercase() != lower);
    }

    fn category(&self, name: &str) -> Option<&str> {
        match self.tags[name].1.as_deref() {
            Some("rating") => None,
            Some(category) => Some(category),
            None if name.starts_with("rating:") => None,
            None => Some("general"),
        }
    }

    fn with_tag(&self, name: &str) -> Vec<u32> {
        let with = self.images.iter().filter(|(_, tags)| tags.contains(name));
        with.map(|(id, _)| *id).collect()
    }

    fn delta(&mut self, image: u32, name: &str, operation: &str) {
        let opposite = match operation {
            "add" => "remove",
            _ => "add",
        };
        if !self
            .deltas
            .remove(&(image, name.to_owned(), opposite.to_owned()))
        {
            self.deltas
                .insert((image, name.to_owned(), operation.to_owned()));
        }
    }

    /// A rating takes the place of another.
    fn add(&mut self, image: u32, name: &str) {
        for other in self.images[&image].clone() {
            let are_ratings = self.category(name).is_none() && self.category(&other).is_none();
            if are_ratings && other != name {
                self.remove(image, &other);
            }
        }
        if self.images.get_mut(&image).unwrap().insert(name.to_owned()) {
            self.delta(image, name, "add");
        }
    }

    fn remove(&mut self, image: u32, name: &str) {
        if self.images.get_mut(&image).unwrap().remove(name) {
            self.implied.remove(&(image, name.to_owned()));
            self.delta(image, name, "remove");
        }
    }

    /// A tag, made with this category if there is none; ids are compared with the database's later.
    fn find_or_make(&mut self, name: &str, category: &str, era: Era) -> String {
        self.find(name).unwrap_or_else(|| {
            let category = (era != Era::Old).then(|| category.to_owned());
            self.tags.insert(name.to_owned(), (0, category));
            name.to_owned()
        })
    }

    fn forget(&mut self, name: &str) {
        self.tags.remove(name);
        self.aliases.retain(|_, of| of != name);
        self.rules.retain(|(a, b), _| a != name && b != name);
        self.implied.retain(|(_, of)| of != name);
    }

    fn rename_deltas(&mut self, old: &str, new: &str) {
        let renamed =
            std::mem::take(&mut self.deltas)
                .into_iter()
                .map(|(image, name, operation)| {
                    let name = if name == old { new.to_owned() } else { name };
                    (image, name, operation)
                });
        self.deltas = renamed.collect();
    }

    fn any_tag(&self, random: &mut Random) -> String {
        let names: Vec<&String> = self.tags.keys().collect();
        (*random.pick(&names)).clone()
    }

    fn any_images(&self, random: &mut Random) -> Vec<u32> {
        let ids: Vec<u32> = self.images.keys().copied().collect();
        let count = *random.pick(&[1, 3, 30, 150]);
        (0..count).map(|_| *random.pick(&ids)).collect()
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("new_{}", self.made)
    }

    /// Does one edit to both; what it was.
    pub(crate) fn step(&mut self, board: &mut Board, era: Era, random: &mut Random) -> String {
        match random.below(18) {
            0 => self.create(board, era),
            1 => self.rename(board, random),
            2 => self.merge(board, random),
            3 => self.delete(board, random),
            4 | 5 => self.add_many(board, era, random),
            6 => self.remove_many(board, random),
            7 => self.edit_one(board, era, random),
            8 if era != Era::Old => self.categorize(board, random),
            9 => self.alias(board, random),
            10 => self.rate(board, era, random),
            11 | 12 => self.add_images(board, era, random),
            13 => self.delete_images(board, random),
            14 if era == Era::Now => self.upscale(board, random),
            _ => self.rule(board, era, random),
        }
    }

    fn create(&mut self, board: &mut Board, era: Era) -> String {
        let name = self.new_name();
        board.create_tag(&name, Category::Artist).unwrap();
        self.find_or_make(&name, "artist", era);
        assert!(
            board
                .create_tag(&name.to_uppercase(), Category::Artist)
                .is_err()
        );
        format!("create {name}")
    }

    fn rename(&mut self, board: &mut Board, random: &mut Random) -> String {
        let (old, other) = (self.any_tag(random), self.any_tag(random));
        if old.starts_with("rating:") {
            assert!(board.rename_tag(&old, "x", OldName::IsForgotten).is_err());
            return format!("refuse to rename {old}");
        }
        if other != old && other == other.to_lowercase() {
            assert!(
                board
                    .rename_tag(&old, &other, OldName::IsForgotten)
                    .is_err()
            );
        }
        let new = self.new_name();
        let becomes_alias = random.one_in(2);
        let old_name = match becomes_alias {
            true => OldName::BecomesAlias,
            false => OldName::IsForgotten,
        };
        board
            .rename_tag(&old, &new.to_uppercase(), old_name)
            .unwrap();
        let tag = self.tags.remove(&old).unwrap();
        self.tags.insert(new.clone(), tag);
        for tags in self.images.values_mut() {
            if tags.remove(&old) {
                tags.insert(new.clone());
            }
        }
        let renamed = |name: &String| {
            if *name == old {
                new.clone()
            } else {
                name.clone()
            }
        };
        self.aliases.values_mut().for_each(|of| *of = renamed(of));
        let rules = self.rules.iter();
        self.rules = rules
            .map(|((a, b), status)| ((renamed(a), renamed(b)), status.clone()))
            .collect();
        let implied = self.implied.iter();
        self.implied = implied.map(|(id, name)| (*id, renamed(name))).collect();
        self.rename_deltas(&old, &new);
        if becomes_alias {
            self.set_alias(&old, &new);
        }
        format!("rename {old} {new} {old_name:?}")
    }

    fn merge(&mut self, board: &mut Board, random: &mut Random) -> String {
        let into = self.any_tag(random);
        let from: Vec<String> = (0..1 + random.below(3))
            .map(|_| self.any_tag(random))
            .collect();
        board
            .merge_tags(&from, &into, OldName::BecomesAlias)
            .unwrap();
        for old in &from {
            if *old == into || !self.tags.contains_key(old) {
                continue;
            }
            for image in self.with_tag(old) {
                let tags = self.images.get_mut(&image).unwrap();
                tags.remove(old);
                let was_implied = self.implied.remove(&(image, old.clone()));
                if tags.insert(into.clone()) && was_implied {
                    self.implied.insert((image, into.clone()));
                }
            }
            let moved = |name: &String| {
                if name == old {
                    into.clone()
                } else {
                    name.clone()
                }
            };
            // Where there is such a rule already, that one stays.
            for ((a, b), status) in self.rules.clone() {
                self.rules.entry((moved(&a), moved(&b))).or_insert(status);
            }
            self.rules.retain(|(a, b), _| a != b);
            self.aliases.values_mut().for_each(|of| *of = moved(of));
            self.rename_deltas(old, &into);
            for image in self.with_tag(&into) {
                self.deltas
                    .remove(&(image, into.clone(), "remove".to_owned()));
            }
            self.forget(old);
            self.set_alias(old, &into);
        }
        format!("merge {from:?} into {into}")
    }

    fn delete(&mut self, board: &mut Board, random: &mut Random) -> String {
        let names = [
            self.any_tag(random),
            "never_there".to_owned(),
            self.any_tag(random),
        ];
        board.delete_tags(&names).unwrap();
        for name in &names {
            self.images.values_mut().for_each(|tags| {
                tags.remove(name);
            });
            self.implied.retain(|(_, of)| of != name);
            if self.tags.contains_key(name) {
                self.forget(name);
                self.deltas
                    .retain(|(_, of, operation)| of != name || operation == "remove");
            }
        }
        format!("delete {names:?}")
    }

    fn add_many(&mut self, board: &mut Board, era: Era, random: &mut Random) -> String {
        let images = self.any_images(random);
        let names = match random.one_in(3) {
            true => vec![self.new_name(), self.any_tag(random)],
            false => vec![self.any_tag(random)],
        };
        board.add_tags(&images, &names).unwrap();
        for name in &names {
            // A name is taken in lower case: `Hat` is found by `hat`.
            let name = self.find_or_make(&name.to_lowercase(), "general", era);
            images.iter().for_each(|image| self.add(*image, &name));
        }
        format!("add {names:?} to {}", images.len())
    }

    fn remove_many(&mut self, board: &mut Board, random: &mut Random) -> String {
        let images = self.any_images(random);
        let name = self.any_tag(random);
        board
            .remove_tags(&images, &[name.clone(), "never_there".to_owned()])
            .unwrap();
        images.iter().for_each(|image| self.remove(*image, &name));
        format!("remove {name} from {}", images.len())
    }

    fn edit_one(&mut self, board: &mut Board, era: Era, random: &mut Random) -> String {
        let image = self.any_images(random)[0];
        let mut names: Vec<String> = (0..3)
            .map(|_| self.any_tag(random).to_lowercase())
            .collect();
        names.push(self.new_name());
        let categorized: CategorizedTags = [(Category::Species, names.clone())].into();
        board.edit_image(image, &categorized).unwrap();
        let wanted: BTreeSet<String> = names
            .iter()
            .map(|name| self.find_or_make(name, "species", era))
            .collect();
        wanted.iter().for_each(|name| self.add(image, name));
        let is_rated = wanted.iter().any(|name| name.starts_with("rating:"));
        for name in self.images[&image].clone() {
            let is_kept = !is_rated && self.category(&name).is_none();
            if !wanted.contains(&name) && !is_kept {
                self.remove(image, &name);
            }
        }
        format!("edit {image}: {names:?}")
    }

    /// Some with the same new tag, one that is there already, and one twice in a transaction.
    fn add_images(&mut self, board: &mut Board, era: Era, random: &mut Random) -> String {
        let common = self.new_name();
        let count = *random.pick(&[1, 2, 5]);
        let implied = match random.one_in(2) {
            true => Implied::Applied,
            false => Implied::LeftOut,
        };
        let mut new: Vec<NewImage> = (0..count)
            .map(|_| self.new_image(&common, random))
            .collect();
        new.push(new[0].clone());
        let added = board.add_images(&new, implied).unwrap();
        assert!(board.add_image(&new[0], implied).is_err(), "it is there");
        let mut last = self.images.keys().next_back().copied();
        for (image, added) in new.iter().zip(&added[..count]) {
            let Added::New(id) = *added else {
                panic!("{image:?} is new, not {added:?}");
            };
            assert!(Some(id) > last, "ids ascend");
            last = Some(id);
            let mut tags = BTreeSet::new();
            for (category, names) in &image.tags {
                for name in names {
                    tags.insert(self.find_or_make(&name.to_lowercase(), category.name(), era));
                }
            }
            let all: BTreeSet<String> = tags.iter().flat_map(|tag| self.chain(tag)).collect();
            self.images.insert(id, tags);
            if implied == Implied::Applied {
                all.iter().for_each(|name| self.imply(id, name, era));
            }
        }
        let Added::New(first) = added[0] else {
            unreachable!()
        };
        assert_eq!(added[count], Added::Known(first));
        format!("add {count} images from {first}, {implied:?}")
    }

    fn new_image(&mut self, common: &str, random: &mut Random) -> NewImage {
        let mut maybe = |end: usize| (!random.one_in(4)).then(|| random.below(end));
        let number = |maybe: Option<usize>| maybe.map(|number| number as i64);
        let (score, favourites) = (number(maybe(40)), number(maybe(30)));
        let size = |maybe: Option<usize>| maybe.map(|size| size as u32 + 1);
        let (width, height) = (size(maybe(2000)), size(maybe(2000)));
        let (post_id, parent_id) = (
            number(maybe(300)),
            number(maybe(900)).filter(|id| *id < 300),
        );
        // Between 2022 and 2026, as others are.
        let ingested = number(maybe(126_000_000)).map(|second| 1_640_995_200 + second);
        let mut md5 = [0; 16];
        md5[..8].copy_from_slice(&random.next().to_be_bytes());
        md5[8..].copy_from_slice(&random.next().to_be_bytes());
        let general = vec![
            self.any_tag(random),
            common.to_owned(),
            self.any_tag(random),
        ];
        let mut sources = vec!["danbooru".to_owned(), "local_tagger".to_owned()];
        sources.truncate(random.below(3));
        NewImage {
            path: format!(
                "{:03x}/Solo_new_{:x}.JPG",
                random.below(4096),
                random.next()
            ),
            md5,
            post_id,
            parent_id,
            active_source: sources.first().cloned(),
            sources,
            tags: [
                (Category::General, general),
                (Category::Artist, vec![self.any_tag(random)]),
            ]
            .into(),
            score,
            favourites,
            width,
            height,
            ingested,
            raw_metadata: random.one_in(2).then(|| "{}".to_owned()),
            ..NewImage::default()
        }
    }

    fn delete_images(&mut self, board: &mut Board, random: &mut Random) -> String {
        let ids: Vec<u32> = self.images.keys().copied().collect();
        let count = *random.pick(&[1, 2, 10]);
        let mut gone: Vec<u32> = (0..count).map(|_| *random.pick(&ids)).collect();
        // Those that came last too.
        gone.extend(ids.last().filter(|_| random.one_in(2)));
        board.delete_images(&gone).unwrap();
        assert!(board.delete_images(&gone[..1]).is_err(), "it is gone");
        for id in &gone {
            self.images.remove(id);
        }
        self.deltas.retain(|(id, ..)| !gone.contains(id));
        self.implied.retain(|(id, _)| !gone.contains(id));
        format!("delete images {gone:?}")
    }

    fn upscale(&mut self, board: &mut Board, random: &mut Random) -> String {
        let image = self.any_images(random)[0];
        let size = random.one_in(2).then_some((4000, 3000));
        board.set_upscaled(image, size).unwrap();
        format!("{image} upscaled: {size:?}")
    }

    fn categorize(&mut self, board: &mut Board, random: &mut Random) -> String {
        let name = self.any_tag(random);
        let category = *random.pick(&Category::ALL);
        if self.category(&name).is_none() {
            assert!(
                board
                    .categorize_tags(std::slice::from_ref(&name), category)
                    .is_err()
            );
            return format!("refuse to categorize {name}");
        }
        board
            .categorize_tags(std::slice::from_ref(&name), category)
            .unwrap();
        self.tags.get_mut(&name).unwrap().1 = Some(category.name().to_owned());
        format!("categorize {name} as {category:?}")
    }

    fn alias(&mut self, board: &mut Board, random: &mut Random) -> String {
        if let Some(alias) = self.aliases.keys().next().cloned()
            && random.one_in(3)
        {
            board.delete_alias(&alias).unwrap();
            self.forget_alias(&alias);
            return format!("no alias {alias}");
        }
        let (alias, of) = (self.new_name(), self.any_tag(random));
        board.create_alias(&alias, &of).unwrap();
        self.set_alias(&alias, &of);
        // A tag's own name is none besides; but in lower case it may be one.
        let lower = of.to_lowercase();
        let is_tag = self.tags.contains_key(&lower);
        assert_eq!(board.create_alias(&lower, &of).is_err(), is_tag);
        if !is_tag {
            self.set_alias(&lower, &of);
        }
        format!("alias {alias} of {of}")
    }

    /// Tags that a tag implies over active rules, by the plainest means.
    fn chain(&self, tag: &str) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = [tag.to_owned()].into();
        loop {
            let active = self.rules.iter().filter(|(_, status)| *status == "active");
            let next = active.filter(|((a, _), _)| all.contains(a));
            let next: Vec<String> = next.map(|((_, b), _)| b.clone()).collect();
            let before = all.len();
            all.extend(next);
            if all.len() == before {
                return all;
            }
        }
    }

    fn imply(&mut self, image: u32, name: &str, era: Era) {
        let is_new = self.images.get_mut(&image).unwrap().insert(name.to_owned());
        if is_new && era != Era::Old {
            self.implied.insert((image, name.to_owned()));
        }
    }

    fn apply_all(&mut self, era: Era) {
        for (image, tags) in self.images.clone() {
            let all: BTreeSet<String> = tags.iter().flat_map(|tag| self.chain(tag)).collect();
            all.iter().for_each(|name| self.imply(image, name, era));
        }
    }

    fn rule(&mut self, board: &mut Board, era: Era, random: &mut Random) -> String {
        let known: Vec<(String, String)> = self.rules.keys().cloned().collect();
        match random.below(6) {
            0 => {
                board.apply_rules().unwrap();
                self.apply_all(era);
                "apply rules".to_owned()
            }
            1 => {
                assert_eq!(board.reapply_rules().is_ok(), era != Era::Old);
                if era != Era::Old {
                    for (image, name) in std::mem::take(&mut self.implied) {
                        self.images.get_mut(&image).unwrap().remove(&name);
                    }
                    self.apply_all(era);
                }
                "apply rules anew".to_owned()
            }
            2 if !known.is_empty() => {
                let (tag, implied) = random.pick(&known).clone();
                let is_active = self.rules[&(tag.clone(), implied.clone())] == "active";
                assert_eq!(board.apply_rule(&tag, &implied).is_ok(), is_active);
                for image in self.with_tag(&tag) {
                    let mut all = self.chain(&implied);
                    all.retain(|_| is_active);
                    all.iter().for_each(|name| self.imply(image, name, era));
                }
                format!("apply {tag} -> {implied}")
            }
            3 if !known.is_empty() => {
                let (tag, implied) = random.pick(&known).clone();
                if random.one_in(2) {
                    board.delete_rule(&tag, &implied).unwrap();
                    self.rules.remove(&(tag, implied));
                    return "no rule".to_owned();
                }
                board.reject_rule(&tag, &implied).unwrap();
                let pair = (tag, implied);
                self.rules.insert(pair.clone(), "rejected".to_owned());
                format!("reject {pair:?}")
            }
            _ => {
                let (tag, implied) = (self.any_tag(random), self.any_tag(random));
                assert_eq!(board.create_rule(&tag, &implied).is_ok(), tag != implied);
                if tag != implied {
                    let pair = (tag.clone(), implied.clone());
                    self.rules.insert(pair, "active".to_owned());
                }
                format!("rule {tag} -> {implied}")
            }
        }
    }

    fn rate(&mut self, board: &mut Board, era: Era, random: &mut Random) -> String {
        let images = self.any_images(random);
        let rating = *random.pick(&Rating::ALL);
        board.rate_images(&images, rating).unwrap();
        let name = format!("rating:{}", rating.name());
        if !self.tags.contains_key(&name) {
            let category = (era != Era::Old).then(|| "rating".to_owned());
            self.tags.insert(name.clone(), (0, category));
            self.forget_alias(&name);
        }
        for image in &images {
            for other in self.images[image].clone() {
                if other != name && self.category(&other).is_none() {
                    self.remove(*image, &other);
                }
            }
            self.add(*image, &name);
            self.implied.remove(&(*image, name.clone()));
        }
        format!("rate {} {name}", images.len())
    }

    /// Whether the database says the same, its text columns and its full-text table included.
    pub(crate) fn check(&mut self, connection: &Connection, era: Era, what: &str) {
        let read = Model::read(connection, era);
        for (name, (id, _)) in &mut self.tags {
            // Ids of tags made by edits are the database's; others never change.
            if *id == 0 {
                *id = read.tags[name].0;
            }
        }
        let expected = Model {
            made: 0,
            ..self.clone()
        };
        assert_eq!(read.tags, expected.tags, "{what}");
        assert_eq!(read.images, expected.images, "{what}");
        assert_eq!(read.aliases, expected.aliases, "{what}");
        assert_eq!(read.rules, expected.rules, "{what}");
        assert_eq!(read.implied, expected.implied, "{what}");
        assert_eq!(read.deltas, expected.deltas, "{what}");
        self.check_columns(connection, era, what);
        check_no_ends(connection, what);
        if era != Era::Old {
            check_full_text(connection, what);
        }
    }

    fn check_columns(&self, connection: &Connection, era: Era, what: &str) {
        let columns: &[&str] = match era {
            Era::Old => &["general"],
            _ => &COLUMNS,
        };
        for category in columns {
            let sql = format!("SELECT id, COALESCE(tags_{category}, '') FROM images");
            for (id, text) in rows(connection, &sql, |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))
            }) {
                let words: Vec<&str> = text.split_whitespace().collect();
                let set: BTreeSet<&str> = words.iter().copied().collect();
                let tags = self.images[&id].iter().map(String::as_str);
                let expected: BTreeSet<&str> = tags
                    .filter(|name| self.category(name) == Some(*category))
                    .collect();
                assert_eq!(set, expected, "tags_{category} of {id} after {what}");
                assert_eq!(
                    words.len(),
                    set.len(),
                    "tags_{category} of {id} after {what}"
                );
            }
        }
    }
}

/// Nothing leads to an image that is not there.
fn check_no_ends(connection: &Connection, what: &str) {
    let columns = [
        ("image_tags", "image_id"),
        ("image_sources", "image_id"),
        ("raw_metadata", "image_id"),
        ("pool_images", "image_id"),
        ("favourites", "image_id"),
        ("image_relations", "image_id_a"),
        ("image_relations", "image_id_b"),
    ];
    for (table, column) in columns {
        let sql = format!("SELECT count(*) FROM sqlite_master WHERE name = '{table}'");
        if rows(connection, &sql, |row| row.get::<_, u32>(0)) == [0] {
            continue;
        }
        let sql =
            format!("SELECT {column} FROM {table} WHERE {column} NOT IN (SELECT id FROM images)");
        let ends = rows(connection, &sql, |row| row.get::<_, u32>(0));
        assert!(ends.is_empty(), "{table}.{column} {ends:?} after {what}");
    }
}

/// One row an image, with what the original's trigger would have written.
fn check_full_text(connection: &Connection, what: &str) {
    let own = COLUMNS.map(|category| format!("COALESCE(tags_{category}, '')"));
    let row = format!(
        "SELECT filepath, {}, {}",
        own.join(" || ' ' || "),
        own.join(", ")
    );
    let names = COLUMNS.map(|category| format!("tags_{category}"));
    let expected = format!("{row} FROM images ORDER BY filepath");
    let held = format!(
        "SELECT filepath, tags_all, {} FROM images_fts ORDER BY filepath",
        names.join(", ")
    );
    let read = |sql: &str| {
        rows(connection, sql, |row| {
            (0..8)
                .map(|column| row.get::<_, String>(column))
                .collect::<Result<Vec<_>, _>>()
        })
    };
    assert_eq!(read(&held), read(&expected), "images_fts after {what}");
    let check = "INSERT INTO images_fts (images_fts) VALUES ('integrity-check')";
    connection
        .execute(check, [])
        .unwrap_or_else(|error| panic!("images_fts after {what}: {error}"));
    let state: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(state, "ok", "{what}");
}
