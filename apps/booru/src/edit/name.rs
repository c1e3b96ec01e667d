//! What a tag may be called.

use anyhow::{Result, bail};

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
        bail!("a tag needs a name");
    }
    if lower.len() > TAG_BYTES_MAX {
        bail!(
            "{:?}… is no name of a tag: it has {} bytes, and {TAG_BYTES_MAX} are the most",
            shown(),
            lower.len()
        );
    }
    if lower
        .chars()
        .any(|one| one.is_whitespace() || one.is_control())
    {
        bail!(
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
