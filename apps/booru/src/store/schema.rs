//! Which tables and columns a database has. Columns are addressed by name: their order differs between
//! installations, and older ones lack some.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use rusqlite::Connection;

use crate::query::Category;
use crate::store::Explain;

/// The original's tables, indexes and triggers, for a new database.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// Without these nothing can be read.
const NEEDED: &[(&str, &[&str])] = &[
    ("images", &["id", "filepath", "md5"]),
    ("tags", &["id", "name"]),
    ("image_tags", &["image_id", "tag_id"]),
];

/// Tables with their columns, in lower case, as SQLite compares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    tables: BTreeMap<String, BTreeSet<String>>,
    triggers: BTreeSet<String>,
}

impl Schema {
    pub(crate) fn read(connection: &Connection, path: &Path) -> Result<Schema> {
        let read = || -> rusqlite::Result<Schema> {
            let mut schema = Schema {
                tables: BTreeMap::new(),
                triggers: BTreeSet::new(),
            };
            let mut columns = connection.prepare(
                "SELECT lower(item.name), lower(info.name) FROM sqlite_master AS item \
                 JOIN pragma_table_info(item.name) AS info WHERE item.type = 'table'",
            )?;
            let mut rows = columns.query([])?;
            while let Some(row) = rows.next()? {
                let table: String = row.get(0)?;
                schema.tables.entry(table).or_default().insert(row.get(1)?);
            }
            let mut triggers = connection
                .prepare("SELECT lower(name) FROM sqlite_master WHERE type = 'trigger'")?;
            let mut rows = triggers.query([])?;
            while let Some(row) = rows.next()? {
                schema.triggers.insert(row.get(0)?);
            }
            Ok(schema)
        };
        read().explain(|| format!("read which tables {} has", path.display()))
    }

    /// # Errors
    /// Tables or columns that are needed and not there, all of them in one message.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
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
            "{} is no database of an image board: it has no {}; give the `booru.db` of one, or make one \
             with `booru create`",
            path.display(),
            missing.join(", ")
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_its_statement() {
        for table in ["images", "tag_deltas", "tag_implications", "config_store"] {
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute(statement_of(table).unwrap(), [])
                .unwrap();
            let schema = Schema::read(&connection, Path::new("m")).unwrap();
            assert!(schema.has_table(table));
        }
        assert_eq!(statement_of("images_fts"), None);
    }
}
