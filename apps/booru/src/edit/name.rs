//! What a tag may be called.

use anyhow::Result;

use crate::query::Category;
use crate::refuse;

/// The longest name; the longest that people use has about 100 bytes.
pub const TAG_BYTES_MAX: usize = 255;

/// The name in lower case, with `rating_explicit` and its like as `rating:explicit`.
///
/// # Errors
/// Nothing, white space or control characters in it, more than [`TAG_BYTES_MAX`] bytes.
pub fn check_name(name: &str) -> Result<String> {
    let lower = name.to_lowercase();
    let shown = || lower.chars().take(40).collect::<String>();
    if lower.is_empty() {
        refuse!("a tag needs a name");
    }
    if lower.len() > TAG_BYTES_MAX {
        refuse!(
            "{:?}… is no name of a tag: it has {} bytes, and {TAG_BYTES_MAX} are the most",
            shown(),
            lower.len()
        );
    }
    if lower
        .chars()
        .any(|one| one.is_whitespace() || one.is_control())
    {
        refuse!(
            "{:?} is no name of a tag: blanks and control characters can't be in one; write `_`",
            shown()
        );
    }
    let rating = lower.strip_prefix("rating_");
    let known = ["general", "sensitive", "questionable", "explicit"];
    match rating.filter(|rating| known.contains(rating)) {
        Some(rating) => Ok(format!("rating:{rating}")),
        None => Ok(lower),
    }
}

/// The category of this name.
///
/// # Errors
/// There is none of this name.
pub fn check_category(name: &str) -> Result<Category> {
    match Category::of(name) {
        Some(category) => Ok(category),
        None => {
            let known = Category::ALL.map(Category::name);
            refuse!("{name:?} is no category: {} are", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_lower_case_and_without_blanks() {
        assert_eq!(check_name("Long_Hair").unwrap(), "long_hair");
        assert_eq!(check_name("rating_explicit").unwrap(), "rating:explicit");
        assert_eq!(check_name("rating_system").unwrap(), "rating_system");
        for name in ["", "a b", "a\tb", "a\u{0}b", "\u{3000}", &"x".repeat(256)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
