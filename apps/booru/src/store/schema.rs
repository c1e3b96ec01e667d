//! Which tables and columns a database has. Columns are addressed by name: their order differs between
//! installations, and older ones lack some.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::query::Category;

/// The original's tables, indexes and triggers, for a new database.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// The one table that is ours, and that the original takes no notice of: other names of tags.
pub(crate) const ALIASES: &str = "CREATE TABLE IF NOT EXISTS booru_aliases (name TEXT PRIMARY KEY, \
    tag_id INTEGER NOT NULL REFERENCES tags(id) ON DELETE CASCADE)";

/// Without these nothing can be read.
const NEEDED: &[(&str, &[&str])] = &[
    ("images", &["id", "filepath", "md5"]),
    ("tags", &["id", "name"]),
    ("image_tags", &["image_id", "tag_id"]),
];

/// Tables with their columns, in lower case, as SQLite compares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    tables: BTreeMap<String, BTreeSet<String>>,
    triggers: BTreeSet<String>,
    refuses_rules: bool,
}

impl Schema {
    pub(super) fn add_column(&mut self, table: String, column: String) {
        self.tables.entry(table).or_default().insert(column);
    }

    pub(super) fn add_trigger(&mut self, name: String) {
        self.triggers.insert(name);
    }

    /// How `image_tags` is made.
    pub(super) fn read_statement_of_pairs(&mut self, statement: &str) {
        let statement = statement.to_lowercase();
        let names_sources = statement.contains("check") && statement.contains("'user'");
        self.refuses_rules = names_sources && !statement.contains("'implication'");
    }

    /// Whether `image_tags` refuses tags that come from rules: the original's of November 2025 does.
    pub(crate) fn refuses_rules(&self) -> bool {
        self.refuses_rules
    }

    /// # Errors
    /// Tables or columns that are needed and not there, all of them in one message.
    pub(crate) fn check(&self, database: &str) -> Result<()> {
        let mut missing = Vec::new();
        for (table, columns) in NEEDED {
            match self.tables.get(*table) {
                None => missing.push(format!("table {table}")),
                Some(known) => {
                    let lacks = columns.iter().filter(|column| !known.contains(**column));
                    missing.extend(lacks.map(|column| format!("column {table}.{column}")));
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        bail!(
            "{database} is no database of an image board: it has no {}; give the `booru.db` of one, or make \
             one with `booru create`",
            missing.join(", ")
        );
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    pub(crate) fn has_table(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    pub(crate) fn has(&self, table: &str, column: &str) -> bool {
        let columns = self.tables.get(table);
        columns.is_some_and(|columns| columns.contains(column))
    }

    /// The column, or NULL where the table lacks it.
    pub(crate) fn column(&self, table: &str, column: &'static str) -> &'static str {
        match self.has(table, column) {
            true => column,
            false => "NULL",
        }
    }

    /// The columns of `images` with the tags of a category as text that are there.
    pub(crate) fn tag_columns(&self) -> Vec<(Category, &'static str)> {
        let columns = TAG_COLUMNS.iter().copied();
        columns
            .filter(|(_, column)| self.has("images", column))
            .collect()
    }

    pub(crate) fn triggers(&self) -> &BTreeSet<String> {
        &self.triggers
    }
}

/// Columns of `images` and of `images_fts`, in the order of the latter.
pub(crate) const TAG_COLUMNS: [(Category, &str); 6] = [
    (Category::Character, "tags_character"),
    (Category::Copyright, "tags_copyright"),
    (Category::Artist, "tags_artist"),
    (Category::Species, "tags_species"),
    (Category::Meta, "tags_meta"),
    (Category::General, "tags_general"),
];

/// The statement that makes one of the original's tables.
pub(crate) fn statement_of(table: &str) -> Option<&'static str> {
    let start = SCHEMA.find(&format!("CREATE TABLE {table} ("))?;
    let len = SCHEMA[start..].find(");\n")?;
    Some(&SCHEMA[start..start + len + 1])
}
