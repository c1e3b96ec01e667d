//! The columns of `images` in which the tags of an image stand as text, by category. Only the words that
//! an edit is about are changed: whatever else is there stays.

use anyhow::{Context, Result};

use super::Edit;
use crate::query::Category;
use crate::store::Value;

/// One edit of the words of an image.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words<'a> {
    /// In the column of the category; not for ratings, which have none.
    Add(&'a str, Option<Category>),
    /// From every column.
    Remove(&'a str),
    /// Where the old one stands, or else in the column of the category.
    Replace(&'a str, &'a str, Option<Category>),
}

impl Edit<'_> {
    pub(super) fn edit_words(&mut self, image: u32, edits: &[Words<'_>]) -> Result<()> {
        let columns = self.schema.tag_columns();
        if columns.is_empty() {
            return Ok(());
        }
        let id = self.catalog.images.id(image);
        let what = format!("edit the text columns of image {id}");
        let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
        let sql = format!("SELECT {} FROM images WHERE id = ?1", names.join(", "));
        let before = self.store.query_row(&what, &sql, &[id.into()], |row| {
            let columns = 0..names.len();
            columns.map(|column| row.text(column)).collect()
        })?;
        let before: Vec<Option<String>> =
            before.with_context(|| format!("{what}: the database does not have it"))?;
        let categories: Vec<Category> = columns.iter().map(|(category, _)| *category).collect();
        let mut texts = before.clone();
        for edit in edits {
            edit_texts(&mut texts, &categories, *edit);
        }
        if texts == before {
            return Ok(());
        }
        // Only what has changed is written.
        let mut sets = Vec::new();
        let mut values: Vec<Value<'_>> = vec![id.into()];
        for ((name, text), before) in names.iter().zip(&texts).zip(&before) {
            if text != before {
                values.push(text.as_deref().into());
                sets.push(format!("{name} = ?{}", values.len()));
            }
        }
        let sql = format!("UPDATE images SET {} WHERE id = ?1", sets.join(", "));
        self.execute(&what, &sql, &values)?;
        self.touched.insert(image);
        Ok(())
    }
}

fn edit_texts(texts: &mut [Option<String>], categories: &[Category], edit: Words<'_>) {
    let place = |of: Option<Category>| categories.iter().position(|one| Some(*one) == of);
    match edit {
        Words::Add(word, category) => {
            if let Some(place) = place(category)
                && !texts.iter().flatten().any(|text| has(text, word))
            {
                add(&mut texts[place], word);
            }
        }
        Words::Remove(word) => texts.iter_mut().for_each(|text| remove(text, word)),
        Words::Replace(old, new, category) => {
            let known = texts
                .iter()
                .position(|text| text.as_deref().is_some_and(|text| has(text, old)));
            texts.iter_mut().for_each(|text| {
                remove(text, old);
                remove(text, new);
            });
            if let Some(place) = known.or_else(|| place(category)) {
                add(&mut texts[place], new);
            }
        }
    }
}

fn has(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|other| other == word)
}

fn remove(text: &mut Option<String>, word: &str) {
    if let Some(words) = text
        && has(words, word)
    {
        let left: Vec<&str> = words
            .split_whitespace()
            .filter(|other| *other != word)
            .collect();
        *text = Some(left.join(" "));
    }
}

/// Where it belongs if the words are in order, else at the end.
fn add(text: &mut Option<String>, word: &str) {
    let words = text.take().unwrap_or_default();
    let mut words: Vec<&str> = words.split_whitespace().collect();
    let place = match words.is_sorted() {
        true => words.partition_point(|other| *other < word),
        false => words.len(),
    };
    words.insert(place, word);
    *text = Some(words.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_stay_as_they_are() {
        let categories = [Category::Artist, Category::General];
        let check = |before: [&str; 2], edit: Words<'_>, after: [&str; 2]| {
            let mut texts = before.map(|text| Some(text.to_owned()));
            edit_texts(&mut texts, &categories, edit);
            assert_eq!(texts, after.map(|text| Some(text.to_owned())), "{edit:?}");
        };
        let general = Some(Category::General);
        check(["x", "a c"], Words::Add("b", general), ["x", "a b c"]);
        check(["x", "c a"], Words::Add("b", general), ["x", "c a b"]);
        check(["x", "c a"], Words::Add("x", general), ["x", "c a"]);
        check(
            ["x", "c a"],
            Words::Add("b", Some(Category::Meta)),
            ["x", "c a"],
        );
        check(["x", "x aa"], Words::Remove("x"), ["", "aa"]);
        check(
            ["x", "a c"],
            Words::Replace("c", "b", Some(Category::Artist)),
            ["x", "a b"],
        );
        check(["x", "a b"], Words::Replace("x", "b", general), ["b", "a"]);
        check(
            ["x", "a"],
            Words::Replace("gone", "b", general),
            ["x", "a b"],
        );
    }
}
