//! Statements as the rest of the program writes them, for SQLite and PostgreSQL both, in PostgreSQL's words:
//! parameters `?1`, and the types of tables, which are made to hold what SQLite's hold.

use anyhow::{Context, Result, bail};

use crate::store::SCHEMA;

/// What PostgreSQL's boards have besides the original's tables.
const SHARED: &str = include_str!("shared.sql");

/// What a column holds, in either database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Integer,
    Real,
    Text,
    Bytes,
}

impl Class {
    /// Of a type as SQLite's tables name it.
    pub(crate) fn of(name: &str) -> Class {
        match name.to_ascii_uppercase().as_str() {
            "INTEGER" | "INT" | "BIGINT" | "BOOLEAN" => Class::Integer,
            "REAL" | "FLOAT" | "DOUBLE" => Class::Real,
            "BLOB" | "BYTEA" => Class::Bytes,
            _ => Class::Text,
        }
    }

    /// Text is in the order of its bytes, as in SQLite, whatever the language of the server.
    pub(crate) fn postgres(self) -> &'static str {
        match self {
            Class::Integer => "bigint",
            Class::Real => "double precision",
            Class::Text => "text COLLATE \"C\"",
            Class::Bytes => "bytea",
        }
    }

    pub(crate) fn sqlite(self) -> &'static str {
        match self {
            Class::Integer => "INTEGER",
            Class::Real => "REAL",
            Class::Text => "TEXT",
            Class::Bytes => "BLOB",
        }
    }
}

/// Whether a statement only reads. One that says it otherwise is taken for a change, which does no harm.
pub(super) fn is_reading(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    let is_one_of =
        |one: &str, words: &[&str]| words.iter().any(|word| one.eq_ignore_ascii_case(word));
    if first.eq_ignore_ascii_case("WITH") {
        let mut words = sql.split(|one: char| !one.is_ascii_alphabetic());
        return !words.any(|word| is_one_of(word, &["INSERT", "UPDATE", "DELETE"]));
    }
    is_one_of(first, &["SELECT", "VALUES", "SHOW"])
}

/// A statement in PostgreSQL's words; several where a table comes with foreign keys.
pub(super) fn statements_of(sql: &str) -> Result<Vec<String>> {
    match Table::parse(sql)? {
        Some(table) => Ok(table.whole()),
        None => Ok(vec![with_places(sql)]),
    }
}

/// `?1` as `$1`, but within quotes.
pub(super) fn with_places(sql: &str) -> String {
    let mut quote = None;
    let mut letters = sql.chars().peekable();
    let mut to = String::with_capacity(sql.len());
    while let Some(letter) = letters.next() {
        let is_place =
            quote.is_none() && letter == '?' && letters.peek().is_some_and(char::is_ascii_digit);
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            _ => {}
        }
        to.push(match is_place {
            true => '$',
            false => letter,
        });
    }
    to
}

/// A `CREATE TABLE` of SQLite, taken apart.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    /// As it was written, which is kept with the table: a copy into SQLite makes it so again.
    written: String,
    has_condition: bool,
    items: Vec<String>,
    /// Column, and what it refers to.
    references: Vec<(String, String)>,
}

/// What the column of a moment holds where none is told: as SQLite writes it.
const MOMENT: &str = "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')";

impl Table {
    /// `None` for any other statement.
    pub(super) fn parse(sql: &str) -> Result<Option<Table>> {
        let words: Vec<&str> = sql.split_whitespace().take(6).collect();
        let is = |place: usize, word: &str| {
            words
                .get(place)
                .is_some_and(|one| one.eq_ignore_ascii_case(word))
        };
        if !is(0, "CREATE") || !is(1, "TABLE") {
            return Ok(None);
        }
        let taking_apart = || format!("make a table of PostgreSQL of {sql:?}");
        let has_condition = is(2, "IF");
        let name = words[if has_condition { 5 } else { 2 }..].first();
        let name = name.with_context(taking_apart)?;
        let name = name.split('(').next().unwrap_or_default().trim_matches('"');
        let (start, end) = (sql.find('('), sql.rfind(')'));
        let (Some(start), Some(end)) = (start, end) else {
            bail!("{}: it has no columns", taking_apart());
        };
        let mut table = Table {
            name: name.to_owned(),
            written: sql[..=end].replacen("IF NOT EXISTS ", "", 1),
            has_condition,
            items: Vec::new(),
            references: Vec::new(),
        };
        for item in parts_of(&sql[start + 1..end]) {
            table.add(item).with_context(taking_apart)?;
        }
        Ok(Some(table))
    }

    fn add(&mut self, item: &str) -> Result<()> {
        let item = item.split_whitespace().collect::<Vec<_>>().join(" ");
        let (column, rest) = item.split_once(' ').unwrap_or((&item, ""));
        let kind = column.split('(').next().unwrap_or_default();
        let of_table = ["PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT"];
        if of_table.iter().any(|word| kind.eq_ignore_ascii_case(word)) {
            self.items.push(item);
            return Ok(());
        }
        let (kind, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let class = Class::of(kind);
        let mut rest = rest
            .replace(" AUTOINCREMENT", "")
            .replace("DEFAULT CURRENT_TIMESTAMP", &format!("DEFAULT {MOMENT}"));
        if let Some(at) = rest.find("REFERENCES ") {
            // It is what a column ends with in all that this program makes.
            let to = rest.split_off(at);
            self.references.push((column.to_owned(), to));
        } else if class == Class::Integer && rest.starts_with("PRIMARY KEY") {
            rest.insert_str(0, "GENERATED BY DEFAULT AS IDENTITY ");
        }
        let item = format!("{column} {} {rest}", class.postgres());
        self.items.push(item.trim_end().to_owned());
        Ok(())
    }

    /// The table with all that belongs to it.
    pub(super) fn whole(&self) -> Vec<String> {
        let mut items = self.items.clone();
        items.extend(
            self.references
                .iter()
                .map(|(column, to)| format!("FOREIGN KEY ({column}) {to}")),
        );
        let condition = match self.has_condition {
            true => "IF NOT EXISTS ",
            false => "",
        };
        let made = format!(
            "CREATE TABLE {condition}{} ({})",
            self.name,
            items.join(", ")
        );
        vec![made, self.comment()]
    }

    /// The table alone, to be filled before what it refers to is there.
    pub(super) fn without_references(&self) -> Vec<String> {
        let made = format!("CREATE TABLE {} ({})", self.name, self.items.join(", "));
        vec![made, self.comment()]
    }

    /// Foreign keys, which rows that are there already need not keep.
    pub(super) fn later_references(&self) -> Vec<(String, String)> {
        let add = |(column, to): &(String, String)| {
            let name = format!("{}_{column}_refers", self.name);
            let add = format!(
                "ALTER TABLE {} ADD CONSTRAINT {name} FOREIGN KEY ({column}) {to} NOT VALID",
                self.name
            );
            let validate = format!("ALTER TABLE {} VALIDATE CONSTRAINT {name}", self.name);
            (add, validate)
        };
        self.references.iter().map(add).collect()
    }

    fn comment(&self) -> String {
        let written = self.written.replace('\'', "''");
        format!("COMMENT ON TABLE {} IS '{written}'", self.name)
    }
}

/// Items of a list at its commas, not those within brackets and quotes.
fn parts_of(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut is_quoted) = (0_i32, 0, false);
    let mut parts = Vec::new();
    for (at, letter) in list.char_indices() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth -= 1,
            ',' if !is_quoted && depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// Indexes of the original that a key of the same columns makes needless.
const NEEDLESS: [&str; 9] = [
    "idx_images_filepath ",
    "idx_images_md5 ",
    "idx_images_parent_id ",
    "idx_tags_name ",
    "idx_image_tags_image_id ",
    "idx_image_sources_image_id ",
    "idx_raw_metadata_image_id ",
    "idx_tag_implications_source ",
    "idx_image_relations_pair ",
];

/// The original's tables, in the order in which they refer to each other.
pub(super) fn tables() -> Result<Vec<Table>> {
    let made = |sql: &&str| sql.trim_start().starts_with("CREATE TABLE ");
    let tables = SCHEMA.split(";\n").filter(made);
    let tables = tables.map(|sql| Table::parse(sql.trim_start()));
    Ok(tables
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// The original's indexes, but for full text.
pub(super) fn indexes() -> Vec<String> {
    let made = SCHEMA.split(";\n").map(str::trim_start);
    let made = made.filter(|sql| sql.starts_with("CREATE INDEX "));
    let is_needed = |sql: &&str| !NEEDLESS.iter().any(|name| sql.contains(name));
    made.filter(is_needed).map(str::to_owned).collect()
}

/// What a shared board has besides: aliases, the count of its changes, and who keeps it.
pub(super) fn shared() -> &'static str {
    SHARED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_marked_but_not_in_quotes() {
        assert_eq!(
            with_places("SELECT '?1', \"?2\" FROM t WHERE a = ?1 AND b = ?12 AND c ? 'd'"),
            "SELECT '?1', \"?2\" FROM t WHERE a = $1 AND b = $12 AND c ? 'd'"
        );
    }

    #[test]
    fn a_table_keeps_what_it_says() {
        let sql = "CREATE TABLE IF NOT EXISTS a (id INTEGER PRIMARY KEY AUTOINCREMENT, \
                   b BOOLEAN DEFAULT 0, c TEXT NOT NULL CHECK (c IN ('x, y', 'z')), \
                   d INTEGER NOT NULL REFERENCES e(id) ON DELETE CASCADE, \
                   timestamp DATETIME DEFAULT CURRENT_TIMESTAMP, f REAL, g BLOB, PRIMARY KEY (b, c))";
        let statements = statements_of(sql).unwrap();
        assert_eq!(
            statements[0],
            format!(
                "CREATE TABLE IF NOT EXISTS a (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, \
                 b bigint DEFAULT 0, c text COLLATE \"C\" NOT NULL CHECK (c IN ('x, y', 'z')), \
                 d bigint NOT NULL, timestamp text COLLATE \"C\" DEFAULT {MOMENT}, f double precision, \
                 g bytea, PRIMARY KEY (b, c), FOREIGN KEY (d) REFERENCES e(id) ON DELETE CASCADE)"
            )
        );
        assert!(statements[1].starts_with("COMMENT ON TABLE a IS 'CREATE TABLE a (id"));
        assert_eq!(statements_of("SELECT 1").unwrap(), ["SELECT 1"]);
        assert!(statements_of("CREATE TABLE a").is_err());
    }

    #[test]
    fn the_originals_tables_and_indexes_are_all_there() {
        let names: Vec<String> = tables().unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names.len(), 17, "{names:?}");
        assert!(!names.contains(&"images_fts".to_owned()));
        assert_eq!(
            indexes().len() + NEEDLESS.len(),
            SCHEMA.matches("CREATE INDEX ").count()
        );
    }
}
