//! Statements as the rest of the program writes them, for SQLite and PostgreSQL both, in PostgreSQL's words:
//! parameters `?1`, and the types of tables, which are made to hold what SQLite's hold.

use anyhow::Result;

use crate::store::table::Table;
use crate::store::{SCHEMA, Value};

/// What PostgreSQL's boards have besides the original's tables.
const SHARED: &str = include_str!("shared.sql");

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
        None => Ok(vec![sql.to_owned()]),
    }
}

/// `?1` as `$1`, but within quotes; NULL as itself, which fits any place, where a parameter of no type
/// would not.
pub(super) fn with_places(sql: &str, values: &[Value<'_>]) -> String {
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
        if !is_place {
            to.push(letter);
            continue;
        }
        let mut number = String::new();
        while let Some(digit) = letters.next_if(char::is_ascii_digit) {
            number.push(digit);
        }
        let place = number.parse::<usize>().unwrap_or(0).wrapping_sub(1);
        match values.get(place) {
            Some(Value::Null) => to.push_str("NULL"),
            _ => to.extend(["$", &number]),
        }
    }
    to
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
            with_places(
                "SELECT '?1', \"?2\" FROM t WHERE a = ?1 AND b = ?12 AND c ? 'd'",
                &[]
            ),
            "SELECT '?1', \"?2\" FROM t WHERE a = $1 AND b = $12 AND c ? 'd'"
        );
        let values = [Value::Null, Value::Integer(7)];
        assert_eq!(
            with_places("(?1 IS NULL OR a = ?1) AND b > ?2", &values),
            "(NULL IS NULL OR a = NULL) AND b > $2"
        );
    }

    #[test]
    fn the_originals_indexes_are_all_there() {
        assert_eq!(
            indexes().len() + NEEDLESS.len(),
            SCHEMA.matches("CREATE INDEX ").count()
        );
    }
}
